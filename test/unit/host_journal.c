/* The journal with its thread and a real database: nobody hears of success before it is on the disk, batches are all or
 * nothing, and a full map refuses new mail only. Its rules one by one: relay_journal.c. Also run under ThreadSanitizer.
 */
#include "test/unit/folder.h"
#include "test/unit/loop.h"
#include "test/unit/mail.h"

#include "relay/config.h"
#include "relay/journal.h"
#include "relay/relay.h"

#include <pthread.h>

#define MAILS_MAX 1200
#define HOUR_MS INT64_C(3600000)

enum err __real_queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count);
enum err __wrap_queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count);

/* Before a commit the journal's thread waits here while the gate is closed. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool is_closed;
    size_t arrived;
    pthread_t thread; /* of the last that arrived */
} gate = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

/* One write: a new message, or the delivery of one. */
struct mail_write {
    struct journal_write write;
    struct mail_changes made;
    struct queue_change update;
    struct queue_entry entry;
    struct queue_recipient recipient;
    uint64_t id;
    size_t done;
    enum err err;
    void (*then)(struct mail_write *mail);
};

static struct {
    struct relay relay;
    struct config config;
    struct log log;
    struct folder folder;
    struct mail_write mails[MAILS_MAX];
    size_t count, done, broken;
    size_t last_done; /* number of the write that was answered last */
    pthread_t loop;
} test;

static void gate_close(bool is_closed)
{
    pthread_mutex_lock(&gate.mutex);
    gate.is_closed = is_closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_wait_for(size_t arrived)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.arrived < arrived)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

enum err __wrap_queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count)
{
    pthread_mutex_lock(&gate.mutex);
    gate.arrived++;
    gate.thread = pthread_self();
    pthread_cond_broadcast(&gate.changed);
    while (gate.is_closed)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
    return __real_queue_apply(queue, changes, count);
}

void relay_broken(struct relay *relay, enum err err)
{
    (void)relay;
    (void)err;
    test.broken++;
}

void relay_part_ended(struct relay *relay)
{
    (void)relay;
}

static void no_line(struct log *log, struct slice line)
{
    (void)log;
    (void)line;
}

static void open_with(uint64_t map_size)
{
    struct buffer fault;
    struct queue_options options = {.map_size = map_size, .done_keep_ms = HOUR_MS};
    memset(&test, 0, sizeof test);
    gate.arrived = 0;
    test.loop = pthread_self();
    test.log = (struct log){.level = LOG_INFO, .write = no_line};
    test.relay.config = &test.config;
    test.relay.log = &test.log;
    folder_make(&test.folder);
    loop_open();
    buffer_init(&fault, 4096);
    options.path = slice_of(folder_path(&test.folder, "queue"));
    assert_int_equal(queue_open(&options, &test.relay.queue, &fault), ERR_NONE);
    buffer_free(&fault);
    test.relay.journal = journal_new(&test.relay);
    assert_non_null(test.relay.journal);
}

static int set_up(void **state)
{
    (void)state;
    open_with(64u << 20);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    gate_close(false);
    loop_until("all", &test.done, test.count);
    journal_free(&test.relay.journal);
    queue_close(&test.relay.queue);
    for (size_t i = 0; i < test.count; i++)
        mail_free(&test.mails[i].made);
    loop_close();
    folder_remove(&test.folder);
    return 0;
}

static bool is_stored(uint64_t id)
{
    struct arena *arena = arena_new(65536);
    struct queue_message message;
    assert_non_null(arena);
    enum err err = queue_message_get(test.relay.queue, id, arena, &message);
    arena_free(&arena);
    assert_true(err == ERR_NONE || err == ERR_NOT_FOUND);
    return err == ERR_NONE;
}

/* The promise: who hears ERR_NONE can read it back. */
static void on_done(struct journal_write *write, enum err err)
{
    struct mail_write *mail = LIST_OF(write, struct mail_write, write);
    assert_true(pthread_equal(pthread_self(), test.loop));
    mail->done++;
    mail->err = err;
    test.done++;
    test.last_done = (size_t)(mail - test.mails);
    if (write->is_new_mail && err == ERR_NONE)
        assert_true(is_stored(mail->id));
    if (!write->is_new_mail && err == ERR_NONE)
        assert_false(is_stored(mail->id));
    if (mail->then != NULL)
        mail->then(mail);
}

static struct mail_write *next_write(uint64_t id)
{
    assert_true(test.count < MAILS_MAX);
    struct mail_write *mail = &test.mails[test.count++];
    mail->id = id;
    return mail;
}

static struct mail_write *submit_mail(uint64_t id, uint32_t size)
{
    struct mail_write *mail = next_write(id);
    mail_make(&(struct mail){.id = id, .due_ms = HOUR_MS, .size = size}, &mail->made);
    mail->write = (struct journal_write){
        .changes = mail->made.changes, .change_count = mail->made.count, .is_new_mail = true, .done = on_done};
    journal_submit(test.relay.journal, &mail->write);
    return mail;
}

