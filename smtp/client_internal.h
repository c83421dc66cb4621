/* What the files of the client machine share: client.c has the calls and the loop, client_session.c what comes before
 * and after mail, client_transaction.c the mail. Nobody else includes this. */
#ifndef SMTP_CLIENT_INTERNAL_H
#define SMTP_CLIENT_INTERNAL_H

#include "smtp/client.h"
#include "smtp/content.h"

#define CLIENT_RECIPIENTS_MAX 1000

/* All that belongs to one mail(); replaced as a whole. */
struct client_transaction {
    size_t recipient_count;
    size_t recipient_next; /* whose reply is due */
    size_t accepted_count;
    bool mail_accepted;
    bool pipelined;        /* all commands are out, so all their replies come */
    bool counted;          /* BDAT */
    bool eager;            /* content leaves before the replies to the envelope are in */
    bool content_ended;    /* all of it has been handed over */
    bool refused;          /* verdict says why nothing will be delivered; the replies still due are only read */
    size_t chunk_count;    /* BDAT commands whose reply is due */
    struct smtp_content_encoder encoder;
    enum smtp_client_stage verdict_stage;
    struct smtp_reply verdict; /* its text is in verdict_text */
};

struct smtp_client {
    struct smtp_client_options options;
    enum smtp_client_stage stage;
    bool may_quit; /* in CLOSED: QUIT would be read as a command */
    bool raised;   /* the event waits for next() */
    struct smtp_client_event event;
    struct smtp_reply_parser parser;
    struct smtp_extensions extensions;
    struct buffer in, out;
    struct buffer script; /* command lines that wait for the reply to the one before; of AUTH: secret, wiped */
    struct buffer chunk;  /* BDAT: held back until it is known whether it is the last */
    struct buffer verdict_text;
    struct client_transaction transaction;
    bool tried_tls, tried_hello, tried_auth; /* what is done once a session */
    bool secured, lost;
    bool needs_reset; /* the server still holds a transaction that was given up */
};

/* client.c */
void smtp_client_raise(struct smtp_client *client, enum smtp_client_event_kind kind, const struct smtp_reply *reply);
void smtp_client_fail(struct smtp_client *client, enum smtp_client_fault fault, const struct smtp_reply *reply);
bool smtp_client_send_line(struct smtp_client *client); /* the script's next line; false: there is none */
bool smtp_client_offers(const struct smtp_client *client, enum smtp_extension extension);

/* client_session.c, client_transaction.c: a reply in one of their stages */
void smtp_client_session_reply(struct smtp_client *client, const struct smtp_reply *reply);
void smtp_client_say_hello(struct smtp_client *client);
void smtp_client_transaction_reply(struct smtp_client *client, const struct smtp_reply *reply);
/* Once the last recipient's event was read: what follows. False: nothing yet. */
bool smtp_client_transaction_advance(struct smtp_client *client);

#endif
