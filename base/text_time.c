/* Durations and dates, all in UTC. The calendar is computed here: gmtime_r would read the machine's time zone files. */
#include "base/text.h"

#define MS_PER_SECOND INT64_C(1000)
#define MS_PER_MINUTE (60 * MS_PER_SECOND)
#define MS_PER_HOUR (60 * MS_PER_MINUTE)
#define MS_PER_DAY (24 * MS_PER_HOUR)

/* 0001-01-01 and the end of 9999-12-31: beyond them a year does not have four digits, so times are held between. */
#define WALL_MS_FIRST (-62135596800 * MS_PER_SECOND)
#define WALL_MS_LAST (253402300800 * MS_PER_SECOND - 1)

struct unit {
    struct slice name;
    int64_t ms;
};

/* A duration in two units, the lower one left out when it is zero. */
struct two {
    uint64_t high, low;
    const char *high_unit, *low_unit;
};

struct civil {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second, ms;
    int weekday; /* 0 is Sunday */
};

static bool take_number(struct slice *text, uint64_t *number);
static const struct unit *take_unit(struct slice *text);
static uint64_t divide_round(uint64_t number, uint64_t by);
static struct slice print_two(char out[24], const char *sign, struct two two);
static struct civil civil_of(int64_t wall_ms);
static int64_t days_of(int year, int month, int day);
static bool take_digits(struct slice *text, size_t count, int *number);
static bool take_byte(struct slice *text, char byte);
static bool take_time(struct slice *text, int64_t *ms);
static int days_in_month(int year, int month);

enum err text_duration_parse(struct slice text, int64_t *duration_ms)
{
    uint64_t number;
    if (slice_number(text, (uint64_t)(INT64_MAX / MS_PER_SECOND), &number)) {
        *duration_ms = (int64_t)number * MS_PER_SECOND;
        return ERR_NONE;
    }
    int64_t total = 0, previous_ms = INT64_MAX;
    bool fits = true;
    do {
        struct slice digits = text;
        fits = take_number(&text, &number) && fits;
        if (digits.length == text.length) {
            return ERR_SYNTAX;
        }
        const struct unit *unit = take_unit(&text);
        if (unit == NULL || unit->ms >= previous_ms) {
            /* Digits alone are seconds, and reach here only when there are too many of them. */
            return unit == NULL && text.length == 0 && previous_ms == INT64_MAX ? ERR_LIMIT : ERR_SYNTAX;
        }
        previous_ms = unit->ms;
        int64_t part;
        fits = fits && !__builtin_mul_overflow(number, unit->ms, &part) && !__builtin_add_overflow(total, part, &total);
    } while (text.length > 0);
    if (!fits) {
        return ERR_LIMIT;
    }
    *duration_ms = total;
    return ERR_NONE;
}

struct slice text_duration_print(int64_t duration_ms, char out[24])
{
    const char *sign = duration_ms < 0 ? "-" : "";
    uint64_t ms = duration_ms < 0 ? 0 - (uint64_t)duration_ms : (uint64_t)duration_ms;
    if (ms == 0) {
        return text_print(out, 24, "0s");
    }
    if (ms < 1000) {
        return print_two(out, sign, (struct two){.high = ms, .high_unit = "ms"});
    }
    uint64_t tenths = divide_round(ms, 100), seconds = divide_round(ms, 1000);
    uint64_t minutes = divide_round(ms, (uint64_t)MS_PER_MINUTE), hours = divide_round(ms, (uint64_t)MS_PER_HOUR);
    struct two two = {hours / 24, hours % 24, "d", "h"};
    if (tenths < 600) {
        two = (struct two){tenths / 10, tenths % 10, tenths % 10 == 0 ? "s" : ".", "s"};
    } else if (seconds < 3600) {
        two = (struct two){seconds / 60, seconds % 60, "m", "s"};
    } else if (minutes < 24 * 60) {
        two = (struct two){minutes / 60, minutes % 60, "h", "m"};
    }
    return print_two(out, sign, two);
}

struct slice text_date_rfc5322(int64_t wall_ms, char out[40])
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c = civil_of(wall_ms);
    return text_print(out, 40, "%s, %d %s %04d %02d:%02d:%02d +0000", weekdays[c.weekday], c.day, months[c.month - 1],
                      c.year, c.hour, c.minute, c.second);
}

struct slice text_date_iso(int64_t wall_ms, char out[32])
{
    struct civil c = civil_of(wall_ms);
    return text_print(out, 32, "%04d-%02d-%02dT%02d:%02d:%02dZ", c.year, c.month, c.day, c.hour, c.minute, c.second);
}

struct slice text_date_iso_ms(int64_t wall_ms, char out[32])
{
    struct civil c = civil_of(wall_ms);
    return text_print(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", c.year, c.month, c.day, c.hour, c.minute,
                      c.second, c.ms);
}

