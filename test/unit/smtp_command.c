#include "smtp/command.h"

#include "base/buffer.h"
#include "test/unit/check.h"

static const char *const fault_names[] = {"ok", "unknown", "syntax", "bytes", "parameter", "parameter-bad"};

/* "MAIL ok <u@c> SIZE=1 BODY=7BIT utf8" or "EHLO ok (argument)" */
static void describe(struct buffer *out, enum smtp_command_fault fault, const struct smtp_command *command)
{
    buffer_clear(out);
    buffer_print(out, "%s %s", smtp_verb_name(command->verb), fault_names[fault]);
    if (fault != SMTP_COMMAND_OK)
        return;
    if (command->verb == SMTP_MAIL || command->verb == SMTP_RCPT)
        buffer_print(out, " <%.*s>", SLICE_ARGS(command->address));
    else if (command->argument.length > 0)
        buffer_print(out, " (%.*s)", SLICE_ARGS(command->argument));
    for (size_t i = 0; i < command->parameter_count; i++) {
        const struct smtp_parameter *parameter = &command->parameters[i];
        buffer_print(out, " %.*s%s%.*s", SLICE_ARGS(parameter->keyword), parameter->value.length > 0 ? "=" : "",
                     SLICE_ARGS(parameter->value));
    }
    if (command->utf8)
        buffer_add(out, SLICE(" utf8"));
    if (command->is_name)
        buffer_add(out, SLICE(" name"));
}

static void check_line(struct slice line, bool utf8, const char *expected)
{
    struct smtp_command command;
    struct buffer got;
    char name[64];
    snprintf(name, sizeof name, "\"%.*s\"", SLICE_ARGS(slice_to(line, 60)));
    buffer_init(&got, 65536);
    describe(&got, smtp_command_parse(line, utf8, &command), &command);
    check_slice(name, buffer_slice(&got), slice_of(expected));
    buffer_free(&got);
}

static const struct {
    const char *line, *expected;
} lines[] = {
    {"EHLO client.example", "EHLO ok (client.example)"},
    {"ehlo  [192.0.2.1] ", "EHLO ok ([192.0.2.1])"},
    {"HELO a_b", "HELO ok (a_b)"},
    {"EHLO", "EHLO syntax"},
    {"EHLO ", "EHLO syntax"},
    {"EHLO a b", "EHLO syntax"},
    {"EHLOx", "unknown unknown"},
    {"MAIL FROM:<u@c.example>", "MAIL ok <u@c.example>"},
    {"mail from:<u@c.example>", "MAIL ok <u@c.example>"},
    {"MAIL FROM: <u@c.example>", "MAIL ok <u@c.example>"},
    {"MAIL\tFROM:\t<u@c.example>", "MAIL ok <u@c.example>"},
    {"MAIL FROM:u@c.example", "MAIL ok <u@c.example>"},
    {"MAIL FROM:<>", "MAIL ok <>"},
    {"MAIL FROM:<> SIZE=1 BODY=7BIT", "MAIL ok <> SIZE=1 BODY=7BIT"},
    {"MAIL FROM:<u@c.example> SMTPUTF8 ", "MAIL ok <u@c.example> SMTPUTF8 utf8"},
    {"MAIL FROM:<\"a SMTPUTF8 \"@c.example>", "MAIL ok <\"a SMTPUTF8 \"@c.example>"},
    {"MAIL FROM:<u@c.example>SIZE=1", "MAIL syntax"},
    {"MAIL FROM:", "MAIL syntax"},
    {"MAIL FROM <u@c.example>", "MAIL syntax"},
    {"MAIL TO:<u@c.example>", "MAIL syntax"},
    {"MAIL <u@c.example>", "MAIL syntax"},
    {"MAIL", "MAIL syntax"},
    {"MAIL FROM:<postmaster>", "MAIL ok <postmaster> name"},
    {"RCPT TO:<root> NOTIFY=NEVER", "RCPT ok <root> NOTIFY=NEVER name"},
    {"MAIL FROM:<x..y@c.example.>", "MAIL ok <x..y@c.example.>"},
    {"MAIL FROM:<u@c.example> SIZE", "MAIL ok <u@c.example> SIZE"},
    {"MAIL FROM:<u@c.example> SIZE=", "MAIL parameter-bad"},
    {"MAIL FROM:<u@c.example> SIZE=1=2", "MAIL parameter-bad"},
    {"MAIL FROM:<u@c.example> SIZE=1 size=1", "MAIL parameter-bad"},
    {"MAIL FROM:<u@c.example> =1", "MAIL syntax"},
    {"MAIL FROM:<u@c.example> -A=1", "MAIL syntax"},
    {"MAIL FROM:<u@c.example> A-B=1", "MAIL ok <u@c.example> A-B=1"},
    {"MAIL FROM:<u@c.example> A.B=1", "MAIL syntax"},
    {"MAIL FROM:<u@c.example> A=1 B=1 C=1 D=1 E=1 F=1 G=1 H=1 I=1 J=1 K=1 L=1 M=1 N=1 O=1 P=1",
     "MAIL ok <u@c.example> A=1 B=1 C=1 D=1 E=1 F=1 G=1 H=1 I=1 J=1 K=1 L=1 M=1 N=1 O=1 P=1"},
    {"MAIL FROM:<u@c.example> A=1 B=1 C=1 D=1 E=1 F=1 G=1 H=1 I=1 J=1 K=1 L=1 M=1 N=1 O=1 P=1 Q=1",
     "MAIL parameter-bad"},
    {"RCPT TO:<u@c.example> NOTIFY=NEVER", "RCPT ok <u@c.example> NOTIFY=NEVER"},
    {"RCPT TO:<postmaster>", "RCPT ok <postmaster>"},
    {"RCPT TO:<>", "RCPT syntax"},
    {"RCPT FROM:<u@c.example>", "RCPT syntax"},
    {"RCPT TO:<u@c.example> SMTPUTF8", "RCPT ok <u@c.example> SMTPUTF8"},
    {"RCPT TO:<u@c.example>, <v@c.example>", "RCPT syntax"},
    {"DATA", "DATA ok"},
    {"data ", "DATA ok"},
    {"DATA x", "DATA syntax"},
    {"BDAT 5 LAST", "BDAT ok (5 LAST)"},
    {"RSET", "RSET ok"},
    {"RSET x", "RSET syntax"},
    {"NOOP", "NOOP ok"},
    {"NOOP what ever", "NOOP ok (what ever)"},
    {"QUIT", "QUIT ok"},
    {"QUIT now", "QUIT syntax"},
    {"VRFY u", "VRFY ok (u)"},
    {"VRFY", "VRFY syntax"},
    {"EXPN list", "EXPN ok (list)"},
    {"HELP", "HELP ok"},
    {"HELP MAIL", "HELP ok (MAIL)"},
    {"ETRN example.com", "ETRN ok (example.com)"},
    {"TURN", "TURN ok"},
    {"STARTTLS", "STARTTLS ok"},
    {"STARTTLS x", "STARTTLS syntax"},
    {"AUTH PLAIN AGEAYg==", "AUTH ok (PLAIN AGEAYg==)"},
    {"AUTH", "AUTH syntax"},
    {"", "unknown unknown"},
    {" ", "unknown unknown"},
    {" QUIT", "unknown unknown"},
    {"FOO", "unknown unknown"},
    {"unknown", "unknown unknown"},
};

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        check_line(slice_of(lines[i].line), false, lines[i].expected);
}

