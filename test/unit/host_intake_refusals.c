/* Every no of the SMTP door leaves a trace: one line with its reason, the client and the reply, and one count; and what a reload
 * takes away is taken from open sessions too. */
#include "test/unit/visiting.h"

#define MAIL "MAIL FROM:<a@client.example>\r\n"
#define RCPT "RCPT TO:<v@elsewhere.example>\r\n"

/* How many lines of the log have all of these words (NULL: no such word). */
static size_t lines_with(const char *const words[4])
{
    struct slice rest = buffer_slice(&running.told), line;
    size_t count = 0;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line)) {
        bool has_all = true;
        for (size_t i = 0; i < 4; i++)
            has_all = has_all && (words[i] == NULL || has(line, words[i]));
        count += has_all;
    }
    return count;
}

static void expect_one(const char *name, const char *reason, const char *reply)
{
    char reason_word[64], code[16];
    snprintf(reason_word, sizeof reason_word, "event=rejected reason=%s ", reason);
    snprintf(code, sizeof code, " code=%.3s ", reply);
    check_number(name, lines_with((const char *const[4]){reason_word, "client=[127.0.0.1]", code, strlen(reply) > 4 ? reply + 4 : NULL}), 1);
    check_number(name, lines_with((const char *const[4]){"event=rejected", NULL, NULL, NULL}), 1);
}

static uint64_t refusals(void)
{
    uint64_t count = 0;
    for (size_t i = 0; i < METRICS_REFUSAL_COUNT; i++)
        count += running.relay->metrics.refusals[i];
    return count;
}

/* What a client says behind EHLO: steps, each after the reply to the one before; the last reply is the refusal. */
struct refused {
    const char *name, *steps[5];
    enum metrics_refusal reason;
    const char *reply; /* its code, and words of it */
};

static void check_refused(const struct refused *refused)
{
    struct visitor visitor;
    struct slice heard = SLICE_EMPTY;
    uint64_t before = refusals(), of_reason = running.relay->metrics.refusals[refused->reason];
    visitor_open(&visitor);
    for (size_t i = 0; i < COUNT_OF(refused->steps) && refused->steps[i] != NULL; i++)
        heard = converse(&visitor, refused->steps[i]);
    check_slice(refused->name, slice_to(heard, 3), slice_to(slice_of(refused->reply), 3));
    expect_one(refused->name, metrics_refusal_word(refused->reason), refused->reply);
    check_number(refused->name, refusals() - before, 1);
    check_number(refused->name, running.relay->metrics.refusals[refused->reason] - of_reason, 1);
    visitor_close(&visitor);
    buffer_clear(&running.told);
}

