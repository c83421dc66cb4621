/* Policies over the control socket, and what `explain` and `test-send` say where no name can be resolved. */
#include "base/text.h"
#include "relay/finder.h"
#include "test/unit/running.h"

static struct answers answers;

static void put_policy(const char *domain, const char *id, int64_t fetched_ms)
{
    static const char body[] = "version: STSv1\r\nmode: enforce\r\nmx: *.a.example\r\nmx: mx.b.example\r\nmax_age: 86400\r\n";
    struct sts_entry entry = {.body = slice_of(body), .failure = SLICE_EMPTY, .exempt_reason = SLICE_EMPTY};
    struct arena *arena = arena_new(1u << 20);
    struct sts_fault fault;
    struct buffer bytes;
    buffer_init(&bytes, 1u << 20);
    entry.has_policy = sts_policy_parse(entry.body, arena, &entry.policy, &fault);
    assert_true(entry.has_policy);
    text_print(entry.id, sizeof entry.id, "%s", id);
    entry.fetched_ms = entry.first_fetched_ms = entry.used_ms = fetched_ms;
    entry.refresh_ms = fetched_ms + HOUR_MS;
    sts_entry_encode(&entry, &bytes);
    struct queue_change change = {.kind = QUEUE_CHANGE_POLICY, .key = slice_of(domain), .bytes = buffer_slice(&bytes)};
    assert_int_equal(mail_apply(running.relay->queue, &change), ERR_NONE);
    buffer_free(&bytes);
    arena_free(&arena);
}

static void test_list(void **state)
{
    (void)state;
    int64_t now_ms = clock_wall_ms();
    for (int i = 0; i < 100; i++) {
        char domain[32];
        snprintf(domain, sizeof domain, "d%03d.example", i);
        put_policy(domain, "one", i == 50 ? now_ms - 100 * HOUR_MS : now_ms);
    }
    ask("{\"command\":\"policy list\"}", &answers);
    check_number("status", answers.status, 0);
    check_number("policies", answers.count, 100);
    check_slice("domain", json_text(answers.lines[99], "domain"), SLICE("d099.example"));
    check_true("in force", json_flag(answers.lines[49], "in_force", false));
    check_true("expired", !json_flag(answers.lines[50], "in_force", true));
    answers_free(&answers);
}

static void test_show(void **state)
{
    (void)state;
    put_policy("a.example", "x7", clock_wall_ms());
    ask("{\"command\":\"policy show\",\"domain\":\"A.Example.\"}", &answers);
    check_number("status", answers.status, 0);
    check_number("answers", answers.count, 1);
    check_slice("mode", json_text(answers.lines[0], "mode"), SLICE("enforce"));
    check_slice("id", json_text(answers.lines[0], "id"), SLICE("x7"));
    check_number("max_age", json_number(answers.lines[0], "max_age", 0), 86400);
    check_slice("mx", json_string_text(json_at(json_get(answers.lines[0], "mx"), 0)), SLICE("*.a.example"));
    check_true("body", slice_starts(json_text(answers.lines[0], "body"), SLICE("version: STSv1\r\n")));
    answers_free(&answers);
}

static void test_refresh_keeps_what_it_cannot_replace(void **state)
{
    (void)state;
    put_policy("a.example", "x7", clock_wall_ms());
    ask("{\"command\":\"policy refresh\",\"domain\":\"a.example\"}", &answers);
    check_number("status", answers.status, 1);
    check_slice("source", json_text(answers.lines[0], "source"), SLICE("kept"));
    check_slice("id", json_text(answers.lines[0], "id"), SLICE("x7"));
    answers_free(&answers);
    assert_int_equal(ask_status("{\"command\":\"policy show\",\"domain\":\"a.example\"}"), 0);
}

static void test_forget(void **state)
{
    (void)state;
    put_policy("a.example", "x7", clock_wall_ms());
    assert_int_equal(ask_status("{\"command\":\"policy forget\",\"domain\":\"a.example\"}"), 0);
    assert_int_equal(ask_status("{\"command\":\"policy show\",\"domain\":\"a.example\"}"), 1);
}

static void test_exempt(void **state)
{
    (void)state;
    put_policy("a.example", "x7", clock_wall_ms());
    static const char *const domains[] = {"a.example", "unknown.example"};
    for (size_t i = 0; i < COUNT_OF(domains); i++) {
        char request[256];
        snprintf(request, sizeof request,
                 "{\"command\":\"policy exempt\",\"domain\":\"%s\",\"until\":\"2090-01-01\",\"reason\":\"their firewall\"}", domains[i]);
        check_number(domains[i], ask_status(request), 0);
        snprintf(request, sizeof request, "{\"command\":\"policy show\",\"domain\":\"%s\"}", domains[i]);
        ask(request, &answers);
        check_slice(domains[i], json_text(answers.lines[0], "exempt_until"), SLICE("2090-01-01T00:00:00Z"));
        check_slice(domains[i], json_text(answers.lines[0], "exempt_reason"), SLICE("their firewall"));
        check_true(domains[i], json_flag(answers.lines[0], "in_force", false) == (i == 0));
        answers_free(&answers);
    }
}

/* A lookup that has read the cache before stores what it read with what it learned: the change must outlast it. */
static void on_found(struct finder_request *request, const struct finding *finding)
{
    (void)finding;
    request->host = NULL;
}

