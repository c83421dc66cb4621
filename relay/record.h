/* Records: the outcome of one attempt for one entry becomes one transaction {entry updated or gone, report
 * enqueued or owed, destination's back-off}, the log lines and the counters. */
#ifndef RELAY_RECORD_H
#define RELAY_RECORD_H

#include "relay/destination.h"
#include "relay/verdict.h"

/* What the log says beyond the outcome itself. Texts may be empty. */
struct record_context {
    struct slice host, address;     /* where it was delivered */
    struct slice tls_version;
    struct slice tls_problem;       /* why there was none though the host offers it; empty: nothing of the kind */
    bool verified, secured;
    bool reports_deliveries;        /* the host took the demand for reports over (DSN) */
    struct slice policy_mode, policy_id; /* empty: none */
    struct slice reply;             /* final reply */
};
struct record_request {
    const struct queue_message *message;
    struct queue_entry *entry;      /* statuses and last outcomes set; due_ms set for what is pending; attempts counted */
    struct destination *destination; /* the entry is in flight there */
    const bool *decided;            /* by recipient: this attempt decided on it; NULL: all that are pending */
    const struct record_context *context;
    const struct trouble_facts *trouble; /* of a deferral; NULL: none */
    struct slice advice;
    size_t waiting;                 /* messages for a destination that has failed as a whole, as counted; 0: not counted */
    bool is_only_notice;            /* no attempt was made: the delay notice is due */
};
/* Copies all it needs; logs now, reports and stores through the journal; releases the entry's flight when it is committed. Pending
 * recipients of a message whose time is over become EXPIRED here. */
void record_outcome(struct relay *relay, const struct record_request *request);
/* The same of several entries of one message, in one transaction, with one report: at most RECORD_ENTRIES_MAX entries with
 * QUEUE_RECIPIENTS_MAX recipients in all. */
#define RECORD_ENTRIES_MAX 64
void record_outcomes(struct relay *relay, const struct record_request *requests, size_t count);
/* The report on what was gathered of a message (gathering.h) goes into the queue now. ERR_MEMORY: it is gathered still. */
MUST_CHECK enum err record_gathered(struct relay *relay, uint64_t message_id);

#endif
