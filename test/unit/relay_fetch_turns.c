/* Whose turn it is to connect to a policy host. */
#include "test/unit/check.h"

#include "relay/fetch_turns.h"

#include "base/text.h"

static struct fetch_turns turns;
static struct fetch_turn all[200];

static int start(void **state)
{
    static const uint64_t seed[2] = {5, 6};
    (void)state;
    memset(all, 0, sizeof all);
    fetch_turns_init(&turns, seed);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (all[i].share != NULL)
            fetch_turns_leave(&turns, &all[i]);
    }
    assert_true(list_is_empty(&turns.waiting) && list_is_empty(&turns.running) && list_is_empty(&turns.ages));
    fetch_turns_free(&turns);
    return 0;
}

static void wait_at(struct fetch_turn *turn, const char *domain, const char *address, bool is_dead)
{
    struct ip ip;
    assert_true(ip_parse(slice_of(address), &ip));
    assert_int_equal(fetch_turns_join(&turns, turn, slice_of(domain), 0), ERR_NONE);
    fetch_turns_wait(&turns, turn, &ip, is_dead);
}

static size_t run_all(void)
{
    size_t count = 0;
    while (fetch_turns_next(&turns) != NULL)
        count++;
    return count;
}

static void test_shares(void **state)
{
    static const struct {
        const char *name, *domain, *address; /* with two numbers that count up */
        bool is_dead;
        size_t running;
    } crowds[] = {
        {"nothing in common", "d%zu.example", "10.%zu.0.1", false, 32},
        {"one owner", "d%zu.a.example", "10.%zu.0.1", false, 8},
        {"one address", "d%zu.example", "10.0.0.1", false, 8},
        {"one network", "d%zu.example", "10.0.0.%zu", false, 8},
        {"one network of IPv6", "d%zu.example", "2001:db8:1:%zu::1", false, 8},
        {"many networks of IPv6", "d%zu.example", "2001:db8:%zu::1", false, 32},
        {"one dead address", "d%zu.example", "10.0.0.1", true, 1},
        {"dead addresses of one network", "d%zu.example", "10.0.0.%zu", true, 8},
        {"many dead addresses", "d%zu.example", "10.%zu.0.1", true, 32},
    };
    char domain[64], address[64];
    for (size_t i = 0; i < COUNT_OF(crowds); i++) {
        assert_int_equal(stop(state), 0);
        assert_int_equal(start(state), 0);
        for (size_t k = 0; k < 100; k++)
            wait_at(&all[k], text_print(domain, sizeof domain, crowds[i].domain, k).data,
                    text_print(address, sizeof address, crowds[i].address, k).data, crowds[i].is_dead);
        check_number(crowds[i].name, run_all(), crowds[i].running);
        for (size_t k = 0; k < 100; k++) { /* each ends: all come to their turn */
            fetch_turns_over(&turns, LIST_OF(list_first(&turns.running), struct fetch_turn, node));
            (void)run_all();
        }
        check_number(crowds[i].name, turns.waiting.count, 0);
    }
}

static void test_who_has_fewest_is_next(void **state)
{
    char domain[64], address[64];
    (void)state;
    for (size_t i = 0; i < 100; i++)
        wait_at(&all[i], text_print(domain, sizeof domain, "d%zu.owner%zu.example", i, i % 5).data,
                text_print(address, sizeof address, "10.%zu.0.1", i).data, false);
    check_number("all turns", run_all(), FETCH_TURNS_MAX);
    wait_at(&all[100], "fresh.example", "192.0.2.1", false);
    assert_null(fetch_turns_next(&turns));
    fetch_turns_over(&turns, LIST_OF(list_first(&turns.running), struct fetch_turn, node));
    assert_ptr_equal(fetch_turns_next(&turns), &all[100]);
}

static void test_who_gives_way(void **state)
{
    char domain[64];
    (void)state;
    assert_null(fetch_turns_crowding(&turns, 0));
    for (size_t i = 0; i < 20; i++)
        wait_at(&all[i], text_print(domain, sizeof domain, "d%zu.example", i).data, "10.0.0.1", false);
    assert_null(fetch_turns_crowding(&turns, 9999));
    assert_ptr_equal(fetch_turns_crowding(&turns, 10000), &all[0]);
    for (size_t i = 20; i < 30; i++)
        wait_at(&all[i], text_print(domain, sizeof domain, "d%zu.a.example", i).data, "10.0.0.1", false);
    assert_ptr_equal(fetch_turns_crowding(&turns, 10000), &all[29]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_shares, start, stop),
        cmocka_unit_test_setup_teardown(test_who_has_fewest_is_next, start, stop),
        cmocka_unit_test_setup_teardown(test_who_gives_way, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
