/* Keeps the cache within [sts] cache-max. Each walk counts what there is, by the hour in which it was last used and by owner; when
 * that is too much the next walk forgets: first of those owners that have the most, down to a level that is the same for all, so that a
 * flood of somebody's subdomains evicts its like and nothing else; then the oldest unused: first what binds nothing any more, then
 * policies in use for a day only, then all others. No list is kept, so that the memory needed does not grow with the cache. An enforced
 * policy that mail waits for stays, and so does an exemption; what one owner has of those beyond his share is nobody else's loss. */
#include "relay/finder_internal.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/registrable.h"
#include "relay/relay.h"

#include <string.h>

#define HOUR_MS (3600ll * 1000)
#define LISTING_MAX (1u << 20)
#define DAY_MS (24 * HOUR_MS)
/* So much every owner may have, whatever there is. */
#define SHARE_PARTS 1024
#define SHARE_MIN 4096u

/* Down to so much of the limit, so that not every new entry begins it again. */
#define ROOM_PERCENT 90

static bool has_mail(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    bool *found = owner;
    (void)message;
    *found = *found || !queue_entry_is_finished(entry);
    return !*found;
}

/* When in doubt it does. */
static bool mail_waits(struct finder *finder, struct slice domain)
{
    struct arena *arena = arena_new(LISTING_MAX);
    bool found = arena == NULL;
    struct queue_listing listing = {
        .destination = domain, .limit = 1, .arena = arena, .visit = has_mail, .owner = &found};
    enum err err = ERR_NONE;
    while (!found && err == ERR_NONE) {
        arena_reset(arena);
        err = queue_list(finder->relay->queue, &listing);
    }
    arena_free(&arena);
    return found || err != ERR_END;
}

static bool is_smart_host(const struct config *config, struct slice domain)
{
    for (size_t i = 0; i < config->route_count; i++) {
        if (config->routes[i].tls == CONFIG_TLS_STS && slice_equal(config->routes[i].host, domain))
            return true;
    }
    return false;
}

/* While there is room enough nobody needs to know what mail waits for. */
static bool may_go(struct finder *finder, struct slice domain, const struct sts_entry *entry)
{
    if (sts_entry_is_exempt(entry, steady_latest_ms(&finder->relay->steady)))
        return false;
    bool is_enforced = entry->has_policy && entry->policy.mode == STS_MODE_ENFORCE;
    return !is_enforced || !finder->room.is_tight ||
           (!is_smart_host(finder->relay->config, domain) && !mail_waits(finder, domain));
}

static int64_t hour_of(int64_t wall_ms)
{
    return wall_ms / HOUR_MS;
}

/* Of the hours that are told apart; what is older belongs to the oldest. */
static int64_t used_hour(const struct finder_room *room, const struct sts_entry *entry)
{
    int64_t oldest = hour_of(room->begun_ms) - (FINDER_ROOM_HOURS - 1);
    int64_t hour = hour_of(entry->used_ms);
    return hour < oldest ? oldest : hour > hour_of(room->begun_ms) ? hour_of(room->begun_ms) : hour;
}

/* Older than the mark: it goes; at the mark: as long as there is something to be freed. */
static bool is_to_go(struct finder_room *room, enum finder_room_class class, int64_t hour, size_t size)
{
    if (!room->is_freeing || class > room->mark_class || (class == room->mark_class && hour > room->mark_hour))
        return false;
    if (class < room->mark_class || hour < room->mark_hour)
        return true;
    bool goes = room->mark_bytes > 0;
    room->mark_bytes -= size < room->mark_bytes ? size : room->mark_bytes;
    return goes;
}

static enum finder_room_class class_of(const struct sts_entry *entry, int64_t now_ms)
{
    if (!sts_entry_is_live(entry, now_ms))
        return FINDER_ROOM_DEAD;
    return entry->used_ms - entry->first_fetched_ms < DAY_MS ? FINDER_ROOM_FRESH : FINDER_ROOM_LIVE;
}

static void find_places(const struct finder *finder, struct slice domain, size_t places[FINDER_ROOM_ROWS])
{
    uint64_t hash = text_siphash(finder->flights.seed, registrable_of(domain));
    for (size_t row = 0; row < FINDER_ROOM_ROWS; row++, hash >>= 32)
        places[row] = hash % FINDER_ROOM_COUNTERS;
}

/* Its owner has more than his share: as much as that goes, in whatever order it is met. */
static bool is_beyond_share(struct finder_room *room, const size_t places[FINDER_ROOM_ROWS], size_t size)
{
    for (size_t row = 0; row < FINDER_ROOM_ROWS; row++) {
        if (room->excess[row][places[row]] == 0)
            return false;
    }
    for (size_t row = 0; row < FINDER_ROOM_ROWS; row++) {
        uint64_t *excess = &room->excess[row][places[row]];
        *excess -= size < *excess ? size : *excess;
    }
    return true;
}

