/* What the files of the LMDB queue share: the tables, their keys, and transactions over them. For queue/lmdb*.c only.
 * lmdb_table.c and lmdb.c speak to the library; above them there are views, keys and enum err. */
#ifndef QUEUE_LMDB_INTERNAL_H
#define QUEUE_LMDB_INTERNAL_H

#include "queue/queue.h"

#include <lmdb.h>

/* Numbers in keys are big endian, so that bytes sort as they do; times have their sign bit turned over for it. */
#define LMDB_TABLE_LIST(X)                                                                                             \
    X(MESSAGE, "message")         /* id -> record */                                                                   \
    X(ENTRY, "entry")             /* id, number -> u64 hash of the sender, record */                                   \
    X(CHUNK, "chunk")             /* id, sequence -> content, CRC-32C */                                               \
    X(PENDING, "pending")         /* id -> nothing: has chunks, was not accepted */                                    \
    X(PLACE, "place")             /* destination, id, number -> nothing: all entries, for listings */                  \
    X(DUE, "due")                 /* destination, sender, time, id, number -> nothing: entries that are not held */    \
    X(TURN, "turn")               /* destination, time, sender -> nothing: each sender's earliest in due */            \
    X(READY, "ready")             /* time, destination -> nothing: each destination's earliest in turn */              \
    X(DESTINATION, "destination") /* name -> record */                                                                 \
    X(POLICY, "policy")           /* domain -> bytes, CRC-32C */                                                       \
    X(DONE, "done")               /* time, id, number -> block of message record, block of entry record */             \
    X(META, "meta")               /* name -> bytes, CRC-32C; our own names begin with NUL */
enum lmdb_table {
#define X(name, text) LMDB_##name,
    LMDB_TABLE_LIST(X)
#undef X
    LMDB_TABLE_COUNT
};

/* Pages that only bookkeeping may use: what new mail may not fill of the map. */
#define LMDB_HEADROOM_SHARE 16
#define LMDB_HEADROOM_MAX (UINT64_C(64) << 20)

/* The file that is given up when bookkeeping finds the disk full: a few transactions; what they free in the data file serves
 * those behind them. As much that lies free inside the data file does the same. */
#define LMDB_RESERVE_SIZE (UINT64_C(4) << 20)
enum lmdb_reserve {
    LMDB_RESERVE_SPENT, /* or there is no room for it: what room there is belongs to bookkeeping */
    LMDB_RESERVE_KEPT,
    LMDB_RESERVE_IMPOSSIBLE, /* the file system cannot set space aside */
};

struct queue {
    MDB_env *env;
    MDB_dbi tables[LMDB_TABLE_COUNT];
    struct queue_options options;
    char *path; /* options.path, with a NUL */
    int directory, lock;
    /* The rest belongs to the thread that applies. */
    bool is_broken;         /* a commit failed for another reason than space: nothing is applied any more */
    enum lmdb_reserve reserve;
    uint32_t apply_count;
};

/* ---- transactions ---- */

/* Slices that a view gives point into the map (or a page of the transaction): they live until the next change of the same
 * view, or its end. */
struct lmdb_view {
    struct queue *queue;
    MDB_txn *txn;
};
struct lmdb_cursor {
    struct queue *queue;
    MDB_cursor *cursor;
    struct slice key, value; /* of the place it stands at */
};
#define LMDB_KEY_MAX 320 /* LMDB itself: 511 */
struct lmdb_key {
    size_t length;
    char bytes[LMDB_KEY_MAX];
};

MUST_CHECK enum err lmdb_view_read(struct queue *queue, struct lmdb_view *view);
MUST_CHECK enum err lmdb_view_write(struct queue *queue, struct lmdb_view *view);
MUST_CHECK enum err lmdb_view_commit(struct lmdb_view *view); /* ends it, however it turns out */
void lmdb_view_end(struct lmdb_view *view);                   /* gives up changes; a second time does nothing */
/* Bytes of the pages in use, as this view sees them. */
MUST_CHECK enum err lmdb_view_used(struct lmdb_view *view, uint64_t *bytes);
/* Bytes of the file as it lies on the disk that are not among those used: they need no room on the disk. */
uint64_t lmdb_view_free(struct lmdb_view *view, uint64_t used);
MUST_CHECK enum err lmdb_view_count(struct lmdb_view *view, enum lmdb_table table, uint64_t *count);

