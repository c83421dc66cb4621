#include "relay/digest.h"

#include "relay/config.h"
#include "relay/draft.h"
#include "relay/relay.h"
#include "relay/report.h"

#include <stdlib.h>

#define STATE_KEY "digest"
#define CONTENT_MAX (1u << 20)
#define RETRY_MS 60000

struct digest {
    struct relay *relay;
    struct digest_list list;
    struct timer timer;
    struct draft *draft;   /* on its way into the queue; NULL: none */
    struct arena *arena;   /* of that */
    struct journal_write write;
    bool is_stopping;
};

static void load(struct digest *digest);
static void on_timer(struct timer *timer);
static enum err make_draft(struct digest *digest);
static bool submit(struct digest *digest);
static void committed(struct journal_write *write, enum err err);
static void give_up(struct digest *digest);
static bool state_change(const struct digest_list *list, struct arena *arena, struct queue_change *change);

struct digest *digest_new(struct relay *relay)
{
    struct digest *digest = calloc(1, sizeof *digest);
    if (digest == NULL)
        return NULL;
    digest->relay = relay;
    digest_list_init(&digest->list);
    load(digest);
    digest_wake(digest);
    return digest;
}

void digest_free(struct digest **digest)
{
    if (*digest == NULL)
        return;
    timer_cancel(&(*digest)->timer);
    give_up(*digest);
    digest_list_free(&(*digest)->list);
    free(*digest);
    *digest = NULL;
}

void digest_stop(struct digest *digest)
{
    digest->is_stopping = true;
    timer_cancel(&digest->timer);
}

/* ---- what is stored ---- */

/* One that cannot be read begins anew: all of it is in the log as well. */
static void load(struct digest *digest)
{
    struct slice bytes;
    struct arena *arena = arena_new(CONTENT_MAX);
    enum err err = arena == NULL ? ERR_MEMORY : queue_meta_get(digest->relay->queue, SLICE(STATE_KEY), arena, &bytes);
    if (err == ERR_NONE)
        err = digest_list_decode(bytes, &digest->list);
    struct log_line line;
    if (err != ERR_NONE && err != ERR_NOT_FOUND && log_open(&line, digest->relay->log, LOG_WARNING, "digest_lost")) {
        log_string(&line, "error", err_text(err));
        log_close(&line);
    }
    arena_free(&arena);
}

static bool state_change(const struct digest_list *list, struct arena *arena, struct queue_change *change)
{
    struct buffer bytes;
    buffer_init(&bytes, CONTENT_MAX);
    digest_list_encode(list, &bytes);
    *change = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = SLICE(STATE_KEY)};
    bool made = !buffer_failed(&bytes) && arena_slice(arena, buffer_slice(&bytes), &change->bytes);
    buffer_free(&bytes);
    return made;
}

bool digest_add(struct digest *digest, const struct digest_item *item, struct arena *arena, struct queue_change *change)
{
    digest_list_add(&digest->list, item);
    return state_change(&digest->list, arena, change);
}

/* ---- when it is time ---- */

void digest_wake(struct digest *digest)
{
    int64_t now_ms = clock_wall_ms();
    int64_t due_ms = digest_list_due_ms(&digest->list, now_ms);
    if (digest->is_stopping || digest->draft != NULL || due_ms == INT64_MAX || digest->relay->config->postmaster.length == 0)
        return;
    timer_start(&digest->timer, due_ms - now_ms, on_timer);
}

static void on_timer(struct timer *timer)
{
    struct digest *digest = LIST_OF(timer, struct digest, timer);
    if (digest->relay->config->postmaster.length == 0)
        return; /* a reload took it away; the next one that gives it wakes us */
    enum err err = make_draft(digest);
    if (err == ERR_NONE && submit(digest))
        return;
    give_up(digest);
    struct log_line line;
    if (log_open(&line, digest->relay->log, LOG_ERROR, "digest_failed")) {
        log_string(&line, "error", err == ERR_SYNTAX ? "[bounce] postmaster is no address that mail can be sent to" : "out of memory");
        log_string(&line, "advice", err == ERR_SYNTAX ? "correct it; the digest waits" : "it is tried again in a moment");
        log_close(&line);
    }
    timer_start(&digest->timer, err == ERR_SYNTAX ? DIGEST_INTERVAL_MS : RETRY_MS, on_timer);
}

/* ERR_SYNTAX: there is nobody to send it to. */
static enum err make_draft(struct digest *digest)
{
    struct relay *relay = digest->relay;
    char id[QUEUE_ID_TEXT];
    struct buffer content;
    struct draft_options options = {.sender = SLICE_EMPTY, .origin = SLICE(DIGEST_ORIGIN), .is_report = true};
    digest->draft = draft_new(relay, &options);
    digest->arena = arena_new(CONTENT_MAX);
    if (digest->draft == NULL || digest->arena == NULL)
        return ERR_MEMORY;
    enum err err = report_address(relay, digest->draft, relay->config->postmaster);
    struct digest_letter letter = {
        .hostname = relay->config->hostname,
        .id = queue_id_print(draft_id(digest->draft), id),
        .to = relay->config->postmaster,
        .date_ms = clock_wall_ms(),
    };
    buffer_init(&content, CONTENT_MAX);
    digest_list_print(&digest->list, &letter, &content);
    if (buffer_failed(&content))
        err = ERR_MEMORY;
    if (err == ERR_NONE)
        draft_add_content(digest->draft, buffer_slice(&content));
    buffer_free(&content);
    return err;
}

/* The message and the list that begins anew, in one transaction. What is added from now on is of the next digest. */
static bool submit(struct digest *digest)
{
    struct digest_list next;
    const struct queue_change *of_draft;
    size_t count;
    digest_list_init(&next);
    digest_list_sent(&next, clock_wall_ms());
    if (draft_changes(digest->draft, clock_wall_ms(), &of_draft, &count) != ERR_NONE)
        return false;
    struct queue_change *changes = arena_array(digest->arena, count + 1, sizeof *changes);
    if (changes == NULL || !state_change(&next, digest->arena, &changes[count]))
        return false;
    for (size_t i = 0; i < count; i++)
        changes[i] = of_draft[i];
    digest_list_free(&digest->list);
    digest->list = next;
    digest->write = (struct journal_write){.changes = changes, .change_count = count + 1, .done = committed};
    journal_submit(digest->relay->journal, &digest->write);
    return true;
}

/* When it cannot be written the relay is ending: the next one finds the list as it was stored. */
static void committed(struct journal_write *write, enum err err)
{
    struct digest *digest = LIST_OF(write, struct digest, write);
    if (err == ERR_NONE) {
        digest->relay->metrics.reports++;
        draft_wake(digest->draft);
    }
    give_up(digest);
    digest_wake(digest);
}

static void give_up(struct digest *digest)
{
    draft_free(&digest->draft);
    arena_free(&digest->arena);
}
