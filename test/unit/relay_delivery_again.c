/* A resolver that fails for a moment, and deliveries: how long mail is delayed by it, and whether that counts as a failure. Queue,
 * scheduler, finder and deliveries are real; names are the test's, and nobody answers who is connected to. */
#include "test/unit/delivering.h"

/* A lookup under way. */
struct asked {
    struct timer timer;
    struct resolve *resolve;
    enum record_kind kind;
};
static struct {
    int64_t start_ms;
    enum record_kind failing; /* its lookups fail, */
    enum resolve_status status;
    int64_t fails_until_ms, failure_takes_ms; /* ... so long since the start, each after a while */
    bool fails_all;
    size_t count[RECORD_TLSA + 1]; /* lookups by kind */
    int64_t connected_ms; /* when the first connection was asked for; -1: none was */
    size_t held_most;     /* places, while names are waited for */
} world;

static int64_t passed_ms(void)
{
    return clock_monotonic_ms() - world.start_ms;
}

/* ---- names ---- */

static bool is_failing(enum record_kind kind)
{
    return (world.fails_all || kind == world.failing) && passed_ms() < world.fails_until_ms;
}

static void on_answer(struct timer *timer)
{
    struct asked *asked = LIST_OF(timer, struct asked, timer);
    struct resolve *resolve = asked->resolve;
    enum record_kind kind = asked->kind;
    struct resolve_record record = {.ip = {.family = IP_V4, .bytes = {11, 0, 0, 1}}, .name = SLICE("mx.good.example")};
    struct resolve_answer answer = {.records = &record, .count = 1, .detail = SLICE_EMPTY, .canonical = SLICE_EMPTY};
    free(asked);
    resolve->host = NULL;
    if (is_failing(kind)) {
        answer = (struct resolve_answer){.status = world.status, .detail = SLICE("from 127.0.0.1"), .canonical = SLICE_EMPTY};
    } else if (kind != RECORD_MX && kind != RECORD_A) {
        answer = (struct resolve_answer){.status = RESOLVE_NODATA, .detail = SLICE_EMPTY, .canonical = SLICE_EMPTY};
    }
    resolve->done(resolve, &answer);
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    struct asked *asked = calloc(1, sizeof *asked);
    assert_non_null(asked);
    assert_true(name.length > 0);
    asked->resolve = resolve;
    asked->kind = kind;
    resolve->done = done;
    resolve->host = asked;
    world.count[kind]++;
    timer_start(&asked->timer, is_failing(kind) ? world.failure_takes_ms : 0, on_answer);
}

void resolve_cancel(struct resolve *resolve)
{
    struct asked *asked = resolve->host;
    resolve->host = NULL;
    if (asked != NULL)
        timer_cancel(&asked->timer);
    free(asked);
}

const char *resolve_status_text(enum resolve_status status)
{
    return status == RESOLVE_SERVFAIL ? "SERVFAIL" : "no answer";
}

/* ---- the network ---- */

void stream_connect(struct stream *stream, const struct endpoint *peer, const struct endpoint *source)
{
    static int open;
    (void)peer;
    (void)source;
    stream->host = &open;
    world.connected_ms = world.connected_ms < 0 ? passed_ms() : world.connected_ms;
}

enum err stream_accept(struct listener *listener, struct stream *stream)
{
    (void)listener;
    (void)stream;
    return ERR_PERMISSION; /* nobody comes in here */
}

void stream_abort(struct stream *stream)
{
    stream->host = NULL;
}

void stream_close(struct stream *stream)
{
    stream->host = NULL;
}

bool stream_is_open(const struct stream *stream)
{
    return stream->host != NULL;
}

void stream_read(struct stream *stream, bool on)
{
    (void)stream;
    (void)on;
}

void stream_write(struct stream *stream, struct slice bytes)
{
    (void)stream;
    (void)bytes;
}

size_t stream_pending(const struct stream *stream)
{
    (void)stream;
    return 0;
}

void stream_acknowledge(struct stream *stream)
{
    (void)stream;
}

struct endpoint stream_peer(const struct stream *stream)
{
    (void)stream;
    return (struct endpoint){0};
}

struct endpoint stream_local(const struct stream *stream)
{
    (void)stream;
    return (struct endpoint){0};
}

static int set_up(void **state)
{
    (void)state;
    delivering_set_up();
    memset(&world, 0, sizeof world);
    world.connected_ms = -1;
    world.start_ms = clock_monotonic_ms();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    delivering_tear_down();
    return 0;
}

static uint64_t mail_now(const char *from)
{
    return delivering_mail(from, "good.example");
}

static uint32_t attempts_of(uint64_t id)
{
    struct arena *arena = arena_new(1u << 20);
    struct queue_entry entry;
    assert_int_equal(queue_entry_get(delivering.relay.queue, id, 0, arena, &entry), ERR_NONE);
    uint32_t attempts = entry.attempts;
    arena_free(&arena);
    return attempts;
}

/* ---- the tests ---- */

static const struct {
    const char *name;
    enum record_kind failing;
    bool fails_all;
    enum resolve_status status;
    int64_t fails_ms, takes_ms;
    int64_t least_ms, most_ms; /* when a host is connected to at last */
} moments[] = {
    {"MX, a second", RECORD_MX, false, RESOLVE_SERVFAIL, 900, 5, 900, 1500},
    {"TXT, a second", RECORD_TXT, false, RESOLVE_SERVFAIL, 900, 5, 900, 1500},
    {"address, a second", RECORD_A, false, RESOLVE_SERVFAIL, 900, 5, 900, 1500},
    {"all, a second", RECORD_A, true, RESOLVE_SERVFAIL, 900, 5, 900, 1500},
    {"all, as long as a resolver remembers a failure", RECORD_A, true, RESOLVE_SERVFAIL, 5000, 5, 5000, 17000},
    {"MX, malformed", RECORD_MX, false, RESOLVE_MALFORMED, 3000, 5, 3000, 6000},
    {"MX, a resolver that is started", RECORD_MX, false, RESOLVE_NO_SERVER, 3000, 2000, 3000, 8000},
    {"MX, silence", RECORD_MX, false, RESOLVE_TIMEOUT, 15500, 15000, 15500, 17000},
};

