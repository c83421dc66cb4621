/* What people read: harmless whatever a peer wrote, and with the present in mind. */
#include "relay/cli_text.h"
#include "test/unit/check.h"

#define NOW_MS INT64_C(1795532400000) /* 2026-11-24T15:00:00Z */

static struct json *parse(const char *text)
{
    struct json *json = NULL;
    assert_int_equal(json_parse(slice_of(text), &json), ERR_NONE);
    return json;
}

static void test_cleaning(void **state)
{
    static const struct {
        const char *name, *text, *clean;
    } cases[] = {
        {"harmless", "250 2.0.0 ok", "250 2.0.0 ok"},
        {"lines and tabs", "a\tb\nc", "a\tb\nc"},
        {"carriage returns go", "a\r\nb", "a\nb"},
        {"escape", "\x1b[31mred", "?[31mred"},
        {"UTF-8 stays", "j\xc3\xb6rg@example", "j\xc3\xb6rg@example"},
        {"C1 controls", "a\xc2\x9b" "31m", "a?31m"},
        {"DEL", "\x7f", "?"},
        {"not UTF-8", "\xff\xc3", "??"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 256);
        cli_text_clean(&out, slice_of(cases[i].text));
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].clean));
        buffer_free(&out);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0"}, {1023, "1023"}, {1024, "1.0K"}, {1536, "1.5K"}, {1048575, "1023.9K"}, {1048576, "1.0M"},
        {UINT64_C(5368709120), "5.0G"}, {UINT64_C(1) << 40, "1.0T"}, {UINT64_C(1) << 50, "1024.0T"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 64);
        cli_text_size(&out, cases[i].bytes);
        check_slice(cases[i].text, buffer_slice(&out), slice_of(cases[i].text));
        buffer_free(&out);
    }
}

