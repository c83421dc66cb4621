#include "relay/hop.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/delivery.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "smtp/address.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define PARKING_FULL_MS 1000

/* A destination's messages at a hop. */
struct parker {
    struct list_node node;
    struct destination *destination; /* kept by the flights */
    struct list messages;
};
struct parked {
    struct list_node node;
    struct queue_pick pick;
};

static struct hop *hop_of_route(struct schedule *schedule, const struct config_route *route);
static void read_limits(const struct schedule *schedule, struct hop *hop, const struct config_route *route);

static struct hop *first(const struct schedule *schedule)
{
    struct map_node *node = map_first(&schedule->hops);
    return node == NULL ? NULL : LIST_OF(node, struct hop, node);
}

static struct hop *after(const struct schedule *schedule, struct hop *hop)
{
    struct map_node *node = map_after(&schedule->hops, &hop->node);
    return node == NULL ? NULL : LIST_OF(node, struct hop, node);
}

static void forget(struct schedule *schedule, struct hop *hop)
{
    assert(list_is_empty(&hop->parked) && list_is_empty(&hop->waiting));
    map_remove(&schedule->hops, &hop->node);
    free(hop->name);
    free(hop);
}

void hop_init(struct schedule *schedule)
{
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&schedule->hops, seed);
}

void hop_free_all(struct schedule *schedule)
{
    struct hop *hop;
    while ((hop = first(schedule)) != NULL)
        forget(schedule, hop);
    map_free(&schedule->hops);
}

/* ---- which hop ---- */

static struct hop *add(struct schedule *schedule, struct slice name)
{
    struct hop *hop = calloc(1, sizeof *hop);
    char *copy = malloc(name.length + 1);
    if (hop == NULL || copy == NULL) {
        free(hop);
        free(copy);
        return NULL;
    }
    memcpy(copy, name.data, name.length);
    copy[name.length] = '\0';
    hop->name = copy;
    hop->schedule = schedule;
    list_init(&hop->waiting);
    list_init(&hop->parked);
    if (map_add(&schedule->hops, &hop->node, slice_of(copy)) == ERR_NONE)
        return hop;
    free(copy);
    free(hop);
    return NULL;
}

static void read_limits(const struct schedule *schedule, struct hop *hop, const struct config_route *route)
{
    struct config_limits limits = config_hop_limits(schedule->relay->config, route->host, route->port);
    hop->connections_max = limits.connections;
    hop->gap_ms = limits.rate.messages > 0 ? limits.rate.per_ms / limits.rate.messages : 0;
    hop->is_used = true;
}

static struct hop *hop_of_route(struct schedule *schedule, const struct config_route *route)
{
    char text[300];
    if (route == NULL)
        return NULL;
    struct slice name = text_print(text, sizeof text, "%.*s:%u", SLICE_ARGS(route->host), route->port);
    struct map_node *node = map_get(&schedule->hops, name);
    if (node != NULL)
        return LIST_OF(node, struct hop, node);
    struct hop *hop = add(schedule, name);
    if (hop != NULL)
        read_limits(schedule, hop, route);
    return hop;
}

/* A domain's own route, or that of what it is below, comes before the sender's. */
static bool is_certain(const struct config *config, const struct config_route *route)
{
    if (route != NULL && !slice_equal(route->pattern, SLICE("*")))
        return true;
    for (size_t i = 0; i < config->route_count; i++) {
        if (slice_starts(config->routes[i].pattern, SLICE("from:")))
            return false;
    }
    return true;
}

struct hop *hop_of_destination(struct schedule *schedule, struct slice name)
{
    const struct config *config = schedule->relay->config;
    if (config->route_count == 0)
        return NULL;
    const struct config_route *route = config_route_find(config, name, SLICE_EMPTY);
    return is_certain(config, route) ? hop_of_route(schedule, route) : NULL;
}

struct hop *hop_of_message(struct schedule *schedule, struct slice destination, struct slice sender)
{
    const struct config *config = schedule->relay->config;
    if (config->route_count == 0)
        return NULL;
    return hop_of_route(schedule, config_route_find(config, destination, smtp_address_domain(sender)));
}

/* ---- places ---- */

bool hop_has_place(const struct hop *hop)
{
    return hop == NULL || (hop->connections < hop->connections_max && !hop_is_paced(hop));
}

bool hop_is_paced(const struct hop *hop)
{
    return hop != NULL && hop->pace_next_ms > clock_monotonic_ms();
}

bool hop_is_closed(const struct hop *hop)
{
    return !hop_has_place(hop) && hop->waiting.count >= HOP_WAITING_MAX;
}

bool hop_is_crowded(const struct hop *hop)
{
    return hop != NULL && hop->connections >= hop->connections_max &&
           (!list_is_empty(&hop->waiting) || !list_is_empty(&hop->parked));
}

