/* The account of the time that has really passed, beside a wall clock that leaps, boots that forget the time, and machines that sleep. */
#include "check.h"

#include "base/steady.h"

#include <cmocka.h>
#include <string.h>

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define YEAR (365 * DAY)
#define NOW INT64_C(1800000000000)

static struct steady_reading clocks;

int64_t clock_wall_ms(void)
{
    return clocks.wall_ms;
}

int64_t clock_boot_ms(void)
{
    return clocks.boot_ms;
}

void clock_boot_id(char id[CLOCK_BOOT_ID_SIZE])
{
    memcpy(id, clocks.boot_id, CLOCK_BOOT_ID_SIZE);
}

/* What happens, one after the other: time passes, the wall clock is set, the program or the machine starts again. */
enum happening { PASS = 1, LEAP, RESTART, BOOT, BOOT_UNSET, MOVE, MOVE_NAMELESS };
struct step {
    enum happening what;
    /* BOOT: how long the machine was off; BOOT_UNSET: the same, and the clock begins in 1970; MOVE: the queue goes to a machine that
     * has been up for so long; MOVE_NAMELESS: to one that does not tell its boots apart. */
    int64_t ms;
};
static const struct {
    const char *name;
    struct step steps[8];
    int64_t passed_ms; /* by the account */
    int64_t leap_ms;   /* what is told at the end; 0: that all is well */
} cases[] = {
    {"time passes", {{PASS, DAY}}, DAY, 0},
    {"a leap of 400 days", {{PASS, HOUR}, {LEAP, 400 * DAY}, {PASS, 3 * MINUTE}}, HOUR + 3 * MINUTE, 400 * DAY},
    {"a leap and back", {{LEAP, 400 * DAY}, {PASS, 3 * MINUTE}, {LEAP, -400 * DAY}, {PASS, MINUTE}}, 4 * MINUTE, 0},
    {"a leap back of years", {{PASS, HOUR}, {LEAP, -10 * YEAR}, {PASS, DAY / 2}}, HOUR + DAY / 2, -10 * YEAR},
    {"the program starts again during a leap", {{LEAP, 400 * DAY}, {PASS, MINUTE}, {RESTART, 0}, {PASS, MINUTE}}, 2 * MINUTE,
     400 * DAY},
    {"a leap while the program is down", {{RESTART, 0}, {LEAP, 31 * DAY}, {RESTART, 0}, {PASS, HOUR}}, HOUR, 31 * DAY},
    {"a leap that stays for a day is told no more, and never counts", {{LEAP, 3 * DAY}, {PASS, DAY}, {PASS, MINUTE}}, DAY + MINUTE, 0},
    {"back after it was told no more", {{LEAP, 3 * DAY}, {PASS, 2 * DAY}, {LEAP, -3 * DAY}, {PASS, HOUR}}, 2 * DAY + HOUR, -3 * DAY},
    {"two leaps within a day", {{LEAP, 3 * DAY}, {PASS, DAY - HOUR}, {LEAP, DAY}, {PASS, 2 * HOUR}}, DAY + HOUR, 4 * DAY},
    {"corrections", {{LEAP, 4 * MINUTE}, {PASS, 2 * DAY}, {LEAP, 4 * MINUTE}, {PASS, HOUR}}, 2 * DAY + HOUR, 0},
    {"a short boot", {{PASS, HOUR}, {BOOT, 2 * MINUTE}, {PASS, HOUR}}, 2 * HOUR + 2 * MINUTE, 0},
    {"off for a month: a day of it counts", {{BOOT, 30 * DAY}, {PASS, HOUR}}, DAY + HOUR, 29 * DAY},
    {"off for a month, and a day on", {{BOOT, 30 * DAY}, {PASS, DAY}}, 2 * DAY, 0},
    {"a boot in 1970", {{PASS, HOUR}, {BOOT_UNSET, MINUTE}, {PASS, MINUTE}}, HOUR + MINUTE, -(NOW + HOUR)},
    {"a boot in 1970 for days", {{PASS, HOUR}, {BOOT_UNSET, MINUTE}, {PASS, 9 * DAY}}, HOUR + 9 * DAY, -(NOW + HOUR)},
    {"a boot in 1970, and then the time comes", {{PASS, HOUR}, {BOOT_UNSET, MINUTE}, {PASS, MINUTE}, {LEAP, NOW + HOUR + MINUTE}, {PASS, MINUTE}},
     HOUR + 3 * MINUTE, 0},
    {"a boot in 1970, and then a forged time", {{BOOT_UNSET, MINUTE}, {PASS, MINUTE}, {LEAP, NOW + 400 * DAY}, {PASS, MINUTE}},
     DAY + 2 * MINUTE, 399 * DAY},
    {"a boot in 1970, the time comes, and a leap", {{BOOT_UNSET, 0}, {LEAP, NOW}, {PASS, HOUR}, {LEAP, 400 * DAY}, {PASS, HOUR}}, 2 * HOUR,
     400 * DAY},
    {"a restart before the time has come", {{BOOT_UNSET, 0}, {PASS, MINUTE}, {RESTART, 0}, {LEAP, NOW}, {PASS, MINUTE}}, 2 * MINUTE, 0},
    {"a boot with a clock that is ahead, and is set right", {{BOOT, 400 * DAY}, {PASS, MINUTE}, {LEAP, -400 * DAY}, {PASS, MINUTE}},
     DAY + 2 * MINUTE, -DAY},
    {"the queue moves to a machine that has long been up", {{PASS, HOUR}, {MOVE, 300 * DAY}, {PASS, HOUR}}, 2 * HOUR, 0},
    {"and back", {{MOVE, 300 * DAY}, {PASS, HOUR}, {MOVE, 7 * DAY}, {PASS, HOUR}}, 2 * HOUR, 0},
    {"the program starts again where boots have no name", {{MOVE_NAMELESS, 300 * DAY}, {PASS, HOUR}, {RESTART, 0}, {PASS, HOUR}}, 2 * HOUR, 0},
    {"and its clock leaps", {{MOVE_NAMELESS, 300 * DAY}, {LEAP, 400 * DAY}, {RESTART, 0}, {PASS, HOUR}}, DAY + HOUR, 399 * DAY},
    {"a machine that has long been up in 1970", {{BOOT_UNSET, MINUTE}, {MOVE, 300 * DAY}, {PASS, HOUR}}, HOUR, -NOW},
    {"the machine goes back to what it was", {{PASS, DAY}, {MOVE, 6 * HOUR}, {PASS, HOUR}}, DAY + HOUR, 0},
};

