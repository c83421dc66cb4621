#include "smtp/client.h"

#include "test/unit/smtp_talk.h"

static void test_refusals(void **state)
{
#define REFUSED "[FAILED: the server refused the session at "
    static const struct talk_case cases[] = {
        {"greeting 554", BYTES("554 5.7.1 no\r\n"), REFUSED "greeting 554 no]\nQUIT\n(quit)\n"},
        {"greeting 421", BYTES("421 busy\r\n"), REFUSED "greeting 421 busy]\nQUIT\n(quit)\n"},
        {"greeting 250", BYTES("250 hi\r\n"), REFUSED "greeting 250 hi]\nQUIT\n(quit)\n"},
        {"EHLO 4xx", BYTES(GREETING "450 later\r\n"), HELLO REFUSED "ehlo 450 later]\nQUIT\n(quit)\n"},
        {"HELO too", BYTES(GREETING "502 a\r\n504 b\r\n"),
         HELLO "HELO c.example\n" REFUSED "ehlo 504 b]\nQUIT\n(quit)\n"},
        {"EHLO 354", BYTES(GREETING "354 a\r\n"),
         HELLO "[FAILED: the server's reply is malformed at ehlo 354 a]\n(closed)\n"},
    };
    (void)state;
    run(cases, COUNT_OF(cases));
}

static void test_shutdown(void **state)
{
    static const struct talk_case cases[] = {
        {"EHLO", BYTES(GREETING "421 bye\r\n"), HELLO SHUTDOWN("ehlo") "QUIT\n(quit)\n"},
        {"MAIL", BYTES(GREETING PLAIN_OFFER "421 bye\r\n"), READY PIPELINED SHUTDOWN("mail") "QUIT\n(quit)\n"},
        {"RCPT", BYTES(GREETING PLAIN_OFFER OK "421 bye\r\n"), READY PIPELINED SHUTDOWN("rcpt") "QUIT\n(quit)\n"},
        {"DATA", BYTES(GREETING PLAIN_OFFER OK OK "421 bye\r\n"),
         READY PIPELINED ACCEPTED SHUTDOWN("data") "QUIT\n(quit)\n"},
        {"final: it has said no", BYTES(GREETING PLAIN_OFFER OK OK GO "421 bye\r\n"),
         READY PIPELINED ACCEPTED CONTENT SHUTDOWN("final") "QUIT\n(quit)\n"},
    };
    static const struct talk_case open[] = {
        {"content", BYTES(GREETING PLAIN_OFFER OK OK GO "421 bye\r\n"),
         READY PIPELINED ACCEPTED "[CONTENT]\nx\n..y\n" SHUTDOWN("content") "(closed)\n"},
        {"content, another reply", BYTES(GREETING PLAIN_OFFER OK OK GO "552 too much\r\n"),
         READY PIPELINED ACCEPTED
         "[CONTENT]\nx\n..y\n[FAILED: the server's reply is malformed at content 552 too much]\n(closed)\n"},
    };
    (void)state;
    run(cases, COUNT_OF(cases));
    plan.content_stays_open = true;
    run(open, COUNT_OF(open));
}

static void test_idle(void **state)
{
    (void)state;
    struct smtp_client *client = smtp_client_new(&plan.options);
    struct slice hello = SLICE(GREETING PLAIN_OFFER);
    assert_int_equal(smtp_client_feed(client, hello), hello.length);
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_feed(client, SLICE("421 idle\r\n")), 10);
    struct smtp_client_event event = smtp_client_next(client);
    assert_int_equal(event.kind, SMTP_CLIENT_FAILED);
    assert_int_equal(event.fault, SMTP_CLIENT_FAULT_SHUTDOWN);
    assert_int_equal(event.stage, SMTP_STAGE_READY);
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_WAIT);
    smtp_client_free(&client);

    client = smtp_client_new(&plan.options);
    smtp_client_feed(client, hello);
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_READY);
    assert_int_equal(smtp_client_feed(client, SLICE("250 again\r\n")), 11);
    event = smtp_client_next(client);
    assert_int_equal(event.kind, SMTP_CLIENT_FAILED);
    assert_int_equal(event.fault, SMTP_CLIENT_FAULT_MALFORMED);
    smtp_client_free(&client);
    smtp_client_free(&client);
}

