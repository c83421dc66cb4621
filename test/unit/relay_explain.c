/* `explain` does what a delivery does: where it stops, what it tries once more, and for what it waits. Names, connections and
 * handshakes are the test's. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "base/text.h"
#include "relay/explain.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "relay/upstream.h"

#define HOSTS_MAX 4
#define STEPS_MAX 32

/* An address for each host; 192.0.2.25 is where we take mail ourselves. */
struct host {
    const char *name;
    uint16_t preference;
    const char *address; /* NULL: it has none */
};
static struct {
    struct relay relay;
    struct config config;
    struct config_listen listen;
    struct config_route route;
    struct log log;
    struct arena *arena;
    const struct host *hosts;
    size_t host_count;
    struct resolve *asked[3];
    struct slice asked_name[3];
    struct timer answers;
    struct explain explain;
    struct json *steps[STEPS_MAX];
    size_t step_count, done, connects;
    bool would_go;
    size_t retries; /* so many handshakes fail that can be made in another way */
    struct timer handshake;
    struct upstream_pause pause; /* of the smart host */
} world;

/* ---- names ---- */

static void answer_mx(struct resolve *resolve)
{
    struct resolve_record records[HOSTS_MAX] = {0};
    struct resolve_answer answer = {
        .status = RESOLVE_FOUND, .records = records, .count = world.host_count, .detail = SLICE_EMPTY};
    for (size_t i = 0; i < world.host_count; i++)
        records[i] = (struct resolve_record){
            .name = slice_of(world.hosts[i].name), .preference = world.hosts[i].preference};
    resolve->done(resolve, &answer);
}

static void answer_a(struct resolve *resolve, struct slice name)
{
    struct resolve_record record = {0};
    struct resolve_answer answer = {.status = RESOLVE_NODATA, .records = &record, .detail = SLICE_EMPTY};
    for (size_t i = 0; i < world.host_count; i++) {
        if (!slice_equal(name, slice_of(world.hosts[i].name)) || world.hosts[i].address == NULL)
            continue;
        assert_true(ip_parse(slice_of(world.hosts[i].address), &record.ip));
        answer.status = RESOLVE_FOUND;
        answer.count = 1;
    }
    resolve->done(resolve, &answer);
}

static void on_answers(struct timer *timer)
{
    struct resolve *resolve = world.asked[0];
    (void)timer;
    world.asked[0] = NULL;
    if (resolve == &world.explain.mx)
        answer_mx(resolve);
    else
        answer_a(resolve, world.asked_name[0]);
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    assert_true(kind == RECORD_MX || kind == RECORD_A);
    assert_null(world.asked[0]);
    resolve->done = done;
    world.asked[0] = resolve;
    world.asked_name[0] = name;
    timer_start(&world.answers, 0, on_answers);
}

void resolve_cancel(struct resolve *resolve)
{
    (void)resolve;
}

const char *resolve_status_text(enum resolve_status status)
{
    return status == RESOLVE_FOUND ? "found" : "failed";
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status == RESOLVE_SERVFAIL || status == RESOLVE_TIMEOUT;
}

/* ---- connections: the handshake comes at once, and fails ---- */

static void on_handshake(struct timer *timer)
{
    (void)timer;
    struct tls_verdict verdict = {
        .failure = TLS_FAILURE_NOT_TRUSTED, .retry_at_once = world.connects <= world.retries};
    world.explain.channel.secured(&world.explain.channel, &verdict);
}

enum err channel_connect(struct channel *channel, const struct endpoint *peer, const struct endpoint *source)
{
    static int open;
    (void)peer;
    (void)source;
    world.connects++;
    channel->state = (struct channel_state *)&open;
    timer_start(&world.handshake, 1, on_handshake);
    return ERR_NONE;
}

bool channel_secure(struct channel *channel, struct tls_session **session)
{
    (void)channel;
    (void)session;
    return false;
}

bool channel_is_open(const struct channel *channel)
{
    return channel->state != NULL;
}

bool channel_is_secured(const struct channel *channel)
{
    (void)channel;
    return false;
}

const struct tls_verdict *channel_verdict(const struct channel *channel)
{
    (void)channel;
    return NULL;
}

