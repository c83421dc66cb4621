/* Lookups with several name servers, or none, and many lookups at once. */
#include "test/unit/ask.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static void test_the_second_server_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const struct dns_entry *first;
    } cases[] = {{"silent", dns_script_silent}, {"bogus", dns_script_bogus}};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        dns_server_open(&two, cases[i].first, "127.0.0.1", false);
        const struct endpoint servers[] = {two.endpoint, one.endpoint};
        use(servers, COUNT_OF(servers));
        struct asked got = ask_and_wait(RECORD_A, "host.test");
        check_number(cases[i].name, got.status, RESOLVE_FOUND);
        check_number(cases[i].name, two.udp_count, 1);
        size_t before = two.udp_count;
        int64_t start_ms = clock_monotonic_ms();
        got = ask_and_wait(RECORD_A, "host.test");
        check_number(cases[i].name, got.status, RESOLVE_FOUND);
        if (cases[i].first == dns_script_silent) {
            check_true("no time is lost a second time", clock_monotonic_ms() - start_ms < ATTEMPT_MS);
            check_number("it comes last for a while", two.udp_count, before);
        }
        dns_server_close(&two);
    }
}

/* The failure that says most is the one that is told. */
static void test_two_failures(void **state)
{
    (void)state;
    dns_server_open(&two, dns_script_silent, "127.0.0.1", false);
    use_both();
    check_number("bogus and silent", ask_and_wait(RECORD_A, "bogus.test").status, RESOLVE_SERVFAIL);
    check_number("nonsense and silent", ask_and_wait(RECORD_A, "nonsense.test").status, RESOLVE_MALFORMED);
    size_t one_before = one.udp_count, two_before = two.udp_count;
    int64_t start_ms = clock_monotonic_ms();
    check_number("both silent", ask_and_wait(RECORD_A, "silent.test").status, RESOLVE_TIMEOUT);
    int64_t took_ms = clock_monotonic_ms() - start_ms;
    check_true("as long as may be", took_ms >= TOTAL_MS && took_ms < TOTAL_MS + 500);
    check_true("twice each", one.udp_count >= one_before + 2 && two.udp_count >= two_before + 2);
    dns_server_close(&two);
}

static struct endpoint closed_endpoint(void)
{
    struct sockaddr_storage address;
    struct endpoint endpoint = {.ip = ip_v4((const uint8_t[4]){127, 0, 0, 1})};
    socklen_t length = host_address(&endpoint, &address);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    endpoint = host_socket_local(fd);
    close(fd);
    return endpoint;
}

static void test_no_server(void **state)
{
    (void)state;
    const struct endpoint nobody = closed_endpoint(), servers[] = {nobody, one.endpoint};
    use(servers, COUNT_OF(servers));
    int64_t start_ms = clock_monotonic_ms();
    check_number("the other is asked", ask_and_wait(RECORD_A, "host.test").status, RESOLVE_FOUND);
    check_true("at once", clock_monotonic_ms() - start_ms < ATTEMPT_MS);

    const struct resolver_options options = {.servers = &nobody, .server_count = 1};
    assert_int_equal(resolver_open(&options), ERR_NONE);
    struct asked got = ask_and_wait(RECORD_A, "host.test");
    check_number("nobody listens", got.status, RESOLVE_NO_SERVER);
    check_true("in words", slice_starts(slice_of(got.detail), SLICE("cannot reach 127.0.0.1:")));

    const struct endpoint unroutable = {.ip = {.family = IP_V4, .bytes = {255, 255, 255, 255}}, .port = 53};
    use(&unroutable, 1);
    got = ask_and_wait(RECORD_A, "host.test");
    check_number("no way there", got.status, RESOLVE_NO_SERVER);

    resolver_close();
    check_number("servers", resolver_server_count(), 0);
    check_true("not local", !resolver_is_local());
    got = ask_and_wait(RECORD_A, "host.test");
    check_number("none", got.status, RESOLVE_NO_SERVER);
    check_slice("in words", slice_of(got.detail), SLICE("no name server is configured"));
}

/* One that is just starting is waited for a little. */
static void test_a_server_that_starts(void **state)
{
    (void)state;
    struct endpoint place = closed_endpoint();
    const struct resolver_options options = {.servers = &place, .server_count = 1};
    assert_int_equal(resolver_open(&options), ERR_NONE);
    struct asked asked = {0};
    ask(&asked, RECORD_A, "host.test");
    loop_for(300);
    check_number("not given up", asked.calls, 0);
    struct sockaddr_storage address;
    socklen_t length = host_address(&place, &address);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    loop_for(1000);
    char query[512];
    assert_true(recv(fd, query, sizeof query, MSG_DONTWAIT) > 12);
    resolve_cancel(&asked.resolve);
    close(fd);
}

static void test_both_families_mix(void **state)
{
    (void)state;
    int probe = socket(AF_INET6, SOCK_DGRAM, 0);
    struct endpoint loopback = {.ip = {.family = IP_V6}};
    loopback.ip.bytes[15] = 1;
    struct sockaddr_storage address;
    socklen_t length = host_address(&loopback, &address);
    bool has_v6 = probe >= 0 && bind(probe, (struct sockaddr *)&address, length) == 0;
    if (probe >= 0) {
        close(probe);
    }
    if (!has_v6) {
        skip();
    }
    dns_server_open(&two, dns_script, "::1", true);
    use_both();
    check_true("local", resolver_is_local());
    check_number("v4", ask_and_wait(RECORD_A, "host.test").status, RESOLVE_FOUND);
    check_number("asked", two.udp_count, 0);
    const struct endpoint servers[] = {two.endpoint, one.endpoint};
    use(servers, COUNT_OF(servers));
    check_number("v6", ask_and_wait(RECORD_A, "host.test").status, RESOLVE_FOUND);
    check_number("asked", two.udp_count, 1);
    check_number("v6 by TCP", ask_and_wait(RECORD_TXT, "big.test").status, RESOLVE_FOUND);
    check_number("asked", two.tcp_count, 1);
    dns_server_close(&two);
}

