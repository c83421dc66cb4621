/* Turns the real loop for a test of the host or the resolver, until something has happened. */
#ifndef TEST_UNIT_LOOP_H
#define TEST_UNIT_LOOP_H

#include "relay/host_uv.h"
#include "relay/host_uv_loop.h"
#include "test/unit/check.h"

#define LOOP_WAIT_MS 30000

/* What a test waits for. A turn of the loop runs the timers that are due, then sleeps until more happens: what they have brought about
 * wakes it no more. So it is looked at once more right before the loop goes to sleep. */
struct loop_wait {
    uv_prepare_t look;
    bool (*holds)(void *owner); /* NULL: nothing but the time */
    void *owner;
    int64_t end_ms;
};
static struct loop_wait loop_wait;

static inline void loop_open(void)
{
    assert_int_equal(host_open(), ERR_NONE);
    assert_int_equal(uv_prepare_init(host_loop(), &loop_wait.look), 0);
}

/* Everything must have been closed by the test: what is left is counted, and fails it. */
static inline void loop_close(void)
{
    uv_close((uv_handle_t *)&loop_wait.look, NULL);
    host_stop();
    host_run();
    assert_int_equal(host_close(), 0);
}

static inline void loop_wake(struct timer *timer)
{
    (void)timer;
}

static inline bool loop_is_over(void)
{
    return (loop_wait.holds != NULL && loop_wait.holds(loop_wait.owner)) || clock_monotonic_ms() >= loop_wait.end_ms;
}

static inline void loop_look(uv_prepare_t *look)
{
    (void)look;
    if (loop_is_over())
        uv_stop(host_loop());
}

/* A turn at a time, until it holds or the time is over. True: it holds. */
static inline bool loop_turn(bool (*holds)(void *owner), void *owner, int64_t duration_ms)
{
    struct timer alarm = {0};
    loop_wait.holds = holds;
    loop_wait.owner = owner;
    loop_wait.end_ms = clock_monotonic_ms() + duration_ms;
    timer_start(&alarm, duration_ms, loop_wake);
    uv_prepare_start(&loop_wait.look, loop_look);
    while (!loop_is_over())
        uv_run(host_loop(), UV_RUN_ONCE);
    uv_prepare_stop(&loop_wait.look);
    timer_cancel(&alarm);
    return holds != NULL && holds(owner);
}

struct loop_count {
    const size_t *count;
    size_t number;
};

static inline bool loop_is_reached(void *owner)
{
    const struct loop_count *wanted = owner;
    return *wanted->count >= wanted->number;
}

/* Until *count has reached the number. */
static inline void loop_until(const char *name, const size_t *count, size_t number)
{
    struct loop_count wanted = {.count = count, .number = number};
    bool reached = loop_turn(loop_is_reached, &wanted, LOOP_WAIT_MS);
    if (!reached)
        print_error("%s: waited for %zu, got %zu\n", name, number, *count);
    assert_true(reached);
}

/* For so long, to see that something does not happen. */
static inline void loop_for(int64_t duration_ms)
{
    (void)loop_turn(NULL, NULL, duration_ms);
}

#endif
