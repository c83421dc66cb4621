/* The fetch of a policy and addresses that do not answer: what is remembered of them, for whom they are passed over, and for whom
 * never. The network is the test's: addresses with an odd last byte answer nobody, the others answer and then say nothing. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/fetch.h"
#include "relay/relay.h"

#define SECOND_MS INT64_C(1000)

static struct {
    struct relay relay;
    struct config config;
    struct log log;
    struct fetch fetch;
    const char *addresses[2];
    size_t connects, done;
    bool has_source;
    struct endpoint source; /* of the last connection */
    struct timer found, answers;
    char failure[600];
} world;

static void on_found(struct timer *timer)
{
    struct resolve_record records[2] = {0};
    struct resolve_answer answer = {.status = RESOLVE_FOUND, .records = records, .detail = SLICE_EMPTY};
    (void)timer;
    for (; answer.count < 2 && world.addresses[answer.count] != NULL; answer.count++)
        assert_true(ip_parse(slice_of(world.addresses[answer.count]), &records[answer.count].ip));
    world.fetch.a.done(&world.fetch.a, &answer);
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    (void)name;
    assert_int_equal(kind, RECORD_A);
    resolve->done = done;
    timer_start(&world.found, 0, on_found);
}

void resolve_cancel(struct resolve *resolve)
{
    (void)resolve;
    timer_cancel(&world.found);
}

const char *resolve_status_text(enum resolve_status status)
{
    return status == RESOLVE_FOUND ? "found" : "failed";
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status != RESOLVE_FOUND;
}

static void on_answers(struct timer *timer)
{
    (void)timer;
    world.fetch.channel.connected(&world.fetch.channel, ERR_NONE);
}

enum err channel_connect(struct channel *channel, const struct endpoint *peer, const struct endpoint *source)
{
    static int open;
    world.connects++;
    world.has_source = source != NULL;
    if (source != NULL)
        world.source = *source;
    channel->state = (struct channel_state *)&open;
    if (peer->ip.bytes[3] % 2 == 0)
        timer_start(&world.answers, 1, on_answers);
    return ERR_NONE;
}

struct tls_session *tls_session_client(struct tls_context *context, enum tls_demand demand, struct slice hostname, const char *alpn)
{
    static int session;
    (void)context;
    (void)hostname;
    (void)alpn;
    assert_int_equal(demand, TLS_VERIFY);
    return (struct tls_session *)&session;
}

void tls_session_free(struct tls_session **session)
{
    *session = NULL;
}

bool channel_secure(struct channel *channel, struct tls_session **session)
{
    (void)channel;
    (void)session;
    return true; /* and the handshake never ends */
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
    timer_cancel(&world.answers);
}

void channel_abort(struct channel *channel)
{
    channel_close(channel);
}

/* ---- a test ---- */

static void no_line(struct log *log, struct slice line)
{
    (void)log;
    (void)line;
}

static int start(void **state)
{
    static const uint64_t seed[2] = {5, 6};
    (void)state;
    turn_start();
    memset(&world, 0, sizeof world);
    world.log = (struct log){.level = LOG_INFO, .write = no_line};
    world.config = (struct config){
        .family = CONFIG_IPV4, .https_port = 443, .retry = {.wait_ms = {60 * SECOND_MS, 300 * SECOND_MS}, .count = 2}};
    world.relay.config = &world.config;
    world.relay.log = &world.log;
    dead_hosts_init(&world.relay.dead_hosts, seed);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    dead_hosts_free(&world.relay.dead_hosts);
    assert_int_equal(turn_running(), 0);
    return 0;
}

static void on_wants(struct fetch *fetch, const struct ip *address, bool is_dead)
{
    (void)address;
    (void)is_dead;
    fetch_connect(fetch);
}

static void on_done(struct fetch *fetch, struct slice body, struct slice failure)
{
    (void)fetch;
    (void)body;
    world.done++;
    text_print(world.failure, sizeof world.failure, "%.*s", SLICE_ARGS(failure));
}

/* Fails, as all do here. Returns how many connections were made for it. */
static size_t fetch_from(const char *first, const char *second, bool passes_dead)
{
    world.addresses[0] = first;
    world.addresses[1] = second;
    world.connects = world.done = 0;
    fetch_start(&world.fetch, &world.relay, SLICE("mta-sts.a.example"), on_done);
    world.fetch.wants = on_wants;
    world.fetch.passes_dead = passes_dead;
    turn_for(21 * SECOND_MS);
    assert_int_equal(world.done, 1);
    assert_true(world.failure[0] != '\0');
    return world.connects;
}

/* A domain whose policy is in force does not wait for what another has just found out. */
static void test_what_is_dead_is_passed_over(void **state)
{
    (void)state;
    check_number("found out", fetch_from("8.8.8.1", "8.8.8.3", true), 2);
    check_number("passed over", fetch_from("8.8.8.3", "8.8.8.1", true), 0);
    check_true("told", slice_find_slice(slice_of(world.failure), SLICE("passed over")) < strlen(world.failure));
    turn_for(60 * SECOND_MS);
    check_number("after its rest one finds out", fetch_from("8.8.8.1", NULL, true), 1);
    check_number("counted", world.relay.metrics.passed_over, 2);
}

/* What others met must not make of it a domain without a policy. */
static void test_first_contact_has_an_attempt_of_its_own(void **state)
{
    (void)state;
    check_number("found out", fetch_from("8.8.8.1", NULL, false), 1);
    for (int i = 0; i < 5; i++)
        check_number("its own", fetch_from("8.8.8.1", NULL, false), 1);
    check_number("not passed over", world.relay.metrics.passed_over, 0);
}

static void test_what_is_dead_comes_last(void **state)
{
    (void)state;
    (void)fetch_from("8.8.8.1", NULL, false);
    check_number("both", fetch_from("8.8.8.1", "8.8.8.2", false), 2);
    check_true("the dead one last", slice_find_slice(slice_of(world.failure), SLICE("[8.8.8.1]")) < strlen(world.failure));
}

/* It answered, and then the domain's own part of it did not: others at that address are not touched. */
static void test_silence_after_the_connection_is_no_death(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        check_number("connects", fetch_from("8.8.8.2", NULL, true), 1);
}

static void test_the_source_is_kept(void **state)
{
    (void)state;
    struct ip sources[2];
    assert_true(ip_parse(SLICE("2001:db8::1"), &sources[0]) && ip_parse(SLICE("192.0.2.9"), &sources[1]));
    (void)fetch_from("8.8.8.2", NULL, false);
    assert_false(world.has_source);
    world.config.sources.items = sources;
    world.config.sources.count = 2;
    (void)fetch_from("8.8.8.2", NULL, false);
    assert_true(world.has_source && ip_equal(&world.source.ip, &sources[1]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_dead_is_passed_over, start, stop),
        cmocka_unit_test_setup_teardown(test_first_contact_has_an_attempt_of_its_own, start, stop),
        cmocka_unit_test_setup_teardown(test_what_is_dead_comes_last, start, stop),
        cmocka_unit_test_setup_teardown(test_silence_after_the_connection_is_no_death, start, stop),
        cmocka_unit_test_setup_teardown(test_the_source_is_kept, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
