#include "relay/report.h"

#include "base/idna.h"
#include "base/text.h"
#include "relay/config.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "smtp/address.h"

#include <stdlib.h>

/* RET=FULL is honoured up to here; beyond it the header alone comes back (RFC 3461 4.3 allows it). */
#define RETURNED_FULL_MAX (512u << 10)
#define RETURNED_HEADER_MAX (64u << 10)
#define REPORT_MAX (900u << 10)

static void log_undeliverable(struct relay *relay, const struct queue_message *message, const char *why);
static enum err add_addressee(struct relay *relay, struct draft *draft, const struct queue_message *message);
static enum err add_content(struct relay *relay, const struct report_request *request, struct draft *report);
static void print_report(struct relay *relay, const struct report_request *request, uint64_t id, struct buffer *out);
static void read_returned(struct relay *relay, const struct queue_message *message, bool full, struct buffer *out);

enum err report_new(struct relay *relay, const struct report_request *request, struct draft **report)
{
    *report = NULL;
    if (request->message->sender.length == 0) {
        log_undeliverable(relay, request->message, "it has the null reverse-path: it is a report itself");
        return ERR_NONE;
    }
    struct draft_options options = {.sender = SLICE_EMPTY, .origin = SLICE("report"), .is_report = true};
    *report = draft_new(relay, &options);
    enum err err = *report == NULL ? ERR_MEMORY : add_addressee(relay, *report, request->message);
    if (err == ERR_NONE)
        err = add_content(relay, request, *report);
    if (err == ERR_NONE)
        return ERR_NONE;
    draft_free(report);
    if (err == ERR_MEMORY)
        return err;
    log_undeliverable(relay, request->message, "its sender is no address that mail can be sent to");
    return ERR_NONE;
}

static enum err add_content(struct relay *relay, const struct report_request *request, struct draft *report)
{
    struct buffer content;
    buffer_init(&content, REPORT_MAX);
    print_report(relay, request, draft_id(report), &content);
    enum err err = buffer_failed(&content) ? ERR_MEMORY : ERR_NONE;
    if (err == ERR_NONE)
        draft_add_content(report, buffer_slice(&content));
    buffer_free(&content);
    return err;
}

/* The operator must learn of it all the same. */
static void log_undeliverable(struct relay *relay, const struct queue_message *message, const char *why)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    if (!log_open(&line, relay->log, LOG_WARNING, "report_undeliverable"))
        return;
    log_text(&line, "id", queue_id_print(message->id, id));
    log_text(&line, "from", message->sender.length > 0 ? message->sender : SLICE("<>"));
    log_string(&line, "why", why);
    log_close(&line);
}

static enum err add_one(struct draft *draft, struct slice address, struct arena *arena)
{
    struct draft_recipient recipient = {.address = address, .orcpt = SLICE_EMPTY};
    if (!smtp_address_is_valid(address, true))
        return ERR_SYNTAX;
    enum err err = idna_canonical(smtp_address_domain(address), arena, &recipient.domain);
    if (err == ERR_NONE)
        err = draft_add_recipient(draft, &recipient);
    return err == ERR_NONE || err == ERR_SYNTAX ? err : ERR_MEMORY;
}

/* ERR_SYNTAX: there is no address that it could go to. */
static enum err add_all(struct draft *draft, const struct config_list *addresses, struct arena *arena)
{
    for (size_t i = 0; i < addresses->count; i++) {
        if (add_one(draft, addresses->items[i], arena) == ERR_MEMORY)
            return ERR_MEMORY;
    }
    return draft_recipient_count(draft) > 0 ? ERR_NONE : ERR_SYNTAX;
}

