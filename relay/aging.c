#include "relay/aging.h"

#include "relay/config.h"
#include "relay/record.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#include <string.h>

#define SLICE_MAX 64

/* One walk over the oldest messages: what it found, since records may not be written while the queue is being read. */
struct walk {
    struct schedule *schedule;
    int64_t now_ms;
    uint64_t ids[SLICE_MAX];
    uint16_t numbers[SLICE_MAX];
    size_t count;
    bool is_past; /* met a message that is too young */
    int64_t age_ms;
    bool for_notice;
};

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static bool walk_slice(struct walk *walk, uint64_t *after_id);
static void settle(struct walk *walk);

/* Entries whose time is over although nobody tries them now: their destination as a whole waits. */
static bool age_out(struct schedule *schedule)
{
    struct walk walk = {.schedule = schedule, .now_ms = clock_wall_ms(), .age_ms = schedule->relay->config->expire_ms};
    uint64_t after_id = 0;
    bool more = walk_slice(&walk, &after_id);
    settle(&walk);
    return more && walk.count > 0;
}

static bool give_notice(struct schedule *schedule)
{
    int64_t warn_ms = schedule->relay->config->warn_ms;
    if (warn_ms <= 0)
        return false;
    struct walk walk = {.schedule = schedule, .now_ms = clock_wall_ms(), .age_ms = warn_ms, .for_notice = true};
    bool more = walk_slice(&walk, &schedule->aged_id);
    settle(&walk);
    return more;
}

bool aging_run(struct schedule *schedule)
{
    if (schedule->is_stopping)
        return false;
    bool more_expired = age_out(schedule);
    bool more_noticed = give_notice(schedule);
    return more_expired || more_noticed;
}

static bool walk_slice(struct walk *walk, uint64_t *after_id)
{
    struct arena *arena = arena_new(1u << 20);
    if (arena == NULL)
        return false;
    struct queue_listing listing = {
        .after_id = *after_id,
        .limit = SLICE_MAX,
        .arena = arena,
        .visit = visit,
        .owner = walk,
    };
    enum err err = queue_list(walk->schedule->relay->queue, &listing);
    if (!walk->is_past)
        *after_id = listing.after_id;
    arena_free(&arena);
    return err == ERR_NONE && !walk->is_past;
}

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct walk *walk = owner;
    if (walk->now_ms - message->arrival_ms < walk->age_ms || walk->count == SLICE_MAX) {
        walk->is_past = true;
        return false;
    }
    bool wanted = walk->for_notice ? !entry->warned && entry->attempts > 0 : !entry->held;
    if (wanted && !queue_entry_is_finished(entry)) {
        walk->ids[walk->count] = entry->id;
        walk->numbers[walk->count++] = entry->number;
    }
    return true;
}

/* Whether the entry gets its own attempt soon anyway, which then decides. */
static bool is_left_to_delivery(const struct walk *walk, const struct destination *destination)
{
    return !walk->for_notice && destination->not_before_ms <= walk->now_ms;
}

static void explain_waiting(struct queue_entry *entry, const struct queue_destination *destination)
{
    entry->reason = destination->reason;
    entry->why = destination->why;
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (entry->recipients[i].status == QUEUE_PENDING && entry->recipients[i].text.length == 0)
            entry->recipients[i].text = destination->text;
    }
}

/* The entry is in flight from here until its record is committed, so that no delivery takes it meanwhile. */
static void settle_one(struct walk *walk, size_t index, struct arena *arena)
{
    struct relay *relay = walk->schedule->relay;
    struct queue_message message;
    struct queue_entry entry;
    struct queue_destination state;
    if (queue_entry_get(relay->queue, walk->ids[index], walk->numbers[index], arena, &entry) != ERR_NONE ||
        queue_message_get(relay->queue, walk->ids[index], arena, &message) != ERR_NONE)
        return;
    struct destination *destination = schedule_destination(walk->schedule, entry.destination);
    if (destination == NULL || is_left_to_delivery(walk, destination) ||
        !destination_fly(destination, entry.id, entry.number))
        return;
    if (queue_destination_get(relay->queue, entry.destination, arena, &state) == ERR_NONE)
        explain_waiting(&entry, &state);
    struct record_request request = {
        .message = &message,
        .entry = &entry,
        .destination = destination,
        .is_only_notice = walk->for_notice,
    };
    record_outcome(relay, &request);
}

static void settle(struct walk *walk)
{
    struct arena *arena = arena_new(8u << 20);
    for (size_t i = 0; arena != NULL && i < walk->count; i++) {
        arena_reset(arena);
        settle_one(walk, i, arena);
    }
    arena_free(&arena);
}
