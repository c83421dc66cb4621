/* The listing of mailq, byte for byte as Postfix prints it for its short queue ids: monitoring and scripts everywhere read it. Pure. */
#ifndef RELAY_CLI_TEXT_MAILQ_H
#define RELAY_CLI_TEXT_MAILQ_H

#include "base/json.h"

/* What was listed so far. Begins zeroed. */
struct mailq {
    uint64_t messages, bytes;
    char reason[1024]; /* the one told last, of the present message */
};
/* A message of `queue list`. local_s: seconds that the caller's clock is ahead of UTC at its arrival. */
void mailq_print(struct mailq *mailq, const struct json *message, int64_t local_s, struct buffer *out);
void mailq_print_end(const struct mailq *mailq, struct buffer *out);
/* The arrival of a message, milliseconds since the epoch. */
int64_t mailq_arrival_ms(const struct json *message);

#endif