enum err text_date_parse(struct slice text, int64_t *wall_ms)
{
    int year, month, day;
    if (!take_digits(&text, 4, &year) || !take_byte(&text, '-') || !take_digits(&text, 2, &month) ||
        !take_byte(&text, '-') || !take_digits(&text, 2, &day)) {
        return ERR_SYNTAX;
    }
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return ERR_SYNTAX;
    }
    int64_t time_ms = 0;
    if (text.length > 0 && (!take_time(&text, &time_ms) || text.length > 0)) {
        return ERR_SYNTAX;
    }
    *wall_ms = days_of(year, month, day) * MS_PER_DAY + time_ms;
    return ERR_NONE;
}

/* The digits at the front are taken in any case; false when they are no number that fits. */
static bool take_number(struct slice *text, uint64_t *number)
{
    size_t count = 0;
    while (count < text->length && byte_is_digit(text->data[count])) {
        count++;
    }
    bool fits = slice_number(slice_to(*text, count), INT64_MAX, number);
    *text = slice_from(*text, count);
    return fits;
}

static const struct unit *take_unit(struct slice *text)
{
    static const struct unit units[] = {
        {SLICE_INIT("ms"), 1}, /* before "m" */
        {SLICE_INIT("s"), MS_PER_SECOND},
        {SLICE_INIT("m"), MS_PER_MINUTE},
        {SLICE_INIT("h"), MS_PER_HOUR},
        {SLICE_INIT("d"), MS_PER_DAY},
    };
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (slice_starts(*text, units[i].name)) {
            *text = slice_from(*text, units[i].name.length);
            return &units[i];
        }
    }
    return NULL;
}

static uint64_t divide_round(uint64_t number, uint64_t by)
{
    return number / by + (number % by >= by - by / 2);
}

static struct slice print_two(char out[24], const char *sign, struct two two)
{
    unsigned long long high = two.high, low = two.low;
    if (low == 0) {
        return text_print(out, 24, "%s%llu%s", sign, high, two.high_unit);
    }
    return text_print(out, 24, "%s%llu%s%llu%s", sign, high, two.high_unit, low, two.low_unit);
}

/* The calendar repeats every 400 years (146097 days). Years that start in March put the leap day at their end, so that
 * the days before a month do not depend on the year. */
static struct civil civil_of(int64_t wall_ms)
{
    wall_ms = wall_ms < WALL_MS_FIRST ? WALL_MS_FIRST : wall_ms > WALL_MS_LAST ? WALL_MS_LAST : wall_ms;
    int64_t since = wall_ms - days_of(0, 3, 1) * MS_PER_DAY; /* never negative within the bounds */
    int days = (int)(since / MS_PER_DAY), ms = (int)(since % MS_PER_DAY);

    int era = days / 146097, day_of_era = days % 146097;
    int year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    return (struct civil){
        .year = era * 400 + year_of_era + (month_from_march >= 10),
        .month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
        .hour = ms / 3600000,
        .minute = ms / 60000 % 60,
        .second = ms / 1000 % 60,
        .ms = ms % 1000,
        .weekday = (days + 3) % 7, /* 0000-03-01 was a Wednesday */
    };
}

/* Days from 1970-01-01 to a date from 0000-03-01 on. */
static int64_t days_of(int year, int month, int day)
{
    int y = month > 2 ? year : year - 1;
    int month_from_march = month > 2 ? month - 3 : month + 9;
    int day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    return INT64_C(365) * y + y / 4 - y / 100 + y / 400 + day_of_year - 719468;
}

static bool take_digits(struct slice *text, size_t count, int *number)
{
    uint64_t digits;
    if (text->length < count || !slice_number(slice_to(*text, count), 9999, &digits)) {
        return false;
    }
    *number = (int)digits;
    *text = slice_from(*text, count);
    return true;
}

static bool take_byte(struct slice *text, char byte)
{
    if (text->length == 0 || text->data[0] != byte) {
        return false;
    }
    *text = slice_from(*text, 1);
    return true;
}

static bool take_time(struct slice *text, int64_t *ms)
{
    int hour, minute, second, fraction = 0;
    if (!take_byte(text, 'T') || !take_digits(text, 2, &hour) || !take_byte(text, ':') ||
        !take_digits(text, 2, &minute) || !take_byte(text, ':') || !take_digits(text, 2, &second)) {
        return false;
    }
    if (take_byte(text, '.') && !take_digits(text, 3, &fraction)) {
        return false;
    }
    *ms = hour * MS_PER_HOUR + minute * MS_PER_MINUTE + second * MS_PER_SECOND + fraction;
    return hour < 24 && minute < 60 && second < 60 && take_byte(text, 'Z');
}

static int days_in_month(int year, int month)
{
    static const int days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap);
}
