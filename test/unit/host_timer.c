#include "test/unit/loop.h"

#define MANY 5000

struct noted_timer {
    struct timer timer;
    size_t id;
    int64_t due_ms;
    struct noted_timer *cancels;
    size_t runs;
};

int __real_uv_run(uv_loop_t *loop, uv_run_mode mode);
int __wrap_uv_run(uv_loop_t *loop, uv_run_mode mode);

/* Each turn begins so much later than it was asked for, as on a machine that has other things to do. */
static int64_t lag_ms;

int __wrap_uv_run(uv_loop_t *loop, uv_run_mode mode)
{
    int64_t end_ms = clock_monotonic_ms() + lag_ms;
    while (clock_monotonic_ms() < end_ms)
        ;
    return __real_uv_run(loop, mode);
}

static size_t fired[MANY];
static size_t fired_count;

static struct noted_timer *noted_of(struct timer *timer)
{
    return LIST_OF(timer, struct noted_timer, timer);
}

static void note(struct timer *timer)
{
    struct noted_timer *noted = noted_of(timer);
    assert_false(timer_is_running(timer));
    assert_true(clock_monotonic_ms() >= noted->due_ms);
    assert_true(fired_count < COUNT_OF(fired));
    fired[fired_count++] = noted->id;
    noted->runs++;
    if (noted->cancels != NULL) {
        timer_cancel(&noted->cancels->timer);
    }
}

static void start(struct noted_timer *noted, size_t id, int64_t delay_ms)
{
    noted->id = id;
    noted->due_ms = clock_monotonic_ms() + delay_ms;
    timer_start(&noted->timer, delay_ms, note);
}

static int open_loop(void **state)
{
    (void)state;
    fired_count = 0;
    loop_open();
    return 0;
}

static int close_loop(void **state)
{
    (void)state;
    loop_close();
    return 0;
}

static void test_timers_fire_in_order(void **state)
{
    (void)state;
    static const int64_t delays_ms[] = {30, 10, 0, 20, 10, -5};
    static const size_t order[] = {2, 5, 1, 4, 3, 0};
    struct noted_timer timers[COUNT_OF(delays_ms)] = {0};
    for (size_t i = 0; i < COUNT_OF(delays_ms); i++) {
        start(&timers[i], i, delays_ms[i] > 0 ? delays_ms[i] : 0);
        assert_true(timer_is_running(&timers[i].timer));
    }
    check_number("none within the call", fired_count, 0);
    loop_until("all", &fired_count, COUNT_OF(delays_ms));
    for (size_t i = 0; i < COUNT_OF(order); i++) {
        check_number("order", fired[i], order[i]);
    }
}

static void test_a_timer_cancels_another_that_is_due(void **state)
{
    (void)state;
    struct noted_timer first = {0}, second = {0}, third = {0};
    first.cancels = &second;
    start(&first, 1, 0);
    start(&second, 2, 0);
    start(&third, 3, 0);
    loop_until("two", &fired_count, 2);
    loop_for(10);
    check_number("fired", fired_count, 2);
    check_number("the third", fired[1], 3);
    timer_cancel(&second.timer);
    timer_cancel(&second.timer);
}

static void test_starting_again_moves(void **state)
{
    (void)state;
    struct noted_timer moved = {0}, other = {0};
    start(&moved, 1, 5);
    start(&other, 2, 20);
    start(&moved, 1, 40);
    loop_until("both", &fired_count, 2);
    loop_for(10);
    check_number("fired", fired_count, 2);
    check_number("first", fired[0], 2);
    check_number("then", fired[1], 1);
}

static void restart(struct timer *timer)
{
    noted_of(timer)->runs++;
    timer_start(timer, 0, restart);
}

/* A timer of 0 ms that starts itself again leaves the loop its turns. */
static void test_an_eager_timer_starves_nobody(void **state)
{
    (void)state;
    struct noted_timer eager = {0}, late = {0};
    timer_start(&eager.timer, 0, restart);
    start(&late, 1, 20);
    loop_until("the late one", &fired_count, 1);
    check_true("it ran often", eager.runs > 10);
    timer_cancel(&eager.timer);
}

static void vanish(struct timer *timer)
{
    struct noted_timer *noted = noted_of(timer);
    fired[fired_count++] = noted->id;
    memset(noted, 0xa5, sizeof *noted);
    free(noted);
}

static void test_owners_vanish_in_callbacks(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        struct noted_timer *noted = calloc(1, sizeof *noted);
        noted->id = i;
        timer_start(&noted->timer, (int64_t)i % 7, vanish);
    }
    loop_until("all", &fired_count, 100);
}

