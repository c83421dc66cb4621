#include "base/json.h"
#include "test/unit/check.h"

#include <jansson.h>

static void check_printed(const char *name, const struct json *json, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 10000);
    check_number(name, json_print(json, &out), ERR_NONE);
    check_slice(name, buffer_slice(&out), slice_of(expected));
    buffer_free(&out);
}

static struct json *parsed(const char *text)
{
    struct json *json = NULL;
    check_number(text, json_parse(slice_of(text), &json), ERR_NONE);
    return json;
}

static void test_building(void **state)
{
    (void)state;
    struct json *root = json_object_new(), *array = json_array_new(), *inner = json_object_new();
    json_set_text(root, "zeta", SLICE("first \"quoted\"\n"));
    json_set_string(root, "alpha", "second");
    json_set_string(root, "unknown", NULL);
    json_set_number(root, "large", INT64_MIN);
    json_set_flag(root, "yes", true);
    json_set_flag(root, "no", false);
    json_set_text(root, "invalid", SLICE("a\xff\xc3\xa4\xed\xa0\x80"));
    json_append_text(array, SLICE("one"));
    json_set_number(inner, "n", 1);
    json_append(array, &inner);
    assert_null(inner);
    json_set(root, "list", &array);
    assert_null(array);
    json_set_string(root, "alpha", "replaced");
    check_printed("object", root,
                  "{\"zeta\":\"first \\\"quoted\\\"\\n\",\"alpha\":\"replaced\",\"unknown\":\"\","
                  "\"large\":-9223372036854775808,\"yes\":true,\"no\":false,"
                  "\"invalid\":\"a\xef\xbf\xbd\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\","
                  "\"list\":[\"one\",{\"n\":1}]}");
    json_free(&root);
    assert_null(root);
    json_free(&root);
}

static void test_reading(void **state)
{
    (void)state;
    struct json *root =
        parsed("{\"s\":\"text\",\"n\":42,\"f\":true,\"a\":[\"x\",\"y\"],\"o\":{\"k\":\"v\"},\"r\":1.5}");
    check_slice("text", json_text(root, "s"), SLICE("text"));
    check_slice("absent", json_text(root, "q"), SLICE(""));
    check_slice("no text", json_text(root, "n"), SLICE(""));
    check_number("number", json_number(root, "n", -1), 42);
    check_number("absent", json_number(root, "q", -1), -1);
    check_number("no number", json_number(root, "s", -1), -1);
    check_number("no whole number", json_number(root, "r", -1), -1);
    assert_true(json_flag(root, "f", false));
    assert_true(json_flag(root, "s", true));
    assert_false(json_flag(root, "s", false));
    check_slice("inside", json_text(json_get(root, "o"), "k"), SLICE("v"));
    assert_null(json_get(root, "q"));
    assert_null(json_get(json_get(root, "s"), "q"));
    const struct json *array = json_get(root, "a");
    check_number("count", json_count(array), 2);
    check_number("count of no array", json_count(root), 0);
    check_slice("at", json_string_text(json_at(array, 1)), SLICE("y"));
    assert_null(json_at(array, 2));
    check_slice("of nothing", json_string_text(NULL), SLICE(""));
    json_free(&root);
}

static void test_walking(void **state)
{
    (void)state;
    struct json *root = parsed("{\"c\":1,\"a\":2,\"b\":3}"), *empty = parsed("{}");
    char keys[4] = "";
    size_t count = 0;
    for (const char *key = json_next_key(root, NULL); key != NULL; key = json_next_key(root, key))
        keys[count++] = key[0];
    assert_string_equal(keys, "cab");
    assert_null(json_next_key(empty, NULL));
    assert_null(json_next_key(NULL, NULL));
    assert_null(json_next_key(root, "no such key"));
    json_free(&root);
    json_free(&empty);
}

static void test_syntax(void **state)
{
    static const char *const bad[] = {"",
                                      "{",
                                      "{}x",
                                      "nul",
                                      "\"text\"",
                                      "42",
                                      "{a:1}",
                                      "{\"a\":1,}",
                                      "[1 2]",
                                      "{'a'}",
                                      "{\"a\":1,\"a\":2}",
                                      "[\"\xff\"]",
                                      "[\"\n\"]",
                                      "[\"\\ud800\"]",
                                      "[1e999]",
                                      "[99999999999999999999]"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        struct json *json = (struct json *)(void *)&json;
        check_number(bad[i], json_parse(slice_of(bad[i]), &json), ERR_SYNTAX);
        assert_null(json);
    }
    char deep[20000];
    memset(deep, '[', sizeof deep);
    struct json *json;
    assert_int_equal(json_parse(slice_make(deep, sizeof deep), &json), ERR_SYNTAX);
}

