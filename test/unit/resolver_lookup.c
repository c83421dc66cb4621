/* Lookups against a name server that answers by a script: what each answer means. */
#include "test/unit/ask.h"

static void test_answers(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum record_kind kind;
        enum resolve_status status;
        size_t count, dropped;
        const char *first;
        uint32_t ttl_s;
        bool secure;
    } cases[] = {
        {"host.found.test", RECORD_A, RESOLVE_FOUND, 2, 0, "192.0.2.1", 200, true},
        {"host.found.test", RECORD_AAAA, RESOLVE_FOUND, 1, 0, "2001:db8::1", 300, true},
        {"Example.TEST", RECORD_MX, RESOLVE_FOUND, 1, 1, "mx1.example.test", 300, true},
        {"_mta-sts.found.test", RECORD_TXT, RESOLVE_FOUND, 1, 0, "v=STSv1; id=1;", 300, true},
        {"_25._tcp.mx.found.test", RECORD_TLSA, RESOLVE_FOUND, 1, 0, "digest", 300, true},
        {"a.nx.test", RECORD_MX, RESOLVE_NXDOMAIN, 0, 0, "", 60, true},
        {"nodata.test", RECORD_MX, RESOLVE_NODATA, 0, 0, "", 30, false},
        {"bogus.test", RECORD_MX, RESOLVE_SERVFAIL, 0, 0, "", 0, false},
        {"refused.test", RECORD_MX, RESOLVE_SERVFAIL, 0, 0, "", 0, false},
        {"referral.test", RECORD_MX, RESOLVE_SERVFAIL, 0, 0, "", 0, false},
        {"silent.test", RECORD_MX, RESOLVE_TIMEOUT, 0, 0, "", 0, false},
        {"odd.test", RECORD_MX, RESOLVE_MALFORMED, 0, 0, "", 0, false},
        {"nonsense.test", RECORD_A, RESOLVE_MALFORMED, 0, 0, "", 0, false},
        {"noise.test", RECORD_A, RESOLVE_MALFORMED, 0, 0, "", 0, false},
        {"otherid.test", RECORD_A, RESOLVE_MALFORMED, 0, 0, "", 0, false},
        {"badformat.test", RECORD_A, RESOLVE_SERVFAIL, 0, 0, "", 0, false},
        {"truncated.test", RECORD_A, RESOLVE_MALFORMED, 0, 0, "", 0, false},
        {"brokenoff.test", RECORD_A, RESOLVE_TIMEOUT, 0, 0, "", 0, false},
        {"not a name", RECORD_A, RESOLVE_NXDOMAIN, 0, 0, "", 0, false},
        {"a..test", RECORD_A, RESOLVE_NXDOMAIN, 0, 0, "", 0, false},
        {"loop.test", RECORD_A, RESOLVE_SERVFAIL, 0, 0, "", 0, false},
        {"self.test", RECORD_A, RESOLVE_SERVFAIL, 0, 0, "", 0, false},
        {"nowhere.test", RECORD_A, RESOLVE_NXDOMAIN, 0, 0, "", 60, false},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct asked got = ask_and_wait(cases[i].kind, cases[i].name);
        if (got.status != cases[i].status) {
            print_error("%s: %s: %s\n", cases[i].name, resolve_status_text(got.status), got.detail);
        }
        check_number(cases[i].name, got.status, cases[i].status);
        check_number(cases[i].name, got.count, cases[i].count);
        check_number(cases[i].name, got.dropped, cases[i].dropped);
        check_slice(cases[i].name, slice_of(got.first), slice_of(cases[i].first));
        check_number(cases[i].name, got.ttl_s, cases[i].ttl_s);
        check_number(cases[i].name, got.secure, cases[i].secure);
    }
}

