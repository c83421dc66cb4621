#include "smtp/letter.h"

#include "base/text.h"
#include "smtp/content.h"
#include "smtp/mailbox.h"
#include "smtp/message.h"

#include <string.h>

#define ADDRESS_MAX 1000

enum letter_state {
    LETTER_START,  /* no line that counts was seen */
    LETTER_HEADER, /* in the header section */
    LETTER_BODY,
    LETTER_OVER, /* the lone dot was seen, or the end */
};

/* What is done with a field, by its name. */
enum use { RECIPIENTS, HIDDEN, RESENT, RESENT_RECIPIENTS, RESENT_HIDDEN, TRACE, DROP };
enum row { TO, CC, BCC, RESENT_TO, RESENT_CC, RESENT_BCC, RESENT_FROM, RESENT_DATE, RESENT_ID, RESENT_SENDER, RECEIVED };
static const struct {
    const char *name;
    enum use use;
} rows[] = {
    [TO] = {"To", RECIPIENTS},
    [CC] = {"Cc", RECIPIENTS},
    [BCC] = {"Bcc", HIDDEN},
    [RESENT_TO] = {"Resent-To", RESENT_RECIPIENTS},
    [RESENT_CC] = {"Resent-Cc", RESENT_RECIPIENTS},
    [RESENT_BCC] = {"Resent-Bcc", RESENT_HIDDEN},
    [RESENT_FROM] = {"Resent-From", RESENT},
    [RESENT_DATE] = {"Resent-Date", RESENT},
    [RESENT_ID] = {"Resent-Message-ID", RESENT},
    [RESENT_SENDER] = {"Resent-Sender", RESENT},
    [RECEIVED] = {"Received", TRACE},
    {"Return-Path", DROP},
    {"Content-Length", DROP},
};

static void note_size(struct smtp_letter *letter);
static void take_body(struct smtp_letter *letter, struct slice part);
static void take_header(struct smtp_letter *letter, struct slice part);
static void take_header_line(struct smtp_letter *letter);
static void end_header(struct smtp_letter *letter);
static void end_field(struct smtp_letter *letter);
static bool note_field(struct smtp_letter *letter, size_t row, struct slice body);
static void gather(struct smtp_letter *letter, size_t row, struct slice body);
static bool is_separator(struct slice line);
static bool is_field(struct slice line);

void smtp_letter_init(struct smtp_letter *letter, const struct smtp_letter_options *options)
{
    memset(letter, 0, sizeof *letter);
    letter->options = *options;
    buffer_init(&letter->text, options->size_max);
    buffer_init(&letter->held, options->size_max);
    for (size_t i = 0; i < 2; i++)
        buffer_init(&letter->lists[i].addresses, SMTP_LETTER_RECIPIENTS_MAX);
}

void smtp_letter_free(struct smtp_letter *letter)
{
    buffer_free(&letter->text);
    buffer_free(&letter->held);
    for (size_t i = 0; i < 2; i++)
        buffer_free(&letter->lists[i].addresses);
}

/* ---- lines ---- */

/* No more than a line at a time, so that its end is the end of what is held when it is looked at. */
void smtp_letter_feed(struct smtp_letter *letter, struct slice input)
{
    while (input.length > 0 && letter->state != LETTER_OVER && !letter->is_too_big) {
        size_t end = slice_find(input, '\n');
        struct slice part = slice_to(input, end < input.length ? end + 1 : end);
        if (letter->state == LETTER_BODY)
            take_body(letter, part);
        else
            take_header(letter, part);
        note_size(letter);
        input = slice_from(input, part.length);
    }
}

static void note_size(struct smtp_letter *letter)
{
    letter->is_too_big = letter->is_too_big || buffer_failed(&letter->text) || buffer_failed(&letter->held);
}

bool smtp_letter_is_over(const struct smtp_letter *letter)
{
    return letter->state == LETTER_OVER;
}

/* Behind a newline the line is complete: without its CRLF. */
static bool is_complete(const struct smtp_letter *letter, const struct buffer *buffer, struct slice *line)
{
    struct slice rest = slice_from(buffer_slice(buffer), letter->line);
    *line = slice_to(rest, rest.length - (slice_ends(rest, SLICE("\r\n")) ? 2 : 0));
    return line->length < rest.length;
}

