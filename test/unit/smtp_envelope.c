#include "smtp/envelope.h"

#include "smtp/extension.h"
#include "test/unit/check.h"

#define ALL 0xffffU

static const char *const fault_names[] = {"ok", "unknown", "syntax", "bytes", "unknown parameter", "bad parameter"};

static enum smtp_command_fault read_mail(const char *line, unsigned allowed, struct smtp_mail *mail)
{
    static struct smtp_command command;
    enum smtp_command_fault fault = smtp_command_parse(slice_of(line), false, &command);
    return fault != SMTP_COMMAND_OK ? fault : smtp_mail_parse(&command, allowed, mail);
}

static enum smtp_command_fault read_rcpt(const char *line, unsigned allowed, struct smtp_rcpt *rcpt)
{
    static struct smtp_command command;
    enum smtp_command_fault fault = smtp_command_parse(slice_of(line), true, &command);
    return fault != SMTP_COMMAND_OK ? fault : smtp_rcpt_parse(&command, allowed, rcpt);
}

static void test_mail(void **state)
{
    static const struct {
        const char *parameters;
        unsigned allowed;
        const char *fault;
    } cases[] = {
        {"", 0, "ok"},
        {" SIZE=0", ALL, "ok"},
        {" SIZE=18446744073709551615", ALL, "ok"},
        {" SIZE=18446744073709551616", ALL, "bad parameter"},
        {" SIZE=99999999999999999999999999", ALL, "bad parameter"},
        {" SIZE=-1", ALL, "bad parameter"},
        {" SIZE=1k", ALL, "bad parameter"},
        {" SIZE", ALL, "bad parameter"},
        {" SIZE=1", ALL & ~(unsigned)SMTP_EXTENSION_SIZE, "unknown parameter"},
        {" SIZE=1", 0, "unknown parameter"},
        {" BODY=7bit", ALL, "ok"},
        {" BODY=8bitmime", ALL, "ok"},
        {" BODY=BINARYMIME", ALL, "bad parameter"},
        {" BODY", ALL, "bad parameter"},
        {" BODY=7BIT", 0, "unknown parameter"},
        {" SMTPUTF8", ALL, "ok"},
        {" SMTPUTF8=1", ALL, "bad parameter"},
        {" SMTPUTF8", 0, "unknown parameter"},
        {" RET=FULL", ALL, "ok"},
        {" RET=hdrs", ALL, "ok"},
        {" RET=SOME", ALL, "bad parameter"},
        {" RET=FULL", 0, "unknown parameter"},
        {" ENVID=a+2Bb", ALL, "ok"},
        {" ENVID=a+2", ALL, "bad parameter"},
        {" ENVID=a+0Ab", ALL, "bad parameter"},
        {" ENVID", ALL, "bad parameter"},
        {" AUTH=<>", ALL, "ok"},
        {" AUTH=u+40c.example", ALL, "ok"},
        {" AUTH=+4", ALL, "bad parameter"},
        {" AUTH", ALL, "bad parameter"},
        {" AUTH=<>", 0, "unknown parameter"},
        {" REQUIRETLS", ALL, "ok"},
        {" REQUIRETLS", 0, "unknown parameter"},
        {" FOO=1", ALL, "unknown parameter"},
        {" NOTIFY=NEVER", ALL, "unknown parameter"},
        {" SIZE=1 SIZE=1", ALL, "bad parameter"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char line[256];
        struct smtp_mail mail;
        snprintf(line, sizeof line, "MAIL FROM:<u@c.example>%s", cases[i].parameters);
        enum smtp_command_fault fault = read_mail(line, cases[i].allowed, &mail);
        check_slice(cases[i].parameters, slice_of(fault_names[fault]), slice_of(cases[i].fault));
    }
}

static void test_mail_values(void **state)
{
    (void)state;
    struct smtp_mail mail;
    assert_int_equal(read_mail("MAIL FROM:<>", 0, &mail), SMTP_COMMAND_OK);
    check_slice("null", mail.reverse_path, SLICE(""));
    check_slice("null", mail.envid, SLICE(""));
    assert_int_equal(mail.size, 0);
    assert_int_equal(mail.body, SMTP_BODY_7BIT);
    assert_int_equal(mail.ret, SMTP_RET_NONE);
    assert_false(mail.utf8);
    assert_int_equal(mail.tls, SMTP_TLS_OPTIONAL);

    const char *line = "MAIL FROM:<u@c.example> SIZE=77 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x+2By REQUIRETLS";
    assert_int_equal(read_mail(line, ALL, &mail), SMTP_COMMAND_OK);
    check_slice("all", mail.reverse_path, SLICE("u@c.example"));
    check_slice("all", mail.envid, SLICE("x+2By"));
    assert_int_equal(mail.size, 77);
    assert_int_equal(mail.body, SMTP_BODY_8BITMIME);
    assert_int_equal(mail.ret, SMTP_RET_HDRS);
    assert_true(mail.utf8);
    assert_int_equal(mail.tls, SMTP_TLS_REQUIRED);

    char longest[256];
    for (int more = 0; more <= 1; more++) {
        snprintf(longest, sizeof longest, "MAIL FROM:<> ENVID=%0*d", 100 + more, 0);
        assert_int_equal(read_mail(longest, ALL, &mail), more ? SMTP_COMMAND_PARAMETER_BAD : SMTP_COMMAND_OK);
    }
}

static void test_rcpt(void **state)
{
    static const struct {
        const char *parameters;
        unsigned allowed;
        const char *fault;
        unsigned notify;
        const char *orcpt;
    } cases[] = {
        {"", 0, "ok", 0, ""},
        {" NOTIFY=NEVER", ALL, "ok", SMTP_NOTIFY_NEVER, ""},
        {" NOTIFY=success", ALL, "ok", SMTP_NOTIFY_SUCCESS, ""},
        {" NOTIFY=FAILURE,DELAY", ALL, "ok", SMTP_NOTIFY_FAILURE | SMTP_NOTIFY_DELAY, ""},
        {" NOTIFY=NEVER,DELAY", ALL, "bad parameter", 0, ""},
        {" NOTIFY=,", ALL, "bad parameter", 0, ""},
        {" NOTIFY=DELAY,", ALL, "bad parameter", 0, ""},
        {" NOTIFY", ALL, "bad parameter", 0, ""},
        {" NOTIFY=SOMETIMES", ALL, "bad parameter", 0, ""},
        {" NOTIFY=NEVER", 0, "unknown parameter", 0, ""},
        {" ORCPT=rfc822;u+2Bx@c.example", ALL, "ok", 0, "rfc822;u+2Bx@c.example"},
        {" ORCPT=RFC822;u@c.example NOTIFY=DELAY", ALL, "ok", SMTP_NOTIFY_DELAY, "RFC822;u@c.example"},
        {" ORCPT=utf-8;\xc3\xa4@c.example", ALL, "ok", 0, "utf-8;\xc3\xa4@c.example"},
        {" ORCPT=utf-8;\\x{E4}@c.example", ALL, "ok", 0, "utf-8;\\x{E4}@c.example"},
        {" ORCPT=rfc822;\xc3\xa4@c.example", ALL, "bad parameter", 0, ""},
        {" ORCPT=rfc822;", ALL, "bad parameter", 0, ""},
        {" ORCPT=;u", ALL, "bad parameter", 0, ""},
        {" ORCPT=rfc822", ALL, "bad parameter", 0, ""},
        {" ORCPT=r@c;u", ALL, "bad parameter", 0, ""},
        {" ORCPT=rfc822;u+0D+0Ax", ALL, "bad parameter", 0, ""},
        {" ORCPT=rfc822;u+zz", ALL, "bad parameter", 0, ""},
        {" ORCPT", ALL, "bad parameter", 0, ""},
        {" SIZE=1", ALL, "unknown parameter", 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char line[256];
        struct smtp_rcpt rcpt;
        snprintf(line, sizeof line, "RCPT TO:<u@c.example>%s", cases[i].parameters);
        enum smtp_command_fault fault = read_rcpt(line, cases[i].allowed, &rcpt);
        check_slice(cases[i].parameters, slice_of(fault_names[fault]), slice_of(cases[i].fault));
        if (fault == SMTP_COMMAND_OK) {
            check_slice(cases[i].parameters, rcpt.address, SLICE("u@c.example"));
            check_number(cases[i].parameters, rcpt.notify, cases[i].notify);
            check_slice(cases[i].parameters, rcpt.orcpt, slice_of(cases[i].orcpt));
        }
    }
    char longest[1024];
    struct smtp_rcpt rcpt;
    for (int more = 0; more <= 1; more++) {
        snprintf(longest, sizeof longest, "RCPT TO:<u@c.example> ORCPT=rfc822;%0*d", 493 + more, 0);
        assert_int_equal(read_rcpt(longest, ALL, &rcpt), more ? SMTP_COMMAND_PARAMETER_BAD : SMTP_COMMAND_OK);
    }
}

static void test_xtext(void **state)
{
    static const struct {
        const char *text, *decoded; /* NULL: not xtext */
    } cases[] = {
        {"", ""},      {"abc", "abc"}, {"a+2Bb", "a+b"}, {"a+2bb", "a+b"}, {"+3D", "="},  {"a+20b", "a b"},
        {"+", NULL},   {"+2", NULL},   {"+2G", NULL},    {"=", NULL},      {"a b", NULL}, {"+0A", NULL},
        {"+00", NULL}, {"+7F", NULL},  {"+C3+A4", NULL}, {"\xc3", NULL},
    };
    (void)state;
    struct buffer out;
    buffer_init(&out, 256);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        buffer_clear(&out);
        check_number(cases[i].text, smtp_xtext_parse(slice_of(cases[i].text), &out), cases[i].decoded != NULL);
        check_number(cases[i].text, smtp_xtext_parse(slice_of(cases[i].text), NULL), cases[i].decoded != NULL);
        if (cases[i].decoded != NULL)
            check_slice(cases[i].text, buffer_slice(&out), slice_of(cases[i].decoded));
    }
    buffer_clear(&out);
    smtp_xtext_print(&out, SLICE("a+b=c d\xc3~"));
    check_slice("print", buffer_slice(&out), SLICE("a+2Bb+3Dc+20d+C3~"));
    buffer_free(&out);
}

/* ---- extensions ---- */

static void test_extensions(void **state)
{
    static const struct {
        const char *line;
        struct {
            unsigned set;
            uint64_t size_max;
            unsigned auth;
        } expected;
    } cases[] = {
        {"PIPELINING", {SMTP_EXTENSION_PIPELINING, 0, 0}},
        {"pipelining", {SMTP_EXTENSION_PIPELINING, 0, 0}},
        {"8BITMIME", {SMTP_EXTENSION_8BITMIME, 0, 0}},
        {"SIZE 35882577", {SMTP_EXTENSION_SIZE, 35882577, 0}},
        {"SIZE", {SMTP_EXTENSION_SIZE, 0, 0}},
        {"SIZE lots", {SMTP_EXTENSION_SIZE, 0, 0}},
        {"SIZE 99999999999999999999999", {SMTP_EXTENSION_SIZE, 0, 0}},
        {"AUTH PLAIN LOGIN CRAM-MD5 X",
         {SMTP_EXTENSION_AUTH, 0, SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN | SMTP_AUTH_CRAM_MD5}},
        {"AUTH login", {SMTP_EXTENSION_AUTH, 0, SMTP_AUTH_LOGIN}},
        {"AUTH=LOGIN PLAIN", {SMTP_EXTENSION_AUTH, 0, SMTP_AUTH_PLAIN | SMTP_AUTH_LOGIN}},
        {"AUTH", {SMTP_EXTENSION_AUTH, 0, 0}},
        {"STARTTLS", {SMTP_EXTENSION_STARTTLS, 0, 0}},
        {"STARTTLSX", {0, 0, 0}},
        {"STARTTL", {0, 0, 0}},
        {"DSN", {SMTP_EXTENSION_DSN, 0, 0}},
        {"SMTPUTF8", {SMTP_EXTENSION_SMTPUTF8, 0, 0}},
        {"CHUNKING", {SMTP_EXTENSION_CHUNKING, 0, 0}},
        {"ENHANCEDSTATUSCODES", {SMTP_EXTENSION_ENHANCEDSTATUSCODES, 0, 0}},
        {"REQUIRETLS", {SMTP_EXTENSION_REQUIRETLS, 0, 0}},
        {"LIMITS RCPTMAX=100", {SMTP_EXTENSION_LIMITS, 0, 0}},
        {"XFORWARD NAME ADDR", {0, 0, 0}},
        {"", {0, 0, 0}},
        {"  ", {0, 0, 0}},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct smtp_extensions got = {.set = 0};
        smtp_extension_add(&got, slice_of(cases[i].line));
        check_number(cases[i].line, got.set, cases[i].expected.set);
        check_number(cases[i].line, got.size_max, cases[i].expected.size_max);
        check_number(cases[i].line, got.auth, cases[i].expected.auth);
    }
}

/* What it offers is told to people, so no byte of another kind is kept, and never more than there is room for. */
static void test_names_of_mechanisms(void **state)
{
    static const struct {
        const char *line, *names;
    } cases[] = {
        {"AUTH PLAIN XOAUTH2", "PLAIN XOAUTH2"},
        {"AUTH=CRAM-MD5", "CRAM-MD5"},
        {"AUTH", ""},
        {"AUTH SCRAM-SHA-256-PLUS a\"b c=d \x1b[31m X_Y", "SCRAM-SHA-256-PLUS X_Y"},
        {"AUTH AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA PLAIN", "PLAIN"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct smtp_extensions got = {.set = 0};
        smtp_extension_add(&got, slice_of(cases[i].line));
        check_slice(cases[i].line, slice_of(got.auth_names), slice_of(cases[i].names));
    }
    struct smtp_extensions full = {.set = 0};
    for (size_t i = 0; i < 100; i++)
        smtp_extension_add(&full, SLICE("AUTH MECHANISM"));
    assert_true(strlen(full.auth_names) < sizeof full.auth_names);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_of_mechanisms),
        cmocka_unit_test(test_mail),  cmocka_unit_test(test_mail_values), cmocka_unit_test(test_rcpt),
        cmocka_unit_test(test_xtext), cmocka_unit_test(test_extensions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
