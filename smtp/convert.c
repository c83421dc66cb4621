#include "smtp/convert.h"

#include <string.h>

static void take_line(struct smtp_convert *convert, const struct smtp_mime_line *line, struct buffer *out);
static smtp_rewrite_line *function_for(const struct smtp_convert *convert, const struct smtp_mime_line *line);
static smtp_rewrite_line *function_for_body(const struct smtp_convert *convert, const struct smtp_mime_line *line);
static bool holds_field(const struct smtp_convert *convert, const struct smtp_mime_line *line);
static void hold(struct smtp_convert *convert, struct slice bytes);
static void pass_held(struct smtp_convert *convert, struct buffer *out);
static void end_header(struct smtp_convert *convert, const struct smtp_mime_line *line, struct buffer *out);
static void write_encoding(struct smtp_convert *convert, struct buffer *out);
static void write_type(const struct smtp_convert *convert, struct buffer *out);
static bool is_noted(const struct smtp_convert *convert);
static bool is_to_encode(const struct smtp_convert *convert);
static bool is_to_relabel(const struct smtp_convert *convert);

void smtp_convert_init(struct smtp_convert *convert, enum smtp_convert_goal goal, struct slice form)
{
    memset(convert, 0, sizeof *convert);
    smtp_mime_init(&convert->mime);
    convert->goal = goal;
    convert->form = form;
}

void smtp_convert_feed(struct smtp_convert *convert, struct slice content, struct buffer *out)
{
    struct smtp_mime_line line;
    if (convert->goal == SMTP_CONVERT_NOTHING) {
        buffer_add(out, content);
        return;
    }
    while (smtp_mime_next(&convert->mime, &content, &line)) {
        take_line(convert, &line, out);
    }
}

void smtp_convert_finish(struct smtp_convert *convert, struct buffer *out)
{
    struct smtp_mime_line line = convert->mime.line;
    while (smtp_mime_finish(&convert->mime, &line)) {
        take_line(convert, &line, out);
    }
    if (convert->unfinished != NULL) {
        line.starts = false;
        line.ends = true;
        line.bytes = SLICE_EMPTY;
        convert->unfinished(&convert->rewrite, &line, out);
    }
    pass_held(convert, out);
}

static void take_line(struct smtp_convert *convert, const struct smtp_mime_line *line, struct buffer *out)
{
    if (line->kind == SMTP_MIME_BLANK) {
        end_header(convert, line, out);
        return;
    }
    if (holds_field(convert, line)) {
        hold(convert, line->bytes);
        return;
    }
    if (line->is_delimiter) {
        pass_held(convert, out); /* a header section that ends without an empty line */
    }
    smtp_rewrite_line *function = line->starts ? function_for(convert, line) : convert->unfinished;
    function(&convert->rewrite, line, out);
    convert->unfinished = line->ends ? NULL : function;
}

static smtp_rewrite_line *function_for(const struct smtp_convert *convert, const struct smtp_mime_line *line)
{
    bool seven_bit = convert->goal == SMTP_CONVERT_SEVEN_BIT;
    if (line->kind == SMTP_MIME_BODY) {
        return function_for_body(convert, line);
    }
    if (line->is_delimiter) {
        return smtp_rewrite_nothing;
    }
    if (line->kind == SMTP_MIME_FRAME) {
        return line->is_long || seven_bit ? smtp_rewrite_frame : smtp_rewrite_nothing;
    }
    return smtp_rewrite_fold;
}

static smtp_rewrite_line *function_for_body(const struct smtp_convert *convert, const struct smtp_mime_line *line)
{
    const struct smtp_mime_part *part = &convert->mime.part;
    if (is_to_encode(convert)) {
        return smtp_rewrite_quote;
    }
    bool is_mended = line->is_long || convert->goal == SMTP_CONVERT_SEVEN_BIT;
    if (part->nature == SMTP_MIME_OPAQUE || !is_mended) {
        return smtp_rewrite_nothing;
    }
    return part->encoding == SMTP_MIME_QUOTED_PRINTABLE ? smtp_rewrite_quoted
           : part->encoding == SMTP_MIME_BASE64         ? smtp_rewrite_base64
                                                        : smtp_rewrite_nothing;
}

