#include "relay/journal.h"

#include "relay/config.h"
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>

/* One transaction: bounds that keep a commit short and the dirty pages few. */
#define BATCH_WRITES_MAX 1024
#define BATCH_CHANGES_MAX 4096
#define BATCH_BYTES_MAX (16u << 20)
#define FULL_RETRY_MS 1000
#define FULL_PERCENT 85
#define SPACE_CHECK_MS 1000

struct journal {
    struct relay *relay;
    struct lane lane;
    struct job job;
    struct list waiting;  /* struct journal_write */
    struct list batch;    /* those of the transaction under way */
    const struct queue_change *changes[BATCH_CHANGES_MAX];
    size_t change_count;
    size_t pending_bytes, pending_max;
    size_t backlog;       /* writes that are not new mail */
    enum err err;         /* of the transaction: set by the lane */
    int64_t commit_us;    /* its duration */
    bool is_broken;       /* the disk failed: nothing is written any more */
    bool was_full;        /* the last commit found no space */
    bool is_sorted;       /* since the last full commit: bookkeeping is written apart from new mail */
    bool gives_up;        /* what finds no space is not tried again */
    bool is_answering;    /* done() of a batch is being called: what is submitted meanwhile waits, or it would be taken for a part
                             of that batch and answered without having been written */
    int64_t space_checked_ms;
    bool space_is_short;
    struct timer retry;
};

static void go_on(struct journal *journal);
static void start_batch(struct journal *journal);
static void commit(struct job *job);
static void committed(struct job *job);
static void answer_all(struct journal *journal, struct list *writes, enum err err);
static void batch_was_full(struct journal *journal);
static void tell_given_up(struct journal *journal);
static size_t write_bytes(const struct journal_write *write);
static void on_retry(struct timer *timer);

struct journal *journal_new(struct relay *relay)
{
    struct journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return NULL;
    journal->relay = relay;
    journal->pending_max = JOURNAL_PENDING_MAX;
    list_init(&journal->waiting);
    list_init(&journal->batch);
    if (lane_open(&journal->lane, "journal") != ERR_NONE) {
        free(journal);
        return NULL;
    }
    return journal;
}

void journal_free(struct journal **journal)
{
    if (*journal == NULL)
        return;
    assert(journal_is_idle(*journal));
    timer_cancel(&(*journal)->retry);
    lane_close(&(*journal)->lane);
    free(*journal);
    *journal = NULL;
}

void journal_submit(struct journal *journal, struct journal_write *write)
{
    assert(write->change_count <= BATCH_CHANGES_MAX);
    journal->pending_bytes += write_bytes(write);
    journal->backlog += !write->is_new_mail;
    list_add_last(&journal->waiting, &write->node);
    go_on(journal);
}

bool journal_is_idle(const struct journal *journal)
{
    return list_is_empty(&journal->waiting) && list_is_empty(&journal->batch);
}

size_t journal_backlog(const struct journal *journal)
{
    return journal->backlog;
}

size_t journal_pending_bytes(const struct journal *journal)
{
    return journal->pending_bytes;
}

bool journal_is_pressed(const struct journal *journal)
{
    return journal->pending_bytes > journal->pending_max;
}

void journal_set_pending_max(struct journal *journal, size_t bytes)
{
    journal->pending_max = bytes;
}

/* ---- one transaction ---- */

static size_t write_bytes(const struct journal_write *write)
{
    size_t bytes = 0;
    for (size_t i = 0; i < write->change_count; i++)
        bytes += write->changes[i].bytes.length;
    return bytes;
}

/* Bookkeeping has a reserve on a full disk, but only where no new mail is in the same transaction: as long as mail keeps
 * coming it would never be without. */
static bool fits(const struct journal *journal, const struct journal_write *write, size_t bytes)
{
    if (list_is_empty(&journal->batch))
        return true;
    if (journal->is_sorted &&
        LIST_OF(list_first(&journal->batch), struct journal_write, node)->is_new_mail != write->is_new_mail)
        return false;
    return journal->batch.count < BATCH_WRITES_MAX && journal->change_count + write->change_count <= BATCH_CHANGES_MAX &&
           bytes + write_bytes(write) <= BATCH_BYTES_MAX;
}

static void start_batch(struct journal *journal)
{
    size_t bytes = 0;
    journal->change_count = 0;
    while (!list_is_empty(&journal->waiting)) {
        struct journal_write *write = LIST_OF(list_first(&journal->waiting), struct journal_write, node);
        if (!fits(journal, write, bytes))
            break;
        list_remove(&journal->waiting, &write->node);
        list_add_last(&journal->batch, &write->node);
        bytes += write_bytes(write);
        for (size_t i = 0; i < write->change_count; i++)
            journal->changes[journal->change_count++] = &write->changes[i];
    }
    if (!list_is_empty(&journal->batch))
        lane_start(&journal->lane, &journal->job, commit, committed);
}

