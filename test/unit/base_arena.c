#include "base/arena.h"
#include "test/unit/check.h"

#include <stdalign.h>

static void test_memory_is_zeroed_and_aligned(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 20);
    assert_non_null(arena);
    unsigned char *pieces[300];
    for (size_t size = 0; size < COUNT_OF(pieces); size++) {
        unsigned char *bytes = pieces[size] = arena_alloc(arena, size * 9);
        assert_non_null(bytes);
        assert_true((uintptr_t)bytes % alignof(max_align_t) == 0);
        for (size_t i = 0; i < size * 9; i++)
            assert_int_equal(bytes[i], 0);
        memset(bytes, (int)(size % 251) + 1, size * 9);
    }
    for (size_t size = 0; size < COUNT_OF(pieces); size++)
        for (size_t i = 0; i < size * 9; i++)
            assert_int_equal(pieces[size][i], size % 251 + 1); /* no piece overlaps another */
    arena_reset(arena);
    check_number("after a reset", arena_used(arena), 0);
    unsigned char *again = arena_alloc(arena, 64);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(again[i], 0);
    arena_free(&arena);
    assert_null(arena);
    arena_free(&arena);
}

static void test_the_limit_holds(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 2000; limit += 13) {
        struct arena *arena = arena_new(limit);
        size_t handed_out = 0;
        while (arena_alloc(arena, 24) != NULL)
            handed_out += 24;
        assert_true(handed_out <= limit);
        assert_true(arena_used(arena) <= limit);
        assert_true(limit - arena_used(arena) < 32);
        arena_reset(arena);
        assert_true((arena_alloc(arena, 24) != NULL) == (limit >= 32));
        arena_free(&arena);
    }
}

static void test_nothing_wraps(void **state)
{
    (void)state;
    struct arena *arena = arena_new(SIZE_MAX);
    assert_null(arena_array(arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(arena, SIZE_MAX));
    assert_null(arena_alloc(arena, SIZE_MAX - 8));
    assert_non_null(arena_array(arena, 10, 10));
    assert_non_null(arena_array(arena, 0, 10));
    arena_free(&arena);
}

static void test_slices_and_text(void **state)
{
    (void)state;
    struct arena *arena = arena_new(64);
    struct slice copy, text;
    char original[] = "abc";
    assert_true(arena_slice(arena, slice_of(original), &copy));
    original[0] = 'x';
    check_slice("copy", copy, SLICE("abc"));
    check_number("NUL behind", copy.data[3], 0);
    assert_true(arena_slice(arena, SLICE_EMPTY, &copy));
    check_number("empty", copy.length, 0);
    assert_true(arena_print(arena, &text, "%s-%d", "abc", 42));
    check_slice("printed", text, SLICE("abc-42"));
    assert_string_equal(text.data, "abc-42");
    assert_false(arena_print(arena, &text, "%64d", 1));
    assert_false(arena_slice(arena, slice_make("0123456789012345678901234567890123456789", 40), &copy));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_is_zeroed_and_aligned),
        cmocka_unit_test(test_the_limit_holds),
        cmocka_unit_test(test_nothing_wraps),
        cmocka_unit_test(test_slices_and_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
