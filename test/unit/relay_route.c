/* Routes: what DNS and the policy say becomes hosts in order. */
#include "check.h"

#include "base/dice.h"
#include "relay/route.h"

#include <cmocka.h>

/* The host's dice, always the same row of numbers. */
static uint64_t rolls;

uint64_t dice_below(uint64_t bound)
{
    rolls = rolls * 6364136223846793005u + 1442695040888963407u;
    return (rolls >> 33) % bound;
}

struct mx {
    uint16_t preference;
    const char *name;
};

static struct config *make_config(struct config *config)
{
    static struct config_listen listen;
    *config = (struct config){.hostname = SLICE("relay.example"), .delivery_port = 25};
    listen.endpoint.port = 25;
    assert_true(ip_parse(SLICE("192.0.2.25"), &listen.endpoint.ip));
    config->listen = &listen;
    config->listen_count = 1;
    return config;
}

static void route(const struct mx *mx, size_t count, const struct sts_policy *policy, struct arena *arena, struct route *out)
{
    struct resolve_record records[256] = {0};
    struct config config;
    for (size_t i = 0; i < count; i++) {
        records[i].preference = mx[i].preference;
        records[i].name = slice_of(mx[i].name);
    }
    struct resolve_answer answer = {.status = count > 0 ? RESOLVE_FOUND : RESOLVE_NODATA, .records = records, .count = count};
    struct route_request request = {
        .domain = SLICE("example.com"), .mx = &answer, .policy = policy, .config = make_config(&config), .arena = arena};
    route_by_mx(&request, out);
}

static const struct {
    const char *name;
    struct mx mx[4];
    size_t count;
    enum route_kind kind;
    const char *hosts; /* joined by blanks */
} cases[] = {
    {"by preference", {{20, "b.example"}, {10, "a.example"}}, 2, ROUTE_HOSTS, "a.example b.example"},
    {"no MX: the domain itself", {{0, ""}}, 0, ROUTE_HOSTS, "example.com"},
    {"null MX", {{0, ""}}, 1, ROUTE_NULL_MX, ""},
    {"a root name beside others is no null MX", {{0, ""}, {10, "a.example"}}, 2, ROUTE_HOSTS, "a.example"},
    {"we are the best host", {{10, "relay.example"}, {20, "b.example"}}, 2, ROUTE_LOOP, ""},
    {"only those better than we are", {{10, "a.example"}, {20, "RELAY.example"}, {30, "c.example"}}, 3, ROUTE_HOSTS, "a.example"},
    {"our equals are cut as well", {{10, "a.example"}, {20, "b.example"}, {20, "relay.example"}}, 3, ROUTE_HOSTS, "a.example"},
};

static void test_order(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena *arena = arena_new(1u << 20);
        struct route out;
        char joined[256] = "";
        route(cases[i].mx, cases[i].count, NULL, arena, &out);
        for (size_t j = 0; j < out.host_count; j++) {
            size_t length = strlen(joined);
            snprintf(joined + length, sizeof joined - length, "%s%.*s", j > 0 ? " " : "", SLICE_ARGS(out.hosts[j].name));
        }
        check_number(cases[i].name, out.kind, cases[i].kind);
        check_slice(cases[i].name, slice_of(joined), slice_of(cases[i].hosts));
        arena_free(&arena);
    }
}

/* RFC 8461 8.4: cut at ourselves in the unfiltered list first. Filtering first would leave us as the only host, or worse, hosts
 * that are less preferred than we are. */
static void test_policy_does_not_hide_a_loop(void **state)
{
    (void)state;
    static const struct mx mx[] = {{10, "other.example"}, {20, "relay.example"}, {30, "mx.example.com"}};
    struct slice patterns[] = {SLICE("mx.example.com")};
    struct sts_policy policy = {.mode = STS_MODE_ENFORCE, .mx = patterns, .mx_count = 1};
    struct arena *arena = arena_new(1u << 20);
    struct route out;
    route(mx, COUNT_OF(mx), &policy, arena, &out);
    assert_int_equal(out.kind, ROUTE_HOSTS);
    assert_int_equal(out.host_count, 1);
    assert_int_equal(out.admitted_count, 0);
    assert_false(out.hosts[0].is_admitted);
    arena_free(&arena);
}