struct slice channel_input(const struct channel *channel)
{
    (void)channel;
    return SLICE_EMPTY;
}

void channel_consume(struct channel *channel, size_t length)
{
    (void)channel;
    (void)length;
}

void channel_write(struct channel *channel, struct slice bytes)
{
    (void)channel;
    (void)bytes;
}

void channel_close(struct channel *channel)
{
    channel->state = NULL;
    timer_cancel(&world.handshake);
}

void channel_abort(struct channel *channel)
{
    channel_close(channel);
}

/* ---- the rest of the relay ---- */

struct upstream_pause upstream_look(const struct relay *relay, const struct upstream_key *key)
{
    (void)relay;
    assert_true(slice_equal(key->host, SLICE("smart.example")) && key->port == 587);
    assert_true(slice_equal(key->username, SLICE("app")) && slice_equal(key->password, SLICE("secret")));
    return world.pause;
}

void fetch_start(struct fetch *fetch, struct relay *relay, struct slice host,
                 void (*done)(struct fetch *fetch, struct slice body, struct slice failure))
{
    (void)fetch;
    (void)relay;
    (void)host;
    (void)done;
    fail_msg("MTA-STS is switched off here");
}

void fetch_cancel(struct fetch *fetch)
{
    (void)fetch;
}

void finder_start(struct finder *finder, struct finder_request *request, struct slice domain,
                  enum sts_lookup_purpose purpose)
{
    (void)finder;
    (void)request;
    (void)domain;
    (void)purpose;
    fail_msg("MTA-STS is switched off here");
}

void finder_cancel(struct finder *finder, struct finder_request *request)
{
    (void)finder;
    (void)request;
}

/* ---- a test ---- */

static void no_line(struct log *log, struct slice line)
{
    (void)log;
    (void)line;
}

static void tell(struct explain *explain, struct json **step)
{
    (void)explain;
    assert_true(world.step_count < STEPS_MAX);
    world.steps[world.step_count++] = *step;
    *step = NULL;
}

static void on_done(struct explain *explain, bool would_go)
{
    (void)explain;
    world.done++;
    world.would_go = would_go;
}

static int start(void **state)
{
    struct buffer warnings;
    (void)state;
    turn_start();
    memset(&world, 0, sizeof world);
    world.log = (struct log){.level = LOG_INFO, .write = no_line};
    world.listen.endpoint.port = 25;
    assert_true(ip_parse(SLICE("192.0.2.25"), &world.listen.endpoint.ip));
    world.config = (struct config){.family = CONFIG_IPV4, .hostname = SLICE("relay.example"), .delivery_port = 25,
                                   .tls_default = CONFIG_TLS_OPPORTUNISTIC, .listen = &world.listen, .listen_count = 1,
                                   .retry = {.wait_ms = {60000, 300000}, .count = 2}};
    world.relay.config = &world.config;
    world.relay.log = &world.log;
    buffer_init(&warnings, 4096);
    assert_int_equal(locals_load(&world.config, &world.relay.locals, &warnings), ERR_NONE);
    buffer_free(&warnings);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    explain_cancel(&world.explain);
    for (size_t i = 0; i < world.step_count; i++)
        json_free(&world.steps[i]);
    locals_free(&world.relay.locals);
    assert_int_equal(turn_running(), 0);
    return 0;
}

static void explain_now(const struct host *hosts, size_t count, bool connects)
{
    world.hosts = hosts;
    world.host_count = count;
    world.explain = (struct explain){.tell = tell,
                                     .done = on_done,
                                     .relay = &world.relay,
                                     .address = SLICE("bob@a.example"),
                                     .sender = SLICE_EMPTY,
                                     .connects = connects};
    assert_true(explain_start(&world.explain));
    turn_for(60000);
    assert_int_equal(world.done, 1);
}

static size_t count_steps(const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < world.step_count; i++)
        count += slice_equal(json_text(world.steps[i], "step"), slice_of(name));
    return count;
}

static const struct json *verdict(void)
{
    return world.steps[world.step_count - 1];
}

