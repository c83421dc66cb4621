/* Keeps the relay's account of the time that has really passed (base/steady.h) and tells the operator when the wall clock leaps. What
 * ends after a time ends by the account: policies, mail that waits, delay notices. What is planned for a time of day (the next attempt)
 * goes by the wall clock; rewind.h sees that no step back makes it long. */
#ifndef RELAY_CLOCK_WATCH_H
#define RELAY_CLOCK_WATCH_H

#include "base/steady.h"
#include "relay/host.h"

struct relay;
struct queue;

struct clock_watch {
    struct relay *relay; /* its account is relay->steady */
    struct timer timer;
    int64_t stored_ms; /* since boot: when the account was last written down; 0: not yet */
};
void clock_watch_start(struct clock_watch *watch, struct relay *relay); /* reads what was written down */
void clock_watch_stop(struct clock_watch *watch);
/* Opens an account as the queue has it; false: it has none that can be read, and the account begins at the wall clock. */
bool clock_watch_read(struct queue *queue, struct steady *steady);

#endif
