/* The database against the model: random batches go to both, and both must say the same, whatever is asked. A failing
 * seed is printed; `unit-queue_model SEED` runs it alone. */
#include "test/unit/queue_model.h"
#include "test/sim/queue_memory.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"

#define SEEDS 24
#define STEPS 300
#define BATCH_MAX 6
#define IDS 40 /* few, so that everything happens to the same ones */
#define TIME_RANGE 64
#define PICKS_MAX 32
#define DONE_KEEP_MS INT64_MAX /* the database forgets outcomes piece by piece, the model at once */

static const char *const destinations[] = {"a.example", "a.example.b", "b.example", "c", "c.example", "[192.0.2.1]"};
static const char *const senders[] = {"", "x@example.com", "y@example.com", "Y@example.com", "z@example.com"};

struct pair {
    uint64_t random;
    struct folder folder;
    struct queue_memory_disk *disk;
    struct queue *real, *model;
    struct arena *arena;
    bool parks;
};
/* What one batch needs to live. */
struct batch {
    struct queue_change changes[BATCH_MAX * 4];
    const struct queue_change *list[BATCH_MAX * 4];
    size_t count;
    struct mail_changes mails[BATCH_MAX];
    size_t mail_count;
    struct queue_entry entries[BATCH_MAX];
    struct queue_destination known[BATCH_MAX];
};

static uint64_t below(struct pair *pair, uint64_t bound)
{
    pair->random ^= pair->random << 13;
    pair->random ^= pair->random >> 7;
    pair->random ^= pair->random << 17;
    return (pair->random >> 11) % bound;
}

static const char *any_destination(struct pair *pair)
{
    return destinations[below(pair, COUNT_OF(destinations))];
}

static void open_both(struct pair *pair)
{
    struct queue_options options = {
        .path = slice_of(folder_path(&pair->folder, "queue")), .map_size = 16 << 20, .done_keep_ms = DONE_KEEP_MS};
    struct buffer fault;
    buffer_init(&fault, 1024);
    check_number("open", queue_open(&options, &pair->real, &fault), ERR_NONE);
    options.path = SLICE("/model");
    check_number("open model", model_open(&options, &pair->model, &fault), ERR_NONE);
    buffer_free(&fault);
}

static void close_both(struct pair *pair)
{
    queue_close(&pair->real);
    model_close(&pair->model);
}

/* ---- changes ---- */

static void add_change(struct batch *batch, struct queue_change change)
{
    batch->changes[batch->count] = change;
    batch->list[batch->count] = &batch->changes[batch->count];
    batch->count++;
}

/* Of an id that may be in use: then the batch must fail on both sides. */
static void add_mail(struct pair *pair, struct batch *batch)
{
    struct mail mail = {.id = 1 + below(pair, IDS),
                        .from = senders[below(pair, COUNT_OF(senders))],
                        .due_ms = (int64_t)below(pair, TIME_RANGE),
                        .size = 1 + (uint32_t)below(pair, below(pair, 8) == 0 ? 140000 : 3000),
                        .held = below(pair, 8) == 0};
    size_t count = 1 + below(pair, MAIL_RECIPIENTS);
    for (size_t i = 0; i < count; i++) {
        mail.to[i] = any_destination(pair);
    }
    struct queue_message message;
    if (below(pair, 10) > 0 && model_message_get(pair->model, mail.id, pair->arena, &message) == ERR_NONE) {
        return;
    }
    struct mail_changes *made = &batch->mails[batch->mail_count++];
    mail_make(&mail, made);
    for (size_t i = 0; i < made->count; i++) {
        add_change(batch, made->changes[i]);
    }
}