static void test_malformed(void **state)
{
#define BAD(stage) "[FAILED: the server's reply is malformed at " stage "]\n(closed)\n"
    static const struct talk_case cases[] = {
        {"greeting", BYTES("SSH-2.0-x\r\n"), BAD("greeting")},
        {"EHLO", BYTES(GREETING "250-a\r\n251 b\r\n"), HELLO BAD("ehlo")},
        {"RCPT", BYTES(GREETING PLAIN_OFFER OK "\r\n"), READY PIPELINED BAD("rcpt")},
        {"final", BYTES(GREETING PLAIN_OFFER OK OK GO "2\r\n"),
         READY PIPELINED ACCEPTED CONTENT "[FAILED: the server's reply is malformed at final maybe]\n(closed)\n"},
        {"final 354", BYTES(GREETING PLAIN_OFFER OK OK GO GO),
         READY PIPELINED ACCEPTED CONTENT
         "[FAILED: the server's reply is malformed at final 354 go maybe]\n(closed)\n"},
        {"DATA 250", BYTES(GREETING PLAIN_OFFER OK OK OK),
         READY PIPELINED ACCEPTED "[FAILED: the server's reply is malformed at data 250 ok]\n(closed)\n"},
    };
    (void)state;
    run(cases, COUNT_OF(cases));
}

static void test_lost(void **state)
{
#define LOST(stage) "[FAILED: the connection was lost at " stage "]\n(closed)\n"
    static const struct talk_case cases[] = {
        {"at once", BYTES(""), LOST("greeting")},
        {"in a reply", BYTES(GREETING "250-x"), HELLO LOST("ehlo")},
        {"in RCPT", BYTES(GREETING PLAIN_OFFER OK), READY PIPELINED LOST("rcpt")},
        {"before the final reply", BYTES(GREETING PLAIN_OFFER OK OK GO),
         READY PIPELINED ACCEPTED CONTENT "[FAILED: the connection was lost at final maybe]\n(closed)\n"},
        {"after the lone dot", BYTES(GREETING PLAIN_OFFER OK "550 no\r\n" GO),
         READY PIPELINED "[RECIPIENT 0 refused 550 no]\n.\n" LOST("final")},
        {"after QUIT", BYTES(GREETING PLAIN_OFFER OK OK GO OK),
         READY PIPELINED ACCEPTED CONTENT "[DONE accepted at final 250 ok]\nQUIT\n(closed)\n"},
    };
    static const struct talk_case open[] = {
        {"in content", BYTES(GREETING PLAIN_OFFER OK OK GO),
         READY PIPELINED ACCEPTED "[CONTENT]\nx\n..y\n" LOST("content")},
    };
    (void)state;
    plan.lose = true;
    run(cases, COUNT_OF(cases));
    plan.content_stays_open = true;
    run(open, COUNT_OF(open));
}

/* A reply that came before the connection broke still counts. */
static void test_lost_after_the_reply(void **state)
{
    (void)state;
    struct buffer log;
    buffer_init(&log, 65536);
    struct talk *talk = talk_start();
    talk_feed(talk, SLICE(GREETING PLAIN_OFFER OK OK GO), &log);
    buffer_clear(&log);
    smtp_client_feed(talk->client, SLICE("250 queued\r\n"));
    smtp_client_lost(talk->client);
    talk_pump(talk, &log);
    check_slice("promised", buffer_slice(&log), SLICE("[DONE accepted at final 250 queued]\nQUIT\n"));
    talk_finish(talk, &log);
    buffer_free(&log);
}

