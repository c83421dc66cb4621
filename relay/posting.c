#include "relay/posting.h"

#include "base/text.h"
#include "relay/recipient.h"
#include "relay/relay.h"
#include "smtp/content.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define ARENA_MAX (4u << 20)
#define TRACE_MAX 8192
#define PIECE_MAX 65536 /* of the text, rewritten at once */

static bool refuse(struct posting *posting, enum posting_exit exit, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool refuse_all(struct posting *posting, const char *why);
static bool check(struct posting *posting, const struct submission *submission);
static bool open_draft(struct posting *posting, const struct submission *submission);
static bool add_recipients(struct posting *posting, const struct submission *submission);
static void add_trace(struct posting *posting);
static void add_piece(struct posting *posting, struct slice piece, bool is_last);
static void on_ready(struct draft *draft);
static void on_finished(struct draft *draft, enum err err);

bool posting_start(struct posting *posting, const struct submission *submission)
{
    if (!check(posting, submission))
        return false;
    posting->arena = arena_new(ARENA_MAX);
    posting->rest = submission->size;
    if (posting->arena == NULL)
        return refuse_all(posting, "out of memory");
    if (open_draft(posting, submission) && add_recipients(posting, submission))
        return true;
    posting_cancel(posting);
    return false;
}

void posting_cancel(struct posting *posting)
{
    assert(!posting->is_finishing);
    draft_free(&posting->draft);
    arena_free(&posting->arena);
}

/* ---- refusals ---- */

static void log_refusal(const struct posting *posting)
{
    const struct log_share_line what = {.uid = posting->uid, .level = LOG_WARNING, .event = "rejected"};
    struct log_line line;
    if (!log_share_open(&posting->relay->log_share, posting->relay->log, &line, &what))
        return;
    log_string(&line, "with", posting->way);
    log_number(&line, "exit", posting->exit);
    log_string(&line, "reason", posting->text);
    log_close(&line);
}

static bool refuse(struct posting *posting, enum posting_exit exit, const char *format, ...)
{
    va_list arguments;
    posting->exit = exit;
    va_start(arguments, format);
    (void)vsnprintf(posting->text, sizeof posting->text, format, arguments);
    va_end(arguments);
    posting->relay->metrics.rejected++;
    log_refusal(posting);
    return false;
}

static bool refuse_all(struct posting *posting, const char *why)
{
    posting->is_for_all = true;
    return refuse(posting, POSTING_TEMPORARY, "%s", why);
}

static bool check(struct posting *posting, const struct submission *submission)
{
    const struct config *config = posting->relay->config;
    if (submission->size > config->message_size_max)
        return refuse(posting, POSTING_DATA, "the message has %llu bytes; [queue] message-size-max allows %llu",
                      (unsigned long long)submission->size, (unsigned long long)config->message_size_max);
    if (submission->recipient_count > config->recipients_max)
        return refuse(posting, POSTING_DATA, "%zu recipients; [listen] recipients-max allows %u", submission->recipient_count,
                      config->recipients_max);
    posting->is_for_all = journal_is_full(posting->relay->journal);
    return !posting->is_for_all || refuse(posting, POSTING_TEMPORARY, "the queue is full");
}

/* ---- the envelope ---- */

static bool complete_address(const struct posting *posting, struct slice address, struct slice *complete)
{
    *complete = address;
    return address.length == 0 || slice_has(address, '@') ||
           arena_print(posting->arena, complete, "%.*s@%.*s", SLICE_ARGS(address), SLICE_ARGS(posting->relay->config->hostname));
}

static bool open_draft(struct posting *posting, const struct submission *submission)
{
    char origin[32];
    struct draft_options options = {
        .origin = text_print(origin, sizeof origin, POSTING_ORIGIN, posting->uid),
        .utf8 = submission->utf8,
        .ret = submission->ret,
        .envid = submission->envid,
        .mark_key = posting->mark_key,
        .mark = posting->mark,
        .owner = posting,
        .ready = on_ready,
        .finished = on_finished,
    };
    if (complete_address(posting, submission->sender, &options.sender))
        posting->draft = draft_new(posting->relay, &options);
    if (posting->draft == NULL)
        return refuse_all(posting, "out of memory");
    posting->id = draft_id(posting->draft);
    return true;
}

static enum posting_exit exit_of(enum recipient_result result)
{
    switch (result) {
    case RECIPIENT_UNKNOWN:
        return POSTING_NO_USER;
    case RECIPIENT_INVALID:
    case RECIPIENT_TOO_MANY:
    case RECIPIENT_LOOP:
    case RECIPIENT_LIST:
        return POSTING_DATA;
    case RECIPIENT_MEMORY:
    case RECIPIENT_ADDED:
        break;
    }
    return POSTING_TEMPORARY;
}

static bool add_recipients(struct posting *posting, const struct submission *submission)
{
    struct arena *scratch = arena_new(ARENA_MAX);
    enum recipient_result result = scratch == NULL ? RECIPIENT_MEMORY : RECIPIENT_ADDED;
    struct slice address = SLICE_EMPTY;
    for (size_t i = 0; i < submission->recipient_count && result == RECIPIENT_ADDED; i++) {
        const struct submission_recipient *recipient = &submission->recipients[i];
        struct draft_recipient given = {.orcpt = recipient->orcpt, .notify = (uint8_t)recipient->notify};
        arena_reset(scratch);
        result = complete_address(posting, recipient->address, &given.address)
                     ? recipient_add(posting->relay->locals, posting->draft, &given, scratch)
                     : RECIPIENT_MEMORY;
        address = given.address;
    }
    posting->recipient_count = submission->recipient_count;
    text_print(posting->recipient, sizeof posting->recipient, "%.*s", SLICE_ARGS(address));
    if (result != RECIPIENT_ADDED)
        (void)refuse(posting, exit_of(result), "%s: %.*s", posting->recipient, SLICE_ARGS(recipient_reply(result).text));
    arena_free(&scratch);
    return result == RECIPIENT_ADDED;
}

/* ---- the text ---- */

static void add_trace(struct posting *posting)
{
    char id[QUEUE_ID_TEXT];
    char uid[32];
    struct buffer field;
    struct smtp_trace trace = {
        .hello = SLICE_EMPTY,
        .address = text_print(uid, sizeof uid, "uid %u", posting->uid),
        .hostname = posting->relay->config->hostname,
        .with = SLICE("local"),
        .tls = SLICE_EMPTY,
        .id = queue_id_print(posting->id, id),
        .recipient = posting->recipient_count == 1 ? slice_of(posting->recipient) : SLICE_EMPTY,
        .date_ms = clock_wall_ms(),
    };
    posting->has_text = true;
    buffer_init(&field, TRACE_MAX);
    smtp_message_received(&field, &trace);
    if (buffer_failed(&field))
        draft_fail(posting->draft);
    draft_add_trace(posting->draft, buffer_slice(&field));
    buffer_free(&field);
}

/* Each byte can become two at most, and the end adds three. */
static void add_piece(struct posting *posting, struct slice piece, bool is_last)
{
    struct buffer lines;
    buffer_init(&lines, 2 * PIECE_MAX + 4);
    if (!posting->has_text)
        add_trace(posting);
    smtp_content_normalise(&posting->normaliser, piece, is_last, &lines);
    if (buffer_failed(&lines))
        draft_fail(posting->draft);
    draft_add_content(posting->draft, buffer_slice(&lines));
    buffer_free(&lines);
}

size_t posting_add(struct posting *posting, struct slice bytes)
{
    struct slice rest = posting->rest < bytes.length ? slice_to(bytes, (size_t)posting->rest) : bytes;
    size_t taken = rest.length;
    while (rest.length > 0) {
        struct slice piece = slice_to(rest, PIECE_MAX);
        add_piece(posting, piece, false);
        rest = slice_from(rest, piece.length);
    }
    posting->rest -= taken;
    return taken;
}

bool posting_is_complete(const struct posting *posting)
{
    return posting->rest == 0;
}

bool posting_is_busy(const struct posting *posting)
{
    return draft_is_busy(posting->draft);
}

static void on_ready(struct draft *draft)
{
    struct posting *posting = draft_owner(draft);
    posting->ready(posting);
}

/* ---- the end ---- */

void posting_finish(struct posting *posting)
{
    assert(posting_is_complete(posting) && !posting->is_finishing);
    add_piece(posting, SLICE_EMPTY, true);
    enum draft_fault fault = draft_end(posting->draft);
    if (fault != DRAFT_FINE) {
        (void)refuse(posting, POSTING_DATA, "%.*s", SLICE_ARGS(draft_fault_reply(fault).text));
        posting->finished(posting);
        return;
    }
    posting->is_finishing = true;
    draft_finish(posting->draft, clock_wall_ms());
}

static void log_accepted(const struct posting *posting)
{
    struct log_line line;
    char id[QUEUE_ID_TEXT];
    struct slice sender = draft_sender(posting->draft);
    if (!log_open(&line, posting->relay->log, LOG_INFO, "accepted"))
        return;
    log_text(&line, "id", queue_id_print(posting->id, id));
    log_text(&line, "from", sender.length > 0 ? sender : SLICE("<>"));
    if (posting->recipient_count == 1)
        log_string(&line, "to", posting->recipient);
    log_number(&line, "recipients", (int64_t)draft_recipient_count(posting->draft));
    log_number(&line, "size", (int64_t)draft_size(posting->draft));
    log_number(&line, "uid", posting->uid);
    log_string(&line, "with", posting->way);
    log_close(&line);
}

static void on_finished(struct draft *draft, enum err err)
{
    struct posting *posting = draft_owner(draft);
    posting->is_finishing = false;
    if (err == ERR_NONE) {
        posting->exit = POSTING_STORED;
        posting->relay->metrics.accepted++;
        log_accepted(posting);
    } else if (err == ERR_FULL) {
        (void)refuse(posting, POSTING_TEMPORARY, "the queue is full"); /* for this one: a smaller one may have room */
    } else if (err == ERR_LIMIT) {
        (void)refuse(posting, POSTING_DATA, "the header section of this message is more than this relay can sign and store");
    } else {
        (void)refuse(posting, POSTING_TEMPORARY, "the message could not be stored: %s", err_text(err));
    }
    posting->finished(posting);
}
