#include "queue/backoff.h"
#include "test/unit/check.h"

#define MINUTE INT64_C(60000)

static void next_follows_the_schedule(void **state)
{
    (void)state;
    static const struct queue_schedule schedule = {.wait_ms = {MINUTE, 5 * MINUTE, 30 * MINUTE}, .count = 3};
    static const struct queue_schedule single = {.wait_ms = {1}, .count = 1};
    static const struct queue_schedule long_wait = {.wait_ms = {INT64_MAX}, .count = 1};
    static const struct queue_schedule century = {.wait_ms = {INT64_C(3155760000000)}, .count = 1};
    static const struct {
        const char *name;
        const struct queue_schedule *schedule;
        uint32_t attempts;
        int64_t now_ms;
        uint32_t dice;
        int64_t expected_ms;
    } cases[] = {
        {"first", &schedule, 1, 1000, 0, 1000 + MINUTE},
        {"second", &schedule, 2, 1000, 0, 1000 + 5 * MINUTE},
        {"third", &schedule, 3, 1000, 0, 1000 + 30 * MINUTE},
        {"the last repeats", &schedule, 4, 1000, 0, 1000 + 30 * MINUTE},
        {"for ever", &schedule, UINT32_MAX, 1000, 0, 1000 + 30 * MINUTE},
        {"none counted yet", &schedule, 0, 1000, 0, 1000 + MINUTE},
        {"a tenth more", &schedule, 1, 0, UINT32_C(1) << 31, MINUTE + MINUTE / 10},
        {"just under a fifth more", &schedule, 1, 0, UINT32_MAX, MINUTE + MINUTE / 5 - 1},
        {"too short for jitter", &single, 1, 0, UINT32_MAX, 1},
        {"no overflow", &long_wait, 1, 0, UINT32_MAX, INT64_MAX},
        {"no overflow of now", &single, 1, INT64_MAX, 0, INT64_MAX},
        {"a century", &century, 1, 0, UINT32_C(1) << 31, INT64_C(3155760000000) + INT64_C(315576000000)},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_number(cases[i].name,
                     queue_backoff_next_ms(cases[i].schedule, cases[i].attempts, cases[i].now_ms, cases[i].dice),
                     cases[i].expected_ms);
    }
}

static void clamp_bounds_what_a_clock_can_do(void **state)
{
    (void)state;
    static const struct queue_schedule schedule = {.wait_ms = {MINUTE, 50 * MINUTE, 5 * MINUTE}, .count = 3};
    static const struct {
        const char *name;
        int64_t due_ms, now_ms, expected_ms;
    } cases[] = {
        {"past", 5, 1000, 5},
        {"within", 1000 + 50 * MINUTE, 1000, 1000 + 50 * MINUTE},
        {"within, with jitter", 60 * MINUTE, 0, 60 * MINUTE},
        {"clock stepped back", 61 * MINUTE, 0, 60 * MINUTE},
        {"clock stepped back by years", INT64_MAX, 7, 7 + 60 * MINUTE},
        {"before the epoch", INT64_MIN, -5, INT64_MIN},
        {"at the end of time", INT64_MAX, INT64_MAX, INT64_MAX},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_number(cases[i].name, queue_backoff_clamp_ms(&schedule, cases[i].due_ms, cases[i].now_ms),
                     cases[i].expected_ms);
    }
}

/* Whatever the dice, what was reckoned now is never cut when it is read at once. */
static void next_is_never_clamped(void **state)
{
    (void)state;
    static const struct queue_schedule schedule = {.wait_ms = {7, 300000, 14400000}, .count = 3};
    for (uint32_t attempts = 1; attempts < 5; attempts++) {
        for (uint32_t i = 0; i < 1000; i++) {
            int64_t next_ms = queue_backoff_next_ms(&schedule, attempts, 12345, i * 4294967U);
            check_number("clamped", queue_backoff_clamp_ms(&schedule, next_ms, 12345), next_ms);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(next_follows_the_schedule),
        cmocka_unit_test(clamp_bounds_what_a_clock_can_do),
        cmocka_unit_test(next_is_never_clamped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
