#include "relay/digest_list.h"

#include "test/unit/check.h"

#define HOUR DIGEST_INTERVAL_MS

static const struct digest_item item = {
    .time_ms = 0,
    .id = SLICE_INIT("6A01"),
    .origin = SLICE_INIT("report on 6A00"),
    .sender = SLICE_INIT(""),
    .recipient = SLICE_INIT("ann@b.example"),
    .text = SLICE_INIT("550 5.1.1 no \x1b such\r\nuser"),
};

static void test_due(void **state)
{
    static const struct {
        const char *name;
        int64_t sent_ms, now_ms, due_ms;
        uint64_t count;
    } cases[] = {
        {"nothing to say", 0, 1000, INT64_MAX, 0},
        {"nothing to say since", 500, 1000, INT64_MAX, 0},
        {"the first one", 0, 1000, 1000, 1},
        {"within the hour", 1000, 2000, 1000 + HOUR, 3},
        {"at the hour", 1000, 1000 + HOUR, 1000 + HOUR, 3},
        {"late", 1000, 5 * HOUR, 5 * HOUR, 3},
        {"a clock that was set back", 100 * HOUR, HOUR, 2 * HOUR, 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct digest_list list;
        digest_list_init(&list);
        list.sent_ms = cases[i].sent_ms;
        for (uint64_t j = 0; j < cases[i].count; j++)
            digest_list_add(&list, &item);
        check_number(cases[i].name, digest_list_due_ms(&list, cases[i].now_ms), cases[i].due_ms);
        digest_list_free(&list);
    }
}

static void test_sent(void **state)
{
    struct digest_list list;
    (void)state;
    digest_list_init(&list);
    digest_list_add(&list, &item);
    digest_list_sent(&list, 77);
    assert_int_equal(list.sent_ms, 77);
    assert_int_equal(list.count + list.kept + buffer_length(&list.items), 0);
    digest_list_add(&list, &item);
    assert_int_equal(list.kept, 1);
    digest_list_free(&list);
}

static void print(const struct digest_list *list, struct buffer *out)
{
    struct digest_letter letter = {.hostname = SLICE("r.example"), .id = SLICE("6A02"), .to = SLICE("pm@d.example"), .date_ms = 0};
    buffer_clear(out);
    digest_list_print(list, &letter, out);
}

/* What was stored says the same again, and damage is seen, at whatever byte it ends. */
static void test_stored(void **state)
{
    struct digest_list list, again;
    struct buffer bytes, said, said_again;
    (void)state;
    buffer_init(&bytes, 1 << 20);
    buffer_init(&said, 1 << 20);
    buffer_init(&said_again, 1 << 20);
    digest_list_init(&list);
    list.sent_ms = 12345;
    for (int i = 0; i < 3; i++)
        digest_list_add(&list, &item);
    digest_list_encode(&list, &bytes);
    assert_int_equal(digest_list_decode(buffer_slice(&bytes), &again), ERR_NONE);
    assert_int_equal(again.sent_ms, 12345);
    print(&list, &said);
    print(&again, &said_again);
    check_slice("said again", buffer_slice(&said_again), buffer_slice(&said));
    digest_list_free(&again);
    for (size_t length = 0; length < buffer_length(&bytes); length++) {
        assert_int_equal(digest_list_decode(slice_to(buffer_slice(&bytes), length), &again), ERR_CORRUPT);
        assert_int_equal(again.count, 0);
        digest_list_free(&again);
    }
    digest_list_free(&list);
    buffer_free(&bytes);
    buffer_free(&said);
    buffer_free(&said_again);
}

static void test_many(void **state)
{
    struct digest_list list;
    struct buffer out;
    char text[5000];
    struct digest_item large = item;
    (void)state;
    memset(text, 'x', sizeof text);
    large.text = large.recipient = large.origin = large.sender = slice_make(text, sizeof text);
    digest_list_init(&list);
    buffer_init(&out, 1 << 20);
    for (int i = 0; i < 1000; i++)
        digest_list_add(&list, &large);
    assert_int_equal(list.count, 1000);
    assert_int_equal(list.kept, DIGEST_ITEMS_MAX);
    print(&list, &out);
    assert_false(buffer_failed(&out));
    assert_true(slice_ends(buffer_slice(&out), SLICE("And 900 more: see the log, event=report_undeliverable.\r\n")));
    struct slice rest = buffer_slice(&out), line;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line))
        assert_true(line.length < 500);
    digest_list_free(&list);
    buffer_free(&out);
}

static void test_printed(void **state)
{
    static const char expected[] =
        "From: Mail Delivery System <MAILER-DAEMON@r.example>\r\nTo: <pm@d.example>\r\n"
        "Subject: 1 message failed, and nobody could be told\r\n"
        "Date: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <6A02@r.example>\r\n"
        "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
        "This is the mail system at r.example.\r\n\r\n"
        "The messages below could not be delivered, and there is no sender who could be told: mostly they\r\n"
        "are reports themselves. Nothing more will be tried. This digest comes at most once an hour.\r\n\r\n"
        "ann@b.example\r\n   when: Thu, 1 Jan 1970 00:00:00 +0000\r\n   message: 6A01\r\n   from: <>\r\n"
        "   came as: report on 6A00\r\n   why: 550 5.1.1 no ? such??user\r\n";
    struct digest_list list;
    struct buffer out;
    (void)state;
    digest_list_init(&list);
    buffer_init(&out, 1 << 20);
    digest_list_add(&list, &item);
    print(&list, &out);
    check_slice("printed", buffer_slice(&out), slice_of(expected));
    digest_list_free(&list);
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_due),  cmocka_unit_test(test_sent),    cmocka_unit_test(test_stored),
        cmocka_unit_test(test_many), cmocka_unit_test(test_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
