/* The why-record: whatever happens during an attempt, what is stored of it is JSON that tells the chain, the policy,
 * the problem and what to do, and has a bound. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "base/json.h"
#include "relay/why.h"

#define HOUR_MS INT64_C(3600000)
#define NOW_MS TURN_START_MS

static struct arena *arena;
static struct why why;

static int set_up(void **state)
{
    (void)state;
    turn_start();
    arena = arena_new(1u << 20);
    why_init(&why, arena);
    return arena == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

#define WHY_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* As stored, read again. */
static struct json *print_with(const struct trouble_facts *trouble)
{
    struct why_end end = {.trouble = trouble,
                          .attempted_ms = NOW_MS,
                          .since_ms = NOW_MS - HOUR_MS,
                          .next_ms = NOW_MS + HOUR_MS,
                          .attempts = 3};
    struct buffer out;
    struct json *record = NULL;
    buffer_init(&out, 65536);
    why_print(&why, &end, &out);
    assert_int_equal(json_parse(buffer_slice(&out), &record), ERR_NONE);
    buffer_free(&out);
    return record;
}

static struct json *print(void)
{
    struct trouble_facts trouble = {.trouble = TROUBLE_CONNECT,
                                    .host = SLICE("mx.example.org"),
                                    .address = SLICE("192.0.2.25"),
                                    .detail = SLICE_EMPTY};
    return print_with(&trouble);
}

static void check_step(const char *name, const struct json *record, size_t index, const char *expected)
{
    char text[1200];
    const struct json *step = json_at(json_get(record, "steps"), index);
    struct slice what = json_text(step, "step"), subject = json_text(step, "subject"),
                 result = json_text(step, "result");
    snprintf(text, sizeof text, "%.*s|%.*s|%.*s", SLICE_ARGS(what), SLICE_ARGS(subject), SLICE_ARGS(result));
    check_slice(name, slice_of(text), slice_of(expected));
}

static void test_the_chain(void **state)
{
    (void)state;
    why_add(&why, "mx", SLICE("example.org"), "%d hosts", 2);
    why_add(&why, "connect", SLICE("mx1.example.org"), "%s", "refused");
    why_add(&why, "connect", SLICE("mx2.example.org"), "%s", "no answer within 30 s");
    struct json *record = print();
    assert_int_equal(json_count(json_get(record, "steps")), 3);
    check_step("first", record, 0, "mx|example.org|2 hosts");
    check_step("second", record, 1, "connect|mx1.example.org|refused");
    check_step("third", record, 2, "connect|mx2.example.org|no answer within 30 s");
    assert_int_equal(json_number(record, "steps_dropped", 0), 0);
    assert_int_equal(json_number(record, "attempted_ms", 0), NOW_MS);
    assert_int_equal(json_number(record, "since_ms", 0), NOW_MS - HOUR_MS);
    assert_int_equal(json_number(record, "next_ms", 0), NOW_MS + HOUR_MS);
    assert_int_equal(json_number(record, "attempts", 0), 3);
    assert_null(json_get(record, "policy"));
    json_free(&record);
}

/* Problem, reason and advice are the verdict's, for every trouble there is. */
static void test_every_trouble(void **state)
{
    (void)state;
    static const enum trouble troubles[] = {
#define X(name, ...) TROUBLE_##name,
        TROUBLE_LIST(X)
#undef X
    };
    for (size_t i = 0; i < COUNT_OF(troubles); i++) {
        struct trouble_facts trouble = {.trouble = troubles[i],
                                        .host = SLICE("mx.example.org"),
                                        .address = SLICE("192.0.2.25"),
                                        .detail = SLICE("what exactly \"it\" was\x01\xff"),
                                        .reply = {.code = 451, .text = SLICE("4.7.1 later")}};
        struct buffer text;
        char name[24];
        snprintf(name, sizeof name, "trouble %zu", i);
        struct json *record = print_with(&trouble);
        check_slice(name, json_text(record, "reason"), slice_of(verdict_of(&trouble).reason));
        buffer_init(&text, 4096);
        verdict_advice(&trouble, &text);
        check_slice(name, json_text(record, "advice"), buffer_slice(&text));
        check_true(name, troubles[i] == TROUBLE_NONE || json_text(record, "problem").length > 0);
        buffer_free(&text);
        json_free(&record);
    }
}

