#include "smtp/dsn.h"

#include "smtp/content.h"
#include "smtp/message.h"
#include "test/unit/check.h"

static const struct smtp_dsn_recipient failed = {
    .address = {"bob@d.example", 13},
    .orcpt = {"rfc822;bob+2Bx@d.example", 24},
    .action = SMTP_DSN_FAILED,
    .status = {5, 1, 1},
    .remote_host = {"mx.d.example", 12},
    .diagnostic = {"550 5.1.1 no such user", 22},
    .advice = {"Check the address.", 18},
    .last_attempt_ms = 1000,
};
static const struct smtp_dsn basic = {
    .hostname = {"relay.example", 13},
    .id = {"6A00000000B1", 12},
    .reported_id = {"6A00000000A1", 12},
    .sender = {"alice@c.example", 15},
    .envid = {"env+2B1", 7},
    .arrival_ms = 1000,
    .date_ms = 60000,
    .recipients = &failed,
    .recipient_count = 1,
    .returned = {"Subject: hi\r\nMessage-ID: <1@c.example>\r\n\r\nbody\r\n", 48},
};

/* The report, having checked what holds for every one: CRLF lines, none too long, 7-bit unless it says otherwise. */
static struct slice print(struct buffer *out, const struct smtp_dsn *dsn)
{
    buffer_clear(out);
    smtp_dsn_print(out, dsn);
    assert_false(buffer_failed(out));
    struct slice rest = buffer_slice(out), line;
    while (rest.length > 0) {
        assert_true(slice_cut(&rest, '\n', &line));
        assert_true(slice_ends(line, SLICE("\r")));
        line.length--;
        assert_true(line.length <= 998);
        assert_false(slice_has(line, '\r'));
        assert_false(slice_has(line, '\0'));
        for (size_t i = 0; i < line.length && !dsn->utf8; i++)
            assert_true((uint8_t)line.data[i] < 0x80);
    }
    return buffer_slice(out);
}

static void check_has(const char *name, struct slice text, const char *wanted)
{
    if (slice_find_slice(text, slice_of(wanted)) == text.length) {
        print_error("%s: \"%s\" is not in\n%.*s\n", name, wanted, SLICE_ARGS(text));
        fail();
    }
}

static void check_lacks(const char *name, struct slice text, const char *unwanted)
{
    if (slice_find_slice(text, slice_of(unwanted)) < text.length) {
        print_error("%s: \"%s\" is in\n%.*s\n", name, unwanted, SLICE_ARGS(text));
        fail();
    }
}

static void test_whole(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    check_slice("whole", print(&out, &basic),
                SLICE("From: Mail Delivery System <MAILER-DAEMON@relay.example>\r\n"
                      "To: <alice@c.example>\r\n"
                      "Subject: Your message could not be delivered\r\n"
                      "Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n"
                      "Message-ID: <6A00000000B1@relay.example>\r\n"
                      "In-Reply-To: <1@c.example>\r\n"
                      "References: <1@c.example>\r\n"
                      "Auto-Submitted: auto-replied\r\n"
                      "MIME-Version: 1.0\r\n"
                      "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                      "\tboundary=\"=_report_6A00000000B1\"\r\n"
                      "\r\n"
                      "This is a delivery report in MIME format.\r\n"
                      "\r\n"
                      "--=_report_6A00000000B1\r\n"
                      "Content-Type: text/plain; charset=us-ascii\r\n"
                      "\r\n"
                      "This is the mail system at relay.example.\r\n"
                      "\r\n"
                      "Your message of Thu, 1 Jan 1970 00:00:01 +0000 (queue id 6A00000000A1)\r\n"
                      "could not be delivered to everybody it was meant for. For the addresses\r\n"
                      "below that failed, nothing more will be tried: if it matters, correct what\r\n"
                      "is wrong and send it again.\r\n"
                      "\r\n"
                      "<bob@d.example>: could not be delivered\r\n"
                      "    mx.d.example said:\r\n"
                      "    550 5.1.1 no such user\r\n"
                      "    Check the address.\r\n"
                      "\r\n"
                      "What follows is the same for programs, and what your message began with.\r\n"
                      "\r\n"
                      "--=_report_6A00000000B1\r\n"
                      "Content-Type: message/delivery-status\r\n"
                      "\r\n"
                      "Original-Envelope-Id: env+1\r\n"
                      "Reporting-MTA: dns; relay.example\r\n"
                      "Arrival-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"
                      "\r\n"
                      "Original-Recipient: rfc822;bob+x@d.example\r\n"
                      "Final-Recipient: rfc822; bob@d.example\r\n"
                      "Action: failed\r\n"
                      "Status: 5.1.1\r\n"
                      "Remote-MTA: dns; mx.d.example\r\n"
                      "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
                      "Last-Attempt-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"
                      "\r\n"
                      "--=_report_6A00000000B1\r\n"
                      "Content-Type: text/rfc822-headers\r\n"
                      "\r\n"
                      "Subject: hi\r\n"
                      "Message-ID: <1@c.example>\r\n"
                      "\r\n"
                      "\r\n"
                      "--=_report_6A00000000B1--\r\n"));
    buffer_free(&out);
}

