#include "smtp/mime.h"

#include <assert.h>
#include <string.h>

#define LINE_BYTES_MAX (SMTP_LINE_MAX + 2)

enum mime_state {
    STATE_BEGIN,  /* of a part: before the first line of its header section */
    STATE_HEADER, /* behind a field: a folded line belongs to it */
    STATE_BODY,
    STATE_FRAME, /* before the first part of a multipart, or behind its last one */
};

static bool take_rest(struct smtp_mime *mime, struct slice *input, struct smtp_mime_line *line);
static bool hold(struct smtp_mime *mime, struct slice *input);
static bool classify(struct smtp_mime *mime, struct slice bytes, struct smtp_mime_line *line);
static bool classify_header(struct smtp_mime *mime, struct slice bytes, struct smtp_mime_line *line);
static bool is_field_name(struct slice name);
static bool find_delimiter(const struct smtp_mime *mime, struct slice bytes, size_t *level, bool *closes);
static void pass_delimiter(struct smtp_mime *mime, size_t level, bool closes);
static void begin_part(struct smtp_mime *mime, bool is_message_by_default);
static enum smtp_mime_field name_field(struct smtp_mime *mime, struct slice name);
static void keep_value(struct smtp_mime *mime, enum smtp_mime_field field, struct slice value);
static void end_header(struct smtp_mime *mime, bool is_broken_off);
static enum smtp_mime_encoding encoding_of(struct slice text);
static enum smtp_mime_nature nature_of(struct smtp_mime *mime, const struct smtp_mime_type *type);
static bool is_message_type(const struct smtp_mime_type *type);
static bool is_global_type(const struct smtp_mime_type *type);
static bool push_level(struct smtp_mime *mime, const struct smtp_mime_type *type);
static struct slice without_line_end(struct slice line);

void smtp_mime_init(struct smtp_mime *mime)
{
    memset(mime, 0, sizeof *mime);
    mime->state = STATE_BEGIN;
    mime->line.ends = true;
}

bool smtp_mime_next(struct smtp_mime *mime, struct slice *input, struct smtp_mime_line *line)
{
    if (!mime->line.ends) {
        return take_rest(mime, input, line);
    }
    size_t length = slice_find(*input, '\n');
    bool whole = length < input->length && length < LINE_BYTES_MAX;
    if (mime->held_length == 0 && whole) {
        struct slice bytes = slice_to(*input, length + 1);
        if (classify(mime, bytes, line)) {
            *input = slice_from(*input, bytes.length);
        }
        return true;
    }
    if (!hold(mime, input)) {
        return false;
    }
    if (classify(mime, slice_make(mime->held, mime->held_length), line)) {
        mime->held_length = 0;
    }
    return true;
}

bool smtp_mime_finish(struct smtp_mime *mime, struct smtp_mime_line *line)
{
    if (mime->held_length == 0) {
        return false;
    }
    if (classify(mime, slice_make(mime->held, mime->held_length), line)) {
        mime->held_length = 0;
    }
    return true;
}

/* More of a line that is over the limit: what it is was said with its first piece. */
static bool take_rest(struct smtp_mime *mime, struct slice *input, struct smtp_mime_line *line)
{
    if (input->length == 0) {
        return false;
    }
    size_t length = slice_find(*input, '\n');
    mime->line.ends = length < input->length;
    mime->line.starts = false;
    *line = mime->line;
    line->bytes = slice_to(*input, length + 1);
    if (line->kind == SMTP_MIME_FIELD) {
        keep_value(mime, line->field, line->bytes);
    }
    *input = slice_from(*input, line->bytes.length);
    return true;
}

/* True: a whole line, or as much of one as can be held, is there. */
static bool hold(struct smtp_mime *mime, struct slice *input)
{
    struct slice held = slice_make(mime->held, mime->held_length);
    if (slice_ends(held, SLICE("\n")) || held.length == LINE_BYTES_MAX) {
        return true; /* it was the reason for an end of the header section, and comes now */
    }
    struct slice part = slice_to(*input, LINE_BYTES_MAX - mime->held_length);
    part = slice_to(part, slice_find(part, '\n') + 1);
    if (part.length == 0) {
        return false;
    }
    memcpy(mime->held + mime->held_length, part.data, part.length);
    mime->held_length += part.length;
    *input = slice_from(*input, part.length);
    return slice_ends(part, SLICE("\n")) || mime->held_length == LINE_BYTES_MAX;
}

/* ---- what a line is ---- */