static void test_details_are_for_people(void **state)
{
    (void)state;
    char server[128], expected[256];
    endpoint_print(&one.endpoint, server);
    static const struct {
        const char *name, *what;
    } cases[] = {
        {"odd.test", "no usable record in the answer from"},
        {"bogus.test", "SERVFAIL (DNSSEC bogus) from"},
        {"refused.test", "REFUSED from"},
        {"silent.test", "no answer from"},
        {"nonsense.test", "malformed answer from"},
        {"brokenoff.test", "the answer needs TCP, which fails with"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        snprintf(expected, sizeof expected, "%s %.*s", cases[i].what,
                 SLICE_ARGS(endpoint_print(&one.endpoint, server)));
        struct asked got = ask_and_wait(RECORD_MX, cases[i].name);
        check_slice(cases[i].name, slice_of(got.detail), slice_of(expected));
    }
}

static void test_queries_ask_for_dnssec(void **state)
{
    (void)state;
    struct asked got = ask_and_wait(RECORD_TXT, "query.test");
    check_slice("query", slice_of(got.first), SLICE("flags 0100 edns 1 do 1 size 4096"));
}

/* Another port and another id for each question. */
static void test_questions_are_hard_to_guess(void **state)
{
    (void)state;
    size_t same_ports = 0, same_ids = 0;
    for (size_t i = 0; i < 40; i++) {
        check_number("found", ask_and_wait(RECORD_A, "host.test").status, RESOLVE_FOUND);
    }
    for (size_t i = 0; i < 40; i++) {
        for (size_t j = 0; j < i; j++) {
            same_ports += one.ports[i] == one.ports[j] ? 1 : 0;
            same_ids += one.ids[i] == one.ids[j] ? 1 : 0;
        }
    }
    check_true("ports", same_ports < 10);
    check_true("ids", same_ids < 10);
}

static void test_chains_of_aliases(void **state)
{
    (void)state;
    struct asked got = ask_and_wait(RECORD_A, "a.chain.test");
    check_number("in one answer", got.status, RESOLVE_FOUND);
    check_slice("its end", slice_of(got.canonical), SLICE("c.test"));
    check_number("ttl", got.ttl_s, 40);
    check_true("secure", got.secure);

    got = ask_and_wait(RECORD_A, "3.link.test");
    check_number("in four answers", got.status, RESOLVE_FOUND);
    check_slice("its end", slice_of(got.canonical), SLICE("0.link.test"));
    check_number("ttl", got.ttl_s, 101);
    check_true("as secure as its weakest link", !got.secure);

    size_t before = one.udp_count;
    check_number("eight", ask_and_wait(RECORD_A, "8.link.test").status, RESOLVE_FOUND);
    check_number("questions", one.udp_count - before, 9);
    check_number("nine", ask_and_wait(RECORD_A, "9.link.test").status, RESOLVE_SERVFAIL);
}

static void test_big_answers_come_over_tcp(void **state)
{
    (void)state;
    struct asked got = ask_and_wait(RECORD_TXT, "big.test");
    check_number("status", got.status, RESOLVE_FOUND);
    check_number("count", got.count, 2);
    check_number("length", strlen(got.first), 20 * 255);
    check_true("secure", got.secure);
    check_number("over TCP", one.tcp_count, 1);

    dns_server_open(&two, dns_script, "127.0.0.1", false);
    use(&two.endpoint, 1);
    got = ask_and_wait(RECORD_TXT, "big.test");
    check_number("no TCP", got.status, RESOLVE_TIMEOUT);
    use_both();
    size_t before = two.udp_count;
    got = ask_and_wait(RECORD_TXT, "big.test");
    check_number("one of them has TCP", got.status, RESOLVE_FOUND);
    check_number("the other was not needed", two.udp_count, before);
    const struct endpoint servers[] = {two.endpoint, one.endpoint};
    use(servers, COUNT_OF(servers));
    got = ask_and_wait(RECORD_TXT, "big.test");
    check_number("the second one has TCP", got.status, RESOLVE_FOUND);
    dns_server_close(&two);
}

static void test_servers_without_edns(void **state)
{
    (void)state;
    static const char *const names[] = {"formerr.noedns.test", "notimp.noedns.test", "badvers.noedns.test"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        struct asked got = ask_and_wait(RECORD_A, names[i]);
        check_number(names[i], got.status, RESOLVE_FOUND);
        check_slice(names[i], slice_of(got.first), SLICE("192.0.2.7"));
        check_true(names[i], !got.secure);
    }
}

static void test_a_lost_packet_is_sent_again(void **state)
{
    (void)state;
    int64_t start_ms = clock_monotonic_ms();
    struct asked got = ask_and_wait(RECORD_A, "lost.test");
    check_number("status", got.status, RESOLVE_FOUND);
    check_true("after the first attempt", clock_monotonic_ms() - start_ms >= ATTEMPT_MS);
    check_number("questions", one.udp_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_details_are_for_people, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_queries_ask_for_dnssec, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_questions_are_hard_to_guess, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chains_of_aliases, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_big_answers_come_over_tcp, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_servers_without_edns, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lost_packet_is_sent_again, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
