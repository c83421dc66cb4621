/* What the scheduler knows of a destination that has work: the window of its due entries, what is in flight, its back-off, and how
 * many connections it may have. The window is small and refilled from the queue, so that memory does not grow with the queue;
 * senders take turns in it. */
#ifndef RELAY_DESTINATION_H
#define RELAY_DESTINATION_H

#include "base/list.h"
#include "base/map.h"
#include "queue/queue.h"
#include "relay/host.h"
#include "relay/policy_waits.h"

struct relay;
struct schedule;
struct delivery;
struct hop;

#define DESTINATION_WINDOW_MAX 200
#define DESTINATION_PER_SENDER_MAX 50

struct destination {
    struct schedule *schedule;
    struct map_node node;        /* in the schedule, by name */
    struct list_node turn;       /* in the schedule's list of those that could use another delivery */
    struct slice name;           /* owned */
    struct hop *hop;             /* of all its mail; NULL: none, or each message has its own */
    struct list_node hop_node;   /* in the line of the hop */
    struct queue_pick window[DESTINATION_WINDOW_MAX];
    size_t window_start, window_count;
    uint64_t last_sender;        /* whose turn it was */
    bool may_have_more;          /* the queue may hold due entries that are not in the window */
    struct map flights;          /* entries that are being delivered or recorded */
    struct list deliveries;      /* struct delivery */
    size_t idle_count;           /* of them, waiting for work with an open connection */
    size_t stores_pending;       /* writes of the back-off that are not committed yet */
    bool has_arrived;            /* new mail came while one was: its wait may have to be cut */
    bool is_urgent;              /* to be tried although the queue says later */
    size_t through_count;        /* of the deliveries: those whose open connection has carried a transaction */
    int64_t grow_ms;             /* monotonic: a connection failed beside others that work: no more than those before that; 0: none did */
    int64_t not_before_ms;       /* wall clock; 0: now */
    uint32_t failures;
    int64_t failing_since_ms;
    char reason[16];             /* of its last failure as a whole: a word of verdict.h; empty: none */
    struct policy_look look;
    int64_t tried_ms;            /* its last failure as a whole (monotonic); 0: none since the relay was started */
    int64_t pace_next_ms;        /* rate or pause: the next message may not start before that (monotonic) */
};

struct destination *destination_new(struct schedule *schedule, struct slice name); /* NULL: out of memory */
void destination_free(struct destination **destination);
/* Next entry to deliver, marked as in flight; false: none is due, or pace forbids it, or the caller has had its turn while another
 * destination waits for its place. held: the hop where the caller has one too. taken: what it took in this turn; raised. */
bool destination_take(struct destination *destination, struct queue_pick *pick, const struct hop *held, size_t *taken);
/* A due entry that is not in the window becomes the next to be taken; its flight, if it has one, ends now. */
void destination_put_first(struct destination *destination, const struct queue_pick *pick);
/* Marks an entry as in flight for another reason than a delivery; false: it is already, or no memory. */
bool destination_fly(struct destination *destination, uint64_t id, uint16_t number);
/* The entry's record is committed (or the attempt was given up): it may be seen again when it is due. The destination may be
 * gone after the next turn of the scheduler. */
void destination_release(struct destination *destination, uint64_t id, uint16_t number);
bool destination_is_flying(const struct destination *destination, uint64_t id, uint16_t number);
/* Its back-off is over now, although its failures still count. */
void destination_try_now(struct destination *destination);
/* We, not the destination, are in trouble (memory, the disk): nothing is taken for a while. */
void destination_pause(struct destination *destination);
bool destination_has_work(struct destination *destination);
/* How many deliveries it should have now. */
size_t destination_wants(struct destination *destination);
/* How many it may have: one more than have got through, so that a host is never asked for more than one connection of which
 * nobody knows whether it takes it. */
size_t destination_limit(const struct destination *destination);
bool destination_is_unused(const struct destination *destination);
/* A delivery reached READY: the destination works. */
void destination_proven(struct destination *destination);
/* A delivery's connection has carried a transaction, or is closed. is_through: of the delivery; whether it is counted. */
void destination_got_through(struct destination *destination, bool *is_through);
void destination_hung_up(struct destination *destination, bool *is_through);
/* When it is to be tried again if it fails as a whole now: by its own count of failures, whichever message was the one that tried. But
 * mail that nobody has tried yet waits for no longer than DESTINATION_UNTRIED_MS. */
#define DESTINATION_UNTRIED_MS INT64_C(900000)
int64_t destination_next_ms(struct destination *destination);
/* Messages that are due for it, those under way included, counted up to DESTINATION_WAITING_MAX; 0: cannot be read. */
#define DESTINATION_WAITING_MAX 1000
size_t destination_waiting(const struct destination *destination);
/* New mail for it has come: the wait that is under way is cut to that. */
void destination_arrived(struct destination *destination);
/* The destination as a whole failed: nothing is tried before the next time, which is stored. verdict words are copied. But while
 * other connections to it work it has only one too many: then it gets no more for a minute. */
struct destination_failure {
    struct slice reason, text, why;
    int64_t next_ms; /* wall clock */
};
void destination_failed(struct destination *destination, const struct destination_failure *failure);

#endif
