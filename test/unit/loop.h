/* Turns the real loop for a test of the host or the resolver, until something has happened. */
#ifndef TEST_UNIT_LOOP_H
#define TEST_UNIT_LOOP_H

#include "relay/host_uv.h"
#include "relay/host_uv_loop.h"
#include "test/unit/check.h"

#define LOOP_WAIT_MS 30000

static inline void loop_open(void)
{
    assert_int_equal(host_open(), ERR_NONE);
}

/* Everything must have been closed by the test: what is left is counted, and fails it. */
static inline void loop_close(void)
{
    host_stop();
    host_run();
    assert_int_equal(host_close(), 0);
}

/* A timer that is due when it is started runs before the poll of the same turn, which would then wait for the next timer. */
static inline void loop_wake(struct timer *timer)
{
    (void)timer;
    uv_stop(host_loop());
}

/* Until *count has reached the number. */
static inline void loop_until(const char *name, const size_t *count, size_t number)
{
    int64_t end_ms = clock_monotonic_ms() + LOOP_WAIT_MS;
    struct timer alarm = {0};
    timer_start(&alarm, LOOP_WAIT_MS, loop_wake);
    while (*count < number && clock_monotonic_ms() < end_ms) {
        uv_run(host_loop(), UV_RUN_ONCE);
    }
    timer_cancel(&alarm);
    if (*count < number) {
        print_error("%s: waited for %zu, got %zu\n", name, number, *count);
    }
    assert_true(*count >= number);
}

/* For so long, to see that something does not happen. */
static inline void loop_for(int64_t duration_ms)
{
    int64_t end_ms = clock_monotonic_ms() + duration_ms;
    while (clock_monotonic_ms() < end_ms) {
        struct timer alarm = {0};
        timer_start(&alarm, end_ms - clock_monotonic_ms(), loop_wake);
        uv_run(host_loop(), UV_RUN_ONCE);
        timer_cancel(&alarm);
    }
}

#endif
