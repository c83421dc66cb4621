#include "relay/record.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "smtp/envelope.h"

#include <assert.h>
#include <stdlib.h>

#define ARENA_MAX (8u << 20)

/* What is on its way to the disk. */
struct record {
    struct relay *relay;
    struct destination *destination;
    struct arena *arena;
    struct queue_entry entry;
    struct draft *report; /* NULL: none */
    struct queue_change *changes;
    struct journal_write write;
};

static void expire_recipients(struct relay *relay, const struct record_request *request);
static void log_recipients(struct relay *relay, const struct record_request *request, const bool *decided);
static enum err make_report(struct record *record, const struct record_request *request, const bool *decided);
static bool copy_entry(struct record *record, const struct queue_entry *entry);
static bool gather_changes(struct record *record, const struct queue_entry *entry);
static void log_unrecorded(struct relay *relay, const struct queue_entry *entry);
static void committed(struct journal_write *write, enum err err);
static void give_up(struct record *record);

void record_outcome(struct relay *relay, const struct record_request *request)
{
    assert(request->entry->recipient_count <= QUEUE_RECIPIENTS_MAX);
    bool decided[QUEUE_RECIPIENTS_MAX];
    for (size_t i = 0; i < request->entry->recipient_count; i++)
        decided[i] = request->decided != NULL ? request->decided[i]
                                              : request->entry->recipients[i].status == QUEUE_PENDING;
    expire_recipients(relay, request);

    struct record *record = calloc(1, sizeof *record);
    if (record != NULL) {
        record->relay = relay;
        record->destination = request->destination;
    }
    if (record == NULL || make_report(record, request, decided) != ERR_NONE || !gather_changes(record, request->entry)) {
        /* Without memory nothing is recorded: the entry stays as stored and is tried again. It may arrive twice then, which is
         * better than not at all. */
        log_unrecorded(relay, request->entry);
        destination_release(request->destination, request->entry->id, request->entry->number);
        destination_pause(request->destination);
        give_up(record);
        return;
    }
    log_recipients(relay, request, decided);
    record->write.done = committed;
    journal_submit(relay->journal, &record->write);
}

static void log_unrecorded(struct relay *relay, const struct queue_entry *entry)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, relay->log, LOG_ERROR, "unrecorded"))
        return;
    log_text(&line, "id", queue_id_print(entry->id, id));
    log_text(&line, "domain", entry->destination);
    log_string(&line, "error", "no memory to write down what came of an attempt");
    log_string(&line, "advice", "it is tried again in a moment; give the relay more memory");
    log_close(&line);
}

static bool copy_entry(struct record *record, const struct queue_entry *entry)
{
    struct buffer bytes;
    struct slice kept;
    record->arena = arena_new(ARENA_MAX);
    if (record->arena == NULL)
        return false;
    buffer_init(&bytes, ARENA_MAX);
    queue_entry_encode(entry, &bytes);
    bool copied = !buffer_failed(&bytes) && arena_slice(record->arena, buffer_slice(&bytes), &kept) &&
                  queue_entry_decode(kept, record->arena, &record->entry) == ERR_NONE;
    buffer_free(&bytes);
    return copied;
}

/* The entry's, and those that queue the report. */
static bool gather_changes(struct record *record, const struct queue_entry *entry)
{
    const struct queue_change *report = NULL;
    size_t report_count = 0;
    if (!copy_entry(record, entry) ||
        (record->report != NULL && draft_changes(record->report, clock_wall_ms(), &report, &report_count) != ERR_NONE))
        return false;
    record->changes = arena_array(record->arena, report_count + 1, sizeof *record->changes);
    if (record->changes == NULL)
        return false;
    record->changes[0] = (struct queue_change){
        .kind = QUEUE_CHANGE_UPDATE,
        .id = record->entry.id,
        .number = record->entry.number,
        .entries = &record->entry,
        .entry_count = 1,
        .now_ms = clock_wall_ms(),
    };
    for (size_t i = 0; i < report_count; i++)
        record->changes[i + 1] = report[i];
    record->write.changes = record->changes;
    record->write.change_count = report_count + 1;
    return true;
}

static void give_up(struct record *record)
{
    if (record == NULL)
        return;
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
    destination_release(record->destination, record->entry.id, record->entry.number);
    give_up(record);
}

/* ---- expiry ---- */

static void expire_recipients(struct relay *relay, const struct record_request *request)
{
    if (clock_wall_ms() - request->message->arrival_ms < relay->config->expire_ms)
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
    log_text(line, "advice", request->advice);
}

static void log_recipient(struct relay *relay, const struct record_request *request, const struct queue_recipient *recipient)
{
    struct event event = event_of(relay, request, recipient->status);
    int64_t delay_ms = clock_wall_ms() - request->message->arrival_ms;
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

/* ---- reports ---- */

/* RFC 3461 4.1: NEVER silences all, FAILURE and DELAY are told where nothing else was asked; SUCCESS only where it was. We hand
 * over the demand for SUCCESS to the next host; where that host lacks DSN, "relayed" is told by us. */
static bool wants_report(const struct queue_recipient *recipient, bool is_notice, enum smtp_dsn_action *action)
{
    if (recipient->notify & SMTP_NOTIFY_NEVER)
        return false;
    bool asked = recipient->notify != SMTP_NOTIFY_DEFAULT;
    if (recipient->status == QUEUE_FAILED || recipient->status == QUEUE_EXPIRED) {
        *action = SMTP_DSN_FAILED;
        return !asked || (recipient->notify & SMTP_NOTIFY_FAILURE);
    }
    *action = SMTP_DSN_DELAYED;
    return is_notice && recipient->status == QUEUE_PENDING && (!asked || (recipient->notify & SMTP_NOTIFY_DELAY));
}

/* Once, when the message has waited for so long. */
static bool is_delay_notice(const struct relay *relay, const struct record_request *request)
{
    int64_t warn_ms = relay->config->warn_ms;
    return warn_ms > 0 && !request->entry->warned && clock_wall_ms() - request->message->arrival_ms >= warn_ms &&
           !queue_entry_is_finished(request->entry);
}

static enum err make_report(struct record *record, const struct record_request *request, const bool *decided)
{
    struct relay *relay = record->relay;
    bool is_notice = is_delay_notice(relay, request);
    request->entry->warned = request->entry->warned || is_notice;
    struct report_recipient recipients[QUEUE_RECIPIENTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < request->entry->recipient_count; i++) {
        const struct queue_recipient *recipient = &request->entry->recipients[i];
        enum smtp_dsn_action action;
        if (decided[i] && wants_report(recipient, is_notice, &action))
            recipients[count++] =
                (struct report_recipient){.recipient = recipient, .action = action, .advice = request->advice};
    }
    if (count == 0)
        return ERR_NONE;
    struct report_request report = {
        .message = request->message,
        .recipients = recipients,
        .recipient_count = count,
        .last_attempt_ms = request->entry->last_attempt_ms,
        .retry_until_ms = request->message->arrival_ms + relay->config->expire_ms,
    };
    return report_new(relay, &report, &record->report);
}
