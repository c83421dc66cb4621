/* Hosts that are known to be dead: how long they are passed over, who finds out whether they are back, and that memory
 * is bounded. */
#include "relay/dead_hosts.h"

#include "test/unit/check.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define START_MS INT64_C(1000000)

static const struct queue_schedule rests = {.wait_ms = {MINUTE_MS, 3 * MINUTE_MS, 60 * MINUTE_MS}, .count = 3};
static struct dead_hosts hosts;
static struct dead_host found;

static int start(void **state)
{
    static const uint64_t seed[2] = {5, 6};
    (void)state;
    dead_hosts_init(&hosts, seed);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dead_hosts_free(&hosts);
    return 0;
}

static struct endpoint at(const char *text)
{
    struct endpoint endpoint;
    assert_int_equal(endpoint_parse(slice_of(text), 25, &endpoint), ERR_NONE);
    return endpoint;
}

static bool fails(const char *where, int64_t now_ms)
{
    struct endpoint peer = at(where);
    struct trouble_facts facts = {.trouble = TROUBLE_CONNECT, .detail = SLICE("connection refused")};
    return dead_hosts_failed(&hosts, &peer, &facts, &rests, now_ms);
}

static bool is_passed_over(const char *where, int64_t now_ms)
{
    struct endpoint peer = at(where);
    return dead_hosts_ask(&hosts, &peer, now_ms, &found);
}

static void answers(const char *where)
{
    struct endpoint peer = at(where);
    dead_hosts_answered(&hosts, &peer);
}

static void test_it_is_passed_over_for_a_while(void **state)
{
    (void)state;
    assert_false(is_passed_over("192.0.2.1", START_MS));
    assert_true(fails("192.0.2.1", START_MS));
    assert_true(is_passed_over("192.0.2.1", START_MS + 12 * SECOND_MS));
    assert_int_equal(found.trouble, TROUBLE_CONNECT);
    check_slice("detail", found.detail, SLICE("connection refused"));
    assert_int_equal(found.age_ms, 12 * SECOND_MS);
    assert_int_equal(found.rest_ms, 48 * SECOND_MS);
    assert_true(is_passed_over("192.0.2.1", START_MS + MINUTE_MS - 1));
    assert_false(is_passed_over("192.0.2.1", START_MS + MINUTE_MS));
}

/* Each address by itself, and each port. */
static void test_others_are_not_meant(void **state)
{
    static const char *const others[] = {"192.0.2.2", "192.0.2.1:587", "[2001:db8::1]", "[c000:201::]"};
    (void)state;
    fails("192.0.2.1", START_MS);
    for (size_t i = 0; i < COUNT_OF(others); i++)
        check_true(others[i], !is_passed_over(others[i], START_MS));
    fails("[2001:db8::1]", START_MS);
    assert_true(is_passed_over("[2001:db8::1]", START_MS));
    assert_false(is_passed_over("[2001:db8::2]", START_MS));
}

/* When the rest is over one asks and tries, the others wait for what comes of it, but not for ever. */
static void test_one_finds_out(void **state)
{
    int64_t now_ms = START_MS + MINUTE_MS;
    (void)state;
    fails("192.0.2.1", START_MS);
    assert_false(is_passed_over("192.0.2.1", now_ms));
    assert_true(is_passed_over("192.0.2.1", now_ms + 1));
    assert_true(is_passed_over("192.0.2.1", now_ms + DEAD_HOSTS_TRIAL_MS - 1));
    now_ms += DEAD_HOSTS_TRIAL_MS;
    assert_false(is_passed_over("192.0.2.1", now_ms));
    assert_true(is_passed_over("192.0.2.1", now_ms));
    answers("192.0.2.1");
    assert_false(is_passed_over("192.0.2.1", now_ms));
    assert_false(is_passed_over("192.0.2.1", now_ms));
    assert_int_equal(hosts.map.count, 0);
}

