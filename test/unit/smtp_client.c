#include "smtp/client.h"

#include "test/unit/smtp_talk.h"

static void test_sessions(void **state)
{
    static const struct talk_case cases[] = {
        {"pipelined", BYTES(GREETING PLAIN_OFFER OK OK GO "250 queued\r\n221 bye\r\n"),
         READY PIPELINED ACCEPTED CONTENT "[DONE accepted at final 250 queued]\nQUIT\n(closed)\n"},
        {"lock-step", BYTES(GREETING LOCK_STEP OK OK GO "250 queued\r\n221 bye\r\n"),
         READY "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n" ACCEPTED "DATA\n" CONTENT
               "[DONE accepted at final 250 queued]\nQUIT\n(closed)\n"},
        {"HELO", BYTES(GREETING "500 what?\r\n250 mx\r\n" OK OK GO "250 queued\r\n"),
         HELLO "HELO c.example\n[READY]\nMAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n" ACCEPTED "DATA\n" CONTENT
               "[DONE accepted at final 250 queued]\nQUIT\n(quit)\n"},
        {"long greeting", BYTES("220-a\r\n220-b\r\n220 c\r\n"), HELLO "(ehlo)\n"},
        {"final reply refuses", BYTES(GREETING PLAIN_OFFER OK OK GO "550 5.7.1 spam\r\n"),
         READY PIPELINED ACCEPTED CONTENT "[DONE refused at final 550 spam]\nQUIT\n(quit)\n"},
    };
    (void)state;
    run(cases, COUNT_OF(cases));
}

static void test_several_transactions(void **state)
{
    static const struct talk_case cases[] = {
        {"two", BYTES(GREETING PLAIN_OFFER OK OK GO OK OK OK GO OK),
         READY PIPELINED ACCEPTED CONTENT "[DONE accepted at final 250 ok]\n" PIPELINED ACCEPTED CONTENT
                                          "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"after a refused content no RSET", BYTES(GREETING PLAIN_OFFER OK OK GO "550 no\r\n" OK OK GO OK),
         READY PIPELINED ACCEPTED CONTENT "[DONE refused at final 550 no]\n" PIPELINED ACCEPTED CONTENT
                                          "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"after a refused MAIL no RSET", BYTES(GREETING PLAIN_OFFER "450 no\r\n503 no\r\n503 no\r\n" OK OK GO OK),
         READY PIPELINED "[DONE refused at mail 450 no]\n" PIPELINED ACCEPTED CONTENT
                         "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"after refused recipients RSET", BYTES(GREETING PLAIN_OFFER OK "550 no\r\n554 none\r\n" OK OK OK GO OK),
         READY PIPELINED
         "[RECIPIENT 0 refused 550 no]\n[DONE refused at rcpt 550 no]\nRSET\n" PIPELINED ACCEPTED CONTENT
         "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"after refused recipients RSET, lock-step", BYTES(GREETING LOCK_STEP OK "550 no\r\n" OK OK OK GO OK),
         READY "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n[RECIPIENT 0 refused 550 no]\n"
               "[DONE refused at rcpt 550 no]\nRSET\nMAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n" ACCEPTED
               "DATA\n" CONTENT "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"after a refused DATA RSET", BYTES(GREETING PLAIN_OFFER OK OK "451 no\r\n" OK OK OK GO OK),
         READY PIPELINED ACCEPTED "[DONE refused at data 451 no]\nRSET\n" PIPELINED ACCEPTED CONTENT
                                  "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"RSET is refused", BYTES(GREETING PLAIN_OFFER OK OK "451 no\r\n500 what?\r\n"),
         READY PIPELINED ACCEPTED "[DONE refused at data 451 no]\nRSET\n" PIPELINED
                                  "[FAILED: the server refused the session at rset 500 what?]\nQUIT\n(quit)\n"},
    };
    (void)state;
    plan.mails = 2;
    run(cases, COUNT_OF(cases));
}

