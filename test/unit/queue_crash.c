/* The database when its process is killed: what queue_apply() had promised is there at the next start, and all of it
 * fits. A child applies random batches and says in a pipe what it is about to do and what was done; the parent kills it
 * at a random moment, opens the queue and compares. */
#include "queue/queue.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS 40
#define MAP_SIZE (UINT64_C(64) << 20)
#define IDS_MAX 200000
#define BATCH_MAX 5
#define LIFE_MAX_US 60000
#define BIRTH_MAX_US 4000 /* some are killed while they make the queue */

/* What the child says, as one write each: less than a pipe takes whole. */
struct word {
    char kind; /* '?' about to apply, '!' applied */
    uint8_t accept_count, delete_count;
    uint64_t accepted[BATCH_MAX], deleted[BATCH_MAX];
};
/* What the parent knows of an id. */
enum knowledge { ABSENT, PRESENT, UNCERTAIN };

static struct folder folder;
static uint8_t known[IDS_MAX]; /* enum knowledge */
static uint64_t next_id = 1;

static uint64_t random_below(uint64_t *state, uint64_t bound)
{
    *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (*state >> 33) % bound;
}

static struct queue *open_queue(void)
{
    struct queue *queue;
    struct buffer fault;
    struct queue_options options = {
        .path = slice_of(folder_path(&folder, "queue")), .map_size = MAP_SIZE, .done_keep_ms = 1000};
    buffer_init(&fault, 1024);
    enum err err = queue_open(&options, &queue, &fault);
    check_slice("fault", buffer_slice(&fault), SLICE_EMPTY);
    check_number("open", err, ERR_NONE);
    buffer_free(&fault);
    return queue;
}

/* ---- the child ---- */

static void apply_random(struct queue *queue, uint64_t *random, uint64_t *id, int out)
{
    struct word word = {.kind = '?'};
    struct mail_changes mails[BATCH_MAX];
    struct queue_change deletes[BATCH_MAX], pending;
    const struct queue_change *batch[BATCH_MAX * 10];
    size_t count = 0;
    for (size_t i = random_below(random, BATCH_MAX + 1); i > 0; i--) {
        struct mail_changes *made = &mails[word.accept_count];
        uint32_t size = 1 + (uint32_t)random_below(random, random_below(random, 10) == 0 ? 200000 : 5000);
        mail_make(&(struct mail){.id = (*id)++, .size = size, .to = {"a.x", "b.x"}}, made);
        for (size_t j = 0; j < made->count; j++) {
            batch[count++] = &made->changes[j];
        }
        word.accepted[word.accept_count++] = made->message.id;
    }
    for (size_t i = random_below(random, BATCH_MAX + 1); i > 0 && *id > 20; i--) {
        uint64_t deleted = *id - BATCH_MAX - 1 - random_below(random, 10);
        deletes[word.delete_count] =
            (struct queue_change){.kind = QUEUE_CHANGE_DELETE, .id = deleted, .now_ms = (int64_t)*id};
        batch[count++] = &deletes[word.delete_count];
        word.deleted[word.delete_count++] = deleted;
    }
    pending = (struct queue_change){.kind = QUEUE_CHANGE_CHUNK, .id = (*id)++, .bytes = SLICE("never accepted")};
    batch[count++] = &pending;
    if (write(out, &word, sizeof word) != sizeof word) {
        _exit(1);
    }
    enum err err = queue_apply(queue, batch, count);
    while (err == ERR_FULL) {
        pause(); /* fast machines fill it; the kill is on its way */
    }
    if (err != ERR_NONE) {
        _exit(1);
    }
    word.kind = '!';
    if (write(out, &word, sizeof word) != sizeof word) {
        _exit(1);
    }
    for (size_t i = 0; i < word.accept_count; i++) {
        mail_free(&mails[i]);
    }
}

static void run_child(uint64_t seed, uint64_t id, int out)
{
    struct queue *queue = open_queue();
    for (;;) {
        apply_random(queue, &seed, &id, out);
    }
}

/* ---- the parent ---- */

