/* The inside of records: record.c makes one transaction of an outcome and says it in the log, record_report.c decides who is told of it. */
#ifndef RELAY_RECORD_INTERNAL_H
#define RELAY_RECORD_INTERNAL_H

#include "relay/draft.h"
#include "relay/gathering.h"
#include "relay/record.h"

/* What is on its way to the disk. */
struct record_part {
    struct destination *destination;
    struct queue_entry entry;
};
struct record {
    struct relay *relay;
    struct arena *arena;
    struct record_part *parts;
    size_t part_count;
    struct draft *report;       /* NULL: none */
    struct queue_change digest; /* what is told to the postmaster instead */
    bool has_digest;
    struct queue_change owed;   /* what is to be told later */
    struct gathering_outcome outcome; /* for the reports of the message */
    struct queue_change *changes;
    struct journal_write write;
};

/* The requests of one record, all of one message, and for each recipient of each: this attempt decided on it. */
struct record_requests {
    const struct record_request *items;
    size_t count;
    bool decided[RECORD_ENTRIES_MAX][QUEUE_RECIPIENTS_MAX];
};
/* The report, or what of it is owed. Marks entries as warned where their delay notice is given. ERR_MEMORY: nothing may be recorded. */
MUST_CHECK enum err record_make_report(struct record *record, const struct record_requests *requests);
/* The report on what was gathered of the message, by itself. */
MUST_CHECK enum err record_make_gathered(struct record *record);

#endif