static void test_a_trusted_client(void **state)
{
    static const struct refused cases[] = {
        {"unknown", {"XYZZY\r\n"}, METRICS_REFUSAL_syntax, "500 command not recognised"},
        {"bytes", {"MAIL FROM:<\x01@b>\r\n"}, METRICS_REFUSAL_syntax, "501 lines end in CRLF"},
        {"parameter", {"MAIL FROM:<a@b> X=Y\r\n"}, METRICS_REFUSAL_syntax, "555 parameter"},
        {"turn", {"DATA\r\n"}, METRICS_REFUSAL_order, "503 MAIL first"},
        {"sender", {"MAIL FROM:<a b@c>\r\n"}, METRICS_REFUSAL_address, "501 bad sender"},
        {"recipient", {MAIL, "RCPT TO:<@>\r\n"}, METRICS_REFUSAL_address, "501 bad recipient"},
        {"no recipient", {MAIL, "DATA\r\n"}, METRICS_REFUSAL_order, "554 no valid"},
        {"said to be too large", {"MAIL FROM:<a@b> SIZE=99999999999\r\n"}, METRICS_REFUSAL_size, "552 too large"},
        {"bare LF", {MAIL, RCPT, "DATA\r\n", "a\nb\r\n.\r\n"}, METRICS_REFUSAL_content, "550 bare LF"},
        {"bare CR", {MAIL, RCPT, "DATA\r\n", "a\rb\r\n.\r\n"}, METRICS_REFUSAL_content, "550 bare CR"},
        {"no wait", {MAIL, RCPT, "DATA\r\na\r\n.\r\n"}, METRICS_REFUSAL_early, "554 commands were sent before"},
        {"AUTH", {"AUTH PLAIN AGEAYg==\r\n"}, METRICS_REFUSAL_login, "503 not offered"},
        {"HTTP", {"GET / HTTP/1.1\r\n"}, METRICS_REFUSAL_http, "554 SMTP server"},
        {"no user", {MAIL, "RCPT TO:<nobody@relay.example>\r\n"}, METRICS_REFUSAL_user, "550 no such user"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_refused(&cases[i]);
}

static void test_a_stranger(void **state)
{
    static const struct refused refused = {"stranger", {MAIL, RCPT}, METRICS_REFUSAL_relaying, "550 relaying denied"};
    (void)state;
    check_refused(&refused);
}

/* Whoever a proxy speaks for without a name may not relay, though the proxy's address is in every list: nobody is told to
 * add it to one. */
static void test_a_proxy_that_names_nobody(void **state)
{
    static const struct {
        const char *name, *header;
        size_t length;
    } headers[] = {
        {"UNKNOWN", "PROXY UNKNOWN\r\n", 15},
        {"LOCAL", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0", 16},
    };
    static struct ip_network proxies;
    (void)state;
    assert_int_equal(ip_network_parse(SLICE("127.0.0.0/8"), &proxies), ERR_NONE);
    running.relay->config->proxy_networks = (struct config_networks){.items = &proxies, .count = 1};
    for (size_t i = 0; i < COUNT_OF(headers); i++) {
        struct visitor visitor;
        visitor_connect(&visitor, NULL);
        stream_write(&visitor.stream, slice_make(headers[i].header, headers[i].length));
        hear(&visitor, 1);
        (void)converse(&visitor, EHLO);
        (void)converse(&visitor, MAIL);
        struct slice heard = converse(&visitor, RCPT), told = buffer_slice(&running.told);
        check_true(headers[i].name, slice_starts(heard, SLICE("550 5.7.1 ")));
        check_true(headers[i].name, has(heard, "the proxy at [127.0.0.1] did not say who connects"));
        check_true(headers[i].name, has(heard, "have it send the client's address"));
        check_true(headers[i].name, !has(heard, "add it to") && !has(heard, "[access] networks"));
        const char *const words[4] = {"event=rejected", "did not say who connects", NULL, NULL};
        check_number(headers[i].name, lines_with(words), 1);
        check_true(headers[i].name, !has(told, "add it to") && !has(told, "[access] networks"));
        visitor_close(&visitor);
        buffer_clear(&running.told);
    }
}

/* Twenty errors, and the end: one line each, the last for the end. */
static void test_too_many_errors(void **state)
{
    struct visitor visitor;
    (void)state;
    visitor_open(&visitor);
    for (size_t i = 0; i < 20 && visitor.ended == 0; i++)
        (void)converse(&visitor, "XYZZY\r\n");
    loop_until("the end", &visitor.ended, 1);
    check_number("errors", lines_with((const char *const[4]){"event=rejected", "reason=errors", "code=421", "client=[127.0.0.1]"}), 1);
    check_number("each", running.relay->metrics.refusals[METRICS_REFUSAL_syntax], 20);
    visitor_close(&visitor);
}

/* Lines are few, however many refusals there are; the count is whole. */
static void test_a_flood_is_not_one_of_lines(void **state)
{
    int64_t start_ms = clock_monotonic_ms();
    (void)state;
    for (size_t i = 0; i < 60; i++) {
        struct visitor visitor;
        visitor_open(&visitor);
        for (size_t j = 0; j < 19; j++)
            stream_write(&visitor.stream, SLICE("XYZZY\r\n"));
        hear(&visitor, 21);
        visitor_close(&visitor);
    }
    assert_int_equal(running.relay->metrics.refusals[METRICS_REFUSAL_syntax], 60 * 19);
    size_t seconds = (size_t)(clock_monotonic_ms() - start_ms) / 1000 + 2;
    assert_true(lines_with((const char *const[4]){"event=rejected", NULL, NULL, NULL}) <= 200 * seconds);
}

/* ---- a reload ---- */

static void test_a_network_taken_away(void **state)
{
    struct visitor visitor;
    (void)state;
    visitor_open(&visitor);
    check_slice("at first", slice_to(converse(&visitor, MAIL), 3), SLICE("250"));
    check_slice("at first", slice_to(converse(&visitor, RCPT), 3), SLICE("250"));
    (void)converse(&visitor, "RSET\r\n");
    running.relay->config->access_networks.count = 0;
    check_slice("MAIL", slice_to(converse(&visitor, MAIL), 3), SLICE("250"));
    check_slice("RCPT", slice_to(converse(&visitor, RCPT), 3), SLICE("550"));
    (void)converse(&visitor, "RSET\r\n");
    running.relay->config->access_networks.count = 1;
    (void)converse(&visitor, MAIL);
    check_slice("given back", slice_to(converse(&visitor, RCPT), 3), SLICE("250"));
    visitor_close(&visitor);
}

/* ---- a network of old devices ---- */

static const struct {
    const char *name, *network, *access;
    bool is_lenient;
} networks[] = {
    {"in the network, and may relay", "127.0.0.0/8", "127.0.0.0/8", true},
    {"may not relay", "127.0.0.0/8", "10.0.0.0/8", false},
    {"in another network", "10.0.0.0/8", "127.0.0.0/8", false},
};

static void test_lenient_networks(void **state)
{
    static struct config_client client;
    static struct ip_network access;
    struct visitor visitor;
    (void)state;
    struct config *config = running.relay->config;
    visitor_open(&visitor);
    check_slice("no section", slice_to(converse(&visitor, "MAIL FROM:<scanner>\r\n"), 3), SLICE("501"));
    for (size_t i = 0; i < COUNT_OF(networks); i++) {
        /* As a reload does, also of sessions that are open. */
        client = (struct config_client){.name = slice_of(networks[i].network), .lenient = true};
        assert_int_equal(ip_network_parse(client.name, &client.network), ERR_NONE);
        assert_int_equal(ip_network_parse(slice_of(networks[i].access), &access), ERR_NONE);
        config->clients = &client;
        config->client_count = 1;
        config->access_networks = (struct config_networks){.items = &access, .count = 1};
        check_slice(networks[i].name, slice_to(converse(&visitor, "MAIL FROM:<scanner>\r\n"), 3), networks[i].is_lenient ? SLICE("250") : SLICE("501"));
        (void)converse(&visitor, "RSET\r\n");
    }
    visitor_close(&visitor);
}

static void test_what_a_lenient_network_may(void **state)
{
    static struct config_client client = {.lenient = true};
    struct visitor visitor;
    (void)state;
    assert_int_equal(ip_network_parse(SLICE("127.0.0.1"), &client.network), ERR_NONE);
    running.relay->config->clients = &client;
    running.relay->config->client_count = 1;
    visitor_open(&visitor);
    check_slice("sender", slice_to(converse(&visitor, "MAIL FROM:<scanner>\r\n"), 3), SLICE("250"));
    check_slice("a name that nobody has", slice_to(converse(&visitor, "RCPT TO:<root>\r\n"), 9), SLICE("550 5.1.1"));
    check_slice("recipient", slice_to(converse(&visitor, RCPT), 3), SLICE("250"));
    check_slice("content", slice_to(converse(&visitor, "DATA\r\n"), 3), SLICE("354"));
    check_slice("its end", slice_to(converse(&visitor, "Subject: x\n\na\n.\nMAIL FROM:<b>\r.\r\n\r\n.\r\n"), 9), SLICE("250 2.0.0"));
    check_number("one message", lines_with((const char *const[4]){"event=accepted", "from=scanner@relay.example", NULL, NULL}), 1);
    check_number("no other", running.relay->metrics.accepted, 1);
    visitor_close(&visitor);
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, open_door, running_teardown)
#define WITH_TRUST(test) cmocka_unit_test_setup_teardown(test, open_trusting_door, running_teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        WITH_TRUST(test_a_trusted_client), WITH_DOOR(test_a_stranger), WITH_TRUST(test_a_proxy_that_names_nobody), WITH_DOOR(test_too_many_errors),
        WITH_DOOR(test_a_flood_is_not_one_of_lines), WITH_TRUST(test_a_network_taken_away),
        WITH_TRUST(test_lenient_networks), WITH_TRUST(test_what_a_lenient_network_may),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
