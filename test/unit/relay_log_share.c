/* What one user may write into the log, and what is said of the rest. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "relay/log_share.h"

static struct log_share share;
static size_t lines, limited;

static void count(struct log *log, struct slice line)
{
    (void)log;
    lines++;
    limited += slice_find_slice(line, SLICE("log_limited")) < line.length;
}
static struct log log_of_test = {.level = LOG_WARNING, .write = count};

static int set_up(void **state)
{
    (void)state;
    turn_start();
    share = (struct log_share){0};
    lines = limited = 0;
    return 0;
}

static size_t say(uint32_t uid, size_t times, struct log_line *last)
{
    size_t said = 0;
    for (size_t i = 0; i < times; i++) {
        const struct log_share_line what = {.uid = uid, .level = LOG_WARNING, .event = "rejected"};
        if (!log_share_open(&share, &log_of_test, last, &what))
            continue;
        log_close(last);
        said++;
    }
    return said;
}

static void test_a_share(void **state)
{
    (void)state;
    struct log_line line;
    check_number("first", say(1001, 90000, &line), LOG_SHARE_BURST);
    check_number("the log", lines, LOG_SHARE_BURST + 1);
    check_number("said once", limited, 1);
    check_number("another user", say(1002, 50, &line), 50);
    turn_for(2000);
    check_number("later", say(1001, 100, &line), 2 * LOG_SHARE_PER_SECOND);
    turn_for(3600000);
    check_number("an hour later", say(1001, 1, &line), 1);
    struct slice text = slice_make(line.bytes, line.length);
    check_true("how many", slice_find_slice(text, SLICE("left_out=90 ")) < text.length || slice_find_slice(text, SLICE("left_out=90\n")) < text.length);
    check_number("an hour later", say(1001, 1000, &line), LOG_SHARE_BURST - 1);
}

/* More users than places: nobody loses the log to another. */
static void test_many_users(void **state)
{
    (void)state;
    struct log_line line;
    for (uint32_t uid = 0; uid < 1000; uid++) {
        turn_for(1);
        check_true("each is heard", say(uid, 3, &line) == 3);
    }
}

/* One who has thousands of uids for his containers has no more of the log than there are places. */
static void test_a_user_of_many_uids(void **state)
{
    (void)state;
    struct log_line line;
    for (uint32_t uid = 0; uid < 1000; uid++)
        (void)say(uid, 200, &line);
    check_number("all together", lines, LOG_SHARE_USERS_MAX * (LOG_SHARE_BURST + 1));
    check_number("it is said", limited, LOG_SHARE_USERS_MAX);
    turn_for(1000);
    lines = limited = 0;
    for (uint32_t uid = 0; uid < 1000; uid++)
        (void)say(uid, 200, &line);
    check_true("a second later", lines <= LOG_SHARE_USERS_MAX * (LOG_SHARE_PER_SECOND + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_share, set_up),
        cmocka_unit_test_setup(test_many_users, set_up),
        cmocka_unit_test_setup(test_a_user_of_many_uids, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
