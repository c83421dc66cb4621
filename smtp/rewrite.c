#include "smtp/rewrite.h"

#include <string.h>

#define ENCODED_MAX 75 /* RFC 2045 6.7: 76 with the "=" of a soft line break */
#define BASE64_MAX 76  /* RFC 2045 6.8 */
#define FOLD_WANTED 78 /* RFC 5322 2.1.1 */
#define FOLD_LATE 900  /* from here on a comma will do */
#define LONGEST 990

typedef void rewrite_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out);
static rewrite_byte quote_byte, quoted_byte, base64_byte, seven_bit_byte, fold_byte, frame_byte;

static void each_byte(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, rewrite_byte *function,
                      struct buffer *out);
static void end_line(const struct smtp_mime_line *line, struct buffer *out);
static void put(struct smtp_rewrite *rewrite, char byte, struct buffer *out);
static void put_all(struct smtp_rewrite *rewrite, struct slice bytes, struct buffer *out);
static void put_quoted(struct smtp_rewrite *rewrite, char byte, struct buffer *out);
static void put_break(struct smtp_rewrite *rewrite, struct slice with, struct buffer *out);
static void quote_held(struct smtp_rewrite *rewrite, bool ends_line, struct buffer *out);
static void quote_put(struct smtp_rewrite *rewrite, char byte, bool as_it_is, struct buffer *out);
static size_t unit_length(const struct smtp_rewrite *rewrite);
static void pass_unit(struct smtp_rewrite *rewrite, size_t length, struct buffer *out);
static void pass_blank(struct smtp_rewrite *rewrite, struct buffer *out);
static bool is_hex(char byte);
static bool is_blank(char byte);
static bool is_eight_bit(char byte);
static bool is_seven_bit(struct slice bytes);

void smtp_rewrite_nothing(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out)
{
    (void)rewrite;
    buffer_add(out, line->bytes);
}

/* ---- text to quoted-printable ---- */

void smtp_rewrite_quote(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out)
{
    each_byte(rewrite, line, quote_byte, out);
    if (line->ends) {
        quote_held(rewrite, true, out);
    }
    end_line(line, out);
}

static void quote_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    quote_held(rewrite, false, out);
    if (is_blank(byte)) {
        rewrite->held[rewrite->held_length++] = byte;
    } else {
        quote_put(rewrite, byte, byte_is_print(byte) && byte != '=', out);
    }
}

/* A blank at the end of a line would be lost on the way. */
static void quote_held(struct smtp_rewrite *rewrite, bool ends_line, struct buffer *out)
{
    if (rewrite->held_length > 0) {
        rewrite->held_length = 0;
        quote_put(rewrite, rewrite->held[0], !ends_line, out);
    }
}

static void quote_put(struct smtp_rewrite *rewrite, char byte, bool as_it_is, struct buffer *out)
{
    if (rewrite->column + (as_it_is ? 1 : 3) > ENCODED_MAX) {
        put_break(rewrite, SLICE("=\r\n"), out);
    }
    /* What began no line before must not look like a delimiter now. */
    if (as_it_is && !(byte == '-' && rewrite->after_break)) {
        put(rewrite, byte, out);
    } else {
        put_quoted(rewrite, byte, out);
    }
}

/* ---- quoted-printable that is not quite so ---- */

void smtp_rewrite_quoted(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out)
{
    if (!line->is_long && is_seven_bit(line->bytes)) {
        buffer_add(out, line->bytes);
        return;
    }
    each_byte(rewrite, line, quoted_byte, out);
    if (line->ends) {
        put_all(rewrite, slice_make(rewrite->held, rewrite->held_length), out);
        rewrite->held_length = 0;
    }
    end_line(line, out);
}

static void quoted_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    rewrite->held[rewrite->held_length++] = byte;
    for (size_t length; (length = unit_length(rewrite)) > 0;) {
        pass_unit(rewrite, length, out);
    }
}

/* Of what is held: "=XX", else a byte; 0 where more must be seen. */
static size_t unit_length(const struct smtp_rewrite *rewrite)
{
    const char *held = rewrite->held;
    size_t length = rewrite->held_length;
    if (length == 0 || held[0] != '=') {
        return length > 0;
    }
    for (size_t i = 1; i < length; i++) {
        if (!is_hex(held[i])) {
            return 1;
        }
    }
    return length == sizeof rewrite->held ? length : 0;
}

/* A break stands before no blank: blanks at the end of the line, which a reader takes off (RFC 2045 6.7 (3)), must stay
 * there. */
static void pass_unit(struct smtp_rewrite *rewrite, size_t length, struct buffer *out)
{
    char first = rewrite->held[0];
    size_t column = rewrite->column + (is_eight_bit(first) ? 3 : length);
    if (column > LONGEST || (column > ENCODED_MAX && !is_blank(first))) {
        put_break(rewrite, SLICE("=\r\n"), out);
    }
    if (is_eight_bit(first) || (first == '-' && rewrite->after_break)) {
        put_quoted(rewrite, first, out);
    } else {
        put_all(rewrite, slice_make(rewrite->held, length), out);
    }
    rewrite->held_length -= length;
    memmove(rewrite->held, rewrite->held + length, rewrite->held_length);
}

