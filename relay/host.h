/* The seam to the world: timers, streams, listeners, name resolution, jobs and lanes as plain functions. The relay links
 * host_uv and resolver_udns; the simulator links its own world with the same symbols. Clocks and dice are in base/.
 *
 * An operation is a struct embedded in its owner; its members are the host's unless said otherwise. Contract for all:
 *   - a done callback never runs inside the call that started the operation;
 *   - after cancel or close no callback reaches the owner, and the struct's memory may be reused at once, even when that was
 *     called from one of its own callbacks;
 *   - cancelling what is not under way is allowed and does nothing (a zeroed struct is valid);
 *   - all callbacks run on the loop thread; work() of jobs and lanes runs elsewhere. */
#ifndef RELAY_HOST_H
#define RELAY_HOST_H

#include "base/clock.h"
#include "base/dice.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"

/* ---- timers ---- */
struct timer {
    void (*done)(struct timer *timer);
    void *host; /* NULL: not running */
};
/* One shot, delay in ms (0: in the next turn of the loop). Starting a running timer moves it. */
void timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer));
void timer_cancel(struct timer *timer);
bool timer_is_running(const struct timer *timer);

/* ---- streams: a connected TCP or unix socket ---- */
struct stream {
    /* Set by the owner before stream_connect() or stream_accept(); all are needed. */
    void (*connected)(struct stream *stream, enum err err); /* of stream_connect: ERR_NONE, REFUSED, UNREACHABLE, TIMEOUT... */
    void (*received)(struct stream *stream, struct slice bytes); /* valid during the call only */
    void (*drained)(struct stream *stream);             /* all that was written has left; after stream_write only */
    void (*ended)(struct stream *stream, enum err err); /* once: ERR_END when the peer shut down its side, else an error */
    void *host;
};
/* source: bind to it first; NULL for any. */
void stream_connect(struct stream *stream, const struct endpoint *peer, const struct endpoint *source);
/* Reading is off at first. While it is off, the peer's bytes wait in the kernel. */
void stream_read(struct stream *stream, bool on);
/* Copies the bytes and sends them in order. Never fails; an error comes by ended(). */
void stream_write(struct stream *stream, struct slice bytes);
size_t stream_pending(const struct stream *stream); /* bytes written that have not left */
/* Tells the peer at once that its last bytes have come, where nothing is written that would tell it: a peer that does not send
 * more before it knows would wait for 40 ms. */
void stream_acknowledge(struct stream *stream);
void stream_close(struct stream *stream);           /* pending bytes are still tried for a short while, in the background */
void stream_abort(struct stream *stream);           /* closes at once */
bool stream_is_open(const struct stream *stream);
struct endpoint stream_peer(const struct stream *stream);  /* address normalised */
struct endpoint stream_local(const struct stream *stream);
/* The user at the other end of a unix socket; false for others. */
bool stream_peer_uid(const struct stream *stream, uint32_t *uid, uint32_t *gid);
bool stream_peer_in_group(const struct stream *stream, uint32_t gid); /* that user, by any of its groups */
void stream_own_user(uint32_t *uid, uint32_t *gid);                   /* what our peers see */

/* So many may be open at once, in and out: beyond it what comes in waits. */
size_t host_connection_max(void);

/* ---- listeners ---- */
struct listener {
    void (*incoming)(struct listener *listener); /* call stream_accept() now; a connection not accepted stays queued, and no
                                                    further call comes until listener_resume() */
    void *host;
};
/* fd >= 0: an already bound or listening socket (socket activation), endpoint ignored. mode: of a unix socket's file. */
struct listener_options {
    struct endpoint endpoint;
    int fd;
    unsigned mode;
};
MUST_CHECK enum err listener_open(struct listener *listener, const struct listener_options *options); /* IN_USE, PERMISSION, ... */
MUST_CHECK enum err stream_accept(struct listener *listener, struct stream *stream);
void listener_resume(struct listener *listener);
void listener_close(struct listener *listener);
struct endpoint listener_local(const struct listener *listener); /* with the port really bound */

/* ---- name resolution ---- */
enum record_kind { RECORD_A, RECORD_AAAA, RECORD_MX, RECORD_TXT, RECORD_TLSA };
const char *record_kind_name(enum record_kind kind);

#define RESOLVE_STATUS_LIST(X)                                                                                         \
    X(FOUND, "found")                                                                                                  \
    X(NXDOMAIN, "no such domain (NXDOMAIN)")                                                                           \
    X(NODATA, "no such record")                                                                                        \
    X(SERVFAIL, "the name server failed (SERVFAIL)") /* any other error code of the server, bogus DNSSEC too */         \
    X(TIMEOUT, "no name server answered")                                                                              \
    X(MALFORMED, "the name server's answer is malformed")                                                              \
    X(NO_SERVER, "no name server is configured or can be reached")
enum resolve_status {
#define X(name, text) RESOLVE_##name,
    RESOLVE_STATUS_LIST(X)
#undef X
};
const char *resolve_status_text(enum resolve_status status);
bool resolve_is_temporary(enum resolve_status status); /* nothing is known: not FOUND, NXDOMAIN, NODATA */

struct resolve_record {
    struct ip ip;          /* A, AAAA */
    uint16_t preference;   /* MX */
    struct slice name;     /* MX: exchange, lower case without trailing dot; the root is empty (null MX, RFC 7505) */
    struct slice text;     /* TXT: its strings joined */
    uint8_t usage, selector, matching; /* TLSA */
    struct slice data;     /* TLSA */
};
struct resolve_answer {
    enum resolve_status status;
    bool secure;           /* the AD bit of the resolver: only as good as the path to it */
    uint32_t ttl_s;        /* smallest of the chain; for NXDOMAIN and NODATA 0 when unknown */
    struct slice canonical; /* owner of the records: the end of the CNAME chain */
    const struct resolve_record *records;
    size_t count;
    size_t dropped;        /* records left out: too many, or naming what is no host name */
    struct slice detail;   /* for people, on failure: "SERVFAIL from 127.0.0.1" */
};
struct resolve {
    void (*done)(struct resolve *resolve, const struct resolve_answer *answer); /* the answer lives during the call */
    void *host;
};
/* name: without trailing dot, used as it is: no search list. Answers are not cached here (the resolver does). */
void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer));
void resolve_cancel(struct resolve *resolve);

/* ---- jobs: work on a pool thread; lanes: ordered work on one thread of their own ---- */
struct job {
    void (*work)(struct job *job); /* elsewhere: touches only what the job owns */
    void (*done)(struct job *job); /* on the loop, always, exactly once: a job cannot be cancelled */
    void *host;
    struct job *next;
};
void job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job));
bool job_is_running(const struct job *job);

struct lane {
    void *host;
};
MUST_CHECK enum err lane_open(struct lane *lane, const char *name);
void lane_start(struct lane *lane, struct job *job, void (*work)(struct job *job), void (*done)(struct job *job));
void lane_close(struct lane *lane); /* waits for what runs; no job may be queued */

#endif