/* ---- header sections ---- */

/* Whether the field stays is known only when the header section has ended. */
static bool holds_field(const struct smtp_convert *convert, const struct smtp_mime_line *line)
{
    return line->kind == SMTP_MIME_FIELD && line->field == SMTP_MIME_FIELD_ENCODING && is_noted(convert);
}

/* What has no room here is no encoding that anybody knows. */
static void hold(struct smtp_convert *convert, struct slice bytes)
{
    struct slice kept = slice_to(bytes, sizeof convert->encoding - convert->encoding_length);
    memcpy(convert->encoding + convert->encoding_length, kept.data, kept.length);
    convert->encoding_length += kept.length;
}

static void pass_held(struct smtp_convert *convert, struct buffer *out)
{
    struct slice held = slice_make(convert->encoding, convert->encoding_length);
    buffer_add(out, held);
    if (held.length > 0 && !slice_ends(held, SLICE("\n"))) {
        buffer_add(out, SLICE("\r\n"));
    }
    convert->encoding_length = 0;
}

static void end_header(struct smtp_convert *convert, const struct smtp_mime_line *line, struct buffer *out)
{
    write_encoding(convert, out);
    buffer_add(out, line->bytes);
    if (line->bytes.length == 0 && is_to_encode(convert)) {
        buffer_add(out, SLICE("\r\n")); /* the body begins without an empty line, which would hide our field */
    }
}

static void write_encoding(struct smtp_convert *convert, struct buffer *out)
{
    if (is_to_encode(convert)) {
        if (convert->mime.part.number == 0) {
            write_type(convert, out);
        }
        buffer_add(out, SLICE("Content-Transfer-Encoding: quoted-printable\r\n"));
    } else if (is_to_relabel(convert)) {
        buffer_add(out, SLICE("Content-Transfer-Encoding: 7bit\r\n"));
    } else {
        pass_held(convert, out);
    }
    convert->encoding_length = 0;
}

/* Without these fields an encoding says nothing (RFC 2045 4). */
static void write_type(const struct smtp_convert *convert, struct buffer *out)
{
    if (!convert->mime.part.has_version) {
        buffer_add(out, SLICE("MIME-Version: 1.0\r\n"));
    }
    if (!convert->mime.part.has_type) {
        buffer_print(out, "Content-Type: text/plain; charset=%s\r\n", smtp_form_charset(convert->form));
    }
}

static bool is_noted(const struct smtp_convert *convert)
{
    unsigned counts = SMTP_FORM_LONG | (convert->goal == SMTP_CONVERT_SEVEN_BIT ? SMTP_FORM_EIGHT_BIT : 0u);
    return (smtp_form_notes(convert->form, convert->mime.part.number) & counts) != 0;
}

static bool is_to_encode(const struct smtp_convert *convert)
{
    const struct smtp_mime_part *part = &convert->mime.part;
    bool is_plain = part->encoding != SMTP_MIME_QUOTED_PRINTABLE && part->encoding != SMTP_MIME_BASE64;
    return part->nature == SMTP_MIME_LEAF && is_plain && is_noted(convert);
}

/* What is inside has become 7-bit, unless something in it must not be touched. */
static bool is_to_relabel(const struct smtp_convert *convert)
{
    const struct smtp_mime_part *part = &convert->mime.part;
    bool is_outer = part->nature == SMTP_MIME_MULTIPART || part->nature == SMTP_MIME_MESSAGE;
    bool is_labelled = part->encoding == SMTP_MIME_8BIT || part->encoding == SMTP_MIME_BINARY;
    return is_outer && is_labelled && is_noted(convert) && convert->goal == SMTP_CONVERT_SEVEN_BIT &&
           !smtp_form_stays_eight_bit(convert->form);
}
