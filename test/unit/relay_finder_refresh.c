/* Crowds whose policy hosts say nothing, and what the administrator hears of a policy that is refreshed too late or not at all. */
#include "test/unit/finding.h"

#define CROWD 300
#define VICTIMS 20

/* In the cache as it is after a time: half of the policy's time is over, and its refresh is due. */
static void put_due(const char *domain, int64_t max_age_s, bool is_failing)
{
    static const struct slice mx[] = {SLICE_INIT("mx.a.example")};
    int64_t now_ms = clock_wall_ms();
    struct sts_entry entry = {
        .has_policy = true,
        .policy = {.mode = STS_MODE_ENFORCE, .max_age_s = (uint32_t)max_age_s, .mx = mx, .mx_count = 1},
        .body = SLICE_EMPTY,
        .failure = is_failing ? SLICE("HTTP status 503") : SLICE_EMPTY,
        .failing_since_ms = is_failing ? now_ms - HOUR_MS : 0,
        .failed_ms = is_failing ? now_ms - HOUR_MS : 0,
        .failure_count = is_failing ? 3 : 0,
        .exempt_reason = SLICE_EMPTY,
        .id = "1",
        .fetched_ms = now_ms - max_age_s * SECOND_MS / 2,
        .first_fetched_ms = now_ms - 30 * DAY_MS,
        .used_ms = now_ms,
        .refresh_ms = now_ms,
    };
    struct buffer bytes;
    buffer_init(&bytes, 1u << 16);
    sts_entry_encode(&entry, &bytes);
    stored_put(slice_of(domain), buffer_slice(&bytes));
    buffer_free(&bytes);
}

static const struct {
    const char *name, *format; /* all of them stand before the victims in the alphabet */
    int64_t max_age_s;
    bool is_failing;
} crowds[] = {
    {"one owner", "a%zu.mutes.example", 86400, false},
    {"one owner, one address", "a%zu.mute.example", 86400, false},
    {"one owner, sooner over", "a%zu.mutes.example", 43200, false},
    {"each an owner, later over", "a%zu.mute%zu.example", 31557600, false},
    {"each an owner, as soon", "a%zu.mute%zu.example", 86400, false},
    {"each an owner, failing for long", "a%zu.mute%zu.example", 86400, true},
    {"each an owner, failing, sooner over", "a%zu.mute%zu.example", 43200, true},
    {"one owner, failing, sooner over", "a%zu.mutes.example", 43200, true},
};

static bool is_fresh(const char *domain)
{
    struct arena *arena = arena_new(1u << 16);
    bool is = stored_entry(domain, arena).fetched_ms > TURN_START_MS;
    arena_free(&arena);
    return is;
}

static void test_a_crowd_starves_nobody(void **state)
{
    char domain[64];
    for (size_t i = 0; i < COUNT_OF(crowds); i++) {
        assert_int_equal(finding_teardown(state), 0);
        assert_int_equal(finding_setup(state), 0);
        for (size_t k = 0; k < CROWD; k++)
            put_due(text_print(domain, sizeof domain, crowds[i].format, k, k).data, crowds[i].max_age_s, crowds[i].is_failing);
        for (size_t k = 0; k < VICTIMS; k++)
            put_due(text_print(domain, sizeof domain, "z%zu.example", k).data, 86400, k % 10 == 0);
        turn_for(15 * MINUTE_MS);
        for (size_t k = 0; k < VICTIMS; k++)
            check_true(crowds[i].name, is_fresh(text_print(domain, sizeof domain, "z%zu.example", k).data) || k % 10 == 0);
        turn_for(crowds[i].is_failing ? 2 * HOUR_MS : 0); /* those that failed once wait beside others that fail */
        for (size_t k = 0; k < VICTIMS; k++)
            check_true(crowds[i].name, is_fresh(text_print(domain, sizeof domain, "z%zu.example", k).data));
        check_number(crowds[i].name, finding_said("event=policy_lapsed domain=z"), 0);
        check_true(crowds[i].name, finding_world.fetching_most <= 16);
    }
}

/* However long: the victims are refreshed as if the crowd were not there. */
static void test_days_beside_a_crowd(void **state)
{
    char domain[64];
    (void)state;
    for (size_t k = 0; k < 50; k++)
        put_due(text_print(domain, sizeof domain, "a%zu.mute%zu.example", k, k).data, 86400, false);
    for (size_t k = 0; k < VICTIMS; k++)
        put_due(text_print(domain, sizeof domain, "z%zu.example", k).data, 86400, false);
    turn_for(3 * DAY_MS);
    check_number("overdue", finding_said("event=policy_refresh_overdue domain=z"), 0);
    check_number("lapsed", finding_said("event=policy_lapsed domain=z"), 0);
    check_number("overdue, each once", finding_said("event=policy_refresh_overdue domain=a"), 50);
    check_number("lapsed, each once", finding_said("event=policy_lapsed domain=a"), 50);
    check_number("counted", finding_world.relay.metrics.policy_overdue, 50);
    check_number("counted", finding_world.relay.metrics.policy_lapsed, 50);
    check_number("none is left", finder_count_overdue(finding_world.relay.finder), 0);
}

/* ---- what is told ---- */