static void test_many_at_random(void **state)
{
    (void)state;
    static struct noted_timer timers[MANY];
    size_t expected = 0;
    memset(timers, 0, sizeof timers);
    for (size_t i = 0; i < MANY; i++) {
        start(&timers[i], i, (int64_t)dice_below(50));
    }
    for (size_t i = 0; i < MANY; i += 3) {
        timer_cancel(&timers[i].timer);
        if (i % 2 == 0) {
            start(&timers[i], i, (int64_t)dice_below(50));
        }
    }
    for (size_t i = 0; i < MANY; i++) {
        expected += timer_is_running(&timers[i].timer) ? 1 : 0;
    }
    loop_until("all", &fired_count, expected);
    loop_for(5);
    check_number("fired", fired_count, expected);
    for (size_t i = 0; i < MANY; i++) {
        assert_true(timers[i].runs <= 1);
        assert_false(timer_is_running(&timers[i].timer));
    }
}

/* ---- the tests' own waits ---- */

#define FAR_MS 5000
#define LAG_MS 3

/* A turn runs what is due, then sleeps until more is: who has waited for the former must not sleep as well. */
static void test_a_wait_ends_in_the_turn_that_fulfils_it(void **state)
{
    (void)state;
    struct noted_timer far = {0}, due = {0};
    start(&far, 1, FAR_MS);
    start(&due, 2, 1);
    lag_ms = LAG_MS;
    loop_until("the one that is due", &fired_count, 1);
    lag_ms = 0;
    check_number("nor longer", fired_count, 1);
    timer_cancel(&far.timer);
}

/* Nor a wait for a millisecond that is over before its turn begins. */
static void test_a_wait_ends_that_is_over_before_its_turn(void **state)
{
    (void)state;
    struct noted_timer far = {0};
    start(&far, 1, FAR_MS);
    lag_ms = LAG_MS;
    loop_for(1);
    lag_ms = 0;
    check_number("nor longer", fired_count, 0);
    timer_cancel(&far.timer);
}

static void stop(struct timer *timer)
{
    (void)timer;
    host_stop();
}

/* The loop goes on without any operation until it is stopped, and after that until the last is over. */
static void test_run_ends_with_the_last_operation(void **state)
{
    (void)state;
    struct noted_timer last = {0};
    struct timer stopper = {0};
    timer_start(&stopper, 5, stop);
    start(&last, 9, 30);
    host_run();
    check_number("fired", fired_count, 1);
}

static void test_what_is_left_open_is_counted(void **state)
{
    (void)state;
    struct noted_timer left[3] = {0};
    assert_int_equal(host_open(), ERR_NONE);
    for (size_t i = 0; i < COUNT_OF(left); i++) {
        start(&left[i], i, 1000000);
    }
    check_number("left", host_close(), COUNT_OF(left));
    check_true("none runs", !timer_is_running(&left[0].timer));
}

static void test_clocks(void **state)
{
    (void)state;
    int64_t wall_ms = clock_wall_ms(), before_ms = clock_monotonic_ms();
    check_true("after 2024", wall_ms > INT64_C(1704067200000));
    for (size_t i = 0; i < 1000; i++) {
        int64_t now_ms = clock_monotonic_ms();
        assert_true(now_ms >= before_ms);
        before_ms = now_ms;
    }
}

static void test_dice(void **state)
{
    (void)state;
    size_t seen[7] = {0};
    for (size_t i = 0; i < 7000; i++) {
        uint64_t number = dice_below(7);
        assert_true(number < 7);
        seen[number]++;
    }
    for (size_t i = 0; i < 7; i++) {
        assert_in_range(seen[i], 700, 1300); /* 1000 are expected; so far off it is not once in a lifetime */
    }
    check_number("below 1", dice_below(1), 0);
    assert_true(dice_below(UINT64_MAX) < UINT64_MAX);
    unsigned char bytes[1000] = {0};
    dice_fill(bytes, sizeof bytes);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof bytes; i++) {
        zeros += bytes[i] == 0 ? 1 : 0;
    }
    check_true("filled", zeros < 50);
    assert_true(dice_u64() != dice_u64());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_timers_fire_in_order, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_timer_cancels_another_that_is_due, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_starting_again_moves, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_an_eager_timer_starves_nobody, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_owners_vanish_in_callbacks, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_wait_ends_in_the_turn_that_fulfils_it, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_wait_ends_that_is_over_before_its_turn, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_many_at_random, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_run_ends_with_the_last_operation, open_loop, close_loop),
        cmocka_unit_test(test_what_is_left_open_is_counted),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_dice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
