/* One destination's wait after failures: how long it is, in memory and on disk. */
#include "test/unit/scheduled.h"

static struct destination *destination; /* kept in memory by a flight of nothing */
static size_t taken;

static int set_up_one(void **state)
{
    if (set_up(state) != 0)
        return -1;
    schedule_stop(schedule()); /* the test takes the entries */
    destination = schedule_destination(schedule(), SLICE("good.example"));
    taken = 0;
    return destination == NULL ? -1 : 0;
}

static void release_all(void)
{
    struct map_node *node;
    while ((node = map_first(&destination->flights)) != NULL) {
        uint64_t id;
        uint16_t number;
        memcpy(&id, node->key.data, sizeof id);
        memcpy(&number, node->key.data + sizeof id, sizeof number);
        destination_release(destination, id, number);
    }
}

static int tear_down_one(void **state)
{
    turn_settle();
    release_all();
    return tear_down(state);
}

#define DESTINATION_TEST(test) cmocka_unit_test_setup_teardown(test, set_up_one, tear_down_one)

static void fill(const char *from, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mail_due(from, "good.example", clock_wall_ms());
    destination->may_have_more = true;
}

static bool take(struct queue_pick *pick)
{
    return destination_take(destination, pick, NULL, &taken);
}

static void fail_with(const char *reason, int64_t wait_ms)
{
    struct destination_failure failure = {.reason = slice_of(reason),
                                          .text = SLICE("mx.good.example does not answer"),
                                          .why = SLICE("{\"steps\":[]}"),
                                          .next_ms = clock_wall_ms() + wait_ms};
    destination_failed(destination, &failure);
}

static bool stored(struct arena *arena, struct queue_destination *known)
{
    turn_settle();
    enum err err = queue_destination_get(test.relay.queue, SLICE("good.example"), arena, known);
    assert_true(err == ERR_NONE || err == ERR_NOT_FOUND);
    return err == ERR_NONE;
}

static void test_a_failure_is_stored(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct queue_destination known;
    struct queue_pick pick;
    int64_t start_ms = clock_wall_ms();
    fill("a@example.com", 2);
    destination_proven(destination);
    assert_false(stored(arena, &known));
    fail_with("connect", MINUTE_MS);
    assert_int_equal(destination->stores_pending, 1);
    assert_false(destination_is_unused(destination));
    assert_true(stored(arena, &known));
    assert_int_equal(destination->stores_pending, 0);
    assert_int_equal(known.not_before_ms, start_ms + MINUTE_MS);
    assert_int_equal(known.failures, 1);
    assert_int_equal(known.failing_since_ms, start_ms);
    check_slice("reason", known.reason, SLICE("connect"));
    check_slice("text", known.text, SLICE("mx.good.example does not answer"));
    check_slice("why", known.why, SLICE("{\"steps\":[]}"));
    assert_false(take(&pick));
    assert_false(destination_has_work(destination));
    turn_for(MINUTE_MS);
    assert_true(take(&pick));
    arena_free(&arena);
}

/* Of several deliveries that fail together only the first counts; the next failure after the wait is the second. */
static void test_failures_are_counted_once_a_wait(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct queue_destination known;
    int64_t start_ms = clock_wall_ms();
    fail_with("connect", MINUTE_MS);
    fail_with("tls", HOUR_MS);
    fail_with("dns", HOUR_MS);
    assert_true(stored(arena, &known));
    assert_int_equal(known.failures, 1);
    assert_int_equal(known.not_before_ms, start_ms + MINUTE_MS);
    check_slice("reason", known.reason, SLICE("connect"));
    turn_for(2 * MINUTE_MS);
    fail_with("policy", HOUR_MS);
    assert_true(stored(arena, &known));
    assert_int_equal(known.failures, 2);
    assert_int_equal(known.failing_since_ms, start_ms);
    assert_int_equal(known.not_before_ms, start_ms + 2 * MINUTE_MS + HOUR_MS);
    check_slice("reason", known.reason, SLICE("policy"));
    arena_free(&arena);
}

static void test_success_forgets(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct queue_destination known;
    struct queue_pick pick;
    fail_with("connect", MINUTE_MS);
    assert_true(stored(arena, &known));
    turn_for(MINUTE_MS);
    destination_proven(destination);
    assert_false(stored(arena, &known));
    assert_int_equal(destination->failures, 0);
    assert_int_equal(destination->failing_since_ms, 0);
    fill("a@example.com", 1);
    assert_true(take(&pick));
    fail_with("connect", MINUTE_MS);
    assert_true(stored(arena, &known));
    assert_int_equal(known.failures, 1);
    arena_free(&arena);
}

static const struct {
    const char *name;
    int64_t wait_ms, expected_ms; /* from now */
} loads[] = {
    {"as stored", 30 * MINUTE_MS, 30 * MINUTE_MS},
    {"over", -MINUTE_MS, -MINUTE_MS},
    {"longer than any wait: the clock was set back", DAY_MS, HOUR_MS + HOUR_MS / 5},
};

static void test_what_is_stored_is_read_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(loads); i++) {
        char name[32];
        int64_t now_ms = clock_wall_ms();
        snprintf(name, sizeof name, "known%zu.example", i);
        struct queue_destination known = {.name = slice_of(name),
                                          .not_before_ms = now_ms + loads[i].wait_ms,
                                          .failures = 7,
                                          .failing_since_ms = now_ms - HOUR_MS,
                                          .reason = SLICE("dns"),
                                          .why = SLICE_EMPTY,
                                          .text = SLICE_EMPTY};
        struct queue_change change = {.kind = QUEUE_CHANGE_DESTINATION, .destination = &known};
        assert_int_equal(mail_apply(test.relay.queue, &change), ERR_NONE);
        const struct destination *read = schedule_destination(schedule(), slice_of(name));
        assert_non_null(read);
        check_number(loads[i].name, read->not_before_ms - now_ms, loads[i].expected_ms);
        check_number(loads[i].name, read->failures, 7);
        check_number(loads[i].name, read->failing_since_ms, now_ms - HOUR_MS);
    }
}

