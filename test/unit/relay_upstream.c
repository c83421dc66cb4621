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

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {SCHEDULE_TEST(test_all_that_waits_goes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