static void test_actions(void **state)
{
    static const struct {
        enum smtp_dsn_action action;
        const char *subject, *words, *field, *status;
    } cases[] = {
        {SMTP_DSN_FAILED, "Your message could not be delivered", "could not be delivered", "failed", "5.0.0"},
        {SMTP_DSN_DELAYED, "Your message is delayed", "tried again by itself", "delayed", "4.0.0"},
        {SMTP_DSN_DELIVERED, "Your message was delivered", "was delivered", "delivered", "2.0.0"},
        {SMTP_DSN_RELAYED, "Your message was passed on", "does not report deliveries", "relayed", "2.0.0"},
        {SMTP_DSN_EXPANDED, "Your message was passed on", "members of a list", "expanded", "2.0.0"},
    };
    (void)state;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char field[64];
        struct smtp_dsn_recipient recipient = failed;
        struct smtp_dsn dsn = basic;
        recipient.action = cases[i].action;
        recipient.status = (struct smtp_status){0, 0, 0};
        recipient.retry_until_ms = 120000;
        dsn.recipients = &recipient;
        struct slice report = print(&out, &dsn);
        snprintf(field, sizeof field, "\r\nSubject: %s\r\n", cases[i].subject);
        check_has(cases[i].field, report, field);
        check_has(cases[i].field, report, cases[i].words);
        snprintf(field, sizeof field, "\r\nAction: %s\r\nStatus: %s\r\n", cases[i].field, cases[i].status);
        check_has(cases[i].field, report, field);
        bool delayed = cases[i].action == SMTP_DSN_DELAYED;
        (delayed ? check_has : check_lacks)(cases[i].field, report, "\r\nWill-Retry-Until: Thu, 1 Jan 1970 00:02:00");
        (delayed ? check_has : check_lacks)(cases[i].field, report, "will be tried until Thu, 1 Jan 1970 00:02:00");
    }
    buffer_free(&out);
}

static void test_several_recipients(void **state)
{
    (void)state;
    struct smtp_dsn_recipient recipients[] = {failed, failed, failed};
    struct smtp_dsn dsn = basic;
    recipients[0].action = SMTP_DSN_DELIVERED;
    recipients[1].action = SMTP_DSN_DELAYED;
    recipients[1].address = SLICE("carol@d.example");
    recipients[2].remote_host = SLICE("");
    recipients[2].diagnostic = SLICE("the policy of d.example admits no host");
    recipients[2].status = (struct smtp_status){4, 7, 1}; /* temporary, until time was up */
    recipients[2].orcpt = SLICE("");
    dsn.recipients = recipients;
    dsn.recipient_count = 3;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    struct slice report = print(&out, &dsn);
    check_has("subject", report, "\r\nSubject: Your message could not be delivered\r\n");
    check_has("first", report, "\r\n\r\n<bob@d.example>: delivered\r\n");
    check_has("second", report, "\r\n\r\n<carol@d.example>: not delivered yet\r\n");
    check_has("third", report,
              "\r\n\r\nFinal-Recipient: rfc822; bob@d.example\r\nAction: failed\r\nStatus: 5.7.1\r\n"
              "Diagnostic-Code: X-Sternpost; the policy of d.example admits no host\r\n");
    buffer_free(&out);
}

