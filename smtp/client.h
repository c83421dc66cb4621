/* The client side of one SMTP session as a machine: any number of transactions over one connection. It has no socket, no
 * TLS, no clock. Call it so:
 *
 *   - feed() the bytes that arrived, next() until SMTP_CLIENT_WAIT, send output(), report sent().
 *   - STARTTLS: output() is empty; start TLS now and call secured(). Bytes that the server sent behind its 220 reply were
 *     injected (CVE-2011-0411): the machine fails with SMTP_CLIENT_INJECTION, it never keeps them.
 *   - READY: EHLO is done (over TLS, where it was wanted and offered). Hand over a transaction with mail().
 *   - CONTENT: the server wants content: content() any number of times, then content_end(). Before that, nothing of it
 *     leaves. Where no recipient was accepted the machine ends the transaction itself. DONE or FAILED can come before
 *     content_end(): a BDAT chunk was refused or the server gave up; content that is handed over after that is dropped.
 *   - RECIPIENT: the verdict on one recipient (at RCPT, or at the end of DATA when all share it: see DONE).
 *   - DONE: the transaction's end; the machine is READY again unless closing. After DONE hand over the next one or quit().
 *   - FAILED: the session is over (malformed reply, refused greeting, injection, connection lost); close it.
 *
 * A transaction with mail.tls = SMTP_TLS_REQUIRED on a connection that is not secured is a programmer's error (assert):
 * not one byte of envelope can leave in plaintext. RFC 5321, 2920, 1870, 6152, 3030 (BDAT), 3207, 3461, 6531. */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "smtp/envelope.h"
#include "smtp/extension.h"
#include "smtp/reply.h"

struct smtp_client;

enum smtp_client_starttls {
    SMTP_CLIENT_STARTTLS_NEVER,  /* plaintext, or TLS from the first byte (secured at start) */
    SMTP_CLIENT_STARTTLS_MAY,    /* when offered; a refused STARTTLS (4xx, 5xx) goes on in plaintext */
    SMTP_CLIENT_STARTTLS_MUST,   /* not offered or refused: FAILED with NO_STARTTLS; nothing more is sent but QUIT */
};

struct smtp_client_options {
    struct slice hostname; /* EHLO name; must outlive the client */
    enum smtp_client_starttls starttls;
    bool secured;          /* TLS from the first byte */
    bool chunking;         /* use BDAT where CHUNKING and PIPELINING are offered */
};

/* Where the session is; each has its time limit (RFC 5321 4.5.3.2), which is the caller's to keep. */
#define SMTP_CLIENT_STAGE_LIST(X)                                                                                      \
    X(GREETING, "greeting") X(EHLO, "ehlo") X(STARTTLS, "starttls") X(SECURING, "securing")                            \
    X(EHLO_SECURED, "ehlo-secured") X(AUTH, "auth") X(READY, "ready") X(MAIL, "mail") X(RCPT, "rcpt") X(DATA, "data")  \
    X(CONTENT, "content") X(FINAL, "final") X(RSET, "rset") X(QUIT, "quit") X(CLOSED, "closed")
enum smtp_client_stage {
#define X(name, word) SMTP_STAGE_##name,
    SMTP_CLIENT_STAGE_LIST(X)
#undef X
};
const char *smtp_client_stage_name(enum smtp_client_stage stage); /* "greeting", ... */

#define SMTP_CLIENT_EVENT_LIST(X)                                                                                      \
    X(WAIT) X(STARTTLS) X(READY) X(RECIPIENT) X(CONTENT) X(DONE) X(FAILED)
enum smtp_client_event_kind {
#define X(name) SMTP_CLIENT_##name,
    SMTP_CLIENT_EVENT_LIST(X)
#undef X
};
#define SMTP_CLIENT_FAULT_LIST(X)                                                                                      \
    X(NONE, "")                                                                                                        \
    X(REFUSED, "the server refused the session")          /* greeting or EHLO, reply given */                          \
    X(NO_STARTTLS, "STARTTLS is not offered")                                                                          \
    X(STARTTLS_REFUSED, "STARTTLS was refused")           /* reply given */                                            \
    X(INJECTION, "bytes were injected behind the STARTTLS reply")                                                      \
    X(MALFORMED, "the server's reply is malformed")                                                                    \
    X(AUTH_REFUSED, "the server refused the credentials") /* reply given */                                            \
    X(NO_AUTH, "the server offers no usable AUTH mechanism")                                                           \
    X(SHUTDOWN, "the server closes the session (421)")    /* reply given */                                            \
    X(LOST, "the connection was lost")                    /* by smtp_client_lost() */                                  \
    X(MEMORY, "out of memory")
