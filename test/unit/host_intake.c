/* The SMTP door over real sockets, to a client that may not relay: whatever it says, and however TCP cuts it, nothing is taken. */
#include "test/unit/visiting.h"

/* ---- what it says ---- */

static void test_no_words_open_the_relay(void **state)
{
    static const char *const recipients[] = {
        "v@elsewhere.example",
        "v%elsewhere.example@relay.example",
        "elsewhere.example!v",
        "@relay.example:v@elsewhere.example",
        "\"v@elsewhere.example\"@relay.example",
        "v@elsewhere.example@relay.example",
        "v@[192.0.2.1]",
        "v@[127.0.0.1]",
        "v@[IPv6:::ffff:192.0.2.1]",
        "postmaster",
        "v@relay.example",
        "v@elsewhere.example.",
        "v@ELSEWHERE.EXAMPLE",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(recipients); i++) {
        char input[256];
        snprintf(input, sizeof input, "MAIL FROM:<root@relay.example>\r\nRCPT TO:<%s>\r\nDATA\r\n", recipients[i]);
        for (size_t cut = 0; cut <= strlen(input); cut += i == 0 ? 1 : 7) {
            struct visitor visitor;
            struct slice heard = say(&visitor, slice_of(input), cut);
            check_true(recipients[i], slice_starts(heard, SLICE("250 2.1.0 ")));
            check_true(recipients[i], !has(heard, "250 2.1.5") && !has(heard, "\n354"));
            check_true(recipients[i], has(heard, "\n55") || has(heard, "\n50"));
            visitor_close(&visitor);
        }
    }
    assert_int_equal(running.relay->metrics.accepted, 0);
}

/* A client that does not wait for 354 has its content read as commands by nobody, as none was asked for. */
static void test_content_that_nobody_asked_for(void **state)
{
    static const char input[] = "MAIL FROM:<a@client.example>\r\nRCPT TO:<v@elsewhere.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
                                "MAIL FROM:<b@client.example>\r\nRCPT TO:<w@elsewhere.example>\r\nDATA\r\ny\r\n.\r\n";
    (void)state;
    for (size_t cut = 0; cut < sizeof input; cut++) {
        struct visitor visitor;
        struct slice heard = say(&visitor, slice_of(input), cut);
        check_true("nothing is taken", !has(heard, "250 2.1.5") && !has(heard, "\n354") && !has(heard, "250 2.0.0 queued"));
        visitor_close(&visitor);
    }
    assert_int_equal(running.relay->metrics.accepted, 0);
}

/* Without a certificate and users neither TLS nor AUTH is offered, and neither can be had. */
static void test_what_is_not_offered(void **state)
{
    static const char input[] = "STARTTLS\r\nAUTH PLAIN AGEAYg==\r\nAUTH LOGIN\r\nMAIL FROM:<a@client.example>\r\n"
                                "RCPT TO:<v@elsewhere.example>\r\n";
    (void)state;
    for (size_t cut = 0; cut < sizeof input; cut++) {
        struct visitor visitor;
        struct slice heard = say(&visitor, slice_of(input), cut);
        check_true("nothing is granted", !has(heard, "220 2") && !has(heard, "\n235") && !has(heard, "\n334") && !has(heard, "250 2.1.5"));
        visitor_close(&visitor);
    }
}

/* A header of whom nobody believes is no header: this connection does not become another client's. */
static void test_a_proxy_header_from_anybody(void **state)
{
    static const char input[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 25\r\nMAIL FROM:<a@client.example>\r\nRCPT TO:<v@elsewhere.example>\r\n";
    static struct ip_network trusted;
    (void)state;
    assert_int_equal(ip_network_parse(SLICE("192.0.2.0/24"), &trusted), ERR_NONE);
    running.relay->config->access_networks = (struct config_networks){.items = &trusted, .count = 1};
    for (size_t cut = 0; cut < sizeof input; cut += 3) {
        struct visitor visitor;
        struct slice heard = say(&visitor, slice_of(input), cut);
        check_true("it is no command", slice_starts(heard, SLICE("500 ")));
        check_true("nor trusted", has(heard, "[127.0.0.1] may not relay") && !has(heard, "250 2.1.5"));
        visitor_close(&visitor);
    }
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, open_door, running_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_DOOR(test_no_words_open_the_relay),
        WITH_DOOR(test_content_that_nobody_asked_for),
        WITH_DOOR(test_what_is_not_offered),
        WITH_DOOR(test_a_proxy_header_from_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