static void test_overdue_is_told_once(void **state)
{
    (void)state;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    finding_world.body = NULL;
    turn_for(98 * HOUR_MS);
    check_number("not yet", finding_said("event=policy_refresh_overdue"), 0);
    check_number("not yet", finder_count_overdue(finding_world.relay.finder), 0);
    turn_for(6 * HOUR_MS);
    check_number("told", finding_said("event=policy_refresh_overdue domain=a.example mode=enforce"), 1);
    check_number("what failed", finding_said("why=\"the policy fetch from mta-sts.a.example failed: HTTP status 503\" advice=\"find out"), 1);
    check_number("now", finder_count_overdue(finding_world.relay.finder), 1);
    finding_restart();
    turn_for(DAY_MS);
    check_number("once", finding_said("event=policy_refresh_overdue"), 1);
    finding_world.body = WEEK_ENFORCED;
    turn_for(6 * HOUR_MS);
    check_number("well again", finder_count_overdue(finding_world.relay.finder), 0);
    finding_world.body = NULL;
    turn_for(5 * DAY_MS);
    check_number("the next time", finding_said("event=policy_refresh_overdue"), 2);
    check_number("counted", finding_world.relay.metrics.policy_overdue, 2);
}

/* As after a relay that was off for long: nothing has failed, nothing was tried. */
static void test_overdue_without_a_try(void **state)
{
    (void)state;
    put_due("mute.a.mutes.example", 7 * 86400, false);
    finding_world.mute_ms = 3 * DAY_MS;
    turn_for(3 * DAY_MS);
    check_number("while one is under way", finding_said("event=policy_refresh_overdue"), 0);
    turn_for(MINUTE_MS * 10);
    check_number("when it has failed", finding_said("event=policy_refresh_overdue"), 1);
    finding_world.config.sts_enabled = false;
    put_due("b.example", 86400, false);
    turn_for(11 * HOUR_MS);
    check_number("switched off", finding_said("domain=b.example"), 0);
}

static const struct {
    const char *name, *body;
    size_t told;
} lapses[] = {
    {"enforced for hours", POLICY("enforce", "14400"), 1},
    {"enforced for a day", POLICY("enforce", "86400"), 1},
    {"testing", POLICY("testing", "86400"), 0},
    {"none", POLICY("none", "86400"), 0},
    {"for minutes, as its domain wants", POLICY("enforce", "300"), 0},
};

static void test_a_lapse_is_told_once(void **state)
{
    for (size_t i = 0; i < COUNT_OF(lapses); i++) {
        for (int is_used = 0; is_used < 2; is_used++) {
            const char *name = lapses[i].name;
            assert_int_equal(finding_teardown(state), 0);
            assert_int_equal(finding_setup(state), 0);
            finding_world.body = lapses[i].body;
            (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
            finding_world.body = NULL;
            finding_world.txt = is_used ? RESOLVE_NXDOMAIN : RESOLVE_FOUND;
            turn_for(DAY_MS - HOUR_MS);
            check_number(name, finding_said("event=policy_lapsed"), i == 0);
            for (int k = 0; k < 3; k++) {
                turn_for(2 * HOUR_MS);
                if (is_used)
                    check_number(name, finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy, false);
                if (k == 1)
                    finding_restart();
            }
            check_number(name, finding_said("event=policy_lapsed domain=a.example mode=enforce"), lapses[i].told);
            check_number(name, finding_world.relay.metrics.policy_lapsed, lapses[i].told);
        }
    }
}

/* Between its end and the walk over the cache mail comes first. What is fetched then is protected again: a new policy, a new end. */
static void test_mail_comes_before_the_walk(void **state)
{
    (void)state;
    put_due("a.example", 600, false);
    finding_world.body = NULL;
    turn_for(5 * MINUTE_MS - SECOND_MS);
    turn_for(2 * SECOND_MS);
    check_number("its mail goes without it", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy, false);
    check_number("told at once", finding_said("event=policy_lapsed"), 1);
    turn_for(10 * MINUTE_MS);
    check_number("and not again", finding_said("event=policy_lapsed"), 1);
    finding_world.body = WEEK_ENFORCED;
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy);
    finding_world.body = NULL;
    turn_for(8 * DAY_MS);
    check_number("the next end", finding_said("event=policy_lapsed"), 2);
}

/* Nothing was sent to it for a month: it is left to expire, and nobody has to hear of that. */
static void test_what_nobody_uses_lapses_quietly(void **state)
{
    (void)state;
    finding_world.body = POLICY("enforce", "2764800");
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    turn_for(34 * DAY_MS);
    check_number("overdue", finding_said("event=policy_refresh_overdue"), 0);
    check_number("lapsed", finding_said("event=policy_lapsed"), 0);
}

/* A note of the walk must not take the place of an exemption that is on its way to the disk. */
static void test_an_exemption_stays(void **state)
{
    (void)state;
    put_due("a.example", 604800, true);
    finding_world.body = NULL;
    for (int i = 0; i < 2000 && finding_said("event=policy_refresh_overdue") == 0; i++) {
        finding_exempt("a.example", clock_wall_ms() + 30 * DAY_MS);
        turn_for(2 * MINUTE_MS);
        assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).exempt);
    }
    check_number("told", finding_said("event=policy_refresh_overdue"), 1);
    turn_for(HOUR_MS);
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).exempt);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FINDING_TEST(test_a_crowd_starves_nobody),
        FINDING_TEST(test_days_beside_a_crowd),
        FINDING_TEST(test_overdue_is_told_once),
        FINDING_TEST(test_overdue_without_a_try),
        FINDING_TEST(test_a_lapse_is_told_once),
        FINDING_TEST(test_mail_comes_before_the_walk),
        FINDING_TEST(test_what_nobody_uses_lapses_quietly),
        FINDING_TEST(test_an_exemption_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