static void add_update(struct pair *pair, struct batch *batch)
{
    struct queue_entry *entry = &batch->entries[batch->mail_count];
    uint64_t id = 1 + below(pair, IDS);
    if (model_entry_get(pair->model, id, (uint16_t)below(pair, MAIL_RECIPIENTS), pair->arena, entry) != ERR_NONE) {
        return;
    }
    batch->mail_count++;
    entry->due_ms = (int64_t)below(pair, TIME_RANGE);
    entry->held = below(pair, 6) == 0;
    entry->attempts++;
    entry->recipients[0].status = below(pair, 3) == 0 ? QUEUE_DELIVERED : QUEUE_PENDING;
    if (below(pair, 8) == 0) {
        entry->destination = slice_of(any_destination(pair));
    }
    add_change(batch, (struct queue_change){.kind = QUEUE_CHANGE_UPDATE,
                                            .entries = entry,
                                            .entry_count = 1,
                                            .now_ms = 1 + (int64_t)below(pair, TIME_RANGE)});
}

static void add_destination(struct pair *pair, struct batch *batch)
{
    struct queue_destination *known = &batch->known[batch->mail_count++];
    *known = (struct queue_destination){.name = slice_of(any_destination(pair)),
                                        .not_before_ms = (int64_t)(below(pair, 2) * below(pair, TIME_RANGE))};
    add_change(batch, (struct queue_change){.kind = QUEUE_CHANGE_DESTINATION, .destination = known});
}

static void add_small(struct pair *pair, struct batch *batch)
{
    uint64_t id = 1 + below(pair, IDS);
    enum queue_change_kind kind = (enum queue_change_kind)below(pair, QUEUE_CHANGE_PARK + 1);
    struct queue_change change = {.kind = kind, .id = id, .now_ms = 1 + (int64_t)below(pair, TIME_RANGE)};
    switch (kind) {
        case QUEUE_CHANGE_CHUNK:
            change.bytes = SLICE("half a message");
            break;
        case QUEUE_CHANGE_POLICY:
        case QUEUE_CHANGE_META:
            change.key = slice_of(any_destination(pair));
            change.bytes = slice_of(senders[below(pair, COUNT_OF(senders))]);
            break;
        case QUEUE_CHANGE_PARK:
            if (!pair->parks) {
                return;
            }
            change.number = (uint32_t)below(pair, MAIL_RECIPIENTS);
            change.key = SLICE_EMPTY;
            break;
        case QUEUE_CHANGE_DISCARD:
        case QUEUE_CHANGE_DELETE:
            break;
        case QUEUE_CHANGE_ACCEPT:
        case QUEUE_CHANGE_UPDATE:
        case QUEUE_CHANGE_DESTINATION:
            return;
    }
    add_change(batch, change);
}

static void step(struct pair *pair)
{
    struct batch *batch = calloc(1, sizeof *batch);
    assert_non_null(batch);
    arena_reset(pair->arena);
    for (size_t i = 1 + below(pair, BATCH_MAX); i > 0; i--) {
        static void (*const adders[])(struct pair *, struct batch *) = {
            add_mail, add_mail, add_update, add_update, add_update, add_small, add_destination};
        adders[below(pair, COUNT_OF(adders))](pair, batch);
    }
    enum err real = queue_apply(pair->real, batch->list, batch->count);
    enum err model = model_apply(pair->model, batch->list, batch->count);
    check_number("apply", real, model);
    check_true("expected", real == ERR_NONE || real == ERR_EXISTS || real == ERR_NOT_FOUND);
    for (size_t i = 0; i < BATCH_MAX; i++) {
        mail_free(&batch->mails[i]);
    }
    free(batch);
}

/* ---- questions ---- */

static void compare_totals(struct pair *pair)
{
    struct queue_totals real, model;
    check_number("totals", queue_totals(pair->real, &real), ERR_NONE);
    check_number("totals", model_totals(pair->model, &model), ERR_NONE);
    check_number("messages", real.messages, model.messages);
    check_number("bytes", real.bytes, model.bytes);
    check_number("entries", real.entries, model.entries);
    check_number("oldest", real.oldest_id, model.oldest_id);
    check_number("newest", real.newest_id, model.newest_id);
}

