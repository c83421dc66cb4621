/* The journal's rules over a database that the test plays: what becomes one transaction, who hears what when it fails,
 * and what a full disk means. With threads and a real database: host_journal.c. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "relay/config.h"
#include "relay/journal.h"
#include "relay/relay.h"

#define WRITES_MAX 5000
#define CALLS_MAX 64

/* One write of a test and what became of it. */
struct noted {
    struct journal_write write;
    struct queue_change *changes;
    size_t done;
    enum err err;
    void (*then)(struct noted *noted); /* called by its done(); NULL: nothing */
};

static struct {
    struct relay relay;
    struct config config;
    struct log log;
    struct noted writes[WRITES_MAX];
    size_t count;
    size_t order[WRITES_MAX]; /* of done() */
    size_t done_count;
    size_t broken, ended, log_lines;
} test;

/* The database: answers by the script, and notes what it was given. */
static struct {
    enum err (*answer)(size_t call, bool has_new_mail);
    size_t calls;
    size_t counts[CALLS_MAX];     /* of changes */
    uint64_t ids[4 * WRITES_MAX]; /* of the changes that were committed, in order */
    size_t committed;
    void (*during)(size_t call); /* on the lane, before it ends */
    struct queue_space space;
    enum err space_err;
    size_t space_calls;
} db;

enum err queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count)
{
    (void)queue;
    bool has_new_mail = false;
    assert_true(db.calls < CALLS_MAX);
    db.counts[db.calls] = count;
    for (size_t i = 0; i < count; i++)
        has_new_mail = has_new_mail || changes[i]->kind == QUEUE_CHANGE_CHUNK;
    enum err err = db.answer == NULL ? ERR_NONE : db.answer(db.calls, has_new_mail);
    for (size_t i = 0; err == ERR_NONE && i < count; i++) {
        assert_true(db.committed < COUNT_OF(db.ids));
        db.ids[db.committed++] = changes[i]->id;
    }
    db.calls++;
    if (db.during != NULL)
        db.during(db.calls - 1);
    return err;
}

enum err queue_space(struct queue *queue, struct queue_space *space)
{
    (void)queue;
    db.space_calls++;
    *space = db.space;
    return db.space_err;
}

void relay_broken(struct relay *relay, enum err err)
{
    assert_ptr_equal(relay, &test.relay);
    assert_int_equal(err, ERR_IO);
    test.broken++;
}

void relay_part_ended(struct relay *relay)
{
    assert_ptr_equal(relay, &test.relay);
    assert_true(journal_is_idle(relay->journal));
    test.ended++;
}

static void count_line(struct log *log, struct slice line)
{
    (void)log;
    test.log_lines += slice_find_slice(line, SLICE("event=outcomes_lost")) < line.length;
}

static int set_up(void **state)
{
    (void)state;
    turn_start();
    memset(&test, 0, sizeof test);
    memset(&db, 0, sizeof db);
    test.log = (struct log){.level = LOG_INFO, .write = count_line};
    test.config.queue_free_min = 1000;
    test.relay.config = &test.config;
    test.relay.log = &test.log;
    db.space = (struct queue_space){.map_size = 1000000, .map_used = 1000, .disk_free = 1000000};
    test.relay.journal = journal_new(&test.relay);
    return test.relay.journal == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    db.answer = NULL; /* a test that failed may have left something */
    db.during = NULL;
    turn_hold_lanes(false);
    turn_for(1000);
    journal_free(&test.relay.journal);
    for (size_t i = 0; i < test.count; i++)
        free(test.writes[i].changes);
    return turn_running() == 0 ? 0 : -1;
}

static void on_done(struct journal_write *write, enum err err)
{
    struct noted *noted = LIST_OF(write, struct noted, write);
    noted->done++;
    noted->err = err;
    test.order[test.done_count++] = (size_t)(noted - test.writes);
    if (noted->then != NULL)
        noted->then(noted);
}

/* Changes whose id is the write's number. */
static struct noted *submit_many(bool is_new_mail, size_t change_count, size_t bytes)
{
    struct noted *noted = &test.writes[test.count];
    assert_true(test.count < WRITES_MAX);
    noted->changes = calloc(change_count + 1, sizeof *noted->changes);
    assert_non_null(noted->changes);
    for (size_t i = 0; i < change_count; i++) {
        noted->changes[i].kind = is_new_mail ? QUEUE_CHANGE_CHUNK : QUEUE_CHANGE_UPDATE;
        noted->changes[i].id = test.count;
        noted->changes[i].bytes = i == 0 ? (struct slice){"", bytes} : SLICE_EMPTY; /* nobody reads them */
    }
    noted->write = (struct journal_write){
        .changes = noted->changes, .change_count = change_count, .is_new_mail = is_new_mail, .done = on_done};
    test.count++;
    journal_submit(test.relay.journal, &noted->write);
    return noted;
}