/* As long as a destination that has failed as often would wait, and five minutes at most. */
static void test_rests_grow(void **state)
{
    static const int64_t expected_ms[] = {MINUTE_MS, 3 * MINUTE_MS, 5 * MINUTE_MS, 5 * MINUTE_MS};
    int64_t now_ms = START_MS;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(expected_ms); i++) {
        assert_int_equal(fails("192.0.2.1", now_ms), i == 0);
        assert_true(is_passed_over("192.0.2.1", now_ms + expected_ms[i] - 1));
        assert_int_equal(found.age_ms, expected_ms[i] - 1);
        now_ms += expected_ms[i];
        assert_false(is_passed_over("192.0.2.1", now_ms));
    }
    answers("192.0.2.1");
    assert_true(fails("192.0.2.1", now_ms));
    assert_false(is_passed_over("192.0.2.1", now_ms + MINUTE_MS));
}

static void test_what_fails_together_counts_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < 20; i++)
        assert_int_equal(fails("192.0.2.1", START_MS + (int64_t)i * SECOND_MS), i == 0);
    assert_false(is_passed_over("192.0.2.1", START_MS + MINUTE_MS));
    fails("192.0.2.1", START_MS + MINUTE_MS + SECOND_MS); /* the one that found out, and one that was still under way */
    fails("192.0.2.1", START_MS + MINUTE_MS + 2 * SECOND_MS);
    assert_false(is_passed_over("192.0.2.1", START_MS + 4 * MINUTE_MS + SECOND_MS));
}

static void test_memory_is_bounded(void **state)
{
    char text[32];
    (void)state;
    for (size_t i = 0; i < DEAD_HOSTS_MAX + 10; i++) {
        snprintf(text, sizeof text, "198.18.%zu.%zu", i / 256, i % 256);
        assert_true(fails(text, START_MS));
        if (i == DEAD_HOSTS_MAX - 1) { /* the first fails again: it is not the oldest any more */
            assert_false(is_passed_over("198.18.0.0", START_MS + MINUTE_MS));
            assert_false(fails("198.18.0.0", START_MS + MINUTE_MS));
        }
    }
    assert_int_equal(hosts.map.count, DEAD_HOSTS_MAX);
    assert_true(is_passed_over("198.18.0.0", START_MS + MINUTE_MS));
    assert_false(is_passed_over("198.18.0.1", START_MS));
    assert_false(is_passed_over("198.18.0.10", START_MS));
    assert_true(is_passed_over("198.18.0.11", START_MS));
    dead_hosts_forget(&hosts);
    assert_int_equal(hosts.map.count, 0);
    assert_false(is_passed_over("198.18.0.11", START_MS));
}

static void test_a_long_detail_is_cut(void **state)
{
    struct endpoint peer = at("192.0.2.1");
    char detail[300];
    (void)state;
    memset(detail, 'x', sizeof detail);
    struct trouble_facts facts = {
        .trouble = TROUBLE_LOST, .stage = SMTP_STAGE_GREETING, .detail = slice_make(detail, sizeof detail)};
    assert_true(dead_hosts_failed(&hosts, &peer, &facts, &rests, START_MS));
    assert_true(is_passed_over("192.0.2.1", START_MS));
    assert_int_equal(found.trouble, TROUBLE_LOST);
    assert_int_equal(found.stage, SMTP_STAGE_GREETING);
    assert_true(found.detail.length > 0 && found.detail.length < 64);
}

#define DEAD_TEST(test) cmocka_unit_test_setup_teardown(test, start, stop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DEAD_TEST(test_it_is_passed_over_for_a_while),
        DEAD_TEST(test_others_are_not_meant),
        DEAD_TEST(test_one_finds_out),
        DEAD_TEST(test_rests_grow),
        DEAD_TEST(test_what_fails_together_counts_once),
        DEAD_TEST(test_memory_is_bounded),
        DEAD_TEST(test_a_long_detail_is_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