static void compare_ready(struct pair *pair)
{
    struct queue_ready real[COUNT_OF(destinations) + 1], model[COUNT_OF(destinations) + 1];
    struct queue_ready after = {.time_ms = (int64_t)below(pair, TIME_RANGE), .name = slice_of(any_destination(pair))};
    struct queue_ready_request request = {.now_ms = (int64_t)below(pair, TIME_RANGE + 10),
                                          .limit = below(pair, COUNT_OF(real) + 1),
                                          .after = below(pair, 2) == 0 ? &after : NULL,
                                          .arena = pair->arena};
    size_t real_count, model_count;
    check_number("ready", queue_ready(pair->real, &request, real, &real_count), ERR_NONE);
    check_number("ready", model_ready(pair->model, &request, model, &model_count), ERR_NONE);
    check_number("ready count", real_count, model_count);
    for (size_t i = 0; i < real_count; i++) {
        check_number("ready time", real[i].time_ms, model[i].time_ms);
        check_slice("ready name", real[i].name, model[i].name);
    }
    int64_t real_ms = -1, model_ms = -1;
    enum err err = queue_ready_next(pair->real, request.now_ms, &real_ms);
    check_number("next", err, model_ready_next(pair->model, request.now_ms, &model_ms));
    check_true("next time", err != ERR_NONE || real_ms == model_ms);
}

static bool skip_some(void *owner, uint64_t id, uint16_t number)
{
    return (id * 7 + number) % 5 == *(uint64_t *)owner;
}

static void compare_window(struct pair *pair)
{
    struct queue_pick real[PICKS_MAX], model[PICKS_MAX];
    uint64_t skipped = below(pair, 5);
    struct queue_window_request request = {.destination = slice_of(any_destination(pair)),
                                           .now_ms = (int64_t)below(pair, TIME_RANGE + 10),
                                           .per_sender = below(pair, 6),
                                           .limit = below(pair, PICKS_MAX + 1),
                                           .skip = below(pair, 2) == 0 ? skip_some : NULL,
                                           .owner = &skipped};
    if (below(pair, 2) == 0) {
        request.first_sender = queue_sender_hash(slice_of(senders[below(pair, COUNT_OF(senders))]));
        request.first_due_ms = (int64_t)(below(pair, 2) * below(pair, TIME_RANGE));
    }
    size_t real_count, model_count;
    check_number("window", queue_window(pair->real, &request, real, &real_count), ERR_NONE);
    check_number("window", model_window(pair->model, &request, model, &model_count), ERR_NONE);
    check_number("window count", real_count, model_count);
    for (size_t i = 0; i < real_count; i++) {
        check_number("pick", real[i].id, model[i].id);
        check_number("pick", real[i].number, model[i].number);
        check_number("pick", real[i].due_ms, model[i].due_ms);
        check_true("pick", real[i].sender_hash == model[i].sender_hash);
    }
}

static bool see(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct buffer *seen = owner;
    queue_message_encode(message, seen);
    queue_entry_encode(entry, seen);
    return true;
}

static void compare_listing(struct pair *pair, bool is_done)
{
    struct buffer real, model;
    buffer_init(&real, 1 << 24);
    buffer_init(&model, 1 << 24);
    struct queue_listing first = {.limit = 1 + below(pair, 7), .arena = pair->arena, .visit = see, .owner = &real};
    if (!is_done && below(pair, 2) == 0) {
        first.destination = slice_of(any_destination(pair));
    }
    struct queue_listing second = first;
    second.owner = &model;
    enum err err;
    do {
        err = is_done ? queue_list_done(pair->real, &first) : queue_list(pair->real, &first);
        enum err other = is_done ? model_list_done(pair->model, &second) : model_list(pair->model, &second);
        /* At an exact end one may know it at once, the other at the next call. */
        check_true("listing", (err == ERR_NONE || err == ERR_END) && (other == ERR_NONE || other == ERR_END));
        check_true("same records", slice_equal(buffer_slice(&real), buffer_slice(&model)));
    } while (err == ERR_NONE);
    check_number("damaged", first.damaged_count + second.damaged_count, 0);
    buffer_free(&real);
    buffer_free(&model);
}

