#include "smtp/reply.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

/* ---- reading ---- */

struct reading {
    struct smtp_reply_parser parser;
    bool malformed;
};

static void *start(void)
{
    struct reading *reading = calloc(1, sizeof *reading);
    assert_non_null(reading);
    smtp_reply_parser_init(&reading->parser);
    return reading;
}

static void print_reply(struct buffer *events, const struct smtp_reply *reply)
{
    char status[16];
    struct slice number = smtp_status_print(reply->status, status), rest = reply->text, line;
    buffer_print(events, "%u[%.*s]", reply->code, SLICE_ARGS(number));
    while (slice_cut(&rest, '\n', &line))
        buffer_print(events, "%.*s|", SLICE_ARGS(line));
    buffer_add_byte(events, '\n');
}

static void feed(void *machine, struct slice part, struct buffer *events)
{
    struct reading *reading = machine;
    while (part.length > 0 && !reading->malformed) {
        size_t taken;
        struct smtp_reply reply;
        enum smtp_reply_parse parsed = smtp_reply_feed(&reading->parser, part, &taken, &reply);
        if (parsed == SMTP_REPLY_DONE)
            print_reply(events, &reply);
        reading->malformed = parsed == SMTP_REPLY_MALFORMED;
        part = slice_from(part, taken);
    }
}

static void finish(void *machine, struct buffer *events)
{
    struct reading *reading = machine;
    size_t taken;
    struct smtp_reply reply;
    if (reading->malformed) {
        buffer_add(events, SLICE("malformed\n"));
        assert_int_equal(smtp_reply_feed(&reading->parser, SLICE("250 ok\r\n"), &taken, &reply), SMTP_REPLY_MALFORMED);
    }
    smtp_reply_parser_free(&reading->parser);
    free(reading);
}

static const struct split_machine machine = {start, feed, finish};

