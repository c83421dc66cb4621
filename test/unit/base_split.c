/* The split test tested: it must pass what does not depend on the cuts and catch what does. */
#include "test/unit/split.h"

struct counter {
    char held[64];
    size_t length;
    bool is_broken;
};

static void *start(void);
static void *start_broken(void);
static void feed(void *machine, struct slice part, struct buffer *events);
static void finish(void *machine, struct buffer *events);

static const struct split_machine right = {start, feed, finish};
static const struct split_machine broken = {start_broken, feed, finish};

static void test_right_parser_agrees(void **state)
{
    (void)state;
    split_test("lines", SLICE("a\nbc\n\ndef"), &right, "[a][bc][]rest=def\n");
    split_test("nothing", SLICE_EMPTY, &right, "rest=\n");
    split_test("one byte", SLICE("\n"), &right, NULL);
}

static void test_broken_parser_is_caught(void **state)
{
    (void)state;
    struct buffer whole, other;
    size_t cut;
    buffer_init(&whole, 1000);
    buffer_init(&other, 1000);
    assert_false(split_agrees(&broken, SLICE("ab\n"), &whole, &other, &cut));
    assert_int_equal(cut, 1);
    assert_true(slice_equal(buffer_slice(&whole), SLICE("[ab]rest=\n")));
    assert_true(slice_equal(buffer_slice(&other), SLICE("[b]rest=\n")));
    assert_true(split_agrees(&broken, SLICE("\n\n"), &whole, &other, &cut)); /* no cut falls inside a line */
    buffer_free(&whole);
    buffer_free(&other);
}

static void test_every_cut_is_made(void **state)
{
    (void)state;
    struct buffer whole, other;
    size_t cut;
    buffer_init(&whole, 1000);
    buffer_init(&other, 1000);
    /* The broken one loses what it held at a cut, so only the cut inside the last line is seen here. */
    assert_false(split_agrees(&broken, SLICE("\n\n\nab\n"), &whole, &other, &cut));
    assert_int_equal(cut, 4);
    buffer_free(&whole);
    buffer_free(&other);
}

/* A reader of lines; the broken one forgets the start of a line at the end of a part. */
static void *start(void)
{
    return calloc(1, sizeof(struct counter));
}

static void *start_broken(void)
{
    struct counter *counter = start();
    counter->is_broken = true;
    return counter;
}

static void feed(void *machine, struct slice part, struct buffer *events)
{
    struct counter *counter = machine;
    for (size_t i = 0; i < part.length; i++) {
        if (part.data[i] == '\n') {
            buffer_print(events, "[%.*s]", (int)counter->length, counter->held);
            counter->length = 0;
        } else {
            counter->held[counter->length++] = part.data[i];
        }
    }
    if (counter->is_broken)
        counter->length = 0;
}

static void finish(void *machine, struct buffer *events)
{
    struct counter *counter = machine;
    buffer_print(events, "rest=%.*s\n", (int)counter->length, counter->held);
    free(counter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_right_parser_agrees),
        cmocka_unit_test(test_broken_parser_is_caught),
        cmocka_unit_test(test_every_cut_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