/* Its only recipient has got it: the message goes. */
static struct mail_write *submit_delivery(uint64_t id)
{
    struct mail_write *mail = next_write(id);
    mail->recipient = (struct queue_recipient){.address = SLICE("user@example.org"),
                                               .status = QUEUE_DELIVERED,
                                               .orcpt = SLICE_EMPTY,
                                               .text = SLICE_EMPTY,
                                               .host = SLICE_EMPTY};
    mail->entry = (struct queue_entry){.id = id,
                                       .destination = SLICE("example.org"),
                                       .reason = SLICE_EMPTY,
                                       .why = SLICE_EMPTY,
                                       .recipients = &mail->recipient,
                                       .recipient_count = 1};
    mail->update = (struct queue_change){
        .kind = QUEUE_CHANGE_UPDATE, .id = id, .entries = &mail->entry, .entry_count = 1, .now_ms = HOUR_MS};
    mail->write = (struct journal_write){.changes = &mail->update, .change_count = 1, .done = on_done};
    journal_submit(test.relay.journal, &mail->write);
    return mail;
}

static void test_success_is_told_after_the_commit(void **state)
{
    (void)state;
    gate_close(true);
    struct mail_write *first = submit_mail(1, 100);
    gate_wait_for(1);
    struct mail_write *second = submit_mail(2, 100);
    struct mail_write *third = submit_mail(3, 200000);
    loop_for(30);
    assert_int_equal(first->done + second->done + third->done, 0);
    assert_false(is_stored(1));
    assert_true(journal_pending_bytes(test.relay.journal) >= 200200);
    gate_close(false);
    loop_until("all", &test.done, 3);
    assert_int_equal(gate.arrived, 2); /* the second and third together */
    assert_false(pthread_equal(gate.thread, test.loop));
    assert_true(first->err == ERR_NONE && second->err == ERR_NONE && third->err == ERR_NONE);
    assert_true(journal_is_idle(test.relay.journal));
    assert_int_equal(journal_pending_bytes(test.relay.journal), 0);
}

static void test_a_batch_is_all_or_nothing(void **state)
{
    (void)state;
    submit_mail(1, 100);
    loop_until("the first", &test.done, 1);
    gate_close(true);
    submit_mail(2, 100);
    gate_wait_for(2);
    struct mail_write *good = submit_mail(3, 100);
    struct mail_write *again = submit_mail(1, 100);
    gate_close(false);
    loop_until("all", &test.done, 4);
    assert_int_equal(again->err, ERR_EXISTS);
    assert_int_equal(good->err, ERR_EXISTS);
    assert_true(is_stored(1) && is_stored(2));
    assert_false(is_stored(3));
    assert_int_equal(test.broken, 0);
    struct mail_write *better = submit_mail(3, 100);
    loop_until("once more", &test.done, 5);
    assert_int_equal(better->err, ERR_NONE);
}

static void deliver(struct mail_write *mail)
{
    mail->then = NULL;
    assert_int_equal(mail->err, ERR_NONE);
    if (mail->id % 3 != 0)
        submit_delivery(mail->id);
}

/* Mail comes in and goes out while the loop reads: the threads meet in the database and in the journal only. */
static void test_much_at_once(void **state)
{
    (void)state;
    enum { MANY = 600 };
    struct queue_totals totals;
    for (uint64_t id = 1; id <= MANY; id++) {
        submit_mail(id, id % 10 == 0 ? 70000 : 300)->then = deliver;
        if (id % 7 == 0)
            loop_for(1);
        assert_int_equal(queue_totals(test.relay.queue, &totals), ERR_NONE);
        (void)journal_is_full(test.relay.journal);
    }
    loop_until("all", &test.done, MANY + MANY - MANY / 3);
    assert_int_equal(test.done, test.count);
    for (size_t i = 0; i < test.count; i++) {
        assert_int_equal(test.mails[i].done, 1);
        assert_int_equal(test.mails[i].err, ERR_NONE);
    }
    assert_int_equal(queue_totals(test.relay.queue, &totals), ERR_NONE);
    assert_int_equal(totals.messages, MANY / 3);
    assert_int_equal(test.relay.metrics.batch.sum, test.count);
    assert_true(metrics_count(&test.relay.metrics.batch) < test.count); /* in groups */
    assert_int_equal(metrics_count(&test.relay.metrics.batch), gate.arrived);
}

/* A map of the smallest size: mail is refused when it is full, what makes room is not, and then mail is taken again. */
static void test_a_full_map(void **state)
{
    (void)state;
    uint64_t id = 0;
    struct mail_write *last;
    do {
        last = submit_mail(++id, 20000);
        loop_until("an answer", &test.done, test.count);
    } while (last->err == ERR_NONE && id < 200);
    assert_int_equal(last->err, ERR_FULL);
    assert_false(is_stored(id));
    assert_true(journal_is_full(test.relay.journal));
    assert_int_equal(test.broken, 0);
    for (uint64_t delivered = 1; delivered < id; delivered++) {
        struct mail_write *delivery = submit_delivery(delivered);
        loop_until("an answer", &test.done, test.count);
        check_number("delivered", delivery->err, ERR_NONE);
    }
    struct mail_write *again = submit_mail(id, 20000);
    loop_until("an answer", &test.done, test.count);
    assert_int_equal(again->err, ERR_NONE);
}

static int set_up_small(void **state)
{
    (void)state;
    open_with(QUEUE_MAP_MIN);
    return 0;
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_success_is_told_after_the_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_batch_is_all_or_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_much_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_full_map, set_up_small, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