static void test_recipients(void **state)
{
#define BOTH "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\nRCPT TO:<c@d.example>\nDATA\n"
    static const struct talk_case cases[] = {
        {"one of two", BYTES(GREETING PLAIN_OFFER OK "550 5.1.1 who?\r\n" OK GO OK),
         READY BOTH "[RECIPIENT 0 refused 550 who?]\n[RECIPIENT 1 accepted 250 ok]\n" CONTENT
                    "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"neither, and DATA is refused", BYTES(GREETING PLAIN_OFFER OK "550 who?\r\n551 else\r\n503 none\r\n"),
         READY BOTH "[RECIPIENT 0 refused 550 who?]\n[RECIPIENT 1 refused 551 else]\n"
                    "[DONE refused at rcpt 551 else]\nQUIT\n(quit)\n"},
        {"neither, and DATA is taken: nothing but a dot",
         BYTES(GREETING PLAIN_OFFER OK "550 who?\r\n551 else\r\n" GO "250 taken\r\n"),
         READY BOTH "[RECIPIENT 0 refused 550 who?]\n[RECIPIENT 1 refused 551 else]\n.\n"
                    "[DONE refused at rcpt 551 else]\nQUIT\n(quit)\n"},
        {"MAIL is refused, and all else taken", BYTES(GREETING PLAIN_OFFER "550 no\r\n" OK OK GO "250 taken\r\n"),
         READY BOTH ".\n[DONE refused at mail 550 no]\nQUIT\n(quit)\n"},
        {"MAIL is refused", BYTES(GREETING PLAIN_OFFER "550 no\r\n503 a\r\n503 b\r\n503 c\r\n"),
         READY BOTH "[DONE refused at mail 550 no]\nQUIT\n(quit)\n"},
        {"MAIL is refused, lock-step", BYTES(GREETING LOCK_STEP "550 no\r\n"),
         READY "MAIL FROM:<a@c.example>\n[DONE refused at mail 550 no]\nQUIT\n(quit)\n"},
        {"MAIL is refused at length", BYTES(GREETING LOCK_STEP "550-no\r\n550 never\r\n"),
         READY "MAIL FROM:<a@c.example>\n[DONE refused at mail 550 no\nnever]\nQUIT\n(quit)\n"},
        {"DATA is refused", BYTES(GREETING PLAIN_OFFER OK OK "450 b\r\n451 no\r\n"),
         READY BOTH
         "[RECIPIENT 0 accepted 250 ok]\n[RECIPIENT 1 refused 450 b]\n[DONE refused at data 451 no]\nQUIT\n(quit)\n"},
    };
    (void)state;
    plan.recipients = two;
    plan.recipient_count = 2;
    run(cases, COUNT_OF(cases));
}

static void test_parameters(void **state)
{
#define MANY_OFFERS "250-mx\r\n250-PIPELINING\r\n250-SIZE\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN\r\n"
    static const struct smtp_rcpt wordy[] = {
        {.address = BYTES("b@d.example"),
         .notify = SMTP_NOTIFY_SUCCESS | SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY,
         .orcpt = BYTES("rfc822;b+2Bx@d.example")},
        {.address = BYTES("c@d.example"), .notify = SMTP_NOTIFY_NEVER, .orcpt = BYTES("")},
        {.address = BYTES("e@d.example"), .notify = SMTP_NOTIFY_DELAY, .orcpt = BYTES("")},
        {.address = BYTES("f\r\nDATA\x7f@d.example"), .orcpt = BYTES("")},
    };
    static const struct talk_case offered[] = {
        {"offered", BYTES(GREETING MANY_OFFERS),
         READY "MAIL FROM:<a@c.example> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By\n"
               "RCPT TO:<b@d.example> NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;b+2Bx@d.example\n"
               "RCPT TO:<c@d.example> NOTIFY=NEVER\nRCPT TO:<e@d.example> NOTIFY=DELAY\n"
               "RCPT TO:<f??DATA?@d.example>\nDATA\n(mail)\n"},
        {"not offered", BYTES(GREETING PLAIN_OFFER),
         READY "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\nRCPT TO:<c@d.example>\nRCPT TO:<e@d.example>\n"
               "RCPT TO:<f??DATA?@d.example>\nDATA\n(mail)\n"},
    };
    static const struct talk_case plain[] = {
        {"nothing to say", BYTES(GREETING MANY_OFFERS), READY "MAIL FROM:<>\nRCPT TO:<b@d.example>\nDATA\n(mail)\n"},
    };
    (void)state;
    plan.mail = (struct smtp_mail){.reverse_path = BYTES("a@c.example"),
                                   .size = 77,
                                   .body = SMTP_BODY_8BITMIME,
                                   .utf8 = true,
                                   .ret = SMTP_RET_HDRS,
                                   .envid = BYTES("x+2By")};
    plan.recipients = wordy;
    plan.recipient_count = COUNT_OF(wordy);
    run(offered, COUNT_OF(offered));
    plan = plan_of_one;
    plan.mail.reverse_path = SLICE("");
    run(plain, COUNT_OF(plain));
}