static void test_cancelling(void **state)
{
    (void)state;
    static const char *const names[] = {"host.test", "silent.test", "big.test", "not a name", "9.link.test"};
    struct asked unused = {0};
    resolve_cancel(&unused.resolve);
    for (int64_t delay_ms = 0; delay_ms < 4; delay_ms++) {
        for (size_t i = 0; i < COUNT_OF(names); i++) {
            struct asked *asked = calloc(1, sizeof *asked);
            ask(asked, RECORD_TXT, names[i]);
            if (delay_ms > 0) {
                loop_for(delay_ms - 1);
            }
            resolve_cancel(&asked->resolve);
            resolve_cancel(&asked->resolve);
            memset(asked, 0xa5, sizeof *asked);
            free(asked);
        }
    }
    size_t before = done_count;
    loop_for(50);
    check_number("no call", done_count, before);
}

static void test_done_may_cancel_and_start(void **state)
{
    (void)state;
    struct asked victim = {0}, asked = {.cancels = &victim, .then = "a.nx.test"};
    ask(&victim, RECORD_A, "silent.test");
    ask(&asked, RECORD_A, "host.test");
    loop_until("both", &done_count, 2);
    check_number("the second", asked.status, RESOLVE_NXDOMAIN);
    check_number("calls", asked.calls, 2);
    loop_for(20);
    check_number("cancelled", victim.calls, 0);
}

static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    struct rlimit before, none;
    struct asked asked = {0};
    int next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    ask(&asked, RECORD_A, "host.test");
    loop_for(20);
    check_number("not given up yet", asked.calls, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    loop_until("found", &done_count, 1);
    check_number("after a while", asked.status, RESOLVE_FOUND);
}

/* More at once than sockets are opened for. */
static void test_many_at_once(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    static struct asked asked[COUNT];
    memset(asked, 0, sizeof asked);
    const struct resolver_options options = {.servers = &one.endpoint, .server_count = 1};
    assert_int_equal(resolver_open(&options), ERR_NONE);
    for (size_t i = 0; i < COUNT; i++) {
        ask(&asked[i], RECORD_A, i % 10 == 0 ? "a.slow.test" : "host.test");
    }
    for (size_t i = 0; i < COUNT; i += 7) {
        resolve_cancel(&asked[i].resolve);
    }
    loop_until("all", &done_count, COUNT - (COUNT + 6) / 7);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(asked[i].calls, i % 7 == 0 ? 0 : 1);
        assert_int_equal(asked[i].status, i % 7 == 0 ? 0 : RESOLVE_FOUND);
    }
}

/* All that wait end with the total timeout, those too whose turn never came. */
static void test_many_in_silence(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    static struct asked asked[COUNT];
    memset(asked, 0, sizeof asked);
    int64_t start_ms = clock_monotonic_ms();
    for (size_t i = 0; i < COUNT; i++) {
        ask(&asked[i], RECORD_A, "silent.test");
    }
    loop_until("all", &done_count, COUNT);
    check_true("in time", clock_monotonic_ms() - start_ms < TOTAL_MS + 1500);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(asked[i].status, RESOLVE_TIMEOUT);
    }
}

static void test_a_reload_disturbs_nobody(void **state)
{
    (void)state;
    struct asked before = {0}, after = {0};
    dns_server_open(&two, dns_script_plain, "127.0.0.1", false);
    ask(&before, RECORD_A, "lost.test");
    loop_for(5);
    use(&two.endpoint, 1);
    ask(&after, RECORD_A, "host.test");
    loop_until("both", &done_count, 2);
    check_number("before", before.status, RESOLVE_FOUND);
    check_number("by the old one", one.udp_count, 2);
    check_number("after", after.status, RESOLVE_FOUND);
    check_number("by the new one", two.udp_count, 1);
    dns_server_close(&two);
}

static void test_set_up(void **state)
{
    (void)state;
    struct endpoint servers[7];
    for (size_t i = 0; i < COUNT_OF(servers); i++) {
        servers[i] = one.endpoint;
    }
    const struct resolver_options too_many = {.servers = servers, .server_count = COUNT_OF(servers)};
    assert_int_equal(resolver_open(&too_many), ERR_LIMIT);
    check_number("as before", resolver_server_count(), 1);
    use(servers, 6);
    check_true("local", resolver_is_local());
    servers[5].ip.bytes[0] = 192;
    use(servers, 6);
    check_true("one is not", !resolver_is_local());
    const struct resolver_options none = {0};
    setenv("NAMESERVERS", "192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4", 1); /* what udns by itself would take */
    assert_int_equal(resolver_open(&none), ERR_NONE);
    check_true("the system's, or this host", resolver_server_count() >= 1);
    unsetenv("NAMESERVERS");
    check_slice("kind", slice_of(record_kind_name(RECORD_TLSA)), SLICE("TLSA"));
    check_true("temporary", resolve_is_temporary(RESOLVE_MALFORMED) && !resolve_is_temporary(RESOLVE_NODATA));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_second_server_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_two_failures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_server, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_server_that_starts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_both_families_mix, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_done_may_cancel_and_start, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_descriptor_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_in_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_reload_disturbs_nobody, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_set_up, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