/* ---- the policy ---- */

static const struct {
    const char *name;
    enum sts_source source;
    bool has_policy;
    enum sts_mode mode;
    const char *id, *why;
    bool exempt;
    const char *step; /* the first */
    int64_t age_ms;   /* -1: no policy is in the record */
} policies[] = {
    {"fresh", STS_SOURCE_FRESH, true, STS_MODE_ENFORCE, "20240101", "", false,
     "policy|example.org|enforce, id 20240101, fetched just now", HOUR_MS},
    {"cached", STS_SOURCE_CACHED, true, STS_MODE_TESTING, "1", "", false,
     "policy|example.org|testing, id 1, confirmed by its TXT record", HOUR_MS},
    {"kept", STS_SOURCE_KEPT, true, STS_MODE_ENFORCE, "1", "the TXT record is gone", false,
     "policy|example.org|enforce, id 1, kept until it expires: the TXT record is gone", HOUR_MS},
    {"none", STS_SOURCE_NONE, false, STS_MODE_NONE, "", "", false, "policy|example.org|none", -1},
    {"cannot be had", STS_SOURCE_UNAVAILABLE, false, STS_MODE_NONE, "", "404", false,
     "policy|example.org|announced, but not to be had, so mail goes as without one: 404", -1},
    {"nobody knows", STS_SOURCE_UNKNOWN, false, STS_MODE_NONE, "", "SERVFAIL", false,
     "policy|example.org|nobody knows whether there is one: SERVFAIL", -1},
    {"unreadable", STS_SOURCE_UNREADABLE, false, STS_MODE_NONE, "", "", false,
     "policy|example.org|what is known of it cannot be read now", -1},
    {"exempt", STS_SOURCE_CACHED, true, STS_MODE_ENFORCE, "1", "", true,
     "policy|example.org|enforce, id 1, confirmed by its TXT record", HOUR_MS},
};

static void make_finding(size_t row, struct finding *finding)
{
    *finding = (struct finding){.exempt = policies[row].exempt, .exempt_reason = SLICE("their certificate expired")};
    struct sts_lookup_result *result = &finding->result;
    result->source = policies[row].source;
    result->has_policy = policies[row].has_policy;
    result->why = slice_of(policies[row].why);
    result->entry.policy.mode = policies[row].mode;
    result->entry.fetched_ms = NOW_MS - HOUR_MS;
    result->entry.exempt_until_ms = NOW_MS + HOUR_MS;
    snprintf(result->entry.id, sizeof result->entry.id, "%s", policies[row].id);
}

