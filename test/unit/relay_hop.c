/* Next hops that many recipient domains share: their connections and their rate hold for all together, and nobody waits for good. */
#include "test/unit/scheduled.h"

static struct config_route routes[4];
static struct config_destination limits[3];

static void add_route(const char *pattern, const char *host, uint32_t connections, uint32_t per_minute)
{
    routes[test.config.route_count++] = (struct config_route){
        .pattern = slice_of(pattern), .host = slice_of(host), .port = 587, .connections = connections,
        .rate = {.messages = per_minute, .per_ms = per_minute > 0 ? 60000 : 0}};
    test.config.routes = routes;
}

static void add_limit(const char *domain, uint32_t connections, uint32_t per_minute)
{
    limits[test.config.destination_count++] = (struct config_destination){
        .domain = slice_of(domain), .connections = connections,
        .rate = {.messages = per_minute, .per_ms = per_minute > 0 ? 60000 : 0}};
    test.config.destinations = limits;
}

static void mail_to_each(const char *kind, size_t domains, size_t mail_each)
{
    for (size_t i = 0; i < domains; i++) {
        char name[48];
        snprintf(name, sizeof name, "%s%zu.example", kind, i);
        mail_many("bulk@example.com", name, mail_each);
    }
}

/* ---- connections ---- */

static const struct {
    const char *name;
    uint32_t route, host, all; /* connections of the route, of its host, of "*"; 0: not given */
    size_t domains, mail_each, most;
} rows[] = {
    {"nothing is said", 0, 0, 0, 60, 3, 20},
    {"the route says it", 5, 0, 0, 60, 3, 5},
    {"its host says it", 0, 4, 0, 60, 3, 4},
    {"all destinations say it", 0, 0, 3, 60, 3, 3},
    {"the route before its host, that before all", 6, 4, 3, 60, 3, 6},
    {"one connection", 1, 0, 0, 20, 2, 1},
    {"one connection, much mail for each", 1, 0, 0, 3, 60, 1},
    {"more domains than wait in line", 2, 0, 0, 500, 1, 2},
};

static void check_connections(void **state, int64_t idle_ms)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        test.idle_ms = idle_ms;
        add_route("*", "provider.example", rows[i].route, 0);
        if (rows[i].host > 0)
            add_limit("provider.example", rows[i].host, 0);
        if (rows[i].all > 0)
            add_limit("*", rows[i].all, 0);
        mail_to_each("busy", rows[i].domains, rows[i].mail_each);
        int64_t all_s = (int64_t)(rows[i].domains * rows[i].mail_each / rows[i].most);
        turn_for((all_s + 30 + (int64_t)rows[i].domains / 10) * SECOND_MS);
        check_number(rows[i].name, test.delivered, rows[i].domains * rows[i].mail_each);
        check_number(rows[i].name, test.hop_most, rows[i].most);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void test_all_domains_share_the_connections(void **state)
{
    check_connections(state, 0);
}

/* Connections that are kept open for their own domain end where others wait. */
static void test_idle_connections_give_way(void **state)
{
    check_connections(state, HOUR_MS);
}

/* One domain with much mail has its turn, and no more. */
static void test_much_mail_for_one_domain(void **state)
{
    (void)state;
    add_route("*", "provider.example", 1, 0);
    mail_many("bulk@example.com", "big.example", 1000);
    turn_for(5 * SECOND_MS);
    uint64_t id = mail_now("a@example.com", "small.example");
    turn_for(30 * SECOND_MS);
    assert_true(tried_at(id) >= 0);
    assert_int_equal(test.hop_most, 1);
}

/* A route that hangs as a whole, with more domains behind it than there are places, is in nobody's way. */
static void test_others_are_not_kept_waiting(void **state)
{
    (void)state;
    add_route("*.routed.example", "provider.example", 3, 0);
    for (size_t i = 0; i < 3000; i++) {
        char name[48];
        snprintf(name, sizeof name, "hang.%zu.routed.example", i);
        mail_due("bulk@example.com", name, clock_wall_ms());
    }
    schedule_run_soon(schedule());
    turn_for(5 * SECOND_MS);
    assert_int_equal(test.hop_most, 3);
    assert_true(schedule()->destinations.count <= 3 + HOP_WAITING_MAX + 1);
    int64_t asked_ms = clock_monotonic_ms() - test.start_ms;
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_for(10 * SECOND_MS);
    assert_in_range(tried_at(id), asked_ms, asked_ms + SECOND_MS);
}

