/* The finder over days: when policies are fetched again, what the administrator hears of it, and how often a policy
 * host is asked at most. RFC 8461 3.3, 5.1, 10.2. */
#include "test/unit/finding.h"

/* Mail is sent every three hours for so long. */
static void use_for(const char *domain, int64_t duration_ms)
{
    for (int64_t passed_ms = 0; passed_ms < duration_ms; passed_ms += 3 * HOUR_MS) {
        (void)finding_ask_now(domain, STS_LOOKUP_DELIVERY);
        turn_for(3 * HOUR_MS);
    }
}

/* ---- refresh ---- */

static void test_refresh_about_daily_at_no_foreseeable_time(void **state)
{
    (void)state;
    int64_t shortest_ms = INT64_MAX, longest_ms = 0;
    use_for("a.example", 30 * DAY_MS);
    assert_true(finding_world.fetches > 20 && finding_world.fetches < 42);
    for (size_t i = 1; i < finding_world.fetches; i++) {
        int64_t interval_ms = finding_world.fetched_ms[i] - finding_world.fetched_ms[i - 1];
        shortest_ms = interval_ms < shortest_ms ? interval_ms : shortest_ms;
        longest_ms = interval_ms > longest_ms ? interval_ms : longest_ms;
    }
    assert_true(shortest_ms >= 18 * HOUR_MS && longest_ms <= 30 * HOUR_MS + 5 * MINUTE_MS);
    assert_true(longest_ms - shortest_ms > 4 * HOUR_MS);
    check_number("failures", finding_said("policy_refresh_failed"), 0);
}

/* An attacker takes away the record; the policy host is still to be reached. */
static void test_a_short_policy_never_lapses(void **state)
{
    (void)state;
    finding_world.body = POLICY("enforce", "86400");
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    finding_world.txt = RESOLVE_NXDOMAIN;
    for (int i = 0; i < 200; i++) {
        struct finding_asker asker = finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
        check_number("kept", asker.source, STS_SOURCE_KEPT);
        assert_true(asker.has_policy && asker.mode == STS_MODE_ENFORCE);
        turn_for(2 * HOUR_MS);
    }
    assert_true(finding_world.fetches > 30);
}

static void test_what_nobody_uses_is_left_to_expire(void **state)
{
    (void)state;
    finding_world.body = POLICY("enforce", "31557600");
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    turn_for(31 * DAY_MS);
    size_t fetches = finding_world.fetches;
    turn_for(200 * DAY_MS);
    check_number("fetches", finding_world.fetches, fetches);
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy);
    turn_for(HOUR_MS);
    check_number("used again", finding_world.fetches, fetches + 1);
}

static void test_switched_off(void **state)
{
    (void)state;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    finding_world.config.sts_enabled = false;
    turn_for(5 * DAY_MS);
    check_number("fetches", finding_world.fetches, 1);
}

/* ---- alerts ---- */

static const struct {
    const char *name, *body;
    bool is_told, is_expiring;
} blockades[] = {
    {"enforce", WEEK_ENFORCED, true, true},
    {"testing", POLICY("testing", "604800"), true, false},
    {"none", POLICY("none", "604800"), false, false},
    {"a day", POLICY("enforce", "86400"), true, true},
};

/* The policy host is blocked: the administrator hears of it from the first refresh on, and of an enforced policy that
 * runs out as soon as half of its time is over; refreshes come faster towards the end. */
static void test_a_blockade_is_told_long_before_the_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(blockades); i++) {
        const char *name = blockades[i].name;
        finding_stop();
        finding_start();
        finding_world.body = blockades[i].body;
        (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
        int64_t max_age_ms = slice_find_slice(slice_of(blockades[i].body), SLICE("86400")) < strlen(blockades[i].body)
                                 ? DAY_MS
                                 : 7 * DAY_MS;
        finding_world.body = NULL;
        turn_for(max_age_ms / 2 - MINUTE_MS);
        if (max_age_ms > DAY_MS)
            check_number(name, finding_said("event=policy_refresh_failed") > 0, blockades[i].is_told);
        check_number(name, finding_said("event=policy_expiring"), 0);
        turn_for(max_age_ms / 4);
        check_number(name, finding_said("event=policy_refresh_failed") > 0, blockades[i].is_told);
        check_number(name, finding_said("event=policy_expiring") > 0, blockades[i].is_expiring);
        check_number(name, finder_count_failing(finding_world.relay.finder), blockades[i].is_told);
        size_t fetches = finding_world.fetches;
        turn_for(max_age_ms / 4);
        check_number(name, finding_world.fetches > fetches, blockades[i].is_told);
        check_number(name, finding_world.relay.metrics.policy_expiring, finding_said("event=policy_expiring"));
        check_true(name,
                   finding_world.relay.metrics.policy_refresh_failed >= finding_said("event=policy_refresh_failed"));
    }
}

