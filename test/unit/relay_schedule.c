/* Whose turn it is: between destinations, when places are few, when some hang, fail or are paced, and at the end. */
#include "test/unit/scheduled.h"

static void test_mail_goes_out_at_once(void **state)
{
    (void)state;
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_settle();
    assert_int_equal(tried_at(id), 0);
    turn_for(SECOND_MS);
    assert_int_equal(test.delivered, 1);
    assert_true(schedule_is_idle(schedule()));
    assert_int_equal(schedule()->destinations.count, 0); /* forgotten */
}

static void test_what_waited_goes_out_when_it_is_due(void **state)
{
    (void)state;
    int64_t now_ms = clock_wall_ms();
    uint64_t soon = mail_due("a@example.com", "good.example", now_ms + 90 * SECOND_MS);
    uint64_t later = mail_due("a@example.com", "other.example", now_ms + 3 * HOUR_MS);
    turn_for(90 * SECOND_MS - 1);
    assert_int_equal(test.tried_count, 0);
    turn_for(2);
    assert_in_range(tried_at(soon), 90 * SECOND_MS, 90 * SECOND_MS + 1);
    turn_for(3 * HOUR_MS);
    assert_in_range(tried_at(later), 3 * HOUR_MS, 3 * HOUR_MS + 1);
    assert_int_equal(test.delivered, 2);
}

/* The clock is set forward: what is due by it is seen within a minute, without anything else happening. */
static void test_a_clock_that_steps_is_noticed(void **state)
{
    (void)state;
    mail_due("a@example.com", "good.example", clock_wall_ms() + DAY_MS);
    turn_for(10 * SECOND_MS);
    turn_step_wall(2 * DAY_MS);
    turn_for(MINUTE_MS);
    assert_int_equal(test.tried_count, 1);
}

/* ---- between destinations ---- */

static const struct {
    const char *name;
    uint32_t places;
    const char *kind; /* of those that were there first */
    size_t first, mail_each;
} crowds[] = {
    {"few hang", 200, "hang.", 10, 1},
    {"as many hang as one page shows", 100, "hang.", 64, 1},
    {"most places hang", 200, "hang.", 150, 1},
    {"all but one place hangs", 200, "hang.", 199, 30},
    {"all places hang", 20, "hang.", 20, 3},
    {"more hang than there are places", 20, "hang.", 70, 1},
    {"many are dead", 10, "dead.", 300, 5},
    {"all are busy, one place", 1, "busy.", 1, 400},
    {"all are busy, few places", 5, "busy.", 5, 400},
    {"all are busy, more wait", 5, "busy.", 100, 60},
    {"all places taken", 200, "busy.", 200, 30},
    {"one has all places", 5, "busy.", 1, 1000},
};

/* However many others hang, fail or have much: a message for somebody else goes out soon. With one that waits for its
 * turn all those that wait before it have one, of 25 messages at a second each. */