static void test_reading(void **state)
{
    static const struct {
        const char *name;
        struct slice input;
        const char *events;
    } cases[] = {
        {"one line", {"220 mx.example ESMTP\r\n", 22}, "220[]mx.example ESMTP|\n"},
        {"no text", {"250 \r\n", 6}, "250[]|\n"},
        {"code only", {"250\r\n", 5}, "250[]|\n"},
        {"two lines", {"250-a\r\n250 b\r\n", 14}, "250[]a|b|\n"},
        {"two replies", {"250 a\r\n550 b\r\n", 14}, "250[]a|\n550[]b|\n"},
        {"status", {"550 5.1.1 no such user\r\n", 24}, "550[5.1.1]no such user|\n"},
        {"status alone", {"250 2.1.5\r\n", 11}, "250[2.1.5]|\n"},
        {"status on each line", {"550-5.7.1 a\r\n550 5.7.1 b\r\n", 26}, "550[5.7.1]a|b|\n"},
        {"status on the first line only", {"550-5.7.1 a\r\n550 b\r\n", 20}, "550[5.7.1]a|b|\n"},
        {"status of another class", {"550 4.7.1 a\r\n", 13}, "550[]4.7.1 a|\n"},
        {"the status of the reply before is gone", {"250 2.1.0 a\r\n250 b\r\n", 20}, "250[2.1.0]a|\n250[]b|\n"},
        {"no status: four numbers", {"250 2.1.0.4 a\r\n", 15}, "250[]2.1.0.4 a|\n"},
        {"no status: long number", {"250 2.1000.0 a\r\n", 16}, "250[]2.1000.0 a|\n"},
        {"LF alone", {"250-a\n250 b\n", 12}, "250[]a|b|\n"},
        {"8-bit text", {"250 \xc3\xa4\r\n", 8}, "250[]\xc3\xa4|\n"},
        {"codes differ", {"250-a\r\n251 b\r\n", 14}, "malformed\n"},
        {"no code", {"hello\r\n", 7}, "malformed\n"},
        {"empty line", {"\r\n", 2}, "malformed\n"},
        {"code below 200", {"150 a\r\n", 7}, "malformed\n"},
        {"code above 599", {"600 a\r\n", 7}, "malformed\n"},
        {"four digits", {"2500 a\r\n", 8}, "malformed\n"},
        {"sign", {"+25 a\r\n", 7}, "malformed\n"},
        {"bad mark", {"250+a\r\n", 7}, "malformed\n"},
        {"bare CR", {"250 a\rb\r\n", 9}, "malformed\n"},
        {"CR CR LF", {"250 a\r\r\n", 8}, "malformed\n"},
        {"NUL", {"250 a\0b\r\n", 9}, "malformed\n"},
        {"good, then bad", {"250 a\r\nx\r\n", 10}, "250[]a|\nmalformed\n"},
        {"unfinished", {"250 a", 5}, ""},
        {"unfinished lines", {"250-a\r\n", 7}, ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, cases[i].input, &machine, cases[i].events);
}

static void check_limit(const char *name, struct buffer *input, bool accepted)
{
    struct buffer events;
    buffer_init(&events, 1 << 20);
    assert_false(buffer_failed(input));
    split_run(&machine, buffer_slice(input), SIZE_MAX, &events);
    bool malformed = slice_ends(buffer_slice(&events), SLICE("malformed\n"));
    check_true(name, buffer_length(&events) > 0);
    check_number(name, malformed, !accepted);
    buffer_free(&events);
    buffer_clear(input);
}

static void test_reading_limits(void **state)
{
    (void)state;
    struct buffer input;
    buffer_init(&input, 1 << 20);
    for (int more = 0; more <= 1; more++) {
        buffer_print(&input, "250 %0*d\r\n", SMTP_REPLY_LINE_MAX - 4 + more, 0);
        check_limit("line", &input, more == 0);
        buffer_print(&input, "250 %0*d\n", SMTP_REPLY_LINE_MAX - 4 + more, 0);
        check_limit("line that ends in LF", &input, more == 0);
        for (int i = 1; i < SMTP_REPLY_LINES_MAX + more; i++)
            buffer_add(&input, SLICE("250-x\r\n"));
        buffer_add(&input, SLICE("250 x\r\n"));
        check_limit("lines", &input, more == 0);
        for (int i = 0; i < 15; i++)
            buffer_print(&input, "250-%01023d\r\n", 0);
        buffer_print(&input, "250 %0*d\r\n", 1024 + more, 0);
        check_limit("text", &input, more == 0);
    }
    buffer_print(&input, "%0*d", SMTP_REPLY_LINE_MAX + 2, 0);
    check_limit("a line that does not end", &input, false);
    buffer_free(&input);
}

/* ---- printing ---- */

static void test_printing(void **state)
{
    static const struct {
        const char *name;
        struct smtp_reply reply;
        const char *printed;
    } cases[] = {
        {"plain", {.code = 220, .text = {"hi", 2}}, "220 hi\r\n"},
        {"no text", {.code = 334, .text = {"", 0}}, "334 \r\n"},
        {"zeroed text", {.code = 250}, "250 \r\n"},
        {"status", {550, {5, 7, 1}, {"no", 2}}, "550 5.7.1 no\r\n"},
        {"status alone", {250, {2, 0, 0}, {"", 0}}, "250 2.0.0\r\n"},
        {"lines", {250, {2, 1, 0}, {"a\nb", 3}}, "250-2.1.0 a\r\n250 2.1.0 b\r\n"},
        {"last line empty", {250, {0, 0, 0}, {"a\n", 2}}, "250-a\r\n250 \r\n"},
        {"bytes", {250, {0, 0, 0}, {"a\r\0\x7f\xc3\t", 6}}, "250 a?????\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 65536);
        smtp_reply_print(&out, &cases[i].reply);
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].printed));
        buffer_free(&out);
    }
}