bool finder_room_admits(struct finder *finder, struct slice domain, const struct sts_entry *entry, size_t size)
{
    struct finder_room *room = &finder->room;
    int64_t now_ms = steady_now_ms(&finder->relay->steady);
    if (room->begun_ms == 0)
        room->begun_ms = now_ms;
    enum finder_room_class class = class_of(entry, now_ms);
    int64_t hour = used_hour(room, entry);
    bool may = may_go(finder, domain, entry);
    size_t places[FINDER_ROOM_ROWS];
    find_places(finder, domain, places);
    if (may && (is_beyond_share(room, places, size) || is_to_go(room, class, hour, size))) {
        room->freed_count++;
        return false;
    }
    room->bytes += size;
    if (!may)
        room->held[places[0]] += size;
    for (size_t row = 0; may && row < FINDER_ROOM_ROWS; row++)
        room->shares[row][places[row]] += size;
    if (may)
        room->by_age[class][hour_of(room->begun_ms) - hour] += size;
    return true;
}

/* Where the next walk stops to forget: all that is less worth goes, and of what is as old as the mark enough. */
static void set_mark(struct finder_room *room, uint64_t excess)
{
    room->is_freeing = true;
    for (int class = 0; class < FINDER_ROOM_CLASSES; class ++) {
        for (int64_t age = FINDER_ROOM_HOURS - 1; age >= 0; age--) {
            room->mark_class = (enum finder_room_class) class;
            room->mark_hour = hour_of(room->begun_ms) - age;
            room->mark_bytes = excess;
            if (room->by_age[class][age] >= excess)
                return;
            excess -= room->by_age[class][age];
        }
    }
}

static uint64_t above(uint64_t bytes, uint64_t level)
{
    return bytes > level ? bytes - level : 0;
}

static uint64_t sum_above(const uint64_t counters[FINDER_ROOM_COUNTERS], uint64_t level)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < FINDER_ROOM_COUNTERS; i++)
        sum += above(counters[i], level);
    return sum;
}

static uint64_t least_share(uint64_t limit)
{
    uint64_t share = limit / SHARE_PARTS;
    return share > SHARE_MIN ? share : SHARE_MIN;
}

/* The highest level at which those above it have enough to give. Returns how much they give. */
static uint64_t set_shares(struct finder_room *room, uint64_t excess, uint64_t limit)
{
    uint64_t low = least_share(limit), high = room->bytes + low;
    while (high - low > 1) {
        uint64_t level = low + (high - low) / 2;
        if (sum_above(room->shares[0], level) >= excess)
            low = level;
        else
            high = level;
    }
    for (size_t row = 0; row < FINDER_ROOM_ROWS; row++) {
        for (size_t i = 0; i < FINDER_ROOM_COUNTERS; i++)
            room->excess[row][i] = above(room->shares[row][i], low);
    }
    return sum_above(room->shares[0], low);
}

/* Where to free so much: of the largest shares, then of the oldest. */
static void plan_freeing(struct finder_room *room, uint64_t excess, uint64_t limit)
{
    uint64_t given = set_shares(room, excess, limit);
    if (given < excess)
        set_mark(room, excess - given);
}

static void log_forgotten(const struct finder *finder, uint64_t limit)
{
    struct log_line line;
    if (finder->room.freed_count == 0 || !log_open(&line, finder->relay->log, LOG_WARNING, "policy_cache_full"))
        return;
    log_number(&line, "forgotten", (int64_t)finder->room.freed_count);
    log_number(&line, "bytes", (int64_t)finder->room.bytes);
    log_number(&line, "limit", (int64_t)limit);
    log_string(&line, "advice",
               "raise [sts] cache-max: what is forgotten must be learned again, and an attacker may prevent that");
    log_close(&line);
}

void finder_room_walked(struct finder *finder)
{
    struct finder_room *room = &finder->room;
    uint64_t limit = finder->relay->config->sts_cache_max;
    log_forgotten(finder, limit);
    finder->cache_bytes = room->bytes;
    finder->relay->metrics.policy_forgotten += room->freed_count;
    uint64_t bytes = room->bytes - sum_above(room->held, least_share(limit));
    bool is_tight = bytes > limit;
    room->is_stuck = room->is_tight && room->freed_count == 0;
    room->is_freeing = false;
    memset(room->excess, 0, sizeof room->excess);
    if (is_tight)
        plan_freeing(room, bytes - limit / 100 * ROOM_PERCENT, limit);
    memset(room->by_age, 0, sizeof room->by_age);
    memset(room->shares, 0, sizeof room->shares);
    memset(room->held, 0, sizeof room->held);
    room->is_tight = is_tight;
    room->begun_ms = 0;
    room->bytes = 0;
    room->freed_count = 0;
}