static void check_crowds(void **state, int64_t idle_ms)
{
    for (size_t i = 0; i < COUNT_OF(crowds); i++) {
        test.idle_ms = idle_ms;
        test.config.delivery_connections_max = crowds[i].places;
        for (size_t k = 0; k < crowds[i].first; k++) {
            char name[48];
            snprintf(name, sizeof name, "%s%zu.example", crowds[i].kind, k);
            mail_many("bulk@example.com", name, crowds[i].mail_each);
        }
        turn_for(5 * SECOND_MS);
        int64_t asked_ms = clock_monotonic_ms() - test.start_ms;
        uint64_t id = mail_now("a@example.com", "good.example");
        size_t rounds = 1 + crowds[i].first / crowds[i].places;
        turn_for((int64_t)rounds * 30 * SECOND_MS);
        check_true(crowds[i].name, tried_at(id) >= 0);
        check_true(crowds[i].name, tried_at(id) - asked_ms <= (int64_t)rounds * 30 * SECOND_MS);
        check_true(crowds[i].name, test.deliveries_most <= crowds[i].places);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void test_nobody_is_kept_out_by_others(void **state)
{
    check_crowds(state, 0);
}

/* The same where connections are kept for a while when they have nothing to do. */
static void test_nobody_is_kept_out_by_idle_connections(void **state)
{
    check_crowds(state, HOUR_MS);
}

/* Mail whose policy is slow to come is in nobody's way, and goes on with one of the places when it has come. */
static void test_who_waits_for_a_policy_has_no_place(void **state)
{
    (void)state;
    char name[32];
    test.config.delivery_connections_max = 5;
    test.policy_ms = 100 * SECOND_MS;
    for (size_t i = 0; i < 60; i++)
        mail_now("a@example.com", text_print(name, sizeof name, "policy.d%zu.example", i).data);
    turn_for(5 * SECOND_MS);
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_for(2 * SECOND_MS);
    check_true("in nobody's way", tried_at(id) >= 0);
    check_number("all wait at once", schedule()->delivery_count, 60);
    turn_for(2 * MINUTE_MS);
    id = mail_now("a@example.com", "good.example"); /* all have their policy, and want one of five places */
    turn_for(MINUTE_MS * 2);
    check_true("its turn comes", tried_at(id) >= 0);
    check_number("all arrive", test.delivered, 62);
    check_true("places", test.deliveries_most <= 5);
}

/* Of more than may lend their places some keep them. */
static void test_so_many_places_are_lent(void **state)
{
    (void)state;
    char name[32];
    test.config.delivery_connections_max = 5;
    test.policy_ms = 20 * SECOND_MS;
    schedule()->lent_max = 20;
    for (size_t i = 0; i < 60; i++)
        mail_now("a@example.com", text_print(name, sizeof name, "policy.d%zu.example", i).data);
    turn_for(10 * SECOND_MS);
    check_number("lent", schedule()->lent_count, 20);
    check_number("at once", schedule()->delivery_count, 20 + 5);
    turn_for(HOUR_MS);
    check_number("all arrive", test.delivered, 60);
    check_number("lent", schedule()->lent_count, 0);
}

/* At a stop some wait for their policy, some for their place. */
static void test_a_stop_while_places_are_lent(void **state)
{
    (void)state;
    char name[32];
    test.config.delivery_connections_max = 1;
    test.policy_ms = 3 * SECOND_MS;
    for (size_t i = 0; i < 10; i++) {
        mail_now("a@example.com", text_print(name, sizeof name, "policy.d%zu.example", i).data);
        turn_for(i == 4 ? 5 * SECOND_MS / 2 : 1);
    }
    turn_for(SECOND_MS);
    check_number("wait for their place", schedule()->places_wanted.count, 4);
    check_number("and for their policy", schedule()->lent_count, 9);
    schedule_stop(schedule());
    turn_settle();
    assert_true(schedule_is_idle(schedule()) && schedule()->lent_count == 0);
}

/* A destination that takes its time gets one connection more whenever the last one has carried a message, here after a second. */
static void test_slow_start(void **state)
{
    (void)state;
    mail_many("a@example.com", "busy.example", 50);
    mail_many("b@example.com", "busy.example", 50);
    mail_many("c@example.com", "busy.example", 50);
    for (size_t i = 1; i <= 5; i++) {
        turn_settle();
        assert_int_equal(test.deliveries_most, i);
        turn_for(SECOND_MS);
    }
}

/* One that hangs has one place, however much there is for it. */
static void test_what_hangs_has_one_place(void **state)
{
    (void)state;
    for (char sender = 'a'; sender <= 'e'; sender++) {
        const char from[] = {sender, '@', 'b', '.', 'c', '\0'};
        mail_many(from, "hang.example", 50);
    }
    turn_for(HOUR_MS);
    assert_int_equal(test.deliveries_most, 1);
}

/* Slow hosts are told to hurry while somebody waits for a place, once a second, and never else. */
static void test_only_those_who_wait_make_hurry(void **state)
{
    (void)state;
    test.config.delivery_connections_max = 3;
    mail_now("a@example.com", "hang.a.example");
    mail_now("a@example.com", "hang.b.example");
    turn_for(HOUR_MS);
    assert_int_equal(test.hurried, 0); /* there is room */
    mail_now("a@example.com", "hang.c.example");
    turn_for(HOUR_MS);
    assert_int_equal(test.hurried, 0); /* nobody waits */
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_for(10 * SECOND_MS);
    assert_in_range(tried_at(id), 2 * HOUR_MS, 2 * HOUR_MS + 2 * SECOND_MS); /* a place of one that had hung for long */
    assert_int_equal(test.hurried, 3);
    assert_int_equal(test.delivered, 1);
}

/* A delivery that has had its turn goes on when nobody waits for its place. */
static void test_a_turn_ends_only_for_others(void **state)
{
    (void)state;
    test.config.delivery_connections_max = 1;
    mail_many("bulk@example.com", "busy.example", 100);
    turn_for(60 * SECOND_MS);
    assert_in_range(test.delivered, 59, 60); /* without a pause, */
    assert_int_equal(test.started, 1);       /* and over one connection */
    assert_int_equal(schedule()->delivery_count, 1);
}

static void test_turns_are_equal(void **state)
{
    (void)state;
    test.config.delivery_connections_max = 2;
    static const char *const names[] = {"a.example", "b.example", "c.example", "d.example"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        mail_many("bulk@example.com", names[i], 300);
    turn_for(400 * SECOND_MS);
    assert_in_range(test.delivered, 780, 800); /* both places were in use */
    assert_in_range(test.started, 16, 800 / 25 + 4);
    for (size_t i = 0; i < COUNT_OF(names); i++)
        check_true(names[i], tried_of(names[i]) >= 150);
}

static void test_who_waits_longer_is_first(void **state)
{
    (void)state;
    static const char *const names[] = {"f.example", "e.example", "d.example", "c.example", "b.example"};
    uint64_t ids[COUNT_OF(names)];
    test.config.delivery_connections_max = 1;
    mail_many("bulk@example.com", "busy.example", 60);
    turn_for(3 * SECOND_MS);
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        ids[i] = mail_now("a@example.com", names[i]);
        turn_for(2 * SECOND_MS);
    }
    turn_for(MINUTE_MS);
    for (size_t i = 0; i + 1 < COUNT_OF(names); i++)
        check_true(names[i], tried_at(ids[i]) >= 0 && tried_at(ids[i]) < tried_at(ids[i + 1]));
    turn_for(MINUTE_MS);
    assert_int_equal(test.delivered, 65);
}

/* ---- rates ---- */

static const struct config_destination rates[] = {
    {.domain = SLICE_INIT("slow1.example"), .rate = {.messages = 60, .per_ms = 3600000}},
    {.domain = SLICE_INIT("slow2.example"), .rate = {.messages = 60, .per_ms = 3600000}},
    {.domain = SLICE_INIT("slow3.example"), .rate = {.messages = 6, .per_ms = 60000}},
};

static void test_a_rate_is_kept(void **state)
{
    (void)state;
    test.config.destinations = rates;
    test.config.destination_count = COUNT_OF(rates);
    mail_many("a@example.com", "slow1.example", 20);
    mail_many("b@example.com", "slow3.example", 20);
    mail_many("c@example.com", "good.example", 20);
    turn_for(10 * MINUTE_MS + 30 * SECOND_MS);
    assert_int_equal(tried_of("slow1.example"), 11);
    assert_int_equal(tried_of("slow3.example"), 20);
    assert_int_equal(tried_of("good.example"), 20);
    int64_t last_ms = -MINUTE_MS;
    for (size_t i = 0; i < test.tried_count; i++) {
        if (strcmp(test.tried[i].name, "slow1.example") != 0)
            continue;
        assert_true(test.tried[i].time_ms - last_ms >= MINUTE_MS);
        last_ms = test.tried[i].time_ms;
    }
}

/* Those that their rate holds back take no place from others, however few there are. */
static void test_paced_destinations_are_not_in_the_way(void **state)
{
    (void)state;
    test.config.destinations = rates;
    test.config.destination_count = COUNT_OF(rates);
    test.config.delivery_connections_max = 2;
    mail_many("a@example.com", "slow1.example", 20);
    mail_many("a@example.com", "slow2.example", 20);
    mail_many("a@example.com", "slow3.example", 20);
    turn_for(5 * SECOND_MS);
    int64_t asked_ms = clock_monotonic_ms() - test.start_ms;
    uint64_t id = mail_now("b@example.com", "good.example");
    turn_for(10 * SECOND_MS);
    assert_in_range(tried_at(id), asked_ms, asked_ms + 2 * SECOND_MS);
}

/* ---- idle connections ---- */

static void test_an_idle_connection_is_used_again(void **state)
{
    (void)state;
    test.idle_ms = 2 * SECOND_MS;
    mail_now("a@example.com", "good.example");
    turn_for(1500);
    assert_int_equal(schedule()->delivery_count, 1);
    assert_int_equal(schedule()->idles.count, 1);
    mail_now("a@example.com", "good.example");
    turn_settle();
    assert_int_equal(schedule()->delivery_count, 1);
    assert_int_equal(schedule()->idles.count, 0);
    assert_int_equal(test.tried_count, 2);
    turn_for(10 * SECOND_MS);
    assert_int_equal(schedule()->delivery_count, 0);
}

static void test_an_idle_connection_is_used_for_what_becomes_due(void **state)
{
    (void)state;
    test.idle_ms = 10 * SECOND_MS;
    mail_now("a@example.com", "good.example");
    uint64_t id = mail_due("a@example.com", "good.example", clock_wall_ms() + 3 * SECOND_MS);
    turn_for(4 * SECOND_MS);
    assert_in_range(tried_at(id), 3 * SECOND_MS, 3 * SECOND_MS + 1);
    assert_int_equal(test.started, 1);
}

static void test_an_idle_connection_makes_room(void **state)
{
    (void)state;
    test.idle_ms = 60 * SECOND_MS;
    test.config.delivery_connections_max = 2;
    mail_now("a@example.com", "one.example");
    mail_now("a@example.com", "two.example");
    turn_for(3 * SECOND_MS);
    assert_int_equal(schedule()->idles.count, 2);
    uint64_t id = mail_now("a@example.com", "three.example");
    turn_for(SECOND_MS / 2);
    assert_true(tried_at(id) >= 0);
    assert_int_equal(test.deliveries_most, 2);
}

/* ---- back-off ---- */

static void test_a_dead_destination_is_tried_once_for_all(void **state)
{
    (void)state;
    mail_many("a@example.com", "dead.example", 50);
    turn_for(MINUTE_MS);
    assert_int_equal(test.tried_count, 1);
    mail_now("b@example.com", "dead.example"); /* new mail joins the wait */
    turn_for(DEAD_WAIT_MS - 2 * MINUTE_MS);
    assert_int_equal(test.tried_count, 1);
    turn_for(2 * MINUTE_MS);
    assert_int_equal(test.tried_count, 2);
}

static void test_a_restart_keeps_the_wait(void **state)
{
    (void)state;
    mail_many("a@example.com", "dead.example", 5);
    turn_for(MINUTE_MS);
    stop_relay();
    start_relay();
    mail_now("b@example.com", "dead.example");
    turn_for(DEAD_WAIT_MS - 2 * MINUTE_MS);
    assert_int_equal(test.tried_count, 1);
    turn_for(2 * MINUTE_MS);
    assert_int_equal(test.tried_count, 2);
}

/* A test message, or the last attempt before a bounce, goes out although the destination waits by what the queue says.
 */
static void test_an_urgent_destination_is_tried_at_once(void **state)
{
    (void)state;
    mail_many("a@example.com", "dead.example", 2);
    turn_for(MINUTE_MS);
    assert_int_equal(test.tried_count, 1);
    struct destination *destination = schedule_destination(schedule(), SLICE("dead.example"));
    destination_try_now(destination);
    mail_now("b@example.com", "dead.example");
    turn_for(5 * SECOND_MS);
    assert_int_equal(test.tried_count, 2);
}

/* After a flush: also of those that are in memory because something of theirs is in flight. */
static void test_wake_all_ends_waits(void **state)
{
    (void)state;
    struct destination *destination = schedule_destination(schedule(), SLICE("good.example"));
    assert_true(destination_fly(destination, 99, 0));
    destination->not_before_ms = clock_wall_ms() + DAY_MS;
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_for(MINUTE_MS);
    assert_int_equal(tried_at(id), -1);
    schedule_reload(schedule());
    turn_settle();
    assert_true(tried_at(id) >= 0);
    destination_release(destination, 99, 0);
}

/* ---- the end ---- */

static void test_stop(void **state)
{
    (void)state;
    mail_many("a@example.com", "good.example", 3);
    mail_now("a@example.com", "hang.example");
    turn_for(1500);
    assert_int_equal(schedule()->delivery_count, 2);
    schedule_stop(schedule());
    assert_true(schedule_is_idle(schedule()));
    assert_true(test.ended >= 2);
    size_t tried = test.tried_count;
    mail_now("a@example.com", "other.example");
    turn_for(HOUR_MS);
    assert_int_equal(test.tried_count, tried);
}

static void test_aging_runs_every_minute(void **state)
{
    (void)state;
    turn_for(10 * MINUTE_MS);
    assert_in_range(test.aged, 9, 11);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        SCHEDULE_TEST(test_mail_goes_out_at_once),
        SCHEDULE_TEST(test_what_waited_goes_out_when_it_is_due),
        SCHEDULE_TEST(test_a_clock_that_steps_is_noticed),
        SCHEDULE_TEST(test_nobody_is_kept_out_by_others),
        SCHEDULE_TEST(test_nobody_is_kept_out_by_idle_connections),
        SCHEDULE_TEST(test_who_waits_for_a_policy_has_no_place),
        SCHEDULE_TEST(test_so_many_places_are_lent),
        SCHEDULE_TEST(test_a_stop_while_places_are_lent),
        SCHEDULE_TEST(test_slow_start),
        SCHEDULE_TEST(test_what_hangs_has_one_place),
        SCHEDULE_TEST(test_only_those_who_wait_make_hurry),
        SCHEDULE_TEST(test_a_turn_ends_only_for_others),
        SCHEDULE_TEST(test_turns_are_equal),
        SCHEDULE_TEST(test_who_waits_longer_is_first),
        SCHEDULE_TEST(test_a_rate_is_kept),
        SCHEDULE_TEST(test_paced_destinations_are_not_in_the_way),
        SCHEDULE_TEST(test_an_idle_connection_is_used_again),
        SCHEDULE_TEST(test_an_idle_connection_is_used_for_what_becomes_due),
        SCHEDULE_TEST(test_an_idle_connection_makes_room),
        SCHEDULE_TEST(test_a_dead_destination_is_tried_once_for_all),
        SCHEDULE_TEST(test_a_restart_keeps_the_wait),
        SCHEDULE_TEST(test_an_urgent_destination_is_tried_at_once),
        SCHEDULE_TEST(test_wake_all_ends_waits),
        SCHEDULE_TEST(test_stop),
        SCHEDULE_TEST(test_aging_runs_every_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