/* A message that was tried as often as this, and is due. */
static void add_tried(uint32_t attempts)
{
    uint64_t id = mail_due("old@example.com", "good.example", clock_wall_ms());
    for (uint32_t i = 0; i < attempts; i++)
        assert_int_equal(mail_update(test.relay.queue, id, 0, MAIL_DEFER, clock_wall_ms()), ERR_NONE);
    destination->may_have_more = true;
}

static const struct {
    const char *name;
    uint32_t failures; /* of the destination so far */
    uint32_t attempts; /* of the messages that wait; 0: none was tried */
    size_t messages;
    int64_t wait_ms;
} waits[] = {
    {"the first failure", 0, 0, 3, MINUTE_MS},
    {"the first failure, of mail tried often", 0, 9, 3, MINUTE_MS},
    {"the third, nothing else waits", 2, 0, 0, HOUR_MS},
    {"the third, all that waits was tried once", 2, 1, 3, HOUR_MS},
    {"the third, all that waits was tried often", 2, 9, 3, HOUR_MS},
    {"the third, new mail waits", 2, 0, 1, DESTINATION_UNTRIED_MS},
    {"the ninth, new mail waits", 8, 0, 300, DESTINATION_UNTRIED_MS},
};

/* The destination's own count decides, whichever message was the one that tried; new mail is not made to wait for what old mail
 * has to. */
static void test_its_own_count_decides(void **state)
{
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        for (size_t k = 0; k < waits[i].messages; k++)
            add_tried(waits[i].attempts);
        destination->failures = waits[i].failures;
        int64_t wait_ms = destination_next_ms(destination) - clock_wall_ms();
        check_true(waits[i].name, wait_ms >= waits[i].wait_ms && wait_ms <= waits[i].wait_ms + waits[i].wait_ms / 5);
        fail_with("connect", wait_ms);
        turn_for(SECOND_MS);
        check_number(waits[i].name, destination_next_ms(destination) - clock_wall_ms(), wait_ms - SECOND_MS);
        assert_int_equal(tear_down_one(state), 0);
        assert_int_equal(set_up_one(state), 0);
    }
}

/* Old and new mail at once: what was tried does not hide what was not. */
static void test_one_new_message_among_old_ones(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++)
        add_tried(5);
    fill("new@example.com", 1);
    destination->failures = 8;
    assert_int_equal(destination_next_ms(destination) - clock_wall_ms(), DESTINATION_UNTRIED_MS);
    struct queue_pick pick;
    assert_true(take(&pick)); /* what was looked at is still there to be taken */
}

static void test_new_mail_cuts_the_wait(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct queue_destination known;
    int64_t start_ms = clock_wall_ms();
    fail_with("connect", HOUR_MS);
    assert_true(stored(arena, &known));
    turn_for(20 * MINUTE_MS);
    schedule_arrived(schedule(), SLICE("good.example"));
    assert_int_equal(destination->not_before_ms, start_ms + 20 * MINUTE_MS + DESTINATION_UNTRIED_MS);
    assert_true(stored(arena, &known));
    assert_int_equal(known.not_before_ms, start_ms + 20 * MINUTE_MS + DESTINATION_UNTRIED_MS);
    assert_int_equal(known.failures, 1);
    assert_int_equal(known.failing_since_ms, start_ms);
    check_slice("reason", known.reason, SLICE("connect"));
    check_slice("why", known.why, SLICE("{\"steps\":[]}"));
    turn_for(5 * MINUTE_MS); /* more of it, later: the try is not put off */
    schedule_arrived(schedule(), SLICE("good.example"));
    assert_int_equal(destination->not_before_ms, start_ms + 20 * MINUTE_MS + DESTINATION_UNTRIED_MS);
    arena_free(&arena);
}

/* It comes while the wait is still on its way to the disk. */
static void test_new_mail_comes_with_the_failure(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct queue_destination known;
    int64_t start_ms = clock_wall_ms();
    fail_with("connect", HOUR_MS);
    schedule_arrived(schedule(), SLICE("good.example"));
    assert_true(stored(arena, &known));
    assert_int_equal(destination->not_before_ms, start_ms + DESTINATION_UNTRIED_MS);
    assert_true(stored(arena, &known));
    assert_int_equal(known.not_before_ms, start_ms + DESTINATION_UNTRIED_MS);
    assert_int_equal(destination->stores_pending, 0);
    arena_free(&arena);
}

static void test_try_now(void **state)
{
    (void)state;
    struct queue_pick pick;
    fill("a@example.com", 2);
    assert_true(destination_has_work(destination));
    fail_with("tls", HOUR_MS);
    assert_false(take(&pick));
    destination_try_now(destination);
    assert_true(take(&pick) && take(&pick));
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        DESTINATION_TEST(test_a_failure_is_stored),
        DESTINATION_TEST(test_failures_are_counted_once_a_wait),
        DESTINATION_TEST(test_success_forgets),
        DESTINATION_TEST(test_what_is_stored_is_read_again),
        DESTINATION_TEST(test_its_own_count_decides),
        DESTINATION_TEST(test_one_new_message_among_old_ones),
        DESTINATION_TEST(test_new_mail_cuts_the_wait),
        DESTINATION_TEST(test_new_mail_comes_with_the_failure),
        DESTINATION_TEST(test_try_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
