/* Many at once at the SMTP door, while the disk is behind: every session ends, with its answer, and so does the relay. */
#include "test/unit/visiting.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define UPLOADS 12
#define LINES 2700 /* of 78 bytes: three chunks and more */

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

/* At the end of a stop: whoever is in the midst of its content hears why it ends, and so does whoever waits for the disk. */
static void test_the_end_of_a_stop_is_told(void **state)
{
    (void)state;
    running.relay->config->stop_timeout_ms = 20;
    stream_write(&visitors[0].stream, slice_to(buffer_slice(&content), 1000));
    stream_write(&visitors[1].stream, buffer_slice(&content));
    relay_stop(running.relay, 0);
    for (size_t i = 0; i < UPLOADS; i++) {
        hear(&visitors[i], 6);
        check_true("told", slice_ends(buffer_slice(&visitors[i].heard), SLICE("421 4.3.2 this relay is stopping; try again soon\r\n")));
    }
    check_number("counted", running.relay->metrics.refusals[METRICS_REFUSAL_stop], UPLOADS);
    struct slice told = buffer_slice(&running.told);
    check_true("a line", has(told, "event=rejected reason=stop client=[127.0.0.1]") && has(told, "stage=content"));
    assert_int_equal(running.relay->metrics.accepted, 0);
}

static bool waits_for_the_disk(void *session)
{
    return ((struct session *)session)->is_waiting;
}

static bool has_its_answer(void *session)
{
    return !waits_for_the_disk(session);
}

/* Who is over its time while the disk has its content is not cut off: the wait is ours. */
static void test_nobody_pays_for_the_disk(void **state)
{
    (void)state;
    struct session *session = LIST_OF(list_first(&running.relay->intake->sessions), struct session, node);
    stream_write(&visitors[0].stream, buffer_slice(&content));
    assert_true(loop_turn(waits_for_the_disk, session, LOOP_WAIT_MS));
    assert_false(timer_is_running(&session->timer));
    assert_true(loop_turn(has_its_answer, session, LOOP_WAIT_MS));
    assert_true(timer_is_running(&session->timer));
}

/* ---- more strangers than places ---- */

#define FILES 24 /* connections that this process may have open */
#define STRANGERS 60
#define OUTBOUND 4

/* One that connects and says nothing: its own end is not among those that are counted. */
static int stranger_open(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(place.port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static size_t files_before;

static int open_small_door(void **state)
{
    static struct ip_network trusted;
    open_door(state);
    assert_int_equal(ip_network_parse(SLICE("127.0.0.2/32"), &trusted), ERR_NONE);
    struct config *config = running.relay->config;
    config->access_networks = (struct config_networks){.items = &trusted, .count = 1};
    config->delivery_connections_max = OUTBOUND;
    files_before = host_connection_max();
    return 0;
}

static int close_small_door(void **state)
{
    host_connection_max_set(files_before);
    return running_teardown(state);
}

/* However many hold their connections and say nothing, also more than there are descriptors: whoever may relay is served at once. */
static void test_a_trusted_client_always_gets_in(void **state)
{
    struct endpoint trusted = {.port = 0};
    struct visitor friend;
    int strangers[STRANGERS];
    (void)state;
    assert_true(ip_parse(SLICE("127.0.0.2"), &trusted.ip));
    host_connection_max_set(FILES);
    size_t places = intake_places(running.relay->intake);
    assert_true(places < STRANGERS && places < FILES);
    for (size_t i = 0; i < STRANGERS; i++)
        strangers[i] = stranger_open();
    loop_for(10);
    for (size_t i = 0; i < 3; i++) {
        visitor_connect(&friend, &trusted);
        hear(&friend, 1);
        check_slice("greeting", slice_to(buffer_slice(&friend.heard), 4), SLICE("220 "));
        visitor_close(&friend);
    }
    assert_true(intake_session_count(running.relay->intake) <= places);
    assert_int_equal(running.relay->metrics.refusals[METRICS_REFUSAL_time], 0); /* nobody's time-out was waited for */
    for (size_t i = 0; i < STRANGERS; i++)
        close(strangers[i]);
}

static void test_places(void **state)
{
    static const struct {
        size_t files;
        uint32_t wanted, outbound;
        size_t places;
    } cases[] = {
        {100000, 1000, 200, 1000},
        {768, 1000, 200, 504},
        {768, 300, 200, 300},
        {768, 1000, 20000, 384},
        {12, 1000, 200, 6},
    };
    struct config *config = running.relay->config;
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        host_connection_max_set(cases[i].files);
        config->connections_max = cases[i].wanted;
        config->delivery_connections_max = cases[i].outbound;
        assert_int_equal(intake_places(running.relay->intake), cases[i].places);
        struct intake_fds none = {.count = 0};
        struct buffer fault;
        size_t warnings = running.lines[LOG_WARNING];
        buffer_init(&fault, 4096);
        assert_int_equal(intake_open(running.relay->intake, &none, &fault), ERR_NONE);
        assert_int_equal(running.lines[LOG_WARNING] - warnings, cases[i].places < cases[i].wanted);
        buffer_free(&fault);
    }
}

/* What it may have is named, and who sees it can set it. */
static void test_too_many_of_one_client(void **state)
{
    static const char told[] = "421 4.7.0 too many connections from [127.0.0.1] ([listen] connections-per-client is 2); try again later\r\n";
    (void)state;
    running.relay->config->connections_per_client = 2;
    for (size_t i = 0; i < 3; i++) {
        visitor_connect(&visitors[i], NULL);
        hear(&visitors[i], 1);
    }
    check_slice("the third", buffer_slice(&visitors[2].heard), slice_of(told));
    for (size_t i = 0; i < 3; i++)
        visitor_close(&visitors[i]);
}

/* Who has an address of an IPv6 network of 64 bits has all of them: they are one client. So many connections are begun that only the last
 * address of a row is beyond what is allowed, or none is. */
static void test_whose_connections(void **state)
{
    static const struct {
        const char *addresses[3];
        bool is_refused;
    } cases[] = {
        {{"2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff:ffff:ffff:ffff"}, true},
        {{"2001:db8::1", "2001:db8:0:1::1", "2001:db8::2"}, false},
        {{"192.0.2.1", "192.0.2.2", "192.0.2.3"}, false},
        {{"192.0.2.1", "192.0.2.1", "192.0.2.1"}, true},
    };
    static struct ip_network proxies;
    (void)state;
    struct config *config = running.relay->config;
    assert_int_equal(ip_network_parse(SLICE("127.0.0.0/8"), &proxies), ERR_NONE);
    config->proxy_networks = (struct config_networks){.items = &proxies, .count = 1};
    config->connections_per_client = 2;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (size_t j = 0; j < 3; j++) {
            char header[200];
            bool is_v6 = strchr(cases[i].addresses[j], ':') != NULL;
            snprintf(header, sizeof header, "PROXY TCP%c %s %s 1 2\r\n", is_v6 ? '6' : '4', cases[i].addresses[j], is_v6 ? "2001:db8:1::1" : "192.0.2.99");
            visitor_connect(&visitors[j], NULL);
            stream_write(&visitors[j].stream, slice_of(header));
            hear(&visitors[j], 1);
            bool is_refused = slice_starts(buffer_slice(&visitors[j].heard), SLICE("421 4.7.0 too many connections from "));
            check_number(cases[i].addresses[j], is_refused, j == 2 && cases[i].is_refused);
        }
        for (size_t j = 0; j < 3; j++)
            visitor_close(&visitors[j]);
        running_until("no session is left", all_have_gone, NULL);
    }
}