static void test_a_moment(void **state)
{
    for (size_t i = 0; i < sizeof moments / sizeof moments[0]; i++) {
        if (i > 0)
            assert_int_equal(set_up(state), 0);
        world.failing = moments[i].failing;
        world.fails_all = moments[i].fails_all;
        world.status = moments[i].status;
        world.fails_until_ms = moments[i].fails_ms;
        world.failure_takes_ms = moments[i].takes_ms;
        uint64_t ids[3] = {mail_now("a@example.com"), mail_now("b@example.com"), mail_now("c@example.com")};
        turn_for(20 * SECOND_MS);
        check_true(moments[i].name, world.connected_ms >= moments[i].least_ms && world.connected_ms <= moments[i].most_ms);
        check_number(moments[i].name, delivering_said("event=deferred"), 0);
        for (size_t n = 0; n < 3; n++)
            check_number(moments[i].name, attempts_of(ids[n]), 0);
        if (i + 1 < sizeof moments / sizeof moments[0])
            assert_int_equal(tear_down(state), 0);
    }
}

/* It fails once, for all, after a few questions; the next time one question is enough. */
static void test_for_good(void **state)
{
    (void)state;
    world.failing = RECORD_MX;
    world.status = RESOLVE_SERVFAIL;
    world.fails_until_ms = INT64_MAX;
    world.failure_takes_ms = 5;
    uint64_t first = mail_now("a@example.com");
    for (size_t i = 1; i < 1200; i++)
        (void)mail_now(i % 2 == 0 ? "a@example.com" : "b@example.com");
    turn_for(6 * SECOND_MS);
    check_number("asked", world.count[RECORD_MX], 3);
    check_number("not yet", delivering_said("event=deferred"), 0);
    turn_for(12 * SECOND_MS);
    check_number("asked", world.count[RECORD_MX], 4);
    check_number("deferred", delivering_said("event=deferred"), 1);
    check_number("with all that wait", delivering_said("waiting=1000"), 1);
    check_true("attempts", attempts_of(first) <= 1);
    turn_for(30 * SECOND_MS);
    check_number("the normal wait", delivering_said("event=deferred"), 1);
    turn_for(60 * SECOND_MS);
    check_number("again", delivering_said("event=deferred"), 2);
    check_number("by one question", world.count[RECORD_MX], 5);
    check_number("nobody was connected to", world.connected_ms + 1, 0);
}

static void test_how_many_wait(void **state)
{
    (void)state;
    world.failing = RECORD_MX;
    world.status = RESOLVE_SERVFAIL;
    world.fails_until_ms = INT64_MAX;
    for (size_t i = 0; i < 7; i++)
        (void)mail_now("a@example.com");
    turn_for(20 * SECOND_MS);
    check_number("seven", delivering_said("waiting=7"), 1);
}

/* What waits for names has no place that others need. */
static void test_no_place_is_kept(void **state)
{
    (void)state;
    world.failing = RECORD_MX;
    world.status = RESOLVE_SERVFAIL;
    world.fails_until_ms = INT64_MAX;
    (void)mail_now("a@example.com");
    turn_for(200);
    check_number("it waits", delivering.relay.schedule->delivery_count, 1);
    check_number("and has lent its place", delivering.relay.schedule->lent_count, 1);
    turn_for(20 * SECOND_MS);
    check_number("ended", delivering.relay.schedule->delivery_count, 0);
    check_number("nothing is lent", delivering.relay.schedule->lent_count, 0);
}

static void test_nothing_can_be_lent(void **state)
{
    (void)state;
    world.failing = RECORD_MX;
    world.status = RESOLVE_SERVFAIL;
    world.fails_until_ms = INT64_MAX;
    delivering.relay.schedule->lent_max = 0;
    (void)mail_now("a@example.com");
    turn_for(200);
    check_number("it fails at once", delivering_said("event=deferred"), 1);
}

/* Where the back-off is as short it does as well. */
static void test_a_short_back_off(void **state)
{
    (void)state;
    world.failing = RECORD_MX;
    world.status = RESOLVE_SERVFAIL;
    world.fails_until_ms = INT64_MAX;
    delivering.config.retry.wait_ms[0] = 2 * SECOND_MS;
    (void)mail_now("a@example.com");
    turn_for(200);
    check_number("it fails at once", delivering_said("event=deferred"), 1);
    check_number("by one question", world.count[RECORD_MX], 1);
}

static void test_a_stop_meanwhile(void **state)
{
    (void)state;
    world.failing = RECORD_MX;
    world.status = RESOLVE_SERVFAIL;
    world.fails_until_ms = INT64_MAX;
    uint64_t id = mail_now("a@example.com");
    turn_for(200);
    schedule_stop(delivering.relay.schedule);
    turn_settle();
    check_true("ended", schedule_is_idle(delivering.relay.schedule));
    check_number("as it was", attempts_of(id), 0);
}

#define AGAIN_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        AGAIN_TEST(test_a_moment),         AGAIN_TEST(test_for_good),
        AGAIN_TEST(test_how_many_wait),    AGAIN_TEST(test_no_place_is_kept),
        AGAIN_TEST(test_nothing_can_be_lent), AGAIN_TEST(test_a_stop_meanwhile), AGAIN_TEST(test_a_short_back_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
