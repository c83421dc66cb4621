/* What the administrator sees of the queue over the control socket, and does to it. */
#include "base/text.h"
#include "relay/gathering.h"
#include "relay/hop.h"
#include "relay/upstream.h"
#include "test/unit/running.h"

static struct answers answers;

/* The ids of the messages that were listed, as one text: "1 3". */
static const char *listed(const char *request)
{
    static char text[4096];
    size_t length = 0;
    text[0] = '\0';
    ask(request, &answers);
    check_number(request, answers.status, 0);
    for (size_t i = 0; i < answers.count; i++) {
        uint64_t id = 0;
        if (queue_id_parse(json_text(answers.lines[i], "id"), &id))
            length += text_print(text + length, sizeof text - length, "%s%llu", i > 0 ? " " : "", (unsigned long long)id).length;
    }
    answers_free(&answers);
    return text;
}

static struct queue_entry entry_of(uint64_t id, uint16_t number, enum err expected)
{
    static struct arena *arena;
    struct queue_entry entry = {0};
    arena_free(&arena);
    arena = arena_new(1u << 20);
    assert_non_null(arena);
    assert_int_equal(queue_entry_get(running.relay->queue, id, number, arena, &entry), expected);
    if (id == 0)
        arena_free(&arena);
    return entry;
}

static void forget_entry(void)
{
    (void)entry_of(0, 0, ERR_NOT_FOUND);
}

static int setup(void **state)
{
    running_setup(state);
    int64_t now_ms = clock_wall_ms();
    running_mail(1, "ann@x.example", "a.example", "b.example");
    running_mail(2, "", "b.example", NULL);
    running_mail(3, "Bob@x.example", "c.example", NULL);
    running_mail(queue_id_make(now_ms, 4), "ann@x.example", "a.example", NULL);
    assert_int_equal(mail_update(running.relay->queue, 2, 0, MAIL_DEFER, now_ms + HOUR_MS), ERR_NONE);
    assert_int_equal(mail_update(running.relay->queue, 3, 0, MAIL_HOLD, now_ms + HOUR_MS), ERR_NONE);
    return 0;
}

static int teardown(void **state)
{
    forget_entry();
    return running_teardown(state);
}