/* On the lane: begin to commit within this one call, as the database demands of a writing thread. */
static void commit(struct job *job)
{
    struct journal *journal = LIST_OF(job, struct journal, job);
    int64_t start_us = clock_monotonic_us();
    journal->err = journal->change_count == 0 ? ERR_NONE : queue_apply(journal->relay->queue, journal->changes, journal->change_count);
    journal->commit_us = clock_monotonic_us() - start_us;
}

static void committed(struct job *job)
{
    struct journal *journal = LIST_OF(job, struct journal, job);
    struct metrics *metrics = &journal->relay->metrics;
    enum err err = journal->err;
    if (err == ERR_FULL && !journal->gives_up) {
        metrics->commit_failed++;
        batch_was_full(journal);
        return;
    }
    if (err == ERR_FULL)
        tell_given_up(journal);
    if (err == ERR_NONE) {
        metrics_observe(metrics, METRICS_HISTOGRAM_batch, (int64_t)journal->batch.count);
        metrics_observe(metrics, METRICS_HISTOGRAM_commit_us, journal->commit_us);
        journal->was_full = journal->is_sorted = false;
    } else {
        metrics->commit_failed++;
    }
    if (err == ERR_IO)
        journal->is_broken = true;
    answer_all(journal, &journal->batch, err);
    if (err == ERR_IO)
        relay_broken(journal->relay, err);
    go_on(journal);
}

static void go_on(struct journal *journal)
{
    if (journal->is_answering)
        return;
    if (journal_is_idle(journal))
        relay_part_ended(journal->relay);
    else if (journal->is_broken && !timer_is_running(&journal->retry))
        timer_start(&journal->retry, 0, on_retry); /* what waits is answered in the loop's next turn, as any write */
    else if (!job_is_running(&journal->job) && !timer_is_running(&journal->retry))
        start_batch(journal);
}

static void answer(struct journal *journal, struct journal_write *write, enum err err)
{
    journal->pending_bytes -= write_bytes(write);
    journal->backlog -= !write->is_new_mail;
    write->done(write, err);
}

static void answer_all(struct journal *journal, struct list *writes, enum err err)
{
    struct list_node *node;
    journal->is_answering = true;
    while ((node = list_take_first(writes)) != NULL)
        answer(journal, LIST_OF(node, struct journal_write, node), err);
    journal->is_answering = false;
}

static void move_new_mail(struct list *from, struct list *to)
{
    struct list_node *node = list_first(from);
    while (node != NULL) {
        struct list_node *next = list_next(from, node);
        if (LIST_OF(node, struct journal_write, node)->is_new_mail) {
            list_remove(from, node);
            list_add_last(to, node);
        }
        node = next;
    }
}

/* No space: new mail is refused, bookkeeping (which frees space) goes back to the front of the queue and is tried again until
 * it fits; the queue keeps a reserve for it. Where not even that is enough, nobody's mail has to wait for room behind it. */
static void batch_was_full(struct journal *journal)
{
    struct list refused;
    struct list_node *node;
    list_init(&refused);
    journal->was_full = journal->is_sorted = true;
    move_new_mail(&journal->batch, &refused);
    bool had_new_mail = !list_is_empty(&refused);
    while ((node = list_last(&journal->batch)) != NULL) {
        list_remove(&journal->batch, node);
        list_add_first(&journal->waiting, node);
    }
    if (!had_new_mail) {
        move_new_mail(&journal->waiting, &refused);
        if (!timer_is_running(&journal->retry))
            timer_start(&journal->retry, FULL_RETRY_MS, on_retry);
    }
    answer_all(journal, &refused, ERR_FULL);
    go_on(journal);
}

/* What was not written is on the disk as it was before: those entries are tried again after the next start. */
void journal_give_up(struct journal *journal)
{
    journal->gives_up = true;
    if (timer_is_running(&journal->retry))
        timer_start(&journal->retry, 0, on_retry);
}

static void tell_given_up(struct journal *journal)
{
    struct log_line line;
    if (!log_open(&line, journal->relay->log, LOG_ERROR, "outcomes_lost"))
        return;
    log_number(&line, "writes", (int64_t)journal->batch.count);
    log_string(&line, "problem", "the disk is full, and the relay has to stop");
    log_string(&line, "advice", "make room before the next start; mail whose delivery could not be written down goes out once more");
    log_close(&line);
}

static void on_retry(struct timer *timer)
{
    struct journal *journal = LIST_OF(timer, struct journal, retry);
    if (!journal->is_broken) {
        start_batch(journal);
        return;
    }
    answer_all(journal, &journal->waiting, ERR_IO);
    relay_part_ended(journal->relay);
}

/* ---- space ---- */

bool journal_is_full(struct journal *journal)
{
    int64_t now_ms = clock_monotonic_ms();
    if (journal->space_checked_ms == 0 || now_ms - journal->space_checked_ms >= SPACE_CHECK_MS) {
        struct queue_space space;
        journal->space_checked_ms = now_ms;
        journal->was_full = false;
        journal->space_is_short = queue_space(journal->relay->queue, &space) != ERR_NONE ||
                                  space.map_used > space.map_size / 100 * FULL_PERCENT ||
                                  space.disk_free + space.file_free < journal->relay->config->queue_free_min;
    }
    return journal->space_is_short || journal->was_full;
}