static struct steady steady;
static enum steady_news news;

static struct steady_mark stored_mark(void)
{
    struct steady_mark mark;
    struct buffer stored;
    buffer_init(&stored, 1024);
    steady_encode(&steady, &clocks, &stored);
    assert_true(steady_decode(buffer_slice(&stored), &mark));
    buffer_free(&stored);
    return mark;
}

static void go_on_from(const struct steady_mark *mark)
{
    steady_open(&steady, mark, &clocks);
    steady_look(&steady, &clocks);
}

static void start_again(void)
{
    struct steady_mark mark = stored_mark();
    go_on_from(&mark);
}

static void boot(int64_t off_ms, bool is_unset)
{
    struct steady_mark mark = stored_mark();
    clocks.wall_ms = is_unset ? 0 : clocks.wall_ms + off_ms;
    clocks.boot_ms = 0;
    clocks.boot_id[0]++;
    go_on_from(&mark);
}

/* Nothing passes by it. */
static void move(int64_t up_ms, bool is_named)
{
    struct steady_mark mark = stored_mark();
    clocks.boot_ms = up_ms;
    clocks.boot_id[0] = is_named ? (char)(clocks.boot_id[0] + 1) : '\0';
    go_on_from(&mark);
}

/* A look a minute; the account runs at one speed, never back. */
static void pass(const char *name, int64_t ms)
{
    int64_t before_ms = steady_at(&steady, clocks.boot_ms);
    for (int64_t passed_ms = 0; passed_ms < ms; passed_ms += MINUTE) {
        clocks.wall_ms += MINUTE;
        clocks.boot_ms += MINUTE;
        enum steady_news now = steady_look(&steady, &clocks);
        news = now == STEADY_SAME ? news : now;
        int64_t after_ms = steady_at(&steady, clocks.boot_ms);
        check_true(name, after_ms >= before_ms + MINUTE);
        before_ms = after_ms;
    }
}