/* False: the line ends the header section only by being no part of it; it comes once more. */
static bool classify(struct smtp_mime *mime, struct slice bytes, struct smtp_mime_line *line)
{
    size_t level;
    bool closes;
    *line = (struct smtp_mime_line){.starts = true, .ends = slice_ends(bytes, SLICE("\n")), .bytes = bytes};
    bool taken = true;
    if (find_delimiter(mime, bytes, &level, &closes)) {
        pass_delimiter(mime, level, closes);
        line->kind = SMTP_MIME_FRAME;
        line->is_delimiter = true;
    } else if (mime->state == STATE_BODY) {
        line->kind = SMTP_MIME_BODY;
    } else if (mime->state == STATE_FRAME) {
        line->kind = SMTP_MIME_FRAME;
    } else {
        taken = classify_header(mime, bytes, line);
    }
    line->is_long = !line->ends && line->bytes.length > SMTP_LINE_MAX;
    mime->line = *line;
    mime->line.ends = !line->is_long;
    return taken;
}

static bool classify_header(struct smtp_mime *mime, struct slice bytes, struct smtp_mime_line *line)
{
    if (mime->part.nature == SMTP_MIME_MESSAGE) {
        begin_part(mime, false); /* the message inside begins behind the header section that announced it */
    }
    bool is_folded = bytes.data[0] == ' ' || bytes.data[0] == '\t';
    size_t colon = slice_find(bytes, ':');
    struct slice name = slice_trim(slice_to(bytes, colon));
    line->kind = SMTP_MIME_FIELD;
    if (without_line_end(bytes).length == 0) {
        line->kind = SMTP_MIME_BLANK;
        end_header(mime, false);
    } else if (is_folded) {
        line->field = mime->state == STATE_HEADER ? mime->line.field : SMTP_MIME_FIELD_OTHER;
        keep_value(mime, line->field, bytes);
        mime->state = STATE_HEADER;
    } else if (colon < bytes.length && is_field_name(name)) {
        line->field = name_field(mime, name);
        keep_value(mime, line->field, slice_from(bytes, colon + 1));
        mime->state = STATE_HEADER;
    } else {
        *line = (struct smtp_mime_line){.kind = SMTP_MIME_BLANK, .starts = true, .ends = true, .bytes = SLICE_EMPTY};
        end_header(mime, true);
        return false;
    }
    return true;
}

/* RFC 5322 2.2. A name must leave room for a fold behind it. */
static bool is_field_name(struct slice name)
{
    return name.length > 0 && name.length <= SMTP_FIELD_NAME_MAX && !slice_has(name, ' ') && !slice_has(name, '\t');
}

/* "--" boundary ["--"] *blank, of the innermost multipart first. */
static bool find_delimiter(const struct smtp_mime *mime, struct slice bytes, size_t *level, bool *closes)
{
    if (mime->depth == 0 || !slice_starts(bytes, SLICE("--"))) {
        return false;
    }
    struct slice rest = slice_from(without_line_end(bytes), 2);
    for (*level = mime->depth; (*level)-- > 0;) {
        const struct smtp_mime_level *each = &mime->levels[*level];
        struct slice behind = slice_from(rest, each->length);
        if (!slice_starts(rest, slice_make(each->boundary, each->length))) {
            continue;
        }
        *closes = slice_starts(behind, SLICE("--"));
        if (slice_trim(slice_from(behind, *closes ? 2 : 0)).length == 0) {
            return true;
        }
    }
    return false;
}

/* Whatever was open inside has ended too. */
static void pass_delimiter(struct smtp_mime *mime, size_t level, bool closes)
{
    mime->depth = closes ? level : level + 1;
    if (closes) {
        mime->state = STATE_FRAME;
    } else {
        begin_part(mime, mime->levels[level].is_digest);
    }
}

static void begin_part(struct smtp_mime *mime, bool is_message_by_default)
{
    mime->part = (struct smtp_mime_part){.number = mime->part.number + 1};
    mime->is_message_by_default = is_message_by_default;
    mime->type_length = mime->encoding_length = 0;
    mime->state = STATE_BEGIN;
}

/* ---- header fields ---- */

static enum smtp_mime_field name_field(struct smtp_mime *mime, struct slice name)
{
    struct smtp_mime_part *part = &mime->part;
    const struct {
        struct slice name;
        enum smtp_mime_field field;
        bool *has;
    } table[] = {
        {SLICE("Content-Type"), SMTP_MIME_FIELD_TYPE, &part->has_type},
        {SLICE("Content-Transfer-Encoding"), SMTP_MIME_FIELD_ENCODING, &part->has_encoding},
        {SLICE("MIME-Version"), SMTP_MIME_FIELD_VERSION, &part->has_version},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (slice_equal_nocase(table[i].name, name)) {
            mime->is_repeated = *table[i].has;
            *table[i].has = true;
            return table[i].field;
        }
    }
    return SMTP_MIME_FIELD_OTHER;
}

