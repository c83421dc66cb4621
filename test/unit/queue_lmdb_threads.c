/* The database read by one thread while another applies: what a reader sees always fits together. */
#include "queue/queue.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"

#include <pthread.h>
#include <stdatomic.h>

#define BATCHES 400
#define PICKS 16

struct writer {
    struct queue *queue;
    atomic_bool is_done;
    atomic_ulong accepted; /* ids up to this were promised */
    enum err err;
};

static struct folder folder;

/* Messages come, are deferred, and go; of ten one stays. */
static void *write_batches(void *owner)
{
    struct writer *writer = owner;
    for (uint64_t id = 1; id <= BATCHES && writer->err == ERR_NONE; id++) {
        writer->err = mail_accept(writer->queue, &(struct mail){.id = id, .size = 3000, .to = {"a.x", "b.x"}});
        atomic_store(&writer->accepted, id);
        for (uint16_t number = 0; writer->err == ERR_NONE && number < 2 && id > 5 && id % 10 != 0; number++) {
            enum err err = mail_update(writer->queue, id - 5, number, id % 2 == 0 ? MAIL_DEFER : MAIL_DELIVER, 5);
            writer->err = err == ERR_NOT_FOUND ? ERR_NONE : err;
        }
    }
    atomic_store(&writer->is_done, true);
    return NULL;
}

static bool count_visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    check_true("one message", message->id == entry->id && entry->recipient_count == 1);
    (*(size_t *)owner)++;
    return true;
}

static void read_all(struct writer *writer, struct arena *arena)
{
    struct queue_ready ready[PICKS];
    struct queue_pick picks[PICKS];
    struct queue_totals totals;
    struct queue_space space;
    struct queue_entry entry;
    size_t count, listed = 0;
    struct queue_ready_request ready_request = {.now_ms = INT64_MAX, .limit = PICKS, .arena = arena};
    struct queue_window_request window = {
        .destination = SLICE("a.x"), .now_ms = INT64_MAX, .per_sender = PICKS, .limit = PICKS};
    struct queue_listing listing = {.limit = PICKS, .arena = arena, .visit = count_visit, .owner = &listed};
    uint64_t newest = atomic_load(&writer->accepted);
    arena_reset(arena);
    check_number("totals", queue_totals(writer->queue, &totals), ERR_NONE);
    check_true("entries", totals.entries >= totals.messages && totals.entries <= 2 * totals.messages);
    check_true("what was promised is seen", totals.newest_id >= newest);
    check_number("space", queue_space(writer->queue, &space), ERR_NONE);
    check_number("ready", queue_ready(writer->queue, &ready_request, ready, &count), ERR_NONE);
    check_number("window", queue_window(writer->queue, &window, picks, &count), ERR_NONE);
    for (size_t i = 0; i < count; i++) {
        enum err err = queue_entry_get(writer->queue, picks[i].id, picks[i].number, arena, &entry);
        check_true("entry", err == ERR_NONE || err == ERR_NOT_FOUND);
    }
    enum err err = queue_list(writer->queue, &listing);
    check_true("list", err == ERR_NONE || err == ERR_END);
    check_number("damaged", listing.damaged_count, 0);
}

static void reader_and_writer_do_not_meet(void **state)
{
    (void)state;
    struct writer writer = {.err = ERR_NONE};
    struct buffer fault;
    pthread_t thread;
    folder_make(&folder);
    buffer_init(&fault, 1024);
    struct queue_options options = {
        .path = slice_of(folder_path(&folder, "queue")), .map_size = UINT64_C(64) << 20, .done_keep_ms = 1000};
    check_number("open", queue_open(&options, &writer.queue, &fault), ERR_NONE);
    struct arena *arena = arena_new((size_t)16 << 20);
    assert_int_equal(pthread_create(&thread, NULL, write_batches, &writer), 0);
    size_t rounds = 0;
    while (!atomic_load(&writer.is_done)) {
        read_all(&writer, arena);
        rounds++;
    }
    pthread_join(thread, NULL);
    check_number("writer", writer.err, ERR_NONE);
    check_true("read meanwhile", rounds > 10);
    read_all(&writer, arena);
    queue_close(&writer.queue);
    arena_free(&arena);
    buffer_free(&fault);
    folder_remove(&folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reader_and_writer_do_not_meet)};
    folder_use_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