static void test_refreshes_come_faster_towards_the_end(void **state)
{
    (void)state;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    finding_world.body = NULL;
    turn_for(6 * DAY_MS);
    size_t before = finding_world.fetches;
    turn_for(12 * HOUR_MS);
    size_t early = finding_world.fetches - before;
    before = finding_world.fetches;
    turn_for(12 * HOUR_MS);
    assert_true(finding_world.fetches - before > 2 * early);
    /* RFC 8461 3.3: never again within five minutes. */
    for (size_t i = 2; i < finding_world.fetches; i++)
        assert_true(finding_world.fetched_ms[i] - finding_world.fetched_ms[i - 1] >= 5 * MINUTE_MS);
}

static void test_weakened(void **state)
{
    static const struct {
        const char *name, *before, *after;
        size_t weakened;
    } cases[] = {
        {"enforce to none", WEEK_ENFORCED, POLICY("none", "86400"), 1},
        {"enforce to testing", WEEK_ENFORCED, POLICY("testing", "86400"), 1},
        {"testing to none", POLICY("testing", "604800"), POLICY("none", "86400"), 0},
        {"testing to enforce", POLICY("testing", "604800"), WEEK_ENFORCED, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        finding_stop();
        finding_start();
        finding_world.body = cases[i].before;
        (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
        finding_world.body = cases[i].after;
        finding_world.id = "2";
        assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).changed);
        check_number(cases[i].name, finding_said("event=policy_weakened"), cases[i].weakened);
        check_number(cases[i].name, finding_world.relay.metrics.policy_weakened, cases[i].weakened);
        check_number(cases[i].name, finding_said("event=policy_changed"), 1);
    }
    check_number("mode before", finding_said("mode=enforce policy_id=2 max_age=604800"), 2);
    check_number("mode before", finding_said("mode_before=testing"), 2);
}

/* Once when it is first missed, and with each refresh; not for each message. */
static void test_record_gone(void **state)
{
    (void)state;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    for (int round = 1; round <= 2; round++) {
        finding_world.txt = RESOLVE_NODATA;
        for (int i = 0; i < 20; i++)
            check_number("kept", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).source, STS_SOURCE_KEPT);
        check_number("told", finding_said("event=policy_record_gone"), round);
        check_number("counted", finding_world.relay.metrics.policy_record_gone, round);
        finding_world.txt = RESOLVE_FOUND;
        check_number("back", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).source, STS_SOURCE_CACHED);
    }
    finding_world.txt = RESOLVE_NODATA;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    (void)finding_ask_now("a.example", STS_LOOKUP_REFRESH);
    check_number("told with a refresh", finding_said("event=policy_record_gone"), 4);
}

/* ---- how often a policy host is asked ---- */

/* No host passes the policy, whose id stays the same: it is asked for again, and once in five minutes at most. */
static void test_renewed_once_in_five_minutes(void **state)
{
    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        finding_stop();
        finding_start();
        (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
        if (fails)
            finding_world.body = NULL;
        for (int i = 0; i < 120; i++) {
            (void)finding_ask_now("a.example", STS_LOOKUP_RENEW);
            turn_for(30 * SECOND_MS);
        }
        assert_true(finding_world.fetches >= 11 && finding_world.fetches <= 13);
        for (size_t i = 1; i < finding_world.fetches; i++)
            assert_true(finding_world.fetched_ms[i] - finding_world.fetched_ms[i - 1] >= 5 * MINUTE_MS);
    }
}

static void test_a_renewal_finds_the_change(void **state)
{
    (void)state;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    finding_world.body = POLICY("none", "86400");
    turn_for(6 * MINUTE_MS);
    check_number("cached", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).mode, STS_MODE_ENFORCE);
    struct finding_asker asker = finding_ask_now("a.example", STS_LOOKUP_RENEW);
    assert_true(asker.changed && asker.mode == STS_MODE_NONE);
}

