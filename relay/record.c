#include "relay/record_internal.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/digest.h"
#include "relay/journal.h"
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>

#define ARENA_MAX (8u << 20)

static void expire_recipients(struct relay *relay, const struct record_request *request);
static void log_recipients(struct relay *relay, const struct record_request *request, const bool *decided);
static struct record *make_record(struct relay *relay, const struct record_requests *requests);
static bool copy_entry(struct record *record, const struct queue_entry *entry, struct queue_entry *copy);
static bool gather_changes(struct record *record);
static void log_unrecorded(struct relay *relay, const struct queue_entry *entry, enum err err);
static void committed(struct journal_write *write, enum err err);
static void give_up(struct record *record, enum err err);
static void submit(struct record *record);
static struct record *new_record(struct relay *relay, uint64_t message_id);

void record_outcome(struct relay *relay, const struct record_request *request)
{
    record_outcomes(relay, request, 1);
}

void record_outcomes(struct relay *relay, const struct record_request *items, size_t count)
{
    struct record_requests requests = {.items = items, .count = count};
    assert(count > 0 && count <= RECORD_ENTRIES_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct queue_entry *entry = items[i].entry;
        assert(entry->recipient_count <= QUEUE_RECIPIENTS_MAX && items[i].message->id == items[0].message->id);
        for (size_t j = 0; j < entry->recipient_count; j++)
            requests.decided[i][j] =
                items[i].decided != NULL ? items[i].decided[j] : entry->recipients[j].status == QUEUE_PENDING;
        expire_recipients(relay, &items[i]);
    }
    struct record *record = make_record(relay, &requests);
    for (size_t i = 0; i < count; i++) {
        if (record != NULL) {
            log_recipients(relay, &items[i], requests.decided[i]);
            continue;
        }
        /* Without memory nothing is recorded: the entry stays as stored and is tried again. It may arrive twice then, which is
         * better than not at all. */
        log_unrecorded(relay, items[i].entry, ERR_MEMORY);
        destination_release(items[i].destination, items[i].entry->id, items[i].entry->number);
        destination_pause(items[i].destination);
    }
    if (record != NULL)
        submit(record);
}

enum err record_gathered(struct relay *relay, uint64_t message_id)
{
    struct record *record = new_record(relay, message_id);
    if (record == NULL)
        return ERR_MEMORY;
    if (record_make_gathered(record) == ERR_NONE && gather_changes(record)) {
        submit(record);
        return ERR_NONE;
    }
    give_up(record, ERR_MEMORY);
    return ERR_MEMORY;
}

static void submit(struct record *record)
{
    gathering_submitted(record->relay->gathering, &record->outcome);
    journal_submit(record->relay->journal, &record->write);
}

/* NULL: out of memory. */
static struct record *new_record(struct relay *relay, uint64_t message_id)
{
    struct record *record = calloc(1, sizeof *record);
    if (record == NULL)
        return NULL;
    record->relay = relay;
    record->outcome.id = message_id;
    record->arena = arena_new(ARENA_MAX);
    if (record->arena == NULL) {
        free(record);
        return NULL;
    }
    return record;
}

/* NULL: out of memory. */
static struct record *make_record(struct relay *relay, const struct record_requests *requests)
{
    struct record *record = new_record(relay, requests->items[0].message->id);
    if (record == NULL)
        return NULL;
    bool made = record_make_report(record, requests) == ERR_NONE;
    if (made)
        record->parts = arena_array(record->arena, requests->count, sizeof *record->parts);
    made = made && record->parts != NULL;
    for (size_t i = 0; made && i < requests->count; i++) {
        record->parts[i].destination = requests->items[i].destination;
        made = copy_entry(record, requests->items[i].entry, &record->parts[i].entry);
        record->part_count++;
    }
    if (made && gather_changes(record))
        return record;
    give_up(record, ERR_MEMORY);
    return NULL;
}

