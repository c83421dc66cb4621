/* The digest of double bounces: at once when none was sent for an hour, else at the hour; nothing of it is lost by a restart, said twice,
 * or sent to nobody. */
#include "test/unit/drafting.h"

#include "relay/digest.h"
#include "relay/locals.h"
#include "relay/report.h"

#define MINUTE_MS INT64_C(60000)

static struct {
    struct digest *digest;
    struct log log;
    size_t told; /* lines of the log */
} world;

static void count_line(struct log *log, struct slice line)
{
    (void)log;
    (void)line;
    world.told++;
}

static int set_up_digest(void **state)
{
    struct buffer warnings;
    assert_int_equal(set_up(state), 0);
    world.told = 0;
    world.log = (struct log){.level = LOG_INFO, .write = count_line};
    test.relay.log = &world.log;
    test.config.postmaster = SLICE("pm@d.example");
    static const struct slice own[] = {SLICE_INIT("relay.example")};
    test.config.local_domains = (struct config_list){.items = own, .count = 1};
    test.config.local_root = test.config.aliases_file = SLICE_EMPTY;
    buffer_init(&warnings, 4096);
    assert_int_equal(locals_load(&test.config, &test.relay.locals, &warnings), ERR_NONE);
    buffer_free(&warnings);
    world.digest = digest_new(&test.relay);
    assert_non_null(world.digest);
    return 0;
}

static int tear_down_digest(void **state)
{
    answer_all(ERR_NONE);
    digest_free(&world.digest);
    locals_free(&test.relay.locals);
    return tear_down(state);
}

#define DIGEST_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_digest, tear_down_digest)

/* A message for this recipient has failed, and that is on the disk. */
static void bounce(const char *recipient)
{
    struct arena *arena = arena_new(1u << 20);
    struct queue_change change;
    const struct queue_change *changes[] = {&change};
    struct digest_item item = {.time_ms = clock_wall_ms(),
                               .id = SLICE("6A01"),
                               .origin = SLICE("report on 6A00"),
                               .sender = SLICE_EMPTY,
                               .recipient = slice_of(recipient),
                               .text = SLICE("550 no")};
    assert_true(digest_add(world.digest, &item, arena, &change));
    assert_int_equal(queue_apply(test.relay.queue, changes, 1), ERR_NONE);
    arena_free(&arena);
    digest_wake(world.digest);
    turn_settle();
}

struct found {
    size_t count;
    struct buffer text; /* of all digests in the queue */
};

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct found *found = owner;
    check_slice("origin", message->origin, SLICE(DIGEST_ORIGIN));
    check_number("sender", message->sender.length, 0);
    check_slice("to", entry->recipients[0].address, SLICE("pm@d.example"));
    found->count++;
    for (uint32_t i = 0; i < message->chunk_count; i++)
        assert_int_equal(queue_chunk_get(test.relay.queue, message->id, i, &found->text), ERR_NONE);
    return true;
}

/* So many digests are in the queue, and so often they name the recipient. */
static void check_digests(const char *recipient, size_t count, size_t names)
{
    struct found found = {.count = 0};
    struct queue_listing listing = {.destination = SLICE_EMPTY, .limit = 1000, .visit = visit, .owner = &found};
    buffer_init(&found.text, CONTENT_MAX);
    listing.arena = arena_new(16u << 20);
    assert_int_equal(queue_list(test.relay.queue, &listing), ERR_END);
    arena_free(&listing.arena);
    check_number(recipient, found.count, count);
    struct slice rest = buffer_slice(&found.text);
    size_t seen = 0;
    for (;;) {
        size_t at = slice_find_slice(rest, slice_of(recipient));
        if (at == rest.length)
            break;
        seen++;
        rest = slice_from(rest, at + 1);
    }
    check_number(recipient, seen, names);
    buffer_free(&found.text);
}

static void restart(void)
{
    digest_free(&world.digest);
    world.digest = digest_new(&test.relay);
    assert_non_null(world.digest);
    turn_settle();
}

static void test_at_most_hourly(void **state)
{
    (void)state;
    bounce("first@a.example");
    answer_all(ERR_NONE);
    check_digests("first@a.example", 1, 1);
    bounce("second@a.example");
    bounce("third@a.example");
    turn_for(59 * MINUTE_MS);
    check_number("nothing yet", test.count, 0);
    turn_for(MINUTE_MS);
    answer_all(ERR_NONE);
    check_digests("second@a.example", 2, 1);
    check_digests("third@a.example", 2, 1);
    check_digests("first@a.example", 2, 1);
    turn_for(24 * 60 * MINUTE_MS);
    check_number("nothing more to say", test.count, 0);
}

static void test_restarts(void **state)
{
    (void)state;
    bounce("first@a.example");
    answer_all(ERR_NONE);
    bounce("second@a.example");
    turn_for(30 * MINUTE_MS);
    restart();
    check_number("the hour goes on", test.count, 0);
    turn_for(30 * MINUTE_MS);
    answer_all(ERR_NONE);
    check_digests("second@a.example", 2, 1);
    restart();
    turn_for(2 * 60 * MINUTE_MS);
    check_number("all is said", test.count, 0);
}

/* What fails while a digest is on its way to the disk is of the next one. */
static void test_meanwhile(void **state)
{
    (void)state;
    bounce("first@a.example");
    check_number("on its way", test.count, 1);
    bounce("second@a.example");
    check_number("only one", test.count, 1);
    answer(ERR_NONE);
    check_digests("second@a.example", 1, 0);
    turn_for(60 * MINUTE_MS);
    answer_all(ERR_NONE);
    check_digests("second@a.example", 2, 1);
}

static void test_without_postmaster(void **state)
{
    (void)state;
    test.config.postmaster = SLICE_EMPTY;
    bounce("first@a.example");
    turn_for(60 * MINUTE_MS);
    check_number("nobody is told", test.count, 0);
    test.config.postmaster = SLICE("pm@d.example");
    digest_wake(world.digest);
    turn_settle();
    answer_all(ERR_NONE);
    check_digests("first@a.example", 1, 1);
}

/* One of our own addresses, and neither alias nor root to send it to: that is told, and what was to be said is kept. */
static void test_a_postmaster_of_nowhere(void **state)
{
    (void)state;
    test.config.postmaster = SLICE("nobody@relay.example");
    bounce("first@a.example");
    check_number("none", test.count, 0);
    check_number("told", world.told, 1);
    turn_for(30 * MINUTE_MS);
    check_number("told once", world.told, 1);
    test.config.postmaster = SLICE("pm@d.example");
    turn_for(30 * MINUTE_MS);
    answer_all(ERR_NONE);
    check_digests("first@a.example", 1, 1);
}

static void test_stopped(void **state)
{
    (void)state;
    digest_stop(world.digest);
    bounce("first@a.example");
    turn_for(60 * MINUTE_MS);
    check_number("nothing is begun", test.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DIGEST_TEST(test_at_most_hourly),     DIGEST_TEST(test_restarts),
        DIGEST_TEST(test_meanwhile),          DIGEST_TEST(test_without_postmaster),
        DIGEST_TEST(test_a_postmaster_of_nowhere), DIGEST_TEST(test_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
