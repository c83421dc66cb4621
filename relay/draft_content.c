#include "relay/draft_internal.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>

#define REPORT_MAX (1u << 20)
#define FRONT_MAX (2 * SMTP_HEAD_MAX)
#define HOPS_MAX 50
#define FIXED_LINE_MAX 65536 /* bytes of a line that nobody may break */

static void begin_body(struct draft *draft);
static void repair(struct draft *draft);
static void note_lines(struct draft *draft, struct slice content);
static void add_body(struct draft *draft, struct slice content);
static void store_chunk(struct draft *draft);
static void chunk_written(struct journal_write *write, enum err err);
static void survey(struct draft *draft, struct slice content);
static void complete_survey(struct draft *draft);
static enum draft_fault find_fault(const struct draft *draft);
static uint32_t chunks_of(size_t length);
static size_t split(const struct draft *draft, struct slice bytes, uint32_t first, uint32_t count, struct queue_change *changes);

void draft_content_init(struct draft *draft)
{
    smtp_head_init(&draft->head);
    buffer_init(&draft->front, FRONT_MAX);
    buffer_init(&draft->chunk, draft->is_report ? REPORT_MAX : QUEUE_CHUNK_MAX);
}

void draft_content_free(struct draft *draft)
{
    smtp_head_free(&draft->head);
    buffer_free(&draft->front);
    buffer_free(&draft->chunk);
    free(draft->survey);
    draft_sign_free(draft);
}

void draft_add_trace(struct draft *draft, struct slice fields)
{
    assert(buffer_length(&draft->head.bytes) == 0 && !draft->is_in_body);
    smtp_head_add_own(&draft->head, fields);
}

void draft_add_content(struct draft *draft, struct slice content)
{
    assert(!draft->is_finishing && !draft->is_ended);
    if (!draft->is_in_body) {
        content = slice_from(content, smtp_head_feed(&draft->head, content));
        if (draft->head.is_complete)
            begin_body(draft);
    }
    add_body(draft, content);
}

/* ---- the header section ---- */

static void begin_body(struct draft *draft)
{
    struct smtp_header_scan scan;
    struct slice section = smtp_head_section(&draft->head);
    draft->is_in_body = true;
    smtp_header_scan_init(&scan);
    smtp_header_scan_feed(&scan, section);
    draft->received_count = scan.received_count;
    draft->message.is_signed = scan.has_dkim_signature;
    if (draft->message.is_signed || draft->is_report)
        buffer_add(&draft->front, section);
    else
        repair(draft);
    enum err front = buffer_err(&draft->front);
    if (draft->head.is_too_long || front == ERR_LIMIT)
        draft->fault = DRAFT_HEADER;
    else if (front != ERR_NONE || buffer_failed(&draft->head.bytes))
        draft_fail(draft);
    draft->message.header_length = (uint32_t)buffer_length(&draft->front);
    draft->message.size = buffer_length(&draft->front);
    note_lines(draft, buffer_slice(&draft->front));
    draft_sign_begin(draft);
    add_body(draft, smtp_head_body(&draft->head));
    smtp_head_free(&draft->head);
}

static void repair(struct draft *draft)
{
    char id[QUEUE_ID_TEXT];
    struct smtp_head_repair missing = {
        .hostname = draft->relay->config->hostname,
        .sender = draft->message.sender,
        .id = queue_id_print(draft->message.id, id),
        .date_ms = draft->message.arrival_ms,
    };
    smtp_head_repair(&draft->head, &missing, &draft->front);
}

/* ---- the body ---- */

/* Whether a survey is needed at all: most mail has neither long lines nor bytes over 0x7f. */
static void note_lines(struct draft *draft, struct slice content)
{
    draft->message.eight_bit = draft->message.eight_bit || text_has_eight_bit(content);
    while (content.length > 0) {
        size_t length = slice_find(content, '\n');
        bool ends = length < content.length;
        draft->line_length += length;
        if (ends && draft->line_length > draft->line_length_max + 1)
            draft->line_length_max = draft->line_length - 1; /* without its CR */
        if (ends)
            draft->line_length = 0;
        content = slice_from(content, length + 1);
    }
}

static void add_body(struct draft *draft, struct slice content)
{
    if (draft->fault != DRAFT_FINE)
        return; /* it will be refused: only its end is waited for */
    note_lines(draft, content);
    draft_sign_body(draft, content);
    draft->message.size += content.length;
    while (content.length > 0 && draft->err == ERR_NONE) {
        struct slice part = draft->is_report ? content : slice_to(content, buffer_room(&draft->chunk));
        buffer_add(&draft->chunk, part);
        content = slice_from(content, part.length);
        if (buffer_failed(&draft->chunk))
            draft_fail(draft);
        else if (!draft->is_report && buffer_room(&draft->chunk) == 0)
            store_chunk(draft);
    }
}

/* A full chunk of mail leaves for the disk at once; a report keeps all for the transaction that it belongs to. */
static void store_chunk(struct draft *draft)
{
    struct chunk_write *chunk = calloc(1, sizeof *chunk);
    survey(draft, buffer_slice(&draft->chunk));
    if (chunk == NULL || draft->err != ERR_NONE) {
        draft_fail(draft);
        free(chunk);
        return;
    }
    if (!draft->has_stored_chunks)
        draft->front_chunks = chunks_of(buffer_length(&draft->front) + DRAFT_FRONT_RESERVE);
    chunk->draft = draft;
    chunk->bytes = draft->chunk;
    buffer_init(&draft->chunk, QUEUE_CHUNK_MAX);
    chunk->change = (struct queue_change){
        .kind = QUEUE_CHANGE_CHUNK,
        .id = draft->message.id,
        .number = draft->front_chunks + draft->body_chunks++,
        .bytes = buffer_slice(&chunk->bytes),
    };
    chunk->write = (struct journal_write){
        .changes = &chunk->change, .change_count = 1, .is_new_mail = true, .done = chunk_written};
    draft->has_stored_chunks = true;
    draft->chunks_under_way++;
    journal_submit(draft->relay->journal, &chunk->write);
}