/* Places that are given back by those who have nothing any more reach the ones behind them. */
static void test_whoever_waits_for_nothing_is_passed_over(void **state)
{
    (void)state;
    add_route("*", "provider.example", 1, 0);
    mail_many("bulk@example.com", "hang.example", 1);
    turn_settle();
    mail_to_each("gone", 10, 1);
    uint64_t id = mail_now("a@example.com", "good.example");
    turn_settle();
    struct destination *hanging = schedule_destination(schedule(), SLICE("hang.example"));
    assert_int_equal(hanging->hop->waiting.count, 11);
    delivery_stop(delivery_of(list_first(&hanging->deliveries)));
    hanging->not_before_ms = clock_wall_ms() + HOUR_MS;
    turn_for(30 * SECOND_MS);
    assert_true(tried_at(id) >= 0);
}

/* ---- rate ---- */

static void test_all_domains_share_the_rate(void **state)
{
    static const int64_t idles_ms[] = {0, 2 * SECOND_MS, HOUR_MS};
    for (size_t i = 0; i < COUNT_OF(idles_ms); i++) {
        test.idle_ms = idles_ms[i];
        add_route("*", "provider.example", 0, 6);
        mail_to_each("busy", 30, 2);
        turn_for(5 * MINUTE_MS + SECOND_MS);
        assert_in_range(test.tried_count, 30, 31);
        for (size_t k = 1; k < test.tried_count; k++)
            assert_true(test.tried[k].time_ms - test.tried[k - 1].time_ms >= 10 * SECOND_MS);
        turn_for(6 * MINUTE_MS);
        assert_int_equal(test.delivered, 60);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static void test_star_is_the_default_of_each(void **state)
{
    (void)state;
    add_limit("*", 0, 1);
    add_limit("fast.example", 0, 60);
    mail_many("a@example.com", "one.example", 10);
    mail_many("a@example.com", "two.example", 10);
    mail_many("a@example.com", "fast.example", 10);
    turn_for(4 * MINUTE_MS + 30 * SECOND_MS);
    assert_int_equal(tried_of("one.example"), 5);
    assert_int_equal(tried_of("two.example"), 5);
    assert_int_equal(tried_of("fast.example"), 10);
}

/* ---- where the sender decides ---- */

static void test_a_route_by_sender_delays_only_its_own(void **state)
{
    (void)state;
    add_route("from:news.example", "provider.example", 0, 1);
    mail_many("list@news.example", "big.example", 300);
    mail_many("a@example.com", "big.example", 20);
    turn_for(2 * MINUTE_MS + SECOND_MS);
    assert_in_range(tried_of("big.example"), 22, 23);
    assert_true(test.relay.schedule->hops.count == 1);
    turn_for(3 * MINUTE_MS);
    assert_in_range(tried_of("big.example"), 25, 26);
}

/* Whether mail waits in the line or is parked, and whether all or only some of its destination's mail goes by the hop: each kind gets its
 * part of what is left of connections or rate, however much the other has. */
static const struct {
    const char *name;
    const char *busy_from, *busy_to; /* has more than can go */
    const char *from, *to;           /* has this one message */
    uint32_t connections, per_minute;
} shares[] = {
    {"parked behind a line, connections", "a@example.com", "routed.example", "list@news.example", "big.example", 1, 0},
    {"parked behind a line, rate", "a@example.com", "routed.example", "list@news.example", "big.example", 0, 6},
    {"in line behind parked, connections", "list@news.example", "big.example", "a@example.com", "routed.example", 1, 0},
    {"in line behind parked, rate", "list@news.example", "big.example", "a@example.com", "routed.example", 0, 6},
    {"parked behind parked, connections", "list@news.example", "big.example", "list@news.example", "other.example", 1, 0},
    {"parked behind parked, rate", "list@news.example", "big.example", "list@news.example", "other.example", 0, 6},
};

static void test_nobody_behind_a_hop_starves(void **state)
{
    for (size_t i = 0; i < COUNT_OF(shares); i++) {
        add_route("routed.example", "provider.example", shares[i].connections, shares[i].per_minute);
        add_route("from:news.example", "provider.example", shares[i].connections, shares[i].per_minute);
        mail_many(shares[i].busy_from, shares[i].busy_to, 2000);
        turn_for(MINUTE_MS);
        uint64_t id = mail_now(shares[i].from, shares[i].to);
        int64_t asked_ms = clock_monotonic_ms() - test.start_ms;
        turn_for(5 * MINUTE_MS);
        check_true(shares[i].name, tried_at(id) >= asked_ms);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* A delivery whose next message goes another way frees its place like one that ends. */
static void test_a_place_left_for_another_way(void **state)
{
    struct hop *held = NULL;
    (void)state;
    add_route("from:news.example", "provider.example", 1, 0);
    struct hop *hop = hop_of_message(schedule(), SLICE("big.example"), SLICE("list@news.example"));
    assert_true(hop_enter(hop, &held));
    uint64_t id = mail_now("list@news.example", "other.example");
    turn_settle();
    assert_true(tried_at(id) < 0);
    assert_true(hop_enter(NULL, &held));
    assert_null(held);
    turn_settle();
    assert_true(tried_at(id) >= 0);
}

/* More than is kept parked: it goes on, however slowly, and the others with it. */
static void test_more_than_can_be_parked(void **state)
{
    (void)state;
    add_route("from:news.example", "provider.example", 1, 600);
    mail_many("list@news.example", "big.example", HOP_PARKED_MAX + 500);
    mail_many("a@example.com", "big.example", 5);
    turn_for(3 * MINUTE_MS + 30 * SECOND_MS);
    assert_in_range(test.delivered, 180, HOP_PARKED_MAX);
    size_t direct = 0;
    for (size_t i = 0; i < test.tried_count; i++) {
        struct arena *arena = arena_new(1u << 20);
        struct queue_message message;
        bool waits = queue_message_get(test.relay.queue, test.tried[i].id, arena, &message) == ERR_NONE;
        direct += waits && slice_equal(message.sender, SLICE("a@example.com"));
        arena_free(&arena);
    }
    assert_int_equal(direct, 0); /* all delivered */
}

/* ---- a reload ---- */

static void test_a_reload_changes_limits_and_routes(void **state)
{
    (void)state;
    add_route("*", "provider.example", 1, 0);
    mail_to_each("busy", 40, 5);
    turn_for(2 * SECOND_MS);
    assert_int_equal(test.hop_most, 1);
    routes[0].connections = 8;
    schedule_reload(schedule());
    turn_for(5 * SECOND_MS);
    assert_int_equal(test.hop_most, 8);
    test.config.route_count = 0;
    schedule_reload(schedule());
    turn_for(40 * SECOND_MS);
    assert_int_equal(test.delivered, 200);
    schedule_reload(schedule());
    assert_int_equal(schedule()->hops.count, 0);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        SCHEDULE_TEST(test_all_domains_share_the_connections),
        SCHEDULE_TEST(test_idle_connections_give_way),
        SCHEDULE_TEST(test_much_mail_for_one_domain),
        SCHEDULE_TEST(test_others_are_not_kept_waiting),
        SCHEDULE_TEST(test_whoever_waits_for_nothing_is_passed_over),
        SCHEDULE_TEST(test_all_domains_share_the_rate),
        SCHEDULE_TEST(test_star_is_the_default_of_each),
        SCHEDULE_TEST(test_a_route_by_sender_delays_only_its_own),
        SCHEDULE_TEST(test_nobody_behind_a_hop_starves),
        SCHEDULE_TEST(test_a_place_left_for_another_way),
        SCHEDULE_TEST(test_more_than_can_be_parked),
        SCHEDULE_TEST(test_a_reload_changes_limits_and_routes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