static void test_starttls(void **state)
{
#define TLS_OFFER "250-mx.example\r\n250-PIPELINING\r\n250 STARTTLS\r\n"
#define STARTED HELLO "STARTTLS\n[STARTTLS 220 go]\n[TLS]\n" HELLO
    static const struct talk_case may[] = {
        {"all is asked anew", BYTES(GREETING TLS_OFFER "220 go\r\n\1" LOCK_STEP OK),
         STARTED "[READY]\nMAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n(rcpt)\n"},
        {"STARTTLS is not sent twice", BYTES(GREETING TLS_OFFER "220 go\r\n\1" TLS_OFFER),
         STARTED "[READY]\n" PIPELINED "(mail)\n"},
        {"not offered", BYTES(GREETING PLAIN_OFFER), READY PIPELINED "(mail)\n"},
        {"refused", BYTES(GREETING TLS_OFFER "454 no\r\n"), HELLO "STARTTLS\n[READY]\n" PIPELINED "(mail)\n"},
        {"refused for good", BYTES(GREETING TLS_OFFER "502 no\r\n"), HELLO "STARTTLS\n[READY]\n" PIPELINED "(mail)\n"},
        {"421", BYTES(GREETING TLS_OFFER "421 bye\r\n"), HELLO "STARTTLS\n" SHUTDOWN("starttls") "QUIT\n(quit)\n"},
        {"not 220", BYTES(GREETING TLS_OFFER "250 go\r\n"),
         HELLO "STARTTLS\n[FAILED: STARTTLS was refused at starttls 250 go]\nQUIT\n(quit)\n"},
        {"no HELO under TLS",
         BYTES(GREETING TLS_OFFER "220 go\r\n\1"
                                  "500 what?\r\n"),
         STARTED "[FAILED: the server refused the session at ehlo-secured 500 what?]\nQUIT\n(quit)\n"},
    };
    static const struct talk_case must[] = {
        {"must", BYTES(GREETING TLS_OFFER "220 go\r\n\1" PLAIN_OFFER), STARTED "[READY]\n" PIPELINED "(mail)\n"},
        {"must, not offered", BYTES(GREETING PLAIN_OFFER),
         HELLO "[FAILED: STARTTLS is not offered at ehlo]\nQUIT\n(quit)\n"},
        {"must, refused", BYTES(GREETING TLS_OFFER "454 no\r\n"),
         HELLO "STARTTLS\n[FAILED: STARTTLS was refused at starttls 454 no]\nQUIT\n(quit)\n"},
        {"must, no EHLO", BYTES(GREETING "500 what?\r\n"),
         HELLO "[FAILED: the server refused the session at ehlo 500 what?]\nQUIT\n(quit)\n"},
    };
    static const struct talk_case never[] = {
        {"never", BYTES(GREETING TLS_OFFER), READY PIPELINED "(mail)\n"},
    };
    (void)state;
    run(never, COUNT_OF(never));
    plan.options.starttls = SMTP_CLIENT_STARTTLS_MAY;
    run(may, COUNT_OF(may));
    plan.options.starttls = SMTP_CLIENT_STARTTLS_MUST;
    plan.mail.tls = SMTP_TLS_REQUIRED;
    run(must, COUNT_OF(must));
    plan.options.secured = true; /* from the first byte: STARTTLS is neither needed nor used */
    run(never, COUNT_OF(never));
}

/* CVE-2011-0411, the other way round: replies that were put behind the 220 in the clear. */
static void test_injection(void **state)
{
    (void)state;
    static const struct slice injected[] = {BYTES("250 PIPELINING\r\n"), BYTES("\n"), BYTES("\0")};
    plan.options.starttls = SMTP_CLIENT_STARTTLS_MAY;
    struct slice before = SLICE(GREETING TLS_OFFER "220 go\r\n");
    for (size_t i = 0; i < COUNT_OF(injected); i++) {
        for (int apart = 0; apart <= 2; apart++) { /* in one piece; before the event is read; after it */
            struct smtp_client *client = smtp_client_new(&plan.options);
            struct buffer input;
            buffer_init(&input, 4096);
            buffer_add(&input, before);
            if (apart == 0)
                buffer_add(&input, injected[i]);
            smtp_client_feed(client, buffer_slice(&input));
            if (apart == 1)
                smtp_client_feed(client, injected[i]);
            if (apart == 2) {
                assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_STARTTLS);
                assert_int_equal(smtp_client_stage(client), SMTP_STAGE_SECURING);
                smtp_client_feed(client, injected[i]);
            }
            struct smtp_client_event event = smtp_client_next(client);
            assert_int_equal(event.kind, SMTP_CLIENT_FAILED);
            assert_int_equal(event.fault, SMTP_CLIENT_FAULT_INJECTION);
            assert_false(smtp_client_is_secured(client));
            smtp_client_sent(client, smtp_client_output(client).length);
            smtp_client_quit(client);
            assert_int_equal(smtp_client_output(client).length, 0);
            smtp_client_free(&client);
            buffer_free(&input);
        }
    }
}

