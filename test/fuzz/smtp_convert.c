/* Conversion: what a reader decodes stays the same, part by part, and what had to go is gone. The first byte says the
 * goal and the size of the pieces. Both messages are walked and decoded here, lines as whole texts. */
#include <assert.h>
#include <string.h>

#include "smtp/content.h"
#include "smtp/convert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What a message says: delimiters, fields but those of the encoding, bodies decoded; each line behind the number of its
 * part. */
struct reading {
    struct smtp_mime mime;
    struct buffer line, said;
    bool has_long, has_eight_bit; /* where conversion reaches */
    bool is_absurd; /* a fold may change it: blanks without end, a line of 998 bytes that tells the structure */
};

static bool is_hex(char byte)
{
    return byte_is_digit(byte) || (byte >= 'A' && byte <= 'F') || (byte >= 'a' && byte <= 'f');
}

static unsigned hex_value(char byte)
{
    return byte_is_digit(byte) ? (unsigned)(byte - '0') : (unsigned)(byte_lower(byte) - 'a' + 10);
}

static void add_quoted(struct buffer *said, struct slice text)
{
    while (text.length > 0 && (slice_ends(text, SLICE(" ")) || slice_ends(text, SLICE("\t"))))
        text.length--;
    bool is_soft = slice_ends(text, SLICE("="));
    text.length -= is_soft;
    for (size_t i = 0; i < text.length; i++) {
        bool is_escape =
            text.data[i] == '=' && i + 2 < text.length && is_hex(text.data[i + 1]) && is_hex(text.data[i + 2]);
        buffer_add_byte(said, is_escape ? (char)(hex_value(text.data[i + 1]) << 4 | hex_value(text.data[i + 2]))
                                        : text.data[i]);
        i += is_escape ? 2 : 0;
    }
    if (!is_soft)
        buffer_add(said, SLICE("\r\n"));
}

static void add_kept(struct buffer *said, struct slice text, bool base64)
{
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];
        bool is_base64 = byte_is_alnum(byte) || byte == '+' || byte == '/' || byte == '=';
        if (base64 ? is_base64 : byte != ' ' && byte != '\t')
            buffer_add_byte(said, byte);
    }
}

static void say_line(struct reading *reading, const struct smtp_mime_line *line, struct slice text)
{
    const struct smtp_mime_part *part = &reading->mime.part;
    struct buffer *said = &reading->said;
    if (line->kind == SMTP_MIME_FIELD && line->field == SMTP_MIME_FIELD_OTHER) {
        add_kept(said, text, false);
    } else if (line->is_delimiter) {
        buffer_print(said, "(%u)", part->number);
        add_kept(said, text, false);
    } else if (line->kind == SMTP_MIME_BODY && part->encoding == SMTP_MIME_QUOTED_PRINTABLE) {
        add_quoted(said, text);
    } else if (line->kind == SMTP_MIME_BODY && part->encoding == SMTP_MIME_BASE64) {
        add_kept(said, text, true);
    } else if (line->kind == SMTP_MIME_BODY) {
        buffer_add(said, text);
        buffer_add(said, SLICE("\r\n"));
    }
}

static void note_line(struct reading *reading, const struct smtp_mime_line *line, struct slice text)
{
    size_t blanks = 0;
    bool is_fixed = line->kind == SMTP_MIME_BODY && reading->mime.part.nature == SMTP_MIME_OPAQUE;
    for (size_t i = 0; i < text.length; i++) {
        blanks = text.data[i] == ' ' || text.data[i] == '\t' ? blanks + 1 : 0;
        reading->is_absurd |= blanks > 800;
        reading->has_eight_bit |= (uint8_t)text.data[i] > 0x7f && !is_fixed && line->kind != SMTP_MIME_FIELD;
    }
    reading->is_absurd |= line->is_long && line->kind == SMTP_MIME_FIELD && line->field != SMTP_MIME_FIELD_OTHER;
    reading->has_long |= text.length > SMTP_LINE_MAX && !is_fixed && !line->is_delimiter;
}

static void take_piece(struct reading *reading, const struct smtp_mime_line *line)
{
    buffer_add(&reading->line, line->bytes);
    if (line->is_long && !line->ends)
        return;
    struct slice text = buffer_slice(&reading->line);
    text.length -= slice_ends(text, SLICE("\n"));
    text.length -= slice_ends(text, SLICE("\r"));
    note_line(reading, line, text);
    say_line(reading, line, text);
    buffer_clear(&reading->line);
}

static void read_message(struct reading *reading, struct slice message)
{
    struct smtp_mime_line line;
    smtp_mime_init(&reading->mime);
    buffer_init(&reading->line, 1 << 26);
    buffer_init(&reading->said, 1 << 26);
    while (smtp_mime_next(&reading->mime, &message, &line))
        take_piece(reading, &line);
    while (smtp_mime_finish(&reading->mime, &line))
        take_piece(reading, &line);
    assert(message.length == 0);
}

static void free_reading(struct reading *reading)
{
    buffer_free(&reading->line);
    buffer_free(&reading->said);
}

static void survey_message(struct smtp_survey *survey, struct slice message, size_t step)
{
    smtp_survey_init(survey);
    for (size_t at = 0; at < message.length; at += step)
        smtp_survey_feed(survey, slice_to(slice_from(message, at), step));
    smtp_survey_finish(survey);
}

static void convert_message(struct slice message, struct slice form, enum smtp_convert_goal goal, size_t step,
                            struct buffer *out)
{
    struct smtp_convert convert;
    smtp_convert_init(&convert, goal, form);
    for (size_t at = 0; at < message.length; at += step)
        smtp_convert_feed(&convert, slice_to(slice_from(message, at), step), out);
    smtp_convert_finish(&convert, out);
}

static void check(struct slice message, enum smtp_convert_goal goal, size_t step)
{
    static struct smtp_survey survey;
    static struct reading before, after;
    struct buffer out, again;
    buffer_init(&out, 1 << 26);
    buffer_init(&again, 1 << 26);
    survey_message(&survey, message, step);
    convert_message(message, smtp_survey_form(&survey), goal, step, &out);
    convert_message(message, smtp_survey_form(&survey), goal, message.length + 1, &again);
    assert(slice_equal(buffer_slice(&out), buffer_slice(&again)));
    memset(&before, 0, sizeof before);
    memset(&after, 0, sizeof after);
    read_message(&before, message);
    read_message(&after, buffer_slice(&out));
    assert(before.is_absurd || slice_equal(buffer_slice(&before.said), buffer_slice(&after.said)));
    assert(!after.has_long);
    assert(goal != SMTP_CONVERT_SEVEN_BIT || !after.has_eight_bit);
    survey_message(&survey, buffer_slice(&out), step);
    assert(goal != SMTP_CONVERT_SEVEN_BIT || !survey.is_eight_bit || survey.stays_eight_bit);
    free_reading(&before);
    free_reading(&after);
    buffer_free(&out);
    buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer content;
    int state = 0;
    if (size == 0)
        return 0;
    buffer_init(&content, 2 * size + 16);
    smtp_content_normalise(&state, slice_make(data + 1, size - 1), true, &content);
    check(buffer_slice(&content), data[0] & 1 ? SMTP_CONVERT_SEVEN_BIT : SMTP_CONVERT_LINES, data[0] / 2 + 1u);
    buffer_free(&content);
    return 0;
}
