#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "test/unit/check.h"

#define LOGFMT_HEAD "time=2026-11-24T03:05:22.123Z level=info event=delivered"
#define JSON_HEAD "{\"time\":\"2026-11-24T03:05:22.123Z\",\"level\":\"info\",\"event\":\"delivered\""

struct captured {
    char line[2 * LOG_LINE_MAX];
    size_t length;
    int lines;
};

int64_t clock_wall_ms(void)
{
    return INT64_C(1795489522123);
}

static void capture(struct log *log, struct slice line)
{
    struct captured *captured = log->owner;
    assert_true(line.length <= LOG_LINE_MAX);
    assert_int_equal(line.data[line.length - 1], '\n');
    assert_int_equal(slice_find(line, '\n'), line.length - 1);
    memcpy(captured->line, line.data, line.length - 1);
    captured->length = line.length - 1;
    captured->lines++;
}

static struct captured captured;

static struct log log_in(enum log_format format)
{
    captured = (struct captured){0};
    return (struct log){.level = LOG_INFO, .format = format, .write = capture, .owner = &captured};
}

static struct slice captured_line(void)
{
    return slice_make(captured.line, captured.length);
}

/* The line with the one field. */
static struct slice logged(enum log_format format, struct slice value)
{
    struct log log = log_in(format);
    struct log_line line;
    assert_true(log_open(&line, &log, LOG_INFO, "delivered"));
    log_text(&line, "reply", value);
    log_close(&line);
    assert_int_equal(captured.lines, 1);
    return captured_line();
}

static void fill_line(struct log_line *line)
{
    log_string(line, "id", "6A0123456789");
    log_text(line, "to", SLICE("user@example.com"));
    log_string(line, "nothing", NULL);
    log_text(line, "empty", SLICE(""));
    log_flag(line, "verified", true);
    log_flag(line, "dane", false);
    log_number(line, "attempts", -3);
    log_duration(line, "delay", 1234);
    log_text(line, "reply", SLICE("250 ok"));
}

static void test_formats(void **state)
{
    static const struct {
        const char *name;
        enum log_format format;
        enum log_level level;
        const char *line;
    } cases[] = {
        {"logfmt", LOG_LOGFMT, LOG_INFO,
         LOGFMT_HEAD
         " id=6A0123456789 to=user@example.com verified=yes dane=no attempts=-3 delay=1.2s reply=\"250 ok\""},
        {"json", LOG_JSON, LOG_INFO,
         JSON_HEAD ",\"id\":\"6A0123456789\",\"to\":\"user@example.com\",\"verified\":true,\"dane\":false,"
                   "\"attempts\":-3,\"delay\":1.234,\"reply\":\"250 ok\"}"},
        {"human", LOG_HUMAN, LOG_INFO,
         "03:05:22 delivered id=6A0123456789 to=user@example.com verified=yes dane=no attempts=-3 delay=1.2s "
         "reply=\"250 ok\""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct log log = log_in(cases[i].format);
        struct log_line line;
        assert_true(log_open(&line, &log, cases[i].level, "delivered"));
        fill_line(&line);
        log_close(&line);
        check_slice(cases[i].name, captured_line(), slice_of(cases[i].line));
    }
}

/* Each level, in each format, behind the priority that a journal takes off. */
static void test_priorities(void **state)
{
    static const struct {
        enum log_level level;
        const char *priority;
    } cases[] = {{LOG_ERROR, "<3>"}, {LOG_WARNING, "<4>"}, {LOG_INFO, "<6>"}, {LOG_DEBUG, "<7>"}};
    static const enum log_format formats[] = {LOG_LOGFMT, LOG_JSON, LOG_HUMAN};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t j = 0; j < COUNT_OF(formats); j++) {
            char plain[LOG_LINE_MAX], wanted[LOG_LINE_MAX + 8];
            for (int with = 0; with <= 1; with++) {
                struct log log = log_in(formats[j]);
                struct log_line line;
                log.level = LOG_DEBUG;
                log.has_priority = with;
                assert_true(log_open(&line, &log, cases[i].level, "delivered"));
                log_close(&line);
                if (!with)
                    snprintf(plain, sizeof plain, "%.*s", SLICE_ARGS(captured_line()));
            }
            snprintf(wanted, sizeof wanted, "%s%s", cases[i].priority, plain);
            check_slice(cases[i].priority, captured_line(), slice_of(wanted));
        }
    }
}

