#include "smtp/message.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

static void *scan_start(void)
{
    struct smtp_header_scan *scan = calloc(1, sizeof *scan);
    assert_non_null(scan);
    smtp_header_scan_init(scan);
    return scan;
}

static void scan_feed(void *machine, struct slice part, struct buffer *events)
{
    (void)events;
    smtp_header_scan_feed(machine, part);
}

static void scan_finish(void *machine, struct buffer *events)
{
    struct smtp_header_scan *scan = machine;
    buffer_print(events, "received=%u%s%s%s%s%s%s%s%s%s", scan->received_count, scan->has_date ? " date" : "",
                 scan->has_message_id ? " message-id" : "", scan->has_from ? " from" : "",
                 scan->has_sender ? " sender" : "", scan->has_dkim_signature ? " dkim" : "", scan->has_to ? " to" : "",
                 scan->has_cc ? " cc" : "", scan->has_bcc ? " bcc" : "", scan->done ? " done" : "");
    free(scan);
}

static const struct split_machine scanner = {scan_start, scan_feed, scan_finish};

static void test_scan(void **state)
{
    static const struct {
        const char *name, *input, *found;
    } cases[] = {
        {"nothing", "", "received=0"},
        {"no header", "\r\nReceived: x\r\n", "received=0 done"},
        {"all",
         "Received: a\r\nReceived: b\r\nDate: c\r\nMessage-ID: d\r\nFrom: e\r\nSender: f\r\nDKIM-Signature: g\r\n"
         "To: h\r\nCc: i\r\nBcc: j\r\nX-Date: k\r\n\r\nReceived: l\r\n",
         "received=2 date message-id from sender dkim to cc bcc done"},
        {"case", "RECEIVED:a\r\nreceived:b\r\nfrom:c\r\n", "received=2 from"},
        {"folded lines are no fields", "X: a\r\n Received: b\r\n\tFrom: c\r\n Date: d\r\n\r\n", "received=0 done"},
        {"blanks before the colon", "Received : a\r\nFrom\t: b\r\n\r\n", "received=1 from done"},
        {"a word too many", "Received x: a\r\n\r\n", "received=0 done"},
        {"parts of names", "Receive: a\r\nReceivedx: b\r\nXReceived: c\r\n\r\n", "received=0 done"},
        {"a name too long to matter", "Received-but-then-a-name-of-more-than-32-bytes: a\r\n\r\n", "received=0 done"},
        {"no colon", "Received\r\nFrom: a\r\n\r\n", "received=0 from done"},
        {"a line of a blank is no end", "From: a\r\n \r\nTo: b\r\n\r\n", "received=0 from to done"},
        {"an empty name", ": a\r\nTo: b\r\n", "received=0 to"},
        {"unfinished", "From: a\r\nTo", "received=0 from"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, slice_of(cases[i].input), &scanner, cases[i].found);
}

static void test_fields(void **state)
{
    static const struct {
        const char *name, *input, *fields, *rest;
    } cases[] = {
        {"two", "A: b\r\nC:d\r\n\r\nbody", "(A| b)(C|d)", "\r\nbody"},
        {"folded", "A: b\r\n c\r\n\td\r\nE: f\r\n", "(A| b\r\n c\r\n\td)(E| f)", ""},
        {"no line end", "A: b", "(A| b)", ""},
        {"blank before the colon", "A : b\r\n", "(A| b)", ""},
        {"no colon", "what\r\nA: b\r\n", "(|what)(A| b)", ""},
        {"colon in a folded line only", "what\r\n x: y\r\n", "(|what\r\n x: y)", ""},
        {"folded before anything", " A: b\r\nC: d\r\n", "(| A: b)(C| d)", ""},
        {"empty name", ": b\r\n", "(|: b)", ""},
        {"empty body", "A:\r\nB: \r\n", "(A|)(B| )", ""},
        {"nothing", "", "", ""},
        {"no header", "\r\nA: b\r\n", "", "\r\nA: b\r\n"},
        {"LF", "A: b\nC: d\n\nbody", "(A| b)(C| d)", "\nbody"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice section = slice_of(cases[i].input);
        struct smtp_header_field field;
        struct buffer got;
        size_t length = 0;
        buffer_init(&got, 4096);
        while (smtp_header_next(&section, &field)) {
            buffer_print(&got, "(%.*s|%.*s)", SLICE_ARGS(field.name), SLICE_ARGS(field.body));
            length += field.whole.length;
        }
        check_slice(cases[i].name, buffer_slice(&got), slice_of(cases[i].fields));
        check_slice(cases[i].name, section, slice_of(cases[i].rest));
        check_number(cases[i].name, length + section.length, strlen(cases[i].input));
        buffer_free(&got);
    }
}

static void test_section_length(void **state)
{
    static const struct {
        const char *message;
        size_t length;
    } cases[] = {
        {"A: b\r\n\r\nbody\r\n", 8}, {"A: b\r\n\r\n", 8}, {"A: b\r\n", 6}, {"A: b", 4}, {"\r\nbody", 2}, {"", 0},
        {"A: b\r\n \r\n\r\nx", 11},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_number(cases[i].message, smtp_header_section_length(slice_of(cases[i].message)), cases[i].length);
}

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }

static void test_received(void **state)
{
    static const struct {
        const char *name;
        struct smtp_trace trace;
        const char *field;
    } cases[] = {
        {"all",
         {BYTES("c.example"), BYTES("[192.0.2.1]"), BYTES("mx.example"), BYTES("ESMTPS"),
          BYTES("TLSv1.3 TLS_AES_128_GCM_SHA256"), BYTES("6A0011223344"), BYTES("b@d.example"), 0},
         "Received: from c.example ([192.0.2.1])\r\n\tby mx.example with ESMTPS\r\n"
         "\t(TLSv1.3 TLS_AES_128_GCM_SHA256)\r\n\tid 6A0011223344\r\n\tfor <b@d.example>;\r\n"
         "\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
        {"local",
         {BYTES(""), BYTES("uid 1000"), BYTES("mx.example"), BYTES("local"), BYTES(""), BYTES("6A"), BYTES(""), 0},
         "Received: by mx.example (uid 1000) with local\r\n\tid 6A;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
        {"IPv6",
         {BYTES("[IPv6:2001:db8::1]"), BYTES("[IPv6:2001:db8::1]"), BYTES("mx"), BYTES("SMTP"), BYTES(""), BYTES("6A"),
          BYTES(""), 0},
         "Received: from [IPv6:2001:db8::1] ([IPv6:2001:db8::1])\r\n\tby mx with SMTP\r\n\tid 6A;\r\n"
         "\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
        {"internationalised",
         {BYTES("c"), BYTES("[1]"), BYTES("mx"), BYTES("UTF8SMTPS"), BYTES(""), BYTES("6A"), BYTES("j\xc3\xb6rg\r@d"), 0},
         "Received: from c ([1])\r\n\tby mx with UTF8SMTPS\r\n\tid 6A\r\n\tfor <j\xc3\xb6rg?@d>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
        {"bytes that came without SMTPUTF8",
         {BYTES("c"), BYTES("[1]"), BYTES("mx"), BYTES("ESMTP"), BYTES(""), BYTES("6A"), BYTES("j\xc3\xb6rg@d"), 0},
         "Received: from c ([1])\r\n\tby mx with ESMTP\r\n\tid 6A\r\n\tfor <j??rg@d>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
        {"what would be a line or a comment is none",
         {BYTES("a\r\nX: y(z\\"), BYTES("[1]) by evil"), BYTES("mx"), BYTES("SMTP"), BYTES("a)\r\nb"), BYTES("6\r\nA"),
          BYTES("b\r\n@d"), 0},
         "Received: from a??X:?y?z? ([1]? by evil)\r\n\tby mx with SMTP\r\n\t(a???b)\r\n\tid 6??A\r\n"
         "\tfor <b??@d>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 65536);
        smtp_message_received(&out, &cases[i].trace);
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].field));
        buffer_free(&out);
    }
}

/* What we write we count: the loop check depends on it. */
static void test_received_is_counted(void **state)
{
    (void)state;
    char hello[2000];
    memset(hello, 'h', sizeof hello);
    struct smtp_trace trace = {.hello = slice_make(hello, sizeof hello),
                               .address = SLICE("[192.0.2.1]"),
                               .hostname = SLICE("mx.example"),
                               .with = SLICE("ESMTP"),
                               .tls = SLICE_EMPTY,
                               .id = SLICE("6A"),
                               .recipient = slice_make(hello, sizeof hello)};
    struct buffer out;
    struct smtp_header_scan scan;
    buffer_init(&out, 65536);
    for (int i = 0; i < 3; i++)
        smtp_message_received(&out, &trace);
    smtp_header_scan_init(&scan);
    smtp_header_scan_feed(&scan, buffer_slice(&out));
    assert_int_equal(scan.received_count, 3);
    struct slice rest = buffer_slice(&out), line;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line))
        check_true("line length", line.length <= 999);
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_section_length),
        cmocka_unit_test(test_received),
        cmocka_unit_test(test_received_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