static void log_unrecorded(struct relay *relay, const struct queue_entry *entry, enum err err)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, relay->log, LOG_ERROR, "unrecorded"))
        return;
    log_text(&line, "id", queue_id_print(entry->id, id));
    log_text(&line, "domain", entry->destination);
    log_string(&line, "error", err_text(err));
    log_string(&line, "problem", "what came of an attempt could not be written down");
    log_string(&line, "advice", err == ERR_MEMORY ? "it is tried again in a moment, and may arrive twice; give the relay more memory"
                                                  : "it is tried again, and may arrive twice; see to the disk of the queue");
    log_close(&line);
}

static bool copy_entry(struct record *record, const struct queue_entry *entry, struct queue_entry *copy)
{
    struct buffer bytes;
    struct slice kept;
    buffer_init(&bytes, ARENA_MAX);
    queue_entry_encode(entry, &bytes);
    bool copied = !buffer_failed(&bytes) && arena_slice(record->arena, buffer_slice(&bytes), &kept) &&
                  queue_entry_decode(kept, record->arena, copy) == ERR_NONE;
    buffer_free(&bytes);
    return copied;
}

/* The entries', those that queue the report and forget that it was owed, or that one is owed. */
static bool gather_changes(struct record *record)
{
    const struct queue_change *report = NULL;
    size_t report_count = 0;
    if (record->report != NULL && draft_changes(record->report, clock_wall_ms(), &report, &report_count) != ERR_NONE)
        return false;
    record->changes = arena_array(record->arena, record->part_count + report_count + record->outcome.report_count + 2,
                                  sizeof *record->changes);
    if (record->changes == NULL)
        return false;
    size_t count = 0;
    for (; count < record->part_count; count++) {
        struct queue_entry *entry = &record->parts[count].entry;
        record->changes[count] = (struct queue_change){
            .kind = QUEUE_CHANGE_UPDATE,
            .id = entry->id,
            .number = entry->number,
            .entries = entry,
            .entry_count = 1,
            .now_ms = steady_now_ms(&record->relay->steady), /* of what is done: kept for a time */
        };
    }
    for (size_t i = 0; i < report_count; i++)
        record->changes[count++] = report[i];
    if (record->has_digest)
        record->changes[count++] = record->digest;
    if (record->outcome.keeps)
        record->changes[count++] = record->owed;
    gathering_forget(record->relay->gathering, &record->outcome, &record->changes[count]);
    count += record->outcome.report_count;
    record->write = (struct journal_write){.changes = record->changes, .change_count = count, .done = committed};
    return true;
}

static void give_up(struct record *record, enum err err)
{
    gathering_settle(record->relay->gathering, &record->outcome, err);
    draft_free(&record->report);
    arena_free(&record->arena);
    free(record);
}

static void committed(struct journal_write *write, enum err err)
{
    struct record *record = LIST_OF(write, struct record, write);
    if (err == ERR_NONE && record->report != NULL) {
        record->relay->metrics.reports++;
        draft_wake(record->report);
    }
    if (err == ERR_NONE && record->has_digest)
        digest_wake(record->relay->digest);
    for (size_t i = 0; i < record->part_count; i++) {
        struct record_part *part = &record->parts[i];
        destination_release(part->destination, part->entry.id, part->entry.number);
        if (err == ERR_NONE)
            continue;
        log_unrecorded(record->relay, &part->entry, err); /* and not at once again: each try may be a copy more */
        destination_pause(part->destination);
    }
    give_up(record, err);
}

/* ---- expiry ---- */

static void expire_recipients(struct relay *relay, const struct record_request *request)
{
    if (steady_now_ms(&relay->steady) - request->message->arrival_ms < relay->config->expire_ms)
        return;
    for (size_t i = 0; i < request->entry->recipient_count; i++) {
        struct queue_recipient *recipient = &request->entry->recipients[i];
        if (recipient->status != QUEUE_PENDING)
            continue;
        recipient->status = QUEUE_EXPIRED;
        recipient->dsn[0] = 4; /* RFC 3464: the status of the last attempt says why; 4.4.7 where there was none */
        if (recipient->dsn[1] == 0 && recipient->dsn[2] == 0) {
            recipient->dsn[1] = 4;
            recipient->dsn[2] = 7;
        }
    }
}

