#include "relay/serve_log.h"

#include "test/unit/loop.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

static struct serve_log lines;
static struct log log_of_test;
static int pipe_out, stderr_before;

/* Standard error becomes a pipe that holds what was written and nothing else. */
static int open_all(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    stderr_before = dup(STDERR_FILENO);
    assert_true(stderr_before >= 0);
    assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
    close(ends[1]);
    pipe_out = ends[0];
    loop_open();
    serve_log_open(&lines, &log_of_test);
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(pipe_out);
    serve_log_close(&lines);
    loop_close();
    return 0;
}

static void check_written(const char *name, const char *expected)
{
    static char bytes[65536];
    ssize_t length = read(pipe_out, bytes, sizeof bytes);
    check_slice(name, slice_make(bytes, length < 0 ? 0 : (size_t)length), slice_of(expected));
}

static void turn(void)
{
    uv_run(host_loop(), UV_RUN_NOWAIT);
}

static void say(const char *text)
{
    serve_log_write(&log_of_test, slice_of(text));
}

static void test_at_once_without_a_loop(void **state)
{
    (void)state;
    say("one\n");
    check_written("one", "one\n");
    say("two\n");
    check_written("two", "two\n");
}

static void test_the_lines_of_a_turn_leave_together(void **state)
{
    (void)state;
    serve_log_gather(&lines, true);
    say("one\n");
    say("two\n");
    check_written("not yet", "");
    turn();
    check_written("both", "one\ntwo\n");
    turn();
    check_written("once", "");
    say("three\n");
    turn();
    check_written("the next", "three\n");
    serve_log_gather(&lines, false);
}

static void test_what_is_gathered_leaves_at_the_end(void **state)
{
    (void)state;
    serve_log_gather(&lines, true);
    say("one\n");
    serve_log_gather(&lines, false);
    check_written("one", "one\n");
    say("two\n");
    check_written("two", "two\n");
    turn();
    check_written("no more", "");
}

static void test_more_than_has_room(void **state)
{
    (void)state;
    static char line[LOG_LINE_MAX + 1], all[5 * LOG_LINE_MAX + 1];
    memset(line, 'x', LOG_LINE_MAX - 1);
    line[LOG_LINE_MAX - 1] = '\n';
    serve_log_gather(&lines, true);
    for (int i = 0; i < 5; i++) {
        memcpy(all + i * LOG_LINE_MAX, line, LOG_LINE_MAX);
        say(line);
    }
    static char before[4 * LOG_LINE_MAX + 1];
    memcpy(before, all, 4 * LOG_LINE_MAX);
    check_written("what had room", before);
    turn();
    check_written("the rest", line);
    serve_log_gather(&lines, false);
}

static size_t number_behind(const char *line, const char *key)
{
    uint64_t number = 0;
    const char *place = strstr(line, key);
    assert_non_null(place);
    struct slice text = slice_of(place + strlen(key));
    assert_true(slice_number(slice_to(text, slice_find(text, ' ')), SIZE_MAX, &number));
    return (size_t)number;
}

/* The pipe blocks, as a container's does. All that is said must be read one day, or be counted among what was lost, in order. */
static void test_nobody_takes_it(void **state)
{
    static char bytes[1u << 20];
    static const size_t amounts[] = {10, 100, 5000};
    (void)state;
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) & ~O_NONBLOCK), 0);
    serve_log_gather(&lines, true);
    for (size_t round = 0; round < COUNT_OF(amounts); round++) {
        int64_t start_ms = clock_monotonic_ms();
        for (size_t i = 0; i < amounts[round]; i++) {
            char line[200];
            snprintf(line, sizeof line, "event=test number=%zu text=%0100d\n", i, 0);
            say(line);
            if (i % 50 == 0)
                turn();
        }
        turn();
        assert_true(clock_monotonic_ms() - start_ms < 60000); /* it came back at all */
        size_t next = 0, lost = 0;
        while (next + lost < amounts[round]) {
            ssize_t length = read(pipe_out, bytes, sizeof bytes - 1);
            bytes[length < 0 ? 0 : length] = '\0';
            static char rest[1u << 21];
            size_t kept = strlen(rest);
            assert_true(kept + (size_t)(length < 0 ? 0 : length) < sizeof rest);
            memcpy(rest + kept, bytes, strlen(bytes) + 1);
            for (char *end; (end = strchr(rest, '\n')) != NULL; memmove(rest, end + 1, strlen(end + 1) + 1)) {
                *end = '\0';
                if (strstr(rest, "event=test ") != NULL)
                    check_number("in order", number_behind(rest, "number="), next++ + lost);
                else
                    lost += number_behind(rest, "event=log_lost lines=");
            }
            loop_for(1);
        }
        check_number("lost", lost > 0, amounts[round] == 5000);
    }
    serve_log_gather(&lines, false);
}

/* Neither is a start or an end held up by it for long. */
static void test_nobody_takes_it_at_the_end(void **state)
{
    static char line[LOG_LINE_MAX + 1];
    (void)state;
    assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, fcntl(STDERR_FILENO, F_GETFL) & ~O_NONBLOCK), 0);
    memset(line, 'x', LOG_LINE_MAX - 1);
    line[LOG_LINE_MAX - 1] = '\n';
    for (int i = 0; i < 200; i++)
        say(line); /* waits once, not each time */
    serve_log_gather(&lines, true);
    for (int i = 0; i < 200; i++)
        say(line);
    serve_log_gather(&lines, false);
    assert_true(lines.is_stuck && lines.lost > 0);
}

/* Nor by one that is closed. */
static void test_there_is_nobody(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    int before = pipe_out;
    pipe_out = open("/dev/null", O_RDONLY);
    close(before);
    serve_log_gather(&lines, true);
    for (int i = 0; i < 10000; i++)
        say("a line that nobody will ever read\n");
    serve_log_gather(&lines, false);
    check_number("kept", buffer_length(&lines.kept), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_once_without_a_loop, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_the_lines_of_a_turn_leave_together, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_what_is_gathered_leaves_at_the_end, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_more_than_has_room, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_nobody_takes_it, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_nobody_takes_it_at_the_end, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_there_is_nobody, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