bool hop_enter(struct hop *hop, struct hop **held)
{
    if (hop_is_paced(hop) || (hop != *held && !hop_has_place(hop)))
        return false;
    if (hop != *held) {
        if (*held != NULL) {
            assert((*held)->connections > 0);
            (*held)->connections--;
            schedule_run_soon((*held)->schedule);
        }
        if (hop != NULL)
            hop->connections++;
        *held = hop;
    }
    if (hop != NULL && hop->gap_ms > 0)
        hop->pace_next_ms = clock_monotonic_ms() + hop->gap_ms;
    return true;
}

void hop_leave(struct schedule *schedule, struct hop **held)
{
    if (*held == NULL)
        return;
    assert((*held)->connections > 0);
    (*held)->connections--;
    *held = NULL;
    schedule_run_soon(schedule);
}

/* ---- those that wait ---- */

void hop_wait(struct destination *destination)
{
    struct hop *hop = destination->hop;
    if (list_has(&destination->hop_node) || hop->waiting.count >= HOP_WAITING_MAX)
        return;
    list_add_last(&hop->waiting, &destination->hop_node);
    schedule_run_soon(destination->schedule); /* somebody may be idle there, and there is a time to wake up for */
}

void hop_stop_waiting(struct destination *destination)
{
    if (list_has(&destination->hop_node))
        list_remove(&destination->hop->waiting, &destination->hop_node);
}

static struct parker *parker_of(struct hop *hop, struct destination *destination)
{
    for (struct list_node *node = list_first(&hop->parked); node != NULL; node = list_next(&hop->parked, node)) {
        struct parker *parker = LIST_OF(node, struct parker, node);
        if (parker->destination == destination)
            return parker;
    }
    struct parker *parker = calloc(1, sizeof *parker);
    if (parker == NULL)
        return NULL;
    parker->destination = destination;
    list_init(&parker->messages);
    list_add_last(&hop->parked, &parker->node);
    return parker;
}

static bool has_parked(const struct parker *parker, uint64_t id, uint16_t number)
{
    for (const struct list_node *node = list_first(&parker->messages); node != NULL; node = list_next(&parker->messages, node)) {
        const struct queue_pick *pick = &LIST_OF(node, struct parked, node)->pick;
        if (pick->id == id && pick->number == number)
            return true;
    }
    return false;
}

bool hop_has_parked(const struct hop *hop, uint64_t id, uint16_t number)
{
    const struct list_node *node = hop == NULL ? NULL : list_first(&hop->parked);
    for (; node != NULL; node = list_next(&hop->parked, node)) {
        if (has_parked(LIST_OF(node, struct parker, node), id, number))
            return true;
    }
    return false;
}

/* Its flight is over, and it is found in the queue again. */
static void unpark(struct hop *hop, struct parker *parker, struct parked *parked)
{
    struct destination *destination = parker->destination;
    list_remove(&parker->messages, &parked->node);
    hop->parked_count--;
    destination_release(destination, parked->pick.id, parked->pick.number);
    schedule_wake(destination->schedule, destination->name);
    free(parked);
}

static void forget_empty(struct hop *hop, struct parker *parker)
{
    if (!list_is_empty(&parker->messages))
        return;
    list_remove(&hop->parked, &parker->node);
    free(parker);
}

static void unpark_all_of(struct hop *hop, struct parker *parker)
{
    while (!list_is_empty(&parker->messages))
        unpark(hop, parker, LIST_OF(list_first(&parker->messages), struct parked, node));
    forget_empty(hop, parker);
}

void hop_unpark_all(struct schedule *schedule)
{
    for (struct hop *hop = first(schedule); hop != NULL; hop = after(schedule, hop)) {
        while (!list_is_empty(&hop->parked))
            unpark_all_of(hop, LIST_OF(list_first(&hop->parked), struct parker, node));
    }
}

/* Room for one message more: of whoever has the most, so that a thousand for one destination keep no other's message out. */
static bool make_room(struct hop *hop, const struct parker *parker)
{
    struct parker *largest = NULL;
    if (hop->parked_count < HOP_PARKED_MAX)
        return true;
    for (struct list_node *node = list_first(&hop->parked); node != NULL; node = list_next(&hop->parked, node)) {
        struct parker *other = LIST_OF(node, struct parker, node);
        if (largest == NULL || other->messages.count > largest->messages.count)
            largest = other;
    }
    if (largest == NULL || largest->messages.count <= parker->messages.count + 1)
        return false;
    unpark(hop, largest, LIST_OF(list_last(&largest->messages), struct parked, node));
    return true;
}

