/* Deliveries that are faster than the disk: what was done and is not written down would be done again after a crash. */
#include "test/unit/scheduled.h"

#define MANY 3000

struct note {
    struct journal_write write;
    struct queue_change change;
};

static struct note notes[MANY];
static size_t notes_written;

static void on_written(struct journal_write *write, enum err err)
{
    (void)write;
    assert_int_equal(err, ERR_NONE);
    notes_written++;
}

/* Bookkeeping that waits for the disk. */
static void submit(size_t count)
{
    static size_t next;
    for (size_t i = 0; i < count; i++) {
        struct note *note = &notes[next++ % MANY];
        note->change = (struct queue_change){
            .kind = QUEUE_CHANGE_META, .key = SLICE("a test's"), .bytes = SLICE("state"), .now_ms = clock_wall_ms()};
        note->write = (struct journal_write){.changes = &note->change, .change_count = 1, .done = on_written};
        journal_submit(test.relay.journal, &note->write);
    }
}

static void test_nothing_is_taken_while_much_waits(void **state)
{
    (void)state;
    turn_hold_lanes(true);
    submit(1000);
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_for(5 * SECOND_MS);
    assert_int_equal(tried_at(id), -1);
    turn_hold_lanes(false);
    turn_for(SECOND_MS / 2);
    assert_int_equal(journal_backlog(test.relay.journal), 0);
    assert_true(tried_at(id) >= 0);
}

static void test_less_is_no_hindrance(void **state)
{
    (void)state;
    turn_hold_lanes(true);
    submit(999);
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_settle();
    assert_int_equal(tried_at(id), 0);
    turn_hold_lanes(false);
    turn_for(2 * SECOND_MS);
}

/* One that has just delivered stays with its open connection, and goes on when there is room. */
static void test_a_delivery_waits_and_goes_on(void **state)
{
    (void)state;
    test.idle_ms = 10 * SECOND_MS;
    mail_many("a@example.com", "good.example", 5);
    turn_settle();
    assert_int_equal(test.tried_count, 1);
    turn_hold_lanes(true);
    submit(1500);
    turn_for(3 * SECOND_MS);
    assert_int_equal(test.delivered, 1);
    assert_int_equal(test.tried_count, 1);
    assert_int_equal(schedule()->idles.count, 1);
    turn_hold_lanes(false);
    turn_for(10 * SECOND_MS);
    assert_int_equal(test.delivered, 5);
    assert_int_equal(test.started, 1);
}

/* New mail is bounded by its clients, and may not stop deliveries. */
static void test_new_mail_does_not_count(void **state)
{
    (void)state;
    turn_hold_lanes(true);
    for (size_t i = 0; i < 1500; i++) {
        notes[i].change = (struct queue_change){.kind = QUEUE_CHANGE_CHUNK,
                                                .id = queue_id_make(clock_wall_ms(), (uint32_t)(100000 + i)),
                                                .bytes = SLICE("content")};
        notes[i].write = (struct journal_write){
            .changes = &notes[i].change, .change_count = 1, .is_new_mail = true, .done = on_written};
        journal_submit(test.relay.journal, &notes[i].write);
    }
    assert_int_equal(journal_backlog(test.relay.journal), 0);
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_settle();
    assert_int_equal(tried_at(id), 0);
    turn_hold_lanes(false);
    turn_for(2 * SECOND_MS);
}

static void test_a_stop_does_not_wait(void **state)
{
    (void)state;
    test.idle_ms = 10 * SECOND_MS;
    mail_many("a@example.com", "good.example", 5);
    turn_settle();
    turn_hold_lanes(true);
    submit(1500);
    turn_for(3 * SECOND_MS);
    schedule_stop(schedule());
    turn_hold_lanes(false);
    turn_for(SECOND_MS);
    assert_true(schedule_is_idle(schedule()));
    assert_int_equal(test.tried_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCHEDULE_TEST(test_nothing_is_taken_while_much_waits),
        SCHEDULE_TEST(test_less_is_no_hindrance),
        SCHEDULE_TEST(test_a_delivery_waits_and_goes_on),
        SCHEDULE_TEST(test_new_mail_does_not_count),
        SCHEDULE_TEST(test_a_stop_does_not_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