/* ---- what is said of it ---- */

struct event {
    const char *name;
    enum log_level level;
    uint64_t *counter;
};

static struct event event_of(struct relay *relay, const struct record_request *request, enum queue_status status)
{
    struct metrics *metrics = &relay->metrics;
    struct slice reason = request->entry->reason;
    switch (status) {
    case QUEUE_DELIVERED:
        return (struct event){"delivered", LOG_INFO, &metrics->delivered};
    case QUEUE_FAILED:
    case QUEUE_DELETED:
        return (struct event){"bounced", LOG_WARNING, metrics_of_reason(metrics->bounced, reason)};
    case QUEUE_EXPIRED:
        return (struct event){"expired", LOG_WARNING, metrics_of_reason(metrics->expired, reason)};
    case QUEUE_PENDING:
        break;
    }
    return (struct event){"deferred", LOG_WARNING, metrics_of_reason(metrics->deferred, reason)};
}

static void log_connection(struct log_line *line, const struct record_context *context)
{
    if (context == NULL)
        return;
    log_text(line, "host", context->host);
    log_text(line, "ip", context->address);
    log_string(line, "tls", context->secured ? context->tls_version.data : "none");
    if (context->tls_problem.length > 0)
        log_text(line, "tls_problem", context->tls_problem);
    log_flag(line, "verified", context->verified);
    log_text(line, "policy", context->policy_mode.length > 0 ? context->policy_mode : SLICE("none"));
    log_text(line, "policy_id", context->policy_id);
}

static void log_deferral(struct log_line *line, const struct record_request *request)
{
    char next[32];
    log_text(line, "reason", request->entry->reason);
    if (request->trouble != NULL) {
        struct buffer problem;
        buffer_init(&problem, 2048);
        verdict_print(request->trouble, &problem);
        log_text(line, "problem", buffer_slice(&problem));
        buffer_free(&problem);
        log_text(line, "failed_host", request->trouble->host);
    }
    log_text(line, "next", text_date_iso(request->entry->due_ms, next));
    if (request->waiting > 0)
        log_number(line, "waiting", (int64_t)request->waiting);
    log_text(line, "advice", request->advice);
}

static void log_recipient(struct relay *relay, const struct record_request *request, const struct queue_recipient *recipient)
{
    struct event event = event_of(relay, request, recipient->status);
    int64_t delay_ms = steady_now_ms(&relay->steady) - request->message->arrival_ms;
    (*event.counter)++;
    if (recipient->status == QUEUE_DELIVERED)
        metrics_observe(&relay->metrics, METRICS_HISTOGRAM_delay_ms, delay_ms);
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    char dsn[16];
    if (!log_open(&line, relay->log, event.level, event.name))
        return;
    log_text(&line, "id", queue_id_print(request->message->id, id));
    log_text(&line, "from", request->message->sender.length > 0 ? request->message->sender : SLICE("<>"));
    log_text(&line, "to", recipient->address);
    log_connection(&line, request->context);
    log_duration(&line, "delay", delay_ms);
    log_number(&line, "attempts", request->entry->attempts);
    log_text(&line, "dsn",
             text_print(dsn, sizeof dsn, "%u.%u.%u", recipient->dsn[0], recipient->dsn[1], recipient->dsn[2]));
    if (recipient->status == QUEUE_PENDING || recipient->status == QUEUE_EXPIRED)
        log_deferral(&line, request);
    else if (recipient->code == 0)
        log_text(&line, "problem", recipient->text); /* nobody answered: it is our own reason */
    log_text(&line, "reply", recipient->code > 0 ? recipient->text : SLICE_EMPTY);
    log_close(&line);
}

static void log_recipients(struct relay *relay, const struct record_request *request, const bool *decided)
{
    if (request->is_only_notice)
        return;
    for (size_t i = 0; i < request->entry->recipient_count; i++) {
        if (decided[i])
            log_recipient(relay, request, &request->entry->recipients[i]);
    }
}