/* First contact fails: as often as a new id comes, with the same one once in five minutes, also over a restart. */
static void test_back_off(void **state)
{
    (void)state;
    finding_world.body = NULL;
    for (int i = 0; i < 120; i++) {
        check_number("source", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).source, STS_SOURCE_UNAVAILABLE);
        turn_for(30 * SECOND_MS);
        if (i % 7 == 0)
            finding_restart();
    }
    assert_true(finding_world.fetches >= 10 && finding_world.fetches <= 12);
    check_number("counted", finding_world.relay.metrics.policy_unavailable, 120);
    size_t fetches = finding_world.fetches;
    finding_world.id = "2";
    finding_world.body = WEEK_ENFORCED;
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy);
    check_number("another id", finding_world.fetches, fetches + 1);
}

/* As of name servers that do not agree, or of an attacker who wants the policy host to be asked without end. */
static void test_an_id_that_changes_all_the_time(void **state)
{
    char id[32];
    (void)state;
    for (int is_new = 0; is_new < 2; is_new++) {
        finding_stop();
        finding_start();
        finding_world.body = NULL;
        for (int i = 0; i < 120; i++) {
            finding_world.id = text_print(id, sizeof id, "%d", is_new ? i : i % 2).data;
            (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
            turn_for(30 * SECOND_MS);
        }
        assert_true(finding_world.fetches <= 15);
    }
}

static void test_one_fetch_a_domain(void **state)
{
    static struct finding_asker askers[100];
    (void)state;
    finding_world.fetch_ms = 20 * SECOND_MS;
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        finding_ask(&askers[i], "a.example", STS_LOOKUP_DELIVERY);
    turn_for(30 * SECOND_MS);
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        assert_true(askers[i].answered == 1 && askers[i].has_policy);
    check_number("fetches", finding_world.fetches, 1);
}

static void test_so_many_fetches_at_once(void **state)
{
    static struct finding_asker askers[200];
    (void)state;
    finding_world.fetch_ms = 20 * SECOND_MS;
    for (size_t i = 0; i < COUNT_OF(askers); i++) {
        char domain[32];
        finding_ask(&askers[i], text_print(domain, sizeof domain, "d%zu.example", i).data, STS_LOOKUP_DELIVERY);
    }
    turn_for(3 * MINUTE_MS);
    for (size_t i = 0; i < COUNT_OF(askers); i++)
        assert_true(askers[i].answered == 1 && askers[i].has_policy);
    check_number("at once", finding_world.fetching_most, 32);
}

/* ---- slow policy hosts ---- */

static struct finding_asker many[2000];

static void ask_many(size_t first, size_t count, const char *format)
{
    char domain[64];
    for (size_t i = first; i < first + count; i++)
        finding_ask(&many[i], text_print(domain, sizeof domain, format, i, i % 10).data, STS_LOOKUP_DELIVERY);
}

/* A thousand subdomains, or owners, or both, whose policy hosts say nothing: somebody else does not wait for them. */
static void test_a_crowd_waits_for_itself(void **state)
{
    static const struct {
        const char *name, *format;
        int64_t patience_ms;
    } crowds[] = {
        {"one owner, many networks", "d%zu.mutes.example", 0},
        {"one owner, one address", "d%zu.mute.example", 0},
        {"ten owners, many networks", "d%zu.mute%zu.example", 20 * SECOND_MS},
        {"one owner in a country", "d%zu.mutes.co.uk", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(crowds); i++) {
        struct finding_asker asker;
        finding_stop();
        finding_start();
        ask_many(0, 700, crowds[i].format);
        turn_for(5 * SECOND_MS);
        finding_ask(&asker, "a.example", STS_LOOKUP_DELIVERY);
        turn_for(crowds[i].patience_ms);
        check_number(crowds[i].name, asker.answered, 1);
        check_true(crowds[i].name, asker.has_policy);
        check_true(crowds[i].name, finding_world.fetching_most <= (crowds[i].patience_ms == 0 ? 9 : 32));
    }
}

/* Whoever must give way learns nothing that is not so: mail waits, and a policy in force binds. */
static void test_way_is_made(void **state)
{
    (void)state;
    struct finder *finder = finding_world.relay.finder;
    finder_make_way(finder); /* nobody is there */
    ask_many(0, 100, "d%zu.mute.example");
    finder_make_way(finder);
    turn_settle();
    check_number("the last that came", many[99].answered, 1);
    check_number("its mail waits", many[99].source, STS_SOURCE_UNREADABLE);
    check_true("nothing is held against it", !stored_has("d99.mute.example"));
    check_number("counted", finding_world.relay.metrics.policy_crowded, 1);
    check_number("others go on", many[98].answered, 0);
    for (size_t i = 0; i < 200; i++) {
        finder_make_way(finder);
        turn_settle();
    }
    check_number("as many as nobody minds", many[0].answered, 0);
    turn_for(MINUTE_MS);
    check_number("after a while also those", many[0].answered, 1);
}

static void test_a_policy_in_force_binds_whoever_makes_way(void **state)
{
    (void)state;
    char domain[64];
    for (size_t i = 0; i < 20; i++)
        (void)finding_ask_now(text_print(domain, sizeof domain, "d%zu.same.example", i).data, STS_LOOKUP_DELIVERY);
    finding_world.id = "2";
    finding_world.fetch_ms = MINUTE_MS;
    turn_for(6 * MINUTE_MS);
    ask_many(0, 20, "d%zu.same.example");
    turn_for(5 * SECOND_MS);
    finder_make_way(finding_world.relay.finder);
    turn_settle();
    check_number("kept", many[19].source, STS_SOURCE_KEPT);
    check_true("kept", many[19].has_policy && many[19].mode == STS_MODE_ENFORCE);
    turn_for(5 * MINUTE_MS);
    for (size_t i = 0; i < 19; i++)
        check_number("others", many[i].source, STS_SOURCE_FRESH);
}

/* ---- a clock that leaps ---- */

static const struct {
    const char *name, *body;
    int64_t leap_ms, real_ms; /* and how much time passes before the leap and after it, each */
    bool is_in_force;
} leaps[] = {
    {"400 days and back, a year's policy", POLICY("enforce", "31536000"), 400 * DAY_MS, HOUR_MS, true},
    {"31 days, a week's policy", WEEK_ENFORCED, 31 * DAY_MS, HOUR_MS, true},
    {"400 days, a day's policy", POLICY("enforce", "86400"), 400 * DAY_MS, 11 * HOUR_MS, true},
    {"400 days, and a day passes", POLICY("enforce", "86400"), 400 * DAY_MS, 13 * HOUR_MS, false},
    {"400 days back", POLICY("enforce", "86400"), -400 * DAY_MS, 11 * HOUR_MS, true},
    {"400 days back, and a day passes", POLICY("enforce", "86400"), -400 * DAY_MS, 13 * HOUR_MS, false},
};

/* Forged time must not end what was promised for a time; nor does a clock that went back prolong it. DNS and HTTPS are the attacker's. */
static void test_a_leap_ends_no_policy(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(leaps); i++) {
        for (unsigned comes_back = 0; comes_back < 2; comes_back++) {
            const char *name = leaps[i].name;
            finding_stop();
            finding_start();
            finding_world.body = leaps[i].body;
            (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
            finding_world.body = NULL;
            finding_world.txt = RESOLVE_NXDOMAIN;
            turn_for(leaps[i].real_ms);
            turn_step_wall(leaps[i].leap_ms);
            turn_for(3 * MINUTE_MS); /* the walk over the cache comes by */
            check_number(name, finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy, true);
            turn_step_wall(comes_back ? -leaps[i].leap_ms : 0);
            turn_for(leaps[i].real_ms);
            struct finding_asker asker = finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
            check_number(name, asker.has_policy, leaps[i].is_in_force);
            check_true(name, stored_has("a.example"));
        }
    }
}

/* What was learned during a leap is worth what it would have been without one. */
static void test_learned_during_a_leap(void **state)
{
    (void)state;
    turn_step_wall(400 * DAY_MS);
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    turn_step_wall(-400 * DAY_MS);
    finding_world.body = NULL;
    finding_world.txt = RESOLVE_NXDOMAIN;
    turn_for(6 * DAY_MS);
    check_number("in force", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy, true);
    turn_for(DAY_MS + HOUR_MS);
    check_number("over after a week", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).has_policy, false);
}

/* ---- exemptions ---- */

static void test_an_exemption_ends_by_itself(void **state)
{
    (void)state;
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    finding_exempt("a.example", clock_wall_ms() + DAY_MS);
    turn_settle();
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).exempt);
    turn_for(DAY_MS - HOUR_MS);
    finding_restart();
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).exempt);
    turn_for(HOUR_MS + MINUTE_MS);
    struct finding_asker asker = finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    assert_true(!asker.exempt && asker.has_policy && asker.mode == STS_MODE_ENFORCE);
}

