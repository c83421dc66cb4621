/* What a sender is still to be told of: recipients of one message whose outcome is known and whose report is not made yet. A value with a
 * stored form, which lives from the transaction that records the outcome to the one that queues the report. It has the message with it,
 * so that the report can be made of it alone. Pure. */
#ifndef RELAY_OWED_H
#define RELAY_OWED_H

#include "relay/report.h"

struct owed {
    int64_t since_ms; /* wall clock */
    struct queue_message message;
    struct report_recipient *recipients; /* at most QUEUE_RECIPIENTS_MAX, at least one */
    size_t recipient_count;
};
void owed_encode(const struct owed *owed, struct buffer *out);
/* Gives views into bytes, and arrays in the arena. ERR_CORRUPT, ERR_MEMORY. */
MUST_CHECK enum err owed_decode(struct slice bytes, struct arena *arena, struct owed *owed);

#endif