static void test_auth(void **state)
{
#define AUTH_OFFER(mechanisms) "250-mx\r\n250-PIPELINING\r\n250 AUTH " mechanisms "\r\n"
    static const struct talk_case cases[] = {
        {"PLAIN", BYTES(GREETING AUTH_OFFER("LOGIN PLAIN") "235 ok\r\n"),
         READY "AUTH PLAIN AG5hbWUAc2VjcmV0\n[READY]\n" PIPELINED "(mail)\n"},
        {"LOGIN", BYTES(GREETING AUTH_OFFER("LOGIN") "334 VXNlcm5hbWU6\r\n334 UGFzc3dvcmQ6\r\n235 ok\r\n"),
         READY "AUTH LOGIN\nbmFtZQ==\nc2VjcmV0\n[READY]\n" PIPELINED "(mail)\n"},
        {"refused", BYTES(GREETING AUTH_OFFER("PLAIN") "535 5.7.8 wrong\r\n"),
         READY
         "AUTH PLAIN AG5hbWUAc2VjcmV0\n[FAILED: the server refused the credentials at auth 535 wrong]\nQUIT\n(quit)\n"},
        {"LOGIN refused half-way", BYTES(GREETING AUTH_OFFER("LOGIN") "334 VXNlcm5hbWU6\r\n535 no\r\n"),
         READY "AUTH LOGIN\nbmFtZQ==\n[FAILED: the server refused the credentials at auth 535 no]\nQUIT\n(quit)\n"},
        {"a challenge too many", BYTES(GREETING AUTH_OFFER("PLAIN") "334 \r\n"),
         READY "AUTH PLAIN AG5hbWUAc2VjcmV0\n[FAILED: the server's reply is malformed at auth 334 ]\n(closed)\n"},
        {"nothing usable", BYTES(GREETING AUTH_OFFER("CRAM-MD5")),
         READY "[FAILED: the server offers no usable AUTH mechanism at auth]\nQUIT\n(quit)\n"},
        {"nothing offered", BYTES(GREETING PLAIN_OFFER),
         READY "[FAILED: the server offers no usable AUTH mechanism at auth]\nQUIT\n(quit)\n"},
    };
    (void)state;
    plan.auth = plan.options.secured = true;
    run(cases, COUNT_OF(cases));
}

static void test_long_password(void **state)
{
    (void)state;
    char password[500];
    memset(password, 'p', sizeof password);
    plan.options.secured = true;
    struct smtp_client *client = smtp_client_new(&plan.options);
    smtp_client_feed(client, SLICE(GREETING AUTH_OFFER("PLAIN")));
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_READY);
    smtp_client_sent(client, smtp_client_output(client).length);
    smtp_client_auth(client, SLICE("name"), slice_make(password, sizeof password));
    check_slice("first", smtp_client_output(client), SLICE("AUTH PLAIN\r\n"));
    smtp_client_sent(client, smtp_client_output(client).length);
    smtp_client_feed(client, SLICE("334 \r\n"));
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_output(client).length, (500 + 6 + 2) / 3 * 4 + 2);
    smtp_client_free(&client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_refusals, reset_plan),
        cmocka_unit_test_setup(test_shutdown, reset_plan),
        cmocka_unit_test_setup(test_idle, reset_plan),
        cmocka_unit_test_setup(test_malformed, reset_plan),
        cmocka_unit_test_setup(test_lost, reset_plan),
        cmocka_unit_test_setup(test_lost_after_the_reply, reset_plan),
        cmocka_unit_test_setup(test_starttls, reset_plan),
        cmocka_unit_test_setup(test_injection, reset_plan),
        cmocka_unit_test_setup(test_auth, reset_plan),
        cmocka_unit_test_setup(test_long_password, reset_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