/* An exemption is written into what is known; where that cannot be read it would be lost. */
static void test_an_exemption_overwrites_nothing_unreadable(void **state)
{
    struct finder_exemption exemption = {.until_ms = clock_wall_ms() + DAY_MS, .reason = SLICE("their firewall")};
    struct finder *finder = finding_world.relay.finder;
    (void)state;
    stored_put(SLICE("a.example"), SLICE("nobody can read this"));
    assert_int_equal(finder_exempt(finder, SLICE("a.example"), &exemption), ERR_CORRUPT);
    turn_settle();
    check_number("as it was", finding_world.records[0].length, strlen("nobody can read this"));
    finding_world.txt = RESOLVE_NXDOMAIN;
    finding_world.body = NULL;
    check_number("its mail waits", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).source, STS_SOURCE_UNREADABLE);
    check_number("told", finding_said("event=policy_unreadable"), 1);
    check_number("as it was", finding_world.records[0].length, strlen("nobody can read this"));
    finding_world.body = WEEK_ENFORCED;
    check_number("fetched", finding_ask_now("a.example", STS_LOOKUP_DELIVERY).source, STS_SOURCE_FRESH);
    assert_int_equal(finder_exempt(finder, SLICE("a.example"), &exemption), ERR_NONE);
    turn_settle();
    assert_true(finding_ask_now("a.example", STS_LOOKUP_DELIVERY).exempt);
}

