/* One destination: which entry is next, how many connections it should have, and its rate. */
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

/* ---- which entry is next ---- */

static void test_each_entry_once(void **state)
{
    (void)state;
    enum { COUNT = 450 }; /* more than a window, a message of one sender has place for */
    static uint64_t ids[COUNT];
    struct queue_pick pick;
    size_t count = 0;
    fill("a@example.com", COUNT);
    while (take(&pick)) {
        assert_true(count < COUNT);
        for (size_t i = 0; i < count; i++)
            assert_true(ids[i] != pick.id);
        assert_true(destination_is_flying(destination, pick.id, pick.number));
        ids[count++] = pick.id;
    }
    assert_int_equal(count, COUNT);
    assert_int_equal(taken, COUNT);
    assert_false(destination_has_work(destination));
}

static void test_what_is_released_undone_comes_again(void **state)
{
    (void)state;
    struct queue_pick first, again;
    fill("a@example.com", 1);
    assert_true(take(&first));
    destination->may_have_more = true;
    assert_false(take(&again));
    destination_release(destination, first.id, first.number);
    assert_true(take(&again));
    assert_int_equal(first.id, again.id);
}

static const struct {
    const char *name;
    size_t bulk, singles; /* messages of one sender, and of so many others with one each */
    size_t most;          /* so many may be taken before all of the others had theirs */
} senders[] = {
    {"nobody else", 10, 0, 0},
    {"one other", 1000, 1, 3},
    {"ten others", 1000, 10, 22},
    {"more others than a window holds", 1000, 250, 520},
};

/* One that sends much does not hold up one that sends little. */
static void test_senders_take_turns(void **state)
{
    for (size_t i = 0; i < COUNT_OF(senders); i++) {
        fill("bulk@example.com", senders[i].bulk);
        for (size_t k = 0; k < senders[i].singles; k++) {
            char from[48];
            snprintf(from, sizeof from, "single%zu@example.com", k);
            fill(from, 1);
        }
        struct queue_pick pick;
        size_t count = 0, left = senders[i].singles;
        uint64_t bulk = queue_sender_hash(SLICE("bulk@example.com"));
        while (left > 0 && take(&pick)) {
            count++;
            left -= pick.sender_hash != bulk;
        }
        check_number(senders[i].name, left, 0);
        check_true(senders[i].name, count <= senders[i].most);
        assert_int_equal(tear_down_one(state), 0);
        assert_int_equal(set_up_one(state), 0);
    }
}

/* Turns go on from one window to the next: none of more senders than a window holds has a second message before all had one. */
static void test_turns_go_on_over_windows(void **state)
{
    (void)state;
    enum { SENDERS = 300 };
    static uint64_t seen[SENDERS];
    for (size_t i = 0; i < 2 * SENDERS; i++) {
        char from[48];
        snprintf(from, sizeof from, "sender%zu@example.com", i % SENDERS);
        fill(from, 1);
    }
    for (size_t count = 0; count < SENDERS; count++) {
        struct queue_pick pick;
        assert_true(take(&pick));
        for (size_t i = 0; i < count; i++)
            assert_true(seen[i] != pick.sender_hash);
        seen[count] = pick.sender_hash;
    }
}

/* A message that comes while a window of another sender's is worked on waits for that window at most. */
static void test_a_newcomer_waits_for_one_window(void **state)
{
    (void)state;
    struct queue_pick pick;
    fill("bulk@example.com", 1000);
    for (size_t i = 0; i < 5; i++)
        assert_true(take(&pick));
    fill("single@example.com", 1);
    uint64_t single = queue_sender_hash(SLICE("single@example.com"));
    size_t count = 0;
    do {
        assert_true(take(&pick));
        count++;
    } while (pick.sender_hash != single);
    assert_true(count <= DESTINATION_PER_SENDER_MAX);
}

/* Others can mark entries as in flight (a delay notice, the operator): those are passed over, and do not end the work.
 */