static void test_chunks(void **state)
{
#define CHUNK_OFFER "250-mx\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
#define CHUNKED READY "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n"
#define THREE "[CONTENT]\nBDAT 1\n.BDAT 1\nyBDAT 2 LAST\n\n"
    static const struct talk_case cases[] = {
        {"three", BYTES(GREETING CHUNK_OFFER OK OK OK OK "250 queued\r\n"),
         CHUNKED ACCEPTED THREE "[DONE accepted at final 250 queued]\nQUIT\n(quit)\n"},
        {"the first is refused", BYTES(GREETING CHUNK_OFFER OK OK "552 no\r\n503 a\r\n503 b\r\n"),
         CHUNKED ACCEPTED THREE "[DONE refused at final 552 no]\nQUIT\n(quit)\n"},
        {"the last is refused", BYTES(GREETING CHUNK_OFFER OK OK OK OK "451 no\r\n"),
         CHUNKED ACCEPTED THREE "[DONE refused at final 451 no]\nQUIT\n(quit)\n"},
        {"the recipient is refused", BYTES(GREETING CHUNK_OFFER OK "550 no\r\n"),
         CHUNKED "[RECIPIENT 0 refused 550 no]\n[DONE refused at rcpt 550 no]\nQUIT\n(quit)\n"},
        {"MAIL is refused", BYTES(GREETING CHUNK_OFFER "550 no\r\n503 x\r\n"),
         CHUNKED "[DONE refused at mail 550 no]\nQUIT\n(quit)\n"},
        {"421", BYTES(GREETING CHUNK_OFFER OK OK OK "421 bye\r\n"),
         CHUNKED ACCEPTED THREE SHUTDOWN("final") "QUIT\n(quit)\n"},
        {"without PIPELINING not used", BYTES(GREETING "250-mx\r\n250 CHUNKING\r\n" OK OK),
         READY "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n" ACCEPTED "DATA\n(data)\n"},
    };
    static const struct talk_case empty[] = {
        {"no content", BYTES(GREETING CHUNK_OFFER OK OK OK),
         CHUNKED ACCEPTED "[CONTENT]\nBDAT 0 LAST\n[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
    };
    static const struct talk_case open[] = {
        {"refused before the end", BYTES(GREETING CHUNK_OFFER OK OK "552 no\r\n503 a\r\n"),
         CHUNKED ACCEPTED "[CONTENT]\nBDAT 1\n.BDAT 1\ny[DONE refused at final 552 no]\nQUIT\n(quit)\n"},
        {"a reply too many", BYTES(GREETING CHUNK_OFFER OK OK OK OK OK),
         CHUNKED ACCEPTED
         "[CONTENT]\nBDAT 1\n.BDAT 1\ny[FAILED: the server's reply is malformed at content 250 ok]\n(closed)\n"},
    };
    static const struct talk_case twice[] = {
        {"RSET after a refused chunk", BYTES(GREETING CHUNK_OFFER OK OK "552 no\r\n503 a\r\n503 b\r\n" OK OK),
         CHUNKED ACCEPTED THREE
         "[DONE refused at final 552 no]\nRSET\nMAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n(rcpt)\n"},
        {"no RSET after an accepted one", BYTES(GREETING CHUNK_OFFER OK OK OK OK OK OK),
         CHUNKED ACCEPTED THREE
         "[DONE accepted at final 250 ok]\nMAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n(rcpt)\n"},
    };
    (void)state;
    plan.options.chunking = true;
    plan.content = ".y\r\n"; /* a CR goes with what follows it */
    run(cases, COUNT_OF(cases));
    plan.mails = 2;
    run(twice, COUNT_OF(twice));
    plan.mails = 1;
    plan.content_stays_open = true;
    plan.content = ".y\r";
    run(open, COUNT_OF(open));
    plan.content_stays_open = false;
    plan.content = "";
    run(empty, COUNT_OF(empty));
}

static void test_eager(void **state)
{
#define FLIGHT "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\nBDAT 1\n.BDAT 1\nyBDAT 2 LAST\n\n"
#define ASKED "MAIL FROM:<a@c.example>\nRCPT TO:<b@d.example>\n"
    static const struct talk_case cases[] = {
        {"taken", BYTES(GREETING CHUNK_OFFER OK OK OK OK "250 queued\r\n"),
         READY FLIGHT ACCEPTED "[DONE accepted at final 250 queued]\nQUIT\n(quit)\n"},
        {"refused at the end", BYTES(GREETING CHUNK_OFFER OK OK OK OK "451 no\r\n"),
         READY FLIGHT ACCEPTED "[DONE refused at final 451 no]\nQUIT\n(quit)\n"},
        {"refused at the first chunk", BYTES(GREETING CHUNK_OFFER OK OK "552 no\r\n503 a\r\n503 b\r\n"),
         READY FLIGHT ACCEPTED "[DONE refused at final 552 no]\nQUIT\n(quit)\n"},
        {"the recipient is refused", BYTES(GREETING CHUNK_OFFER OK "550 no\r\n554 a\r\n554 b\r\n554 c\r\n"),
         READY FLIGHT "[RECIPIENT 0 refused 550 no]\n[DONE refused at rcpt 550 no]\nQUIT\n(quit)\n"},
        {"the recipient is refused, the content taken", BYTES(GREETING CHUNK_OFFER OK "550 no\r\n" OK OK OK),
         READY FLIGHT "[RECIPIENT 0 refused 550 no]\n[DONE refused at rcpt 550 no]\nQUIT\n(quit)\n"},
        {"MAIL is refused", BYTES(GREETING CHUNK_OFFER "550 no\r\n503 a\r\n503 b\r\n503 c\r\n503 d\r\n"),
         READY FLIGHT "[DONE refused at mail 550 no]\nQUIT\n(quit)\n"},
        {"421 to MAIL", BYTES(GREETING CHUNK_OFFER "421 bye\r\n"), READY FLIGHT SHUTDOWN("mail") "QUIT\n(quit)\n"},
        {"without CHUNKING it is asked", BYTES(GREETING PLAIN_OFFER OK OK GO OK),
         READY PIPELINED ACCEPTED "[CONTENT]\n..y\n.\n[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
    };
    static const struct talk_case twice[] = {
        {"after refused recipients RSET, and no haste",
         BYTES(GREETING CHUNK_OFFER OK "550 no\r\n554 a\r\n554 b\r\n554 c\r\n" OK OK OK OK OK OK),
         READY FLIGHT "[RECIPIENT 0 refused 550 no]\n[DONE refused at rcpt 550 no]\nRSET\n" ASKED ACCEPTED THREE
                      "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
        {"one after the other", BYTES(GREETING CHUNK_OFFER OK OK OK OK OK OK OK OK OK OK),
         READY FLIGHT ACCEPTED "[DONE accepted at final 250 ok]\n" FLIGHT ACCEPTED
                               "[DONE accepted at final 250 ok]\nQUIT\n(quit)\n"},
    };
    (void)state;
    plan.options.chunking = plan.eager = true;
    plan.content = ".y\r\n";
    run(cases, COUNT_OF(cases));
    plan.mails = 2;
    run(twice, COUNT_OF(twice));
}

/* Whether the message may have arrived is known from what left and what came back. */
static void test_eager_is_lost(void **state)
{
#define GONE(where) "[FAILED: the connection was lost at " where "]\n(closed)\n"
    static const struct talk_case whole[] = {
        {"before any reply", BYTES(GREETING CHUNK_OFFER), READY FLIGHT GONE("mail maybe")},
        {"after MAIL", BYTES(GREETING CHUNK_OFFER OK), READY FLIGHT GONE("rcpt maybe")},
        {"after RCPT", BYTES(GREETING CHUNK_OFFER OK OK), READY FLIGHT ACCEPTED GONE("final maybe")},
        {"after a chunk", BYTES(GREETING CHUNK_OFFER OK OK OK), READY FLIGHT ACCEPTED GONE("final maybe")},
        {"after MAIL was refused", BYTES(GREETING CHUNK_OFFER "550 no\r\n"), READY FLIGHT GONE("rcpt")},
        {"after the recipient was refused", BYTES(GREETING CHUNK_OFFER OK "550 no\r\n"),
         READY FLIGHT "[RECIPIENT 0 refused 550 no]\n" GONE("final")},
    };
    static const struct talk_case open[] = {
        {"content that was not ended, before any reply", BYTES(GREETING CHUNK_OFFER),
         READY ASKED "BDAT 1\n.BDAT 1\ny" GONE("mail")},
        {"content that was not ended", BYTES(GREETING CHUNK_OFFER OK OK),
         READY ASKED "BDAT 1\n.BDAT 1\ny" ACCEPTED GONE("content")},
    };
    static const struct talk_case refused[] = {
        {"content that was not ended is given up",
         BYTES(GREETING CHUNK_OFFER OK "550 no\r\n554 a\r\n554 b\r\n221 bye\r\n"),
         READY ASKED "BDAT 1\n.BDAT 1\ny[RECIPIENT 0 refused 550 no]\n[DONE refused at rcpt 550 no]\nQUIT\n(closed)\n"},
        {"nothing of it has left", BYTES(GREETING CHUNK_OFFER "550 no\r\n503 x\r\n221 bye\r\n"),
         READY ASKED "[DONE refused at mail 550 no]\nQUIT\n(closed)\n"},
    };
    (void)state;
    plan.options.chunking = plan.eager = plan.lose = true;
    plan.content = ".y\r\n";
    run(whole, COUNT_OF(whole));
    plan.content_stays_open = true;
    plan.content = ".y\r";
    run(open, COUNT_OF(open));
    run(refused, 1);
    plan.content = ".";
    run(refused + 1, 1);
}

static void test_abort(void **state)
{
    (void)state;
    struct buffer log;
    buffer_init(&log, 65536);
    plan.content_stays_open = true;
    struct talk *talk = talk_start();
    talk_feed(talk, SLICE(GREETING PLAIN_OFFER OK OK GO), &log);
    smtp_client_content(talk->client, SLICE("more\r\n"));
    assert_true(smtp_client_output(talk->client).length > 0);
    smtp_client_abort(talk->client);
    assert_int_equal(smtp_client_output(talk->client).length, 0);
    assert_int_equal(smtp_client_next(talk->client).kind, SMTP_CLIENT_WAIT);
    smtp_client_quit(talk->client);
    smtp_client_content_end(talk->client);
    smtp_client_lost(talk->client);
    assert_int_equal(smtp_client_next(talk->client).kind, SMTP_CLIENT_WAIT);
    assert_int_equal(smtp_client_output(talk->client).length, 0);
    plan.lose = false;
    talk_finish(talk, &log);
    buffer_free(&log);
}

static void test_many_recipients(void **state)
{
    (void)state;
    static struct smtp_rcpt many[1000];
    for (size_t i = 0; i < COUNT_OF(many); i++)
        many[i] = one[0];
    struct smtp_client *client = smtp_client_new(&plan.options);
    struct smtp_transaction transaction = {plan.mail, many, COUNT_OF(many), false};
    struct buffer replies;
    buffer_init(&replies, 1 << 20);
    smtp_client_feed(client, SLICE(GREETING PLAIN_OFFER));
    assert_int_equal(smtp_client_next(client).kind, SMTP_CLIENT_READY);
    smtp_client_mail(client, &transaction);
    buffer_add(&replies, SLICE("250 sender\r\n"));
    for (size_t i = 0; i < COUNT_OF(many); i++)
        buffer_print(&replies, i % 2 == 0 ? "250 %0200zu\r\n" : "550 %0200zu\r\n", i);
    size_t events = 0, accepted = 0;
    for (struct slice rest = buffer_slice(&replies); rest.length > 0;) {
        rest = slice_from(rest, smtp_client_feed(client, rest)); /* more than it keeps at once */
        struct smtp_client_event event;
        while ((event = smtp_client_next(client)).kind == SMTP_CLIENT_RECIPIENT) {
            assert_int_equal(event.recipient, events++);
            accepted += event.accepted;
        }
        assert_int_equal(event.kind, SMTP_CLIENT_WAIT);
    }
    assert_int_equal(events, 1000);
    assert_int_equal(accepted, 500);
    assert_int_equal(smtp_client_stage(client), SMTP_STAGE_DATA);
    smtp_client_free(&client);
    buffer_free(&replies);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sessions, reset_plan),
        cmocka_unit_test_setup(test_several_transactions, reset_plan),
        cmocka_unit_test_setup(test_recipients, reset_plan),
        cmocka_unit_test_setup(test_parameters, reset_plan),
        cmocka_unit_test_setup(test_chunks, reset_plan),
        cmocka_unit_test_setup(test_eager, reset_plan),
        cmocka_unit_test_setup(test_eager_is_lost, reset_plan),
        cmocka_unit_test_setup(test_abort, reset_plan),
        cmocka_unit_test_setup(test_many_recipients, reset_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