static struct noted *submit(bool is_new_mail)
{
    return submit_many(is_new_mail, 1, 1);
}

static void check_all_done(const char *name, enum err err)
{
    for (size_t i = 0; i < test.count; i++) {
        check_number(name, test.writes[i].done, 1);
        check_number(name, test.writes[i].err, err);
    }
    check_true(name, journal_is_idle(test.relay.journal));
    check_number(name, journal_pending_bytes(test.relay.journal), 0);
}

/* ---- transactions ---- */

static void test_what_comes_meanwhile_is_the_next(void **state)
{
    (void)state;
    turn_hold_lanes(true);
    submit(true);
    assert_false(journal_is_idle(test.relay.journal));
    for (size_t i = 1; i < 50; i++)
        submit(i % 3 == 0);
    turn_for(5000);
    assert_int_equal(test.done_count, 0);
    assert_int_equal(db.calls, 0);
    assert_false(journal_is_idle(test.relay.journal));
    assert_int_equal(journal_pending_bytes(test.relay.journal), 50);
    turn_hold_lanes(false);
    turn_settle();
    assert_int_equal(db.calls, 2);
    assert_int_equal(db.counts[0], 1);
    assert_int_equal(db.counts[1], 49);
    check_all_done("all", ERR_NONE);
    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(db.ids[i], i);
        assert_int_equal(test.order[i], i);
    }
    assert_int_equal(metrics_count(&test.relay.metrics.batch), 2);
    assert_int_equal(test.relay.metrics.batch.sum, 50);
    assert_int_equal(test.relay.metrics.commit_failed, 0);
}

/* Who only wants its turn gets it behind all before it, and the disk is not asked for that. */
static void test_nothing_to_write(void **state)
{
    (void)state;
    submit(false);
    submit_many(false, 0, 0);
    turn_settle();
    submit_many(false, 0, 0);
    turn_settle();
    check_number("transactions", db.calls, 1);
    check_all_done("all", ERR_NONE);
    for (size_t i = 0; i < 3; i++)
        check_number("in turn", test.order[i], i);
}

#define MIB ((size_t)1 << 20)
static const struct {
    const char *name;
    size_t writes, changes_each, bytes_each;
    size_t calls, first; /* transactions, and the writes of the first full one */
} bounds[] = {
    {"few", 10, 1, 100, 1, 10},
    {"as many writes as one takes", 1024, 1, 1, 1, 1024},
    {"a write too many", 1025, 1, 1, 2, 1024},
    {"as many changes as one takes", 4, 1024, 1, 1, 4},
    {"a change too many", 4, 1025, 1, 2, 3},
    {"a write that fills one alone", 2, 4096, 1, 2, 1},
    {"as many bytes as one takes", 8, 1, 2 * MIB, 1, 8},
    {"a byte too many", 8, 1, 2 * MIB + 1, 2, 7},
    {"larger than one takes", 3, 1, 20 * MIB, 3, 1},
};