static void test_levels(void **state)
{
    static const struct {
        enum log_level level;
        const char *human, *logfmt;
    } cases[] = {
        {LOG_ERROR, "03:05:22 error: stopped", "time=2026-11-24T03:05:22.123Z level=error event=stopped"},
        {LOG_WARNING, "03:05:22 warning: stopped", "time=2026-11-24T03:05:22.123Z level=warning event=stopped"},
        {LOG_INFO, "03:05:22 stopped", "time=2026-11-24T03:05:22.123Z level=info event=stopped"},
        {LOG_DEBUG, "03:05:22 stopped", "time=2026-11-24T03:05:22.123Z level=debug event=stopped"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t limit = 0; limit < COUNT_OF(cases); limit++) {
            struct log log = log_in(LOG_HUMAN);
            struct log_line line;
            log.level = cases[limit].level;
            check_number(cases[i].human, log_open(&line, &log, cases[i].level, "stopped"), i <= limit);
            if (i > limit)
                continue;
            log_close(&line);
            check_slice("human", captured_line(), slice_of(cases[i].human));
            log.format = LOG_LOGFMT;
            assert_true(log_open(&line, &log, cases[i].level, "stopped"));
            log_close(&line);
            check_slice("logfmt", captured_line(), slice_of(cases[i].logfmt));
        }
    }
}

static void test_values_are_cleaned(void **state)
{
    static const struct {
        const char *name;
        struct slice value;
        const char *logfmt, *json;
    } cases[] = {
        {"plain", {"<a@b.c>", 7}, "<a@b.c>", "<a@b.c>"},
        {"blank", {"a b", 3}, "\"a b\"", "a b"},
        {"equals sign", {"a=b", 3}, "\"a=b\"", "a=b"},
        {"quote", {"a\"b", 3}, "\"a\\\"b\"", "a\\\"b"},
        {"backslash", {"a\\b", 3}, "\"a\\\\b\"", "a\\\\b"},
        {"injected line", {"ok\r\nevent=delivered", 19}, "\"ok??event=delivered\"", "ok\\r\\nevent=delivered"},
        {"NUL", {"a\0b", 3}, "\"a?b\"", "a\\u0000b"},
        {"escape sequence", {"\x1b[2J", 4}, "\"?[2J\"", "\\u001b[2J"},
        {"eight-bit control",
         {"\xc2\x9b"
          "2J",
          4},
         "\"?2J\"",
         "\\u009b2J"},
        {"UTF-8", {"\xc3\xa4", 2}, "\"\xc3\xa4\"", "\xc3\xa4"},
        {"not UTF-8", {"\xe4z", 2}, "\"?z\"", "\xef\xbf\xbdz"},
        {"reversed text",
         {"\xe2\x80\xae"
          "abc",
          6},
         "\"?abc\"",
         "\xe2\x80\xae"
         "abc"},
        {"line separator", {"\xe2\x80\xa8", 3}, "\"?\"", "\\u2028"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char expected[200];
        snprintf(expected, sizeof expected, "%s reply=%s", LOGFMT_HEAD, cases[i].logfmt);
        check_slice(cases[i].name, logged(LOG_LOGFMT, cases[i].value), slice_of(expected));
        snprintf(expected, sizeof expected, "03:05:22 delivered reply=%s", cases[i].logfmt);
        check_slice(cases[i].name, logged(LOG_HUMAN, cases[i].value), slice_of(expected));
        snprintf(expected, sizeof expected, "%s,\"reply\":\"%s\"}", JSON_HEAD, cases[i].json);
        check_slice(cases[i].name, logged(LOG_JSON, cases[i].value), slice_of(expected));
    }
}

/* A reader of one logfmt line as strict as our promise: key=word or key="quoted", one blank between. */
static bool is_logfmt(struct slice line)
{
    while (line.length > 0) {
        size_t equals = slice_find(line, '=');
        if (equals == 0 || slice_find(line, ' ') < equals)
            return false;
        line = slice_from(line, equals + 1);
        bool quoted = slice_starts(line, SLICE("\""));
        size_t end = quoted ? 1 : 0;
        while (end < line.length && line.data[end] != (quoted ? '"' : ' ')) {
            if (!quoted && (line.data[end] == '"' || line.data[end] == '='))
                return false;
            end += quoted && line.data[end] == '\\' ? 2 : 1;
        }
        end += quoted ? 1 : 0;
        if (end > line.length || (end < line.length && line.data[end] != ' ') || (!quoted && end == 0))
            return false;
        line = slice_from(line, end < line.length ? end + 1 : end);
    }
    return true;
}

static void check_valid(const char *name, enum log_format format, struct slice line)
{
    struct json *json = NULL;
    check_true(name, text_is_utf8(line));
    if (format == LOG_JSON) {
        check_number(name, json_parse(line, &json), ERR_NONE);
        check_slice(name, json_text(json, "event"), SLICE("delivered"));
        json_free(&json);
    } else {
        check_true(name, is_logfmt(line));
    }
}

static void test_a_long_value_is_cut(void **state)
{
    static const char *const units[] = {"a",   "\"", "\\", "a b", "\n", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x93\xa8",
                                        "\xff"};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        char value[9000];
        size_t length = 0;
        while (length < 8000)
            length += (size_t)snprintf(value + length, sizeof value - length, "%s", units[i]);
        for (enum log_format format = LOG_LOGFMT; format <= LOG_JSON; format++) {
            struct slice line = logged(format, slice_make(value, length));
            check_valid(units[i], format, line);
            check_true(units[i], line.length < 1200);
            check_true(units[i], slice_find_slice(line, SLICE("...")) < line.length);
            check_true(units[i], slice_find_slice(line, SLICE("cut")) == line.length);
        }
    }
}

