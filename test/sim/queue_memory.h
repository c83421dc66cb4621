/* The queue of the simulator: what queue/queue.h promises, on disks that are memory and that fill up, fail and lose power
 * when told to. Make a disk, mount it, and open queues on it by path; what was committed stays on the disk when the
 * queue is closed, and when the machine crashes. */
#ifndef TEST_SIM_QUEUE_MEMORY_H
#define TEST_SIM_QUEUE_MEMORY_H

#include "queue/queue.h"

struct queue_memory_disk;

struct queue_memory_disk *queue_memory_disk_new(void); /* NULL: out of memory */
/* A second disk with what is committed on this one: to see what a crash at this moment would leave. Nothing on it is
 * open, and nothing is set to fail. */
struct queue_memory_disk *queue_memory_disk_copy(const struct queue_memory_disk *disk);
void queue_memory_disk_free(struct queue_memory_disk **disk); /* all queues on it are closed */

/* The disk on which queue_open() looks from now on; NULL: none, and every path is missing. */
void queue_memory_mount(struct queue_memory_disk *disk);

struct queue_memory_fault {
    uint64_t nth;   /* of the commits from now on: 1 is the next; 0: none fails */
    enum err err;   /* what queue_apply() says. ERR_IO breaks the queue until it is opened again */
    bool is_stored; /* the batch is on the disk all the same: the answer was lost, not the data */
};
void queue_memory_fail_commit(struct queue_memory_disk *disk, struct queue_memory_fault fault);

enum queue_memory_room {
    QUEUE_MEMORY_ROOMY,
    QUEUE_MEMORY_FULL,       /* new mail gets ERR_FULL, bookkeeping goes on (the reserve) */
    QUEUE_MEMORY_EXHAUSTED,  /* bookkeeping gets ERR_FULL too */
};
void queue_memory_set_room(struct queue_memory_disk *disk, enum queue_memory_room room);
/* Bytes of records after which the disk is QUEUE_MEMORY_FULL by itself. */
void queue_memory_set_capacity(struct queue_memory_disk *disk, uint64_t bytes);

/* To see that it is found out: changes of this kind are said to be stored and are not. */
void queue_memory_lose(struct queue_memory_disk *disk, enum queue_change_kind kind);

/* The process has died: locks are gone, and what is still open of the queues can only be closed. */
void queue_memory_crash(struct queue_memory_disk *disk);

/* How often a policy was written, ever; the disk of this queue has failed, and nothing is written any more. */
uint64_t queue_memory_policy_changes(const struct queue *queue);
bool queue_memory_is_broken(const struct queue *queue);

uint64_t queue_memory_commit_count(const struct queue_memory_disk *disk); /* since the disk was made */

/* Turns over a byte of a stored record (of the first that has this marker in its value, where the marker is), to see how
 * damage is told. False: there is none. */
bool queue_memory_damage(struct queue_memory_disk *disk, struct slice marker);

#endif