static void test_bounds_of_a_transaction(void **state)
{
    for (size_t i = 0; i < COUNT_OF(bounds); i++) {
        turn_hold_lanes(true);
        submit(false); /* holds the lane, so that the others gather */
        for (size_t k = 0; k < bounds[i].writes; k++)
            submit_many(true, bounds[i].changes_each, bounds[i].bytes_each);
        check_number(bounds[i].name, journal_pending_bytes(test.relay.journal),
                     1 + bounds[i].writes * bounds[i].bytes_each);
        turn_hold_lanes(false);
        turn_settle();
        check_number(bounds[i].name, db.calls, 1 + bounds[i].calls);
        check_number(bounds[i].name, db.counts[1], bounds[i].first * bounds[i].changes_each);
        check_all_done(bounds[i].name, ERR_NONE);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void submit_more(struct noted *noted)
{
    noted->then = NULL;
    submit(true);
    assert_int_equal(test.writes[test.count - 1].done, 0);
}

/* What done() submits must not be taken for a part of the batch that is being answered. */
static void test_what_done_submits_is_written(void **state)
{
    (void)state;
    turn_hold_lanes(true);
    submit(true);
    for (size_t i = 0; i < 3; i++)
        submit(true)->then = submit_more;
    turn_hold_lanes(false);
    turn_settle();
    assert_int_equal(test.count, 7);
    assert_int_equal(db.committed, 7);
    assert_int_equal(db.calls, 3);
    check_all_done("all", ERR_NONE);
}

/* ---- failures ---- */

static enum err failing;

static enum err fail_second(size_t call, bool has_new_mail)
{
    (void)has_new_mail;
    return call == 1 ? failing : ERR_NONE;
}

/* A failure is the whole batch's, new mail or not; only a broken disk is everybody's from then on. */
static void test_failures(void **state)
{
    static const enum err errs[] = {ERR_IO, ERR_MEMORY, ERR_EXISTS, ERR_NOT_FOUND, ERR_CORRUPT};
    for (size_t i = 0; i < COUNT_OF(errs); i++) {
        const char *name = err_text(errs[i]);
        bool breaks = errs[i] == ERR_IO;
        failing = errs[i];
        db.answer = fail_second;
        turn_hold_lanes(true);
        submit(true);
        submit(false);
        submit(true);
        turn_hold_lanes(false);
        turn_settle();
        submit(false);
        struct noted *last = submit(true);
        check_number(name, last->done, 0);
        turn_settle();
        check_number(name, test.writes[0].err, ERR_NONE);
        check_number(name, test.writes[1].err, errs[i]);
        check_number(name, test.writes[2].err, errs[i]);
        for (size_t k = 3; k < test.count; k++)
            check_number(name, test.writes[k].err, breaks ? ERR_IO : ERR_NONE);
        check_number(name, test.done_count, test.count);
        check_number(name, test.broken, breaks ? 1 : 0);
        check_number(name, db.calls, breaks ? 2 : 4);
        check_number(name, test.relay.metrics.commit_failed, 1);
        check_number(name, journal_pending_bytes(test.relay.journal), 0);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static enum err always_broken(size_t call, bool has_new_mail)
{
    (void)call;
    (void)has_new_mail;
    return ERR_IO;
}

static void test_a_broken_disk_is_not_written_again(void **state)
{
    (void)state;
    db.answer = always_broken;
    turn_hold_lanes(true);
    submit(true)->then = submit_more;
    submit(false)->then = submit_more;
    turn_hold_lanes(false);
    turn_settle();
    assert_int_equal(test.count, 4);
    check_all_done("all", ERR_IO);
    assert_int_equal(db.calls, 1);
    assert_int_equal(test.broken, 1);
    assert_true(test.ended > 0);
}

/* ---- a full disk ---- */

static bool has_room; /* for bookkeeping alone; new mail has none */

static enum err full_for_new_mail(size_t call, bool has_new_mail)
{
    (void)call;
    return has_new_mail || !has_room ? ERR_FULL : ERR_NONE;
}

static void test_full_refuses_new_mail_and_keeps_bookkeeping(void **state)
{
    (void)state;
    db.answer = full_for_new_mail;
    has_room = true;
    turn_hold_lanes(true);
    submit(false);
    for (size_t i = 1; i < 9; i++)
        submit(i % 2 == 0);
    turn_hold_lanes(false);
    turn_settle();
    for (size_t i = 0; i < 9; i++) {
        check_number("done", test.writes[i].done, 1);
        check_number("err", test.writes[i].err, i > 0 && i % 2 == 0 ? ERR_FULL : ERR_NONE);
    }
    static const uint64_t kept[] = {0, 1, 3, 5, 7};
    assert_int_equal(db.committed, COUNT_OF(kept));
    for (size_t i = 0; i < COUNT_OF(kept); i++)
        assert_int_equal(db.ids[i], kept[i]);
    assert_int_equal(test.broken, 0);
    assert_int_equal(journal_pending_bytes(test.relay.journal), 0);
    assert_int_equal(test.relay.metrics.commit_failed, 1);
}

static void test_bookkeeping_waits_for_room(void **state)
{
    (void)state;
    db.answer = full_for_new_mail;
    has_room = false;
    submit(false);
    submit(false);
    turn_for(10500);
    assert_int_equal(test.done_count, 0);
    assert_in_range(db.calls, 10, 12); /* about once a second */
    has_room = true;
    turn_for(1000);
    check_all_done("all", ERR_NONE);
    assert_int_equal(db.ids[0], 0);
    assert_int_equal(db.ids[1], 1);
}

/* New mail that comes while bookkeeping waits for room gets its answer soon, and costs the bookkeeping nothing. */
static void test_new_mail_does_not_wait_for_room(void **state)
{
    (void)state;
    db.answer = full_for_new_mail;
    has_room = false;
    submit(false);
    turn_settle();
    struct noted *mail = submit(true);
    turn_for(2000);
    assert_int_equal(mail->done, 1);
    assert_int_equal(mail->err, ERR_FULL);
    assert_int_equal(test.writes[0].done, 0);
    has_room = true;
    turn_for(1000);
    assert_int_equal(test.writes[0].err, ERR_NONE);
    assert_int_equal(test.done_count, 2);
}

static void mail_never_ends(size_t call)
{
    if (call < 40)
        submit(true);
}

/* The reserve is for batches without new mail: bookkeeping must come to be one although mail keeps coming. */
static void test_a_stream_of_mail_does_not_hold_up_bookkeeping(void **state)
{
    (void)state;
    db.answer = full_for_new_mail;
    has_room = true;
    turn_hold_lanes(true);
    submit(true);
    struct noted *bookkeeping = submit(false);
    db.during = mail_never_ends;
    turn_hold_lanes(false);
    turn_for(60000);
    assert_int_equal(bookkeeping->err, ERR_NONE);
    assert_int_equal(test.done_count, test.count);
    assert_int_equal(test.order[1], 1);
}

static void test_give_up(void **state)
{
    (void)state;
    db.answer = full_for_new_mail;
    has_room = false;
    submit(false);
    turn_for(3500);
    assert_int_equal(test.done_count, 0);
    size_t calls = db.calls;
    journal_give_up(test.relay.journal);
    assert_int_equal(test.done_count, 0); /* not within the call */
    turn_settle();
    check_all_done("what waited", ERR_FULL);
    assert_int_equal(db.calls, calls + 1); /* one last try */
    assert_int_equal(test.log_lines, 1);
    assert_true(test.ended > 0);
    submit(false);
    submit(true);
    turn_settle();
    check_all_done("what came later", ERR_FULL);
    has_room = true;
    submit(false);
    turn_settle();
    assert_int_equal(test.writes[3].err, ERR_NONE);
}

static void test_give_up_with_room_loses_nothing(void **state)
{
    (void)state;
    turn_hold_lanes(true);
    submit(false);
    submit(true);
    journal_give_up(test.relay.journal);
    turn_hold_lanes(false);
    turn_settle();
    check_all_done("all", ERR_NONE);
    assert_int_equal(test.log_lines, 0);
}

/* ---- space ---- */

static const struct {
    const char *name;
    struct queue_space space;
    enum err err;
    bool is_full;
} spaces[] = {
    {"plenty", {1000000, 0, 5000, 0}, ERR_NONE, false},
    {"85 %", {1000000, 850000, 5000, 0}, ERR_NONE, false},
    {"over 85 %", {1000000, 850001, 5000, 0}, ERR_NONE, true},
    {"free-min", {1000000, 0, 1000, 0}, ERR_NONE, false},
    {"under free-min", {1000000, 0, 999, 0}, ERR_NONE, true},
    {"room in the file", {1000000, 0, 0, 1000}, ERR_NONE, false},
    {"too little in both", {1000000, 0, 500, 499}, ERR_NONE, true},
    {"no answer", {1000000, 0, 5000, 0}, ERR_IO, true},
};

static void test_space(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(spaces); i++) {
        turn_for(1000);
        db.space = spaces[i].space;
        db.space_err = spaces[i].err;
        check_number(spaces[i].name, journal_is_full(test.relay.journal), spaces[i].is_full);
    }
    assert_int_equal(db.space_calls, COUNT_OF(spaces));
    db.space_err = ERR_NONE;
    for (size_t i = 0; i < 1000; i++)
        assert_true(journal_is_full(test.relay.journal)); /* the disk is not asked every time */
    assert_int_equal(db.space_calls, COUNT_OF(spaces));
    turn_for(1000);
    assert_false(journal_is_full(test.relay.journal));
}

static void test_a_full_commit_closes_the_door(void **state)
{
    (void)state;
    assert_false(journal_is_full(test.relay.journal));
    db.answer = full_for_new_mail;
    submit(true);
    turn_settle();
    assert_true(journal_is_full(test.relay.journal));
    turn_for(1000);
    assert_false(journal_is_full(test.relay.journal)); /* one try a second */
    submit(true);
    turn_settle();
    assert_true(journal_is_full(test.relay.journal));
    db.answer = NULL;
    submit(false);
    turn_settle();
    assert_false(journal_is_full(test.relay.journal));
}

#define JOURNAL_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        JOURNAL_TEST(test_what_comes_meanwhile_is_the_next),
        JOURNAL_TEST(test_nothing_to_write),
        JOURNAL_TEST(test_bounds_of_a_transaction),
        JOURNAL_TEST(test_what_done_submits_is_written),
        JOURNAL_TEST(test_failures),
        JOURNAL_TEST(test_a_broken_disk_is_not_written_again),
        JOURNAL_TEST(test_full_refuses_new_mail_and_keeps_bookkeeping),
        JOURNAL_TEST(test_bookkeeping_waits_for_room),
        JOURNAL_TEST(test_new_mail_does_not_wait_for_room),
        JOURNAL_TEST(test_a_stream_of_mail_does_not_hold_up_bookkeeping),
        JOURNAL_TEST(test_give_up),
        JOURNAL_TEST(test_give_up_with_room_loses_nothing),
        JOURNAL_TEST(test_space),
        JOURNAL_TEST(test_a_full_commit_closes_the_door),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
