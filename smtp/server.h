/* The server side of one SMTP session as a machine: bytes in, events out, answers in, bytes out. It has no socket, no
 * TLS, no clock. Call it so:
 *
 *   - feed() the bytes that arrived; it takes as many as it can use now.
 *   - next() gives an event; SMTP_SERVER_WAIT means: send output(), feed more. Every other event must be answered with
 *     answer() before next() gives another one and before feed() takes another byte past the event: pipelining and
 *     back-pressure need no flags. A NULL answer is the usual positive reply of that event.
 *   - send output(), report sent(). While much output waits, feed() takes nothing either.
 *   - after STARTTLS was answered with NULL, feed() takes nothing; when output() is empty start TLS and call secured(),
 *     which forgets all state (RFC 3207 4.2). Bytes left in the caller's buffer at that moment were injected: offered to
 *     feed(), they make the machine close.
 *   - Offer feed() all that has arrived: from what stands behind EHLO, HELO, DATA, STARTTLS or AUTH before their reply is
 *     made, the machine knows that the client did not wait for it (RFC 2920 3.1), and ends the session with 554.
 *
 * RFC 5321, 2920 (PIPELINING), 1870 (SIZE), 6152, 2034, 3207, 4954 (AUTH PLAIN, LOGIN), 3461 (DSN), 6531 (SMTPUTF8). */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/err.h"
#include "smtp/content.h"
#include "smtp/envelope.h"
#include "smtp/extension.h"
#include "smtp/reply.h"

struct smtp_server;

/* Why the machine says no of itself; what the owner refuses it says itself. */
#define SMTP_REFUSAL_LIST(X)                                                                                           \
    X(SYNTAX, syntax)         /* no command, or not as one is written */                                               \
    X(ORDER, order)           /* a command before or after its time */                                                 \
    X(ADDRESS, address)       /* of MAIL or RCPT: none, or not as one is written */                                    \
    X(SIZE, size)             /* said to be too large, or found to be */                                               \
    X(CONTENT, content)       /* a bare LF, a bare CR or a NUL in it */                                                \
    X(EARLY, early)           /* the client did not wait for a reply */                                                \
    X(LOGIN, login)           /* AUTH without TLS, not as it is written, or missing */                                 \
    X(RECIPIENTS, recipients) /* more than one message may have */                                                     \
    X(HTTP, http)             /* a browser */                                                                          \
    X(ERRORS, errors)         /* too many of all these, or too many commands that bring no mail */                     \
    X(MEMORY, memory)

enum smtp_refusal_kind {
#define X(name, word) SMTP_REFUSAL_##name,
    SMTP_REFUSAL_LIST(X)
#undef X
};
struct smtp_refusal {
    enum smtp_refusal_kind kind;
    struct smtp_reply reply;
    struct slice subject; /* what MAIL or RCPT had behind it; else empty */
};

enum smtp_server_auth { SMTP_SERVER_AUTH_NONE, SMTP_SERVER_AUTH_OFFERED, SMTP_SERVER_AUTH_REQUIRED };

struct smtp_server_options {
    struct slice hostname;         /* the EHLO and greeting name; must outlive the server */
    uint64_t size_max;             /* bytes of content; over it 552, at MAIL when SIZE says so, else after the end */
    unsigned recipients_max;       /* per transaction; further ones get 452 4.5.3 */
    bool starttls;                 /* offered while not secured */
    enum smtp_server_auth auth;    /* offered only once secured; REQUIRED: MAIL before it gets 530 */
    bool secured;                  /* TLS from the first byte */
    bool dsn, utf8;                /* offered */
    unsigned errors_max;           /* commands that failed, until 421 and the end */
    bool trusted;                  /* as whoever has authenticated: much more of these, and of NOOP and RSET, is borne */
    void (*refused)(void *owner, const struct smtp_refusal *refusal); /* only told, once for each; NULL: nobody is */
    /* May this client do what old devices do? It is asked where one does, and at each DATA. Names without a domain are taken then
     * (that of MAIL gets our hostname), and in content a bare LF or CR ends a line. NULL: no. */
    bool (*is_lenient)(void *owner);
    void *owner;
};

#define SMTP_SERVER_EVENT_LIST(X)                                                                                      \
    X(WAIT)      /* nothing to decide: send output, feed more */                                                       \
    X(GREETING)  /* the session starts; answer NULL for 220, or 421/554 to turn the client away */                     \
    X(STARTTLS)  /* answer NULL for 220 and do as said above, or a 454 reply */                                        \
    X(AUTH)      /* name and password; answer NULL for 235, or 535/454 */                                              \
    X(MAIL)      /* mail; NULL: 250 2.1.0 */                                                                           \
    X(RCPT)      /* rcpt; NULL: 250 2.1.5. The machine counts the accepted ones */                                     \
    X(DATA)      /* at least one recipient stands; NULL: 354 */                                                        \
    X(CONTENT)   /* bytes: a chunk of at most 64 KiB; any answer but NULL is kept and given after the end */           \
    X(END)       /* the content is whole and acceptable; the answer is the promise: NULL is not allowed */             \
    X(RESET)     /* forget the transaction: RSET, EHLO, refused or oversized content; answer NULL */                   \
    X(CLOSE)     /* send output, then close; QUIT, too many errors, an HTTP client */

enum smtp_server_event_kind {
#define X(name) SMTP_SERVER_##name,
    SMTP_SERVER_EVENT_LIST(X)
#undef X
};

struct smtp_server_event {
    enum smtp_server_event_kind kind;
    const struct smtp_mail *mail; /* MAIL; views that live until the answer */
    const struct smtp_rcpt *rcpt; /* RCPT; the address is valid, or a name without a domain */
    struct slice bytes;           /* CONTENT; valid until the answer */
    struct slice name, password;  /* AUTH: decoded */
};

struct smtp_server *smtp_server_new(const struct smtp_server_options *options); /* NULL: out of memory */
void smtp_server_free(struct smtp_server **server); /* wipes what may be a secret */
size_t smtp_server_feed(struct smtp_server *server, struct slice input);
struct smtp_server_event smtp_server_next(struct smtp_server *server);
void smtp_server_answer(struct smtp_server *server, const struct smtp_reply *reply);
void smtp_server_secured(struct smtp_server *server);
struct slice smtp_server_output(const struct smtp_server *server);
void smtp_server_sent(struct smtp_server *server, size_t length);
/* Ends the session from outside (shutdown, time-out): the reply (421) is queued once no answer is outstanding, then CLOSE. */
void smtp_server_stop(struct smtp_server *server, const struct smtp_reply *reply);

/* Facts for Received and logs. */
struct slice smtp_server_hello(const struct smtp_server *server); /* cleaned; empty before HELO/EHLO */
bool smtp_server_is_securing(const struct smtp_server *server);   /* STARTTLS was granted, secured() not yet called */
bool smtp_server_is_receiving(const struct smtp_server *server);  /* DATA was granted, the content's end is not yet answered */
bool smtp_server_is_extended(const struct smtp_server *server);   /* EHLO was used */
bool smtp_server_is_authenticated(const struct smtp_server *server);
const char *smtp_server_state(const struct smtp_server *server); /* a word for logs: "command", "content", ... */
/* Of the content of the current transaction, valid at END. */
const struct smtp_content_decoder *smtp_server_content(const struct smtp_server *server);

#endif