static void take_body(struct smtp_letter *letter, struct slice part)
{
    struct slice line;
    smtp_content_normalise(&letter->normaliser, part, false, &letter->text);
    if (!is_complete(letter, &letter->text, &line))
        return;
    if (letter->options.dot_ends && slice_equal(line, SLICE("."))) {
        buffer_truncate(&letter->text, letter->line);
        letter->state = LETTER_OVER;
    }
    letter->line = buffer_length(&letter->text);
}

static void take_header(struct smtp_letter *letter, struct slice part)
{
    struct slice line;
    smtp_content_normalise(&letter->normaliser, part, false, &letter->held);
    if (is_complete(letter, &letter->held, &line))
        take_header_line(letter);
}

static void take_header_line(struct smtp_letter *letter)
{
    struct slice line;
    (void)is_complete(letter, &letter->held, &line);
    if (letter->options.dot_ends && slice_equal(line, SLICE("."))) {
        buffer_truncate(&letter->held, letter->line);
        end_header(letter);
        letter->state = LETTER_OVER;
        return;
    }
    if (letter->state == LETTER_START && is_separator(line)) {
        buffer_clear(&letter->held);
        return;
    }
    letter->state = LETTER_HEADER;
    bool is_folded = letter->line > 0 && line.length > 0 && slice_has(SLICE(" \t"), line.data[0]);
    if (!is_folded && !is_field(line)) {
        end_header(letter);
        return;
    }
    if (!is_folded)
        end_field(letter);
    letter->line = buffer_length(&letter->held);
}

/* What a mailbox file has in front of each message is no part of it, quoted or not. "From :" is a field all the same. */
static bool is_separator(struct slice line)
{
    struct slice rest = slice_from(line, slice_starts(line, SLICE(">")) ? 1 : 0);
    return slice_starts(rest, SLICE("From ")) && !slice_starts(slice_trim(slice_from(rest, 5)), SLICE(":"));
}

/* RFC 5322 2.2: printable characters up to a colon; old mail has blanks before it. */
static bool is_field(struct slice line)
{
    size_t colon = slice_find(line, ':');
    struct slice name = slice_trim(slice_to(line, colon));
    if (colon == line.length || name.length == 0 || name.data != line.data)
        return false;
    for (size_t i = 0; i < name.length; i++) {
        if (!byte_is_print(name.data[i]))
            return false;
    }
    return true;
}

/* What is held behind the last field is the empty line; or nothing, or the first line of the body: then it gets one. */
static void end_header(struct smtp_letter *letter)
{
    end_field(letter);
    if (!slice_equal(buffer_slice(&letter->held), SLICE("\r\n")))
        buffer_add(&letter->text, SLICE("\r\n"));
    buffer_add(&letter->text, buffer_slice(&letter->held));
    note_size(letter);
    buffer_clear(&letter->held); /* and forgets that it was full */
    letter->line = buffer_length(&letter->text);
    letter->state = LETTER_BODY;
}

enum smtp_letter_fault smtp_letter_finish(struct smtp_letter *letter)
{
    if (letter->state == LETTER_BODY) {
        smtp_content_normalise(&letter->normaliser, SLICE_EMPTY, true, &letter->text);
        take_body(letter, SLICE_EMPTY);
    } else if (letter->state != LETTER_OVER && !letter->is_too_big) {
        size_t length = buffer_length(&letter->held);
        smtp_content_normalise(&letter->normaliser, SLICE_EMPTY, true, &letter->held);
        if (buffer_length(&letter->held) > length)
            take_header_line(letter);
        if (letter->state == LETTER_START || letter->state == LETTER_HEADER)
            end_header(letter);
    }
    const struct smtp_letter_list *list = &letter->lists[letter->is_resent];
    letter->state = LETTER_OVER;
    note_size(letter);
    return letter->is_too_big                 ? SMTP_LETTER_TOO_BIG
           : list->wrong[0] != '\0'           ? SMTP_LETTER_ADDRESS
           : buffer_failed(&list->addresses) ? SMTP_LETTER_TOO_MANY
                                             : SMTP_LETTER_OK;
}

/* ---- fields ---- */