#define BYTES(literal)                                                                                                 \
    {                                                                                                                  \
        "" literal, sizeof(literal) - 1                                                                                \
    }

static void test_bytes(void **state)
{
    static const struct {
        struct slice line;
        bool utf8; /* of the transaction */
        const char *expected;
    } cases[] = {
        {BYTES("NOOP\0"), false, "unknown bytes"},
        {BYTES("MAIL FROM:<u@c.example>\nRCPT TO:<v@c.example>"), false, "MAIL bytes"},
        {BYTES("MAIL FROM:<u@c.example>\rRCPT TO:<v@c.example>"), false, "MAIL bytes"},
        {BYTES("RSET\r"), false, "RSET bytes"},
        {BYTES("RSET \0"), false, "RSET bytes"},
        {BYTES("NOOP \x7f"), false, "NOOP bytes"},
        {BYTES("NOOP \x1b[31m"), true, "NOOP bytes"},
        {BYTES("\n"), false, "unknown bytes"},
        {BYTES("EHLO \xc3\xa4"), false, "EHLO bytes"},
        {BYTES("EHLO \xc3\xa4"), true, "EHLO ok (\xc3\xa4)"},
        {BYTES("MAIL FROM:<\xc3\xa4@c.example>"), false, "MAIL bytes"},
        {BYTES("MAIL FROM:<\xc3\xa4@c.example>"), true, "MAIL bytes"},
        {BYTES("MAIL FROM:<\xc3\xa4@c.example> SMTPUTF8"), false, "MAIL ok <\xc3\xa4@c.example> SMTPUTF8 utf8"},
        {BYTES("MAIL FROM:<\xff@c.example> SMTPUTF8"), false, "MAIL bytes"},
        {BYTES("MAIL FROM:<u@c.example> \xc3\xa4"), false, "MAIL bytes"},
        {BYTES("RCPT TO:<\xc3\xa4@c.example>"), false, "RCPT bytes"},
        {BYTES("RCPT TO:<\xc3\xa4@c.example> SMTPUTF8"), false, "RCPT bytes"},
        {BYTES("RCPT TO:<\xc3\xa4@c.example>"), true, "RCPT ok <\xc3\xa4@c.example>"},
        {BYTES("RCPT TO:<\xc3@c.example>"), true, "RCPT bytes"},
        {BYTES("VRFY \xc3\xa4"), false, "VRFY bytes"},
        {BYTES("VRFY \xc3\xa4 SMTPUTF8"), false, "VRFY ok (\xc3\xa4 SMTPUTF8)"},
        {BYTES("NOOP \xc3\xa4 SMTPUTF8"), false, "NOOP bytes"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_line(cases[i].line, cases[i].utf8, cases[i].expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
