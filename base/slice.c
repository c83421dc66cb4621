#include "base/slice.h"

#include <assert.h>
#include <string.h>

static bool bytes_equal_nocase(const char *a, const char *b, size_t length);
static bool is_blank(char c);
static bool is_space(char c);

struct slice slice_of(const char *string)
{
    return string == NULL ? SLICE_EMPTY : (struct slice){string, strlen(string)};
}

struct slice slice_make(const void *data, size_t length)
{
    assert(data != NULL || length == 0);
    return data == NULL ? SLICE_EMPTY : (struct slice){data, length};
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.length == b.length && (a.length == 0 || memcmp(a.data, b.data, a.length) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.length == b.length && bytes_equal_nocase(a.data, b.data, a.length);
}

int slice_compare(struct slice a, struct slice b)
{
    size_t shorter = a.length < b.length ? a.length : b.length;
    int order = shorter == 0 ? 0 : memcmp(a.data, b.data, shorter);
    if (order != 0) {
        return order;
    }
    return (a.length > b.length) - (a.length < b.length);
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.length >= prefix.length && slice_equal(slice_to(s, prefix.length), prefix);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.length >= prefix.length && slice_equal_nocase(slice_to(s, prefix.length), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.length >= suffix.length && slice_equal(slice_from(s, s.length - suffix.length), suffix);
}

bool slice_ends_nocase(struct slice s, struct slice suffix)
{
    return s.length >= suffix.length && slice_equal_nocase(slice_from(s, s.length - suffix.length), suffix);
}

size_t slice_find(struct slice s, char byte)
{
    const char *found = s.length == 0 ? NULL : memchr(s.data, byte, s.length);
    return found == NULL ? s.length : (size_t)(found - s.data);
}

size_t slice_find_last(struct slice s, char byte)
{
    for (size_t i = s.length; i > 0; i--) {
        if (s.data[i - 1] == byte) {
            return i - 1;
        }
    }
    return s.length;
}

size_t slice_find_slice(struct slice s, struct slice needle)
{
    if (needle.length == 0) {
        return 0;
    }
    size_t at = 0;
    while (s.length - at >= needle.length) {
        at += slice_find(slice_from(s, at), needle.data[0]);
        if (slice_starts(slice_from(s, at), needle)) {
            return at;
        }
        at = at < s.length ? at + 1 : at;
    }
    return s.length;
}

bool slice_has(struct slice s, char byte)
{
    return slice_find(s, byte) < s.length;
}

struct slice slice_from(struct slice s, size_t offset)
{
    return offset >= s.length ? SLICE_EMPTY : (struct slice){s.data + offset, s.length - offset};
}

struct slice slice_to(struct slice s, size_t length)
{
    return length >= s.length ? s : (struct slice){s.data, length};
}

struct slice slice_trim(struct slice s)
{
    while (s.length > 0 && is_blank(s.data[0])) {
        s = slice_from(s, 1);
    }
    while (s.length > 0 && is_blank(s.data[s.length - 1])) {
        s.length--;
    }
    return s;
}

bool slice_cut(struct slice *s, char separator, struct slice *part)
{
    if (s->data == NULL) {
        return false;
    }
    size_t at = slice_find(*s, separator);
    *part = slice_to(*s, at);
    *s = at < s->length ? (struct slice){s->data + at + 1, s->length - at - 1} : (struct slice){NULL, 0};
    return true;
}

bool slice_word(struct slice *s, struct slice *word)
{
    size_t start = 0;
    while (start < s->length && is_space(s->data[start])) {
        start++;
    }
    size_t end = start;
    while (end < s->length && !is_space(s->data[end])) {
        end++;
    }
    *word = slice_from(slice_to(*s, end), start);
    *s = slice_from(*s, end);
    return end > start;
}

bool slice_number(struct slice s, uint64_t max, uint64_t *number)
{
    uint64_t total = 0;
    for (size_t i = 0; i < s.length; i++) {
        if (!byte_is_digit(s.data[i])) {
            return false;
        }
        uint64_t digit = (uint64_t)(s.data[i] - '0');
        if (total > max / 10 || total * 10 > max - digit || digit > max) {
            return false;
        }
        total = total * 10 + digit;
    }
    if (s.length == 0) {
        return false;
    }
    *number = total;
    return true;
}

bool byte_is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool byte_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

bool byte_is_alnum(char c)
{
    return byte_is_alpha(c) || byte_is_digit(c);
}

bool byte_is_print(char c)
{
    return c >= 0x21 && c <= 0x7e;
}

char byte_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool bytes_equal_nocase(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (byte_lower(a[i]) != byte_lower(b[i])) {
            return false;
        }
    }
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}