/* The field before `line` is complete, if there is one: it goes into the text, or not. */
static void end_field(struct smtp_letter *letter)
{
    struct slice whole = slice_to(buffer_slice(&letter->held), letter->line);
    struct slice rest = whole;
    struct smtp_header_field field;
    bool is_kept = true;
    if (whole.length == 0 || !smtp_header_next(&rest, &field))
        return;
    letter->has_from = letter->has_from || slice_equal_nocase(field.name, SLICE("From"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (slice_equal_nocase(field.name, slice_of(rows[i].name)))
            is_kept = note_field(letter, i, field.body);
    }
    if (is_kept)
        buffer_add(&letter->text, whole);
    buffer_consume(&letter->held, letter->line);
    letter->line = 0;
}

/* Of several blocks of Resent- fields the first is the newest: it ends where a field comes a second time, or with the trace of an
 * earlier way. */
static bool is_of_newest_block(struct smtp_letter *letter, size_t row)
{
    letter->resent_is_over = letter->resent_is_over || (letter->resent_seen & 1u << row) != 0;
    if (!letter->resent_is_over)
        letter->resent_seen |= 1u << row;
    return !letter->resent_is_over;
}

/* False: the field is left out. */
static bool note_field(struct smtp_letter *letter, size_t row, struct slice body)
{
    enum use use = rows[row].use;
    switch (use) {
    case RECIPIENTS:
    case HIDDEN:
        gather(letter, row, body);
        break;
    case RESENT:
    case RESENT_RECIPIENTS:
    case RESENT_HIDDEN:
        if (is_of_newest_block(letter, row) && use != RESENT)
            gather(letter, row, body);
        break;
    case TRACE:
        letter->resent_is_over = letter->resent_seen != 0;
        break;
    case DROP:
        break;
    }
    return use != HIDDEN && use != RESENT_HIDDEN && use != DROP;
}

static void note_wrong(struct smtp_letter_list *list, size_t row, struct slice element)
{
    struct buffer text;
    if (list->wrong[0] != '\0')
        return;
    buffer_init(&text, sizeof list->wrong);
    buffer_print(&text, "%s: ", rows[row].name);
    text_clean(&text, element, 80);
    text_print(list->wrong, sizeof list->wrong, "%.*s", SLICE_ARGS(buffer_slice(&text)));
    buffer_free(&text);
}

static void gather(struct smtp_letter *letter, size_t row, struct slice body)
{
    bool is_resent = rows[row].use == RESENT_RECIPIENTS || rows[row].use == RESENT_HIDDEN;
    struct smtp_letter_list *out = &letter->lists[is_resent];
    struct smtp_mailbox_list list = smtp_mailbox_list_of(body);
    struct smtp_mailbox mailbox;
    struct buffer address;
    enum smtp_mailbox_kind kind;
    letter->is_resent = letter->is_resent || is_resent;
    if (!letter->options.wants_recipients)
        return;
    buffer_init(&address, ADDRESS_MAX);
    while ((kind = smtp_mailbox_next(&list, &mailbox, &address)) != SMTP_MAILBOX_END) {
        if (kind == SMTP_MAILBOX_FAULT) {
            note_wrong(out, row, mailbox.element);
        } else {
            buffer_add_byte(&address, '\n');
            buffer_add(&out->addresses, buffer_slice(&address));
        }
    }
    buffer_free(&address);
}

/* ---- what came of it ---- */

struct slice smtp_letter_text(const struct smtp_letter *letter)
{
    return buffer_slice(&letter->text);
}

struct slice smtp_letter_recipients(const struct smtp_letter *letter)
{
    return buffer_slice(&letter->lists[letter->is_resent].addresses);
}

struct slice smtp_letter_wrong(const struct smtp_letter *letter)
{
    return slice_of(letter->lists[letter->is_resent].wrong);
}

bool smtp_letter_has_from(const struct smtp_letter *letter)
{
    return letter->has_from;
}

struct smtp_letter_resent smtp_letter_resent(const struct smtp_letter *letter)
{
    unsigned seen = letter->resent_seen;
    return (struct smtp_letter_resent){
        .lacks_from = seen != 0 && (seen & 1u << RESENT_FROM) == 0,
        .lacks_date = seen != 0 && (seen & 1u << RESENT_DATE) == 0,
        .lacks_id = seen != 0 && (seen & 1u << RESENT_ID) == 0,
    };
}