MUST_CHECK enum err lmdb_get(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                             struct slice *value);
MUST_CHECK enum err lmdb_put(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                             struct slice value);
/* As lmdb_put, but ERR_EXISTS when the key is there. */
MUST_CHECK enum err lmdb_add(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                             struct slice value);
MUST_CHECK enum err lmdb_delete(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key);
/* The same with the value followed by its CRC-32C. */
MUST_CHECK enum err lmdb_get_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                                     struct slice *value);
MUST_CHECK enum err lmdb_put_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                                     struct slice value);
MUST_CHECK enum err lmdb_add_checked(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *key,
                                     struct slice value);
bool lmdb_unwrap(struct slice stored, struct slice *value); /* false: the checksum does not hold */

/* All moves: ERR_NOT_FOUND when there is no such place. Close what was opened before the view ends. */
MUST_CHECK enum err lmdb_cursor_open(struct lmdb_view *view, enum lmdb_table table, struct lmdb_cursor *cursor);
void lmdb_cursor_close(struct lmdb_cursor *cursor);
MUST_CHECK enum err lmdb_cursor_seek(struct lmdb_cursor *cursor, const struct lmdb_key *key);   /* at it or behind */
MUST_CHECK enum err lmdb_cursor_behind(struct lmdb_cursor *cursor, const struct lmdb_key *key); /* behind it */
MUST_CHECK enum err lmdb_cursor_before(struct lmdb_cursor *cursor, const struct lmdb_key *key);
MUST_CHECK enum err lmdb_cursor_first(struct lmdb_cursor *cursor);
MUST_CHECK enum err lmdb_cursor_last(struct lmdb_cursor *cursor);
MUST_CHECK enum err lmdb_cursor_next(struct lmdb_cursor *cursor);
MUST_CHECK enum err lmdb_cursor_previous(struct lmdb_cursor *cursor);
MUST_CHECK enum err lmdb_cursor_delete(struct lmdb_cursor *cursor); /* lmdb_cursor_next then goes on behind it */
/* The first key that begins with prefix. */
MUST_CHECK enum err lmdb_first(struct lmdb_view *view, enum lmdb_table table, const struct lmdb_key *prefix,
                               struct slice *key);

/* ---- keys ---- */

/* Where an entry stands in the indexes. */
struct lmdb_slot {
    struct slice destination;
    uint64_t sender;
    int64_t due_ms;
    uint64_t id;
    uint16_t number;
};
struct lmdb_key lmdb_key_id(uint64_t id);
struct lmdb_key lmdb_key_entry(uint64_t id, uint16_t number);
struct lmdb_key lmdb_key_chunk(uint64_t id, uint32_t sequence);
struct lmdb_key lmdb_key_name(struct slice name);
struct lmdb_key lmdb_key_own(const char *name); /* of meta: the name behind a NUL */
struct lmdb_key lmdb_key_place(struct slice destination, uint64_t id, uint16_t number);
struct lmdb_key lmdb_key_destination(struct slice destination); /* prefix of place, due and turn */
struct lmdb_key lmdb_key_sender(struct slice destination, uint64_t sender); /* prefix of due */
struct lmdb_key lmdb_key_due(const struct lmdb_slot *slot);
struct lmdb_key lmdb_key_turn(struct slice destination, int64_t due_ms, uint64_t sender);
struct lmdb_key lmdb_key_ready(int64_t time_ms, struct slice destination);
struct lmdb_key lmdb_key_done(int64_t time_ms, uint64_t id, uint16_t number);
bool lmdb_key_begins(struct slice key, const struct lmdb_key *prefix);
/* False: no key of that table. */
bool lmdb_key_read_id(struct slice key, uint64_t *id);
bool lmdb_key_read_entry(struct slice key, uint64_t *id, uint16_t *number);
bool lmdb_key_read_chunk(struct slice key, uint64_t *id, uint32_t *sequence);
bool lmdb_key_read_place(struct slice key, struct lmdb_slot *slot);
bool lmdb_key_read_due(struct slice key, struct lmdb_slot *slot);
bool lmdb_key_read_turn(struct slice key, struct lmdb_slot *slot);
bool lmdb_key_read_ready(struct slice key, struct lmdb_slot *slot); /* due_ms, destination */
bool lmdb_key_read_done(struct slice key, struct lmdb_slot *slot);  /* due_ms, id, number */

