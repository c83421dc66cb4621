/* What cmocka lacks: comparisons that print the name of a table's case, and of slices. */
#ifndef TEST_UNIT_CHECK_H
#define TEST_UNIT_CHECK_H

#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* name: of the case in its table; the other arguments are evaluated once. */
#define check_slice(name, got, expected) check_slice_at(name, got, expected, __FILE__, __LINE__)
#define check_number(name, got, expected)                                                                              \
    check_number_at(name, (long long)(got), (long long)(expected), __FILE__, __LINE__)
#define check_true(name, holds) check_true_at(name, holds, #holds, __FILE__, __LINE__)

static inline void check_slice_at(const char *name, struct slice got, struct slice expected, const char *file, int line)
{
    if (!slice_equal(got, expected)) {
        print_error("%s: got      \"%.*s\"\n%s: expected \"%.*s\"\n", name, SLICE_ARGS(got), name,
                    SLICE_ARGS(expected));
        _fail(file, line);
    }
}

static inline void check_number_at(const char *name, long long got, long long expected, const char *file, int line)
{
    if (got != expected) {
        print_error("%s: got %lld, expected %lld\n", name, got, expected);
        _fail(file, line);
    }
}

static inline void check_true_at(const char *name, bool holds, const char *what, const char *file, int line)
{
    if (!holds) {
        print_error("%s: does not hold: %s\n", name, what);
        _fail(file, line);
    }
}

/* How often the part stands in the text. */
static inline size_t check_count_of(struct slice text, const char *part)
{
    size_t count = 0;
    for (size_t at = slice_find_slice(text, slice_of(part)); at < text.length; at = slice_find_slice(text, slice_of(part))) {
        text = slice_from(text, at + 1);
        count++;
    }
    return count;
}

#endif
