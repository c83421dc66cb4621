#include "relay/report.h"

#include "base/idna.h"
#include "base/text.h"
#include "relay/config.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "smtp/address.h"
#include "smtp/convert.h"

#include <stdlib.h>

/* RET=FULL is honoured up to here; beyond it the header alone comes back (RFC 3461 4.3 allows it). */
#define RETURNED_FULL_MAX (512u << 10)
#define RETURNED_HEADER_MAX (64u << 10)
#define REPORT_MAX (900u << 10)

static void log_undeliverable(struct relay *relay, const struct queue_message *message, const char *why);
static enum err add_content(struct relay *relay, const struct report_request *request, struct draft *report);
static bool is_utf8_report(const struct report_request *request);
static void print_report(struct relay *relay, const struct report_request *request, uint64_t id, struct buffer *out);
static void read_header(struct relay *relay, const struct queue_message *message, struct buffer *out);
static bool read_whole(struct relay *relay, const struct queue_message *message, struct buffer *out);

enum err report_new(struct relay *relay, const struct report_request *request, struct draft **report)
{
    *report = NULL;
    if (request->message->sender.length == 0) {
        log_undeliverable(relay, request->message, "it has the null reverse-path: it is a report itself");
        return ERR_NONE;
    }
    char id[QUEUE_ID_TEXT];
    char origin[64];
    struct draft_options options = {
        .sender = SLICE_EMPTY,
        .origin = text_print(origin, sizeof origin, "report on %.*s", SLICE_ARGS(queue_id_print(request->message->id, id))),
        .utf8 = is_utf8_report(request),
        .is_report = true,
    };
    *report = draft_new(relay, &options);
    enum err err = *report == NULL ? ERR_MEMORY : report_address(relay, *report, request->message->sender);
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

enum err report_address(struct relay *relay, struct draft *draft, struct slice address)
{
    struct arena *arena = arena_new(1u << 20);
    struct config_list expanded = {.count = 0};
    enum err err = ERR_SYNTAX;
    enum locals_result result =
        arena == NULL ? LOCALS_MEMORY : locals_expand(relay->locals, address, arena, &expanded);
    if (result == LOCALS_REMOTE)
        err = add_one(draft, address, arena);
    else if (result == LOCALS_EXPANDED)
        err = add_all(draft, &expanded, arena);
    else if (result == LOCALS_MEMORY)
        err = ERR_MEMORY;
    arena_free(&arena);
    return err;
}

/* RFC 6533: where an address is beyond ASCII, which only SMTPUTF8 can have brought here. */
static bool is_utf8_report(const struct report_request *request)
{
    bool ascii = !request->message->utf8 || text_is_ascii(request->message->sender);
    for (size_t i = 0; i < request->recipient_count; i++)
        ascii = ascii && (!request->message->utf8 || text_is_ascii(request->recipients[i].recipient->address));
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
        .last_attempt_ms = reported->last_attempt_ms,
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
    buffer_init(&returned, RETURNED_FULL_MAX);
    bool full = failed && message->ret == SMTP_RET_FULL && message->size <= RETURNED_FULL_MAX &&
                read_whole(relay, message, &returned);
    if (!full)
        read_header(relay, message, &returned);
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
        .utf8 = is_utf8_report(request),
    };
    smtp_dsn_print(out, &dsn);
    buffer_free(&returned);
    free(recipients);
}

/* What cannot be read is left out: a report without the message's header is better than none. */
static void read_header(struct relay *relay, const struct queue_message *message, struct buffer *out)
{
    size_t wanted = message->header_length < RETURNED_HEADER_MAX ? message->header_length : RETURNED_HEADER_MAX;
    buffer_clear(out);
    for (uint32_t i = 0; i < message->chunk_count && buffer_length(out) < wanted; i++) {
        if (queue_chunk_get(relay->queue, message->id, i, out) != ERR_NONE)
            break;
    }
    if (buffer_length(out) > wanted)
        buffer_truncate(out, wanted);
}

/* In a form that fits into a report, which is 7-bit. False: it cannot be had whole. */
static bool read_whole(struct relay *relay, const struct queue_message *message, struct buffer *out)
{
    struct smtp_convert *convert = malloc(sizeof *convert);
    struct buffer chunk;
    enum err err = convert == NULL ? ERR_MEMORY : ERR_NONE;
    bool is_plain = !message->eight_bit && !message->has_long_lines;
    buffer_init(&chunk, QUEUE_CHUNK_MAX + 1024);
    if (err == ERR_NONE)
        smtp_convert_init(convert, is_plain ? SMTP_CONVERT_NOTHING : SMTP_CONVERT_SEVEN_BIT, message->form);
    for (uint32_t i = 0; i < message->chunk_count && err == ERR_NONE; i++) {
        buffer_clear(&chunk);
        err = queue_chunk_get(relay->queue, message->id, i, &chunk);
        if (err == ERR_NONE)
            smtp_convert_feed(convert, buffer_slice(&chunk), out);
    }
    if (err == ERR_NONE)
        smtp_convert_finish(convert, out);
    buffer_free(&chunk);
    free(convert);
    return err == ERR_NONE && !buffer_failed(out);
}