static void test_hosts_that_are_not_admitted_stay_in_order(void **state)
{
    (void)state;
    static const struct mx mx[] = {{10, "bad.example"}, {20, "mx.example.com"}};
    struct slice patterns[] = {SLICE("*.example.com")};
    struct sts_policy policy = {.mode = STS_MODE_ENFORCE, .mx = patterns, .mx_count = 1};
    struct arena *arena = arena_new(1u << 20);
    struct route out;
    route(mx, COUNT_OF(mx), &policy, arena, &out);
    assert_int_equal(out.host_count, 2);
    assert_false(out.hosts[0].is_admitted);
    assert_true(out.hosts[1].is_admitted);
    arena_free(&arena);
}

static void test_equals_are_shuffled(void **state)
{
    (void)state;
    static const struct mx mx[] = {{10, "a.example"}, {10, "b.example"}, {10, "c.example"}};
    bool led[3] = {false};
    for (size_t i = 0; i < 60; i++) {
        struct arena *arena = arena_new(1u << 20);
        struct route out;
        route(mx, COUNT_OF(mx), NULL, arena, &out);
        led[out.hosts[0].name.data[0] - 'a'] = true;
        arena_free(&arena);
    }
    assert_true(led[0] && led[1] && led[2]);
}

static void add(struct route_addresses *addresses, const char *text, bool named, const struct config *config)
{
    struct resolve_record record = {0};
    assert_true(ip_parse(slice_of(text), &record.ip));
    struct resolve_answer answer = {.status = RESOLVE_FOUND, .records = &record, .count = 1};
    route_add_addresses(addresses, &answer, config, named);
}

static void test_addresses(void **state)
{
    (void)state;
    struct config config;
    struct ip items[8];
    struct ip_network allowed;
    struct route_addresses addresses = {.items = items, .capacity = 8};
    make_config(&config);
    add(&addresses, "10.1.2.3", false, &config);
    add(&addresses, "::ffff:127.0.0.1", false, &config);
    add(&addresses, "169.254.169.254", false, &config);
    assert_int_equal(addresses.count, 0);
    assert_int_equal(addresses.refused, 3);
    add(&addresses, "192.0.2.25", false, &config);
    assert_int_equal(addresses.own, 1);
    add(&addresses, "10.1.2.3", true, &config); /* the administrator named the host */
    assert_int_equal(addresses.count, 1);
    assert_int_equal(ip_network_parse(SLICE("10.0.0.0/8"), &allowed), ERR_NONE);
    config.allow_networks = (struct config_networks){.items = &allowed, .count = 1};
    add(&addresses, "10.1.2.4", false, &config);
    assert_int_equal(addresses.count, 2);
    /* A policy host may well be this machine. */
    addresses.may_be_own = true;
    assert_int_equal(ip_network_parse(SLICE("192.0.2.0/24"), &allowed), ERR_NONE);
    add(&addresses, "192.0.2.25", false, &config);
    assert_int_equal(addresses.own, 1);
    assert_int_equal(addresses.count, 3);
}

static void test_families_take_turns(void **state)
{
    (void)state;
    struct config config;
    struct ip items[8];
    struct route_addresses addresses = {.items = items, .capacity = 8};
    make_config(&config);
    add(&addresses, "11.0.0.1", false, &config);
    add(&addresses, "11.0.0.2", false, &config);
    add(&addresses, "11.0.0.3", false, &config);
    add(&addresses, "2a00::1", false, &config);
    route_interleave(&addresses);
    assert_int_equal(addresses.count, 4);
    assert_int_equal(items[0].family, IP_V4);
    assert_int_equal(items[1].family, IP_V6);
    assert_int_equal(items[2].family, IP_V4);
    assert_int_equal(items[3].bytes[3], 3);
}

/* Of more hosts than are kept the most preferred stay, wherever the answer has them. */
static void test_many_hosts(void **state)
{
    (void)state;
    static char names[200][32];
    struct mx mx[200];
    for (size_t place = 0; place < COUNT_OF(mx); place += 33) {
        struct arena *arena = arena_new(1u << 20);
        struct route out;
        for (size_t i = 0; i < COUNT_OF(mx); i++) {
            snprintf(names[i], sizeof names[i], "h%zu.example", i);
            mx[i] = (struct mx){(uint16_t)(i == place ? 1 : 10 + i), names[i]};
        }
        route(mx, COUNT_OF(mx), NULL, arena, &out);
        check_number(names[place], out.host_count, ROUTE_HOSTS_MAX);
        check_slice(names[place], out.hosts[0].name, slice_of(names[place]));
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_policy_does_not_hide_a_loop),
        cmocka_unit_test(test_hosts_that_are_not_admitted_stay_in_order),
        cmocka_unit_test(test_equals_are_shuffled),
        cmocka_unit_test(test_many_hosts),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_families_take_turns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
