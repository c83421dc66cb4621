/* How a relay ends when its disk is broken or full: in time, with everybody answered, and with the exit status that
 * says so. */
#include "test/unit/running.h"

#include <stdatomic.h>

enum err __real_queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count);
enum err __wrap_queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count);

static _Atomic int disk; /* enum err: what becomes of a transaction; ERR_NONE: the database decides */
static _Atomic size_t applied;

enum err __wrap_queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count)
{
    enum err err = (enum err)disk;
    applied++;
    return err == ERR_NONE ? __real_queue_apply(queue, changes, count) : err;
}

/* A small write of bookkeeping, or one that only looks like new mail. */
struct noted {
    struct journal_write write;
    struct queue_change change;
    struct noted *next; /* submitted by done() */
    size_t done;
    enum err err;
};
static struct noted notes[3];

static void submit(struct noted *noted, bool is_new_mail);

static void on_done(struct journal_write *write, enum err err)
{
    struct noted *noted = LIST_OF(write, struct noted, write);
    noted->done++;
    noted->err = err;
    if (noted->next != NULL)
        submit(noted->next, false);
}

static void submit(struct noted *noted, bool is_new_mail)
{
    noted->change = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = SLICE("test"), .bytes = SLICE("x")};
    noted->write = (struct journal_write){
        .changes = &noted->change, .change_count = 1, .is_new_mail = is_new_mail, .done = on_done};
    journal_submit(running.relay->journal, &noted->write);
}

static int set_up(void **state)
{
    disk = ERR_NONE;
    memset(notes, 0, sizeof notes);
    return running_setup(state);
}

#define END_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, running_teardown)

static void test_a_broken_disk_is_the_end(void **state)
{
    (void)state;
    disk = ERR_IO;
    notes[0].next = &notes[2];
    submit(&notes[0], true);
    submit(&notes[1], false);
    loop_until("the end", &running.stopped, 1);
    for (size_t i = 0; i < COUNT_OF(notes); i++) {
        assert_int_equal(notes[i].done, 1);
        assert_int_equal(notes[i].err, ERR_IO);
    }
    assert_int_equal(running.relay->exit_status, 74);
    size_t before = applied;
    disk = ERR_NONE;
    loop_for(20);
    assert_int_equal(applied, before); /* nothing may be trusted any more */
    assert_int_equal(running.stopped, 1);
}

static void test_a_full_disk_does_not_prevent_the_end(void **state)
{
    (void)state;
    disk = ERR_FULL;
    submit(&notes[0], false);
    submit(&notes[1], true);
    loop_until("new mail is refused", &notes[1].done, 1);
    assert_int_equal(notes[1].err, ERR_FULL);
    assert_int_equal(notes[0].done, 0); /* it waits for room */
    relay_stop(running.relay, 0);
    loop_until("the end", &running.stopped, 1);
    assert_int_equal(notes[0].done, 1);
    assert_int_equal(notes[0].err, ERR_FULL);
    assert_int_equal(running.relay->exit_status, 0);
}

static void test_room_while_it_stops_is_used(void **state)
{
    (void)state;
    size_t before = applied;
    disk = ERR_FULL;
    submit(&notes[0], false);
    while (applied == before)
        loop_for(1);
    relay_stop(running.relay, 0);
    disk = ERR_NONE;
    loop_until("the end", &running.stopped, 1);
    assert_int_equal(notes[0].done, 1);
    assert_int_equal(notes[0].err, ERR_NONE);
}

static void test_what_is_under_way_is_committed_first(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct slice stored;
    notes[0].next = &notes[1];
    submit(&notes[0], false);
    relay_stop(running.relay, 0);
    relay_stop(running.relay, 75); /* the first reason that is none of the operator's counts */
    assert_int_equal(running.stopped, 0);
    loop_until("the end", &running.stopped, 1);
    assert_int_equal(notes[0].err + notes[1].err, ERR_NONE);
    assert_int_equal(notes[0].done + notes[1].done, 2);
    assert_int_equal(running.relay->exit_status, 75);
    assert_int_equal(queue_meta_get(running.relay->queue, SLICE("test"), arena, &stored), ERR_NONE);
    arena_free(&arena);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        END_TEST(test_a_broken_disk_is_the_end),
        END_TEST(test_a_full_disk_does_not_prevent_the_end),
        END_TEST(test_room_while_it_stops_is_used),
        END_TEST(test_what_is_under_way_is_committed_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
