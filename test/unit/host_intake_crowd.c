/* Many at once at the SMTP door, while the disk is behind: every session ends, with its answer, and so does the relay. */
#include "test/unit/visiting.h"

#define UPLOADS 40
#define LINES 4500 /* of 78 bytes: five chunks and a half */

static struct visitor visitors[UPLOADS];
static struct buffer content;

static int open_crowd(void **state)
{
    open_trusting_door(state);
    journal_set_pending_max(running.relay->journal, 100000);
    buffer_init(&content, 1u << 20);
    buffer_add(&content, SLICE("Subject: x\r\n\r\n"));
    for (size_t i = 0; i < LINES; i++)
        buffer_print(&content, "%076zu\r\n", i);
    for (size_t i = 0; i < UPLOADS; i++) {
        visitor_open(&visitors[i]);
        stream_write(&visitors[i].stream, SLICE("MAIL FROM:<a@client.example>\r\nRCPT TO:<v@elsewhere.example>\r\nDATA\r\n"));
    }
    for (size_t i = 0; i < UPLOADS; i++)
        hear(&visitors[i], 5);
    return 0;
}

static int close_crowd(void **state)
{
    for (size_t i = 0; i < UPLOADS; i++)
        visitor_close(&visitors[i]);
    buffer_free(&content);
    return running_teardown(state); /* fails where the relay does not stop */
}

static bool all_have_gone(void *owner)
{
    (void)owner;
    return intake_session_count(running.relay->intake) == 0;
}

static void test_all_are_answered(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPLOADS; i++) {
        stream_write(&visitors[i].stream, buffer_slice(&content));
        stream_write(&visitors[i].stream, SLICE(".\r\n"));
    }
    for (size_t i = 0; i < UPLOADS; i++) {
        hear(&visitors[i], 6);
        check_true("taken", has(buffer_slice(&visitors[i].heard), "250 2.0.0 queued as "));
        stream_write(&visitors[i].stream, SLICE("QUIT\r\n"));
    }
    assert_int_equal(running.relay->metrics.accepted, UPLOADS);
    running_until("no session is left", all_have_gone, NULL);
}

/* Half of them go away in the middle, and the relay is told to stop while the other half is being written. */
static void test_all_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < UPLOADS; i++)
        stream_write(&visitors[i].stream, slice_to(buffer_slice(&content), buffer_length(&content) / (1 + i % 3)));
    loop_for(20);
    for (size_t i = 0; i < UPLOADS; i += 2)
        stream_abort(&visitors[i].stream);
    loop_for(1);
}

/* Who is over its time while the disk has its content is not cut off: the wait is ours. */
static void test_nobody_pays_for_the_disk(void **state)
{
    (void)state;
    struct session *session = LIST_OF(list_first(&running.relay->intake->sessions), struct session, node);
    stream_write(&visitors[0].stream, buffer_slice(&content));
    int64_t end_ms = clock_monotonic_ms() + LOOP_WAIT_MS;
    while (!session->is_waiting && clock_monotonic_ms() < end_ms)
        uv_run(host_loop(), UV_RUN_ONCE);
    assert_true(session->is_waiting);
    assert_false(timer_is_running(&session->timer));
    while (session->is_waiting && clock_monotonic_ms() < end_ms)
        uv_run(host_loop(), UV_RUN_ONCE);
    assert_true(timer_is_running(&session->timer));
}

#define WITH_CROWD(test) cmocka_unit_test_setup_teardown(test, open_crowd, close_crowd)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_CROWD(test_all_are_answered),
        WITH_CROWD(test_all_end),
        WITH_CROWD(test_nobody_pays_for_the_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
