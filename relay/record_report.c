#include "relay/record_internal.h"

#include "relay/config.h"
#include "relay/digest.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "smtp/envelope.h"

#define SCRATCH_MAX (1u << 20)

static bool gives_notice(struct relay *relay, const struct record_requests *requests);
static bool was_noticed(struct relay *relay, const struct queue_message *message);
static size_t collect(const struct record_requests *requests, bool is_notice, struct report_recipient *recipients);
static bool wants_report(const struct record_request *request, const struct queue_recipient *recipient, bool is_notice,
                         enum smtp_dsn_action *action);
static bool may_wait(struct relay *relay, const struct owed *owed);
static void note_finished(struct record *record, const struct record_requests *requests);
static enum err make_report(struct record *record, const struct owed *owed);
static enum err tell_postmaster(struct record *record, const struct report_request *report);

/* The story is in gathering.h: later, with more of the message's failures; or now, with all that waits, where nothing is pending. */
enum err record_make_report(struct record *record, const struct record_requests *requests)
{
    struct relay *relay = record->relay;
    struct report_recipient recipients[QUEUE_RECIPIENTS_MAX];
    struct owed owed = {.since_ms = clock_wall_ms(), .message = *requests->items[0].message, .recipients = recipients};
    owed.recipient_count = collect(requests, gives_notice(relay, requests), recipients);
    note_finished(record, requests);
    size_t waiting = gathering_count(relay->gathering, owed.message.id, NULL);
    bool is_last = true;
    if (owed.recipient_count == 0 && waiting == 0)
        return ERR_NONE;
    enum err err = gathering_is_last(relay->gathering, &owed.message, &record->outcome, &is_last);
    if (err == ERR_NONE && waiting > 0 && owed.recipient_count + waiting > QUEUE_RECIPIENTS_MAX)
        err = record_gathered(relay, owed.message.id); /* one report holds no more */
    if (err != ERR_NONE || (owed.recipient_count == 0 && !is_last))
        return err;
    if (!is_last && requests->items[0].is_only_notice)
        return make_report(record, &owed); /* one of a message as it is */
    if (!is_last && may_wait(relay, &owed))
        err = gathering_keep(relay->gathering, &record->outcome, &owed, &record->owed);
    if (!is_last && (record->outcome.keeps || err == ERR_MEMORY))
        return err;
    err = gathering_take(relay->gathering, &record->outcome, record->arena, &owed);
    return err == ERR_NONE ? make_report(record, &owed) : err;
}

enum err record_make_gathered(struct record *record)
{
    struct report_recipient recipients[QUEUE_RECIPIENTS_MAX];
    struct owed owed = {.recipients = recipients};
    enum err err = gathering_take(record->relay->gathering, &record->outcome, record->arena, &owed);
    return err == ERR_NONE ? make_report(record, &owed) : err;
}

/* Nobody is told of what failed of a report; there is nothing to gather. */
static bool may_wait(struct relay *relay, const struct owed *owed)
{
    return relay->config->report_gather_ms > 0 && owed->message.sender.length > 0;
}

static void note_finished(struct record *record, const struct record_requests *requests)
{
    struct gathering_outcome *outcome = &record->outcome;
    for (size_t i = 0; i < requests->count; i++) {
        if (queue_entry_is_finished(requests->items[i].entry))
            outcome->finished[outcome->finished_count++] = requests->items[i].entry->number;
    }
}

static enum err make_report(struct record *record, const struct owed *owed)
{
    struct report_request report = {
        .message = &owed->message,
        .recipients = owed->recipients,
        .recipient_count = owed->recipient_count,
        .retry_until_ms = owed->message.arrival_ms + record->relay->config->expire_ms,
    };
    if (owed->recipient_count == 0)
        return ERR_NONE;
    enum err err = report_new(record->relay, &report, &record->report);
    return err == ERR_NONE && record->report == NULL ? tell_postmaster(record, &report) : err;
}

/* ---- the delay notice: one of a message ---- */

static bool gives_notice(struct relay *relay, const struct record_requests *requests)
{
    if (!requests->items[0].is_only_notice)
        return false;
    for (size_t i = 0; i < requests->count; i++)
        requests->items[i].entry->warned = true;
    return !was_noticed(relay, requests->items[0].message);
}

