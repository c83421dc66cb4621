/* One report for the failures of a message: when it is made, that none is told before it is on the disk that it failed, and that none is
 * kept waiting for longer than [bounce] gather. */
#include "test/unit/gathered.h"

/* ---- when the report is made ---- */

static void test_ten_destinations_one_report(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 10, .recipients = 2});
    for (uint16_t i = 0; i < 10; i++) {
        assert_int_equal(reports(), 0);
        pass(1000);
        refuse(i);
        assert_int_equal(owed(), i < 9 ? i + 1u : 0);
    }
    /* Nothing is pending: at once, while the message is there to be returned. */
    assert_int_equal(reports(), 1);
    assert_false(is_in_queue());
    for (size_t i = 0; i < 10; i++)
        assert_true(told(i, 0) == 1 && told(i, 1) == 1);
    assert_int_equal(count_of("\r\nSubject: test\r\n"), 1);
    assert_int_equal(test.relay.metrics.reports, 1);
    pass(10 * GATHER_MS);
    assert_int_equal(reports(), 1);
}

static void test_what_is_pending_keeps_nobody_waiting(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 3, .recipients = 1});
    refuse(0);
    pass(GATHER_MS / 2);
    refuse(1);
    int64_t due_ms = 0;
    assert_int_equal(gathering_count(test.relay.gathering, world.id, &due_ms), 2);
    assert_int_equal(due_ms, clock_wall_ms() + GATHER_MS / 2);
    pass(GATHER_MS / 2 - 1);
    assert_int_equal(reports(), 0);
    pass(1);
    assert_int_equal(reports(), 1);
    assert_true(told(0, 0) == 1 && told(1, 0) == 1 && told(2, 0) == 0);
    assert_int_equal(count_of("\r\nSubject: test\r\n"), 1);
    assert_int_equal(owed(), 0);
    assert_int_equal(gathering_count(test.relay.gathering, world.id, NULL), 0);
    refuse(2);
    assert_int_equal(reports(), 2);
    assert_int_equal(told(2, 0), 1);
}

static const struct {
    const char *name;
    struct letter letter;
    int64_t gather_ms;
    size_t failed; /* recipients of the first entry that fail */
    size_t reports;  /* at once */
    size_t owed;
} starts[] = {
    {"the only recipient", {"s@example.com", 1, 1, 0}, GATHER_MS, 1, 1, 0},
    {"all of the only destination", {"s@example.com", 1, 5, 0}, GATHER_MS, 5, 1, 0},
    {"some of the only destination", {"s@example.com", 1, 5, 0}, GATHER_MS, 2, 0, 1},
    {"one of two destinations", {"s@example.com", 2, 1, 0}, GATHER_MS, 1, 0, 1},
    {"the same, nothing is to be gathered", {"s@example.com", 2, 1, 0}, 0, 1, 1, 0},
    {"nobody is to be told", {"s@example.com", 2, 1, SMTP_NOTIFY_NEVER}, GATHER_MS, 1, 0, 0},
    {"a report itself", {"", 2, 1, 0}, GATHER_MS, 1, 0, 0},
};

static void test_how_it_starts(void **state)
{
    for (size_t i = 0; i < COUNT_OF(starts); i++) {
        if (i > 0)
            assert_int_equal(set_up_world(state), 0);
        test.config.report_gather_ms = starts[i].gather_ms;
        accept(&starts[i].letter);
        assert_true(outcome_text(0, starts[i].failed, QUEUE_FAILED, SLICE("550 no")));
        answer_all(ERR_NONE);
        check_number(starts[i].name, reports(), starts[i].reports);
        check_number(starts[i].name, owed(), starts[i].owed);
        pass(GATHER_MS);
        check_number(starts[i].name, reports(), starts[i].reports + starts[i].owed);
        check_number(starts[i].name, owed(), 0);
        if (i + 1 < COUNT_OF(starts))
            assert_int_equal(tear_down_world(state), 0);
    }
}