/* looked: at the addresses of so many hosts. */
static const struct {
    const char *name;
    struct host hosts[3];
    size_t looked;
    bool would_go;
    const char *outcome;
} ours[] = {
    {"nobody is us",
     {{"mx1.a.example", 10, "11.0.0.1"},
      {"mx2.a.example", 20, "11.0.0.2"},
      {"mx3.a.example", 30, "11.0.0.3"}},
     3, true, ""},
    {"the first by address",
     {{"mx1.a.example", 10, "192.0.2.25"},
      {"mx2.a.example", 20, "11.0.0.2"},
      {"mx3.a.example", 30, "11.0.0.3"}},
     1, false, "bounce"},
    {"the second by address",
     {{"mx1.a.example", 10, "11.0.0.1"},
      {"mx2.a.example", 20, "192.0.2.25"},
      {"mx3.a.example", 30, "11.0.0.3"}},
     2, true, ""},
    {"the second, and the first has no address",
     {{"mx1.a.example", 10, NULL},
      {"mx2.a.example", 20, "192.0.2.25"},
      {"mx3.a.example", 30, "11.0.0.3"}},
     2, false, "wait"},
    {"the last by address",
     {{"mx1.a.example", 10, "11.0.0.1"},
      {"mx2.a.example", 20, "11.0.0.2"},
      {"mx3.a.example", 30, "192.0.2.25"}},
     3, true, ""},
    {"the second by name",
     {{"mx1.a.example", 10, NULL},
      {"relay.example", 20, "11.0.0.2"},
      {"mx3.a.example", 30, "11.0.0.3"}},
     1, false, "wait"},
};

static void test_it_stops_at_ourselves(void **state)
{
    for (size_t i = 0; i < COUNT_OF(ours); i++) {
        assert_int_equal(stop(state), 0);
        assert_int_equal(start(state), 0);
        explain_now(ours[i].hosts, COUNT_OF(ours[i].hosts), false);
        check_number(ours[i].name, count_steps("addresses"), ours[i].looked);
        check_number(ours[i].name, world.would_go, ours[i].would_go);
        check_slice(ours[i].name, json_text(verdict(), "outcome"), slice_of(ours[i].outcome));
    }
}

/* A delivery makes a handshake once more where the next session goes round what failed, once a host. */
static void test_a_handshake_is_made_once_more(void **state)
{
    static const struct host host[] = {{"mx1.a.example", 10, "11.0.0.1"}};
    for (size_t retries = 0; retries < 3; retries++) {
        assert_int_equal(stop(state), 0);
        assert_int_equal(start(state), 0);
        world.config.tls_default = CONFIG_TLS_ENCRYPT;
        world.retries = retries;
        explain_now(host, 1, true);
        check_number("connections", world.connects, retries == 0 ? 1 : 2);
        check_number("told once", count_steps("connect"), 1);
        check_true("what failed at last", !world.would_go);
    }
}

static void test_a_paused_route_waits(void **state)
{
    static const struct host hosts[] = {{"smart.example", 10, "11.0.0.1"}};
    for (int is_paused = 0; is_paused < 2; is_paused++) {
        assert_int_equal(stop(state), 0);
        assert_int_equal(start(state), 0);
        world.route = (struct config_route){.pattern = SLICE("*"), .host = SLICE("smart.example"), .port = 587,
                                            .username = SLICE("app"), .password = SLICE("secret"), .tls = CONFIG_TLS_VERIFY};
        world.config.routes = &world.route;
        world.config.route_count = 1;
        if (is_paused)
            world.pause = (struct upstream_pause){.wait_ms = 60000, .reason = SLICE("535 5.7.8 no")};
        explain_now(hosts, 1, false);
        check_number("would go", world.would_go, !is_paused);
        check_number("hosts", count_steps("addresses"), is_paused ? 0 : 1);
        if (!is_paused)
            continue;
        check_slice("it waits", json_text(verdict(), "outcome"), SLICE("wait"));
        struct slice problem = json_text(verdict(), "problem");
        check_true("why", slice_find_slice(problem, SLICE("535 5.7.8 no")) < problem.length);
        check_true("what to do", json_text(verdict(), "advice").length > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_stops_at_ourselves, start, stop),
        cmocka_unit_test_setup_teardown(test_a_handshake_is_made_once_more, start, stop),
        cmocka_unit_test_setup_teardown(test_a_paused_route_waits, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
