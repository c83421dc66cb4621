/* What is owed over the ends of the process, within its bounds, and where it cannot be told or read: each failed recipient is reported
 * once, whatever comes between. */
#include "test/unit/gathered.h"

/* ---- ends ---- */

static void test_a_restart_forgets_nothing(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 3, .recipients = 1});
    refuse(0);
    pass(GATHER_MS - 5000);
    restart();
    pass(4999);
    assert_int_equal(reports(), 0);
    pass(1); /* the rest of its time */
    assert_int_equal(reports(), 1);
    restart();
    pass(2 * GATHER_MS);
    assert_int_equal(reports(), 1);
    refuse(1);
    restart();
    refuse(2);
    assert_int_equal(reports(), 2);
    assert_true(told(0, 0) == 1 && told(1, 0) == 1 && told(2, 0) == 1);
    assert_int_equal(owed(), 0);
}

static void test_a_clock_that_was_set(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 2, .recipients = 1});
    refuse(0);
    turn_step_wall(-INT64_C(365) * 24 * 3600000);
    restart();
    pass(GATHER_MS - 1);
    assert_int_equal(reports(), 0);
    pass(1);
    assert_int_equal(reports(), 1);
}

static void test_a_stop_waits_for_nothing(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 2, .recipients = 1});
    refuse(0);
    gathering_stop(test.relay.gathering);
    pass(10 * GATHER_MS);
    assert_int_equal(reports(), 0);
    restart();
    pass(0);
    assert_int_equal(reports(), 1);
}

/* The process ends after so many commits; what the next one does from there on ends with each recipient told of once. */
static bool run_until(size_t *commits_left)
{
    for (uint16_t i = 0; i < 6; i++) {
        (void)outcome(i, QUEUE_FAILED);
        if (i % 3 == 2)
            turn_for(GATHER_MS);
        for (; test.count > 0 && (i % 2 == 1 || i == 5); (*commits_left)--) {
            if (*commits_left == 0)
                return false;
            answer(ERR_NONE);
            turn_settle();
        }
    }
    return true;
}

static void test_an_end_after_each_commit(void **state)
{
    bool is_over = false;
    for (size_t commits = 0; !is_over; commits++) {
        size_t left = commits, unlimited = SIZE_MAX;
        if (commits > 0)
            assert_int_equal(set_up_world(state), 0);
        accept(&(struct letter){.from = "s@example.com", .entries = 6, .recipients = 1});
        is_over = run_until(&left);
        restart();
        assert_true(run_until(&unlimited));
        pass(GATHER_MS);
        assert_false(is_in_queue());
        (void)reports();
        for (size_t i = 0; i < 6; i++)
            check_number("told", told(i, 0), 1);
        check_number("owed", owed(), 0);
        if (!is_over)
            assert_int_equal(tear_down_world(state), 0);
        assert_true(commits < 20);
    }
}

/* ---- bounds ---- */

static void test_many_recipients_take_more_reports(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 4, .recipients = 60});
    for (uint16_t i = 0; i < 4; i++)
        refuse(i);
    assert_int_equal(reports(), 4); /* a report has a hundred at most */
    for (size_t i = 0; i < 4; i++) {
        for (size_t j = 0; j < 60; j++)
            assert_int_equal(told(i, j), 1);
    }
    assert_int_equal(count_of("\r\nSubject: test\r\n"), 4);
    assert_int_equal(owed(), 0);
}

static void test_no_place_is_left(void **state)
{
    (void)state;
    static char long_text[5000];
    memset(long_text, 'x', sizeof long_text);
    accept(&(struct letter){.from = "s@example.com", .entries = 3, .recipients = 60});
    /* A piece that is too long for its place. */
    assert_true(outcome_text(0, 60, QUEUE_FAILED, slice_make(long_text, sizeof long_text)));
    answer_all(ERR_NONE);
    assert_int_equal(reports(), 1);
    assert_int_equal(told(0, 59), 1);
    assert_int_equal(owed(), 0);
    assert_int_equal(world.paused, 0);
}

static void test_all_places_are_taken(void **state)
{
    (void)state;
    for (; world.id < FIRST_ID + 9; world.id++) {
        accept(&(struct letter){.from = "s@example.com", .entries = 1, .recipients = 60});
        for (size_t i = 0; i < 59; i++) {
            assert_true(outcome_text(0, 1, QUEUE_FAILED, SLICE("550 no")));
            answer_all(ERR_NONE);
        }
    }
    assert_true(owed() > 400);
    assert_true(reports() > 0);
    restart();
    pass(GATHER_MS);
    (void)reports();
    assert_int_equal(count_of("\r\nAction: failed\r\n"), 9 * 59);
    assert_int_equal(owed(), 0);
}

/* ---- what cannot be told, or read ---- */

static void test_nobody_to_tell(void **state)
{
    (void)state;
    static const struct slice own[] = {SLICE_INIT("relay.example")};
    struct buffer warnings;
    buffer_init(&warnings, 4096);
    locals_free(&test.relay.locals);
    test.config.local_domains = (struct config_list){.items = own, .count = 1};
    test.config.postmaster = SLICE("pm@d.example");
    assert_int_equal(locals_load(&test.config, &test.relay.locals, &warnings), ERR_NONE);
    buffer_free(&warnings);
    accept(&(struct letter){.from = "nobody@relay.example", .entries = 3, .recipients = 1});
    refuse(0);
    refuse(1);
    assert_int_equal(world.digested, 0);
    pass(GATHER_MS);
    assert_int_equal(world.digested, 2);
    assert_int_equal(reports(), 0);
    assert_int_equal(owed(), 0);
}

static void test_a_damaged_piece(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 2, .recipients = 1});
    const struct queue_change damage = {.kind = QUEUE_CHANGE_META, .key = SLICE("owed/0"), .bytes = SLICE("\001wibble")};
    const struct queue_change *changes[] = {&damage};
    assert_int_equal(queue_apply(test.relay.queue, changes, 1), ERR_NONE);
    restart();
    assert_int_equal(world.lost, 1);
    refuse(0);
    assert_int_equal(owed(), 1); /* its place is used again */
    refuse(1);
    assert_int_equal(reports(), 1);
    assert_int_equal(owed(), 0);
}

/* The message has gone in another way: told all the same, without its header. */
static void test_the_message_is_gone(void **state)
{
    (void)state;
    accept(&(struct letter){.from = "s@example.com", .entries = 2, .recipients = 1});
    refuse(0);
    const struct queue_change gone = {.kind = QUEUE_CHANGE_DELETE, .id = world.id, .now_ms = clock_wall_ms()};
    const struct queue_change *changes[] = {&gone};
    assert_int_equal(queue_apply(test.relay.queue, changes, 1), ERR_NONE);
    pass(GATHER_MS);
    assert_int_equal(reports(), 1);
    assert_int_equal(told(0, 0), 1);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_a_restart_forgets_nothing),
        WORLD_TEST(test_a_clock_that_was_set),
        WORLD_TEST(test_a_stop_waits_for_nothing),
        WORLD_TEST(test_an_end_after_each_commit),
        WORLD_TEST(test_many_recipients_take_more_reports),
        WORLD_TEST(test_no_place_is_left),
        WORLD_TEST(test_all_places_are_taken),
        WORLD_TEST(test_nobody_to_tell),
        WORLD_TEST(test_a_damaged_piece),
        WORLD_TEST(test_the_message_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
