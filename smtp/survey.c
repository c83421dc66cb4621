#include "smtp/survey.h"

#include "base/text.h"

#include <string.h>

#define BITS_PER_PART 2
#define PARTS_PER_BYTE 4
#define PART_MASK 3
/* The first byte of a form: the character set, and a flag. */
#define CHARSET_MASK 3
#define STAYS_EIGHT_BIT 0x80

static void take_line(struct smtp_survey *survey, const struct smtp_mime_line *line);
static void take_blank(struct smtp_survey *survey);
static void take_text(struct smtp_survey *survey, const struct smtp_mime_line *line);
static void note_fixed(struct smtp_survey *survey, const struct smtp_mime_line *line, bool is_eight_bit);
static void note_part(struct smtp_survey *survey, unsigned note);
static void note_charset(struct smtp_survey *survey, struct slice text);
static bool is_continued(struct smtp_survey *survey, uint8_t byte);
static bool begin_character(struct smtp_survey *survey, uint8_t byte);

void smtp_survey_init(struct smtp_survey *survey)
{
    memset(survey, 0, sizeof *survey);
    smtp_mime_init(&survey->mime);
}

void smtp_survey_feed(struct smtp_survey *survey, struct slice content)
{
    struct smtp_mime_line line;
    while (smtp_mime_next(&survey->mime, &content, &line)) {
        take_line(survey, &line);
    }
}

void smtp_survey_finish(struct smtp_survey *survey)
{
    struct smtp_mime_line line;
    while (smtp_mime_finish(&survey->mime, &line)) {
        take_line(survey, &line);
    }
    if (survey->utf8_rest > 0) {
        survey->charset = SMTP_FORM_UNKNOWN; /* it ends within a character */
    }
    survey->form[0] = (uint8_t)(survey->charset | (survey->stays_eight_bit ? STAYS_EIGHT_BIT : 0));
}

struct slice smtp_survey_form(const struct smtp_survey *survey)
{
    size_t length = sizeof survey->form;
    if (!survey->has_long_lines && !survey->is_eight_bit) {
        return SLICE_EMPTY;
    }
    while (length > 1 && survey->form[length - 1] == 0) {
        length--;
    }
    return slice_make(survey->form, length);
}

unsigned smtp_form_notes(struct slice form, unsigned part)
{
    unsigned place = part < SMTP_FORM_PARTS ? part : SMTP_FORM_PARTS - 1;
    struct slice rest = slice_from(form, 1 + place / PARTS_PER_BYTE);
    unsigned notes = rest.length == 0 ? 0 : (uint8_t)rest.data[0];
    return notes >> (place % PARTS_PER_BYTE * BITS_PER_PART) & PART_MASK;
}

/* RFC 1428 3: what nobody knows has a name too. */
const char *smtp_form_charset(struct slice form)
{
    static const char *const names[] = {"us-ascii", "utf-8", "unknown-8bit", "unknown-8bit"};
    return names[form.length == 0 ? 0 : (uint8_t)form.data[0] & CHARSET_MASK];
}

bool smtp_form_stays_eight_bit(struct slice form)
{
    return form.length > 0 && ((uint8_t)form.data[0] & STAYS_EIGHT_BIT) != 0;
}

/* ---- lines ---- */

static void take_line(struct smtp_survey *survey, const struct smtp_mime_line *line)
{
    bool is_eight_bit = text_has_eight_bit(line->bytes);
    survey->is_eight_bit |= is_eight_bit;
    survey->has_long_lines |= line->is_long;
    switch (line->kind) {
        case SMTP_MIME_FIELD:
            survey->has_eight_bit_header |= is_eight_bit;
            survey->stays_eight_bit |= is_eight_bit;
            return;
        case SMTP_MIME_BLANK:
            take_blank(survey);
            return;
        case SMTP_MIME_FRAME:
            return;
        case SMTP_MIME_BODY:
            break;
    }
    if (survey->mime.part.nature == SMTP_MIME_OPAQUE) {
        note_fixed(survey, line, is_eight_bit);
    } else {
        take_text(survey, line);
    }
}

static void take_blank(struct smtp_survey *survey)
{
    const struct smtp_mime_part *part = &survey->mime.part;
    if (part->number == 0) {
        survey->is_undeclared = !part->has_type;
    }
    if (part->encoding == SMTP_MIME_8BIT || part->encoding == SMTP_MIME_BINARY) {
        note_part(survey, SMTP_FORM_EIGHT_BIT);
    }
}

static void take_text(struct smtp_survey *survey, const struct smtp_mime_line *line)
{
    enum smtp_mime_encoding encoding = survey->mime.part.encoding;
    if (encoding == SMTP_MIME_QUOTED_PRINTABLE || encoding == SMTP_MIME_BASE64) {
        return; /* mended line by line, wherever it is needed */
    }
    if (line->is_long) {
        note_part(survey, SMTP_FORM_LONG);
    }
    if (text_has_eight_bit(line->bytes)) {
        note_part(survey, SMTP_FORM_EIGHT_BIT);
    }
    if (survey->is_undeclared) {
        note_charset(survey, line->bytes);
    }
}

static void note_fixed(struct smtp_survey *survey, const struct smtp_mime_line *line, bool is_eight_bit)
{
    survey->stays_eight_bit |= is_eight_bit;
    survey->line_length = (line->starts ? 0 : survey->line_length) + line->bytes.length;
    if (line->is_long && survey->line_length > survey->fixed_line_max) {
        survey->fixed_line_max = survey->line_length;
    }
}

static void note_part(struct smtp_survey *survey, unsigned note)
{
    unsigned number = survey->mime.part.number;
    unsigned place = number < SMTP_FORM_PARTS ? number : SMTP_FORM_PARTS - 1;
    unsigned shift = place % PARTS_PER_BYTE * BITS_PER_PART;
    survey->form[1 + place / PARTS_PER_BYTE] |= (uint8_t)(note << shift);
}

/* ---- is it UTF-8? (RFC 3629 4) ---- */

static void note_charset(struct smtp_survey *survey, struct slice text)
{
    for (size_t i = 0; i < text.length && survey->charset != SMTP_FORM_UNKNOWN; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        bool is_valid =
            survey->utf8_rest > 0 ? is_continued(survey, byte) : byte < 0x80 || begin_character(survey, byte);
        if (!is_valid) {
            survey->charset = SMTP_FORM_UNKNOWN;
            survey->utf8_rest = 0;
        } else if (byte >= 0x80) {
            survey->charset = SMTP_FORM_UTF_8;
        }
    }
}

static bool is_continued(struct smtp_survey *survey, uint8_t byte)
{
    bool is_valid = byte >= survey->utf8_low && byte <= survey->utf8_high;
    survey->utf8_rest--;
    survey->utf8_low = 0x80;
    survey->utf8_high = 0xbf;
    return is_valid;
}

/* The second byte is bounded so that nothing is written longer than need be, and is no surrogate. */
static bool begin_character(struct smtp_survey *survey, uint8_t byte)
{
    survey->utf8_rest = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
    survey->utf8_low = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
    survey->utf8_high = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    return byte >= 0xc2 && byte <= 0xf4;
}
