#include "base/text.h"
#include "test/unit/check.h"

static void test_hex(void **state)
{
    (void)state;
    char out[8];
    check_slice("hex", text_hex("\x00\x1f\xa0\xff", 4, out, sizeof out), SLICE("001fa0ff"));
    check_slice("nothing", text_hex("", 0, out, 0), SLICE(""));
}

/* RFC 4648 section 10, and what a strict reader must refuse (section 3). */
static void test_base64(void **state)
{
    static const struct {
        const char *name;
        struct slice bytes, text;
    } cases[] = {
        {"empty", {"", 0}, {"", 0}},
        {"f", {"f", 1}, {"Zg==", 4}},
        {"fo", {"fo", 2}, {"Zm8=", 4}},
        {"foo", {"foo", 3}, {"Zm9v", 4}},
        {"foobar", {"foobar", 6}, {"Zm9vYmFy", 8}},
        {"fooba", {"fooba", 5}, {"Zm9vYmE=", 8}},
        {"all digits", {"\x00\x10\x83\xfb\xef\xbe\xff\xff\xff", 9}, {"ABCD++++////", 12}},
        {"a SASL answer", {"\0user\0pass", 10}, {"AHVzZXIAcGFzcw==", 16}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 100);
        check_number(cases[i].name, text_base64_encode(cases[i].bytes, &out), ERR_NONE);
        check_slice(cases[i].name, buffer_slice(&out), cases[i].text);
        buffer_clear(&out);
        check_number(cases[i].name, text_base64_decode(cases[i].text, &out), ERR_NONE);
        check_slice(cases[i].name, buffer_slice(&out), cases[i].bytes);
        buffer_free(&out);
    }
}

static void test_bad_base64(void **state)
{
    static const char *const cases[] = {"Z",    "Zg",       "Zg=",      "Zg===",      "====", "Z===",   "=Zg=",
                                        "Zh==", "Zm9=",     "Zg==Zg==", "Zm8=Zm8=",   "Zm 9", "Zm9v\n", "Zm9-",
                                        "Zm9_", "Zm9vZm9*", "Zg=v",     "\xc3\xa4==", "Zm9vZ"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 100);
        buffer_add(&out, SLICE("before"));
        check_number(cases[i], text_base64_decode(slice_of(cases[i]), &out), ERR_SYNTAX);
        check_slice(cases[i], buffer_slice(&out), SLICE("before"));
        buffer_free(&out);
    }
    struct buffer out;
    buffer_init(&out, 100);
    check_number("NUL", text_base64_decode(SLICE("Zm9\0"), &out), ERR_SYNTAX);
    buffer_free(&out);
    buffer_init(&out, 5);
    check_number("limit of the buffer", text_base64_decode(SLICE("Zm9vYmFy"), &out), ERR_LIMIT);
    buffer_free(&out);
    buffer_init(&out, 3);
    check_number("limit of the buffer", text_base64_encode(SLICE("a"), &out), ERR_LIMIT);
    buffer_free(&out);
    buffer_init(&out, 1);
    check_number("room enough", text_base64_decode(SLICE("Zg=="), &out), ERR_NONE);
    buffer_free(&out);
}

static void test_base64_digits(void **state)
{
    (void)state;
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int byte = 0; byte < 256; byte++) {
        char text[4] = {'A', 'A', 'A', (char)byte};
        const char *digit = memchr(digits, byte, 64);
        struct buffer out;
        buffer_init(&out, 100);
        enum err err = text_base64_decode(slice_make(text, 4), &out);
        check_number("digit", err, digit != NULL || byte == '=' ? ERR_NONE : ERR_SYNTAX);
        if (digit != NULL)
            check_number("value", buffer_slice(&out).data[2], digit - digits);
        buffer_free(&out);
    }
}