/* What waits for a policy hears of each that was stored, whoever asked for it, and of nothing that was not. */
static void test_what_waits_is_told(void **state)
{
    (void)state;
    static const enum sts_lookup_purpose purposes[] = {STS_LOOKUP_DELIVERY, STS_LOOKUP_RENEW, STS_LOOKUP_REFRESH};
    (void)finding_ask_now("a.example", STS_LOOKUP_DELIVERY);
    check_number("the first", finding_world.learned, 1);
    check_number("nothing was known before", finding_world.learned_of_before, 0);
    for (size_t i = 0; i < COUNT_OF(purposes); i++) {
        turn_for(6 * MINUTE_MS);
        size_t learned = finding_world.learned;
        static const char *const ids[] = {"2", "3", "4"};
        finding_world.id = ids[i];
        (void)finding_ask_now("a.example", purposes[i]);
        check_number("another id", finding_world.learned, learned + 1);
        check_number("with what was before", finding_world.learned_of_before, finding_world.learned - 1);
    }
    size_t learned = finding_world.learned;
    finding_world.txt = RESOLVE_SERVFAIL;
    (void)finding_ask_now("b.example", STS_LOOKUP_DELIVERY);
    check_number("unknown", finding_world.learned, learned);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        FINDING_TEST(test_refresh_about_daily_at_no_foreseeable_time),
        FINDING_TEST(test_a_short_policy_never_lapses),
        FINDING_TEST(test_what_nobody_uses_is_left_to_expire),
        FINDING_TEST(test_switched_off),
        FINDING_TEST(test_a_blockade_is_told_long_before_the_end),
        FINDING_TEST(test_refreshes_come_faster_towards_the_end),
        FINDING_TEST(test_weakened),
        FINDING_TEST(test_record_gone),
        FINDING_TEST(test_renewed_once_in_five_minutes),
        FINDING_TEST(test_a_renewal_finds_the_change),
        FINDING_TEST(test_back_off),
        FINDING_TEST(test_an_id_that_changes_all_the_time),
        FINDING_TEST(test_one_fetch_a_domain),
        FINDING_TEST(test_so_many_fetches_at_once),
        FINDING_TEST(test_a_crowd_waits_for_itself),
        FINDING_TEST(test_way_is_made),
        FINDING_TEST(test_a_policy_in_force_binds_whoever_makes_way),
        FINDING_TEST(test_a_leap_ends_no_policy),
        FINDING_TEST(test_learned_during_a_leap),
        FINDING_TEST(test_what_waits_is_told),
        FINDING_TEST(test_an_exemption_ends_by_itself),
        FINDING_TEST(test_an_exemption_overwrites_nothing_unreadable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
