/* What the files of the simulator's queue share: the committed state of one queue and its keys. For queue_memory*.c only. */
#ifndef TEST_SIM_QUEUE_MEMORY_INTERNAL_H
#define TEST_SIM_QUEUE_MEMORY_INTERNAL_H

#include "test/sim/queue_memory.h"
#include "test/sim/queue_memory_table.h"

#define MEMORY_TABLE_LIST(X)                                                                                           \
    X(MESSAGE, "message")         /* id -> record */                                                                   \
    X(ENTRY, "entry")             /* id, number -> record */                                                           \
    X(CHUNK, "chunk")             /* id, sequence -> content, check */                                                 \
    X(PENDING, "pending")         /* id -> nothing */                                                                  \
    X(DUE, "due")                 /* destination, sender, time, id, number -> nothing; no held entry */                \
    X(DESTINATION, "destination") /* name -> record */                                                                 \
    X(POLICY, "policy")           /* domain -> bytes, check */                                                         \
    X(DONE, "done")               /* time, id, number -> blocks of message and entry records */                        \
    X(META, "meta")               /* name -> bytes, check */
enum memory_table_name {
#define X(name, text) MEMORY_##name,
    MEMORY_TABLE_LIST(X)
#undef X
    MEMORY_TABLE_COUNT
};

struct memory_state {
    struct memory_table tables[MEMORY_TABLE_COUNT];
    struct queue_totals totals; /* without the ids, which the tables tell */
    uint64_t policy_changes;    /* how often a policy was written */
};
/* A directory on the disk. */
struct memory_directory {
    struct memory_directory *next;
    char *path;
    struct memory_state state; /* committed */
    struct queue *holder;      /* who has it locked */
};
struct queue {
    struct memory_directory *directory;
    struct queue_memory_disk *disk;
    struct queue_options options;
    struct queue *next;    /* of those open on the disk */
    bool is_broken, is_dead;
};
struct queue_memory_disk {
    struct memory_directory *directories;
    struct queue *queues;
    struct queue_memory_fault fault; /* nth counts down */
    enum queue_memory_room room;
    uint64_t capacity, commit_count;
    bool loses;
    enum queue_change_kind lost_kind;
};

struct memory_key {
    size_t length;
    char bytes[512];
};
struct memory_slot {
    struct slice destination;
    uint64_t sender;
    int64_t due_ms;
    uint64_t id;
    uint16_t number;
};
struct slice memory_key_slice(const struct memory_key *key);
struct memory_key memory_key_id(uint64_t id);
struct memory_key memory_key_entry(uint64_t id, uint16_t number);
struct memory_key memory_key_chunk(uint64_t id, uint32_t sequence);
struct memory_key memory_key_due(const struct memory_slot *slot);
struct memory_key memory_key_done(int64_t time_ms, uint64_t id, uint16_t number);
void memory_key_read_entry(struct slice key, uint64_t *id, uint16_t *number);
void memory_key_read_due(struct slice key, struct memory_slot *slot);
int64_t memory_key_read_done(struct slice key, uint64_t *id, uint16_t *number);

void memory_wrap(struct buffer *out, struct slice bytes); /* bytes and their check */
bool memory_unwrap(struct slice stored, struct slice *bytes);

MUST_CHECK enum err memory_state_copy(const struct memory_state *from, struct memory_state *to);
void memory_state_free(struct memory_state *state);
uint64_t memory_state_bytes(const struct memory_state *state);
/* All changes to a state that nobody else sees yet. */
MUST_CHECK enum err memory_state_apply(struct memory_state *state, const struct queue_options *options,
                                       const struct queue_change *const *changes, size_t count);
/* Removes content that belongs to no accepted message. */
void memory_state_sweep(struct memory_state *state);

#endif
