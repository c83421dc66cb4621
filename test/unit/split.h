/* The split test: a parser must give the same events however its input is cut. The input is fed whole, byte by byte,
 * and cut once at every offset; each part lies in memory of its exact size, so that AddressSanitizer sees a read beyond
 * it. A test writes three functions and calls split_test() for each of its vectors:
 *
 *     static void *start(void) { return my_parser_new(); }
 *     static void feed(void *machine, struct slice part, struct buffer *events)
 *     {
 *         ...give the parser all of the part and write a line into events for each thing it reports...
 *     }
 *     static void finish(void *machine, struct buffer *events) { ...tell it the end, write the last events, free it... }
 *
 *     static const struct split_machine machine = {start, feed, finish};
 *     split_test("two replies", SLICE("250 a\r\n250 b\r\n"), &machine, "reply 250 a\nreply 250 b\n");
 *
 * Where a parser hands on bytes as they come (content, bodies), the sizes of the chunks are not events: write the bytes
 * alone, so that the chunks join. The part is gone after feed() returns; a parser that keeps a slice of it is wrong. */
#ifndef TEST_UNIT_SPLIT_H
#define TEST_UNIT_SPLIT_H

#include "base/buffer.h"
#include "base/slice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct split_machine {
    void *(*start)(void);
    void (*feed)(void *machine, struct slice part, struct buffer *events);
    void (*finish)(void *machine, struct buffer *events); /* also frees the machine */
};

/* More cuts than this tell nothing new; a longer input is cut at evenly spaced offsets. */
#define SPLIT_CUTS_MAX ((size_t)4096)
#define SPLIT_EVENTS_MAX ((size_t)64 << 20)

static inline void split_feed(const struct split_machine *machine, void *state, struct slice part,
                              struct buffer *events)
{
    char *bytes = malloc(part.length > 0 ? part.length : 1);
    if (bytes == NULL)
        abort();
    if (part.length > 0)
        memcpy(bytes, part.data, part.length);
    machine->feed(state, slice_make(bytes, part.length), events);
    free(bytes);
}

/* The events of the input cut before offset cut, or after every byte for cut SIZE_MAX. */
static inline void split_run(const struct split_machine *machine, struct slice input, size_t cut,
                             struct buffer *events)
{
    buffer_clear(events);
    void *state = machine->start();
    if (cut == SIZE_MAX) {
        for (size_t i = 0; i < input.length; i++)
            split_feed(machine, state, slice_to(slice_from(input, i), 1), events);
    } else {
        split_feed(machine, state, slice_to(input, cut), events);
        if (cut < input.length)
            split_feed(machine, state, slice_from(input, cut), events);
    }
    machine->finish(state, events);
    if (buffer_failed(events))
        abort();
}

/* True when every way of cutting gave the events of the whole input, which are left in whole. Otherwise the first that
 * did not is left in other, and where it was cut in *cut (SIZE_MAX: after every byte). */
static inline bool split_agrees(const struct split_machine *machine, struct slice input, struct buffer *whole,
                                struct buffer *other, size_t *cut)
{
    split_run(machine, input, input.length, whole);
    size_t step = input.length / SPLIT_CUTS_MAX + 1;
    /* The last round is the one byte by byte. */
    for (size_t at = 0; at <= input.length; at += step) {
        *cut = input.length - at < step ? SIZE_MAX : at;
        split_run(machine, input, *cut, other);
        if (!slice_equal(buffer_slice(whole), buffer_slice(other)))
            return false;
    }
    return true;
}

/* Fails the running cmocka test, naming the case, when the events depend on the cuts or, with expected not NULL, are
 * not the expected ones. */
static inline void split_test(const char *name, struct slice input, const struct split_machine *machine,
                              const char *expected)
{
    struct buffer whole, other;
    size_t cut = 0;
    buffer_init(&whole, SPLIT_EVENTS_MAX);
    buffer_init(&other, SPLIT_EVENTS_MAX);
    bool agrees = split_agrees(machine, input, &whole, &other, &cut);
    struct slice got = buffer_slice(&whole), cut_up = buffer_slice(&other);
    bool right = expected == NULL || slice_equal(got, slice_of(expected));
    if (!agrees) {
        print_error("%s: whole:\n%.*s\n%s %zu:\n%.*s\n", name, SLICE_ARGS(got),
                    cut == SIZE_MAX ? "byte by byte, length" : "cut at", cut == SIZE_MAX ? input.length : cut,
                    SLICE_ARGS(cut_up));
    }
    if (!right)
        print_error("%s: expected:\n%s\ngot:\n%.*s\n", name, expected, SLICE_ARGS(got));
    buffer_free(&whole);
    buffer_free(&other);
    if (!agrees || !right)
        fail_msg("%s: the split test failed", name);
}

#endif
