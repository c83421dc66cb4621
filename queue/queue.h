/* The queue: messages that must not be lost. All changes go through queue_apply(), one transaction for a whole batch, from
 * one thread (the journal's lane); when it returns ERR_NONE everything is on disk. Reads are short and may be done from the
 * loop thread at any time; they see the last committed state.
 *
 * Tables (all in one environment): message (id), entry (id, number), chunk (id, sequence), pending (ids with chunks but no
 * message yet), place (destination, id, number: all entries), due (destination, sender, time, id, number: those not held),
 * turn (destination, time, sender: each sender's earliest in due), ready (time, destination), destination (name), policy
 * (domain), done (time, id, number), meta. `ready` holds for each destination with waiting entries the time of the earliest
 * one, not before the destination's own not_before.
 *
 * States of a message: chunks only (pending; swept at open) -> accepted (message + entries + due, in one transaction) ->
 * entries finish one by one -> with the last one message and chunks go in that same transaction. */
#ifndef QUEUE_QUEUE_H
#define QUEUE_QUEUE_H

#include "queue/envelope.h"

struct queue;

#define QUEUE_MAP_MIN (UINT64_C(1) << 20)
struct queue_options {
    struct slice path;        /* directory; made with mode 0700 when absent (its parent must exist) */
    uint64_t map_size;        /* bytes, upper bound of the data file; at least QUEUE_MAP_MIN */
    int64_t done_keep_ms;     /* how long outcomes are kept for `queue list --done`; 0: not at all */
    bool read_only;           /* offline tools: no lock is taken, nothing is swept */
    uint64_t free_min;        /* bytes free on the disk below which EIO is taken for a full disk */
};
/* Errors and the sentence in fault: ERR_IN_USE (another relay holds the lock; its pid is named), ERR_PERMISSION and
 * ERR_NOT_FOUND (cannot be created or written), ERR_CORRUPT, ERR_FULL, ERR_IO, ERR_LIMIT (map_size), ERR_UNSUPPORTED (its
 * format). Sweeps chunks without message. */
MUST_CHECK enum err queue_open(const struct queue_options *options, struct queue **queue, struct buffer *fault);
void queue_close(struct queue **queue);

#define QUEUE_CHANGE_LIST(X)                                                                                           \
    X(CHUNK)       /* id, number = sequence, bytes: content of a message that is not accepted yet */                   \
    X(DISCARD)     /* id: forget the chunks of a message that never was accepted */                                    \
    X(ACCEPT)      /* message, entries, entry_count: from now on the message is ours */                                \
    X(UPDATE)      /* entries[0]: replaces the stored entry; a finished one is removed, the message with its last one. \
                      An entry that no longer exists (deleted meanwhile) is left so: not an error */                   \
    X(DELETE)      /* id: the message with all its entries, by the administrator */                                    \
    X(DESTINATION) /* destination: replaces what is known of it; all zero: forget it */                                \
    X(POLICY)      /* key = domain, bytes = entry; empty bytes: forget it */                                           \
    X(META)        /* key, bytes: a small named state; empty bytes: forget it */                                       \
    X(PARK)        /* id, number, key = destination (may be empty: slower): an entry that was picked but cannot be     \
                      read (damaged, gone) leaves the schedule; what is stored of it stays for queue_check, DELETE */
enum queue_change_kind {
#define X(name) QUEUE_CHANGE_##name,
    QUEUE_CHANGE_LIST(X)
#undef X
};
struct queue_change {
    enum queue_change_kind kind;
    uint64_t id;
    uint32_t number;
    struct slice key, bytes;
    const struct queue_message *message;
    const struct queue_entry *entries;
    size_t entry_count;
    const struct queue_destination *destination;
    int64_t now_ms; /* wall clock, for UPDATE, DELETE (done table) */
    bool is_report; /* CHUNK, ACCEPT: no new mail but a report, written with the outcome that it tells of: bookkeeping, which
                       has room where new mail has none */
};
/* One transaction: all or nothing. ERR_FULL: no room (map, disk, quota; EIO with little free space counts as such): the
 * caller refuses new mail and goes on; a batch without CHUNK and ACCEPT first gets a preallocated reserve, and until that
 * can be made again batches with them must leave as much free inside the file, or get ERR_FULL. ERR_IO: nothing may be trusted any more, and every later call
 * says so too: stop accepting, exit 74. ERR_MEMORY. ERR_EXISTS: a chunk or message of an id that has one already.
 * ERR_NOT_FOUND: a message whose chunks are not there. */
MUST_CHECK enum err queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count);

struct queue_space {
    uint64_t map_size, map_used; /* bytes */
    uint64_t disk_free;
    uint64_t file_free; /* bytes that lie free inside the data file, which never shrinks: new mail takes them first */
};
MUST_CHECK enum err queue_space(struct queue *queue, struct queue_space *space);
/* Where the queue lies when that is no place to keep promises: "NFS", "tmpfs", "the layer of a container", ...; NULL: none of
 * those that are known. For a warning. */