static void test_marked_entries_are_passed_over(void **state)
{
    (void)state;
    struct queue_pick pick;
    uint64_t ids[4];
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ids[i] = mail_due("a@example.com", "good.example", clock_wall_ms() + (int64_t)i - 10);
    assert_true(take(&pick));
    assert_int_equal(pick.id, ids[0]);
    assert_true(destination_fly(destination, ids[1], 0));
    assert_false(destination_fly(destination, ids[1], 0));
    assert_true(destination_fly(destination, ids[2], 0));
    assert_true(take(&pick));
    assert_int_equal(pick.id, ids[3]);
    assert_false(take(&pick));
    destination_release(destination, ids[1], 0);
    schedule_wake(schedule(), destination->name);
    assert_true(take(&pick));
    assert_int_equal(pick.id, ids[1]);
}

static void test_only_what_is_due(void **state)
{
    (void)state;
    struct queue_pick pick;
    uint64_t id = mail_due("a@example.com", "good.example", clock_wall_ms() + MINUTE_MS);
    assert_false(destination_has_work(destination));
    assert_false(take(&pick));
    turn_for(MINUTE_MS);
    destination->may_have_more = true;
    assert_true(destination_has_work(destination));
    assert_true(take(&pick));
    assert_int_equal(pick.id, id);
}

/* ---- how many connections ---- */

static const struct {
    const char *name;
    size_t waiting;
    size_t through;
    uint32_t per_destination;
    size_t wants;
} wants[] = {
    {"nothing to do", 0, 9, 20, 0},
    {"one message", 1, 9, 20, 1},
    {"none got through", 200, 0, 20, 1},
    {"one got through", 200, 1, 20, 2},
    {"two got through", 200, 2, 20, 3},
    {"under one connection's worth", 24, 9, 20, 1},
    {"one connection's worth", 25, 9, 20, 2},
    {"four", 100, 9, 20, 5},
    {"up to the limit", 400, 3, 3, 3},
    {"the window's worth", 1000, 9, 20, 3}, /* of one sender: 50 messages */
};

static void test_how_many_connections(void **state)
{
    for (size_t i = 0; i < COUNT_OF(wants); i++) {
        test.config.per_destination = wants[i].per_destination;
        for (size_t k = 0; k < wants[i].waiting; k++) {
            char from[48];
            snprintf(from, sizeof from, "sender%zu@example.com", wants[i].waiting < 1000 ? k % 8 : 0);
            fill(from, 1);
        }
        destination->through_count = wants[i].through;
        check_number(wants[i].name, destination_wants(destination), wants[i].wants);
        assert_int_equal(tear_down_one(state), 0);
        assert_int_equal(set_up_one(state), 0);
    }
}

static void test_what_flies_counts(void **state)
{
    (void)state;
    struct queue_pick pick;
    fill("a@example.com", 50);
    destination->through_count = 5;
    for (size_t i = 0; i < 49; i++)
        assert_true(take(&pick));
    assert_int_equal(destination_wants(destination), 3); /* 1 that waits, 49 under way */
}

/* One more at a time: the next is not begun before the last has carried a message. */
static void test_connections_are_counted_once(void **state)
{
    bool is_through[2] = {false, false};
    (void)state;
    assert_int_equal(destination_limit(destination), 1);
    destination_got_through(destination, &is_through[0]);
    destination_got_through(destination, &is_through[0]);
    assert_int_equal(destination_limit(destination), 2);
    destination_got_through(destination, &is_through[1]);
    assert_int_equal(destination_limit(destination), 3);
    destination_hung_up(destination, &is_through[0]);
    destination_hung_up(destination, &is_through[0]);
    assert_int_equal(destination_limit(destination), 2);
    destination_hung_up(destination, &is_through[1]);
    assert_int_equal(destination_limit(destination), 1);
}

