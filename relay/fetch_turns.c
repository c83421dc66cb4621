#include "relay/fetch_turns.h"

#include "relay/registrable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CROWD_MIN 8
#define LONG_MS 10000

struct fetch_share {
    struct map_node node;
    struct list members;
    size_t running;
    char owner[]; /* the key's bytes */
};

void fetch_turns_init(struct fetch_turns *turns, const uint64_t seed[2])
{
    map_init(&turns->shares, seed);
    list_init(&turns->ages);
    list_init(&turns->waiting);
    list_init(&turns->running);
}

void fetch_turns_free(struct fetch_turns *turns)
{
    assert(turns->shares.count == 0);
    map_free(&turns->shares);
}

/* ---- shares ---- */

static struct fetch_share *share_of(struct fetch_turns *turns, struct slice owner)
{
    struct map_node *node = map_get(&turns->shares, owner);
    if (node != NULL)
        return LIST_OF(node, struct fetch_share, node);
    struct fetch_share *share = calloc(1, sizeof *share + owner.length + 1);
    if (share == NULL)
        return NULL;
    memcpy(share->owner, owner.data, owner.length);
    list_init(&share->members);
    if (map_add(&turns->shares, &share->node, slice_make(share->owner, owner.length)) == ERR_NONE)
        return share;
    free(share);
    return NULL;
}

enum err fetch_turns_join(struct fetch_turns *turns, struct fetch_turn *turn, struct slice domain, int64_t now_ms)
{
    struct fetch_share *share = share_of(turns, registrable_of(domain));
    if (share == NULL)
        return ERR_MEMORY;
    turn->share = share;
    turn->since_ms = now_ms;
    list_add_last(&share->members, &turn->member);
    list_add_last(&turns->ages, &turn->age);
    return ERR_NONE;
}

void fetch_turns_leave(struct fetch_turns *turns, struct fetch_turn *turn)
{
    struct fetch_share *share = turn->share;
    fetch_turns_over(turns, turn);
    list_remove(&share->members, &turn->member);
    list_remove(&turns->ages, &turn->age);
    turn->share = NULL;
    if (!list_is_empty(&share->members))
        return;
    map_remove(&turns->shares, &share->node);
    free(share);
}

/* ---- turns ---- */

void fetch_turns_wait(struct fetch_turns *turns, struct fetch_turn *turn, const struct ip *address, bool is_dead)
{
    fetch_turns_over(turns, turn);
    turn->state = FETCH_TURN_WAITING;
    turn->address = *address;
    turn->is_dead = is_dead;
    list_add_last(&turns->waiting, &turn->node);
}

void fetch_turns_over(struct fetch_turns *turns, struct fetch_turn *turn)
{
    if (turn->state == FETCH_TURN_WAITING)
        list_remove(&turns->waiting, &turn->node);
    if (turn->state == FETCH_TURN_RUNNING) {
        list_remove(&turns->running, &turn->node);
        turn->share->running--;
    }
    turn->state = FETCH_TURN_IDLE;
}

/* What one customer of a provider gets: he has as many addresses in it as he likes. */
static size_t network_bytes(const struct ip *ip)
{
    return ip->family == IP_V4 ? 3 : 6;
}

static bool is_same(const struct ip *a, const struct ip *b, size_t bytes)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, bytes) == 0;
}

/* How many its owner and its network have under way, whichever are more. */
static size_t burden_of(const struct fetch_turns *turns, const struct fetch_turn *turn)
{
    size_t network = 0;
    const struct list_node *node = list_first(&turns->running);
    for (; node != NULL; node = list_next(&turns->running, node)) {
        const struct fetch_turn *other = LIST_OF(node, struct fetch_turn, node);
        size_t all = turn->address.family == IP_V4 ? 4 : 16;
        if (turn->is_dead && is_same(&other->address, &turn->address, all))
            return FETCH_TURNS_SHARE;
        network += is_same(&other->address, &turn->address, network_bytes(&turn->address));
    }
    return network > turn->share->running ? network : turn->share->running;
}

struct fetch_turn *fetch_turns_next(struct fetch_turns *turns)
{
    struct fetch_turn *best = NULL;
    size_t least = FETCH_TURNS_SHARE;
    if (turns->running.count >= FETCH_TURNS_MAX)
        return NULL;
    struct list_node *node = list_first(&turns->waiting);
    for (; node != NULL && least > 0; node = list_next(&turns->waiting, node)) {
        struct fetch_turn *turn = LIST_OF(node, struct fetch_turn, node);
        size_t burden = burden_of(turns, turn);
        if (burden >= least)
            continue;
        best = turn;
        least = burden;
    }
    if (best == NULL)
        return NULL;
    list_remove(&turns->waiting, &best->node);
    list_add_last(&turns->running, &best->node);
    best->state = FETCH_TURN_RUNNING;
    best->share->running++;
    return best;
}

struct fetch_turn *fetch_turns_crowding(struct fetch_turns *turns, int64_t now_ms)
{
    struct fetch_share *largest = NULL;
    for (struct map_node *node = map_first(&turns->shares); node != NULL; node = map_after(&turns->shares, node)) {
        struct fetch_share *share = LIST_OF(node, struct fetch_share, node);
        if (largest == NULL || share->members.count > largest->members.count)
            largest = share;
    }
    if (largest == NULL)
        return NULL;
    if (largest->members.count > CROWD_MIN)
        return LIST_OF(list_last(&largest->members), struct fetch_turn, member);
    struct fetch_turn *oldest = LIST_OF(list_first(&turns->ages), struct fetch_turn, age);
    return now_ms - oldest->since_ms >= LONG_MS ? oldest : NULL;
}
