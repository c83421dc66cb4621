#include "relay/serve_log.h"

#include "test/unit/loop.h"

#include <fcntl.h>
#include <unistd.h>

static struct serve_log lines;
static struct log log_of_test = {.write = serve_log_write, .owner = &lines};
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
    lines = (struct serve_log){.length = 0};
    loop_open();
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(pipe_out);
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

static void test_nobody_takes_it(void **state)
{
    (void)state;
    static char line[LOG_LINE_MAX + 1];
    memset(line, 'x', LOG_LINE_MAX);
    for (int i = 0; i < 100; i++)
        say(line); /* the pipe is full long before */
    serve_log_gather(&lines, true);
    for (int i = 0; i < 100; i++)
        say(line);
    serve_log_gather(&lines, false);
    assert_int_equal(lines.length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_at_once_without_a_loop, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_the_lines_of_a_turn_leave_together, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_what_is_gathered_leaves_at_the_end, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_more_than_has_room, open_all, close_all),
        cmocka_unit_test_setup_teardown(test_nobody_takes_it, open_all, close_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
