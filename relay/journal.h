/* The journal: the one way into the queue. It has at most one transaction under way, on its own lane; all that is submitted
 * meanwhile becomes the next one (group commit, no timer). */
#ifndef RELAY_JOURNAL_H
#define RELAY_JOURNAL_H

#include "base/list.h"
#include "queue/queue.h"
#include "relay/host.h"

struct relay;
struct journal;

/* What belongs together: all its changes are committed in one transaction, or none. The changes and what they point to must
 * live until done(). */
struct journal_write {
    const struct queue_change *changes;
    size_t change_count; /* 0: only to be called when all before it is done */
    bool is_new_mail; /* may be refused when space is short; bookkeeping may not */
    /* On the loop, exactly once. ERR_NONE: on disk. ERR_FULL (new mail, or all after journal_give_up()): nothing of it is
     * stored; answer 452.
     * ERR_IO and others: nothing is known to be stored; answer 451. */
    void (*done)(struct journal_write *write, enum err err);
    struct list_node node; /* the journal's */
};

struct journal *journal_new(struct relay *relay); /* NULL: out of memory, or no thread */
void journal_free(struct journal **journal);      /* nothing may be under way */
void journal_submit(struct journal *journal, struct journal_write *write);
/* The relay has to end: what finds no room on the disk is answered instead of tried again. */
void journal_give_up(struct journal *journal);
bool journal_is_idle(const struct journal *journal);
/* New mail is refused for want of space: map over 85 %, less than free-min on the disk and free inside the queue's file, or the
 * last commit was full. */
bool journal_is_full(struct journal *journal);
/* Writes of bookkeeping that are not committed yet: above a bound deliveries pause, or a crash would repeat all of them. */
size_t journal_backlog(const struct journal *journal);
/* Bytes waiting to be committed, and whether they are more than they should be: drafts take no more until a chunk of their own
 * is written. */
size_t journal_pending_bytes(const struct journal *journal);
bool journal_is_pressed(const struct journal *journal);
#define JOURNAL_PENDING_MAX ((size_t)64 << 20) /* unless said otherwise */
void journal_set_pending_max(struct journal *journal, size_t bytes);

#endif
