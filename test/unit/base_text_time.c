#include "base/text.h"
#include "test/unit/check.h"

#include <time.h>

static void test_parsing_durations(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        int64_t ms;
    } cases[] = {
        {"0", ERR_NONE, 0},
        {"90", ERR_NONE, 90000},
        {"90s", ERR_NONE, 90000},
        {"5m", ERR_NONE, 300000},
        {"2h", ERR_NONE, 7200000},
        {"5d", ERR_NONE, 432000000},
        {"1500ms", ERR_NONE, 1500},
        {"1h30m", ERR_NONE, 5400000},
        {"1d2h3m4s5ms", ERR_NONE, 93784005},
        {"0s", ERR_NONE, 0},
        {"90m", ERR_NONE, 5400000},
        {"9223372036854775807ms", ERR_NONE, INT64_MAX},
        {"9223372036854775808ms", ERR_LIMIT, 0},
        {"9223372036854775", ERR_NONE, INT64_C(9223372036854775000)},
        {"9223372036854776", ERR_LIMIT, 0},
        {"99999999999999999999", ERR_LIMIT, 0},
        {"99999999999999999999d", ERR_LIMIT, 0},
        {"106751991167d8h", ERR_LIMIT, 0},
        {"99999999999999999999x", ERR_SYNTAX, 0},
        {"99999999999999999999d5", ERR_SYNTAX, 0},
        {"", ERR_SYNTAX, 0},
        {"s", ERR_SYNTAX, 0},
        {"5", ERR_NONE, 5000},
        {"5x", ERR_SYNTAX, 0},
        {"5m5", ERR_SYNTAX, 0},
        {"5m5m", ERR_SYNTAX, 0},
        {"30m1h", ERR_SYNTAX, 0},
        {"1.5h", ERR_SYNTAX, 0},
        {"-5m", ERR_SYNTAX, 0},
        {"5 m", ERR_SYNTAX, 0},
        {"5m ", ERR_SYNTAX, 0},
        {"5M", ERR_SYNTAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = 0;
        check_number(cases[i].text, text_duration_parse(slice_of(cases[i].text), &ms), cases[i].err);
        check_number(cases[i].text, ms, cases[i].ms);
    }
}

static void test_printing_durations(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {1, "1ms"},
        {999, "999ms"},
        {1000, "1s"},
        {1049, "1s"},
        {1200, "1.2s"},
        {59949, "59.9s"},
        {59950, "1m"},
        {90000, "1m30s"},
        {300000, "5m"},
        {3599499, "59m59s"},
        {3599500, "1h"},
        {12000000, "3h20m"},
        {86369999, "23h59m"},
        {86370000, "1d"},
        {345600000, "4d"},
        {349200000, "4d1h"},
        {-1200, "-1.2s"},
        {-5, "-5ms"},
        {INT64_MAX, "106751991167d7h"},
        {INT64_MIN, "-106751991167d7h"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[24];
        struct slice text = text_duration_print(cases[i].ms, out);
        check_slice(cases[i].text, text, slice_of(cases[i].text));
        check_true(cases[i].text, text.length <= 16);
    }
}

