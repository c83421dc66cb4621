/* Sizes, cleaning, likeness and hashes. Times are in base_text_time.c, encodings in base_text_encode.c. */
#include "base/text.h"
#include "test/unit/check.h"

static void test_printing_is_cut_at_the_capacity(void **state)
{
    (void)state;
    char out[5];
    check_slice("fits", text_print(out, sizeof out, "%d", 1234), SLICE("1234"));
    check_slice("cut", text_print(out, sizeof out, "%d", 123456), SLICE("1234"));
    check_number("NUL", out[4], 0);
    check_slice("no room", text_print(out, 1, "abc"), SLICE(""));
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        uint64_t bytes;
    } cases[] = {
        {"0", ERR_NONE, 0},
        {"512", ERR_NONE, 512},
        {"1K", ERR_NONE, 1024},
        {"50M", ERR_NONE, 52428800},
        {"16G", ERR_NONE, UINT64_C(17179869184)},
        {"2T", ERR_NONE, UINT64_C(2199023255552)},
        {"3k", ERR_NONE, 3072},
        {"0G", ERR_NONE, 0},
        {"18446744073709551615", ERR_NONE, UINT64_MAX},
        {"18446744073709551616", ERR_LIMIT, 0},
        {"16777215T", ERR_NONE, UINT64_C(16777215) << 40},
        {"16777216T", ERR_LIMIT, 0},
        {"", ERR_SYNTAX, 0},
        {"M", ERR_SYNTAX, 0},
        {"-1", ERR_SYNTAX, 0},
        {"1.5G", ERR_SYNTAX, 0},
        {"10MB", ERR_SYNTAX, 0},
        {"10 M", ERR_SYNTAX, 0},
        {" 10", ERR_SYNTAX, 0},
        {"99999999999999999999x", ERR_SYNTAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint64_t bytes = 0;
        check_number(cases[i].text, text_size_parse(slice_of(cases[i].text), &bytes), cases[i].err);
        check_true(cases[i].text, bytes == cases[i].bytes);
    }
}

static void test_cleaning(void **state)
{
    static const struct {
        const char *name, *text;
        size_t limit;
        const char *cleaned;
    } cases[] = {
        {"harmless", "250 2.0.0 ok", 100, "250 2.0.0 ok"},
        {"controls", "a\r\nb\tc\x1b[31m\x7f", 100, "a??b?c?[31m?"},
        {"not ASCII", "\xc3\xa4\xff", 100, "???"},
        {"exactly the limit", "abcdef", 6, "abcdef"},
        {"cut", "abcdefg", 6, "abc..."},
        {"a limit as long as the dots", "abcdefg", 3, "..."},
        {"a limit shorter than the dots", "abcdefg", 2, ".."},
        {"no limit left", "abcdefg", 0, ""},
        {"empty", "", 5, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 100);
        text_clean(&out, slice_of(cases[i].text), cases[i].limit);
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].cleaned));
        buffer_free(&out);
    }
    struct buffer out;
    buffer_init(&out, 2);
    text_clean(&out, SLICE("abc"), 10);
    assert_true(buffer_failed(&out));
    buffer_free(&out);
}

static void test_ascii(void **state)
{
    (void)state;
    assert_true(text_is_ascii(SLICE("\x01 abc\x7f")));
    assert_true(text_is_ascii(SLICE_EMPTY));
    assert_false(text_is_ascii(SLICE("a\0b")));
    assert_false(text_is_ascii(SLICE("\x80")));
}

static void test_nearest(void **state)
{
    static const char *const candidates[] = {"hostname", "listen", "message-size-max", "size-max", "expire"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"hostnam", "hostname"},
        {"hotsname", "hostname"}, /* a swap is one slip */
        {"Listen", "listen"},
        {"lsiten", "listen"},
        {"size_max", "size-max"},
        {"message-max-size", NULL},
        {"expires", "expire"},
        {"expunge", NULL},
        {"xyz", NULL},
        {"", NULL},
        {"ab", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *nearest = text_nearest(slice_of(cases[i].word), candidates, COUNT_OF(candidates));
        check_slice(cases[i].word, slice_of(nearest), slice_of(cases[i].nearest));
    }
    assert_null(text_nearest(SLICE("a"), NULL, 0));
}

static void test_eight_bit(void **state)
{
    (void)state;
    char text[40] = {0};
    assert_false(text_has_eight_bit(SLICE_EMPTY));
    for (size_t length = 1; length <= sizeof text; length++) {
        memset(text, 0x7f, sizeof text);
        assert_false(text_has_eight_bit(slice_make(text, length)));
        for (size_t at = 0; at < sizeof text; at++) {
            memset(text, 0, sizeof text);
            text[at] = (char)0x80;
            assert_int_equal(text_has_eight_bit(slice_make(text, length)), at < length);
        }
    }
}

static uint32_t slow_crc32c(struct slice bytes)
{
    uint32_t crc = 0xffffffff;
    for (size_t i = 0; i < bytes.length; i++) {
        crc ^= (uint8_t)bytes.data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void test_crc32c(void **state)
{
    (void)state;
    char bytes[600];
    memset(bytes, 0, 32);
    check_number("check value", text_crc32c(SLICE("123456789")), 0xe3069283);
    check_number("32 zero bytes (RFC 3720 B.4)", text_crc32c(slice_make(bytes, 32)), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    check_number("32 bytes of ones (RFC 3720 B.4)", text_crc32c(slice_make(bytes, 32)), 0x62a8ab43);
    check_number("nothing", text_crc32c(SLICE_EMPTY), 0);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * i * 31 + i / 7);
    for (size_t offset = 0; offset < 9; offset++)
        for (size_t length = 0; length + offset <= sizeof bytes; length++) {
            struct slice part = slice_make(bytes + offset, length);
            assert_int_equal(text_crc32c(part), slow_crc32c(part));
            assert_int_equal(text_crc32c_by_table(part), slow_crc32c(part));
        }
}

/* The vectors of the SipHash paper: key 00 01 .. 0f, messages 00 01 .. of each length. */
static void test_siphash(void **state)
{
    static const uint64_t expected[] = {
        0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
        0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
        0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
        0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5,
    };
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    (void)state;
    char message[COUNT_OF(expected)];
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        message[i] = (char)i;
        assert_true(text_siphash(key, slice_make(message, i)) == expected[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_printing_is_cut_at_the_capacity),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_cleaning),
        cmocka_unit_test(test_ascii),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_eight_bit),
        cmocka_unit_test(test_crc32c),
        cmocka_unit_test(test_siphash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
