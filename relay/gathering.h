/* Gathering: one report for the failures of a message that come shortly one after the other.
 *
 * The story of a report. A recipient of a message has failed (or the sender asked to be told of its delivery): a report is owed. While
 * other recipients of the message are pending, what it will say (`owed`) is stored by the transaction that records the outcome, and
 * waits for more of the kind: until no recipient of the message is pending any more, then the report is made in the transaction of the
 * last outcome, while the message is still there; or until [bounce] gather is over since the first, then in one of its own. The
 * transaction that queues the report forgets what was owed, so a crash at any point neither loses a report nor makes it twice; what
 * is found at the start goes on waiting for the rest of its time. A stop waits for nothing.
 *
 * What is owed takes the places "owed/0" to "owed/511" of the queue's META, a piece of each record of an outcome. Places, bytes, and
 * the recipients of one report are bounded; where they are used up the report is made at once. */
#ifndef RELAY_GATHERING_H
#define RELAY_GATHERING_H

#include "relay/owed.h"
#include "relay/record.h"

struct gathering;

/* What earlier runs owe is looked for in the queue. NULL: out of memory, or the queue cannot be read. */
struct gathering *gathering_new(struct relay *relay);
void gathering_free(struct gathering **gathering); /* nothing of it may be on its way to the journal */
void gathering_stop(struct gathering *gathering);

/* One transaction, as far as it concerns a report: a member of whoever makes it. */
struct gathering_outcome {
    uint64_t id; /* of the message */
    uint16_t finished[RECORD_ENTRIES_MAX]; /* entries that end by it */
    size_t finished_count;
    bool keeps;          /* what is owed by it */
    size_t report_count; /* pieces that its report tells of */
    struct list_node node;
};
/* How many recipients wait to be reported; when the report comes at the latest (wall clock), unless that is NULL. */
size_t gathering_count(const struct gathering *gathering, uint64_t id, int64_t *due_ms);
/* Whether no recipient of the message is pending behind this outcome and those that are on their way to the disk. ERR_MEMORY. */
MUST_CHECK enum err gathering_is_last(struct gathering *gathering, const struct queue_message *message,
                                      const struct gathering_outcome *outcome, bool *is_last);
/* What is owed is stored by *change, which lives as long as the outcome is on its way. ERR_LIMIT: there is no place for it, make
 * the report now. ERR_MEMORY. */
MUST_CHECK enum err gathering_keep(struct gathering *gathering, struct gathering_outcome *outcome, const struct owed *owed,
                                   struct queue_change *change);
/* Adds what waits to owed->recipients, as far as QUEUE_RECIPIENTS_MAX allows, and puts their message in; the outcome tells of it. What is
 * given lives as long as the outcome is on its way. ERR_MEMORY. */
MUST_CHECK enum err gathering_take(struct gathering *gathering, struct gathering_outcome *outcome, struct arena *arena,
                                   struct owed *owed);
/* The changes, outcome->report_count of them, that forget what it tells of. */
void gathering_forget(const struct gathering *gathering, const struct gathering_outcome *outcome, struct queue_change *changes);
void gathering_submitted(struct gathering *gathering, struct gathering_outcome *outcome);
/* Of each outcome that was made, submitted or not: what became of it. Unless it is on the disk all is as before. */
void gathering_settle(struct gathering *gathering, struct gathering_outcome *outcome, enum err err);

#endif