static void test_printing_dates(void **state)
{
    static const struct {
        int64_t ms;
        const char *rfc5322, *iso_ms;
    } cases[] = {
        {INT64_C(1795489522123), "Tue, 24 Nov 2026 03:05:22 +0000", "2026-11-24T03:05:22.123Z"},
        {0, "Thu, 1 Jan 1970 00:00:00 +0000", "1970-01-01T00:00:00.000Z"},
        {-1, "Wed, 31 Dec 1969 23:59:59 +0000", "1969-12-31T23:59:59.999Z"},
        {INT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 +0000", "2000-02-29T00:00:00.000Z"},
        {INT64_C(4107542399999), "Sun, 28 Feb 2100 23:59:59 +0000", "2100-02-28T23:59:59.999Z"},
        {INT64_C(4107542400000), "Mon, 1 Mar 2100 00:00:00 +0000", "2100-03-01T00:00:00.000Z"},
        {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 +0000", "9999-12-31T23:59:59.999Z"},
        {INT64_MIN, "Mon, 1 Jan 0001 00:00:00 +0000", "0001-01-01T00:00:00.000Z"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char out[40], iso[32];
        check_slice(cases[i].rfc5322, text_date_rfc5322(cases[i].ms, out), slice_of(cases[i].rfc5322));
        check_slice(cases[i].iso_ms, text_date_iso_ms(cases[i].ms, out), slice_of(cases[i].iso_ms));
        snprintf(iso, sizeof iso, "%.19sZ", cases[i].iso_ms);
        check_slice(iso, text_date_iso(cases[i].ms, out), slice_of(iso));
    }
}

/* Against the C library, over four hundred years and some, in steps that meet every day of the week and month. */
static void test_calendar(void **state)
{
    (void)state;
    for (int64_t seconds = -3000000000; seconds < 14000000000; seconds += 86399 * 7) {
        char out[40], expected[64];
        time_t time = (time_t)seconds;
        struct tm tm;
        assert_non_null(gmtime_r(&time, &tm));
        strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S +0000", &tm);
        char *day = expected + 5;
        if (*day == '0')
            memmove(day, day + 1, strlen(day));
        check_slice("calendar", text_date_rfc5322(seconds * 1000, out), slice_of(expected));
        int64_t back;
        assert_int_equal(text_date_parse(text_date_iso(seconds * 1000, out), &back), ERR_NONE);
        assert_int_equal(back, seconds * 1000);
    }
}

static void test_parsing_dates(void **state)
{
    static const struct {
        const char *text;
        enum err err;
        int64_t ms;
    } cases[] = {
        {"1970-01-01", ERR_NONE, 0},
        {"2026-12-01", ERR_NONE, INT64_C(1796083200000)},
        {"2026-11-24T03:05:22Z", ERR_NONE, INT64_C(1795489522000)},
        {"2026-11-24T03:05:22.123Z", ERR_NONE, INT64_C(1795489522123)},
        {"2024-02-29", ERR_NONE, INT64_C(1709164800000)},
        {"2000-02-29", ERR_NONE, INT64_C(951782400000)},
        {"0001-01-01", ERR_NONE, INT64_C(-62135596800000)},
        {"9999-12-31T23:59:59.999Z", ERR_NONE, INT64_C(253402300799999)},
        {"2026-02-29", ERR_SYNTAX, 0},
        {"2100-02-29", ERR_SYNTAX, 0},
        {"2026-04-31", ERR_SYNTAX, 0},
        {"2026-13-01", ERR_SYNTAX, 0},
        {"2026-00-01", ERR_SYNTAX, 0},
        {"2026-01-00", ERR_SYNTAX, 0},
        {"0000-01-01", ERR_SYNTAX, 0},
        {"2026-1-1", ERR_SYNTAX, 0},
        {"26-01-01", ERR_SYNTAX, 0},
        {"2026-01-01T", ERR_SYNTAX, 0},
        {"2026-01-01T00:00:00", ERR_SYNTAX, 0},
        {"2026-01-01T24:00:00Z", ERR_SYNTAX, 0},
        {"2026-01-01T00:60:00Z", ERR_SYNTAX, 0},
        {"2026-01-01T00:00:60Z", ERR_SYNTAX, 0},
        {"2026-01-01T00:00:00+00:00", ERR_SYNTAX, 0},
        {"2026-01-01T00:00:00.1Z", ERR_SYNTAX, 0},
        {"2026-01-01T00:00:00Zx", ERR_SYNTAX, 0},
        {"2026-01-01 ", ERR_SYNTAX, 0},
        {"tomorrow", ERR_SYNTAX, 0},
        {"", ERR_SYNTAX, 0},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        int64_t ms = 0;
        check_number(cases[i].text, text_date_parse(slice_of(cases[i].text), &ms), cases[i].err);
        check_number(cases[i].text, ms, cases[i].ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing_durations), cmocka_unit_test(test_printing_durations),
        cmocka_unit_test(test_printing_dates),    cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_parsing_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
