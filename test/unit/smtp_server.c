#include "smtp/server.h"

#include "test/unit/smtp_dialog.h"

#define OFFER DIALOG_OFFER
#define BYE "221 2.0.0 bye\n[CLOSE]\n"

static void test_sessions(void **state)
{
    static const struct dialog_case cases[] = {
        {"a message", BYTES(EHLO ENVELOPE "DATA\r\n\1Subject: x\r\n\r\n..y\r\n.\r\nQUIT\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[END Subject: x\r\n\r\n.y\r\n]\n250 2.0.0 queued\n" BYE},
        {"two messages", BYTES(EHLO ENVELOPE "DATA\r\n\1x\r\n.\r\n" ENVELOPE "DATA\r\n\1y\r\n.\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[END x\r\n]\n250 2.0.0 queued\n" MAIL_OK RCPT_OK DATA_OK
                                       "[END y\r\n]\n250 2.0.0 queued\n"},
        {"an empty message", BYTES(EHLO ENVELOPE "DATA\r\n\1.\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[END ]\n250 2.0.0 queued\n"},
        {"HELO", BYTES("HELO c\r\n\1" ENVELOPE "QUIT\r\n"), "250 mx.example\n" MAIL_OK RCPT_OK BYE},
        {"no parameters after HELO", BYTES("HELO c\r\n\1MAIL FROM:<a@c.example> SIZE=1\r\n"),
         "250 mx.example\n555 5.5.4 parameter not supported\n"},
        {"parameters",
         BYTES(EHLO "MAIL FROM:<> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=x\r\n"
                    "RCPT TO:<\xc3\xa4@d.example> NOTIFY=DELAY ORCPT=rfc822;x\r\n"),
         OFFER "[MAIL <> size=7 8bit utf8 ret=1 envid=x]\n250 2.1.0 sender ok\n"
               "[RCPT <\xc3\xa4@d.example> notify=8 orcpt=rfc822;x]\n250 2.1.5 recipient ok\n"},
        {"RSET", BYTES(EHLO ENVELOPE "RSET\r\nRSET\r\n" ENVELOPE),
         OFFER MAIL_OK RCPT_OK "[RESET]\n250 2.0.0 ok\n250 2.0.0 ok\n" MAIL_OK RCPT_OK},
        {"EHLO ends a transaction", BYTES(EHLO ENVELOPE EHLO ENVELOPE),
         OFFER MAIL_OK RCPT_OK "[RESET]\n" OFFER MAIL_OK RCPT_OK},
        {"small talk", BYTES("NOOP\r\nNOOP x\r\nHELP\r\nVRFY u\r\nEXPN l\r\nETRN d\r\nTURN\r\nFOO\r\n\r\n"),
         "250 2.0.0 ok\n250 2.0.0 ok\n214-2.0.0 EHLO MAIL RCPT DATA RSET NOOP QUIT VRFY STARTTLS AUTH\n"
         "214 2.0.0 see RFC 5321\n252 2.0.0 send mail to it and see\n502 5.5.1 command not supported\n"
         "502 5.5.1 command not supported\n502 5.5.1 command not supported\n500 5.5.2 command not recognised\n"
         "500 5.5.2 command not recognised\n"},
        {"nothing behind QUIT", BYTES("QUIT\r\nNOOP\r\nMAIL FROM:<a@c.example>\r\n"), BYE},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
}

static void test_order(void **state)
{
    static const struct dialog_case cases[] = {
        {"MAIL first", BYTES("MAIL FROM:<a@c.example>\r\n"), "503 5.5.1 EHLO or HELO first\n"},
        {"RCPT first", BYTES(EHLO "RCPT TO:<b@d.example>\r\n"), OFFER "503 5.5.1 MAIL first\n"},
        {"DATA first", BYTES(EHLO "DATA\r\n"), OFFER "503 5.5.1 MAIL first\n"},
        {"DATA without recipients",
         BYTES(EHLO "MAIL FROM:<a@c.example>\r\nDATA\r\n\1RCPT TO:<b@d.example>\r\nDATA\r\n\1"),
         OFFER MAIL_OK "554 5.5.1 no valid recipients\n" RCPT_OK DATA_OK},
        {"MAIL in MAIL", BYTES(EHLO ENVELOPE "MAIL FROM:<a@c.example>\r\n"),
         OFFER MAIL_OK RCPT_OK "503 5.5.1 nested MAIL\n"},
        {"STARTTLS before EHLO", BYTES("STARTTLS\r\n"), "503 5.5.1 EHLO first\n"},
        {"STARTTLS in MAIL", BYTES(EHLO ENVELOPE "STARTTLS\r\n"),
         OFFER MAIL_OK RCPT_OK "503 5.5.1 not during a mail transaction\n"},
        {"AUTH that is not offered", BYTES(EHLO "AUTH PLAIN AGEAYg==\r\n"),
         OFFER "503 5.5.1 authentication is not offered\n"},
        {"too many recipients",
         BYTES(EHLO ENVELOPE "RCPT TO:<b@d.example>\r\nRCPT TO:<b@d.example>\r\nRCPT TO:<b@d.example>\r\nDATA\r\n\1"),
         OFFER MAIL_OK RCPT_OK RCPT_OK RCPT_OK "452 4.5.3 too many recipients\n" DATA_OK},
        {"UTF-8 that was not announced leaves the transaction as it is",
         BYTES(EHLO "MAIL FROM:<a@c.example>\r\nRCPT TO:<\xc3\xa4@d.example>\r\nVRFY \xc3\xa4\r\nDATA\r\n\1RCPT "
                    "TO:<b@d.example>\r\n"),
         OFFER MAIL_OK
         "501 5.5.2 bytes that no command may have; lines end in CRLF\n"
         "501 5.5.2 bytes that no command may have; lines end in CRLF\n554 5.5.1 no valid recipients\n" RCPT_OK},
        {"the next transaction does not inherit SMTPUTF8",
         BYTES(EHLO "MAIL FROM:<> SMTPUTF8\r\nRSET\r\nMAIL FROM:<a@c.example>\r\nRCPT TO:<\xc3\xa4@d.example>\r\n"),
         OFFER "[MAIL <> utf8]\n250 2.1.0 sender ok\n[RESET]\n250 2.0.0 ok\n" MAIL_OK
               "501 5.5.2 bytes that no command may have; lines end in CRLF\n"},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
}

/* As whoever tries it with a tool that sends bare LF. */
#define BY_HAND                                                                                                        \
    "500 5.5.2 lines must end in CRLF, and this one ends in a bare LF; to try by hand use nc -C, or telnet\n[CLOSE]\n"

static void test_faults(void **state)
{
    static const struct dialog_case cases[] = {
        {"EHLO without name", BYTES("EHLO\r\n"), "501 5.5.4 syntax error in the argument\n"},
        {"bad sender", BYTES(EHLO "MAIL FROM:<a b>\r\n"),
         OFFER "501 5.1.7 bad sender address or syntax: MAIL FROM:<address>\n"},
        {"bad recipient", BYTES(EHLO "MAIL FROM:<a@c.example>\r\nRCPT TO:<>\r\n"),
         OFFER MAIL_OK "501 5.1.3 bad recipient address or syntax: RCPT TO:<address>\n"},
        {"unknown parameter", BYTES(EHLO "MAIL FROM:<a@c.example> X=1\r\n"),
         OFFER "555 5.5.4 parameter not supported\n"},
        {"bad parameter", BYTES(EHLO "MAIL FROM:<a@c.example> SIZE=x\r\n"),
         OFFER "501 5.5.4 bad or repeated parameter\n"},
        {"unknown RCPT parameter", BYTES(EHLO "MAIL FROM:<a@c.example>\r\nRCPT TO:<b@d.example> X=1\r\n"),
         OFFER MAIL_OK "555 5.5.4 parameter not supported\n"},
        {"SIZE over the limit", BYTES(EHLO "MAIL FROM:<a@c.example> SIZE=1001\r\nMAIL FROM:<a@c.example>\r\n"),
         OFFER "552 5.3.4 message too large\n" MAIL_OK},
        {"bare LF before EHLO: nothing of it is done", BYTES("QUIT\nNOOP\r\nEHLO c.example\r\n"), BY_HAND},
        {"EHLO", BYTES("EHLO c.example\n"), BY_HAND},
        {"an empty line", BYTES("NOOP\r\n\n"), "250 2.0.0 ok\n" BY_HAND},
        {"LF CR", BYTES("NOOP\n\rQUIT\r\nNOOP\r\n"), BY_HAND},
        {"HTTP", BYTES("GET / HTTP/1.1\n\n"), BY_HAND},
        {"bare LF ends no line", BYTES(EHLO "NOOP\nQUIT\r\nNOOP\r\n"),
         OFFER "501 5.5.2 bytes that no command may have; lines end in CRLF\n250 2.0.0 ok\n"},
        {"bare CR ends no line", BYTES("NOOP\rQUIT\r\nNOOP\r\n"),
         "501 5.5.2 bytes that no command may have; lines end in CRLF\n250 2.0.0 ok\n"},
        {"LF CR", BYTES(EHLO "NOOP\n\rQUIT\r\nNOOP\r\n"),
         OFFER "501 5.5.2 bytes that no command may have; lines end in CRLF\n250 2.0.0 ok\n"},
        {"CR CR LF", BYTES("NOOP\r\r\nNOOP\r\n"),
         "501 5.5.2 bytes that no command may have; lines end in CRLF\n250 2.0.0 ok\n"},
        {"NUL", BYTES("NOOP\0\r\nNOOP\r\n"),
         "501 5.5.2 bytes that no command may have; lines end in CRLF\n250 2.0.0 ok\n"},
        {"HTTP", BYTES("GET / HTTP/1.1\r\nEHLO x\r\n"), "554 5.5.1 this is an SMTP server\n[CLOSE]\n"},
        {"HTTP later", BYTES("NOOP\r\nPOST /x HTTP/1.1\r\n"),
         "250 2.0.0 ok\n554 5.5.1 this is an SMTP server\n[CLOSE]\n"},
        {"content behind BDAT is no command", BYTES(EHLO ENVELOPE "BDAT 6 LAST\r\nNOOP\r\n"),
         OFFER MAIL_OK RCPT_OK "502 5.5.1 CHUNKING is not offered\n[CLOSE]\n"},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
}

/* Input that came before a reply that must be waited for. Where the cuts lie it cannot be known, so no split test. */
static void test_hasty_clients(void **state)
{
    static const struct dialog_case cases[] = {
        {"EHLO", BYTES("EHLO c.example\r\nMAIL FROM:<a@c.example>\r\n"), ""},
        {"HELO", BYTES("HELO c.example\r\nMAIL FROM:<a@c.example>\r\n"), ""},
        {"DATA", BYTES(EHLO ENVELOPE "DATA\r\nSubject: x\r\n"), OFFER MAIL_OK RCPT_OK},
        {"DATA that would be refused", BYTES(EHLO "DATA\r\nSubject: x\r\n"), OFFER},
        {"STARTTLS", BYTES(EHLO "STARTTLS\r\nEHLO c.example\r\n"), OFFER},
        {"STARTTLS, one byte", BYTES(EHLO "STARTTLS\r\n\n"), OFFER},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer log, expected;
        buffer_init(&log, 65536);
        buffer_init(&expected, 65536);
        struct dialog *dialog = dialog_open(&dialog_options);
        dialog_say(dialog, cases[i].input, &log);
        dialog_close(dialog, &log);
        buffer_print(&expected,
                     "[GREETING]\n220 mx.example ESMTP Sternpost\n%s"
                     "554 5.5.0 commands were sent before the reply that they must wait for\n[CLOSE]\n",
                     cases[i].expected);
        check_slice(cases[i].name, buffer_slice(&log), buffer_slice(&expected));
        buffer_free(&log);
        buffer_free(&expected);
    }
}

static void test_starttls(void **state)
{
#define SECURED                                                                                                        \
    "250-mx.example\n250-PIPELINING\n250-SIZE 1000\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250-DSN\n250 SMTPUTF8\n"
    static const struct dialog_case cases[] = {
        {"all is forgotten", BYTES(EHLO "STARTTLS\r\n\1MAIL FROM:<a@c.example>\r\n" EHLO "STARTTLS\r\n\1" ENVELOPE),
         OFFER "[STARTTLS]\n220 2.0.0 ready to start TLS\n[TLS]\n503 5.5.1 EHLO or HELO first\n" SECURED
               "503 5.5.1 TLS is up already\n" MAIL_OK RCPT_OK},
        {"with an argument", BYTES(EHLO "STARTTLS x\r\n\1"), OFFER "501 5.5.4 syntax error in the argument\n"},
    };
    static const struct dialog_case refused[] = {
        {"refused", BYTES(EHLO "STARTTLS\r\n\1" ENVELOPE), OFFER "[STARTTLS]\n454 4.7.0 no TLS now\n" MAIL_OK RCPT_OK},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
    split_refused = SMTP_SERVER_STARTTLS;
    split_refusal = smtp_reply_make(454, 7, 0, "no TLS now");
    dialog_run(refused, COUNT_OF(refused));

    split_refusal.code = 0;
    split_options.starttls = false;
    static const struct dialog_case off[] = {
        {"not offered", BYTES(EHLO "STARTTLS\r\n"), SECURED "502 5.5.1 STARTTLS is not offered\n"}};
    dialog_run(off, COUNT_OF(off));
    split_options.starttls = split_options.secured = true;
    static const struct dialog_case implicit[] = {
        {"TLS from the first byte", BYTES(EHLO "STARTTLS\r\n"), SECURED "503 5.5.1 TLS is up already\n"}};
    dialog_run(implicit, COUNT_OF(implicit));
}

/* CVE-2011-0411: what stands behind STARTTLS in the clear must not be read as if it had come under TLS. */
static void test_starttls_injection(void **state)
{
    (void)state;
    struct buffer log;
    buffer_init(&log, 65536);
    /* Before the owner answered. */
    struct dialog *dialog = dialog_open(&dialog_options);
    dialog_say(dialog, SLICE(EHLO), &log);
    assert_int_equal(smtp_server_feed(dialog->server, SLICE("STARTTLS\r\n")), 10);
    assert_int_equal(smtp_server_next(dialog->server).kind, SMTP_SERVER_STARTTLS);
    assert_int_equal(smtp_server_feed(dialog->server, SLICE("RSET\r\n")), 0);
    buffer_clear(&log);
    smtp_server_answer(dialog->server, NULL);
    assert_false(smtp_server_is_securing(dialog->server));
    dialog_close(dialog, &log);
    check_slice("before the answer", buffer_slice(&log),
                SLICE("554 5.5.0 commands were sent before the reply that they must wait for\n[CLOSE]\n"));

    /* Between the answer and TLS, whether or not the 220 has left. */
    for (int sent = 0; sent <= 1; sent++) {
        dialog = dialog_open(&dialog_options);
        dialog_say(dialog, SLICE(EHLO), &log);
        assert_int_equal(smtp_server_feed(dialog->server, SLICE("STARTTLS\r\n")), 10);
        assert_int_equal(smtp_server_next(dialog->server).kind, SMTP_SERVER_STARTTLS);
        smtp_server_answer(dialog->server, NULL);
        assert_true(smtp_server_is_securing(dialog->server));
        if (sent)
            smtp_server_sent(dialog->server, smtp_server_output(dialog->server).length);
        assert_int_equal(smtp_server_feed(dialog->server, SLICE("RSET\r\n")), 0);
        assert_false(smtp_server_is_securing(dialog->server));
        buffer_clear(&log);
        dialog_close(dialog, &log);
        check_slice("after the answer", buffer_slice(&log), SLICE("[CLOSE]\n"));
    }
    buffer_free(&log);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *name;
        enum smtp_server_event_kind refused;
        struct smtp_reply reply;
        struct slice input;
        const char *expected;
    } cases[] = {
        {"MAIL",
         SMTP_SERVER_MAIL,
         {451, {4, 3, 0}, BYTES("later")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1"),
         OFFER "[MAIL <a@c.example>]\n451 4.3.0 later\n503 5.5.1 MAIL first\n503 5.5.1 MAIL first\n"},
        {"RCPT",
         SMTP_SERVER_RCPT,
         {550, {5, 7, 1}, BYTES("no")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1"),
         OFFER MAIL_OK "[RCPT <b@d.example>]\n550 5.7.1 no\n554 5.5.1 no valid recipients\n"},
        {"RCPT, said otherwise",
         SMTP_SERVER_RCPT,
         {251, {2, 1, 5}, BYTES("will forward")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1"),
         OFFER MAIL_OK "[RCPT <b@d.example>]\n251 2.1.5 will forward\n" DATA_OK},
        {"DATA",
         SMTP_SERVER_DATA,
         {452, {4, 3, 1}, BYTES("full")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1RSET\r\n"),
         OFFER MAIL_OK RCPT_OK "[DATA]\n452 4.3.1 full\n[RESET]\n250 2.0.0 ok\n"},
        {"CONTENT",
         SMTP_SERVER_CONTENT,
         {452, {4, 3, 1}, BYTES("full")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1x\r\n.\r\nNOOP\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[RESET]\n452 4.3.1 full\n250 2.0.0 ok\n"},
        {"CONTENT, closing",
         SMTP_SERVER_CONTENT,
         {421, {4, 3, 0}, BYTES("going")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1x\r\n.\r\nNOOP\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "421 4.3.0 going\n[CLOSE]\n"},
        {"END",
         SMTP_SERVER_END,
         {451, {4, 3, 0}, BYTES("later")},
         BYTES(EHLO ENVELOPE "DATA\r\n\1x\r\n.\r\nNOOP\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[END x\r\n]\n451 4.3.0 later\n250 2.0.0 ok\n"},
        {"421 ends the session",
         SMTP_SERVER_MAIL,
         {421, {4, 3, 2}, BYTES("going")},
         BYTES(EHLO ENVELOPE),
         OFFER "[MAIL <a@c.example>]\n421 4.3.2 going\n[CLOSE]\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        split_refused = cases[i].refused;
        split_refusal = cases[i].reply;
        dialog_test(cases[i].name, cases[i].input, cases[i].expected);
    }
    split_refused = SMTP_SERVER_GREETING;
    split_refusal = smtp_reply_make(554, 7, 1, "not you");
    split_test("greeting", SLICE("EHLO c\r\n"), &dialog_machine, "[GREETING]\n554 5.7.1 not you\n[CLOSE]\n");
    split_refusal = smtp_reply_make(421, 3, 2, "too many connections");
    split_test("greeting", SLICE(""), &dialog_machine, "[GREETING]\n421 4.3.2 too many connections\n[CLOSE]\n");
}

static void test_content_faults(void **state)
{
#define BEFORE OFFER MAIL_OK RCPT_OK DATA_OK "[RESET]\n"
#define LONG_100                                                                                                       \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"
#define LONG_1000 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100
    static const struct dialog_case cases[] = {
        {"bare LF", BYTES(EHLO ENVELOPE "DATA\r\n\1a\nb\r\n.\r\nNOOP\r\n"),
         BEFORE "550 5.6.0 bare LF in the content; lines end in CRLF\n[CLOSE]\n"},
        {"bare CR", BYTES(EHLO ENVELOPE "DATA\r\n\1a\rb\r\n.\r\nNOOP\r\n"),
         BEFORE "550 5.6.0 bare CR in the content; lines end in CRLF\n[CLOSE]\n"},
        {"NUL", BYTES(EHLO ENVELOPE "DATA\r\n\1a\0b\r\n.\r\nNOOP\r\n"),
         BEFORE "550 5.6.0 NUL in the content\n[CLOSE]\n"},
        {"as large as may be", BYTES(EHLO ENVELOPE "DATA\r\n\1" LONG_1000 ".\r\nNOOP\r\n"),
         OFFER MAIL_OK RCPT_OK DATA_OK "[END " LONG_1000 "]\n250 2.0.0 queued\n250 2.0.0 ok\n"},
        {"too large", BYTES(EHLO ENVELOPE "DATA\r\n\1" LONG_1000 "\r\n.\r\nNOOP\r\n"),
         BEFORE "552 5.3.4 message too large\n250 2.0.0 ok\n"},
        {"too large, then smuggling", BYTES(EHLO ENVELOPE "DATA\r\n\1" LONG_1000 "x\n.\r\n\r\n.\r\nNOOP\r\n"), NULL},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases) - 1);
    struct buffer log;
    buffer_init(&log, 65536);
    split_run(&dialog_machine, cases[COUNT_OF(cases) - 1].input, SIZE_MAX, &log);
    assert_true(slice_ends(buffer_slice(&log), SLICE("[RESET]\n552 5.3.4 message too large\n[CLOSE]\n")));
    buffer_free(&log);
}

/* None of these ends the content; whatever stands behind them is content too and never a command. */
static void test_smuggling(void **state)
{
    static const struct slice sequences[] = {
        BYTES("\n.\n"),         BYTES("\n.\r"),   BYTES("\r.\n"),       BYTES("\r.\r"),
        BYTES("\n.\r\n"),       BYTES("\r.\r\n"), BYTES("\r\n\0.\r\n"), BYTES("\r\n.\r\r\n"),
        BYTES("\r\r\n.\r\r\n"), BYTES("\r\n.\n"), BYTES("\r\n.\r"),
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(sequences); i++) {
        char name[32];
        struct buffer input, log;
        snprintf(name, sizeof name, "sequence %zu", i);
        buffer_init(&input, 4096);
        buffer_init(&log, 4096);
        buffer_add(&input, SLICE(EHLO ENVELOPE "DATA\r\n\1Subject: x\r\n\r\nbody"));
        buffer_add(&input, sequences[i]);
        buffer_add(&input,
                   SLICE("MAIL FROM:<evil@c.example>\r\nRCPT TO:<victim@d.example>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n"));
        split_test(name, buffer_slice(&input), &dialog_machine, NULL);
        split_run(&dialog_machine, buffer_slice(&input), SIZE_MAX, &log);
        struct slice got = buffer_slice(&log);
        check_true(name, slice_find_slice(got, SLICE("evil")) == got.length);
        check_true(name,
                   slice_find_slice(got, SLICE("DATA]\n354 end data with <CR><LF>.<CR><LF>\n[RESET]\n550 5.6.0 ")) <
                       got.length);
        check_true(name, slice_ends(got, SLICE("\n[CLOSE]\n")));
        buffer_free(&input);
        buffer_free(&log);
    }
}

static void test_long_lines(void **state)
{
    (void)state;
    struct buffer input;
    buffer_init(&input, 65536);
    for (int more = 0; more <= 1; more++) {
        buffer_clear(&input);
        buffer_print(&input, "NOOP %0*d\r\nNOOP\r\n", 2043 + more, 0);
        dialog_test("limit", buffer_slice(&input),
                    more ? "500 5.5.2 line too long\n250 2.0.0 ok\n" : "250 2.0.0 ok\n250 2.0.0 ok\n");
    }
    buffer_clear(&input);
    buffer_print(&input, "%03000d\rQUIT\nQUIT\r\r\nNOOP\r\n", 0);
    dialog_test("only CRLF ends it", buffer_slice(&input), "500 5.5.2 line too long\n250 2.0.0 ok\n");
    buffer_clear(&input);
    buffer_print(&input, "auth PLAIN %03000d\r\n\1NOOP\r\n", 0);
    dialog_test("AUTH may be longer", buffer_slice(&input), "503 5.5.1 authentication is not offered\n250 2.0.0 ok\n");
    buffer_clear(&input);
    buffer_print(&input, "AUTH %013000d\r\nNOOP\r\n", 0);
    dialog_test("but not that long", buffer_slice(&input), "500 5.5.2 line too long\n250 2.0.0 ok\n");
    buffer_free(&input);
}

static void test_errors_max(void **state)
{
    (void)state;
    split_options.errors_max = 3;
    dialog_test("three errors", SLICE("X\r\nNOOP\r\nY\r\nZ\r\nNOOP\r\n"),
                "500 5.5.2 command not recognised\n250 2.0.0 ok\n500 5.5.2 command not recognised\n"
                "500 5.5.2 command not recognised\n421 4.7.0 too many errors\n[CLOSE]\n");
    dialog_test("an accepted message makes up for them",
                SLICE(EHLO "X\r\nY\r\n" ENVELOPE "DATA\r\n\1x\r\n.\r\nX\r\nY\r\nNOOP\r\n"),
                OFFER "500 5.5.2 command not recognised\n500 5.5.2 command not recognised\n" MAIL_OK RCPT_OK DATA_OK
                      "[END x\r\n]\n250 2.0.0 queued\n500 5.5.2 command not recognised\n"
                      "500 5.5.2 command not recognised\n250 2.0.0 ok\n");
    split_refused = SMTP_SERVER_RCPT;
    split_refusal = smtp_reply_make(450, 2, 1, "later");
    dialog_test("4xx is no error", SLICE(EHLO ENVELOPE "RCPT TO:<b@d.example>\r\nRCPT TO:<b@d.example>\r\nNOOP\r\n"),
                OFFER MAIL_OK "[RCPT <b@d.example>]\n450 4.2.1 later\n[RCPT <b@d.example>]\n450 4.2.1 later\n"
                              "[RCPT <b@d.example>]\n450 4.2.1 later\n250 2.0.0 ok\n");
    split_refusal.code = 550;
    dialog_test("5xx is", SLICE(EHLO ENVELOPE "RCPT TO:<b@d.example>\r\nRCPT TO:<b@d.example>\r\nNOOP\r\n"),
                OFFER MAIL_OK "[RCPT <b@d.example>]\n550 4.2.1 later\n[RCPT <b@d.example>]\n550 4.2.1 later\n"
                              "[RCPT <b@d.example>]\n550 4.2.1 later\n421 4.7.0 too many errors\n[CLOSE]\n");
}

static void test_idle_commands(void **state)
{
    (void)state;
    struct buffer log;
    buffer_init(&log, 1 << 20);
    struct dialog *dialog = dialog_open(&dialog_options);
    for (int i = 0; i < 130 && !dialog->is_closed; i++)
        dialog_say(dialog, SLICE("NOOP\r\n"), &log);
    assert_true(dialog->is_closed);
    assert_true(slice_ends(buffer_slice(&log),
                           SLICE("250 2.0.0 ok\n421 4.7.0 too many commands without a message; connect again\n[CLOSE]\n")));
    dialog_close(dialog, &log);
    /* A pool that keeps its connections is no attack. */
    struct smtp_server_options trusting = dialog_options;
    trusting.trusted = true;
    buffer_clear(&log);
    dialog = dialog_open(&trusting);
    for (int i = 0; i < 5000; i++)
        dialog_say(dialog, i % 2 == 0 ? SLICE("NOOP\r\n") : SLICE("RSET\r\n"), &log);
    assert_false(dialog->is_closed);
    for (int i = 0; i < 2000 && !dialog->is_closed; i++)
        dialog_say(dialog, SLICE("NOOP\r\n"), &log);
    assert_true(dialog->is_closed);
    dialog_close(dialog, &log);
    buffer_free(&log);
}

static void test_stop(void **state)
{
    (void)state;
    struct smtp_reply going = smtp_reply_make(421, 3, 2, "shutting down");
    struct smtp_reply queued = smtp_reply_make(250, 0, 0, "queued");
    struct buffer log;
    buffer_init(&log, 65536);

    struct dialog *dialog = dialog_open(&dialog_options);
    smtp_server_stop(dialog->server, &going);
    dialog_close(dialog, &log);
    check_slice("as the greeting", buffer_slice(&log), SLICE("421 4.3.2 shutting down\n[CLOSE]\n"));

    dialog = dialog_open(&dialog_options);
    dialog_say(dialog, SLICE(EHLO ENVELOPE "DATA\r\n\1x\r\n"), &log);
    buffer_clear(&log);
    smtp_server_stop(dialog->server, &going);
    smtp_server_stop(dialog->server, &going);
    assert_int_equal(smtp_server_feed(dialog->server, SLICE(".\r\n")), 0);
    dialog_close(dialog, &log);
    check_slice("in content", buffer_slice(&log), SLICE("421 4.3.2 shutting down\n[CLOSE]\n"));

    /* An answer that is outstanding comes first: a promise may be on its way to the disk. */
    dialog = dialog_open(&dialog_options);
    dialog_say(dialog, SLICE(EHLO ENVELOPE "DATA\r\n\1"), &log);
    buffer_clear(&log);
    assert_int_equal(smtp_server_feed(dialog->server, SLICE(".\r\nNOOP\r\n")), 3);
    assert_int_equal(smtp_server_next(dialog->server).kind, SMTP_SERVER_END);
    smtp_server_stop(dialog->server, &going);
    assert_int_equal(smtp_server_next(dialog->server).kind, SMTP_SERVER_WAIT);
    assert_int_equal(smtp_server_output(dialog->server).length, 0);
    smtp_server_answer(dialog->server, &queued);
    dialog_close(dialog, &log);
    check_slice("at END", buffer_slice(&log), SLICE("250 2.0.0 queued\n421 4.3.2 shutting down\n[CLOSE]\n"));
    buffer_free(&log);
}

static void test_facts(void **state)
{
    (void)state;
    struct buffer log;
    buffer_init(&log, 65536);
    struct dialog *dialog = dialog_open(&dialog_options);
    assert_string_equal(smtp_server_state(dialog->server), "greeting");
    check_slice("before", smtp_server_hello(dialog->server), SLICE(""));
    dialog_say(dialog, SLICE("HELO a(b)c\r\n"), &log);
    assert_string_equal(smtp_server_state(dialog->server), "command");
    check_slice("HELO", smtp_server_hello(dialog->server), SLICE("a(b)c"));
    assert_false(smtp_server_is_extended(dialog->server));
    assert_false(smtp_server_is_authenticated(dialog->server));
    dialog_say(dialog, SLICE("EHLO d\r\n"), &log);
    check_slice("EHLO", smtp_server_hello(dialog->server), SLICE("d"));
    assert_true(smtp_server_is_extended(dialog->server));
    dialog_say(dialog, SLICE(ENVELOPE "DATA\r\n"), &log);
    assert_string_equal(smtp_server_state(dialog->server), "content");
    dialog_say(dialog, SLICE("x\r\n.\r\nQUIT\r\n"), &log);
    assert_string_equal(smtp_server_state(dialog->server), "closed");
    assert_int_equal(smtp_server_feed(dialog->server, SLICE("NOOP\r\n")), 0);
    dialog_close(dialog, &log);
    buffer_free(&log);
}

/* A client that sends and never reads: no more is taken than the output may hold. */
static void test_back_pressure(void **state)
{
    (void)state;
    struct smtp_server *server = smtp_server_new(&dialog_options);
    struct buffer input;
    buffer_init(&input, 1 << 20);
    for (int i = 0; i < 20000; i++)
        buffer_add(&input, SLICE("RSET\r\n"));
    assert_int_equal(smtp_server_next(server).kind, SMTP_SERVER_GREETING);
    smtp_server_answer(server, NULL);
    size_t taken = smtp_server_feed(server, buffer_slice(&input));
    assert_int_equal(smtp_server_next(server).kind, SMTP_SERVER_CLOSE); /* and it is an idle one */
    assert_true(taken < 20000);
    assert_true(smtp_server_output(server).length < 20000);
    smtp_server_free(&server);
    buffer_free(&input);

    struct smtp_server_options patient = dialog_options;
    patient.errors_max = 0;
    server = smtp_server_new(&patient);
    assert_int_equal(smtp_server_next(server).kind, SMTP_SERVER_GREETING);
    smtp_server_answer(server, NULL);
    buffer_init(&input, 1 << 20);
    for (int i = 0; i < 20000; i++)
        buffer_add(&input, SLICE("RSET\r\n"));
    taken = smtp_server_feed(server, buffer_slice(&input));
    assert_true(taken < buffer_length(&input));
    assert_true(smtp_server_output(server).length < 17000);
    assert_int_equal(smtp_server_feed(server, SLICE("RSET\r\n")), 0);
    smtp_server_sent(server, smtp_server_output(server).length);
    assert_int_equal(smtp_server_feed(server, SLICE("RSET\r\n")), 6);
    smtp_server_free(&server);
    buffer_free(&input);
}

static void test_large_content(void **state)
{
    (void)state;
    struct smtp_server_options large = dialog_options;
    large.size_max = 1 << 20;
    struct dialog *dialog = dialog_open(&large);
    struct buffer log, content;
    buffer_init(&log, 1 << 22);
    buffer_init(&content, 1 << 20);
    for (int i = 0; i < 7000; i++)
        buffer_print(&content, "..%d and some more text of a line that goes on for a while\r\n", i);
    dialog_say(dialog, SLICE(EHLO ENVELOPE "DATA\r\n"), &log);
    buffer_clear(&log);
    dialog_say(dialog, buffer_slice(&content), &log);
    dialog_say(dialog, SLICE(".\r\n"), &log);
    assert_int_equal(buffer_length(&log), buffer_length(&content) - 7000 + sizeof "[END ]\n250 2.0.0 queued\n" - 1);
    dialog_close(dialog, &log);
    buffer_free(&log);
    buffer_free(&content);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sessions, dialog_reset),
        cmocka_unit_test_setup(test_order, dialog_reset),
        cmocka_unit_test_setup(test_faults, dialog_reset),
        cmocka_unit_test_setup(test_hasty_clients, dialog_reset),
        cmocka_unit_test_setup(test_starttls, dialog_reset),
        cmocka_unit_test_setup(test_starttls_injection, dialog_reset),
        cmocka_unit_test_setup(test_refusals, dialog_reset),
        cmocka_unit_test_setup(test_content_faults, dialog_reset),
        cmocka_unit_test_setup(test_smuggling, dialog_reset),
        cmocka_unit_test_setup(test_long_lines, dialog_reset),
        cmocka_unit_test_setup(test_errors_max, dialog_reset),
        cmocka_unit_test_setup(test_idle_commands, dialog_reset),
        cmocka_unit_test_setup(test_stop, dialog_reset),
        cmocka_unit_test_setup(test_facts, dialog_reset),
        cmocka_unit_test_setup(test_back_pressure, dialog_reset),
        cmocka_unit_test_setup(test_large_content, dialog_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