static void test_measures(void **state)
{
    static const struct {
        const char *text;
        size_t value_max, depth_max;
    } cases[] = {
        {"", 1, 0},           {"1", 1, 0},          {"[]", 2, 1},     {"{}", 2, 1},
        {"[1,2,3]", 4, 1},    {"{\"a\":1}", 3, 1},  {"[[[[]]]]", 5, 4}, {"[\"[{,:\",\"\\\"[\"]", 3, 1},
        {"[{},{},{}]", 7, 2}, {"]]]]]{[", 3, 2},    {"\"[[[[[", 1, 0}, {"\"\\", 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct json_bounds found = json_measure(slice_of(cases[i].text));
        struct json_bounds less = {.value_max = found.value_max - 1, .depth_max = found.depth_max};
        struct json *json = NULL;
        check_number(cases[i].text, found.value_max, cases[i].value_max);
        check_number(cases[i].text, found.depth_max, cases[i].depth_max);
        check_number(cases[i].text, json_parse_bounded(slice_of(cases[i].text), &less, &json), ERR_LIMIT);
        assert_null(json);
        enum err err = json_parse_bounded(slice_of(cases[i].text), &found, &json);
        check_true(cases[i].text, err == ERR_NONE || err == ERR_SYNTAX);
        json_free(&json);
    }
}

static void test_what_was_printed_is_read(void **state)
{
    (void)state;
    struct json *root = json_object_new(), *back = NULL;
    struct slice text = SLICE("\0\x01\x7f \"\\/\xe2\x80\xa8\xf0\x9f\x93\xa8");
    struct buffer out;
    buffer_init(&out, 1000);
    json_set_text(root, "t", text);
    assert_int_equal(json_print(root, &out), ERR_NONE);
    assert_true(slice_find(buffer_slice(&out), '\n') == buffer_length(&out));
    assert_int_equal(json_parse(buffer_slice(&out), &back), ERR_NONE);
    check_slice("round trip", json_text(back, "t"), text);
    buffer_free(&out);
    json_free(&root);
    json_free(&back);
}

static void test_failures_are_remembered(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 1000);
    struct json *root = json_object_new(), *array = json_array_new(), *missing = NULL;
    json_append_text(array, SLICE("kept"));
    json_append(array, &missing); /* could not be made */
    json_append(array, &missing);
    json_set(root, "list", &array);
    assert_int_equal(json_print(root, &out), ERR_MEMORY);
    assert_int_equal(buffer_length(&out), 0);
    json_free(&root); /* LeakSanitizer sees whether all of it goes */

    root = json_object_new();
    json_set(root, "a", &missing);
    assert_int_equal(json_print(root, &out), ERR_MEMORY);
    struct json *outer = json_object_new();
    json_set(outer, "b", &root);
    json_set_string(outer, "b", "in place of the incomplete one");
    assert_int_equal(json_print(outer, &out), ERR_MEMORY);
    json_free(&outer);

    assert_int_equal(json_print(NULL, &out), ERR_MEMORY);
    struct json *value = json_object_new();
    json_set(NULL, "a", &value);
    assert_null(value);
    value = json_object_new();
    json_append(NULL, &value);
    assert_null(value);
    json_set_text(NULL, "a", SLICE("a"));
    json_append_text(NULL, SLICE("a"));
    buffer_free(&out);
}

static size_t allocations_left;

static void *failing_malloc(size_t size)
{
    return allocations_left == 0 ? NULL : (allocations_left--, malloc(size));
}

static struct json *build_some(void)
{
    struct json *root = json_object_new(), *array = json_array_new();
    for (int i = 0; i < 20; i++) {
        struct json *item = json_object_new();
        json_set_number(item, "n", i);
        json_set_text(item, "text", SLICE("text"));
        json_append(array, &item);
        json_append_text(array, SLICE("text"));
    }
    json_set(root, "list", &array);
    json_set_flag(root, "flag", true);
    return root;
}

/* Whichever allocation fails, the answer is either ERR_MEMORY or the whole text. */
static void test_every_allocation_fails_once(void **state)
{
    (void)state;
    struct buffer whole, out;
    buffer_init(&whole, 10000);
    buffer_init(&out, 10000);
    struct json *json = build_some();
    assert_int_equal(json_print(json, &whole), ERR_NONE);
    json_free(&json);

    size_t count = 0;
    enum err err = ERR_MEMORY;
    json_set_alloc_funcs(failing_malloc, free);
    for (; err != ERR_NONE && count < 10000; count++) {
        allocations_left = count;
        buffer_clear(&out);
        json = build_some();
        allocations_left = SIZE_MAX;
        err = json_print(json, &out);
        json_free(&json);
        assert_true(err == ERR_NONE || err == ERR_MEMORY);
    }
    assert_true(count > 50);
    check_slice("whole", buffer_slice(&out), buffer_slice(&whole));

    err = ERR_MEMORY;
    for (count = 0; err != ERR_NONE && count < 10000; count++) {
        allocations_left = count;
        err = json_parse(buffer_slice(&whole), &json);
        allocations_left = SIZE_MAX;
        assert_true((err == ERR_NONE) == (json != NULL));
        assert_true(count > 0 || err == ERR_MEMORY);
        json_free(&json);
    }
    assert_true(count > 50);
    json_set_alloc_funcs(malloc, free);
    buffer_free(&whole);
    buffer_free(&out);
}

static void test_the_limit_of_the_buffer(void **state)
{
    (void)state;
    struct json *root = parsed("{\"a\":[1,2,3]}");
    for (size_t limit = 0; limit <= 13; limit++) {
        struct buffer out;
        buffer_init(&out, limit);
        assert_int_equal(json_print(root, &out), limit == 13 ? ERR_NONE : ERR_LIMIT);
        buffer_free(&out);
    }
    json_free(&root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_building),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_walking),
        cmocka_unit_test(test_syntax),
        cmocka_unit_test(test_measures),
        cmocka_unit_test(test_what_was_printed_is_read),
        cmocka_unit_test(test_failures_are_remembered),
        cmocka_unit_test(test_every_allocation_fails_once),
        cmocka_unit_test(test_the_limit_of_the_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
