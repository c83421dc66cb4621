/* Keeps the cache within [sts] cache-max. Each walk counts what there is, by the hour in which it was last used; when
 * that is too much the next walk forgets the oldest unused: first what binds nothing any more, then policies in force.
 * No list is kept, so that the memory needed does not grow with the cache. An enforced policy that mail waits for
 * stays, and so does an exemption. */
#include "relay/finder_internal.h"

#include "relay/config.h"
#include "relay/relay.h"

#include <string.h>

#define HOUR_MS (3600ll * 1000)
#define LISTING_MAX (1u << 20)

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

bool finder_room_admits(struct finder *finder, struct slice domain, const struct sts_entry *entry, size_t size)
{
    struct finder_room *room = &finder->room;
    int64_t now_ms = steady_now_ms(&finder->relay->steady);
    if (room->begun_ms == 0)
        room->begun_ms = now_ms;
    enum finder_room_class class = sts_entry_is_live(entry, now_ms) ? FINDER_ROOM_LIVE : FINDER_ROOM_DEAD;
    int64_t hour = used_hour(room, entry);
    bool may = may_go(finder, domain, entry);
    if (may && is_to_go(room, class, hour, size)) {
        room->freed_count++;
        return false;
    }
    room->bytes += size;
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
    uint64_t bytes = room->bytes;
    bool is_tight = bytes > limit;
    room->is_stuck = room->is_freeing && room->freed_count == 0;
    room->is_freeing = false;
    if (is_tight)
        set_mark(room, bytes - limit / 100 * ROOM_PERCENT);
    memset(room->by_age, 0, sizeof room->by_age);
    room->is_tight = is_tight;
    room->begun_ms = 0;
    room->bytes = 0;
    room->freed_count = 0;
}
