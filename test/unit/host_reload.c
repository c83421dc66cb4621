/* A reload that changes routes, at any moment of a delivery: from then on whoever goes to a next hop has a place there. */
#include "test/unit/running.h"

#include "relay/delivery_internal.h"
#include "relay/hop.h"

#define DOMAINS 6

static const size_t turns[] = {0, 1, 2, 4, 7}; /* of the loop, before the reload */

static void (*check_each)(const struct delivery *delivery);
static size_t met;

static void visit(const struct delivery *delivery)
{
    if (!delivery->has_work || delivery->state == DELIVERY_IDLE)
        return;
    met++;
    check_each(delivery);
}

static void each_delivery(void (*check)(const struct delivery *delivery))
{
    struct map *destinations = &running.relay->schedule->destinations;
    check_each = check;
    met = 0;
    for (struct map_node *node = map_first(destinations); node != NULL; node = map_after(destinations, node)) {
        struct destination *destination = LIST_OF(node, struct destination, node);
        for (struct list_node *at = list_first(&destination->deliveries); at != NULL; at = list_next(&destination->deliveries, at))
            visit(delivery_of(at));
    }
}

static void note(const struct delivery *delivery)
{
    (void)delivery;
}

static void has_its_place(const struct delivery *delivery)
{
    struct schedule *schedule = running.relay->schedule;
    struct hop *hop = hop_of_message(schedule, delivery->destination->name, delivery->message.sender);
    assert_ptr_equal(delivery->hop, hop);
    assert_true(hop == NULL || hop->connections <= hop->connections_max);
}

static void mail_to_all(void)
{
    static size_t number;
    running_until("nothing is being written", running_is_settled, running.relay->journal);
    for (size_t i = 0; i < DOMAINS; i++) {
        char name[48];
        snprintf(name, sizeof name, "d%zu.example", number++);
        struct mail mail = {.id = relay_next_id(running.relay), .to = {name}, .due_ms = clock_wall_ms()};
        assert_int_equal(mail_accept(running.relay->queue, &mail), ERR_NONE);
    }
    schedule_run_soon(running.relay->schedule);
}

static const struct {
    const char *name, *before[2], *after[2]; /* routes */
} rows[] = {
    {"a route comes", {"", ""}, {"route.\"*\".via=127.0.0.1:1", "route.\"*\".connections=1"}},
    {"a route goes", {"route.\"*\".via=127.0.0.1:1", "route.\"*\".connections=9"}, {"", ""}},
    {"another one", {"route.\"*\".via=127.0.0.1:1", "route.\"*\".connections=9"}, {"route.\"*\".via=127.0.0.1:2", "route.\"*\".connections=2"}},
};

static void configure(const char *const more[2])
{
    for (size_t i = 0; i < 2; i++)
        running.more[i] = slice_of(more[i]);
    running_reload();
}

static void test_whoever_goes_by_a_route_has_a_place(void **state)
{
    size_t all = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        for (size_t j = 0; j < COUNT_OF(turns); j++) {
            configure(rows[i].before);
            mail_to_all();
            for (size_t k = 0; k < turns[j]; k++)
                uv_run(host_loop(), UV_RUN_NOWAIT);
            each_delivery(note);
            all += met;
            configure(rows[i].after);
            each_delivery(has_its_place);
            for (size_t k = 0; k < 5; k++) {
                uv_run(host_loop(), UV_RUN_NOWAIT);
                each_delivery(has_its_place);
            }
        }
        check_true(rows[i].name, all > 0);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {RUNNING_TEST(test_whoever_goes_by_a_route_has_a_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
