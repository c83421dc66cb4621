/* Measures the queue on the disk of a folder: commits by batch size, and reads over a large queue.
 *     queue-bench FOLDER [ENTRIES]      makes the folder; it is to be removed afterwards */
#include "queue/queue.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MAP_SIZE (UINT64_C(16) << 30)
#define CONTENT_SIZE 4096
#define BATCH_MAX 1000
#define DUE_MS INT64_C(1700000000000)
#define PICKS 50
#define FIRST_ID UINT64_C(1000)

struct message {
    struct queue_message message;
    struct queue_entry entry;
    struct queue_recipient recipient;
    struct queue_change changes[2];
    char address[64], destination[64], sender[64];
};
/* How messages are spread over destinations and senders. */
struct spread {
    const char *name;
    uint64_t destinations, senders;
};

static uint64_t next_id = FIRST_ID;
static char content[CONTENT_SIZE];
static struct message messages[BATCH_MAX];
static const struct queue_change *batch[2 * BATCH_MAX];

static double now_s(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Of a question that may find nothing. */
static enum err unless_missing(enum err err)
{
    return err == ERR_END || err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static void require(enum err err, const char *what)
{
    if (err != ERR_NONE) {
        fprintf(stderr, "%s: %s\n", what, err_text(err));
        exit(EXIT_FAILURE);
    }
}

static void make_message(struct message *made, const struct spread *spread)
{
    uint64_t id = next_id++;
    snprintf(made->address, sizeof made->address, "user%llu@example.org", (unsigned long long)id);
    snprintf(made->sender, sizeof made->sender, "list+%llu@example.com", (unsigned long long)(id % spread->senders));
    snprintf(made->destination, sizeof made->destination, "d%llu.example.org",
             (unsigned long long)(id * UINT64_C(2654435761) % spread->destinations));
    made->message = (struct queue_message){.id = id,
                                           .arrival_ms = DUE_MS,
                                           .size = CONTENT_SIZE,
                                           .chunk_count = 1,
                                           .entry_count = 1,
                                           .sender = slice_of(made->sender),
                                           .origin = SLICE("smtp [192.0.2.1] app.example.com"),
                                           .envid = SLICE_EMPTY};
    made->recipient = (struct queue_recipient){.address = slice_of(made->address)};
    made->entry = (struct queue_entry){.id = id,
                                       .destination = slice_of(made->destination),
                                       .due_ms = DUE_MS + (int64_t)id,
                                       .recipients = &made->recipient,
                                       .recipient_count = 1};
    made->changes[0] =
        (struct queue_change){.kind = QUEUE_CHANGE_CHUNK, .id = id, .bytes = slice_make(content, sizeof content)};
    made->changes[1] = (struct queue_change){
        .kind = QUEUE_CHANGE_ACCEPT, .message = &made->message, .entries = &made->entry, .entry_count = 1};
}

static void accept_batch(struct queue *queue, const struct spread *spread, size_t size, bool has_content)
{
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        make_message(&messages[i], spread);
        if (has_content) {
            batch[count++] = &messages[i].changes[0];
        } else {
            messages[i].message.chunk_count = 0;
        }
        batch[count++] = &messages[i].changes[1];
    }
    require(queue_apply(queue, batch, count), "accept");
}

/* Defers, or delivers, what the last accept_batch() stored. */
static void update_batch(struct queue *queue, size_t size, bool is_delivered)
{
    for (size_t i = 0; i < size; i++) {
        messages[i].entry.due_ms += 300000;
        messages[i].recipient.status = is_delivered ? QUEUE_DELIVERED : QUEUE_PENDING;
        messages[i].changes[0] = (struct queue_change){
            .kind = QUEUE_CHANGE_UPDATE, .entries = &messages[i].entry, .entry_count = 1, .now_ms = DUE_MS};
        batch[i] = &messages[i].changes[0];
    }
    require(queue_apply(queue, batch, size), "update");
}

static void bench_commits(struct queue *queue)
{
    static const size_t sizes[] = {1, 10, 100};
    static const struct spread spread = {"", 1000, 10};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        double accept_s = 0, defer_s = 0, deliver_s = 0;
        size_t rounds = sizes[i] == 100 ? 50 : 200;
        for (size_t round = 0; round < rounds; round++) {
            double start = now_s();
            accept_batch(queue, &spread, sizes[i], true);
            double accepted = now_s();
            update_batch(queue, sizes[i], false);
            double deferred = now_s();
            update_batch(queue, sizes[i], true);
            accept_s += accepted - start;
            defer_s += deferred - accepted;
            deliver_s += now_s() - deferred;
        }
        double count = (double)(rounds * sizes[i]);
        printf("batches of %3zu: accept %7.0f/s (%.2f ms a commit), defer %7.0f/s, deliver %7.0f/s\n", sizes[i],
               count / accept_s, accept_s * 1e3 / (double)rounds, count / defer_s, count / deliver_s);
    }
}

static bool nothing(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    (void)message;
    (void)entry;
    (*(size_t *)owner)++;
    return true;
}

