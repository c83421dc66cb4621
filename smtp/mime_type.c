#include "smtp/mime.h"

#include <string.h>

static void skip_blanks(struct slice *rest);
static void skip_comment(struct slice *rest);
static struct slice take_token(struct slice *rest, const char *special);
static bool take_byte(struct slice *rest, char byte);
static size_t take_value(struct slice *rest, char *out, size_t capacity);

/* RFC 2045 5.1: what ends a token. Boundaries without quotes do have "/", "?" and "=". */
#define SPECIAL_IN_VALUE "()<>@,;:\\\"[]"
#define SPECIAL SPECIAL_IN_VALUE "/?="

/* content := type "/" subtype *(";" parameter), with comments and blanks anywhere (RFC 2045 5.1). A parameter that
 * cannot be read ends the search for others: what stands behind it may be part of it. */
bool smtp_mime_type_parse(struct slice value, struct smtp_mime_type *type)
{
    struct slice rest = value;
    *type = (struct smtp_mime_type){.type = SLICE_EMPTY, .subtype = SLICE_EMPTY};
    type->type = take_token(&rest, SPECIAL);
    if (type->type.length == 0 || !take_byte(&rest, '/')) {
        return false;
    }
    type->subtype = take_token(&rest, SPECIAL);
    while (take_byte(&rest, ';')) {
        char text[SMTP_MIME_BOUNDARY_MAX];
        struct slice name = take_token(&rest, SPECIAL);
        if (name.length == 0) {
            continue; /* a semicolon too many */
        }
        if (!take_byte(&rest, '=')) {
            break;
        }
        size_t length = take_value(&rest, text, sizeof text);
        if (slice_equal_nocase(name, SLICE("boundary")) && type->boundary_length == 0 && length <= sizeof text) {
            memcpy(type->boundary, text, length);
            type->boundary_length = length;
        }
    }
    /* A delimiter may have blanks behind it, so none of them can be its own (RFC 2046 5.1.1). */
    while (type->boundary_length > 0 && type->boundary[type->boundary_length - 1] == ' ') {
        type->boundary_length--;
    }
    return type->subtype.length > 0;
}

static bool take_byte(struct slice *rest, char byte)
{
    skip_blanks(rest);
    if (rest->length == 0 || rest->data[0] != byte) {
        return false;
    }
    *rest = slice_from(*rest, 1);
    return true;
}

static struct slice take_token(struct slice *rest, const char *special)
{
    size_t length = 0;
    skip_blanks(rest);
    while (length < rest->length && byte_is_print(rest->data[length]) && strchr(special, rest->data[length]) == NULL) {
        length++;
    }
    struct slice token = slice_to(*rest, length);
    *rest = slice_from(*rest, length);
    return token;
}

/* A token or a quoted string. Returns its length; where that is over the capacity only so much of it was written. */
static size_t take_value(struct slice *rest, char *out, size_t capacity)
{
    size_t length = 0;
    if (!take_byte(rest, '"')) {
        struct slice token = take_token(rest, SPECIAL_IN_VALUE);
        memcpy(out, token.data, token.length < capacity ? token.length : capacity);
        return token.length;
    }
    while (rest->length > 0 && rest->data[0] != '"') {
        bool quoted = rest->data[0] == '\\' && rest->length > 1;
        if (length < capacity) {
            out[length] = rest->data[quoted];
        }
        length++;
        *rest = slice_from(*rest, quoted ? 2 : 1);
    }
    *rest = slice_from(*rest, 1);
    return length;
}

static void skip_blanks(struct slice *rest)
{
    while (rest->length > 0) {
        char byte = rest->data[0];
        if (byte == '(') {
            skip_comment(rest);
        } else if (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n') {
            *rest = slice_from(*rest, 1);
        } else {
            return;
        }
    }
}

static void skip_comment(struct slice *rest)
{
    size_t depth = 0, at = 0;
    while (at < rest->length) {
        char byte = rest->data[at++];
        depth += byte == '(';
        if (byte == '\\') {
            at++;
        } else if (byte == ')' && --depth == 0) {
            break;
        }
    }
    *rest = slice_from(*rest, at);
}