static void test_times(void **state)
{
    static const struct {
        const char *answer, *text;
    } cases[] = {
        {"{\"t\":\"2026-11-24T15:00:00Z\"}", "2026-11-24T15:00:00Z (now)"},
        {"{\"t\":\"2026-11-24T15:04:00Z\"}", "2026-11-24T15:04:00Z (in 4m)"},
        {"{\"t\":\"2026-11-24T13:00:00Z\"}", "2026-11-24T13:00:00Z (2h ago)"},
        {"{\"t\":\"nonsense\"}", ""},
        {"{}", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        struct json *answer = parse(cases[i].answer);
        buffer_init(&out, 256);
        cli_text_time(&out, answer, "t", NOW_MS);
        check_slice(cases[i].answer, buffer_slice(&out), slice_of(cases[i].text));
        buffer_free(&out);
        json_free(&answer);
    }
}

struct printed {
    const char *name;
    void (*print)(struct buffer *out, const struct json *answer, int64_t now_ms);
    const char *answer, *text;
};

static void print_changed(struct buffer *out, const struct json *answer, int64_t now_ms)
{
    (void)now_ms;
    cli_text_changed(out, answer);
}

static void print_outcome(struct buffer *out, const struct json *answer, int64_t now_ms)
{
    (void)now_ms;
    cli_text_outcome(out, answer);
}

static const struct printed printed[] = {
    {"a listed message", cli_text_listed,
     "{\"id\":\"1A20BC078F801761\",\"arrived\":\"2026-11-24T14:00:00Z\",\"size\":2048,\"sender\":\"\",\"recipients\":["
     "{\"address\":\"bob@a.example\",\"status\":\"deferred\",\"attempts\":2,\"reason\":\"tls\",\"next_attempt\":"
     "\"2026-11-24T15:05:00Z\",\"text\":\"mx offers no STARTTLS\"},{\"address\":\"al@b.example\",\"status\":\"held\",\"attempts\":0}]}",
     "1A20BC078F801761    2.0K  2026-11-24T14:00:00Z  from <>\n"
     "    to bob@a.example: deferred (tls), 2 attempts, next 2026-11-24T15:05:00Z (in 5m)\n"
     "       mx offers no STARTTLS\n"
     "    to al@b.example: held\n"},
    {"one whose report is being gathered", cli_text_listed,
     "{\"id\":\"1A\",\"arrived\":\"2026-11-24T14:00:00Z\",\"size\":1,\"sender\":\"a@b\",\"report_recipients\":3,\"report_due\":"
     "\"2026-11-24T15:00:20Z\",\"recipients\":[{\"address\":\"c@d\",\"status\":\"waiting\",\"attempts\":0}]}",
     "1A       1  2026-11-24T14:00:00Z  from a@b\n    to c@d: waiting\n"
     "    a report on 3 recipients goes to the sender at the latest 2026-11-24T15:00:20Z (in 20s): it waits for others that fail\n"},
    {"one that has ended", cli_text_listed,
     "{\"id\":\"1A\",\"arrived\":\"2026-11-24T14:00:00Z\",\"ended\":\"2026-11-24T14:30:00Z\",\"size\":1,\"sender\":\"a@b\","
     "\"recipients\":[{\"address\":\"c@d\",\"status\":\"delivered\",\"attempts\":1,\"text\":\"250 \\u001b[2Jok\"}]}",
     "1A       1  ended 2026-11-24T14:30:00Z  from a@b\n    to c@d: delivered, 1 attempt\n       250 ?[2Jok\n"},
    {"summed up", cli_text_summed,
     "{\"destination\":\"a.example\",\"status\":\"deferred\",\"reason\":\"policy\",\"messages\":12,\"recipients\":13,\"bytes\":2048,"
     "\"oldest\":\"2026-11-24T14:00:00Z\",\"text\":\"no host \\u001b is admitted\"}",
     "     12 messages    2.0KB  a.example: deferred (policy), the oldest 2026-11-24T14:00:00Z (1h ago)\n       no host ? is admitted\n"},
    {"summed up, one that ended", cli_text_summed,
     "{\"destination\":\"a.example\",\"status\":\"delivered\",\"messages\":1,\"bytes\":1,\"oldest\":\"2026-11-24T14:00:00Z\"}",
     "      1 message        1B  a.example: delivered, the oldest 2026-11-24T14:00:00Z (1h ago)\n"},
    {"held", print_changed, "{\"command\":\"queue hold\",\"messages\":1,\"unchanged\":0,\"active\":2,\"held\":0}",
     "1 message is held.\n2 are being delivered right now and are left alone.\n"},
    {"flushed", print_changed, "{\"command\":\"queue flush\",\"messages\":0,\"unchanged\":0,\"active\":0,\"held\":3}",
     "0 messages will be tried now.\n3 are held and stay so (see queue release).\n"},
    {"status", cli_text_status,
     "{\"version\":\"0.1.0\",\"pid\":12,\"hostname\":\"relay.example\",\"started\":\"2026-11-24T14:00:00Z\",\"configured\":\"2026-11-24T14:30:00Z\","
     "\"ready\":true,\"stopping\":false,\"messages\":1,\"bytes\":1536,\"oldest_age_ms\":60000,\"sessions\":1,\"deliveries\":2,"
     "\"policies_enforce\":3,\"policies_testing\":1,\"policies_failing\":0,\"listen\":[\"127.0.0.1:25\",\"smtp\"],\"paused_routes\":[]}",
     "Sternpost 0.1.0 runs as relay.example, process 12, since 2026-11-24T14:00:00Z (1h ago)\n"
     "  Ready         yes\n"
     "  Configuration read 2026-11-24T14:30:00Z (30m ago)\n"
     "  Listening     127.0.0.1:25 smtp\n"
     "  Queue         1 message, 1.5KB; the oldest waits for 1m\n"
     "  Now           1 session of clients, 2 deliveries\n"
     "  Policies      3 enforced, 1 testing; the last refresh of 0 failed\n"},
    {"status in trouble", cli_text_status,
     "{\"version\":\"0.1.0\",\"pid\":12,\"hostname\":\"r\",\"started\":\"2026-11-24T15:00:00Z\",\"configured\":\"2026-11-24T15:00:00Z\","
     "\"ready\":false,\"stopping\":true,\"problem\":\"no resolver answers\",\"listen\":[],"
     "\"paused_routes\":[{\"route\":\"*\",\"host\":\"up.example\",\"wait_ms\":240000,\"reason\":\"535 no\"}]}",
     "Sternpost 0.1.0 runs as r, process 12, since 2026-11-24T15:00:00Z (now)\n"
     "  Stopping      it ends what is under way\n"
     "  Ready         no: no resolver answers\n"
     "  Configuration read 2026-11-24T15:00:00Z (now)\n"
     "  Listening     \n"
     "  Queue         0 messages\n"
     "  Now           0 sessions of clients, 0 deliveries\n"
     "  Policies      0 enforced, 0 testing; the last refresh of 0 failed\n"
     "  Paused        [route \"*\"] for 4m: up.example refuses the credentials: 535 no\n"},
    {"delivered", print_outcome, "{\"address\":\"a@b\",\"status\":\"delivered\",\"host\":\"mx.b\",\"text\":\"250 ok\"}",
     "a@b: delivered to mx.b: 250 ok\n"},
    {"deferred", print_outcome,
     "{\"address\":\"a@b\",\"status\":\"deferred\",\"text\":\"no\",\"problem\":\"no\",\"advice\":\"Wait.\"}",
     "a@b: deferred: no\n  Wait.\n"},
    {"a policy's line", cli_text_policy_line,
     "{\"domain\":\"a.example\",\"mode\":\"enforce\",\"in_force\":true,\"id\":\"7\",\"fetched\":\"2026-11-24T14:00:00Z\","
     "\"expires\":\"2026-11-24T16:00:00Z\",\"failures\":2,\"exempt_until\":\"2026-11-25T15:00:00Z\"}",
     "a.example  enforce, id 7, fetched 2026-11-24T14:00:00Z (1h ago), expires 2026-11-24T16:00:00Z (in 1h), 2 fetches failed, "
     "EXEMPT until 2026-11-25T15:00:00Z (in 1d)\n"},
    {"a policy that has lapsed", cli_text_policy_line,
     "{\"domain\":\"a.example\",\"mode\":\"enforce\",\"in_force\":false,\"lapsed\":true,\"id\":\"7\",\"fetched\":\"2026-11-23T14:00:00Z\","
     "\"expires\":\"2026-11-24T14:00:00Z\"}",
     "a.example  enforce, id 7, fetched 2026-11-23T14:00:00Z (1d1h ago), EXPIRED 2026-11-24T14:00:00Z (1h ago), LAPSED: mail goes "
     "as without a policy\n"},
    {"an overdue one, whole", cli_text_policy, "{\"domain\":\"a.example\",\"mode\":\"enforce\",\"in_force\":true,\"overdue\":true,\"fetched\":\"2026-11-24T14:00:00Z\"}",
     "a.example\n  Mode          enforce\n"
     "                its refresh is overdue: before it expires a new one must be fetched, or mail goes without\n"
     "  Fetched       2026-11-24T14:00:00Z (1h ago)\n"},
    {"an unreadable one", cli_text_policy_line, "{\"domain\":\"a.example\",\"unreadable\":\"damaged\"}",
     "a.example  unreadable: damaged\n"},
    {"a host that is not admitted", cli_text_step,
     "{\"step\":\"host\",\"host\":\"mx.evil\",\"preference\":10,\"admitted\":false,\"listed\":false}",
     "host       mx.evil (preference 10): NOT ADMITTED by the policy, passed over\n"},
    {"a verdict", cli_text_step,
     "{\"step\":\"verdict\",\"would_go\":false,\"outcome\":\"bounce\",\"problem\":\"no such domain\",\"advice\":\"Spell it.\"}",
     "Mail would bounce: no such domain.\nWhat to do: Spell it.\n"},
    {"where mail can go", cli_text_step, "{\"step\":\"verdict\",\"would_go\":true,\"connected\":true,\"by_policy\":true,\"tls\":\"verify\"}",
     "Mail can go; demanded by the domain's policy: TLS with a certificate that proves the host's name (tls = verify).\n"},
    {"since when", cli_text_step,
     "{\"step\":\"waiting\",\"destination\":\"a.example\",\"failures\":3,\"failing_since\":\"2026-11-24T13:00:00Z\","
     "\"next_attempt\":\"2026-11-24T15:05:00Z\"}",
     "waiting    mail for a.example has failed since 2026-11-24T13:00:00Z (2h ago), 3 attempts in a row; the next one is due "
     "2026-11-24T15:05:00Z (in 5m)\n"},
    {"a policy that was not confirmed", cli_text_step,
     "{\"step\":\"policy\",\"domain\":\"a.example\",\"mode\":\"enforce\",\"id\":\"7\",\"source\":\"kept\",\"fetched\":"
     "\"2026-11-24T14:00:00Z\",\"expires\":\"2026-11-24T16:00:00Z\",\"mx\":[\"*.a.example\",\"mx.b.example\"],\"why\":"
     "\"there is no MTA-STS record\"}",
     "policy     enforce: mail goes only to the mail servers that it lists, and only when their certificates prove them\n"
     "           of a.example, id 7, fetched 2026-11-24T14:00:00Z (1h ago), expires 2026-11-24T16:00:00Z (in 1h); KEPT until it "
     "expires, although it was not confirmed\n"
     "           lists *.a.example, mx.b.example\n"
     "           there is no MTA-STS record\n"},
    {"a connection that failed", cli_text_step,
     "{\"step\":\"connect\",\"host\":\"mx.a\",\"address\":\"11.0.0.1\",\"tls\":\"TLSv1.3\",\"verified\":false,\"certificate\":\"x\","
     "\"ok\":false,\"problem\":\"the certificate has expired\"}",
     "connect    mx.a[11.0.0.1]: TLSv1.3; FAILED\n           the certificate has expired\n"},
};

static void test_printed(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(printed); i++) {
        struct buffer out;
        struct json *answer = parse(printed[i].answer);
        buffer_init(&out, 65536);
        printed[i].print(&out, answer, NOW_MS);
        check_slice(printed[i].name, buffer_slice(&out), slice_of(printed[i].text));
        buffer_free(&out);
        json_free(&answer);
    }
}