enum smtp_client_fault {
#define X(name, text) SMTP_CLIENT_FAULT_##name,
    SMTP_CLIENT_FAULT_LIST(X)
#undef X
};
const char *smtp_client_fault_text(enum smtp_client_fault fault);

struct smtp_client_event {
    enum smtp_client_event_kind kind;
    size_t recipient;            /* RECIPIENT: index into the transaction's recipients */
    enum smtp_client_stage stage; /* where the reply or fault happened */
    enum smtp_client_fault fault; /* FAILED */
    struct smtp_reply reply;     /* code 0 when there is none; the text lives until the next call */
    bool accepted;               /* RECIPIENT: 25x at RCPT. DONE: the final reply was 2xx for the accepted recipients */
    bool maybe;                  /* FAILED: the final dot (or BDAT LAST) was handed out and its answer did not come: the
                                  * message may have arrived. With stage MAIL not one reply to an eager transaction came */
};
/* DONE with accepted = false gives the reply that ended the transaction and its stage: to MAIL, to DATA, or the final one:
 * it holds for all recipients that had no RECIPIENT event with accepted = false. When FAILED comes during a transaction,
 * it holds for all recipients that had none of those either. */

struct smtp_client *smtp_client_new(const struct smtp_client_options *options); /* NULL: out of memory */
void smtp_client_free(struct smtp_client **client);
size_t smtp_client_feed(struct smtp_client *client, struct slice input);
struct smtp_client_event smtp_client_next(struct smtp_client *client);
struct slice smtp_client_output(const struct smtp_client *client);
void smtp_client_sent(struct smtp_client *client, size_t length);
void smtp_client_secured(struct smtp_client *client);
/* The peer closed or the connection broke: the machine turns it into FAILED (or nothing, after QUIT). */
void smtp_client_lost(struct smtp_client *client);

/* AUTH PLAIN, else LOGIN; only at READY, once, on a secured connection (assert). Then READY again, or FAILED. The texts
 * are copied and wiped. */
void smtp_client_auth(struct smtp_client *client, struct slice name, struct slice password);

/* Starts a transaction at READY. mail and recipients are copied in wire form; at most 1000. */
struct smtp_transaction {
    struct smtp_mail mail;
    const struct smtp_rcpt *recipients;
    size_t recipient_count;
    bool eager; /* the content is small: it may leave with the envelope, in one flight, where BDAT is used */
};
void smtp_client_mail(struct smtp_client *client, const struct smtp_transaction *transaction);
/* Of an eager transaction, just after mail(): content() and content_end() are due now, and no CONTENT will come. Where a
 * refusal of all comes back, what left is thrown away by the server (RFC 3030 2). */
bool smtp_client_wants_content(const struct smtp_client *client);
/* More content of CRLF lines (stuffed here); call only between CONTENT (or wants_content()) and content_end(), and keep output() bounded: wait
 * for it to drain below some 64 KiB. With BDAT each call is a chunk. */
void smtp_client_content(struct smtp_client *client, struct slice bytes);
void smtp_client_content_end(struct smtp_client *client);
/* The content cannot be had (storage error): ends without completing the message; the connection must be closed. */
void smtp_client_abort(struct smtp_client *client);
void smtp_client_quit(struct smtp_client *client); /* at READY or after a failure: QUIT is queued; do not wait long */

enum smtp_client_stage smtp_client_stage(const struct smtp_client *client);
bool smtp_client_is_in_doubt(const struct smtp_client *client); /* the end of content went out, unanswered */
const struct smtp_extensions *smtp_client_extensions(const struct smtp_client *client);
bool smtp_client_is_secured(const struct smtp_client *client);

#endif
