#include "relay/refresh_turns.h"

#include <assert.h>

/* Whoever publishes minutes must not go before everybody else for ever: a policy counts as lasting for an hour from when it is due. */
#define LASTS_MIN_MS INT64_C(3600000)
#define SHARE_PARTS 4 /* an owner has one of so many parts of the slots */

void refresh_turns_init(struct refresh_turns *turns)
{
    *turns = (struct refresh_turns){0};
    turns->lanes[false].running_max = REFRESH_TURNS_MAX;
    turns->lanes[true].running_max = REFRESH_TURNS_FAILING_MAX;
}

struct slice refresh_turn_domain(const struct refresh_turn *turn)
{
    return slice_make(turn->domain, turn->length);
}

static bool has_domain(struct refresh_turn *const *turns, size_t count, struct slice domain)
{
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(refresh_turn_domain(turns[i]), domain))
            return true;
    }
    return false;
}

bool refresh_turns_has(const struct refresh_turns *turns, struct slice domain)
{
    for (size_t i = 0; i < 2; i++) {
        const struct refresh_lane *lane = &turns->lanes[i];
        if (has_domain(lane->waiting, lane->waiting_count, domain) || has_domain(lane->running, lane->running_count, domain))
            return true;
    }
    return false;
}

static int64_t deadline_ms(const struct refresh_turn *turn)
{
    int64_t least_ms = turn->due_ms + LASTS_MIN_MS;
    return turn->expires_ms > least_ms ? turn->expires_ms : least_ms;
}

static bool is_of(const struct refresh_turn *turn, const uint64_t *owner)
{
    return owner == NULL || turn->owner == *owner;
}

static size_t count_of(struct refresh_turn *const *turns, size_t count, const uint64_t *owner)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        found += is_of(turns[i], owner);
    return found;
}

/* The place of whoever can wait longest: of all, or of an owner, who must have one. */
static size_t last_waiting(const struct refresh_lane *lane, const uint64_t *owner)
{
    size_t last = lane->waiting_count;
    for (size_t i = 0; i < lane->waiting_count; i++) {
        if (is_of(lane->waiting[i], owner) &&
            (last == lane->waiting_count || deadline_ms(lane->waiting[i]) > deadline_ms(lane->waiting[last])))
            last = i;
    }
    assert(last < lane->waiting_count);
    return last;
}

/* An owner with more than his share gives way to himself, so that however many he has leave room for others. */
struct refresh_turn *refresh_turns_add(struct refresh_turns *turns, struct refresh_turn *turn)
{
    struct refresh_lane *lane = &turns->lanes[turn->is_failing];
    bool is_crowd = count_of(lane->waiting, lane->waiting_count, &turn->owner) >= REFRESH_TURNS_WAITING_SHARE;
    assert(turn->length <= REFRESH_TURNS_DOMAIN_MAX);
    if (!is_crowd && lane->waiting_count < REFRESH_TURNS_WAITING_MAX) {
        lane->waiting[lane->waiting_count++] = turn;
        return NULL;
    }
    struct refresh_turn **last = &lane->waiting[last_waiting(lane, is_crowd ? &turn->owner : NULL)];
    if (deadline_ms(*last) <= deadline_ms(turn))
        return turn;
    struct refresh_turn *gone = *last;
    *last = turn;
    return gone;
}

static void remove_at(struct refresh_turn **turns, size_t *count, size_t at)
{
    turns[at] = turns[--*count];
}

static struct refresh_turn *next_of(struct refresh_lane *lane)
{
    size_t best = lane->waiting_count;
    if (lane->running_count >= lane->running_max)
        return NULL;
    for (size_t i = 0; i < lane->waiting_count; i++) {
        const struct refresh_turn *turn = lane->waiting[i];
        bool is_sooner = best == lane->waiting_count || deadline_ms(turn) < deadline_ms(lane->waiting[best]);
        if (is_sooner && count_of(lane->running, lane->running_count, &turn->owner) < lane->running_max / SHARE_PARTS)
            best = i;
    }
    if (best == lane->waiting_count)
        return NULL;
    struct refresh_turn *turn = lane->waiting[best];
    remove_at(lane->waiting, &lane->waiting_count, best);
    lane->running[lane->running_count++] = turn;
    return turn;
}

struct refresh_turn *refresh_turns_next(struct refresh_turns *turns)
{
    struct refresh_turn *turn = next_of(&turns->lanes[false]);
    return turn != NULL ? turn : next_of(&turns->lanes[true]);
}

void refresh_turns_over(struct refresh_turns *turns, struct refresh_turn *turn)
{
    struct refresh_lane *lane = &turns->lanes[turn->is_failing];
    size_t at = 0;
    while (at < lane->running_count && lane->running[at] != turn)
        at++;
    assert(at < lane->running_count);
    remove_at(lane->running, &lane->running_count, at);
}

struct refresh_turn *refresh_turns_take(struct refresh_turns *turns)
{
    struct refresh_lane *lane = turns->lanes[false].waiting_count > 0 ? &turns->lanes[false] : &turns->lanes[true];
    return lane->waiting_count == 0 ? NULL : lane->waiting[--lane->waiting_count];
}