/* ---- base64 that is not quite so ---- */

void smtp_rewrite_base64(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out)
{
    each_byte(rewrite, line, line->is_long ? base64_byte : seven_bit_byte, out);
    end_line(line, out);
}

/* Readers pass over all that is not of the alphabet (RFC 2045 6.8); at the start of a line it could be a delimiter. */
static void base64_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    bool is_kept = byte_is_alnum(byte) || byte == '+' || byte == '/' || byte == '=';
    if (is_kept && rewrite->column == BASE64_MAX) {
        put_break(rewrite, SLICE("\r\n"), out);
    }
    if (is_kept) {
        put(rewrite, byte, out);
    }
}

/* ---- header fields ---- */

void smtp_rewrite_fold(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out)
{
    if (!line->is_long) {
        buffer_add(out, line->bytes);
        return;
    }
    each_byte(rewrite, line, fold_byte, out);
    if (line->ends) {
        rewrite->held_length = 0; /* a blank at the end of a field says nothing */
    }
    end_line(line, out);
}

/* A line of ours must not consist of blanks alone: some take it for the end of the header section. */
static void fold_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    if (is_blank(byte)) {
        pass_blank(rewrite, out);
        rewrite->held[rewrite->held_length++] = byte;
        return;
    }
    bool is_behind_mark = rewrite->last == ',' || rewrite->last == ';';
    if (rewrite->held_length > 0 && rewrite->column >= FOLD_WANTED) {
        put_break(rewrite, SLICE("\r\n"), out);
    } else if (rewrite->column >= LONGEST || (rewrite->column >= FOLD_LATE && is_behind_mark)) {
        put_break(rewrite, SLICE("\r\n "), out);
    }
    pass_blank(rewrite, out);
    put(rewrite, byte, out);
}

static void pass_blank(struct smtp_rewrite *rewrite, struct buffer *out)
{
    if (rewrite->held_length > 0 && rewrite->column < LONGEST) {
        put(rewrite, rewrite->held[0], out);
    }
    rewrite->held_length = 0;
}

/* ---- beside the parts ---- */

void smtp_rewrite_frame(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out)
{
    each_byte(rewrite, line, frame_byte, out);
    end_line(line, out);
}

static void frame_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    if (rewrite->column == LONGEST) {
        put_break(rewrite, SLICE("\r\n "), out); /* the blank keeps it from being a delimiter */
    }
    seven_bit_byte(rewrite, byte, out);
}

/* Left out, or in the form of another byte, it could make a delimiter of the line; no boundary has this one (RFC
 * 2046 5.1.1). */
static void seven_bit_byte(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    put(rewrite, is_eight_bit(byte) ? '*' : byte, out);
}

/* ---- bytes and lines ---- */

static void each_byte(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, rewrite_byte *function,
                      struct buffer *out)
{
    if (line->starts) {
        *rewrite = (struct smtp_rewrite){.column = 0};
    }
    for (size_t i = 0; i < line->bytes.length; i++) {
        char byte = line->bytes.data[i];
        if (byte != '\r' && byte != '\n') {
            function(rewrite, byte, out);
        }
    }
}

static void end_line(const struct smtp_mime_line *line, struct buffer *out)
{
    if (line->ends) {
        buffer_add(out, SLICE("\r\n"));
    }
}

static void put(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    buffer_add_byte(out, byte);
    rewrite->column++;
    rewrite->last = byte;
    rewrite->after_break = false;
}

static void put_all(struct smtp_rewrite *rewrite, struct slice bytes, struct buffer *out)
{
    for (size_t i = 0; i < bytes.length; i++) {
        put(rewrite, bytes.data[i], out);
    }
}

static void put_quoted(struct smtp_rewrite *rewrite, char byte, struct buffer *out)
{
    static const char digits[] = "0123456789ABCDEF";
    put(rewrite, '=', out);
    put(rewrite, digits[(uint8_t)byte >> 4], out);
    put(rewrite, digits[(uint8_t)byte & 15], out);
}

static void put_break(struct smtp_rewrite *rewrite, struct slice with, struct buffer *out)
{
    buffer_add(out, with);
    rewrite->column = slice_ends(with, SLICE(" ")) ? 1 : 0;
    rewrite->after_break = true;
}

static bool is_hex(char byte)
{
    return byte_is_digit(byte) || (byte >= 'A' && byte <= 'F') || (byte >= 'a' && byte <= 'f');
}

static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

static bool is_eight_bit(char byte)
{
    return (uint8_t)byte > 0x7f;
}

static bool is_seven_bit(struct slice bytes)
{
    for (size_t i = 0; i < bytes.length; i++) {
        if (is_eight_bit(bytes.data[i])) {
            return false;
        }
    }
    return true;
}