static void compare_message(struct pair *pair, uint64_t id)
{
    struct queue_message real, model;
    struct buffer first, second;
    enum err err = queue_message_get(pair->real, id, pair->arena, &real);
    check_number("message", err, model_message_get(pair->model, id, pair->arena, &model));
    buffer_init(&first, 1 << 20);
    buffer_init(&second, 1 << 20);
    for (uint16_t number = 0; number < MAIL_RECIPIENTS; number++) {
        struct queue_entry real_entry, model_entry;
        err = queue_entry_get(pair->real, id, number, pair->arena, &real_entry);
        check_number("entry", err, model_entry_get(pair->model, id, number, pair->arena, &model_entry));
        if (err == ERR_NONE) {
            queue_entry_encode(&real_entry, &first);
            queue_entry_encode(&model_entry, &second);
        }
        err = queue_chunk_get(pair->real, id, number, &first);
        check_number("chunk", err, model_chunk_get(pair->model, id, number, &second));
    }
    check_true("same bytes", slice_equal(buffer_slice(&first), buffer_slice(&second)));
    buffer_free(&first);
    buffer_free(&second);
}

static void compare_names(struct pair *pair)
{
    struct slice name = slice_of(any_destination(pair)), real, model;
    struct queue_destination real_known, model_known;
    enum err err = queue_policy_get(pair->real, name, pair->arena, &real);
    check_number("policy", err, model_policy_get(pair->model, name, pair->arena, &model));
    check_true("policy", err != ERR_NONE || slice_equal(real, model));
    err = queue_meta_get(pair->real, name, pair->arena, &real);
    check_number("state", err, model_meta_get(pair->model, name, pair->arena, &model));
    check_true("state", err != ERR_NONE || slice_equal(real, model));
    err = queue_destination_get(pair->real, name, pair->arena, &real_known);
    check_number("destination", err, model_destination_get(pair->model, name, pair->arena, &model_known));
    check_true("destination", err != ERR_NONE || real_known.not_before_ms == model_known.not_before_ms);
}

static void compare(struct pair *pair)
{
    arena_reset(pair->arena);
    compare_totals(pair);
    compare_ready(pair);
    compare_window(pair);
    compare_window(pair);
    compare_message(pair, 1 + below(pair, IDS));
    compare_names(pair);
    if (below(pair, 8) == 0) {
        compare_listing(pair, false);
        compare_listing(pair, true);
    }
}

/* ---- running ---- */

static void print_fault(void *owner, struct slice fault)
{
    const struct pair *pair = owner;
    if (!pair->parks) { /* what is parked is missing in the schedule, and that is told */
        print_error("check: %.*s\n", SLICE_ARGS(fault));
    }
}

static void run_seed(uint64_t seed)
{
    struct pair pair = {.random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1, .parks = seed % 4 == 3};
    uint64_t faults;
    print_message("seed %llu\n", (unsigned long long)seed);
    folder_make(&pair.folder);
    pair.disk = queue_memory_disk_new();
    pair.arena = arena_new((size_t)64 << 20);
    queue_memory_mount(pair.disk);
    open_both(&pair);
    for (size_t i = 0; i < STEPS; i++) {
        step(&pair);
        compare(&pair);
        if (below(&pair, 50) == 0) {
            close_both(&pair);
            check_number("check",
                         queue_check(slice_of(folder_path(&pair.folder, "queue")), print_fault, &pair, &faults),
                         ERR_NONE);
            check_true("whole", faults == 0 || pair.parks);
            open_both(&pair);
            compare(&pair);
        }
    }
    close_both(&pair);
    queue_memory_disk_free(&pair.disk);
    arena_free(&pair.arena);
    folder_remove(&pair.folder);
}

static uint64_t only_seed;

static void database_says_what_the_model_says(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_seed(only_seed > 0 ? only_seed : seed);
        if (only_seed > 0) {
            return;
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(database_says_what_the_model_says)};
    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    folder_use_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