static void test_filters(void **state)
{
    struct {
        const char *request, *ids;
    } cases[] = {
        {"{\"command\":\"queue list\",\"older\":\"1h\"}", "1 2 3"},
        {"{\"command\":\"queue list\",\"to\":\"b.example\"}", "1 2"},
        {"{\"command\":\"queue list\",\"to\":\"B.Example.\"}", "1 2"},
        {"{\"command\":\"queue list\",\"to\":\"user1.1@b.example\"}", "1"},
        {"{\"command\":\"queue list\",\"to\":\"USER1.1@b.example\"}", "1"},
        {"{\"command\":\"queue list\",\"to\":\"nobody@b.example\"}", ""},
        {"{\"command\":\"queue list\",\"to\":\"d.example\"}", ""},
        {"{\"command\":\"queue list\",\"from\":\"\"}", "2"},
        {"{\"command\":\"queue list\",\"from\":\"<>\"}", "2"},
        {"{\"command\":\"queue list\",\"from\":\"bob@X.example\"}", "3"},
        {"{\"command\":\"queue list\",\"from\":\"ann@x.example\",\"older\":\"1m\"}", "1"},
        {"{\"command\":\"queue list\",\"status\":\"deferred\"}", "2"},
        {"{\"command\":\"queue list\",\"status\":\"held\"}", "3"},
        {"{\"command\":\"queue list\",\"status\":\"waiting\",\"older\":\"1m\"}", "1"},
        {"{\"command\":\"queue list\",\"status\":\"active\"}", ""},
        {"{\"command\":\"queue list\",\"id\":\"0000000000000002\"}", "2"},
        {"{\"command\":\"queue list\",\"to\":\"a.example\",\"older\":\"1m\"}", "1"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_slice(cases[i].request, slice_of(listed(cases[i].request)), slice_of(cases[i].ids));
}

/* The groups of a summary: "a.example waiting 2; b.example deferred 1". */
static const char *summed(const char *request)
{
    static char text[4096];
    size_t length = 0;
    text[0] = '\0';
    ask(request, &answers);
    check_number(request, answers.status, 0);
    for (size_t i = 0; i < answers.count; i++) {
        const struct json *group = answers.lines[i];
        if (json_text(group, "destination").length > 0)
            length += text_print(text + length, sizeof text - length, "%s%.*s %.*s %lld", i > 0 ? "; " : "",
                                 SLICE_ARGS(json_text(group, "destination")), SLICE_ARGS(json_text(group, "status")),
                                 (long long)json_number(group, "messages", 0))
                          .length;
    }
    answers_free(&answers);
    return text;
}

static void test_summaries(void **state)
{
    static const struct {
        const char *request, *groups;
    } cases[] = {
        {"{\"command\":\"queue summary\"}", "a.example waiting 2; b.example deferred 1; b.example waiting 1; c.example held 1"},
        {"{\"command\":\"queue summary\",\"limit\":\"2\"}", "a.example waiting 2; b.example deferred 1"},
        {"{\"command\":\"queue summary\",\"to\":\"b.example\"}", "b.example deferred 1; b.example waiting 1"},
        {"{\"command\":\"queue summary\",\"status\":\"held\"}", "c.example held 1"},
        {"{\"command\":\"queue summary\",\"from\":\"nobody@x.example\"}", ""},
        {"{\"command\":\"queue summary\",\"done\":true}", "c.example deleted 1"},
        {"{\"command\":\"queue summary\",\"done\":true,\"status\":\"delivered\"}", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (i == COUNT_OF(cases) - 2)
            assert_int_equal(ask_status("{\"command\":\"queue delete\",\"id\":\"0000000000000003\"}"), 0);
        check_slice(cases[i].request, slice_of(summed(cases[i].request)), slice_of(cases[i].groups));
    }
}

/* A summary counts what the listing shows, whatever the filter. */
static void test_a_summary_counts_what_is_listed(void **state)
{
    static const char *const filters[] = {"", ",\"to\":\"b.example\"", ",\"from\":\"ann@x.example\"", ",\"older\":\"1m\"", ",\"status\":\"waiting\""};
    (void)state;
    for (size_t i = 0; i < COUNT_OF(filters); i++) {
        char request[200];
        int64_t recipients[2] = {0, 0};
        for (size_t way = 0; way < 2; way++) {
            snprintf(request, sizeof request, "{\"command\":\"queue %s\"%s}", way == 0 ? "list" : "summary", filters[i]);
            ask(request, &answers);
            for (size_t j = 0; j < answers.count; j++)
                recipients[way] += way == 0 ? (int64_t)json_count(json_get(answers.lines[j], "recipients"))
                                            : json_number(answers.lines[j], "recipients", 0);
            answers_free(&answers);
        }
        check_true(request, recipients[0] > 0);
        check_number(request, recipients[1], recipients[0]);
    }
}

static void test_limits(void **state)
{
    (void)state;
    check_slice("the oldest", slice_of(listed("{\"command\":\"queue list\",\"limit\":\"2\"}")), SLICE("1 2"));
    check_slice("enough", slice_of(listed("{\"command\":\"queue list\",\"limit\":\"3\",\"older\":\"1m\"}")), SLICE("1 2 3"));
    ask("{\"command\":\"queue list\",\"limit\":\"1\",\"older\":\"1m\"}", &answers);
    check_number("the message and a note", answers.count, 2);
    check_slice("told", json_text(answers.lines[1], "note"), SLICE("there are more; the oldest are shown"));
    check_number("all of its recipients", json_count(json_get(answers.lines[0], "recipients")), 2);
    answers_free(&answers);
    ask("{\"command\":\"queue list\",\"limit\":\"3\",\"older\":\"1m\"}", &answers);
    check_number("no note where that is all", answers.count, 3);
    answers_free(&answers);
}

static void test_outcomes(void **state)
{
    (void)state;
    assert_int_equal(ask_status("{\"command\":\"queue delete\",\"id\":\"0000000000000003\"}"), 0);
    check_slice("deleted", slice_of(listed("{\"command\":\"queue list\",\"done\":true,\"status\":\"deleted\"}")), SLICE("3"));
    check_slice("delivered", slice_of(listed("{\"command\":\"queue list\",\"done\":true,\"status\":\"delivered\"}")), SLICE(""));
    ask("{\"command\":\"queue list\",\"done\":true}", &answers);
    check_true("its end", json_text(answers.lines[0], "ended").length > 0);
    answers_free(&answers);
}

static void test_what_is_listed(void **state)
{
    (void)state;
    ask("{\"command\":\"queue show\",\"id\":\"0000000000000001\"}", &answers);
    check_number("answers", answers.count, 1);
    const struct json *message = answers.lines[0];
    const struct json *recipients = json_get(message, "recipients");
    check_slice("sender", json_text(message, "sender"), SLICE("ann@x.example"));
    check_number("size", json_number(message, "size", 0), 200);
    check_slice("origin", json_text(message, "origin"), SLICE("smtp [192.0.2.1] app.example.com"));
    check_true("header", json_get(message, "header") != NULL);
    check_number("recipients", json_count(recipients), 2);
    check_slice("address", json_text(json_at(recipients, 1), "address"), SLICE("user1.1@b.example"));
    check_slice("destination", json_text(json_at(recipients, 1), "destination"), SLICE("b.example"));
    check_slice("status", json_text(json_at(recipients, 0), "status"), SLICE("waiting"));
    check_true("next", json_text(json_at(recipients, 0), "next_attempt").length > 0);
    answers_free(&answers);
}

/* Where the destination waits, that is when the entry is tried, and why. */
static void test_a_destination_that_waits(void **state)
{
    (void)state;
    char when[32];
    int64_t next_ms = (clock_wall_ms() / 1000 + 3 * 3600) * 1000;
    struct queue_destination known = {.name = SLICE("a.example"),
                                      .not_before_ms = next_ms,
                                      .failures = 3,
                                      .failing_since_ms = next_ms - HOUR_MS,
                                      .reason = SLICE("tls"),
                                      .text = SLICE("mx offers no STARTTLS"),
                                      .why = SLICE("{\"problem\":\"mx offers no STARTTLS\",\"advice\":\"Mend it.\",\"attempted_ms\":5}")};
    struct queue_change change = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
    assert_int_equal(mail_apply(running.relay->queue, &change), ERR_NONE);
    ask("{\"command\":\"queue list\",\"to\":\"a.example\",\"older\":\"1m\"}", &answers);
    const struct json *recipient = json_at(json_get(answers.lines[0], "recipients"), 0);
    check_slice("next", json_text(recipient, "next_attempt"), text_date_iso(next_ms, when));
    check_slice("text", json_text(recipient, "text"), SLICE("mx offers no STARTTLS"));
    answers_free(&answers);
    ask("{\"command\":\"queue why\",\"id\":\"0000000000000001\"}", &answers);
    check_number("entries", answers.count, 2);
    check_slice("problem", json_text(answers.lines[0], "problem"), SLICE("mx offers no STARTTLS"));
    check_slice("advice", json_text(answers.lines[0], "advice"), SLICE("Mend it."));
    check_true("of the destination", json_flag(answers.lines[0], "of_destination", false));
    check_number("failures", json_number(answers.lines[0], "destination_failures", 0), 3);
    check_true("not of the other", !json_flag(answers.lines[1], "of_destination", true));
    answers_free(&answers);
    /* A flush forgets the back-off. */
    assert_int_equal(ask_status("{\"command\":\"queue flush\",\"to\":\"a.example\",\"older\":\"1m\"}"), 0);
    struct arena *arena = arena_new(65536);
    enum err err = queue_destination_get(running.relay->queue, SLICE("a.example"), arena, &known);
    check_true("forgotten, or failed anew", err == ERR_NOT_FOUND || known.not_before_ms != next_ms);
    arena_free(&arena);
}

static struct config_route by_route = {
    .pattern = SLICE_INIT("hop.example"), .host = SLICE_INIT("127.0.0.1"), .port = 1, .connections = 2};

static void check_delay(const char *name, const char *words)
{
    ask("{\"command\":\"queue why\",\"id\":\"0000000000000020\"}", &answers);
    check_number(name, answers.count, 1);
    struct slice delay = json_text(answers.lines[0], "delay");
    if (slice_find_slice(delay, slice_of(words)) == delay.length)
        print_error("%s: got \"%.*s\"\n", name, SLICE_ARGS(delay));
    check_true(name, slice_find_slice(delay, slice_of(words)) < delay.length);
    answers_free(&answers);
}

/* Mail that nothing but a limit holds back: which one, and its key. */
static void test_mail_that_waits_for_a_limit(void **state)
{
    (void)state;
    struct schedule *schedule = running.relay->schedule;
    struct config *config = running.relay->config;
    struct mail mail = {.id = 0x20, .from = "ann@x.example", .to = {"hop.example"}, .due_ms = clock_wall_ms() + HOUR_MS, .size = 200};
    config->routes = &by_route;
    config->route_count = 1;
    struct hop *hop = hop_of_message(schedule, SLICE("hop.example"), SLICE("ann@x.example"));
    assert_non_null(hop);
    check_number("of the route", hop->connections_max, 2);
    hop->connections = 2;
    assert_int_equal(mail_accept(running.relay->queue, &mail), ERR_NONE);
    check_delay("not due", "for its next attempt");
    assert_int_equal(mail_update(running.relay->queue, 0x20, 0, MAIL_DEFER, clock_wall_ms() - 1000), ERR_NONE);
    check_delay("connections", "next hop 127.0.0.1:1: all that it may have, 2 ([route] connections");
    hop->pace_next_ms = clock_monotonic_ms() + HOUR_MS;
    check_delay("rate", "rate of its next hop 127.0.0.1:1 ([route] rate");
    /* One whose sender decides on the route is known when it has been taken: then it is in flight, and waits all the same. */
    struct destination *destination = schedule_destination(schedule, SLICE("hop.example"));
    assert_non_null(destination);
    assert_true(destination_fly(destination, 0x20, 0));
    hop_park(hop, destination, &(struct queue_pick){.id = 0x20});
    check_delay("parked", "rate of its next hop 127.0.0.1:1 ([route] rate");
    check_true("this one", hop_has_parked(hop, 0x20, 0));
    check_true("no other", !hop_has_parked(hop, 0x20, 1) && !hop_has_parked(hop, 0x21, 0));
    hop_unpark_all(schedule);
    hop->pace_next_ms = 0;
    check_delay("its own rate is not the hop's", "next hop");
    destination->pace_next_ms = clock_monotonic_ms() + HOUR_MS;
    check_delay("the destination's rate", "([destination] rate)");
    assert_int_equal(mail_update(running.relay->queue, 0x20, 0, MAIL_DEFER, clock_wall_ms() + HOUR_MS), ERR_NONE);
    destination->pace_next_ms = 0;
    hop->connections = 0;
    config->routes = NULL;
    config->route_count = 0;
    schedule_reload(schedule);
}

static void test_export(void **state)
{
    (void)state;
    struct mail mail = {.id = 9, .due_ms = clock_wall_ms() + HOUR_MS, .size = 200000};
    static char expected[200000];
    struct buffer content;
    assert_int_equal(mail_accept(running.relay->queue, &mail), ERR_NONE);
    mail_content(9, expected, sizeof expected);
    buffer_init(&content, 1u << 20);
    ask("{\"command\":\"queue export\",\"id\":\"0000000000000009\"}", &answers);
    for (size_t i = 0; i < answers.count; i++)
        assert_int_equal(text_base64_decode(json_text(answers.lines[i], "base64"), &content), ERR_NONE);
    check_number("status", answers.status, 0);
    check_slice("content", buffer_slice(&content), slice_make(expected, sizeof expected));
    answers_free(&answers);
    buffer_free(&content);
}

/* ---- changes ---- */

static void test_hold_and_release(void **state)
{
    (void)state;
    ask("{\"command\":\"queue hold\",\"to\":\"b.example\"}", &answers);
    check_number("held", json_number(answers.lines[0], "messages", 0), 2);
    answers_free(&answers);
    check_true("b of 1", entry_of(1, 1, ERR_NONE).held);
    check_true("a of 1", !entry_of(1, 0, ERR_NONE).held);
    check_true("b of 2", entry_of(2, 0, ERR_NONE).held);
    ask("{\"command\":\"queue hold\",\"to\":\"b.example\"}", &answers);
    check_number("once more", answers.status, 0);
    check_number("unchanged", json_number(answers.lines[0], "unchanged", 0), 2);
    answers_free(&answers);
    /* What is held is not flushed. */
    ask("{\"command\":\"queue flush\",\"to\":\"b.example\"}", &answers);
    check_number("flush", answers.status, 1);
    check_number("held", json_number(answers.lines[0], "held", 0), 2);
    answers_free(&answers);
    assert_int_equal(ask_status("{\"command\":\"queue release\",\"id\":\"0000000000000003\"}"), 0);
    check_true("3", !entry_of(3, 0, ERR_NONE).held);
    check_true("b of 2", entry_of(2, 0, ERR_NONE).held);
}

static void test_flush_makes_due(void **state)
{
    (void)state;
    int64_t now_ms = clock_wall_ms();
    check_true("not due", entry_of(2, 0, ERR_NONE).due_ms > now_ms);
    ask("{\"command\":\"queue flush\",\"id\":\"0000000000000002\"}", &answers);
    check_number("flushed", json_number(answers.lines[0], "messages", 0), 1);
    answers_free(&answers);
    struct queue_entry entry = entry_of(2, 0, ERR_NONE);
    check_true("due, or tried already", entry.due_ms <= clock_wall_ms() || entry.attempts > 1);
    check_true("the others are not", entry_of(1, 1, ERR_NONE).due_ms > clock_wall_ms());
}

/* Mail of a route that refused the credentials: the message that found it out waits by itself, and its destination does, as others do
 * for its sake. The administrator's flush ends the pause, and the waits of what is meant by it. */
static void test_a_flush_of_a_paused_route(void **state)
{
    static const struct {
        const char *name, *request;
        bool is_flushed;
    } cases[] = {
        {"all", "{\"command\":\"queue flush\"}", true},
        {"the message that found it out", "{\"command\":\"queue flush\",\"id\":\"0000000000000030\"}", true},
        {"another message", "{\"command\":\"queue flush\",\"id\":\"0000000000000002\"}", false},
    };
    static const struct upstream_key key = {
        .host = SLICE_INIT("127.0.0.1"), .port = 1, .username = SLICE_INIT("app"), .password = SLICE_INIT("wrong")};
    static struct config_route route = {.pattern = SLICE_INIT("paused.example"),
                                        .host = SLICE_INIT("127.0.0.1"),
                                        .port = 1,
                                        .username = SLICE_INIT("app"),
                                        .password = SLICE_INIT("wrong")};
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (i > 0)
            setup(state);
        struct relay *relay = running.relay;
        int64_t next_ms = clock_wall_ms() + HOUR_MS;
        struct mail mail = {.id = 0x30, .from = "ann@x.example", .to = {"paused.example"}, .due_ms = next_ms, .size = 200};
        struct queue_destination known = {.name = SLICE("paused.example"),
                                          .not_before_ms = next_ms,
                                          .failures = 1,
                                          .failing_since_ms = next_ms - HOUR_MS,
                                          .reason = SLICE("credentials"),
                                          .text = SLICE("535 no"),
                                          .why = SLICE("{}")};
        struct queue_change change = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
        relay->config->routes = &route;
        relay->config->route_count = 1;
        assert_int_equal(mail_accept(relay->queue, &mail), ERR_NONE);
        assert_int_equal(mail_apply(relay->queue, &change), ERR_NONE);
        relay->config->retry = (struct queue_schedule){.wait_ms = {HOUR_MS / 10}, .count = 1};
        relay->config->expire_ms = INT64_MAX / 2; /* the mail of these tests is of 1970 */
        int64_t pause_ms = upstream_refused(relay, &key, SLICE("535 no"));
        check_number(cases[i].name, ask_status(cases[i].request), 0);
        /* Over, whatever was meant; or as long as the one that tries may take. */
        check_true(cases[i].name, pause_ms >= HOUR_MS / 10 && upstream_look(relay, &key).wait_ms <= 60000);
        struct queue_entry entry = entry_of(0x30, 0, ERR_NONE);
        check_true(cases[i].name, (entry.due_ms != next_ms) == cases[i].is_flushed);
        struct arena *arena = arena_new(65536);
        enum err err = queue_destination_get(relay->queue, SLICE("paused.example"), arena, &known);
        check_true(cases[i].name, (err == ERR_NOT_FOUND || known.not_before_ms != next_ms) == cases[i].is_flushed);
        arena_free(&arena);
        running_until("what is tried", running_is_settled, relay->journal);
        relay->config->routes = NULL;
        relay->config->route_count = 0;
        schedule_reload(relay->schedule);
        if (i + 1 < COUNT_OF(cases))
            teardown(state);
    }
}

static void test_delete(void **state)
{
    (void)state;
    /* Of a message with two destinations only what was meant. */
    assert_int_equal(ask_status("{\"command\":\"queue delete\",\"to\":\"user1.1@b.example\"}"), 0);
    (void)entry_of(1, 1, ERR_NOT_FOUND);
    check_number("pending", entry_of(1, 0, ERR_NONE).recipients[0].status, QUEUE_PENDING);
    (void)entry_of(2, 0, ERR_NONE);
    /* A whole message. */
    assert_int_equal(ask_status("{\"command\":\"queue delete\",\"id\":\"0000000000000001\"}"), 0);
    (void)entry_of(1, 0, ERR_NOT_FOUND);
    check_slice("ended", slice_of(listed("{\"command\":\"queue list\",\"done\":true,\"from\":\"ann@x.example\"}")), SLICE("1 1"));
    /* Everything, only when it is said. */
    assert_int_equal(ask_status("{\"command\":\"queue delete\"}"), 64);
    check_slice("left", slice_of(listed("{\"command\":\"queue list\",\"older\":\"1m\"}")), SLICE("2 3"));
    assert_int_equal(ask_status("{\"command\":\"queue delete\",\"all\":true}"), 0);
    check_slice("left", slice_of(listed("{\"command\":\"queue list\"}")), SLICE(""));
}

/* An attempt for user0.1@a.example ends; the other recipient of the message is pending. */
static void refuse_one_of_two(void)
{
    struct arena *arena = arena_new(1u << 20);
    struct queue_message message;
    struct queue_entry entry = entry_of(1, 0, ERR_NONE);
    struct record_request request = {
        .message = &message,
        .entry = &entry,
        .destination = schedule_destination(running.relay->schedule, SLICE("a.example")),
        .advice = SLICE_EMPTY,
    };
    assert_int_equal(queue_message_get(running.relay->queue, 1, arena, &message), ERR_NONE);
    assert_true(destination_fly(request.destination, 1, 0));
    const bool decided[] = {true};
    request.decided = decided;
    entry.recipients[0].status = QUEUE_FAILED;
    record_outcome(running.relay, &request);
    running_until("the outcome", running_is_settled, running.relay->journal);
    arena_free(&arena);
}

/* Nothing of the message is pending behind it: who has failed before is reported, with the header that is still there. */
static void test_delete_what_owes_a_report(void **state)
{
    static const char *const requests[] = {"{\"command\":\"queue delete\",\"id\":\"0000000000000001\"}",
                                           "{\"command\":\"queue delete\",\"to\":\"b.example\"}"};
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        if (i > 0)
            setup(state);
        refuse_one_of_two();
        ask("{\"command\":\"queue show\",\"id\":\"0000000000000001\"}", &answers);
        check_number("gathered", json_number(answers.lines[0], "report_recipients", 0), 1);
        check_true("at a time", json_text(answers.lines[0], "report_due").length > 0);
        answers_free(&answers);
        check_number("reports", running.relay->metrics.reports, 0);
        assert_int_equal(ask_status(requests[i]), 0);
        running_until("the report", running_is_settled, running.relay->journal);
        check_number("reports", running.relay->metrics.reports, 1);
        check_number("gathered", gathering_count(running.relay->gathering, 1, NULL), 0);
        (void)entry_of(1, 1, ERR_NOT_FOUND);
        if (i == 0)
            teardown(state);
    }
}

/* An entry that is in flight has an outcome on its way, which must not be overwritten. */
static void test_in_flight(void **state)
{
    static const char *const kinds[] = {"hold", "release", "flush", "delete"};
    (void)state;
    struct destination *destination = schedule_destination(running.relay->schedule, SLICE("b.example"));
    assert_non_null(destination);
    assert_true(destination_fly(destination, 2, 0));
    check_slice("listed", slice_of(listed("{\"command\":\"queue list\",\"status\":\"active\"}")), SLICE("2"));
    struct queue_entry before = entry_of(2, 0, ERR_NONE);
    int64_t due_ms = before.due_ms;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        char request[128];
        snprintf(request, sizeof request, "{\"command\":\"queue %s\",\"to\":\"b.example\",\"from\":\"<>\"}", kinds[i]);
        ask(request, &answers);
        check_number(kinds[i], answers.status, strcmp(kinds[i], "flush") == 0 ? 0 : 1);
        check_number(kinds[i], json_number(answers.lines[0], "active", 0), 1);
        check_number(kinds[i], json_number(answers.lines[0], "messages", 9), 0);
        answers_free(&answers);
        struct queue_entry after = entry_of(2, 0, ERR_NONE);
        check_true(kinds[i], !after.held && after.due_ms == due_ms && after.recipients[0].status == QUEUE_PENDING);
    }
    destination_release(destination, 2, 0);
    check_number("later", ask_status("{\"command\":\"queue hold\",\"id\":\"0000000000000002\"}"), 0);
    check_true("held", entry_of(2, 0, ERR_NONE).held);
    check_slice("no flight is left", slice_of(listed("{\"command\":\"queue list\",\"status\":\"active\"}")), SLICE(""));
}

