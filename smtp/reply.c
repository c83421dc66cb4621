#include "smtp/reply.h"

#include "base/text.h"

#include <assert.h>

#define PRINTED_LINE_MAX 512 /* RFC 5321 4.5.3.1.5, with the CRLF */

static bool take_line(struct smtp_reply_parser *parser, struct slice *input, bool *complete);
static bool read_line(struct smtp_reply_parser *parser, bool *last);
static bool read_code(struct slice line, unsigned *code);
static void read_text(struct smtp_reply_parser *parser, struct slice text);
static enum smtp_reply_parse finish(struct smtp_reply_parser *parser, struct smtp_reply *reply);
static void print_line(struct buffer *out, const struct smtp_reply *reply, struct slice text, bool last);
static bool take_digits(struct slice *text, uint16_t *number);

void smtp_reply_parser_init(struct smtp_reply_parser *parser)
{
    *parser = (struct smtp_reply_parser){.malformed = false};
    buffer_init(&parser->line, SMTP_REPLY_LINE_MAX + 1);
    buffer_init(&parser->text, SMTP_REPLY_TEXT_MAX);
}

void smtp_reply_parser_free(struct smtp_reply_parser *parser)
{
    buffer_free(&parser->line);
    buffer_free(&parser->text);
}

enum smtp_reply_parse smtp_reply_feed(struct smtp_reply_parser *parser, struct slice input, size_t *taken,
                                      struct smtp_reply *reply)
{
    struct slice rest = input;
    *taken = 0;
    while (!parser->malformed && rest.length > 0) {
        bool complete = false, last = false;
        parser->malformed = !take_line(parser, &rest, &complete) || (complete && !read_line(parser, &last));
        *taken = input.length - rest.length;
        if (last && !parser->malformed) {
            return finish(parser, reply);
        }
    }
    return parser->malformed ? SMTP_REPLY_MALFORMED : SMTP_REPLY_MORE;
}

void smtp_reply_print(struct buffer *out, const struct smtp_reply *reply)
{
    assert(reply->code >= 200 && reply->code <= 599);
    struct slice rest = reply->text.length > 0 ? reply->text : SLICE_EMPTY, line;
    while (slice_cut(&rest, '\n', &line)) {
        print_line(out, reply, line, rest.data == NULL);
    }
}

struct smtp_reply smtp_reply_make(unsigned code, unsigned subject, unsigned detail, const char *text)
{
    assert(subject <= 999);
    assert(detail <= 999);
    struct smtp_reply reply = {.code = code, .text = slice_of(text)};
    if (code / 100 != 3) { /* RFC 3463 has no class for "go on" */
        reply.status = (struct smtp_status){(uint8_t)(code / 100), (uint16_t)subject, (uint16_t)detail};
    }
    return reply;
}

bool smtp_reply_is_positive(const struct smtp_reply *reply)
{
    return reply->code / 100 == 2;
}

bool smtp_reply_is_negative(const struct smtp_reply *reply)
{
    return reply->code >= 400;
}

struct slice smtp_status_print(struct smtp_status status, char out[16])
{
    if (status.class == 0) {
        return SLICE_EMPTY;
    }
    return text_print(out, 16, "%u.%u.%u", status.class % 10U, status.subject % 1000U, status.detail % 1000U);
}

/* status-code = class "." subject "." detail (RFC 3463 2), then a blank or the end. */
bool smtp_status_parse(struct slice *text, struct smtp_status *status)
{
    struct slice rest = *text;
    if (rest.length < 5 || (rest.data[0] != '2' && rest.data[0] != '4' && rest.data[0] != '5') || rest.data[1] != '.') {
        return false;
    }
    struct smtp_status found = {.class = (uint8_t)(rest.data[0] - '0')};
    rest = slice_from(rest, 2);
    if (!take_digits(&rest, &found.subject) || rest.length == 0 || rest.data[0] != '.') {
        return false;
    }
    rest = slice_from(rest, 1);
    if (!take_digits(&rest, &found.detail) || (rest.length > 0 && rest.data[0] != ' ')) {
        return false;
    }
    *status = found;
    *text = slice_from(rest, 1);
    return true;
}

