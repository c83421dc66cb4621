/* The cases of test/vectors/sts.json, by kind:
 *
 *     struct vectors vectors = vectors_open("txt");
 *     for (struct vector vector; vectors_next(&vectors, &vector);)
 *         ...
 *     vectors_close(&vectors);
 *
 * Closing fails the test when there was no case at all. "<65536 x 'a'>" in a text stands for so many of that byte,
 * "+ U+FF00" adds that character. */
#ifndef TEST_UNIT_STS_VECTORS_H
#define TEST_UNIT_STS_VECTORS_H

#include "base/buffer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* A slice in a table: SLICE() is no constant expression. */
#define TEXT(literal)                                                                                                  \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }

struct vectors {
    json_t *root;
    const char *kind;
    size_t index, count;
};
struct vector {
    const json_t *input, *expected;
    char name[160]; /* the input, as JSON, for messages */
};

static inline struct vectors vectors_open(const char *kind)
{
    json_error_t error;
    json_t *root = json_load_file(STERNPOST_SOURCE "/test/vectors/sts.json", 0, &error);
    if (root == NULL)
        fail_msg("test/vectors/sts.json:%d: %s", error.line, error.text);
    return (struct vectors){.root = root, .kind = kind};
}

static inline bool vectors_next(struct vectors *vectors, struct vector *vector)
{
    const json_t *all = json_object_get(vectors->root, "vectors");
    while (vectors->index < json_array_size(all)) {
        const json_t *item = json_array_get(all, vectors->index++);
        if (strcmp(json_string_value(json_object_get(item, "kind")), vectors->kind) != 0)
            continue;
        vector->input = json_object_get(item, "input");
        vector->expected = json_object_get(item, "expected");
        char *text = json_dumps(vector->input, JSON_ENCODE_ANY);
        snprintf(vector->name, sizeof vector->name, "%s %.140s", vectors->kind, text);
        free(text);
        vectors->count++;
        return true;
    }
    return false;
}

static inline void vectors_close(struct vectors *vectors)
{
    json_decref(vectors->root);
    assert_true(vectors->count > 0);
}

/* A JSON string with its stand-ins written out; the caller frees the buffer. */
static inline struct buffer vector_text(const json_t *value)
{
    struct buffer out;
    struct slice text = slice_make(json_string_value(value), json_string_length(value));
    size_t start = slice_find_slice(text, SLICE("<65536 x '"));
    buffer_init(&out, 1 << 20);
    buffer_add(&out, slice_to(text, start));
    if (start < text.length) {
        struct slice rest = slice_from(text, start + strlen("<65536 x '"));
        for (size_t i = 0; i < 65536; i++)
            buffer_add_byte(&out, rest.data[0]);
        if (slice_starts(slice_from(rest, 2), SLICE(" + U+FF00")))
            buffer_add(&out, SLICE("\xef\xbc\x80"));
        buffer_add(&out, slice_from(rest, slice_find(rest, '>') + 1));
    }
    assert_false(buffer_failed(&out));
    return out;
}

static inline bool vector_flag(const struct vector *vector, const char *key)
{
    const json_t *flag = json_object_get(vector->expected, key);
    if (!json_is_boolean(flag))
        fail_msg("%s: no %s", vector->name, key);
    return json_is_true(flag);
}

static inline struct slice vector_expected(const struct vector *vector, const char *key)
{
    return slice_of(json_string_value(json_object_get(vector->expected, key)));
}

/* Is a warning that has all the words of text in the set? An empty text needs none. */
static inline bool vector_has_warning(struct slice text, unsigned warnings, const char *(*name)(unsigned))
{
    if (text.length == 0)
        return true;
    for (unsigned i = 0; i < 32; i++) {
        struct slice rest = text, word, known = slice_of(warnings & 1u << i ? name(i) : "");
        bool has_all = known.length > 0;
        while (slice_word(&rest, &word))
            has_all = has_all && slice_find_slice(known, word) < known.length;
        if (has_all)
            return true;
    }
    return false;
}

#endif