static void test_exactly_fitting_value_is_whole(void **state)
{
    (void)state;
    char value[1025];
    memset(value, 'a', sizeof value);
    struct slice line = logged(LOG_LOGFMT, slice_make(value, 1024));
    assert_true(slice_ends(line, slice_make(value, 1024)));
    line = logged(LOG_LOGFMT, slice_make(value, 1025));
    assert_true(slice_ends(line, SLICE("aaa...")));
    assert_int_equal(line.length, sizeof LOGFMT_HEAD - 1 + 7 + 1024);
}

/* Lines of every length up to and beyond the limit, with fields of every kind at its edge. */
static void test_a_full_line_stays_valid(void **state)
{
    (void)state;
    char value[1024];
    memset(value, 'v', sizeof value);
    for (enum log_format format = LOG_LOGFMT; format <= LOG_JSON; format++) {
        bool ever_cut = false, ever_whole = false;
        for (size_t last = 600; last < 1000; last++) {
            struct log log = log_in(format);
            struct log_line line;
            assert_true(log_open(&line, &log, LOG_INFO, "delivered"));
            log_text(&line, "first", slice_make(value, sizeof value));
            log_text(&line, "second", slice_make(value, sizeof value));
            log_text(&line, "third", slice_make(value, sizeof value));
            log_text(&line, "last", slice_make(value, last));
            log_text(&line, "quoted", SLICE("a \"quoted\" \\ reply"));
            log_number(&line, "number", 12345);
            log_flag(&line, "flag", true);
            log_duration(&line, "delay", 5000);
            log_close(&line);
            check_valid("full", format, captured_line());
            bool cut = slice_ends(captured_line(), format == LOG_JSON ? SLICE(",\"cut\":true}") : SLICE(" cut=yes"));
            ever_cut = ever_cut || cut;
            ever_whole = ever_whole || !cut;
        }
        assert_true(ever_cut);
        assert_true(ever_whole);
    }
}

static void test_names(void **state)
{
    (void)state;
    enum log_level level = LOG_DEBUG;
    assert_true(log_level_parse(SLICE("error"), &level) && level == LOG_ERROR);
    assert_true(log_level_parse(SLICE("warning"), &level) && level == LOG_WARNING);
    assert_true(log_level_parse(SLICE("info"), &level) && level == LOG_INFO);
    assert_true(log_level_parse(SLICE("debug"), &level) && level == LOG_DEBUG);
    assert_false(log_level_parse(SLICE("Info"), &level));
    assert_false(log_level_parse(SLICE(""), &level));
    enum log_format format = LOG_JSON;
    assert_true(log_format_parse(SLICE("text"), &format) && format == LOG_HUMAN);
    assert_true(log_format_parse(SLICE("logfmt"), &format) && format == LOG_LOGFMT);
    assert_true(log_format_parse(SLICE("json"), &format) && format == LOG_JSON);
    assert_false(log_format_parse(SLICE("xml"), &format));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_priorities),
        cmocka_unit_test(test_values_are_cleaned),
        cmocka_unit_test(test_a_long_value_is_cut),
        cmocka_unit_test(test_exactly_fitting_value_is_whole),
        cmocka_unit_test(test_a_full_line_stays_valid),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
