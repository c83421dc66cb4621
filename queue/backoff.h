/* When to try again: the schedule of waits and its jitter, as pure arithmetic. */
#ifndef QUEUE_BACKOFF_H
#define QUEUE_BACKOFF_H

#include <stddef.h>
#include <stdint.h>

#define QUEUE_BACKOFF_MAX 16
struct queue_schedule {
    int64_t wait_ms[QUEUE_BACKOFF_MAX]; /* between attempts; the last one repeats */
    size_t count;                       /* at least 1 */
};
/* The time of the next attempt after `attempts` attempts (1: the first has just failed), lengthened by 0-20 % as dice
 * (uniform in 0..2^32-1) choose. */
int64_t queue_backoff_next_ms(const struct queue_schedule *schedule, uint32_t attempts, int64_t now_ms, uint32_t dice);
/* A stored time as it may be used now: a clock that stepped back must not hold anything longer than the longest wait. */
int64_t queue_backoff_clamp_ms(const struct queue_schedule *schedule, int64_t due_ms, int64_t now_ms);

#endif