static void learn(const struct word *word)
{
    bool is_done = word->kind == '!';
    for (size_t i = 0; i < word->accept_count; i++) {
        assert_true(word->accepted[i] < IDS_MAX);
        known[word->accepted[i]] = is_done ? PRESENT : UNCERTAIN;
        next_id = word->accepted[i] >= next_id ? word->accepted[i] + 1 : next_id;
    }
    for (size_t i = 0; i < word->delete_count; i++) {
        if (known[word->deleted[i]] != ABSENT) {
            known[word->deleted[i]] = is_done ? ABSENT : UNCERTAIN;
        }
    }
}

static void check_message(struct queue *queue, struct arena *arena, uint64_t id)
{
    struct queue_message message;
    char name[32];
    snprintf(name, sizeof name, "id %llu", (unsigned long long)id);
    enum err err = queue_message_get(queue, id, arena, &message);
    if (known[id] == UNCERTAIN) {
        check_true(name, err == ERR_NONE || err == ERR_NOT_FOUND);
        known[id] = err == ERR_NONE ? PRESENT : ABSENT;
    }
    check_number(name, err, known[id] == PRESENT ? ERR_NONE : ERR_NOT_FOUND);
    if (err != ERR_NONE) {
        return;
    }
    struct buffer content;
    char *expected = malloc(message.size);
    buffer_init(&content, message.size);
    mail_content(id, expected, message.size);
    for (uint32_t i = 0; i < message.chunk_count; i++) {
        check_number(name, queue_chunk_get(queue, id, i, &content), ERR_NONE);
    }
    check_true(name, slice_equal(buffer_slice(&content), slice_make(expected, message.size)));
    buffer_free(&content);
    free(expected);
}

static void print_fault(void *owner, struct slice fault)
{
    (void)owner;
    print_error("check: %.*s\n", SLICE_ARGS(fault));
}

/* The first start after the crash, then the check: a queue that was never whole is made by the start. */
static void check_kept(void)
{
    uint64_t faults, expected = 0;
    struct queue *queue = open_queue();
    struct arena *arena = arena_new((size_t)1 << 20);
    for (uint64_t id = 1; id < next_id; id++) {
        arena_reset(arena);
        check_message(queue, arena, id);
        expected += known[id] == PRESENT ? 1 : 0;
    }
    struct queue_totals totals;
    check_number("totals", queue_totals(queue, &totals), ERR_NONE);
    check_number("messages", totals.messages, expected);
    arena_free(&arena);
    queue_close(&queue);
    enum err err = queue_check(slice_of(folder_path(&folder, "queue")), print_fault, NULL, &faults);
    check_number("check", err, ERR_NONE);
    check_number("faults", faults, 0);
}

static void run_round(uint64_t *random, uint64_t life_max_us)
{
    int words[2];
    struct word word;
    assert_int_equal(pipe(words), 0);
    uint64_t seed = random_below(random, UINT64_C(1) << 31);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(words[0]);
        run_child(seed, next_id, words[1]);
    }
    close(words[1]);
    usleep((useconds_t)random_below(random, life_max_us));
    assert_int_equal(kill(child, SIGKILL), 0);
    while (read(words[0], &word, sizeof word) == sizeof word) {
        learn(&word);
    }
    close(words[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status)); /* it had not failed before */
    next_id += 2 * BATCH_MAX;         /* behind what it may have begun */
    check_kept();
}

static void promises_survive_a_kill(void **state)
{
    (void)state;
    uint64_t random = (uint64_t)time(NULL), start_id = next_id;
    print_message("seed %llu\n", (unsigned long long)random);
    folder_make(&folder);
    for (int round = 0; round < ROUNDS; round++) {
        run_round(&random, LIFE_MAX_US);
    }
    check_true("something was done", next_id > start_id + 2 * BATCH_MAX * ROUNDS);
    folder_remove(&folder);
}

static void half_made_queue_is_made(void **state)
{
    (void)state;
    uint64_t random = (uint64_t)time(NULL);
    for (int round = 0; round < ROUNDS; round++) {
        memset(known, 0, sizeof known);
        next_id = 1;
        folder_make(&folder);
        run_round(&random, BIRTH_MAX_US);
        folder_remove(&folder);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(promises_survive_a_kill),
                                       cmocka_unit_test(half_made_queue_is_made)};
    folder_use_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
