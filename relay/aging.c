#include "relay/aging.h"

#include "relay/config.h"
#include "relay/record.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#include <string.h>

#define SLICE_MAX 64
/* So long the outcome of a destination's last attempt tells of its policy as well as another attempt would. */
#define POLICY_AGE_MS (5 * 60 * 1000)

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
static size_t settle(struct walk *walk);

/* Entries whose time is over although nobody tries them now: their destination as a whole waits. */
static bool age_out(struct schedule *schedule)
{
    struct walk walk = {.schedule = schedule, .now_ms = clock_wall_ms(), .age_ms = schedule->relay->config->expire_ms};
    uint64_t after_id = 0;
    bool more = walk_slice(&walk, &after_id);
    return settle(&walk) > 0 && more;
}

static bool give_notice(struct schedule *schedule)
{
    int64_t warn_ms = schedule->relay->config->warn_ms;
    if (warn_ms <= 0)
        return false;
    struct walk walk = {.schedule = schedule, .now_ms = clock_wall_ms(), .age_ms = warn_ms, .for_notice = true};
    bool more = walk_slice(&walk, &schedule->aged_id);
    (void)settle(&walk);
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

/* RFC 8461 5.1: nothing bounces for the sake of a policy before a newer one was looked for, which an attempt does. */
static bool needs_attempt(const struct walk *walk, const struct destination *destination, const struct queue_destination *known)
{
    bool is_policy = slice_equal(known->reason, SLICE("policy")) || slice_equal(known->reason, SLICE("tls"));
    return !walk->for_notice && is_policy &&
           (destination->tried_ms == 0 || clock_monotonic_ms() - destination->tried_ms > POLICY_AGE_MS);
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
static bool settle_one(struct walk *walk, size_t index, struct arena *arena)
{
    struct relay *relay = walk->schedule->relay;
    struct queue_message message;
    struct queue_entry entry;
    struct queue_destination state;
    if (queue_entry_get(relay->queue, walk->ids[index], walk->numbers[index], arena, &entry) != ERR_NONE ||
        queue_message_get(relay->queue, walk->ids[index], arena, &message) != ERR_NONE)
        return false;
    struct destination *destination = schedule_destination(walk->schedule, entry.destination);
    if (destination == NULL || is_left_to_delivery(walk, destination))
        return false;
    if (queue_destination_get(relay->queue, entry.destination, arena, &state) == ERR_NONE) {
        if (needs_attempt(walk, destination, &state)) {
            destination_try_now(destination);
            schedule_wake(walk->schedule, entry.destination);
            return false;
        }
        explain_waiting(&entry, &state);
    }
    if (!destination_fly(destination, entry.id, entry.number))
        return false;
    struct record_request request = {
        .message = &message,
        .entry = &entry,
        .destination = destination,
        .is_only_notice = walk->for_notice,
    };
    record_outcome(relay, &request);
    return true;
}

/* How many; the others are left to their destinations. */
static size_t settle(struct walk *walk)
{
    struct arena *arena = arena_new(8u << 20);
    size_t settled = 0;
    for (size_t i = 0; arena != NULL && i < walk->count; i++) {
        arena_reset(arena);
        settled += settle_one(walk, i, arena);
    }
    arena_free(&arena);
    return settled;
}