static void bench_reads(struct queue *queue, struct arena *arena, int64_t now_ms)
{
    struct queue_ready ready[PICKS];
    struct queue_pick picks[PICKS];
    size_t count, rounds = 1000, picked = 0;
    struct queue_ready_request ready_request = {.now_ms = now_ms, .limit = PICKS, .arena = arena};
    double start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        arena_reset(arena);
        require(queue_ready(queue, &ready_request, ready, &count), "ready");
    }
    printf("  ready (%zu found)       %8.1f us\n", count, (now_s() - start) * 1e6 / (double)rounds);

    struct queue_window_request window = {.now_ms = now_ms, .per_sender = PICKS, .limit = PICKS};
    start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        char name[64];
        snprintf(name, sizeof name, "d%zu.example.org", i);
        window.destination = i % 2 == 0 ? SLICE("d0.example.org") : slice_of(name);
        require(queue_window(queue, &window, picks, &count), "window");
        picked += count;
        window.first_sender = count > 0 ? picks[count - 1].sender_hash : 0;
        window.first_due_ms = count > 0 ? picks[count - 1].due_ms : 0;
    }
    printf("  window (%.1f found)     %8.1f us\n", (double)picked / (double)rounds,
           (now_s() - start) * 1e6 / (double)rounds);

    int64_t next_ms;
    start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        require(unless_missing(queue_ready_next(queue, now_ms, &next_ms)), "next");
    }
    printf("  ready_next              %8.1f us\n", (now_s() - start) * 1e6 / (double)rounds);

    size_t listed = 0;
    struct queue_listing listing = {.limit = 100, .arena = arena, .visit = nothing, .owner = &listed};
    start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        arena_reset(arena);
        require(unless_missing(queue_list(queue, &listing)), "list");
    }
    printf("  list of 100             %8.1f us\n", (now_s() - start) * 1e6 / (double)rounds);
    listing = (struct queue_listing){
        .limit = 100, .arena = arena, .visit = nothing, .owner = &listed, .destination = SLICE("d0.example.org")};
    start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        arena_reset(arena);
        require(unless_missing(queue_list(queue, &listing)), "list of a destination");
    }
    printf("  list of a destination   %8.1f us\n", (now_s() - start) * 1e6 / (double)rounds);

    struct queue_totals totals;
    struct queue_space space;
    start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        require(queue_totals(queue, &totals), "totals");
        require(queue_space(queue, &space), "space");
    }
    printf("  totals and space        %8.1f us   (%llu entries, %llu MiB used)\n",
           (now_s() - start) * 1e6 / (double)rounds, (unsigned long long)totals.entries,
           (unsigned long long)(space.map_used >> 20));

    start = now_s();
    for (size_t i = 0; i < rounds; i++) {
        struct queue_entry entry;
        arena_reset(arena);
        require(queue_entry_get(queue, FIRST_ID + i * 37 % totals.entries, 0, arena, &entry), "entry");
    }
    printf("  entry_get               %8.1f us\n", (now_s() - start) * 1e6 / (double)rounds);
}

static void bench_large(const char *folder, const struct spread *spread, size_t entries, struct arena *arena)
{
    char path[512];
    struct queue *queue;
    struct buffer fault;
    buffer_init(&fault, 1024);
    snprintf(path, sizeof path, "%s/%llux%llu", folder, (unsigned long long)spread->destinations,
             (unsigned long long)spread->senders);
    struct queue_options options = {.path = slice_of(path), .map_size = MAP_SIZE, .done_keep_ms = 1};
    require(queue_open(&options, &queue, &fault), "open");
    next_id = FIRST_ID;
    double start = now_s();
    for (size_t left = entries; left > 0; left -= left < BATCH_MAX ? left : BATCH_MAX) {
        accept_batch(queue, spread, left < BATCH_MAX ? left : BATCH_MAX, false);
    }
    printf("%s: %zu entries without content in %.1f s\n", spread->name, entries, now_s() - start);
    printf(" all due\n");
    bench_reads(queue, arena, INT64_MAX - 1);
    printf(" the first hundred due\n");
    bench_reads(queue, arena, DUE_MS + 1100);
    printf(" none due\n");
    bench_reads(queue, arena, DUE_MS);
    start = now_s();
    for (size_t i = 0; i < 100; i++) {
        accept_batch(queue, spread, 1, true);
        update_batch(queue, 1, true);
    }
    printf(" accept and deliver one more: %.2f ms\n", (now_s() - start) * 10);
    queue_close(&queue);
    start = now_s();
    require(queue_open(&options, &queue, &fault), "open");
    printf(" reopen: %.2f ms\n", (now_s() - start) * 1e3);
    queue_close(&queue);
    buffer_free(&fault);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: queue-bench FOLDER [ENTRIES]\n");
        return 64;
    }
    static const struct spread spreads[] = {
        {"one destination, one sender", 1, 1},
        {"one destination, a sender for each", 1, UINT64_MAX},
        {"10000 destinations, 10 senders", 10000, 10},
        {"a destination for each", 1000003, 1},
    };
    size_t entries = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000000;
    struct arena *arena = arena_new((size_t)64 << 20);
    struct queue *queue;
    struct buffer fault;
    char path[512];
    buffer_init(&fault, 1024);
    if (mkdir(argv[1], 0700) != 0 && errno != EEXIST) {
        perror(argv[1]);
        return EXIT_FAILURE;
    }
    snprintf(path, sizeof path, "%s/commits", argv[1]);
    struct queue_options options = {.path = slice_of(path), .map_size = MAP_SIZE, .done_keep_ms = 3600000};
    require(queue_open(&options, &queue, &fault), "open");
    bench_commits(queue);
    queue_close(&queue);
    for (size_t i = 0; i < sizeof spreads / sizeof spreads[0]; i++) {
        bench_large(argv[1], &spreads[i], entries, arena);
    }
    arena_free(&arena);
    buffer_free(&fault);
    return EXIT_SUCCESS;
}
