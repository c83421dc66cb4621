/* The cache stays within [sts] cache-max: what is forgotten first, and what never. */
#include "test/unit/finding.h"

#define LIMIT 40000

/* An entry of which the cache has no more to learn: used so long ago, fetched at a time that puts its refresh off. */
static void put(const char *domain, const char *mode, int64_t unused_ms)
{
    char body[128];
    struct arena *arena = arena_new(1u << 20);
    struct sts_entry entry = {.body = text_print(body, sizeof body, POLICY("%s", "31557600"), mode),
                              .failure = SLICE_EMPTY,
                              .exempt_reason = SLICE_EMPTY};
    struct sts_fault fault;
    struct buffer bytes;
    buffer_init(&bytes, 1u << 20);
    entry.has_policy = sts_policy_parse(entry.body, arena, &entry.policy, &fault);
    assert_true(entry.has_policy);
    text_print(entry.id, sizeof entry.id, "1");
    entry.fetched_ms = entry.first_fetched_ms = clock_wall_ms() - HOUR_MS;
    entry.used_ms = clock_wall_ms() - unused_ms;
    sts_entry_encode(&entry, &bytes);
    stored_put(slice_of(domain), buffer_slice(&bytes));
    buffer_free(&bytes);
    arena_free(&arena);
}

/* As much as a policy can say. */
static void put_large(const char *domain)
{
    struct arena *arena = arena_new(1u << 20);
    struct sts_entry entry = {.body = SLICE_EMPTY, .failure = SLICE_EMPTY, .exempt_reason = SLICE_EMPTY, .has_policy = true};
    struct slice *mx = arena_array(arena, 400, sizeof *mx);
    struct buffer bytes;
    buffer_init(&bytes, 1u << 20);
    for (size_t i = 0; i < 400; i++)
        assert_true(arena_print(arena, &mx[i], "mx%zu.0123456789.0123456789.example", i));
    entry.policy = (struct sts_policy){.mode = STS_MODE_ENFORCE, .max_age_s = 31557600, .mx = mx, .mx_count = 400};
    text_print(entry.id, sizeof entry.id, "1");
    entry.fetched_ms = entry.first_fetched_ms = entry.used_ms = clock_wall_ms();
    sts_entry_encode(&entry, &bytes);
    stored_put(slice_of(domain), buffer_slice(&bytes));
    buffer_free(&bytes);
    arena_free(&arena);
}

/* Only a failure is known of it. */
static void put_dead(const char *domain, int64_t unused_ms)
{
    struct sts_entry entry = {.body = SLICE_EMPTY,
                              .failure = SLICE("HTTP status 503"),
                              .exempt_reason = SLICE_EMPTY,
                              .failure_count = 1,
                              .failed_ms = clock_wall_ms() - unused_ms,
                              .used_ms = clock_wall_ms() - unused_ms};
    struct buffer bytes;
    buffer_init(&bytes, 1u << 20);
    sts_entry_encode(&entry, &bytes);
    stored_put(slice_of(domain), buffer_slice(&bytes));
    buffer_free(&bytes);
}

/* Names in an order that has nothing to do with their age. */
static const char *name_of(size_t i)
{
    static char name[32];
    return text_print(name, sizeof name, "x%03zu.example", i * 271 % 997).data;
}

static void test_nothing_goes_while_there_is_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < 500; i++)
        put(name_of(i), "enforce", (int64_t)i * HOUR_MS);
    turn_for(HOUR_MS);
    check_number("entries", finding_world.count, 500);
    check_number("told", finding_said("policy_cache_full"), 0);
    check_number("bytes", finder_cache_bytes(finding_world.relay.finder), stored_bytes());
}

static void test_the_oldest_unused_go_first(void **state)
{
    (void)state;
    finding_world.config.sts_cache_max = LIMIT;
    for (size_t i = 0; i < 600; i++)
        put(name_of(i), i % 2 == 0 ? "enforce" : "testing", (int64_t)i * HOUR_MS + MINUTE_MS);
    assert_true(stored_bytes() > 2 * LIMIT);
    turn_for(HOUR_MS);
    assert_true(stored_bytes() <= LIMIT && stored_bytes() > LIMIT / 2);
    size_t kept = finding_world.count;
    for (size_t i = 0; i < 600; i++)
        check_number(name_of(i), stored_has(name_of(i)), i < kept);
    check_number("counted", finding_world.relay.metrics.policy_forgotten, 600 - kept);
    check_number("told", finding_said("event=policy_cache_full"), 1);
    check_true("told", finding_said("advice=\"raise [sts] cache-max") == 1);
}

/* All of one hour, as in an attack with fresh domains: enough of them, and none too many. */
static void test_all_of_the_same_age(void **state)
{
    (void)state;
    finding_world.config.sts_cache_max = LIMIT;
    for (size_t i = 0; i < 900; i++)
        put(name_of(i), "enforce", 0);
    turn_for(HOUR_MS);
    assert_true(stored_bytes() <= LIMIT && stored_bytes() > LIMIT / 10 * 8);
}

static void test_what_binds_nothing_goes_before_what_does(void **state)
{
    (void)state;
    finding_world.config.sts_cache_max = LIMIT;
    for (size_t i = 0; i < 300; i++)
        put_dead(name_of(i), 0);
    for (size_t i = 300; i < 400; i++)
        put(name_of(i), "enforce", 400 * HOUR_MS);
    turn_for(HOUR_MS);
    assert_true(stored_bytes() <= LIMIT);
    for (size_t i = 300; i < 400; i++)
        check_true(name_of(i), stored_has(name_of(i)));
}

