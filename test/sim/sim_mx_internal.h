/* A connection of a mail host: what sim_mx.c and sim_mx_chunk.c share. */
#ifndef TEST_SIM_SIM_MX_INTERNAL_H
#define TEST_SIM_SIM_MX_INTERNAL_H

#include "smtp/server.h"
#include "test/sim/sim_chunk.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_mx.h"
#include "test/sim/sim_peer.h"

#define RECIPIENTS_MAX 100

#define STAGE_LIST(X)                                                                                                  \
    X(GREETING) X(HELLO) X(STARTTLS) X(HANDSHAKE) X(HELLO_SECURED) X(MAIL) X(RCPT) X(DATA) X(CONTENT)                  \
    X(END)       /* before the message is stored */                                                                    \
    X(STORED)    /* after it, before the answer */                                                                     \
    X(QUIT) X(NOWHERE)
enum stage {
#define X(name) STAGE_##name,
    STAGE_LIST(X)
#undef X
};
#define ODDITY_LIST(X)                                                                                                 \
    X(DROP) X(HANG) X(TEMPORARY) X(PERMANENT) X(SHUTDOWN) X(GARBAGE) X(SLOW) X(INJECTION) /* behind the 220 */
enum oddity {
#define X(name) ODDITY_##name,
    ODDITY_LIST(X)
#undef X
    ODDITY_KINDS
};

struct mx {
    struct sim_peer peer;
    const struct world_host *host;
    struct sim_link *link;
    struct smtp_server *server;
    struct sim_certificate certificate;
    enum stage stage; /* where the oddity happens, once */
    enum oddity oddity;
    struct sim_event pause;
    bool is_paused, is_secured;
    bool is_mail_refused; /* for good: what follows in the same breath is refused with it */
    unsigned stored_count; /* messages of this connection */
    bool is_confused;     /* it has answered in the middle of content: what it says now is no answer to that */
    uint64_t content_seen, content_limit; /* bytes after DATA, until the oddity of CONTENT */
    char sender[SIM_ADDRESS_MAX];
    char recipients[RECIPIENTS_MAX][SIM_ADDRESS_MAX];
    size_t recipient_count;
    struct buffer content;
    bool offers_chunking;
    struct sim_chunks chunks;
    uint64_t refused_left; /* bytes of a chunk that was refused before it had come */
    struct buffer stuffed; /* all chunks of a message, on their way into the machine */
};

bool sim_mx_act(struct mx *mx, enum stage stage); /* the oddity of this stage, if it is here. True: the usual does not happen */
bool sim_mx_is_over(const struct mx *mx);
void sim_mx_say(struct mx *mx, struct slice line);
void sim_mx_handle(struct mx *mx, const struct smtp_server_event *event);
void sim_mx_begin_content(struct mx *mx);

/* BDAT. With input that belongs to a chunk, feed_chunk() is the only one that may be fed. */
void sim_mx_begin_chunk(struct mx *mx, uint64_t length, bool is_last);
void sim_mx_refuse_chunk(struct mx *mx, uint64_t left); /* it has been answered: the rest, and all behind it, is thrown away */
bool sim_mx_is_in_chunk(const struct mx *mx);
bool sim_mx_feed_chunk(struct mx *mx); /* false: more input is needed */

#endif