/* A connection that fails beside others that work is one too many: those go on, and for a minute there are no more. */
static void test_one_too_many(void **state)
{
    struct destination_failure failure = {.reason = SLICE("reply"), .text = SLICE("421 too many connections"),
                                          .next_ms = clock_wall_ms() + MINUTE_MS};
    struct queue_pick pick;
    bool is_through[2] = {false, false};
    (void)state;
    fill("a@example.com", 100);
    for (size_t i = 0; i < COUNT_OF(is_through); i++)
        destination_got_through(destination, &is_through[i]);
    assert_int_equal(destination_wants(destination), 3);
    destination_failed(destination, &failure);
    assert_int_equal(destination->failures, 0);
    assert_int_equal(destination->stores_pending, 0);
    assert_int_equal(destination_wants(destination), 2);
    assert_true(take(&pick));
    turn_for(MINUTE_MS - 1);
    assert_int_equal(destination_wants(destination), 2);
    turn_for(1);
    destination_got_through(destination, &is_through[0]);
    assert_int_equal(destination_wants(destination), 3);
    for (size_t i = 0; i < COUNT_OF(is_through); i++)
        destination_hung_up(destination, &is_through[i]);
    failure.next_ms = clock_wall_ms() + MINUTE_MS; /* now nothing works */
    destination_failed(destination, &failure);
    assert_int_equal(destination->failures, 1);
    assert_false(take(&pick));
}

/* ---- rate and pause ---- */

static const struct {
    uint32_t messages, per_ms;
    int64_t gap_ms;
} rates[] = {
    {1, 1000, 1000},         {100, 3600000, 36000}, {60, 60000, 1000},
    {1, 86400000, 86400000}, {5000, 1000, 0},       {7, 3600000, 514285},
};

static void test_rates(void **state)
{
    for (size_t i = 0; i < COUNT_OF(rates); i++) {
        char name[48];
        struct queue_pick pick;
        static struct config_destination limit;
        limit = (struct config_destination){
            .domain = SLICE("good.example"), .rate = {.messages = rates[i].messages, .per_ms = rates[i].per_ms}};
        snprintf(name, sizeof name, "%u in %u ms", rates[i].messages, rates[i].per_ms);
        test.config.destinations = &limit;
        test.config.destination_count = 1;
        fill("a@example.com", 3);
        check_true(name, take(&pick));
        if (rates[i].gap_ms > 0) {
            check_true(name, !take(&pick));
            turn_for(rates[i].gap_ms - 1);
            check_true(name, !take(&pick));
            check_number(name, destination_wants(destination), 0);
            check_true(name, !destination_is_unused(destination));
            turn_for(1);
        }
        check_true(name, take(&pick));
        assert_int_equal(tear_down_one(state), 0);
        assert_int_equal(set_up_one(state), 0);
    }
}

static void test_the_rate_of_another(void **state)
{
    (void)state;
    struct queue_pick pick;
    static struct config_destination limit;
    limit = (struct config_destination){.domain = SLICE("other.example"), .rate = {.messages = 1, .per_ms = 1000}};
    test.config.destinations = &limit;
    test.config.destination_count = 1;
    fill("a@example.com", 2);
    assert_true(take(&pick) && take(&pick));
}

static void test_pause(void **state)
{
    (void)state;
    struct queue_pick pick;
    fill("a@example.com", 2);
    assert_true(take(&pick));
    destination_release(destination, pick.id, pick.number);
    destination_pause(destination);
    assert_false(take(&pick));
    assert_false(destination_is_unused(destination));
    turn_for(9 * SECOND_MS);
    assert_false(take(&pick));
    turn_for(SECOND_MS);
    assert_true(take(&pick) && take(&pick));
    assert_false(take(&pick));
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        DESTINATION_TEST(test_each_entry_once),
        DESTINATION_TEST(test_what_is_released_undone_comes_again),
        DESTINATION_TEST(test_senders_take_turns),
        DESTINATION_TEST(test_turns_go_on_over_windows),
        DESTINATION_TEST(test_a_newcomer_waits_for_one_window),
        DESTINATION_TEST(test_marked_entries_are_passed_over),
        DESTINATION_TEST(test_only_what_is_due),
        DESTINATION_TEST(test_how_many_connections),
        DESTINATION_TEST(test_what_flies_counts),
        DESTINATION_TEST(test_connections_are_counted_once),
        DESTINATION_TEST(test_one_too_many),
        DESTINATION_TEST(test_rates),
        DESTINATION_TEST(test_the_rate_of_another),
        DESTINATION_TEST(test_pause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