static void chunk_written(struct journal_write *write, enum err err)
{
    struct chunk_write *chunk = LIST_OF(write, struct chunk_write, write);
    struct draft *draft = chunk->draft;
    buffer_free(&chunk->bytes);
    free(chunk);
    draft_chunk_done(draft, err);
}

/* ---- the survey: of large mail while it streams, of other mail at its end and only where something was noted ---- */

static void survey(struct draft *draft, struct slice content)
{
    if (draft->survey == NULL) {
        draft->survey = malloc(sizeof *draft->survey);
        if (draft->survey == NULL) {
            draft_fail(draft);
            return;
        }
        smtp_survey_init(draft->survey);
        smtp_survey_feed(draft->survey, buffer_slice(&draft->front));
    }
    smtp_survey_feed(draft->survey, content);
}

static void complete_survey(struct draft *draft)
{
    bool is_needed = draft->message.eight_bit || draft->line_length_max > SMTP_LINE_MAX;
    if (draft->survey == NULL && !is_needed)
        return;
    survey(draft, buffer_slice(&draft->chunk));
    if (draft->survey == NULL)
        return;
    smtp_survey_finish(draft->survey);
    draft->message.has_long_lines = draft->survey->has_long_lines;
    draft->message.has_eight_bit_header = draft->survey->has_eight_bit_header;
    if (!arena_slice(draft->arena, smtp_survey_form(draft->survey), &draft->message.form))
        draft_fail(draft);
}

/* ---- the end ---- */

enum draft_fault draft_end(struct draft *draft)
{
    if (draft->is_ended)
        return draft->fault;
    if (!draft->is_in_body) {
        smtp_head_finish(&draft->head);
        begin_body(draft);
    }
    draft->is_ended = true;
    if (draft->fault == DRAFT_FINE) {
        complete_survey(draft);
        draft->fault = find_fault(draft);
    }
    return draft->fault;
}

static enum draft_fault find_fault(const struct draft *draft)
{
    uint64_t fixed_line_max = draft->message.is_signed ? draft->line_length_max
                              : draft->survey != NULL  ? draft->survey->fixed_line_max
                                                       : 0;
    if (draft->received_count > HOPS_MAX)
        return DRAFT_LOOP;
    return fixed_line_max > FIXED_LINE_MAX ? DRAFT_LINE : DRAFT_FINE;
}

struct smtp_reply draft_fault_reply(enum draft_fault fault)
{
    switch (fault) {
    case DRAFT_LOOP:
        return smtp_reply_make(554, 4, 6, "too many hops: this message is in a loop");
    case DRAFT_HEADER:
        return smtp_reply_make(552, 3, 4, "the header section is larger than 256 KiB, or than 512 KiB with its addresses completed");
    case DRAFT_LINE:
        return smtp_reply_make(550, 6, 0, "a line of over 64 KiB in a part that is signed, or encoded in a way that this relay does not know");
    case DRAFT_FINE:
        break;
    }
    return smtp_reply_make(250, 0, 0, "");
}

/* ---- what is left to be stored ---- */

static uint32_t chunks_of(size_t length)
{
    return (uint32_t)((length + QUEUE_CHUNK_MAX - 1) / QUEUE_CHUNK_MAX);
}

size_t draft_chunks_max(const struct draft *draft)
{
    return chunks_of(buffer_length(&draft->front) + DRAFT_FRONT_RESERVE) + chunks_of(buffer_length(&draft->chunk)) + 1;
}

/* Mostly both fit into one chunk. */
size_t draft_add_chunks(struct draft *draft, struct queue_change *changes)
{
    struct slice body = buffer_slice(&draft->chunk);
    if (!draft->has_stored_chunks && buffer_length(&draft->front) + body.length <= QUEUE_CHUNK_MAX) {
        buffer_add(&draft->front, body);
        body = SLICE_EMPTY;
    }
    if (buffer_failed(&draft->front))
        draft_fail(draft);
    struct slice front = buffer_slice(&draft->front);
    uint32_t front_chunks = draft->has_stored_chunks ? draft->front_chunks : chunks_of(front.length);
    uint32_t next = front_chunks + draft->body_chunks;
    size_t count = split(draft, front, 0, front_chunks, changes);
    count += split(draft, body, next, chunks_of(body.length), changes + count);
    draft->message.chunk_count = next + chunks_of(body.length);
    return count;
}

/* Into so many chunks of about the same size. */
static size_t split(const struct draft *draft, struct slice bytes, uint32_t first, uint32_t count, struct queue_change *changes)
{
    for (uint32_t i = 0; i < count; i++) {
        struct slice part = slice_to(bytes, (bytes.length + count - i - 1) / (count - i));
        assert(part.length > 0 && part.length <= QUEUE_CHUNK_MAX);
        changes[i] = (struct queue_change){
            .kind = QUEUE_CHANGE_CHUNK,
            .id = draft->message.id,
            .number = first + i,
            .bytes = part,
            .is_report = draft->is_report,
        };
        bytes = slice_from(bytes, part.length);
    }
    return count;
}
