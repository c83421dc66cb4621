/* The relay: all its parts, their start, reload and stop. A part receives the struct relay and uses the others through it. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "base/list.h"
#include "base/log.h"
#include "queue/queue.h"
#include "relay/clock_watch.h"
#include "relay/config.h"
#include "relay/dead_hosts.h"
#include "relay/host.h"
#include "relay/log_share.h"
#include "relay/metrics.h"
#include "relay/reuse_limits.h"
#include "tls/context.h"

struct journal;
struct intake;
struct finder;
struct schedule;
struct control;
struct drop;
struct digest;
struct gathering;
struct health;
struct locals;
struct signers;
struct users;
struct upstream;
struct upstream_release;

struct relay {
    struct config *config;
    struct log *log;
    struct log_share log_share; /* of users of the machine */
    struct queue *queue;
    struct tls_context *tls;   /* replaced by a reload; sessions share their own */
    struct locals *locals;     /* local domains and aliases */
    struct users *users;       /* of AUTH; NULL: none */
    struct signers *signers;   /* DKIM keys; NULL: none */
    struct journal *journal;
    struct finder *finder;     /* policies */
    struct dead_hosts dead_hosts;
    struct reuse_limits reuse_limits;
    struct upstream *upstreams; /* those that refused our credentials */
    struct upstream_release *upstream_release;
    struct schedule *schedule;
    struct intake *intake;
    struct control *control;
    struct drop *drop;         /* the directory of sendmail */
    struct health *health;     /* of whoever opened it; NULL: nobody asks */
    struct digest *digest;     /* of double bounces */
    struct gathering *gathering; /* of what one report will tell */
    struct steady steady;      /* the time that has really passed */
    struct clock_watch clock_watch;
    struct metrics metrics;
    int64_t started_ms;        /* wall clock */
    int64_t configured_ms;     /* when the configuration in force was read */
    uint64_t reload_count;     /* what was asked of a connection before the last may be less than is asked now */
    uint32_t id_sequence;
    uint64_t noticed_id;       /* the last message whose sender was told of a delay: that may still be on its way to the disk */
    bool is_stopping;
    int exit_status;           /* what the process will end with, once stopped */
    void (*stopped)(struct relay *relay); /* everything has ended: called once after relay_stop() */
    /* Reads the configuration again; false: it has faults, and nothing was changed. said: faults and warnings, one a line. NULL: cannot. */
    bool (*reload)(struct relay *relay, struct buffer *said);
    struct timer stop_timer;
    bool has_stopped;
};

struct relay_options {
    struct config *config; /* taken over */
    struct log *log;
    struct queue *queue;   /* taken over, open */
    struct tls_context *tls; /* taken over */
    struct locals *locals;   /* taken over */
    struct users *users;     /* taken over; may be NULL */
    struct signers *signers; /* taken over; may be NULL */
    void (*stopped)(struct relay *relay);
};
/* Starts journal, finder and schedule; intake and control are opened by their own calls. NULL: out of memory, and
 * nothing was taken over. */
struct relay *relay_new(const struct relay_options *options);
/* Stops taking mail; deliveries that have sent a final dot get stop-timeout to hear the answer; then stopped() is called. */
void relay_stop(struct relay *relay, int exit_status);
/* The queue can no longer be trusted: stop at once with exit status 74. */
void relay_broken(struct relay *relay, enum err err);
/* Takes over a new configuration, TLS context, aliases, users and DKIM keys (SIGHUP) without dropping a connection; log, queue and stopped stay. */
void relay_reload(struct relay *relay, const struct relay_options *options);
/* The same of one part alone: sessions go on with what they began with. */
void relay_set_tls(struct relay *relay, struct tls_context *tls);
void relay_set_users(struct relay *relay, struct users *users);
void relay_free(struct relay **relay); /* after stopped() */
/* A part has ended what it had under way; when all have, stopped() follows. */
void relay_part_ended(struct relay *relay);

uint64_t relay_next_id(struct relay *relay); /* a fresh queue id */

#endif
