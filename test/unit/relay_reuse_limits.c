/* How many messages a host takes over one connection: learned, kept for an hour, and bounded memory. */
#include "relay/reuse_limits.h"

#include "test/unit/check.h"

#define START_MS INT64_C(1000000)

static struct reuse_limits limits;

static int start(void **state)
{
    static const uint64_t seed[2] = {5, 6};
    (void)state;
    reuse_limits_init(&limits, seed);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    reuse_limits_free(&limits);
    return 0;
}

static struct endpoint at(const char *text)
{
    struct endpoint endpoint;
    assert_int_equal(endpoint_parse(slice_of(text), 25, &endpoint), ERR_NONE);
    return endpoint;
}

static bool learn(const char *where, uint32_t messages, int64_t now_ms)
{
    struct endpoint peer = at(where);
    return reuse_limits_learn(&limits, &peer, messages, now_ms);
}

static uint32_t ask(const char *where, int64_t now_ms)
{
    struct endpoint peer = at(where);
    return reuse_limits_ask(&limits, &peer, now_ms);
}

static void test_a_limit_holds_for_an_hour(void **state)
{
    (void)state;
    assert_int_equal(ask("192.0.2.1", START_MS), UINT32_MAX);
    assert_true(learn("192.0.2.1", 10, START_MS));
    assert_int_equal(ask("192.0.2.1", START_MS + REUSE_LIMITS_KEEP_MS - 1), 10);
    assert_int_equal(ask("192.0.2.1", START_MS + REUSE_LIMITS_KEEP_MS), UINT32_MAX);
    assert_int_equal(limits.map.count, 0);
}

static void test_others_are_not_meant(void **state)
{
    (void)state;
    learn("192.0.2.1", 10, START_MS);
    assert_int_equal(ask("192.0.2.2", START_MS), UINT32_MAX);
    assert_int_equal(ask("192.0.2.1:587", START_MS), UINT32_MAX);
    assert_int_equal(ask("[2001:db8::1]", START_MS), UINT32_MAX);
}

static void test_the_last_word_counts_and_is_news_once(void **state)
{
    (void)state;
    assert_true(learn("192.0.2.1", 10, START_MS));
    assert_false(learn("192.0.2.1", 10, START_MS + 1));
    assert_true(learn("192.0.2.1", 7, START_MS + 2));
    assert_int_equal(ask("192.0.2.1", START_MS + REUSE_LIMITS_KEEP_MS + 1), 7);
    assert_true(learn("192.0.2.1", 7, START_MS + 2 + REUSE_LIMITS_KEEP_MS)); /* it had ended */
}

static void test_memory_is_bounded(void **state)
{
    char text[32];
    (void)state;
    for (size_t i = 0; i < REUSE_LIMITS_MAX + 10; i++) {
        snprintf(text, sizeof text, "198.18.%zu.%zu", i / 256, i % 256);
        assert_true(learn(text, 3, START_MS));
        if (i == REUSE_LIMITS_MAX - 1)
            assert_false(learn("198.18.0.0", 3, START_MS + 1)); /* it is not the oldest any more */
    }
    assert_int_equal(limits.map.count, REUSE_LIMITS_MAX);
    assert_int_equal(ask("198.18.0.0", START_MS + 1), 3);
    assert_int_equal(ask("198.18.0.10", START_MS + 1), UINT32_MAX);
    assert_int_equal(ask("198.18.0.11", START_MS + 1), 3);
}

#define REUSE_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REUSE_TEST(test_a_limit_holds_for_an_hour),
        REUSE_TEST(test_others_are_not_meant),
        REUSE_TEST(test_the_last_word_counts_and_is_news_once),
        REUSE_TEST(test_memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