/* What a host did not say is not put into its mouth (RFC 3461 9.2). */
static void test_hosts_that_were_silent(void **state)
{
    static const struct {
        const char *diagnostic;
        bool is_said;
    } cases[] = {
        {"550 5.1.1 no", true}, {"421", true}, {"250-a", true}, {"mx.d.example[11.0.0.1] cannot be connected to", false},
        {"5500 things", false}, {"55", false}, {"099 x", false}, {"", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct smtp_dsn_recipient recipient = failed;
        struct smtp_dsn dsn = basic;
        struct buffer out;
        recipient.diagnostic = slice_of(cases[i].diagnostic);
        dsn.recipients = &recipient;
        buffer_init(&out, 1 << 20);
        struct slice report = print(&out, &dsn);
        check_has(cases[i].diagnostic, report, "\r\nRemote-MTA: dns; mx.d.example\r\n");
        if (cases[i].is_said)
            check_has(cases[i].diagnostic, report, "Diagnostic-Code: smtp; ");
        else
            check_lacks(cases[i].diagnostic, report, "Diagnostic-Code: smtp");
        check_true(cases[i].diagnostic, (slice_find_slice(report, SLICE(" said:")) < report.length) == cases[i].is_said);
        buffer_free(&out);
    }
}

/* Peers' text is in every field; none of it may begin a line of its own or leave its field. */
static void test_injection(void **state)
{
    (void)state;
    struct smtp_dsn_recipient recipient = failed;
    struct smtp_dsn dsn = basic;
    recipient.address = SLICE("b\r\nX-Evil: 1@d.example");
    recipient.orcpt = SLICE("rfc822;x+0D+0AX-Evil: 2");
    recipient.remote_host = SLICE("mx\r\n\r\nX-Evil: 3");
    recipient.diagnostic = SLICE("550 a\nX-Evil: 4\r\n\r\n--=_report_6A00000000B1--\r\n\0\x7f\xc3\xa4");
    recipient.advice = SLICE("a\nX-Evil: 5");
    dsn.recipients = &recipient;
    dsn.sender = SLICE("a\r\nX-Evil: 6");
    dsn.envid = SLICE("x+0D+0AX-Evil:+207");
    dsn.returned = SLICE("Message-ID: <1>\r\n X-Evil: 8\r\nSubject: \xc3\xa4\0\r\n\r\n");
    struct buffer out;
    buffer_init(&out, 1 << 20);
    struct slice report = print(&out, &dsn);
    check_lacks("a line of its own", report, "\nX-Evil");
    check_lacks("message id", report, "In-Reply-To");
    check_has("header cleaned", report, "\r\nSubject: ???\r\n");
    struct slice rest = report;
    size_t boundaries = 0;
    while (rest.length > 0) {
        size_t at = slice_find_slice(rest, SLICE("\r\n--=_report_6A00000000B1"));
        boundaries += at < rest.length;
        rest = slice_from(rest, at + 1);
    }
    assert_int_equal(boundaries, 4);
    buffer_free(&out);
}

static void test_long_words(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'w', sizeof text);
    struct smtp_dsn_recipient recipient = failed;
    struct smtp_dsn dsn = basic;
    recipient.diagnostic = slice_make(text, sizeof text);
    dsn.recipients = &recipient;
    dsn.returned = slice_make(text, sizeof text);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    print(&out, &dsn);
    for (size_t i = 3; i < sizeof text; i += 3)
        memcpy(text + i - 3, "\xe2\x82\xac", 3); /* cut between characters only */
    memcpy(text + sizeof text - 2, "ww", 2);
    dsn.utf8 = true;
    assert_true(slice_find_slice(print(&out, &dsn), SLICE("\xe2\x82\xac\r\n")) < buffer_length(&out));
    buffer_free(&out);
}

