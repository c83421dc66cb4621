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

struct parked {
    struct list_node node;
    struct destination *destination; /* kept by the flight */
    uint64_t id;
    uint16_t number;
};

static struct hop *hop_of_route(struct schedule *schedule, const struct config_route *route);
static void read_limits(const struct schedule *schedule, struct hop *hop, const struct config_route *route);
static void unpark(struct schedule *schedule, struct hop *hop, size_t count);

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
        if (*held != NULL)
            (*held)->connections--;
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

void hop_park(struct hop *hop, struct destination *destination, const struct queue_pick *pick)
{
    struct parked *parked = hop->parked.count < HOP_PARKED_MAX ? calloc(1, sizeof *parked) : NULL;
    if (parked == NULL) {
        destination_release(destination, pick->id, pick->number);
        destination->may_have_more = true;
        destination->pace_next_ms = clock_monotonic_ms() + PARKING_FULL_MS;
        return;
    }
    *parked = (struct parked){.destination = destination, .id = pick->id, .number = pick->number};
    list_add_last(&hop->parked, &parked->node);
}

static void unpark(struct schedule *schedule, struct hop *hop, size_t count)
{
    while (count-- > 0 && !list_is_empty(&hop->parked)) {
        struct parked *parked = LIST_OF(list_take_first(&hop->parked), struct parked, node);
        struct destination *destination = parked->destination;
        destination_release(destination, parked->id, parked->number);
        schedule_wake(schedule, destination->name);
        free(parked);
    }
}

void hop_unpark_all(struct schedule *schedule)
{
    for (struct hop *hop = first(schedule); hop != NULL; hop = after(schedule, hop))
        unpark(schedule, hop, SIZE_MAX);
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
        size_t places = places_of(hop);
        unpark(schedule, hop, places);
        for (; places > 0 && !list_is_empty(&hop->waiting); places--) {
            struct destination *destination = LIST_OF(list_take_first(&hop->waiting), struct destination, hop_node);
            if (!list_has(&destination->turn))
                list_add_first(&schedule->turns, &destination->turn);
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