/* ---- little memory ---- */

static void test_room_for_two(void **state)
{
    static const char envelope[] = "MAIL FROM:<a@client.example>\r\nRCPT TO:<v@elsewhere.example>\r\n";
    (void)state;
    assert_int_equal(intake_set_memory(running.relay->intake, 1), 1); /* one at least, or nothing would ever come in */
    assert_int_equal(intake_set_memory(running.relay->intake, 2 * (640u << 10) + 1), 2);
    for (size_t i = 0; i < 3; i++) {
        visitor_open(&visitors[i]);
        stream_write(&visitors[i].stream, slice_of(envelope));
        hear(&visitors[i], 4); /* whoever has said no more takes nobody's room */
    }
    check_slice("the first", slice_to(converse(&visitors[0], "DATA\r\n"), 3), SLICE("354"));
    check_slice("the second", slice_to(converse(&visitors[1], "DATA\r\n"), 3), SLICE("354"));
    check_slice("the third", slice_to(converse(&visitors[2], "DATA\r\n"), 9), SLICE("452 4.3.1"));
    check_number("counted", running.relay->metrics.refusals[METRICS_REFUSAL_memory], 1);
    check_true("a line", has(buffer_slice(&running.told), "event=rejected reason=memory client=[127.0.0.1]"));
    check_slice("taken", slice_to(converse(&visitors[0], "Subject: x\r\n\r\nx\r\n.\r\n"), 3), SLICE("250"));
    check_slice("the third, again", slice_to(converse(&visitors[2], "DATA\r\n"), 3), SLICE("354"));
    stream_abort(&visitors[1].stream);
    check_slice("taken", slice_to(converse(&visitors[2], "Subject: x\r\n\r\nx\r\n.\r\n"), 3), SLICE("250"));
    for (size_t i = 0; i < 3; i++)
        visitor_close(&visitors[i]);
}

#define WITH_TRUST(test) cmocka_unit_test_setup_teardown(test, open_trusting_door, running_teardown)
#define WITH_SMALL_DOOR(test) cmocka_unit_test_setup_teardown(test, open_small_door, close_small_door)
#define WITH_CROWD(test) cmocka_unit_test_setup_teardown(test, open_crowd, close_crowd)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_CROWD(test_all_are_answered),
        WITH_CROWD(test_all_end),
        WITH_CROWD(test_the_end_of_a_stop_is_told),
        WITH_CROWD(test_nobody_pays_for_the_disk),
        WITH_SMALL_DOOR(test_a_trusted_client_always_gets_in),
        WITH_SMALL_DOOR(test_places),
        WITH_SMALL_DOOR(test_too_many_of_one_client),
        WITH_SMALL_DOOR(test_whose_connections),
        WITH_TRUST(test_room_for_two),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