static void test_base64_round_trip(void **state)
{
    (void)state;
    char bytes[300];
    struct buffer text, back;
    buffer_init(&text, 1000);
    buffer_init(&back, 1000);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 73);
    for (size_t length = 0; length <= sizeof bytes; length++) {
        buffer_clear(&text);
        buffer_clear(&back);
        assert_int_equal(text_base64_encode(slice_make(bytes, length), &text), ERR_NONE);
        assert_int_equal(buffer_length(&text), (length + 2) / 3 * 4);
        assert_int_equal(text_base64_decode(buffer_slice(&text), &back), ERR_NONE);
        check_slice("round trip", buffer_slice(&back), slice_make(bytes, length));
    }
    buffer_free(&text);
    buffer_free(&back);
}

static void test_utf8(void **state)
{
    static const struct {
        const char *name;
        struct slice text;
        bool valid;
    } cases[] = {
        {"empty", {"", 0}, true},
        {"ASCII", {"abc", 3}, true},
        {"NUL", {"\0", 1}, true},
        {"two bytes", {"\xc3\xa4", 2}, true},
        {"three bytes", {"\xe2\x82\xac", 3}, true},
        {"four bytes", {"\xf0\x9f\x93\xa8", 4}, true},
        {"smallest of two", {"\xc2\x80", 2}, true},
        {"smallest of three", {"\xe0\xa0\x80", 3}, true},
        {"smallest of four", {"\xf0\x90\x80\x80", 4}, true},
        {"largest", {"\xf4\x8f\xbf\xbf", 4}, true},
        {"before the surrogates", {"\xed\x9f\xbf", 3}, true},
        {"overlong of two", {"\xc0\x80", 2}, false},
        {"overlong of two, largest", {"\xc1\xbf", 2}, false},
        {"overlong of three", {"\xe0\x9f\xbf", 3}, false},
        {"overlong of four", {"\xf0\x8f\xbf\xbf", 4}, false},
        {"surrogate", {"\xed\xa0\x80", 3}, false},
        {"above the last", {"\xf4\x90\x80\x80", 4}, false},
        {"five bytes", {"\xf8\x88\x80\x80\x80", 5}, false},
        {"lone continuation", {"\x80", 1}, false},
        {"cut off after one", {"a\xc3", 2}, false},
        {"cut off after two", {"\xe2\x82", 2}, false},
        {"cut off after three", {"\xf0\x9f\x93", 3}, false},
        {"interrupted", {"\xe2(\xac", 3}, false},
        {"ff", {"\xff", 1}, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_number(cases[i].name, text_is_utf8(cases[i].text), cases[i].valid);

    struct slice rest = SLICE("\xe2\x82\xac\xffz");
    uint32_t character = 0;
    assert_true(text_utf8_next(&rest, &character));
    assert_int_equal(character, 0x20ac);
    assert_false(text_utf8_next(&rest, &character));
    check_slice("one byte is taken", rest, SLICE("z"));
    assert_true(text_utf8_next(&rest, &character));
    assert_int_equal(character, 'z');
    assert_int_equal(rest.length, 0);
}

static void test_json_contents(void **state)
{
    static const struct {
        const char *name;
        struct slice text;
        const char *json;
    } cases[] = {
        {"plain", {"abc /", 5}, "abc /"},
        {"empty", {"", 0}, ""},
        {"quotes", {"\"\\", 2}, "\\\"\\\\"},
        {"short escapes", {"\r\n\t", 3}, "\\r\\n\\t"},
        {"controls", {"\0\x1b\x1f", 3}, "\\u0000\\u001b\\u001f"},
        {"DEL and C1", {"\x7f\xc2\x80\xc2\x9f\xc2\xa0", 7}, "\\u007f\\u0080\\u009f\xc2\xa0"},
        {"line separators", {"\xe2\x80\xa8\xe2\x80\xa9", 6}, "\\u2028\\u2029"},
        {"UTF-8 passes", {"\xc3\xa4\xf0\x9f\x93\xa8", 6}, "\xc3\xa4\xf0\x9f\x93\xa8"},
        {"invalid", {"a\xff\xc3", 3}, "a\xef\xbf\xbd\xef\xbf\xbd"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 100);
        text_json(&out, cases[i].text);
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].json));
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_bad_base64),
        cmocka_unit_test(test_base64_digits),
        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_json_contents),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
