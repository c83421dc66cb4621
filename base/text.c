/* Numbers, sizes, cleaning and likeness. Times are in text_time.c, encodings in text_encode.c, hashes in text_hash.c.
 */
#include "base/text.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NEAREST_WORD_MAX 64

static unsigned size_shift(char unit);
static size_t edit_distance(struct slice a, struct slice b);
static size_t smallest(size_t a, size_t b, size_t c);

struct slice text_print(char *out, size_t capacity, const char *format, ...)
{
    assert(capacity > 0);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(out, capacity, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    return slice_make(out, (size_t)length < capacity ? (size_t)length : capacity - 1);
}

enum err text_size_parse(struct slice text, uint64_t *bytes)
{
    unsigned shift = text.length == 0 ? 0 : size_shift(text.data[text.length - 1]);
    struct slice digits = shift == 0 ? text : slice_to(text, text.length - 1);
    uint64_t number;
    if (slice_number(digits, UINT64_MAX >> shift, &number)) {
        *bytes = number << shift;
        return ERR_NONE;
    }
    for (size_t i = 0; i < digits.length; i++) {
        if (!byte_is_digit(digits.data[i])) {
            return ERR_SYNTAX;
        }
    }
    return digits.length == 0 ? ERR_SYNTAX : ERR_LIMIT;
}

void text_clean(struct buffer *out, struct slice text, size_t limit)
{
    struct slice dots = text.length > limit ? slice_to(SLICE("..."), limit) : SLICE_EMPTY;
    struct slice kept = slice_to(text, limit - dots.length);
    char *space = buffer_space(out, kept.length + dots.length);
    if (space == NULL) {
        return;
    }
    for (size_t i = 0; i < kept.length; i++) {
        space[i] = kept.data[i] == ' ' || byte_is_print(kept.data[i]) ? kept.data[i] : '?';
    }
    memcpy(space + kept.length, dots.data, dots.length);
    buffer_added(out, kept.length + dots.length);
}

bool text_is_ascii(struct slice text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '\0' || (uint8_t)text.data[i] > 0x7f) {
            return false;
        }
    }
    return true;
}

/* Asked of all content: eight bytes at a time. */
bool text_has_eight_bit(struct slice text)
{
    uint64_t seen = 0;
    size_t i = 0;
    for (; text.length - i >= sizeof seen; i += sizeof seen) {
        uint64_t word;
        memcpy(&word, text.data + i, sizeof word);
        seen |= word;
    }
    for (; i < text.length; i++) {
        seen |= (uint8_t)text.data[i];
    }
    return (seen & UINT64_C(0x8080808080808080)) != 0;
}

const char *text_nearest(struct slice word, const char *const *candidates, size_t count)
{
    const char *nearest = NULL;
    size_t best = word.length / 3 + 1;
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(word, slice_of(candidates[i]));
        if (distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}

static unsigned size_shift(char unit)
{
    switch (unit) {
        case 'K':
        case 'k':
            return 10;
        case 'M':
        case 'm':
            return 20;
        case 'G':
        case 'g':
            return 30;
        case 'T':
        case 't':
            return 40;
        default:
            return 0;
    }
}

/* Insertions, deletions, replacements and swaps of neighbours, each of cost 1; case does not count. */
static size_t edit_distance(struct slice a, struct slice b)
{
    if (a.length > NEAREST_WORD_MAX || b.length > NEAREST_WORD_MAX) {
        return SIZE_MAX;
    }
    size_t rows[3][NEAREST_WORD_MAX + 1];
    for (size_t j = 0; j <= b.length; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.length; i++) {
        size_t *now = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        now[0] = i;
        for (size_t j = 1; j <= b.length; j++) {
            char x = byte_lower(a.data[i - 1]), y = byte_lower(b.data[j - 1]);
            now[j] = smallest(above[j] + 1, now[j - 1] + 1, above[j - 1] + (x != y));
            bool swapped = i > 1 && j > 1 && x == byte_lower(b.data[j - 2]) && y == byte_lower(a.data[i - 2]);
            if (swapped && above2[j - 2] + 1 < now[j]) {
                now[j] = above2[j - 2] + 1;
            }
        }
    }
    return rows[a.length % 3][b.length];
}

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}