static void happen(const char *name, const struct step *step)
{
    switch (step->what) {
    case PASS:
        pass(name, step->ms);
        break;
    case LEAP:
        clocks.wall_ms += step->ms;
        break;
    case RESTART:
        start_again();
        break;
    case BOOT:
    case BOOT_UNSET:
        boot(step->ms, step->what == BOOT_UNSET);
        break;
    case MOVE:
    case MOVE_NAMELESS:
        move(step->ms, step->what == MOVE);
        break;
    }
}

static void test_what_has_passed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        clocks = (struct steady_reading){.wall_ms = NOW, .boot_ms = 7 * HOUR, .boot_id = "a"};
        steady_open(&steady, NULL, &clocks);
        news = STEADY_SAME;
        for (size_t j = 0; j < COUNT_OF(cases[i].steps) && cases[i].steps[j].what != 0; j++)
            happen(cases[i].name, &cases[i].steps[j]);
        check_number(cases[i].name, steady_at(&steady, clocks.boot_ms) - NOW, cases[i].passed_ms);
        check_number(cases[i].name, steady.has_leapt, cases[i].leap_ms != 0);
        if (cases[i].leap_ms != 0)
            check_number(cases[i].name, steady_leap_ms(&steady, &clocks), cases[i].leap_ms);
    }
}

/* Both the leap and its end are told once. */
static void test_what_is_told(void **state)
{
    (void)state;
    clocks = (struct steady_reading){.wall_ms = NOW, .boot_id = "a"};
    steady_open(&steady, NULL, &clocks);
    check_number("well", steady_look(&steady, &clocks), STEADY_SAME);
    clocks.wall_ms += 400 * DAY;
    check_number("leapt", steady_look(&steady, &clocks), STEADY_LEAPT);
    check_number("still", steady_look(&steady, &clocks), STEADY_SAME);
    clocks.wall_ms -= 400 * DAY;
    check_number("back", steady_look(&steady, &clocks), STEADY_WELL);
    check_number("and well", steady_look(&steady, &clocks), STEADY_SAME);
}

/* A first start ever under a clock that is not set: there is nothing to lose yet. */
static void test_a_first_start_in_1970(void **state)
{
    (void)state;
    clocks = (struct steady_reading){.wall_ms = MINUTE, .boot_ms = MINUTE, .boot_id = "a"};
    steady_open(&steady, NULL, &clocks);
    pass("in 1970", HOUR);
    clocks.wall_ms = NOW;
    steady_look(&steady, &clocks);
    check_number("the time comes", steady_at(&steady, clocks.boot_ms), NOW);
    clocks.wall_ms += 400 * DAY;
    steady_look(&steady, &clocks);
    check_number("once", steady_at(&steady, clocks.boot_ms), NOW);
}

/* Where a boot has no name none is the same as another. */
static void test_boots_without_a_name(void **state)
{
    (void)state;
    clocks = (struct steady_reading){.wall_ms = NOW, .boot_ms = HOUR};
    steady_open(&steady, NULL, &clocks);
    clocks.wall_ms += DAY;
    start_again();
    check_number("as after a boot", steady_at(&steady, clocks.boot_ms), NOW + DAY);
}

static void test_what_is_no_mark(void **state)
{
    (void)state;
    struct steady_mark mark;
    struct buffer stored;
    clocks = (struct steady_reading){.wall_ms = NOW, .boot_ms = HOUR, .boot_id = "a"};
    steady_open(&steady, NULL, &clocks);
    buffer_init(&stored, 1024);
    steady_encode(&steady, &clocks, &stored);
    struct slice whole = buffer_slice(&stored);
    assert_true(steady_decode(whole, &mark));
    for (size_t length = 0; length < whole.length; length++)
        assert_false(steady_decode(slice_to(whole, length), &mark));
    buffer_add_byte(&stored, 'x');
    assert_false(steady_decode(buffer_slice(&stored), &mark));
    buffer_free(&stored);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_has_passed),     cmocka_unit_test(test_what_is_told),
        cmocka_unit_test(test_a_first_start_in_1970), cmocka_unit_test(test_boots_without_a_name),
        cmocka_unit_test(test_what_is_no_mark),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