/* By another entry, whose attempt was under way when this one's notice was given, or the other way round. */
static bool was_noticed(struct relay *relay, const struct queue_message *message)
{
    struct arena *arena = message->entry_count > 1 ? arena_new(SCRATCH_MAX) : NULL;
    bool found = relay->noticed_id == message->id;
    for (uint32_t number = 0; arena != NULL && number < message->entry_count && !found; number++) {
        struct queue_entry other;
        arena_reset(arena);
        found = queue_entry_get(relay->queue, message->id, (uint16_t)number, arena, &other) == ERR_NONE && other.warned;
    }
    arena_free(&arena);
    relay->noticed_id = message->id;
    return found;
}

/* ---- who is told of whom ---- */

/* The advice of the attempt is about its trouble, which is not that of every recipient: nothing is to be done about one that was
 * delivered, and nothing more is tried where the time is over. */
static struct slice advice_for(const struct record_request *request, const struct queue_recipient *recipient)
{
    bool waits = request->trouble != NULL && verdict_of(request->trouble).kind == VERDICT_DEFER;
    switch (recipient->status) {
    case QUEUE_DELIVERED:
        return SLICE_EMPTY;
    case QUEUE_EXPIRED:
        return SLICE("That was the last attempt: the time for it is over, and nothing more is tried.");
    case QUEUE_FAILED:
        return waits ? SLICE("The recipient's server refuses this; see its reply.") : request->advice;
    default:
        return request->advice;
    }
}

static size_t collect(const struct record_requests *requests, bool is_notice, struct report_recipient *recipients)
{
    size_t count = 0;
    for (size_t i = 0; i < requests->count; i++) {
        const struct record_request *request = &requests->items[i];
        for (size_t j = 0; j < request->entry->recipient_count; j++) {
            const struct queue_recipient *recipient = &request->entry->recipients[j];
            enum smtp_dsn_action action;
            if (!requests->decided[i][j] || !wants_report(request, recipient, is_notice, &action))
                continue;
            recipients[count++] = (struct report_recipient){
                .recipient = recipient,
                .action = action,
                .advice = advice_for(request, recipient),
                .last_attempt_ms = request->entry->last_attempt_ms,
            };
        }
    }
    return count;
}

/* RFC 3461 4.1: NEVER silences all, FAILURE and DELAY are told where nothing else was asked; SUCCESS only where it was: the demand is
 * handed on to the next host, which tells of it, and of a host that cannot (5.2.2 (b)) we tell. A report has nobody to be told of
 * its success or delay. */
static bool wants_report(const struct record_request *request, const struct queue_recipient *recipient, bool is_notice,
                         enum smtp_dsn_action *action)
{
    bool asked = recipient->notify != SMTP_NOTIFY_DEFAULT;
    bool has_sender = request->message->sender.length > 0;
    if (recipient->notify & SMTP_NOTIFY_NEVER)
        return false;
    switch (recipient->status) {
    case QUEUE_FAILED:
    case QUEUE_EXPIRED:
        *action = SMTP_DSN_FAILED;
        return !asked || (recipient->notify & SMTP_NOTIFY_FAILURE);
    case QUEUE_DELIVERED:
        *action = SMTP_DSN_RELAYED;
        return has_sender && (recipient->notify & SMTP_NOTIFY_SUCCESS) && request->context != NULL &&
               !request->context->reports_deliveries;
    case QUEUE_PENDING:
        *action = SMTP_DSN_DELAYED;
        return has_sender && is_notice && (!asked || (recipient->notify & SMTP_NOTIFY_DELAY));
    case QUEUE_DELETED:
        break;
    }
    return false;
}

/* ---- double bounces ---- */

/* RFC 3461 5.2: otherwise the message would be lost without anybody knowing. */
static enum err tell_postmaster(struct record *record, const struct report_request *report)
{
    struct relay *relay = record->relay;
    char id[QUEUE_ID_TEXT];
    if (relay->config->postmaster.length == 0 || slice_equal(report->message->origin, SLICE(DIGEST_ORIGIN)))
        return ERR_NONE; /* the log has it */
    for (size_t i = 0; i < report->recipient_count; i++) {
        const struct queue_recipient *recipient = report->recipients[i].recipient;
        if (report->recipients[i].action != SMTP_DSN_FAILED)
            continue;
        struct digest_item item = {
            .time_ms = clock_wall_ms(),
            .id = queue_id_print(report->message->id, id),
            .origin = report->message->origin,
            .sender = report->message->sender,
            .recipient = recipient->address,
            .text = recipient->text,
        };
        if (!digest_add(relay->digest, &item, record->arena, &record->digest))
            return ERR_MEMORY;
        record->has_digest = true;
    }
    return ERR_NONE;
}