/* Collects one line without its end. False: it is too long. */
static bool take_line(struct smtp_reply_parser *parser, struct slice *input, bool *complete)
{
    if (parser->line_count == 0 && buffer_length(&parser->line) == 0) {
        buffer_clear(&parser->text); /* of the reply before this one */
        parser->status = (struct smtp_status){0, 0, 0};
    }
    size_t length = slice_find(*input, '\n');
    *complete = length < input->length;
    buffer_add(&parser->line, slice_to(*input, length));
    *input = slice_from(*input, length + 1);
    return !buffer_failed(&parser->line);
}

/* Reply-line = 3DIGIT ("-" / SP) [textstring] CRLF, or 3DIGIT CRLF (RFC 5321 4.2). */
static bool read_line(struct smtp_reply_parser *parser, bool *last)
{
    struct slice line = buffer_slice(&parser->line);
    if (slice_ends(line, SLICE("\r"))) {
        line.length--;
    }
    unsigned code;
    if (line.length > SMTP_REPLY_LINE_MAX || slice_has(line, '\r') || slice_has(line, '\0') ||
        !read_code(line, &code) || (parser->line_count > 0 && code != parser->code) ||
        parser->line_count == SMTP_REPLY_LINES_MAX) {
        return false;
    }
    char mark = line.length > 3 ? line.data[3] : ' ';
    *last = mark == ' ';
    parser->code = code;
    read_text(parser, slice_from(line, 4));
    parser->line_count++;
    buffer_clear(&parser->line);
    return (mark == ' ' || mark == '-') && !buffer_failed(&parser->text);
}

static bool read_code(struct slice line, unsigned *code)
{
    uint64_t number;
    if (line.length < 3 || !slice_number(slice_to(line, 3), 599, &number) || number < 200) {
        return false;
    }
    *code = (unsigned)number;
    return true;
}

/* A status code is the reply's when its class agrees with the reply code; it stands before each line (RFC 2034 4). */
static void read_text(struct smtp_reply_parser *parser, struct slice text)
{
    struct slice bare = text;
    struct smtp_status status = {0, 0, 0};
    if (smtp_status_parse(&bare, &status) && status.class == parser->code / 100) {
        text = bare;
        if (parser->line_count == 0) {
            parser->status = status;
        }
    }
    if (parser->line_count > 0) {
        buffer_add_byte(&parser->text, '\n');
    }
    buffer_add(&parser->text, text);
}

static enum smtp_reply_parse finish(struct smtp_reply_parser *parser, struct smtp_reply *reply)
{
    *reply = (struct smtp_reply){parser->code, parser->status, buffer_slice(&parser->text)};
    parser->line_count = 0;
    return SMTP_REPLY_DONE;
}

static void print_line(struct buffer *out, const struct smtp_reply *reply, struct slice text, bool last)
{
    char number[16];
    struct slice status = smtp_status_print(reply->status, number);
    buffer_print(out, "%u%c%.*s", reply->code, last ? ' ' : '-', SLICE_ARGS(status));
    size_t room = PRINTED_LINE_MAX - 2 - 4 - status.length;
    if (status.length > 0 && text.length > 0) {
        buffer_add_byte(out, ' ');
        room--;
    }
    text_clean(out, text, room);
    buffer_add(out, SLICE("\r\n"));
}

static bool take_digits(struct slice *text, uint16_t *number)
{
    size_t length = 0;
    while (length < text->length && length < 4 && byte_is_digit(text->data[length])) {
        length++;
    }
    uint64_t value;
    if (length > 3 || !slice_number(slice_to(*text, length), 999, &value)) {
        return false;
    }
    *number = (uint16_t)value;
    *text = slice_from(*text, length);
    return true;
}
