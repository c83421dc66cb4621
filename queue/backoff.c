#include "queue/backoff.h"

#include <assert.h>

static int64_t wait_longest_ms(const struct queue_schedule *schedule);
static int64_t jitter_ms(int64_t wait_ms, uint32_t dice);
static int64_t add_saturating(int64_t a, int64_t b);

int64_t queue_backoff_next_ms(const struct queue_schedule *schedule, uint32_t attempts, int64_t now_ms, uint32_t dice)
{
    assert(schedule->count > 0);
    assert(schedule->count <= QUEUE_BACKOFF_MAX);

    size_t index = attempts == 0 ? 0 : attempts - 1;
    if (index >= schedule->count) {
        index = schedule->count - 1;
    }
    int64_t wait_ms = schedule->wait_ms[index];
    return add_saturating(now_ms, add_saturating(wait_ms, jitter_ms(wait_ms, dice)));
}

int64_t queue_backoff_clamp_ms(const struct queue_schedule *schedule, int64_t due_ms, int64_t now_ms)
{
    int64_t longest_ms = wait_longest_ms(schedule);
    int64_t latest_ms = add_saturating(now_ms, add_saturating(longest_ms, longest_ms / 5));
    return due_ms < latest_ms ? due_ms : latest_ms;
}

static int64_t wait_longest_ms(const struct queue_schedule *schedule)
{
    assert(schedule->count > 0);
    assert(schedule->count <= QUEUE_BACKOFF_MAX);

    int64_t longest_ms = 0;
    for (size_t i = 0; i < schedule->count; i++) {
        if (schedule->wait_ms[i] > longest_ms) {
            longest_ms = schedule->wait_ms[i];
        }
    }
    return longest_ms;
}

/* A fifth of the wait times dice / 2^32, in two halves so that no product leaves 64 bits. */
static int64_t jitter_ms(int64_t wait_ms, uint32_t dice)
{
    assert(wait_ms >= 0);
    uint64_t span = (uint64_t)wait_ms / 5;
    return (int64_t)((span >> 32) * dice + (((span & UINT32_MAX) * dice) >> 32));
}

static int64_t add_saturating(int64_t a, int64_t b)
{
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        return b < 0 ? INT64_MIN : INT64_MAX;
    }
    return sum;
}
