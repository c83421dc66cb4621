/* How long one has to wait who gets it wrong, and that memory for it is bounded. */
#include "relay/throttle.h"

#include "test/unit/check.h"

#define SECOND_MS INT64_C(1000)
#define START_MS INT64_C(1000000)

static struct throttle throttle;

static int64_t wait_ms(const char *key, int64_t now_ms)
{
    return throttle_wait_ms(&throttle, slice_of(key), now_ms);
}

static int start(void **state)
{
    static const uint64_t seed[2] = {3, 4};
    (void)state;
    throttle_init(&throttle, seed);
    assert_int_equal(wait_ms("a", START_MS), 0);
    assert_true(throttle_prepare(&throttle));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    throttle_free(&throttle);
    return 0;
}

static void charge(const char *key, size_t times, int64_t now_ms)
{
    for (size_t i = 0; i < times; i++)
        throttle_charge(&throttle, slice_of(key), now_ms);
}

static void test_the_wait_doubles(void **state)
{
    static const int64_t waits_s[] = {0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900};
    (void)state;
    assert_int_equal(wait_ms("a", START_MS), 0);
    for (size_t i = 0; i < COUNT_OF(waits_s); i++) {
        charge("a", 1, START_MS);
        assert_int_equal(wait_ms("a", START_MS), waits_s[i] * SECOND_MS);
    }
    charge("a", 40, START_MS);
    assert_int_equal(wait_ms("a", START_MS), THROTTLE_WAIT_MAX_MS);
    assert_int_equal(wait_ms("a", START_MS + 1), THROTTLE_WAIT_MAX_MS - 1);
    assert_int_equal(wait_ms("a", START_MS + THROTTLE_WAIT_MAX_MS), 0);
    assert_int_equal(wait_ms("b", START_MS), 0);
}

static void test_is_forgotten(void **state)
{
    (void)state;
    charge("a", 10, START_MS);
    charge("a", 1, START_MS + THROTTLE_MEMORY_MS - 1);
    assert_int_equal(wait_ms("a", START_MS + THROTTLE_MEMORY_MS - 1), 64 * SECOND_MS);
    charge("a", 1, START_MS + 2 * THROTTLE_MEMORY_MS);
    assert_int_equal(wait_ms("a", START_MS + 2 * THROTTLE_MEMORY_MS), 0);
}

/* One who tries from everywhere drives out others who try, but not one whose wait is the longest. */
static void test_memory_is_bounded(void **state)
{
    char key[32];
    size_t known = 0;
    (void)state;
    charge("the worst", 20, START_MS);
    for (size_t i = 0; i < 20 * THROTTLE_KEYS; i++) {
        snprintf(key, sizeof key, "address %zu", i);
        charge(key, THROTTLE_FREE, START_MS);
    }
    for (size_t i = 0; i < 20 * THROTTLE_KEYS; i++) {
        snprintf(key, sizeof key, "address %zu", i);
        known += wait_ms(key, START_MS) > 0;
    }
    assert_true(known > THROTTLE_KEYS / 2 && known <= THROTTLE_KEYS);
    assert_int_equal(wait_ms("the worst", START_MS), THROTTLE_WAIT_MAX_MS);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_wait_doubles, start, stop),
        cmocka_unit_test_setup_teardown(test_is_forgotten, start, stop),
        cmocka_unit_test_setup_teardown(test_memory_is_bounded, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