/* Somebody's subdomains by the hundred, each with as large a policy as can be, used more lately than all else: they evict each other.
 * So also where mail waits for each of them, and where there are several such owners. */
static void test_a_flood_evicts_its_like(void **state)
{
    static const struct {
        const char *name, *format, *mail_for;
    } floods[] = {
        {"one owner", "flood%zu.evil.example", NULL},
        {"five owners", "flood%zu.evil%zu.example", NULL},
        {"mail waits for all", "flood%zu.evil.example", "flood"},
    };
    char domain[64];
    for (size_t i = 0; i < COUNT_OF(floods); i++) {
        assert_int_equal(finding_teardown(state), 0);
        assert_int_equal(finding_setup(state), 0);
        finding_world.config.sts_cache_max = 1u << 20;
        finding_world.mail_for = floods[i].mail_for;
        for (size_t k = 0; k < 900; k++)
            put(name_of(k), "enforce", (int64_t)(k % 24) * HOUR_MS);
        for (size_t k = 0; k < 300; k++)
            put_large(text_print(domain, sizeof domain, floods[i].format, k, k % 5).data);
        turn_for(HOUR_MS);
        for (size_t k = 0; k < 900; k++)
            check_true(floods[i].name, stored_has(name_of(k)));
        if (floods[i].mail_for == NULL)
            check_true("the limit is kept", stored_bytes() <= 1u << 20);
        else
            check_number("what mail waits for", finding_world.count, 1200);
    }
}

/* Who is in use for longer than a day stays longer than whoever came today, although he was used before. */
static void test_what_came_today_goes_first(void **state)
{
    (void)state;
    finding_world.config.sts_cache_max = LIMIT;
    for (size_t i = 0; i < 100; i++)
        (void)finding_ask_now(name_of(i), STS_LOOKUP_DELIVERY);
    turn_for(25 * HOUR_MS);
    for (size_t i = 0; i < 100; i++)
        (void)finding_ask_now(name_of(i), STS_LOOKUP_DELIVERY);
    turn_for(2 * HOUR_MS);
    for (size_t i = 100; i < 300; i++)
        put(name_of(i), "enforce", 0);
    turn_for(HOUR_MS);
    check_true("the limit is kept", stored_bytes() <= LIMIT);
    for (size_t i = 0; i < 100; i++)
        check_true(name_of(i), stored_has(name_of(i)));
}

/* Although they are the oldest, and although nothing else is left to go. */
static void test_what_mail_waits_for_stays(void **state)
{
    (void)state;
    char domain[32];
    finding_world.config.sts_cache_max = LIMIT;
    finding_world.mail_for = "waits";
    for (size_t i = 0; i < 300; i++)
        put(text_print(domain, sizeof domain, "waits%03zu.example", i).data, "enforce", 600 * HOUR_MS);
    for (size_t i = 0; i < 300; i++)
        put(name_of(i), "enforce", 0);
    turn_for(HOUR_MS);
    for (size_t i = 0; i < 300; i++)
        check_true("waits", stored_has(text_print(domain, sizeof domain, "waits%03zu.example", i).data));
    check_number("entries", finding_world.count, 300);
    finding_world.mail_for = NULL;
    turn_for(HOUR_MS);
    assert_true(stored_bytes() <= LIMIT);
}

static void test_smart_hosts_and_exemptions_stay(void **state)
{
    (void)state;
    struct config_route route = {.pattern = SLICE("*"), .host = SLICE("smart.example"), .tls = CONFIG_TLS_STS};
    finding_world.config.sts_cache_max = LIMIT;
    finding_world.config.routes = &route;
    finding_world.config.route_count = 1;
    put("smart.example", "enforce", 600 * HOUR_MS);
    put("exempt.example", "enforce", 600 * HOUR_MS);
    finding_exempt("exempt.example", clock_wall_ms() + 30 * DAY_MS);
    for (size_t i = 0; i < 600; i++)
        put(name_of(i), "enforce", HOUR_MS);
    turn_for(HOUR_MS);
    assert_true(stored_bytes() <= LIMIT);
    assert_true(stored_has("smart.example") && stored_has("exempt.example"));
}

/* Mail to ever new domains: the cache stays bounded all the time. */
static void test_growth(void **state)
{
    (void)state;
    size_t most = 0;
    finding_world.config.sts_cache_max = LIMIT;
    for (size_t i = 0; i < 3000; i++) {
        char domain[32];
        (void)finding_ask_now(text_print(domain, sizeof domain, "new%04zu.example", i).data, STS_LOOKUP_DELIVERY);
        turn_for(500);
        most = stored_bytes() > most ? stored_bytes() : most;
    }
    assert_true(most < 2 * LIMIT);
}

static void test_what_binds_nothing_is_forgotten_in_time(void **state)
{
    (void)state;
    put_dead("old.example", 31 * DAY_MS);
    put_dead("young.example", 29 * DAY_MS);
    turn_for(5 * MINUTE_MS);
    assert_true(!stored_has("old.example") && stored_has("young.example"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FINDING_TEST(test_nothing_goes_while_there_is_room),
        FINDING_TEST(test_the_oldest_unused_go_first),
        FINDING_TEST(test_all_of_the_same_age),
        FINDING_TEST(test_what_binds_nothing_goes_before_what_does),
        FINDING_TEST(test_what_mail_waits_for_stays),
        FINDING_TEST(test_smart_hosts_and_exemptions_stay),
        FINDING_TEST(test_a_flood_evicts_its_like),
        FINDING_TEST(test_what_came_today_goes_first),
        FINDING_TEST(test_growth),
        FINDING_TEST(test_what_binds_nothing_is_forgotten_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
