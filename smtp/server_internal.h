/* What the files of the server machine share: server.c has the calls and the turns, server_command.c the commands,
 * server_auth.c the exchange of credentials, server_content.c what follows DATA. Nobody else includes this. */
#ifndef SMTP_SERVER_INTERNAL_H
#define SMTP_SERVER_INTERNAL_H

#include "smtp/address.h"
#include "smtp/server.h"

#define SERVER_LINE_MAX 2048       /* RFC 5321 4.5.3.1.4 asks for 512, with extensions for more */
#define SERVER_AUTH_LINE_MAX 12288 /* RFC 4954 4 */
#define SERVER_CHUNK_MAX 65536
#define SERVER_OUTPUT_HIGH 16384
#define SERVER_HELLO_MAX 255
#define SERVER_ADDRESS_MAX (SMTP_ADDRESS_MAX + 1)

#define SERVER_STATE_LIST(X)                                                                                           \
    X(GREETING, "greeting")   /* not a byte is taken yet */                                                            \
    X(COMMAND, "command")     /* the next line is a command */                                                         \
    X(LONG_LINE, "long-line") /* up to its CRLF, a line is thrown away */                                              \
    X(AUTH, "auth")           /* the next line is a response of the exchange */                                        \
    X(CONTENT, "content")     /* up to the end mark */                                                                 \
    X(SECURING, "starttls")   /* TLS is being started */                                                               \
    X(CLOSING, "closing")     /* CLOSE is the next event */                                                            \
    X(CLOSED, "closed")
enum server_state {
#define X(name, word) SERVER_##name,
    SERVER_STATE_LIST(X)
#undef X
};

/* Whose turn it is. */
enum server_turn {
    SERVER_CLIENTS, /* no event: input is taken */
    SERVER_EVENT,   /* an event waits for next() */
    SERVER_OWNERS,  /* it was given and waits for answer() */
};

enum server_auth_step { SERVER_AUTH_IDLE, SERVER_AUTH_PLAIN, SERVER_AUTH_LOGIN_NAME, SERVER_AUTH_LOGIN_PASSWORD };

struct server_line {
    char *bytes; /* may hold a password: wiped, and never left behind by realloc */
    size_t length, capacity;
    char last; /* of a line that is thrown away */
};

/* All that belongs to one MAIL; replaced as a whole, so that no part of it outlives another. */
struct server_transaction {
    bool open;
    bool utf8;
    unsigned recipient_count; /* accepted ones */
    struct smtp_content_decoder content;
    bool ended; /* the end mark was read */
};

struct smtp_server {
    struct smtp_server_options options;
    enum server_state state;
    enum server_turn turn;
    struct smtp_server_event event;
    struct smtp_mail mail; /* what the event points to */
    struct smtp_rcpt rcpt;
    char address[SERVER_ADDRESS_MAX]; /* of the event, where it is not as it was written */
    struct server_line line;
    struct server_transaction transaction;
    enum server_auth_step auth_step;
    size_t auth_name_length;
    struct buffer secret; /* the name, then the password */
    struct buffer hello, chunk, out;
    struct buffer held; /* the reply that follows a RESET; while content is read: why it is refused */
    struct buffer stop; /* the reply that ends the session */
    bool extended, secured, authenticated;
    bool early; /* input stands behind the line in hand */
    unsigned errors, idle_commands;
};

/* server.c */
void smtp_server_say(struct smtp_server *server, struct smtp_reply reply);
void smtp_server_refuse(struct smtp_server *server, enum smtp_refusal_kind kind, struct smtp_reply reply);
void smtp_server_tell(struct smtp_server *server, const struct smtp_refusal *refusal); /* of what is said elsewhere */
void smtp_server_raise(struct smtp_server *server, enum smtp_server_event_kind kind);
void smtp_server_close(struct smtp_server *server); /* drops an event that nobody has seen */
/* Input that came before a reply that the client has to wait for; true when that ended the session. */
bool smtp_server_is_hasty(struct smtp_server *server);

/* server_command.c */
void smtp_server_command(struct smtp_server *server, struct slice line);
unsigned smtp_server_allowed(const struct smtp_server *server); /* set of enum smtp_extension */

/* server_auth.c */
void smtp_server_auth_start(struct smtp_server *server, struct slice argument);
void smtp_server_auth_line(struct smtp_server *server, struct slice line);
void smtp_server_auth_end(struct smtp_server *server); /* wipes; back to commands */

/* server_content.c */
void smtp_server_content_start(struct smtp_server *server);
size_t smtp_server_content_take(struct smtp_server *server, struct slice input);
void smtp_server_content_answered(struct smtp_server *server, const struct smtp_reply *reply);
void smtp_server_content_end(struct smtp_server *server);

#endif