static void test_a_change_during_a_lookup(void **state)
{
    static const struct {
        const char *name, *change;
        bool is_left;
    } cases[] = {
        {"exempt", "{\"command\":\"policy exempt\",\"domain\":\"a.example\",\"until\":\"2090-01-01\",\"reason\":\"x\"}", true},
        {"forget", "{\"command\":\"policy forget\",\"domain\":\"a.example\"}", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        for (int round = 0; round < 3; round++) {
            struct finder_request request = {.done = on_found};
            put_policy("a.example", "x7", clock_wall_ms() - round);
            finder_start(running.relay->finder, &request, SLICE("a.example"), STS_LOOKUP_REFRESH);
            check_true(cases[i].name, finder_is_busy(running.relay->finder, SLICE("a.example")));
            check_number(cases[i].name, ask_status(cases[i].change), 0);
            while (finder_is_busy(running.relay->finder, SLICE("a.example")))
                loop_for(1);
            loop_for(5);
            ask("{\"command\":\"policy show\",\"domain\":\"a.example\"}", &answers);
            check_number(cases[i].name, answers.status, cases[i].is_left ? 0 : 1);
            if (cases[i].is_left)
                check_slice(cases[i].name, json_text(answers.lines[0], "exempt_until"), SLICE("2090-01-01T00:00:00Z"));
            answers_free(&answers);
        }
    }
}

static void test_explain_without_names(void **state)
{
    (void)state;
    ask("{\"command\":\"explain\",\"address\":\"bob@a.example\"}", &answers);
    check_number("status", answers.status, 1);
    const struct json *verdict = answers.lines[answers.count - 1];
    check_slice("step", json_text(verdict, "step"), SLICE("verdict"));
    check_slice("outcome", json_text(verdict, "outcome"), SLICE("wait"));
    struct slice problem = json_text(verdict, "problem");
    check_true("problem", slice_find_slice(problem, SLICE("_mta-sts.a.example")) < problem.length);
    answers_free(&answers);
    /* With a cached policy it is the MX records that are missing. */
    put_policy("a.example", "x7", clock_wall_ms());
    ask("{\"command\":\"explain\",\"address\":\"bob@a.example\"}", &answers);
    check_number("status", answers.status, 1);
    check_slice("policy", json_text(answers.lines[1], "id"), SLICE("x7"));
    check_slice("source", json_text(answers.lines[1], "source"), SLICE("kept"));
    problem = json_text(answers.lines[answers.count - 1], "problem");
    check_true("problem", slice_find_slice(problem, SLICE("MX lookup")) < problem.length);
    answers_free(&answers);
}

static void test_explain_our_own(void **state)
{
    (void)state;
    ask("{\"command\":\"explain\",\"address\":\"bob@relay.example\"}", &answers);
    check_number("status", answers.status, 1);
    check_slice("step", json_text(answers.lines[0], "step"), SLICE("local"));
    check_true("problem", json_text(answers.lines[0], "problem").length > 0);
    answers_free(&answers);
    check_number("a bare name", ask_status("{\"command\":\"explain\",\"address\":\"root\"}"), 1);
}

/* One that has to wait is told and withdrawn. */
static void test_a_test_message_that_waits(void **state)
{
    (void)state;
    ask("{\"command\":\"test-send\",\"address\":\"bob@a.example\"}", &answers);
    check_number("status", answers.status, 1);
    check_slice("submitted", json_text(answers.lines[0], "status"), SLICE("submitted"));
    check_slice("address", json_text(answers.lines[1], "address"), SLICE("bob@a.example"));
    check_slice("status", json_text(answers.lines[1], "status"), SLICE("deferred"));
    check_true("problem", json_text(answers.lines[1], "problem").length > 0);
    check_true("advice", json_text(answers.lines[1], "advice").length > 0);
    answers_free(&answers);
    ask("{\"command\":\"queue list\"}", &answers);
    check_number("withdrawn", answers.count, 0);
    answers_free(&answers);
    ask("{\"command\":\"queue list\",\"done\":true}", &answers);
    const struct json *recipient = json_at(json_get(answers.lines[0], "recipients"), 0);
    check_slice("deleted", json_text(recipient, "status"), SLICE("deleted"));
    answers_free(&answers);
}

/* The configuration goes away under commands that wait: whatever they need of it later they must have of their own (under
 * AddressSanitizer). */
static void test_reload_anywhere(void **state)
{
    static const char *const requests[] = {
        "{\"command\":\"test-send\",\"address\":\"bob@a.example\"}\n",
        "{\"command\":\"explain\",\"address\":\"bob@a.example\"}\n",
        "{\"command\":\"policy refresh\",\"domain\":\"a.example\"}\n",
        "{\"command\":\"queue list\"}\n",
        "{\"command\":\"submit\",\"version\":1,\"sender\":\"\",\"size\":2,\"recipients\":[{\"address\":\"b@b.example\"}]}\nx\n",
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(requests); i++) {
        for (int turns = 0; turns < 12; turns++) {
            struct asker asker = {0};
            asker_start(&asker, slice_of(requests[i]));
            for (int k = 0; k < turns && asker.ended == 0; k++)
                uv_run(host_loop(), UV_RUN_NOWAIT);
            running_reload();
            loop_until(requests[i], &asker.ended, 1);
            asker_close(&asker);
        }
    }
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        RUNNING_TEST(test_list),
        RUNNING_TEST(test_show),
        RUNNING_TEST(test_refresh_keeps_what_it_cannot_replace),
        RUNNING_TEST(test_forget),
        RUNNING_TEST(test_exempt),
        RUNNING_TEST(test_a_change_during_a_lookup),
        RUNNING_TEST(test_reload_anywhere),
        RUNNING_TEST(test_explain_without_names),
        RUNNING_TEST(test_explain_our_own),
        RUNNING_TEST(test_a_test_message_that_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