static void test_returned(void **state)
{
    static const struct {
        const char *name;
        struct slice returned;
        bool full, utf8;
        const char *type, *end;
    } cases[] = {
        {"headers", {"A: b\r\n\r\nbody\r\n", 14}, false, false, "text/rfc822-headers", "\r\nA: b\r\n\r\n\r\n--"},
        {"full", {"A: b\r\n\r\nbody\r\n", 14}, true, false, "message/rfc822", "\r\nA: b\r\n\r\nbody\r\n\r\n--"},
        {"8-bit body: headers",
         {"A: b\r\n\r\n\xc3\xa4\r\n", 12},
         true,
         false,
         "text/rfc822-headers",
         "A: b\r\n\r\n\r\n--"},
        {"8-bit body, UTF-8", {"A: b\r\n\r\n\xc3\xa4\r\n", 12}, true, true, "message/global", "\xc3\xa4\r\n\r\n--"},
        {"headers, UTF-8",
         {"A: \xc3\xa4\r\n\r\n", 9},
         false,
         true,
         "message/global-headers",
         "A: \xc3\xa4\r\n\r\n\r\n--"},
        {"bare LF: headers", {"A: b\r\n\r\na\nb\r\n", 13}, true, false, "text/rfc822-headers", "A: b\r\n\r\n\r\n--"},
        {"NUL: headers", {"A: b\r\n\r\na\0b\r\n", 13}, true, false, "text/rfc822-headers", "A: b\r\n\r\n\r\n--"},
        {"a CR for an end: headers",
         {"A: b\r\n\r\nab\r", 11},
         true,
         false,
         "text/rfc822-headers",
         "A: b\r\n\r\n\r\n--"},
        {"no end: headers", {"A: b\r\n\r\nab", 10}, true, false, "text/rfc822-headers", "A: b\r\n\r\n\r\n--"},
    };
    (void)state;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char type[64];
        struct smtp_dsn dsn = basic;
        dsn.returned = cases[i].returned;
        dsn.returned_full = cases[i].full;
        dsn.utf8 = cases[i].utf8;
        struct slice report = print(&out, &dsn);
        snprintf(type, sizeof type, "\r\nContent-Type: %s\r\n", cases[i].type);
        check_has(cases[i].name, report, type);
        check_has(cases[i].name, report, cases[i].end);
        /* Its addresses are ASCII: so is this part, which more systems read. */
        check_has(cases[i].name, report, "Content-Type: message/delivery-status\r\n\r\n");
    }
    struct smtp_dsn dsn = basic;
    dsn.returned = SLICE("");
    check_lacks("nothing", print(&out, &dsn), "rfc822-headers");
    buffer_free(&out);
}

static void test_international(void **state)
{
    (void)state;
    struct smtp_dsn_recipient recipient = failed;
    struct smtp_dsn dsn = basic;
    recipient.address = SLICE("b\xc3\xb6"
                              "b@d.example");
    recipient.orcpt = SLICE("utf-8;b\\x{F6}b@d.example");
    dsn.recipients = &recipient;
    dsn.utf8 = true;
    struct buffer out;
    buffer_init(&out, 1 << 20);
    struct slice report = print(&out, &dsn);
    check_has("final", report,
              "\r\nFinal-Recipient: utf-8; b\xc3\xb6"
              "b@d.example\r\n");
    check_has("original", report, "\r\nOriginal-Recipient: utf-8;b\\x{F6}b@d.example\r\n");
    check_has("encoding", report, "\r\nContent-Transfer-Encoding: 8bit\r\n");
    buffer_free(&out);
}

/* A report that does not fit fails; it is never cut. */
static void test_limit(void **state)
{
    (void)state;
    struct buffer whole;
    buffer_init(&whole, 1 << 20);
    size_t length = print(&whole, &basic).length;
    for (size_t limit = 0; limit <= length; limit++) {
        struct buffer out;
        buffer_init(&out, limit);
        smtp_dsn_print(&out, &basic);
        check_number("fits", !buffer_failed(&out), limit == length);
        buffer_free(&out);
    }
    buffer_free(&whole);
}

/* What failed is told before what went on, and only where an address is beyond ASCII the status takes the form of RFC 6533. */
static void test_what_failed_is_told_first(void **state)
{
    (void)state;
    struct buffer out;
    struct smtp_dsn_recipient both[] = {failed, failed};
    struct smtp_dsn dsn = basic;
    buffer_init(&out, 1u << 20);
    both[0].address = SLICE("relayed@d.example");
    both[0].action = SMTP_DSN_RELAYED;
    dsn.recipients = both;
    dsn.recipient_count = 2;
    struct slice report = print(&out, &dsn);
    assert_true(slice_find_slice(report, SLICE("<bob@d.example>: could not be delivered")) <
                slice_find_slice(report, SLICE("<relayed@d.example>: passed on")));
    assert_true(slice_find_slice(report, SLICE("Action: failed")) < slice_find_slice(report, SLICE("Action: relayed")));
    both[0].address = SLICE("j\xc3\xb6rg@d.example");
    dsn.utf8 = true;
    report = print(&out, &dsn);
    check_has("beyond ASCII", report, "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n");
    buffer_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_failed_is_told_first),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_actions),
        cmocka_unit_test(test_several_recipients),
        cmocka_unit_test(test_hosts_that_were_silent),
        cmocka_unit_test(test_injection),
        cmocka_unit_test(test_long_words),
        cmocka_unit_test(test_returned),
        cmocka_unit_test(test_international),
        cmocka_unit_test(test_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