static void test_why(void **state)
{
    static const char answer[] =
        "{\"id\":\"1A\",\"sender\":\"a@b\",\"arrived\":\"2026-11-24T14:00:00Z\",\"expires\":\"2026-11-29T14:00:00Z\","
        "\"destination\":\"c.example\",\"status\":\"deferred\",\"recipients\":[\"x@c.example\",\"y@c.example\"],\"recipient_count\":9,"
        "\"attempts\":2,\"first_attempt\":\"2026-11-24T14:00:00Z\",\"last_attempt\":\"2026-11-24T14:30:00Z\","
        "\"next_attempt\":\"2026-11-24T15:30:00Z\",\"delay\":\"for its next attempt\",\"of_destination\":false,"
        "\"problem\":\"mx offers no STARTTLS\",\"advice\":\"Nothing was sent.\",\"record\":{\"attempted_ms\":1795530600000,"
        "\"policy\":{\"source\":\"cached\",\"mode\":\"enforce\",\"id\":\"7\",\"age_ms\":60000},"
        "\"steps\":[{\"step\":\"mx\",\"subject\":\"c.example\",\"result\":\"mx (10)\"}]}}";
    static const char *const said[] = {
        "1A from a@b to x@c.example, y@c.example and 7 more\n",
        "What failed   mx offers no STARTTLS\n",
        "Attempts      2\n",
        "Policy        enforce, id 7, fetched 31m ago; confirmed by its TXT record\n",
        "    mx        c.example: mx (10)\n",
        "Next attempt  2026-11-24T15:30:00Z (in 30m)\n",
        "Waits         for its next attempt\n",
        "To do         Nothing was sent.\n",
    };
    (void)state;
    struct json *json = parse(answer);
    struct buffer out;
    buffer_init(&out, 65536);
    cli_text_why(&out, json, NOW_MS);
    for (size_t i = 0; i < COUNT_OF(said); i++) {
        check_true(said[i], slice_find_slice(buffer_slice(&out), slice_of(said[i])) < buffer_length(&out));
    }
    buffer_free(&out);
    json_free(&json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cleaning), cmocka_unit_test(test_sizes),   cmocka_unit_test(test_times),
        cmocka_unit_test(test_printed),  cmocka_unit_test(test_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
