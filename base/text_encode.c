/* Hexadecimal, base64 (RFC 4648), UTF-8 (RFC 3629) and the contents of JSON strings (RFC 8259). */
#include "base/text.h"

#include <assert.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";
static const char base64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void encode_group(const uint8_t *in, size_t length, char out[4]);
static size_t decode_group(const char *in, uint8_t out[3]);
static bool digits_of(const char *in, size_t count, uint32_t *bits);
static size_t utf8_length(uint8_t first);
static char json_short_escape(uint32_t character);
static bool json_is_escaped(uint32_t character);

struct slice text_hex(const void *bytes, size_t length, char *out, size_t capacity)
{
    assert(length <= capacity / 2);
    const uint8_t *in = bytes;
    for (size_t i = 0; i < length; i++) {
        out[2 * i] = hex_digits[in[i] >> 4];
        out[2 * i + 1] = hex_digits[in[i] & 15];
    }
    return slice_make(out, 2 * length);
}

enum err text_base64_encode(struct slice bytes, struct buffer *out)
{
    const uint8_t *in = (const uint8_t *)bytes.data;
    size_t groups = bytes.length / 3 + (bytes.length % 3 != 0);
    if (groups > SIZE_MAX / 4 || groups * 4 > buffer_room(out)) {
        return ERR_LIMIT;
    }
    char *space = buffer_space(out, groups * 4);
    if (space == NULL) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < groups; i++) {
        size_t left = bytes.length - 3 * i;
        encode_group(in + 3 * i, left < 3 ? left : 3, space + 4 * i);
    }
    buffer_added(out, groups * 4);
    return ERR_NONE;
}

enum err text_base64_decode(struct slice text, struct buffer *out)
{
    if (text.length % 4 != 0) {
        return ERR_SYNTAX;
    }
    size_t padding = slice_ends(text, SLICE("==")) ? 2 : slice_ends(text, SLICE("=")) ? 1 : 0;
    char *space = buffer_space(out, text.length / 4 * 3 - padding);
    if (space == NULL) {
        return ERR_LIMIT;
    }
    size_t added = 0;
    for (size_t i = 0; i < text.length; i += 4) {
        uint8_t group[3];
        size_t length = decode_group(text.data + i, group);
        if (length == 0 || (length < 3 && i + 4 < text.length)) {
            return ERR_SYNTAX;
        }
        memcpy(space + added, group, length);
        added += length;
    }
    buffer_added(out, added);
    return ERR_NONE;
}

void text_json(struct buffer *out, struct slice text)
{
    while (text.length > 0) {
        char bytes[8];
        size_t length = text_json_next(&text, bytes);
        buffer_add(out, slice_make(bytes, length));
    }
}

size_t text_json_next(struct slice *rest, char out[8])
{
    const char *at = rest->data;
    uint32_t character;
    if (!text_utf8_next(rest, &character)) {
        memcpy(out, "\xef\xbf\xbd", 3);
        return 3;
    }
    char letter = json_short_escape(character);
    if (letter != '\0') {
        out[0] = '\\';
        out[1] = letter;
        return 2;
    }
    if (json_is_escaped(character)) {
        return text_print(out, 8, "\\u%04x", (unsigned)character).length;
    }
    size_t length = utf8_length((uint8_t)*at);
    memcpy(out, at, length);
    return length;
}

bool text_is_utf8(struct slice text)
{
    uint32_t character;
    while (text.length > 0) {
        if (!text_utf8_next(&text, &character)) {
            return false;
        }
    }
    return true;
}

bool text_utf8_next(struct slice *rest, uint32_t *character)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000}; /* by length: less is an overlong form */
    struct slice text = *rest;
    assert(text.length > 0);
    *rest = slice_from(text, 1);

    uint8_t first = (uint8_t)text.data[0];
    size_t length = utf8_length(first);
    if (length == 0 || length > text.length) {
        return false;
    }
    uint32_t code = length == 1 ? first : first & (0xffU >> (length + 1));
    for (size_t i = 1; i < length; i++) {
        uint8_t next = (uint8_t)text.data[i];
        if ((next & 0xc0) != 0x80) {
            return false;
        }
        code = code << 6 | (next & 0x3fU);
    }
    if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        return false;
    }
    *rest = slice_from(text, length);
    *character = code;
    return true;
}

static void encode_group(const uint8_t *in, size_t length, char out[4])
{
    uint32_t bits = (uint32_t)in[0] << 16;
    bits |= length > 1 ? (uint32_t)in[1] << 8 : 0;
    bits |= length > 2 ? in[2] : 0;
    for (size_t i = 0; i < 4; i++) {
        out[i] = i > length ? '=' : base64_digits[bits >> (18 - 6 * i) & 63];
    }
}

/* 1 to 3 bytes, or 0 when the four digits are no group, or one with bits set that no encoder sets. */
static size_t decode_group(const char *in, uint8_t out[3])
{
    size_t digits = in[3] != '=' ? 4 : in[2] != '=' ? 3 : 2;
    uint32_t bits;
    if (!digits_of(in, digits, &bits)) {
        return 0;
    }
    size_t length = digits - 1;
    if ((bits & (0xffffffU >> (8 * length))) != 0 && length < 3) {
        return 0;
    }
    out[0] = (uint8_t)(bits >> 16);
    out[1] = (uint8_t)(bits >> 8);
    out[2] = (uint8_t)bits;
    return length;
}

/* -1: none. */
static int digit_value(char digit)
{
    if (digit >= 'a') {
        return digit <= 'z' ? digit - 'a' + 26 : -1;
    }
    if (digit >= 'A') {
        return digit <= 'Z' ? digit - 'A' : -1;
    }
    if (digit >= '0') {
        return digit <= '9' ? digit - '0' + 52 : -1;
    }
    return digit == '+' ? 62 : digit == '/' ? 63 : -1;
}

static bool digits_of(const char *in, size_t count, uint32_t *bits)
{
    *bits = 0;
    for (size_t i = 0; i < count; i++) {
        int value = digit_value(in[i]);
        if (value < 0) {
            return false;
        }
        *bits |= (uint32_t)value << (18 - 6 * i);
    }
    return true;
}

/* Of a sequence that starts with this byte; 0 when none does. */
static size_t utf8_length(uint8_t first)
{
    if (first < 0x80) {
        return 1;
    }
    if (first < 0xc2 || first > 0xf4) {
        return 0;
    }
    return first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
}

static char json_short_escape(uint32_t character)
{
    switch (character) {
        case '"':
            return '"';
        case '\\':
            return '\\';
        case '\n':
            return 'n';
        case '\r':
            return 'r';
        case '\t':
            return 't';
        default:
            return '\0';
    }
}

/* Beyond what JSON asks for: DEL, the C1 controls and the two Unicode line ends, which terminals and scripts obey. */
static bool json_is_escaped(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f) || character == 0x2028 || character == 0x2029;
}
