/* What a policy has kept waiting, and what another policy sets free: the back-off of the destination and the messages' own times; and
 * the look at the policy for the sake of new mail. */
#define SCHEDULED_WITH_REWIND
#include "test/unit/scheduled.h"

#include "relay/policy_waits.h"

static struct destination *destination;
static const char *const reasons[] = {"policy", "tls", "dns", "connect", "reply", "internal", "credentials"};

/* The test tries nothing: what is due shows in the queue. */
static int set_up_waits(void **state)
{
    if (set_up(state) != 0)
        return -1;
    schedule()->is_stopping = false;
    test.config.delivery_connections_max = 0; /* no place for any delivery */
    destination = schedule_destination(schedule(), SLICE("good.example"));
    return destination == NULL ? -1 : 0;
}

#define WAITS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_waits, tear_down)

/* A message that was put off for an hour, for this reason. */
static uint64_t put_off(const char *reason)
{
    uint64_t id = mail_due("a@example.com", "good.example", clock_wall_ms());
    struct arena *arena = arena_new(1u << 20);
    struct queue_entry entry;
    assert_int_equal(queue_entry_get(test.relay.queue, id, 0, arena, &entry), ERR_NONE);
    entry.due_ms = clock_wall_ms() + HOUR_MS;
    entry.attempts = 1;
    entry.reason = slice_of(reason);
    struct queue_change change = {.kind = QUEUE_CHANGE_UPDATE, .id = id, .entries = &entry, .entry_count = 1};
    assert_int_equal(mail_apply(test.relay.queue, &change), ERR_NONE);
    arena_free(&arena);
    return id;
}

static bool is_due(uint64_t id)
{
    struct arena *arena = arena_new(1u << 20);
    struct queue_entry entry;
    assert_int_equal(queue_entry_get(test.relay.queue, id, 0, arena, &entry), ERR_NONE);
    int64_t due_ms = entry.due_ms;
    arena_free(&arena);
    return due_ms <= clock_wall_ms();
}

static void fail_with(const char *reason)
{
    destination = schedule_destination(schedule(), SLICE("good.example"));
    struct destination_failure failure = {
        .reason = slice_of(reason), .text = SLICE("no"), .why = SLICE("{}"), .next_ms = clock_wall_ms() + HOUR_MS};
    destination_failed(destination, &failure);
    turn_settle();
    destination = schedule_destination(schedule(), SLICE("good.example")); /* read from the disk, where it was forgotten */
    assert_true(destination->not_before_ms > clock_wall_ms());
}

static bool waits(void)
{
    turn_settle();
    destination = schedule_destination(schedule(), SLICE("good.example"));
    return destination->not_before_ms > clock_wall_ms();
}

static const struct sts_entry enforced = {.has_policy = true, .policy.mode = STS_MODE_ENFORCE, .id = "1"};
static const struct sts_entry tested = {.has_policy = true, .policy.mode = STS_MODE_TESTING, .id = "1"};
static const struct sts_entry failed = {.failure_count = 1};

static const struct {
    const char *name;
    const struct sts_entry *before;
    enum sts_source source;
    bool changed;
    const char *id;
    const char *ended[2]; /* reasons */
} learned[] = {
    {"another policy", &enforced, STS_SOURCE_FRESH, true, "2", {"policy", "tls"}},
    {"another policy under the same id", &enforced, STS_SOURCE_FRESH, true, "1", {"policy", "tls"}},
    {"the same under another id", &enforced, STS_SOURCE_FRESH, false, "2", {"policy", "tls"}},
    {"the same", &enforced, STS_SOURCE_FRESH, false, "1", {NULL}},
    {"it could not be fetched", &enforced, STS_SOURCE_KEPT, false, "1", {NULL}},
    {"it is in use", &enforced, STS_SOURCE_CACHED, false, "1", {NULL}},
    {"it has run out", &enforced, STS_SOURCE_NONE, false, "1", {NULL}},
    {"one of testing keeps nothing waiting", &tested, STS_SOURCE_FRESH, true, "2", {NULL}},
    {"the first, after failures", &failed, STS_SOURCE_FRESH, false, "1", {NULL}},
    {"the first, or of one that nobody could read", NULL, STS_SOURCE_FRESH, false, "1", {"dns"}},
    {"none is known", NULL, STS_SOURCE_UNKNOWN, false, "", {NULL}},
};

/* Only what waits for the policy, whatever else waits beside it. */
static void test_what_ends_which_waits(void **state)
{
    for (size_t i = 0; i < COUNT_OF(learned); i++) {
        for (size_t k = 0; k < COUNT_OF(reasons); k++) {
            struct sts_lookup_result result = {.source = learned[i].source, .changed = learned[i].changed};
            snprintf(result.entry.id, sizeof result.entry.id, "%s", learned[i].id);
            char name[128];
            snprintf(name, sizeof name, "%s: %s", learned[i].name, reasons[k]);
            bool ends = false;
            for (size_t n = 0; n < COUNT_OF(learned[i].ended) && learned[i].ended[n] != NULL; n++)
                ends = ends || strcmp(learned[i].ended[n], reasons[k]) == 0;
            uint64_t mine = put_off(reasons[k]), other = put_off("greylisted");
            fail_with(reasons[k]);
            policy_waits_learned(&test.relay, SLICE("good.example"), learned[i].before, &result);
            check_true(name, waits() == !ends);
            check_true(name, is_due(mine) == ends);
            check_true(name, !is_due(other));
            assert_int_equal(tear_down(state), 0);
            assert_int_equal(set_up_waits(state), 0);
        }
    }
}