static enum err add_addressee(struct relay *relay, struct draft *draft, const struct queue_message *message)
{
    struct arena *arena = arena_new(1u << 20);
    struct config_list expanded = {.count = 0};
    enum err err = ERR_SYNTAX;
    enum locals_result result =
        arena == NULL ? LOCALS_MEMORY : locals_expand(relay->locals, message->sender, arena, &expanded);
    if (result == LOCALS_REMOTE)
        err = add_one(draft, message->sender, arena);
    else if (result == LOCALS_EXPANDED)
        err = add_all(draft, &expanded, arena);
    else if (result == LOCALS_MEMORY)
        err = ERR_MEMORY;
    arena_free(&arena);
    return err;
}

static bool is_utf8_report(const struct report_request *request)
{
    bool ascii = text_is_ascii(request->message->sender);
    for (size_t i = 0; i < request->recipient_count; i++)
        ascii = ascii && text_is_ascii(request->recipients[i].recipient->address);
    return !ascii;
}

static struct smtp_dsn_recipient dsn_recipient(const struct report_request *request, size_t index)
{
    const struct report_recipient *reported = &request->recipients[index];
    const struct queue_recipient *recipient = reported->recipient;
    /* A permanent report has a permanent status, also where the time has run out on temporary failures (RFC 3464 2.3.4). */
    uint8_t class = reported->action == SMTP_DSN_FAILED ? 5 : recipient->dsn[0];
    return (struct smtp_dsn_recipient){
        .address = recipient->address,
        .orcpt = recipient->orcpt,
        .action = reported->action,
        .status = {class == 0 ? 4 : class, recipient->dsn[1], recipient->dsn[2]},
        .remote_host = recipient->host,
        .diagnostic = recipient->text,
        .advice = reported->advice,
        .last_attempt_ms = request->last_attempt_ms,
        .retry_until_ms = request->retry_until_ms,
    };
}

static void print_report(struct relay *relay, const struct report_request *request, uint64_t id, struct buffer *out)
{
    const struct queue_message *message = request->message;
    struct smtp_dsn_recipient *recipients = calloc(request->recipient_count, sizeof *recipients);
    char text[QUEUE_ID_TEXT];
    char reported[QUEUE_ID_TEXT];
    struct buffer returned;
    bool failed = false;
    if (recipients == NULL) {
        out->failed = true;
        return;
    }
    for (size_t i = 0; i < request->recipient_count; i++) {
        recipients[i] = dsn_recipient(request, i);
        failed = failed || recipients[i].action == SMTP_DSN_FAILED;
    }
    bool full = failed && message->ret == SMTP_RET_FULL && message->size <= RETURNED_FULL_MAX;
    buffer_init(&returned, RETURNED_FULL_MAX + QUEUE_CHUNK_MAX);
    read_returned(relay, message, full, &returned);
    struct smtp_dsn dsn = {
        .hostname = relay->config->hostname,
        .id = queue_id_print(id, text),
        .reported_id = queue_id_print(message->id, reported),
        .sender = message->sender,
        .envid = message->envid,
        .arrival_ms = message->arrival_ms,
        .date_ms = clock_wall_ms(),
        .recipients = recipients,
        .recipient_count = request->recipient_count,
        .returned = buffer_slice(&returned),
        .returned_full = full,
        .utf8 = message->utf8 && is_utf8_report(request),
    };
    smtp_dsn_print(out, &dsn);
    buffer_free(&returned);
    free(recipients);
}

/* What cannot be read is left out: a report without the message's header is better than none. */
static void read_returned(struct relay *relay, const struct queue_message *message, bool full, struct buffer *out)
{
    size_t wanted = full ? (size_t)message->size : message->header_length;
    if (!full && wanted > RETURNED_HEADER_MAX)
        wanted = RETURNED_HEADER_MAX;
    for (uint32_t i = 0; i < message->chunk_count && buffer_length(out) < wanted; i++) {
        if (queue_chunk_get(relay->queue, message->id, i, out) != ERR_NONE)
            break;
    }
    if (buffer_length(out) > wanted)
        buffer_truncate(out, wanted);
}