static void keep_value(struct smtp_mime *mime, enum smtp_mime_field field, struct slice value)
{
    bool is_type = field == SMTP_MIME_FIELD_TYPE;
    if ((!is_type && field != SMTP_MIME_FIELD_ENCODING) || mime->is_repeated) {
        return;
    }
    char *out = is_type ? mime->type : mime->encoding;
    size_t *length = is_type ? &mime->type_length : &mime->encoding_length;
    size_t capacity = is_type ? sizeof mime->type : sizeof mime->encoding;
    for (size_t i = 0; i < value.length && *length < capacity; i++) {
        if (value.data[i] != '\r' && value.data[i] != '\n') { /* unfolded: it is the same however it is folded */
            out[(*length)++] = value.data[i];
        }
    }
}

static void end_header(struct smtp_mime *mime, bool is_broken_off)
{
    struct smtp_mime_part *part = &mime->part;
    struct smtp_mime_type type = {.type = SLICE_EMPTY, .subtype = SLICE_EMPTY};
    struct slice value = slice_make(mime->type, mime->type_length);
    bool is_typed = part->has_type && smtp_mime_type_parse(value, &type);
    part->encoding =
        part->has_encoding ? encoding_of(slice_make(mime->encoding, mime->encoding_length)) : SMTP_MIME_7BIT;
    if (is_typed) {
        part->nature = nature_of(mime, &type);
    } else {
        part->nature = mime->is_message_by_default ? SMTP_MIME_MESSAGE : SMTP_MIME_LEAF;
    }
    bool is_encoded = part->encoding == SMTP_MIME_QUOTED_PRINTABLE || part->encoding == SMTP_MIME_BASE64;
    if (part->nature == SMTP_MIME_MESSAGE && is_encoded) {
        part->nature = SMTP_MIME_LEAF; /* not allowed, but so it comes; it is no text that could be walked */
    }
    bool is_unclear = part->nature == SMTP_MIME_LEAF && part->encoding == SMTP_MIME_OTHER;
    /* Nothing stands between the header sections of the two: no field could be added to one of them. */
    is_unclear |= part->nature == SMTP_MIME_MESSAGE && is_broken_off;
    if (is_unclear) {
        part->nature = SMTP_MIME_OPAQUE;
    }
    bool is_walked = part->nature == SMTP_MIME_MESSAGE;
    mime->state = is_walked ? STATE_BEGIN : part->nature == SMTP_MIME_MULTIPART ? STATE_FRAME : STATE_BODY;
}

static enum smtp_mime_encoding encoding_of(struct slice text)
{
    static const struct {
        const char *name;
        enum smtp_mime_encoding encoding;
    } table[] = {
        {"7bit", SMTP_MIME_7BIT},     {"8bit", SMTP_MIME_8BIT},
        {"binary", SMTP_MIME_BINARY}, {"quoted-printable", SMTP_MIME_QUOTED_PRINTABLE},
        {"base64", SMTP_MIME_BASE64},
    };
    struct slice word;
    if (!slice_word(&text, &word)) {
        return SMTP_MIME_7BIT;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (slice_equal_nocase(slice_of(table[i].name), word)) {
            return table[i].encoding;
        }
    }
    return SMTP_MIME_OTHER;
}

static enum smtp_mime_nature nature_of(struct smtp_mime *mime, const struct smtp_mime_type *type)
{
    if (slice_equal_nocase(type->type, SLICE("multipart"))) {
        bool is_signed = slice_equal_nocase(type->subtype, SLICE("signed"));
        return !is_signed && push_level(mime, type) ? SMTP_MIME_MULTIPART : SMTP_MIME_OPAQUE;
    }
    if (!slice_equal_nocase(type->type, SLICE("message")) || is_global_type(type)) {
        return SMTP_MIME_LEAF;
    }
    return is_message_type(type) ? SMTP_MIME_MESSAGE : SMTP_MIME_OPAQUE;
}

static bool is_message_type(const struct smtp_mime_type *type)
{
    return slice_equal_nocase(type->subtype, SLICE("rfc822")) || slice_equal_nocase(type->subtype, SLICE("news"));
}

/* RFC 6532 3.7, RFC 6533: of all message types only these may be encoded. */
static bool is_global_type(const struct smtp_mime_type *type)
{
    return slice_starts_nocase(type->subtype, SLICE("global"));
}

static bool push_level(struct smtp_mime *mime, const struct smtp_mime_type *type)
{
    bool is_cut = mime->type_length == sizeof mime->type;
    if (type->boundary_length == 0 || is_cut || mime->depth == SMTP_MIME_DEPTH_MAX) {
        return false;
    }
    struct smtp_mime_level *level = &mime->levels[mime->depth++];
    memcpy(level->boundary, type->boundary, type->boundary_length);
    level->length = type->boundary_length;
    level->is_digest = slice_equal_nocase(type->subtype, SLICE("digest"));
    return true;
}

static struct slice without_line_end(struct slice line)
{
    line.length -= slice_ends(line, SLICE("\n"));
    line.length -= slice_ends(line, SLICE("\r"));
    return line;
}