/* ---- records ---- */

MUST_CHECK enum err lmdb_totals_get(struct lmdb_view *view, struct queue_totals *totals);
MUST_CHECK enum err lmdb_totals_put(struct lmdb_view *view, const struct queue_totals *totals);
MUST_CHECK enum err lmdb_totals_count(struct lmdb_view *view, struct queue_totals *totals); /* visits all messages */
/* The value of the table of entries. */
bool lmdb_entry_split(struct slice value, uint64_t *sender, struct slice *record);
/* The value of the table of outcomes. */
bool lmdb_done_split(struct slice value, struct slice *message, struct slice *entry);

/* ---- indexes: due, turn and ready agree after each of these ---- */

MUST_CHECK enum err lmdb_index_add(struct lmdb_view *view, const struct lmdb_slot *slot);
/* A slot that is not there is looked for in all of its destination: its key was damaged. */
MUST_CHECK enum err lmdb_index_remove(struct lmdb_view *view, const struct lmdb_slot *slot);
/* Wherever in due it stands; of destination only, if that is not empty. */
MUST_CHECK enum err lmdb_index_purge(struct lmdb_view *view, const struct lmdb_slot *slot);
/* Replaces what is known of a destination; an empty record: nothing. */
MUST_CHECK enum err lmdb_index_destination(struct lmdb_view *view, struct slice name, struct slice record);
/* The earliest entry of one sender; the time for ready of a destination. ERR_NOT_FOUND: none waits. */
MUST_CHECK enum err lmdb_index_earliest(struct lmdb_view *view, struct slice destination, uint64_t sender,
                                        int64_t *due_ms);
MUST_CHECK enum err lmdb_index_ready(struct lmdb_view *view, struct slice destination, int64_t *time_ms);

/* ---- a transaction of changes ---- */

struct lmdb_batch {
    struct lmdb_view view;
    struct queue_totals totals;
    struct arena *arena;  /* of one change */
    struct buffer record; /* the one being written */
    int64_t now_ms;       /* of one change, for the outcomes */
};
/* An entry as it is stored. A damaged one has neither destination nor time. */
struct lmdb_stored {
    struct lmdb_slot slot;
    bool is_held, is_damaged;
};
MUST_CHECK enum err lmdb_entry_find(struct lmdb_batch *batch, uint64_t id, uint16_t number, struct lmdb_stored *stored);
/* Its record and, unless it is held, its slot in the schedule. */
MUST_CHECK enum err lmdb_entry_put(struct lmdb_batch *batch, const struct queue_entry *entry, uint64_t sender);
MUST_CHECK enum err lmdb_entry_unschedule(struct lmdb_batch *batch, const struct lmdb_stored *stored);
MUST_CHECK enum err lmdb_entry_place(struct lmdb_batch *batch, const struct queue_entry *entry);
MUST_CHECK enum err lmdb_entry_displace(struct lmdb_batch *batch, const struct lmdb_stored *stored);
/* An entry that is in no index any more becomes an outcome; with the last one the message goes. */
MUST_CHECK enum err lmdb_entry_finish(struct lmdb_batch *batch, const struct queue_entry *entry);
/* Finishes a stored entry: what is pending of it counts as deleted. */
MUST_CHECK enum err lmdb_entry_cancel(struct lmdb_batch *batch, uint64_t id, uint16_t number);
/* A message with its content, but not its entries. One that is not there, or not accepted yet, is left alone. */
MUST_CHECK enum err lmdb_message_remove(struct lmdb_batch *batch, uint64_t id);

/* ---- other ---- */

/* Removes what was left of messages that never were accepted. */
MUST_CHECK enum err lmdb_sweep(struct queue *queue);
/* Removes all chunks of a message, and says how many bytes of content they held. */
MUST_CHECK enum err lmdb_chunks_remove(struct lmdb_view *view, uint64_t id, uint64_t *bytes);
uint64_t lmdb_accept_limit(const struct queue *queue); /* bytes of the map that new mail may fill */

void lmdb_reserve_keep(struct queue *queue);    /* makes it, if it is not there and there is room */
bool lmdb_reserve_release(struct queue *queue); /* true: that made room */
/* Whether a write that failed with EIO failed for want of space. */
bool lmdb_disk_is_full(const struct queue *queue);

#endif