/* Also what lies beyond a page of it, and pages without any. */
static void test_thousands_wait(void **state)
{
    (void)state;
    static uint64_t ids[3000];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = put_off(i < 600 || (i > 1200 && i < 2500) ? "policy" : "connect");
    fail_with("policy");
    policy_waits_end(&test.relay, SLICE("good.example"));
    assert_false(waits());
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        assert_true(is_due(ids[i]) == (i < 600 || (i > 1200 && i < 2500)));
    assert_int_equal(destination->stores_pending, 0);
}

/* A crash does not bring the wait back. */
static void test_it_is_over_on_the_disk(void **state)
{
    (void)state;
    uint64_t id = put_off("tls");
    fail_with("tls");
    policy_waits_end(&test.relay, SLICE("good.example"));
    turn_settle();
    stop_relay();
    start_relay();
    assert_false(waits());
    assert_int_equal(destination->failures, 0);
    assert_true(is_due(id));
}

/* ---- new mail ---- */

static void look_answered(void)
{
    struct finder_request *request = test.look;
    struct finding finding = {.result.source = STS_SOURCE_CACHED};
    assert_non_null(request);
    test.look = NULL;
    request->done(request, &finding);
    turn_settle();
}

static void new_mail(void)
{
    mail_due("new@example.com", "good.example", clock_wall_ms());
    schedule_arrived(schedule(), SLICE("good.example"));
    turn_settle();
}

static void test_new_mail_looks(void **state)
{
    for (size_t k = 0; k < COUNT_OF(reasons); k++) {
        bool looks = strcmp(reasons[k], "policy") == 0 || strcmp(reasons[k], "tls") == 0;
        fail_with(reasons[k]);
        new_mail();
        check_number(reasons[k], test.looks, looks);
        check_slice(reasons[k], slice_of(test.looked_at), slice_of(looks ? "good.example" : ""));
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up_waits(state), 0);
    }
    new_mail(); /* nothing waits */
    check_number("nothing waits", test.looks, 0);
}

/* However much comes, and however often the destination is forgotten meanwhile: one look in five seconds, and one for what came last. */
static void test_much_new_mail_looks_seldom(void **state)
{
    (void)state;
    fail_with("policy");
    for (size_t i = 0; i < 50; i++)
        new_mail();
    check_number("while it looks", test.looks, 1);
    look_answered();
    for (size_t i = 0; i < 50; i++)
        new_mail();
    turn_for(4 * SECOND_MS);
    check_number("within five seconds", test.looks, 1);
    turn_for(2 * SECOND_MS);
    check_number("behind them", test.looks, 2);
    look_answered();
    turn_for(10 * MINUTE_MS);
    check_number("nothing new", test.looks, 2);
    new_mail();
    check_number("new again", test.looks, 3);
}

/* The look that was put off finds that the wait is over. */
static void test_no_look_once_it_is_over(void **state)
{
    (void)state;
    fail_with("policy");
    new_mail();
    look_answered();
    new_mail();
    policy_waits_end(&test.relay, SLICE("good.example"));
    turn_for(MINUTE_MS);
    check_number("looks", test.looks, 1);
}

/* By a smart host its policy counts, where the route asks for policies at all (RFC 8461 3.4). */
static void test_which_policy(void **state)
{
    static struct config_route route;
    static const struct {
        const char *name, *host;
        enum config_tls tls;
        bool enabled;
        const char *looked_at;
    } ways[] = {
        {"a smart host's", "smart.example", CONFIG_TLS_STS, true, "smart.example"},
        {"a route without policies", "smart.example", CONFIG_TLS_VERIFY, true, ""},
        {"an address", "192.0.2.1", CONFIG_TLS_STS, true, ""},
        {"switched off", "smart.example", CONFIG_TLS_STS, false, ""},
    };
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        route = (struct config_route){
            .pattern = SLICE("good.example"), .host = slice_of(ways[i].host), .port = 25, .tls = ways[i].tls};
        test.config.routes = &route;
        test.config.route_count = 1;
        test.config.sts_enabled = ways[i].enabled;
        fail_with("policy");
        new_mail();
        check_slice(ways[i].name, slice_of(test.looked_at), slice_of(ways[i].looked_at));
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up_waits(state), 0);
    }
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        WAITS_TEST(test_what_ends_which_waits),
        WAITS_TEST(test_thousands_wait),
        WAITS_TEST(test_it_is_over_on_the_disk),
        WAITS_TEST(test_new_mail_looks),
        WAITS_TEST(test_much_new_mail_looks_seldom),
        WAITS_TEST(test_no_look_once_it_is_over),
        WAITS_TEST(test_which_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