const char *queue_unsafe_place(struct queue *queue);
struct queue_totals {
    uint64_t messages, bytes, entries;
    uint64_t oldest_id; /* 0: the queue is empty */
    uint64_t newest_id; /* highest id in use, accepted or not; 0: none. New ids must be above it */
};
MUST_CHECK enum err queue_totals(struct queue *queue, struct queue_totals *totals);

/* Destinations that have something to do at now_ms, earliest first; out[i].name lives in the arena. `after` continues
 * behind an earlier answer (its last element) or is NULL. */
struct queue_ready {
    int64_t time_ms;
    struct slice name;
};
struct queue_ready_request {
    int64_t now_ms;
    const struct queue_ready *after;
    size_t limit;
    struct arena *arena;
};
MUST_CHECK enum err queue_ready(struct queue *queue, const struct queue_ready_request *request, struct queue_ready *out,
                                size_t *count);
/* When the next destination becomes ready at or after from_ms; ERR_NOT_FOUND when nothing waits. */
MUST_CHECK enum err queue_ready_next(struct queue *queue, int64_t from_ms, int64_t *time_ms);

/* Entries of one destination that are due at now_ms, taken from its senders in turn so that no sender starves another:
 * at most per_sender of each, limit in all; those for which skip() says true (in flight already) are passed over. */
struct queue_pick {
    uint64_t id;
    uint16_t number;
    int64_t due_ms;
    uint64_t sender_hash;
};
struct queue_window_request {
    struct slice destination;
    int64_t now_ms;
    size_t per_sender, limit;
    bool (*skip)(void *owner, uint64_t id, uint16_t number);
    void *owner;
    uint64_t first_sender; /* begin with the sender after this hash, so that turns continue over calls */
    int64_t first_due_ms;  /* both of the last pick of the answer before; 0: looked up, as far as the sender still waits */
};
MUST_CHECK enum err queue_window(struct queue *queue, const struct queue_window_request *request,
                                 struct queue_pick *out, size_t *count);

/* Values in the arena. ERR_NOT_FOUND, ERR_CORRUPT, ERR_MEMORY, ERR_IO. */
MUST_CHECK enum err queue_message_get(struct queue *queue, uint64_t id, struct arena *arena, struct queue_message *message);
MUST_CHECK enum err queue_entry_get(struct queue *queue, uint64_t id, uint16_t number, struct arena *arena,
                                    struct queue_entry *entry);
MUST_CHECK enum err queue_destination_get(struct queue *queue, struct slice name, struct arena *arena,
                                          struct queue_destination *destination);
MUST_CHECK enum err queue_chunk_get(struct queue *queue, uint64_t id, uint32_t sequence, struct buffer *out);
MUST_CHECK enum err queue_policy_get(struct queue *queue, struct slice domain, struct arena *arena, struct slice *bytes);
MUST_CHECK enum err queue_meta_get(struct queue *queue, struct slice key, struct arena *arena, struct slice *bytes);

/* Listings in slices of short transactions: each call visits at most `limit` records after `after` in key order and gives
 * the key to go on with; ERR_END when there are no more. visit() gets values that live during its call; false stops. A
 * slice can end inside a message: keep the whole struct between calls, or after_id and after_number. */
struct queue_listing {
    uint64_t after_id;        /* messages: ids above it. done: records older than after_time_ms are visited (newest first) */
    int64_t after_time_ms;    /* 0: from the newest */
    uint32_t after_number;    /* 0, or where inside a message (or one millisecond) to go on; kept between calls */
    struct slice destination; /* not empty: only entries of this destination (by an index; held ones too) */
    size_t limit;
    struct arena *arena;      /* reset by the caller between calls */
    bool (*visit)(void *owner, const struct queue_message *message, const struct queue_entry *entry);
    void *owner;
    uint64_t damaged_count;   /* raised for each record that was passed over because it cannot be read */
};
MUST_CHECK enum err queue_list(struct queue *queue, struct queue_listing *listing);      /* waiting: by id; updates after_id */
MUST_CHECK enum err queue_list_done(struct queue *queue, struct queue_listing *listing); /* finished: newest first; updates after_time_ms */
MUST_CHECK enum err queue_list_policies(struct queue *queue, struct buffer *after, size_t limit,
                                        bool (*visit)(void *owner, struct slice domain, struct slice bytes), void *owner);
size_t queue_policy_count(struct queue *queue);

/* Verifies every record of a queue that no relay holds or that one does (read only): each fault is a sentence. Returns
 * ERR_NONE when it could read all; *faults counts what was found. Not in the process that has the queue open, and not in
 * another container than the relay's: its pages would be reused while they are read. Meanwhile the relay's file grows. */
MUST_CHECK enum err queue_check(struct slice path, void (*report)(void *owner, struct slice fault), void *owner,
                                uint64_t *faults);

#endif