static void test_policies(void **state)
{
    for (size_t i = 0; i < COUNT_OF(policies); i++) {
        const char *name = policies[i].name;
        struct finding finding;
        make_finding(i, &finding);
        why_policy(&why, SLICE("example.org"), &finding, NOW_MS);
        memset(&finding, 0xa5, sizeof finding); /* it lives during the call only */
        struct json *record = print();
        check_step(name, record, 0, policies[i].step);
        const struct json *policy = json_get(record, "policy");
        check_true(name, policy != NULL);
        check_slice(name, json_text(policy, "source"), slice_of(sts_source_name(policies[i].source)));
        check_number(name, json_number(policy, "age_ms", -1), policies[i].age_ms);
        check_slice(name, json_text(policy, "id"), slice_of(policies[i].id));
        check_slice(name, json_text(policy, "mode"),
                    slice_of(policies[i].has_policy ? sts_mode_name(policies[i].mode) : ""));
        check_number(name, json_count(json_get(record, "steps")), policies[i].exempt ? 2 : 1);
        if (policies[i].exempt)
            check_step(
                name, record, 1,
                "policy|example.org|set aside by an exemption until 2023-11-14T23:13:20Z (any-host): their certificate expired");
        json_free(&record);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void test_a_policy_from_the_future_is_new(void **state)
{
    (void)state;
    struct finding finding;
    make_finding(0, &finding);
    finding.result.entry.fetched_ms = NOW_MS + HOUR_MS; /* the clock was set back */
    why_policy(&why, SLICE("example.org"), &finding, NOW_MS);
    struct json *record = print();
    assert_int_equal(json_number(json_get(record, "policy"), "age_ms", -1), 0);
    json_free(&record);
}

static void test_the_floor(void **state)
{
    (void)state;
    struct sts_entry expired = {.has_policy = true,
                                .policy = {.mode = STS_MODE_ENFORCE, .max_age_s = 1800},
                                .id = "7",
                                .fetched_ms = NOW_MS - HOUR_MS};
    why_floor(&why, SLICE("example.org"), &expired, clock_wall_ms());
    struct json *record = print();
    check_step("floor", record, 0,
               "policy|example.org|enforce, id 7, expired 2023-11-14T21:43:20Z; it was in force when this message was "
               "queued and "
               "so still binds it ([sts] expired-floor)");
    check_slice("source", json_text(json_get(record, "policy"), "source"), SLICE("expired-floor"));
    json_free(&record);
}

/* ---- bounds ---- */

/* However much there was to tell: the first steps, how many are missing, and no more than a few KiB. */
static void test_the_record_has_a_bound(void **state)
{
    (void)state;
    char subject[600], result[2000];
    memset(subject, 's', sizeof subject);
    memset(result, '"', sizeof result - 1);
    result[sizeof result - 1] = '\0';
    for (size_t i = 0; i < 100; i++)
        why_add(&why, "host", slice_make(subject, sizeof subject), "%zu %s", i, result);
    struct json *record = print();
    const struct json *steps = json_get(record, "steps");
    assert_int_equal(json_count(steps), WHY_STEPS_MAX);
    assert_int_equal(json_number(record, "steps_dropped", 0), 100 - WHY_STEPS_MAX);
    for (size_t i = 0; i < WHY_STEPS_MAX; i++) {
        char begin[8];
        int length = snprintf(begin, sizeof begin, "%zu \"", i);
        assert_true(json_text(json_at(steps, i), "subject").length <= 255);
        assert_true(json_text(json_at(steps, i), "result").length < 400);
        check_slice("in order", slice_to(json_text(json_at(steps, i), "result"), (size_t)length),
                    slice_make(begin, (size_t)length));
    }
    json_free(&record);
}

/* The arena is full: what cannot be kept counts as missing. */
static void test_little_memory(void **state)
{
    (void)state;
    for (size_t limit = 16; limit < 1000; limit += 16) {
        struct arena *small = arena_new(limit);
        why_init(&why, small);
        for (size_t i = 0; i < 10; i++)
            why_add(&why, "host", SLICE("mx.example.org"), "step %zu", i);
        struct json *record = print();
        size_t kept = json_count(json_get(record, "steps"));
        assert_int_equal((int64_t)kept + json_number(record, "steps_dropped", 0), 10);
        assert_true(limit < 500 || kept == 10);
        for (size_t i = 0; i < kept; i++)
            check_slice("host", json_text(json_at(json_get(record, "steps"), i), "subject"), SLICE("mx.example.org"));
        json_free(&record);
        arena_free(&small);
    }
}

static void test_text_of_peers_is_harmless(void **state)
{
    (void)state;
    why_add(&why, "reply", SLICE("mx\n\"\\.example"), "%s", "550 \xff\xfe\x1b[31m \"no\"\r\nInjected: yes");
    struct json *record = print();
    assert_int_equal(json_count(json_get(record, "steps")), 1);
    assert_true(json_text(json_at(json_get(record, "steps"), 0), "result").length > 0);
    json_free(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WHY_TEST(test_the_chain),     WHY_TEST(test_every_trouble),
        WHY_TEST(test_policies),      WHY_TEST(test_a_policy_from_the_future_is_new),
        WHY_TEST(test_the_floor),     WHY_TEST(test_the_record_has_a_bound),
        WHY_TEST(test_little_memory), WHY_TEST(test_text_of_peers_is_harmless),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