void hop_park(struct hop *hop, struct destination *destination, const struct queue_pick *pick)
{
    struct parker *parker = parker_of(hop, destination);
    struct parked *parked = parker != NULL && make_room(hop, parker) ? calloc(1, sizeof *parked) : NULL;
    if (parked != NULL) {
        parked->pick = *pick;
        list_add_last(&parker->messages, &parked->node);
        hop->parked_count++;
        return;
    }
    if (parker != NULL)
        forget_empty(hop, parker);
    destination_release(destination, pick->id, pick->number);
    destination->may_have_more = true;
    destination->pace_next_ms = clock_monotonic_ms() + PARKING_FULL_MS;
}

/* With a rate one at a time: the first that begins sets the pace for the others. */
static size_t places_of(const struct hop *hop)
{
    if (!hop_has_place(hop))
        return 0;
    return hop->gap_ms > 0 ? 1 : hop->connections_max - hop->connections;
}

/* An idle connection is a courtesy; it ends where others wait for its place. */
static void end_idle(struct schedule *schedule, struct hop *hop)
{
    if (hop->connections < hop->connections_max)
        return;
    for (struct list_node *node = list_first(&schedule->idles); node != NULL; node = list_next(&schedule->idles, node)) {
        struct delivery *delivery = delivery_of_idle(node);
        if (delivery_hop(delivery) == hop) {
            delivery_stop(delivery);
            return;
        }
    }
}

static void go_first(struct schedule *schedule, struct destination *destination)
{
    if (list_has(&destination->turn))
        list_remove(&schedule->turns, &destination->turn);
    list_add_first(&schedule->turns, &destination->turn);
}

/* The message goes in front of all that its destination has: otherwise the place would be gone before its turn came, time and again. */
static void let_in_parked(struct schedule *schedule, struct hop *hop)
{
    struct parker *parker = LIST_OF(list_take_first(&hop->parked), struct parker, node);
    struct parked *parked = LIST_OF(list_first(&parker->messages), struct parked, node);
    struct destination *destination = parker->destination;
    list_add_last(&hop->parked, &parker->node);
    destination_put_first(destination, &parked->pick); /* while it is in flight, so that it comes into the window but once */
    unpark(hop, parker, parked);
    forget_empty(hop, parker);
    go_first(schedule, destination);
}

static void let_in_waiting(struct schedule *schedule, struct hop *hop)
{
    go_first(schedule, LIST_OF(list_take_first(&hop->waiting), struct destination, hop_node));
}

int64_t hop_let_in(struct schedule *schedule)
{
    int64_t next_ms = 0;
    for (struct hop *hop = first(schedule); hop != NULL; hop = after(schedule, hop)) {
        if (list_is_empty(&hop->waiting) && list_is_empty(&hop->parked))
            continue;
        if (hop_is_paced(hop)) {
            next_ms = next_ms == 0 || hop->pace_next_ms < next_ms ? hop->pace_next_ms : next_ms;
            continue;
        }
        end_idle(schedule, hop);
        for (size_t places = places_of(hop); places > 0; places--) {
            bool is_none_in_line = list_is_empty(&hop->waiting), is_none_parked = list_is_empty(&hop->parked);
            if (is_none_in_line && is_none_parked)
                break;
            hop->is_turn_of_parked = is_none_in_line || (hop->is_turn_of_parked && !is_none_parked);
            (hop->is_turn_of_parked ? let_in_parked : let_in_waiting)(schedule, hop);
            hop->is_turn_of_parked = !hop->is_turn_of_parked;
            schedule_run_soon(schedule); /* should they need nothing any more, the next ones get the places */
        }
    }
    return next_ms;
}

void hop_reload(struct schedule *schedule)
{
    const struct config *config = schedule->relay->config;
    hop_unpark_all(schedule);
    for (struct map_node *node = map_first(&schedule->destinations); node != NULL; node = map_after(&schedule->destinations, node)) {
        struct destination *destination = LIST_OF(node, struct destination, node);
        hop_stop_waiting(destination);
        destination->hop = NULL;
    }
    for (struct hop *hop = first(schedule); hop != NULL; hop = after(schedule, hop))
        hop->is_used = false;
    for (size_t i = 0; i < config->route_count; i++) {
        struct hop *hop = hop_of_route(schedule, &config->routes[i]);
        if (hop != NULL)
            read_limits(schedule, hop, &config->routes[i]);
    }
    for (struct map_node *node = map_first(&schedule->destinations); node != NULL; node = map_after(&schedule->destinations, node)) {
        struct destination *destination = LIST_OF(node, struct destination, node);
        destination->hop = hop_of_destination(schedule, destination->name);
    }
    struct hop *next;
    for (struct hop *hop = first(schedule); hop != NULL; hop = next) {
        next = after(schedule, hop);
        if (!hop->is_used && hop->connections == 0)
            forget(schedule, hop);
    }
}
