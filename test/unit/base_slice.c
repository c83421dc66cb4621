#include "base/slice.h"
#include "test/unit/check.h"

static void test_making(void **state)
{
    (void)state;
    check_slice("literal", SLICE("abc"), slice_of("abc"));
    check_number("NULL is empty", slice_of(NULL).length, 0);
    assert_non_null(slice_of(NULL).data);
    assert_non_null(slice_make(NULL, 0).data);
    check_number("a NUL counts", SLICE("a\0b").length, 3);
}

static void test_comparing(void **state)
{
    static const struct {
        const char *name, *a, *b;
        int order;
        bool equal_nocase;
    } cases[] = {
        {"equal", "abc", "abc", 0, true},
        {"empty", "", "", 0, true},
        {"empty first", "", "a", -1, false},
        {"prefix first", "ab", "abc", -1, false},
        {"by bytes", "b", "abc", 1, false},
        {"case", "ABC", "abc", -1, true},
        {"high bytes are unsigned", "\xff", "a", 1, false},
        {"only letters fold", "[", "{", -1, false},
        {"no folding beyond ASCII", "\xc3\x84", "\xc3\xa4", -1, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice a = slice_of(cases[i].a), b = slice_of(cases[i].b);
        int order = slice_compare(a, b), reverse = slice_compare(b, a);
        check_number(cases[i].name, (order > 0) - (order < 0), cases[i].order);
        check_number(cases[i].name, (reverse > 0) - (reverse < 0), -cases[i].order);
        check_number(cases[i].name, slice_equal(a, b), cases[i].order == 0);
        check_number(cases[i].name, slice_equal_nocase(a, b), cases[i].equal_nocase);
    }
}

static void test_starts_and_ends(void **state)
{
    static const struct {
        const char *name, *s, *part;
        bool starts, starts_nocase, ends, ends_nocase;
    } cases[] = {
        {"empty part", "abc", "", true, true, true, true},
        {"both empty", "", "", true, true, true, true},
        {"longer part", "ab", "abc", false, false, false, false},
        {"start", "abcd", "ab", true, true, false, false},
        {"end", "abcd", "cd", false, false, true, true},
        {"whole", "ab", "ab", true, true, true, true},
        {"case at the start", "ABcd", "ab", false, true, false, false},
        {"case at the end", "abCD", "cd", false, false, false, true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice s = slice_of(cases[i].s), part = slice_of(cases[i].part);
        check_number(cases[i].name, slice_starts(s, part), cases[i].starts);
        check_number(cases[i].name, slice_starts_nocase(s, part), cases[i].starts_nocase);
        check_number(cases[i].name, slice_ends(s, part), cases[i].ends);
        check_number(cases[i].name, slice_ends_nocase(s, part), cases[i].ends_nocase);
    }
}

static void test_finding(void **state)
{
    static const struct {
        const char *name, *s, *needle;
        size_t at;
    } cases[] = {
        {"at the start", "abcabc", "ab", 0},
        {"later", "abcabc", "ca", 2},
        {"at the end", "abcabd", "bd", 4},
        {"absent", "abcabc", "cb", 6},
        {"overlapping start", "aaab", "aab", 1},
        {"longer than the text", "ab", "abc", 2},
        {"in nothing", "", "a", 0},
        {"cut off at the end", "abca", "ab\r", 4},
        {"empty needle", "abc", "", 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_number(cases[i].name, slice_find_slice(slice_of(cases[i].s), slice_of(cases[i].needle)), cases[i].at);

    check_number("first", slice_find(SLICE("a.b.c"), '.'), 1);
    check_number("last", slice_find_last(SLICE("a.b.c"), '.'), 3);
    check_number("none", slice_find(SLICE("abc"), '.'), 3);
    check_number("no last", slice_find_last(SLICE("abc"), '.'), 3);
    check_number("in nothing", slice_find(SLICE_EMPTY, '.'), 0);
    assert_true(slice_has(SLICE("a\0b"), '\0'));
    assert_false(slice_has(SLICE("ab"), '\0'));
}

static void test_parts(void **state)
{
    (void)state;
    check_slice("from", slice_from(SLICE("abc"), 1), SLICE("bc"));
    check_slice("from the end", slice_from(SLICE("abc"), 3), SLICE(""));
    check_slice("from beyond the end", slice_from(SLICE("abc"), 9), SLICE(""));
    check_slice("to", slice_to(SLICE("abc"), 2), SLICE("ab"));
    check_slice("to beyond the end", slice_to(SLICE("abc"), 9), SLICE("abc"));
    check_slice("trim", slice_trim(SLICE(" \t a b\t ")), SLICE("a b"));
    check_slice("trim blanks", slice_trim(SLICE(" \t ")), SLICE(""));
    check_slice("no line end is trimmed", slice_trim(SLICE(" a\r\n")), SLICE("a\r\n"));
}

static void test_cutting(void **state)
{
    static const struct {
        const char *name, *s;
        const char *parts[5];
    } cases[] = {
        {"three", "a,b,c", {"a", "b", "c"}},
        {"one", "abc", {"abc"}},
        {"empty is one empty part", "", {""}},
        {"empty parts", ",a,,", {"", "a", "", ""}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice rest = slice_of(cases[i].s), part;
        size_t count = 0;
        for (; slice_cut(&rest, ',', &part); count++) {
            assert_non_null(cases[i].parts[count]);
            check_slice(cases[i].name, part, slice_of(cases[i].parts[count]));
        }
        assert_null(cases[i].parts[count]);
        assert_null(rest.data);
        assert_false(slice_cut(&rest, ',', &part));
    }
}

static void test_words(void **state)
{
    static const struct {
        const char *name, *s;
        const char *words[4];
    } cases[] = {
        {"two", "ab  c", {"ab", "c"}},
        {"all kinds of space", "\r\n\ta\n b \t", {"a", "b"}},
        {"none", " \t", {NULL}},
        {"nothing", "", {NULL}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice rest = slice_of(cases[i].s), word;
        size_t count = 0;
        for (; slice_word(&rest, &word); count++) {
            assert_non_null(cases[i].words[count]);
            check_slice(cases[i].name, word, slice_of(cases[i].words[count]));
        }
        assert_null(cases[i].words[count]);
    }
}

static void test_numbers(void **state)
{
    static const struct {
        const char *name, *s;
        uint64_t max;
        bool valid;
        uint64_t number;
    } cases[] = {
        {"zero", "0", 0, true, 0},
        {"leading zeros", "007", 9, true, 7},
        {"the maximum", "255", 255, true, 255},
        {"one above", "256", 255, false, 0},
        {"one digit above", "7", 6, false, 0},
        {"a multiple of ten above", "2550", 255, false, 0},
        {"largest", "18446744073709551615", UINT64_MAX, true, UINT64_MAX},
        {"overflow by one", "18446744073709551616", UINT64_MAX, false, 0},
        {"overflow by a digit", "184467440737095516150", UINT64_MAX, false, 0},
        {"empty", "", 9, false, 0},
        {"sign", "+1", 9, false, 0},
        {"minus", "-1", 9, false, 0},
        {"blank", " 1", 9, false, 0},
        {"blank behind", "1 ", 9, false, 0},
        {"hexadecimal", "0x1", 99, false, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t number = 0;
        check_number(cases[i].name, slice_number(slice_of(cases[i].s), cases[i].max, &number), cases[i].valid);
        check_true(cases[i].name, number == cases[i].number);
    }
}

static void test_bytes(void **state)
{
    (void)state;
    size_t alpha = 0, digit = 0, alnum = 0, print = 0;
    for (int c = -128; c < 128; c++) {
        alpha += byte_is_alpha((char)c);
        digit += byte_is_digit((char)c);
        alnum += byte_is_alnum((char)c);
        print += byte_is_print((char)c);
    }
    check_number("letters", alpha, 52);
    check_number("digits", digit, 10);
    check_number("both", alnum, 62);
    check_number("printable", print, 94);
    assert_true(byte_lower('A') == 'a' && byte_lower('Z') == 'z' && byte_lower('@') == '@' && byte_lower('[') == '[');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_making),  cmocka_unit_test(test_comparing), cmocka_unit_test(test_starts_and_ends),
        cmocka_unit_test(test_finding), cmocka_unit_test(test_parts),     cmocka_unit_test(test_cutting),
        cmocka_unit_test(test_words),   cmocka_unit_test(test_numbers),   cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
