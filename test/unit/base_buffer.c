#include "base/buffer.h"
#include "test/unit/check.h"

static void test_queue_of_bytes(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 10);
    check_slice("new", buffer_slice(&buffer), SLICE(""));
    buffer_add(&buffer, SLICE("abcdef"));
    buffer_consume(&buffer, 2);
    buffer_add_byte(&buffer, 'g');
    check_slice("consumed and added", buffer_slice(&buffer), SLICE("cdefg"));
    check_number("length", buffer_length(&buffer), 5);
    check_number("room", buffer_room(&buffer), 5);
    buffer_truncate(&buffer, 3);
    check_slice("truncated", buffer_slice(&buffer), SLICE("cde"));
    buffer_consume(&buffer, 3);
    check_number("emptied", buffer_length(&buffer), 0);
    assert_false(buffer_failed(&buffer));
    buffer_free(&buffer);
}

static void test_the_error_is_sticky(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 4);
    buffer_add(&buffer, SLICE("abc"));
    buffer_add(&buffer, SLICE("de"));
    assert_true(buffer_failed(&buffer));
    check_slice("all or nothing", buffer_slice(&buffer), SLICE("abc"));
    buffer_add(&buffer, SLICE("d"));
    check_slice("sticky", buffer_slice(&buffer), SLICE("abc"));
    assert_null(buffer_space(&buffer, 1));
    buffer_print(&buffer, "x");
    check_slice("sticky for print", buffer_slice(&buffer), SLICE("abc"));
    buffer_clear(&buffer);
    assert_false(buffer_failed(&buffer));
    buffer_add(&buffer, SLICE("wxyz"));
    check_slice("exactly full", buffer_slice(&buffer), SLICE("wxyz"));
    assert_false(buffer_failed(&buffer));
    buffer_free(&buffer);
    assert_false(buffer_failed(&buffer));
}

static void test_printing(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 8);
    buffer_print(&buffer, "%s%d", "ab", 12);
    buffer_print(&buffer, "%s", "cdef"); /* exactly full: the NUL behind it does not count */
    check_slice("printed", buffer_slice(&buffer), SLICE("ab12cdef"));
    assert_false(buffer_failed(&buffer));
    buffer_print(&buffer, "%s", "");
    assert_false(buffer_failed(&buffer));
    buffer_print(&buffer, "g");
    assert_true(buffer_failed(&buffer));
    buffer_free(&buffer);
}

/* Against a plain array: whatever is added and consumed, the bytes that are held are the right ones. */
static void test_long_use(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 5000);
    size_t added = 0, consumed = 0;
    for (size_t round = 0; round < 20000; round++) {
        size_t length = round * 37 % 211;
        char *space = buffer_room(&buffer) >= length ? buffer_space(&buffer, length) : NULL;
        if (space != NULL) {
            for (size_t i = 0; i < length; i++)
                space[i] = (char)((added + i) % 251);
            buffer_added(&buffer, length);
            added += length;
        }
        size_t out = round * 53 % 199;
        out = out < buffer_length(&buffer) ? out : buffer_length(&buffer);
        struct slice held = buffer_slice(&buffer);
        for (size_t i = 0; i < out; i++)
            assert_int_equal((unsigned char)held.data[i], (consumed + i) % 251);
        buffer_consume(&buffer, out);
        consumed += out;
        assert_int_equal(buffer_length(&buffer), added - consumed);
    }
    assert_false(buffer_failed(&buffer));
    assert_true(buffer.capacity <= 16384);
    assert_true(added > 1000000);
    buffer_free(&buffer);
}

static void test_records(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 100);
    buffer_add_u8(&buffer, 0xfe);
    buffer_add_u16(&buffer, 0x0102);
    buffer_add_u32(&buffer, 0xf0e0d0c0);
    buffer_add_u64(&buffer, 0x8102030405060708);
    buffer_add_block(&buffer, SLICE("ab"));
    buffer_add_block(&buffer, SLICE_EMPTY);
    check_slice("big endian", buffer_slice(&buffer),
                SLICE("\xfe\x01\x02\xf0\xe0\xd0\xc0\x81\x02\x03\x04\x05\x06\x07\x08\0\0\0\x02"
                      "ab\0\0\0\0"));

    struct reader reader = reader_of(buffer_slice(&buffer));
    check_number("u8", reader_u8(&reader), 0xfe);
    check_number("u16", reader_u16(&reader), 0x0102);
    check_number("u32", reader_u32(&reader), 0xf0e0d0c0);
    assert_true(reader_u64(&reader) == 0x8102030405060708);
    check_slice("block", reader_block(&reader), SLICE("ab"));
    assert_false(reader_done(&reader));
    check_slice("empty block", reader_block(&reader), SLICE(""));
    assert_true(reader_done(&reader));
    check_number("beyond the end", reader_u8(&reader), 0);
    assert_true(reader.failed);
    assert_false(reader_done(&reader));
    buffer_free(&buffer);
}

static void test_every_cut_record_fails(void **state)
{
    (void)state;
    struct slice record = SLICE("\0\0\0\x03"
                                "abc\x12\x34");
    for (size_t length = 0; length <= record.length; length++) {
        struct reader reader = reader_of(slice_to(record, length));
        struct slice block = reader_block(&reader);
        uint16_t number = reader_u16(&reader);
        assert_int_equal(reader_done(&reader), length == record.length);
        assert_int_equal(block.length, length >= 7 ? 3 : 0);
        assert_int_equal(number, length == record.length ? 0x1234 : 0);
    }
    struct reader reader = reader_of(SLICE("\xff\xff\xff\xff"
                                           "abc"));
    check_slice("a length beyond the end", reader_block(&reader), SLICE(""));
    assert_true(reader.failed);
}

static void test_a_block_is_whole_or_absent(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 6);
    buffer_add_block(&buffer, SLICE("abc"));
    assert_true(buffer_failed(&buffer));
    check_number("nothing of it", buffer_length(&buffer), 0);
    buffer_clear(&buffer);
    buffer_add_block(&buffer, SLICE("ab"));
    assert_false(buffer_failed(&buffer));
    buffer_free(&buffer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_of_bytes),
        cmocka_unit_test(test_the_error_is_sticky),
        cmocka_unit_test(test_printing),
        cmocka_unit_test(test_long_use),
        cmocka_unit_test(test_records),
        cmocka_unit_test(test_every_cut_record_fails),
        cmocka_unit_test(test_a_block_is_whole_or_absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