static void test_printed_lines_are_short(void **state)
{
    (void)state;
    char text[2000];
    memset(text, 'x', sizeof text);
    text[1000] = '\n';
    struct smtp_reply reply = {550, {5, 777, 123}, {text, sizeof text}};
    struct buffer out;
    buffer_init(&out, 65536);
    smtp_reply_print(&out, &reply);
    struct slice rest = buffer_slice(&out), line;
    assert_true(slice_ends(rest, SLICE("...\r\n")));
    int lines = 0;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        check_number("length", line.length + 1, 512);
        lines++;
    }
    assert_int_equal(lines, 2);
    buffer_free(&out);
}

static void test_making(void **state)
{
    (void)state;
    struct smtp_reply reply = smtp_reply_make(550, 7, 1, "no");
    char status[16];
    check_slice("550", smtp_status_print(reply.status, status), SLICE("5.7.1"));
    check_slice("550", reply.text, SLICE("no"));
    assert_true(smtp_reply_is_negative(&reply));
    reply = smtp_reply_make(421, 3, 0, "later");
    check_slice("421", smtp_status_print(reply.status, status), SLICE("4.3.0"));
    assert_true(smtp_reply_is_negative(&reply));
    reply = smtp_reply_make(354, 0, 0, "go on");
    check_slice("354", smtp_status_print(reply.status, status), SLICE(""));
    assert_false(smtp_reply_is_negative(&reply));
    assert_false(smtp_reply_is_positive(&reply));
    reply = smtp_reply_make(250, 0, 0, "ok");
    check_slice("250", smtp_status_print(reply.status, status), SLICE("2.0.0"));
    assert_true(smtp_reply_is_positive(&reply));
}

static void test_status(void **state)
{
    static const struct {
        const char *text;
        bool valid;
        const char *rest, *printed;
    } cases[] = {
        {"5.7.1 no", true, "no", "5.7.1"},
        {"2.0.0", true, "", "2.0.0"},
        {"4.999.999 x", true, "x", "4.999.999"},
        {"5.7.1  no", true, " no", "5.7.1"},
        {"3.0.0 x", false, "", ""},
        {"5.7 x", false, "", ""},
        {"5.7.1x", false, "", ""},
        {"5..1 x", false, "", ""},
        {"5.7. x", false, "", ""},
        {"", false, "", ""},
        {"5.7.1000", false, "", ""},
        {"55.7.1", false, "", ""},
        {"5.7.1.2", false, "", ""},
        {"5.0x.1", false, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice text = slice_of(cases[i].text);
        struct smtp_status status = {0, 0, 0};
        char printed[16];
        check_number(cases[i].text, smtp_status_parse(&text, &status), cases[i].valid);
        check_slice(cases[i].text, text, slice_of(cases[i].valid ? cases[i].rest : cases[i].text));
        check_slice(cases[i].text, smtp_status_print(status, printed), slice_of(cases[i].printed));
    }
}

/* What is printed is read back as it was. */
static void test_round_trip(void **state)
{
    (void)state;
    static const struct smtp_reply replies[] = {
        {250, {2, 1, 5}, {"one\ntwo\nthree", 13}}, {421, {0, 0, 0}, {"", 0}}, {599, {5, 0, 0}, {"x", 1}}};
    struct buffer out, events, expected;
    buffer_init(&out, 65536);
    buffer_init(&events, 65536);
    buffer_init(&expected, 65536);
    for (size_t i = 0; i < COUNT_OF(replies); i++) {
        smtp_reply_print(&out, &replies[i]);
        print_reply(&expected, &replies[i]);
    }
    split_run(&machine, buffer_slice(&out), SIZE_MAX, &events);
    check_slice("round trip", buffer_slice(&events), buffer_slice(&expected));
    buffer_free(&out);
    buffer_free(&events);
    buffer_free(&expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reading),    cmocka_unit_test(test_reading_limits),
        cmocka_unit_test(test_printing),   cmocka_unit_test(test_printed_lines_are_short),
        cmocka_unit_test(test_making),     cmocka_unit_test(test_status),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
