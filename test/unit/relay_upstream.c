/* What waits on the disk when a reload or a login has ended what it waited for: all of it goes, whatever is stored beside it. */
#include "test/unit/scheduled.h"

#include "relay/upstream.h"

#define WAITING 200

static char why[20000];

/* A destination with mail that failed as a whole, as the queue knows it after a restart. */
static void wait_in_queue(size_t index, const char *reason)
{
    char name[48];
    int64_t due_ms = clock_wall_ms() + HOUR_MS;
    snprintf(name, sizeof name, "waits%zu.example", index);
    mail_due("a@example.com", name, clock_wall_ms());
    struct queue_destination known = {.name = slice_of(name), .not_before_ms = due_ms, .failures = 1, .failing_since_ms = clock_wall_ms(),
                                      .reason = slice_of(reason), .text = SLICE("it failed"), .why = slice_make(why, sizeof why)};
    struct queue_change change = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
    assert_int_equal(mail_apply(test.relay.queue, &change), ERR_NONE);
}

static const struct {
    const char *name, *reason;
    bool has_moved; /* the reload has changed routes */
    bool goes;
} rows[] = {
    {"another route", "connect", true, true},
    {"another route, and it was the password", "credentials", true, true},
    {"nothing that it waits for has changed", "connect", false, false},
};

static void test_all_that_waits_goes(void **state)
{
    memset(why, 'w', sizeof why);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t k = 0; k < WAITING; k++)
            wait_in_queue(k, rows[i].reason);
        upstream_reload(&test.relay, rows[i].has_moved);
        turn_for(10 * SECOND_MS);
        check_number(rows[i].name, test.delivered, rows[i].goes ? WAITING : 0);
        upstream_free_all(&test.relay);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* ---- a pause, and an operator who wants no pause ---- */

static const struct upstream_key refused_key = {
    .host = SLICE_INIT("smart.example"), .port = 587, .username = SLICE_INIT("app"), .password = SLICE_INIT("secret")};
static const struct upstream_key other_key = {
    .host = SLICE_INIT("smart.example"), .port = 587, .username = SLICE_INIT("other"), .password = SLICE_INIT("secret")};

/* One finds out, the others wait for what becomes of it, and it goes well or not. */
static void test_a_flush_ends_a_pause(void **state)
{
    static const enum { ACCEPTED, REFUSED } outcomes[] = {ACCEPTED, REFUSED};
    (void)state;
    test.config.retry = (struct queue_schedule){.wait_ms = {5 * MINUTE_MS}, .count = 1};
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        upstream_try_now(&test.relay); /* nothing is paused */
        int64_t pause_ms = upstream_refused(&test.relay, &refused_key, SLICE("535 no"));
        int64_t other_ms = upstream_refused(&test.relay, &other_key, SLICE("535 no"));
        check_true("paused", pause_ms >= 5 * MINUTE_MS && other_ms >= 5 * MINUTE_MS);
        check_number("paused", upstream_ask(&test.relay, &refused_key).wait_ms, pause_ms);
        upstream_try_now(&test.relay);
        check_number("one looks", upstream_look(&test.relay, &refused_key).wait_ms, 0);
        check_number("one tries", upstream_ask(&test.relay, &refused_key).wait_ms, 0);
        int64_t wait_ms = upstream_ask(&test.relay, &refused_key).wait_ms;
        check_true("the next waits for it", wait_ms > 0 && wait_ms < MINUTE_MS);
        check_number("of each account one", upstream_ask(&test.relay, &other_key).wait_ms, 0);
        if (outcomes[i] == ACCEPTED)
            upstream_accepted(&test.relay, &refused_key);
        else
            check_true("paused anew", upstream_refused(&test.relay, &refused_key, SLICE("535 no")) > 0);
        check_true("then all do", (upstream_ask(&test.relay, &refused_key).wait_ms == 0) == (outcomes[i] == ACCEPTED));
        turn_settle();
        upstream_free_all(&test.relay);
    }
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {SCHEDULE_TEST(test_all_that_waits_goes), SCHEDULE_TEST(test_a_flush_ends_a_pause)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
