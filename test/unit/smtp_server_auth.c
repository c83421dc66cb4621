#include "smtp/server.h"

#include "test/unit/smtp_dialog.h"

#define OFFER                                                                                                          \
    "250-mx.example\n250-PIPELINING\n250-SIZE 1000\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250-AUTH PLAIN LOGIN\n"     \
    "250-DSN\n250 SMTPUTF8\n"
#define MAIL "MAIL FROM:<a@c.example>\r\n"
#define YES "[AUTH name:secret]\n235 2.7.0 authenticated\n"
#define PLAIN "AG5hbWUAc2VjcmV0" /* NUL name NUL secret */
#define NAME "bmFtZQ=="
#define SECRET "c2VjcmV0"

static int offer_auth(void **state)
{
    dialog_reset(state);
    split_options.auth = SMTP_SERVER_AUTH_OFFERED;
    split_options.secured = true;
    return 0;
}

static void test_exchanges(void **state)
{
    static const struct dialog_case cases[] = {
        {"PLAIN at once", BYTES(EHLO "AUTH PLAIN " PLAIN "\r\n\1" MAIL), OFFER YES MAIL_OK},
        {"plain at once", BYTES(EHLO "auth plain " PLAIN "\r\n\1"), OFFER YES},
        {"PLAIN when asked", BYTES(EHLO "AUTH PLAIN\r\n\1" PLAIN "\r\n\1" MAIL), OFFER "334 \n" YES MAIL_OK},
        {"acting for oneself", BYTES(EHLO "AUTH PLAIN bmFtZQBuYW1lAHNlY3JldA==\r\n\1"), OFFER YES},
        {"LOGIN", BYTES(EHLO "AUTH LOGIN\r\n\1" NAME "\r\n\1" SECRET "\r\n\1" MAIL),
         OFFER "334 VXNlcm5hbWU6\n334 UGFzc3dvcmQ6\n" YES MAIL_OK},
        {"LOGIN with the name", BYTES(EHLO "AUTH LOGIN " NAME "\r\n\1" SECRET "\r\n\1"),
         OFFER "334 UGFzc3dvcmQ6\n" YES},
        {"again", BYTES(EHLO "AUTH PLAIN " PLAIN "\r\n\1AUTH PLAIN " PLAIN "\r\n\1"),
         OFFER YES "503 5.5.1 authenticated already\n"},
        {"cancelled", BYTES(EHLO "AUTH PLAIN\r\n\1*\r\n\1NOOP\r\nAUTH PLAIN " PLAIN "\r\n\1"),
         OFFER "334 \n501 5.7.0 authentication cancelled\n250 2.0.0 ok\n" YES},
        {"cancelled later", BYTES(EHLO "AUTH LOGIN\r\n\1" NAME "\r\n\1*\r\n\1NOOP\r\n"),
         OFFER "334 VXNlcm5hbWU6\n334 UGFzc3dvcmQ6\n501 5.7.0 authentication cancelled\n250 2.0.0 ok\n"},
        {"a command is a bad response", BYTES(EHLO "AUTH PLAIN\r\n\1QUIT now\r\n\1NOOP\r\n"),
         OFFER "334 \n501 5.5.2 not base64\n250 2.0.0 ok\n"},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
}

static void test_faults(void **state)
{
    static const struct dialog_case cases[] = {
        {"before EHLO", BYTES("AUTH PLAIN " PLAIN "\r\n\1"), "503 5.5.1 EHLO first\n"},
        {"after HELO", BYTES("HELO c\r\n\1AUTH PLAIN " PLAIN "\r\n\1"), "250 mx.example\n503 5.5.1 EHLO first\n"},
        {"in a transaction", BYTES(EHLO MAIL "AUTH PLAIN " PLAIN "\r\n\1"),
         OFFER MAIL_OK "503 5.5.1 not during a mail transaction\n"},
        {"mechanism", BYTES(EHLO "AUTH CRAM-MD5\r\n\1"), OFFER "504 5.5.4 mechanism not offered\n"},
        {"too many words", BYTES(EHLO "AUTH PLAIN a b\r\n\1"),
         OFFER "501 5.5.4 syntax: AUTH mechanism [initial-response]\n"},
        {"empty response", BYTES(EHLO "AUTH PLAIN =\r\n\1"), OFFER "501 5.5.2 not a PLAIN response\n"},
        {"empty line", BYTES(EHLO "AUTH PLAIN\r\n\1\r\n\1"), OFFER "334 \n501 5.5.2 not a PLAIN response\n"},
        {"no padding", BYTES(EHLO "AUTH PLAIN AGEAYg\r\n\1"), OFFER "501 5.5.2 not base64\n"},
        {"padding in the middle", BYTES(EHLO "AUTH PLAIN AGE=AGEA\r\n\1"), OFFER "501 5.5.2 not base64\n"},
        {"bytes behind", BYTES(EHLO "AUTH PLAIN\r\n\1" PLAIN " \r\n\1"), OFFER "334 \n501 5.5.2 not base64\n"},
        {"one NUL", BYTES(EHLO "AUTH PLAIN AGFi\r\n\1"), OFFER "501 5.5.2 not a PLAIN response\n"},
        {"three NULs", BYTES(EHLO "AUTH PLAIN AGEAYgAA\r\n\1"), OFFER "501 5.5.2 not a PLAIN response\n"},
        {"no password", BYTES(EHLO "AUTH PLAIN AGEA\r\n\1"), OFFER "535 5.7.8 authentication failed\n"},
        {"no name", BYTES(EHLO "AUTH PLAIN AABi\r\n\1"), OFFER "535 5.7.8 authentication failed\n"},
        {"for another", BYTES(EHLO "AUTH PLAIN YWRtaW4AbmFtZQBzZWNyZXQ=\r\n\1"),
         OFFER "535 5.7.8 one cannot act for another here\n"},
        {"LOGIN without a name", BYTES(EHLO "AUTH LOGIN =\r\n\1" SECRET "\r\n\1"),
         OFFER "334 UGFzc3dvcmQ6\n535 5.7.8 authentication failed\n"},
        {"LOGIN without a password", BYTES(EHLO "AUTH LOGIN " NAME "\r\n\1\r\n\1"),
         OFFER "334 UGFzc3dvcmQ6\n535 5.7.8 authentication failed\n"},
        {"NUL in the line", BYTES(EHLO "AUTH PLAIN\r\n\1AG\0\r\n\1"), OFFER "334 \n501 5.5.2 not base64\n"},
    };
    (void)state;
    dialog_run(cases, COUNT_OF(cases));
}

static void test_refused(void **state)
{
    static const struct dialog_case cases[] = {
        {"wrong, then right to try again",
         BYTES(EHLO "AUTH PLAIN " PLAIN "\r\n\1AUTH LOGIN " NAME "\r\n\1" SECRET "\r\n\1"),
         OFFER "[AUTH name:secret]\n535 5.7.8 wrong\n334 UGFzc3dvcmQ6\n[AUTH name:secret]\n535 5.7.8 wrong\n"}};
    static const struct dialog_case few[] = {
        {"errors_max", BYTES(EHLO "AUTH PLAIN " PLAIN "\r\n\1AUTH PLAIN " PLAIN "\r\n\1"),
         OFFER "[AUTH name:secret]\n535 5.7.8 wrong\n[AUTH name:secret]\n535 5.7.8 wrong\n421 4.7.0 too many "
               "errors\n[CLOSE]\n"}};
    (void)state;
    split_refused = SMTP_SERVER_AUTH;
    split_refusal = smtp_reply_make(535, 7, 8, "wrong");
    dialog_run(cases, COUNT_OF(cases));
    split_options.errors_max = 2;
    dialog_run(few, COUNT_OF(few));
}

static void test_required(void **state)
{
    static const struct dialog_case cases[] = {
        {"MAIL before AUTH", BYTES(EHLO MAIL "AUTH PLAIN " PLAIN "\r\n\1" MAIL),
         OFFER "530 5.7.0 authentication required\n" YES MAIL_OK},
    };
#define CLEAR                                                                                                          \
    "250-mx.example\n250-PIPELINING\n250-SIZE 1000\n250-8BITMIME\n250-ENHANCEDSTATUSCODES\n250-STARTTLS\n250-DSN\n"    \
    "250 SMTPUTF8\n"
    static const struct dialog_case clear[] = {
        {"in the clear", BYTES(EHLO MAIL "AUTH PLAIN " PLAIN "\r\n\1AUTH LOGIN\r\n\1"),
         CLEAR "530 5.7.0 STARTTLS and authentication required\n538 5.7.11 encryption required for authentication\n"
               "538 5.7.11 encryption required for authentication\n"},
        {"after STARTTLS", BYTES(EHLO "STARTTLS\r\n\1" EHLO "AUTH PLAIN " PLAIN "\r\n\1" MAIL),
         CLEAR "[STARTTLS]\n220 2.0.0 ready to start TLS\n[TLS]\n" OFFER YES MAIL_OK},
    };
    (void)state;
    split_options.auth = SMTP_SERVER_AUTH_REQUIRED;
    dialog_run(cases, COUNT_OF(cases));
    split_options.secured = false;
    dialog_run(clear, COUNT_OF(clear));
}

static void test_hasty_clients(void **state)
{
    static const struct dialog_case cases[] = {
        {"behind AUTH", BYTES(EHLO "AUTH PLAIN " PLAIN "\r\n" MAIL), OFFER},
        {"before the challenge", BYTES(EHLO "AUTH LOGIN\r\n" NAME "\r\n"), OFFER},
        {"behind the response", BYTES(EHLO "AUTH PLAIN\r\n\1" PLAIN "\r\n" MAIL), OFFER "334 \n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer log, expected;
        buffer_init(&log, 65536);
        buffer_init(&expected, 65536);
        struct dialog *dialog = dialog_open(&split_options);
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

static void test_long_responses(void **state)
{
    (void)state;
    struct buffer input, expected;
    buffer_init(&input, 65536);
    buffer_init(&expected, 65536);
    for (int more = 0; more <= 4; more += 4) {
        buffer_clear(&input);
        buffer_print(&input, EHLO "AUTH LOGIN\r\n\1" NAME "\r\n\1%0*d\r\n\1NOOP\r\n", 12288 + more, 0);
        buffer_clear(&expected);
        buffer_add(&expected,
                   SLICE("[GREETING]\n220 mx.example ESMTP Sternpost\n" OFFER "334 VXNlcm5hbWU6\n334 UGFzc3dvcmQ6\n"));
        struct buffer log;
        buffer_init(&log, 65536);
        split_run(&dialog_machine, buffer_slice(&input), SIZE_MAX, &log);
        struct slice got = slice_from(buffer_slice(&log), buffer_length(&expected));
        check_true("start", slice_starts(buffer_slice(&log), buffer_slice(&expected)));
        if (more)
            check_slice("too long", got, SLICE("500 5.5.6 authentication exchange line is too long\n250 2.0.0 ok\n"));
        else
            check_true("as long as may be",
                       slice_starts(got, SLICE("[AUTH name:")) && slice_ends(got, SLICE("\n250 2.0.0 ok\n")));
        buffer_free(&log);
    }
    buffer_free(&input);
    buffer_free(&expected);
}

/* A connection that ends in the middle of an exchange leaves nothing behind (for AddressSanitizer to see). */
static void test_broken_off(void **state)
{
    (void)state;
    struct buffer log;
    buffer_init(&log, 65536);
    struct dialog *dialog = dialog_open(&split_options);
    dialog_say(dialog, SLICE(EHLO "AUTH LOGIN " NAME "\r\n\1c2Vj"), &log);
    assert_string_equal(smtp_server_state(dialog->server), "auth");
    dialog_close(dialog, &log);
    buffer_free(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_exchanges, offer_auth),     cmocka_unit_test_setup(test_faults, offer_auth),
        cmocka_unit_test_setup(test_refused, offer_auth),       cmocka_unit_test_setup(test_required, offer_auth),
        cmocka_unit_test_setup(test_hasty_clients, offer_auth), cmocka_unit_test_setup(test_long_responses, offer_auth),
        cmocka_unit_test_setup(test_broken_off, offer_auth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