static void test_success_is_told_beside_failure(void **state)
{
    (void)state;
    accept(&(struct letter){
        .from = "s@example.com", .entries = 3, .recipients = 1, .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE});
    refuse(0);
    assert_true(outcome(1, QUEUE_DELIVERED));
    answer_all(ERR_NONE);
    assert_int_equal(reports(), 0);
    assert_true(outcome(2, QUEUE_DELIVERED));
    answer_all(ERR_NONE);
    assert_int_equal(reports(), 1);
    assert_int_equal(count_of("\r\nAction: failed\r\n"), 1);
    assert_int_equal(count_of("\r\nAction: relayed\r\n"), 2);
}

/* The last one is delivered: it tells nothing of its own, but nothing is waited for any more. */
static void test_a_delivery_ends_the_wait(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 2, .recipients = 1});
    refuse(0);
    assert_true(outcome(1, QUEUE_DELIVERED));
    answer_all(ERR_NONE);
    assert_int_equal(reports(), 1);
    assert_true(told(0, 0) == 1 && told(1, 0) == 0);
    assert_int_equal(count_of("\r\nSubject: test\r\n"), 1);
}

/* ---- on the way to the disk ---- */

/* Both know of each other, although the disk knows of none. */
static void test_outcomes_under_way(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 3, .recipients = 1});
    assert_true(outcome(2, QUEUE_DELIVERED));
    assert_true(outcome(0, QUEUE_FAILED));
    assert_true(outcome(1, QUEUE_FAILED));
    answer_all(ERR_NONE);
    assert_false(is_in_queue());
    assert_int_equal(reports(), 1);
    assert_true(told(0, 0) == 1 && told(1, 0) == 1);
    assert_int_equal(count_of("\r\nSubject: test\r\n"), 1);
    assert_int_equal(owed(), 0);
}

static void test_what_is_not_committed_is_not_told(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 3, .recipients = 1});
    assert_true(outcome(0, QUEUE_FAILED));
    turn_for(2 * GATHER_MS); /* the disk is full: its time comes and goes */
    assert_int_equal(test.count, 1);
    answer(ERR_MEMORY);
    assert_int_equal(gathering_count(test.relay.gathering, world.id, NULL), 0);
    pass(2 * GATHER_MS);
    assert_int_equal(reports(), 0);
    assert_true(outcome(0, QUEUE_DELIVERED)); /* tried again */
    answer_all(ERR_NONE);
    refuse(1);
    refuse(2);
    assert_int_equal(reports(), 1);
    assert_true(told(0, 0) == 0 && told(1, 0) == 1 && told(2, 0) == 1);
}

/* A report that did not get to the disk is owed still, by the timer or by the last outcome. */
static void test_a_report_that_is_not_committed(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 2, .recipients = 1});
    refuse(0);
    turn_for(GATHER_MS);
    assert_int_equal(test.count, 1);
    answer(ERR_MEMORY);
    assert_int_equal(gathering_count(test.relay.gathering, world.id, NULL), 1);
    assert_true(outcome(1, QUEUE_FAILED));
    answer(ERR_MEMORY);
    assert_int_equal(reports(), 0);
    pass(2000);
    assert_int_equal(reports(), 1);
    assert_int_equal(told(0, 0), 1);
    refuse(1);
    assert_int_equal(reports(), 2);
    assert_int_equal(told(1, 0), 1);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_ten_destinations_one_report),
        WORLD_TEST(test_what_is_pending_keeps_nobody_waiting),
        WORLD_TEST(test_how_it_starts),
        WORLD_TEST(test_success_is_told_beside_failure),
        WORLD_TEST(test_a_delivery_ends_the_wait),
        WORLD_TEST(test_outcomes_under_way),
        WORLD_TEST(test_what_is_not_committed_is_not_told),
        WORLD_TEST(test_a_report_that_is_not_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