/* More than one batch, and more than one slice. */
static void test_many(void **state)
{
    (void)state;
    for (uint64_t id = 100; id < 700; id++)
        running_mail(id, "many@x.example", "m.example", id % 2 == 0 ? "n.example" : NULL);
    ask("{\"command\":\"queue hold\",\"from\":\"many@x.example\"}", &answers);
    check_number("held", json_number(answers.lines[0], "messages", 0), 600);
    answers_free(&answers);
    ask("{\"command\":\"queue list\",\"status\":\"held\",\"to\":\"n.example\"}", &answers);
    check_number("listed", answers.count, 300);
    answers_free(&answers);
    ask("{\"command\":\"queue delete\",\"to\":\"m.example\"}", &answers);
    check_number("deleted", json_number(answers.lines[0], "messages", 0), 600);
    answers_free(&answers);
    ask("{\"command\":\"queue list\",\"from\":\"many@x.example\"}", &answers);
    check_number("left", answers.count, 300);
    answers_free(&answers);
}

#define QUEUE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(test_filters),
        QUEUE_TEST(test_summaries), QUEUE_TEST(test_a_summary_counts_what_is_listed), QUEUE_TEST(test_limits), QUEUE_TEST(test_outcomes),
        QUEUE_TEST(test_what_is_listed),
        QUEUE_TEST(test_a_destination_that_waits),
        QUEUE_TEST(test_mail_that_waits_for_a_limit),
        QUEUE_TEST(test_export),
        QUEUE_TEST(test_hold_and_release),
        QUEUE_TEST(test_flush_makes_due),
        QUEUE_TEST(test_a_flush_of_a_paused_route),
        QUEUE_TEST(test_delete),
        QUEUE_TEST(test_delete_what_owes_a_report),
        QUEUE_TEST(test_in_flight),
        QUEUE_TEST(test_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
