#include "relay/aging.h"

#include "relay/config.h"
#include "relay/record.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "relay/verdict.h"

#include <string.h>

#define SLICE_MAX RECORD_ENTRIES_MAX
#define GROUP_BYTES_MAX (32u << 20)
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
    uint64_t postponed_id; /* the first message that could not be told of, since all of it is being delivered; 0: none */
};

/* Entries of one message, of which one report tells. */
struct group {
    struct queue_message message;
    struct queue_entry entries[SLICE_MAX];
    struct record_request requests[SLICE_MAX];
    size_t count, recipient_count;
    size_t settled; /* of the message, in groups before */
    bool is_in_flight; /* an entry of the message is being delivered */
    struct arena *arena;
};

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static bool walk_slice(struct walk *walk, struct aging_place *place);
static void settle(struct walk *walk);

/* Entries whose time is over although nobody tries them now: their destination as a whole waits. From the oldest again when the
 * walk has met the young ones, since those that had to stay may have changed. */
static bool age_out(struct schedule *schedule)
{
    struct walk walk = {.schedule = schedule, .now_ms = steady_now_ms(&schedule->relay->steady), .age_ms = schedule->relay->config->expire_ms};
    bool more = walk_slice(&walk, &schedule->expired);
    settle(&walk);
    if (!more)
        schedule->expired = (struct aging_place){0};
    return more;
}

/* From the first that was being delivered again when the walk has met the young ones: it may wait for hours for its turn at a next hop. */
static bool give_notice(struct schedule *schedule)
{
    int64_t warn_ms = schedule->relay->config->warn_ms;
    if (warn_ms <= 0)
        return false;
    struct walk walk = {.schedule = schedule, .now_ms = steady_now_ms(&schedule->relay->steady), .age_ms = warn_ms, .for_notice = true};
    bool more = walk_slice(&walk, &schedule->noticed);
    settle(&walk);
    if (schedule->postponed_id == 0)
        schedule->postponed_id = walk.postponed_id;
    if (more || schedule->postponed_id == 0)
        return more;
    schedule->noticed = (struct aging_place){.id = schedule->postponed_id - 1};
    schedule->postponed_id = 0;
    return false;
}

bool aging_run(struct schedule *schedule)
{
    if (schedule->is_stopping)
        return false;
    bool more_expired = age_out(schedule);
    bool more_noticed = give_notice(schedule);
    return more_expired || more_noticed;
}

static bool walk_slice(struct walk *walk, struct aging_place *place)
{
    struct arena *arena = arena_new(1u << 20);
    if (arena == NULL)
        return false;
    struct queue_listing listing = {
        .after_id = place->id,
        .after_number = place->number,
        .limit = SLICE_MAX,
        .arena = arena,
        .visit = visit,
        .owner = walk,
    };
    enum err err = queue_list(walk->schedule->relay->queue, &listing);
    if (!walk->is_past)
        *place = (struct aging_place){.id = listing.after_id, .number = listing.after_number};
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
    bool wanted = !entry->held && !(walk->for_notice && entry->warned);
    if (wanted && !queue_entry_is_finished(entry)) {
        walk->ids[walk->count] = entry->id;
        walk->numbers[walk->count++] = entry->number;
    }
    return true;
}

/* Whether the entry gets its own attempt soon anyway, which then decides. */
static bool is_left_to_delivery(const struct walk *walk, const struct destination *destination)
{
    return !walk->for_notice && destination->not_before_ms <= clock_wall_ms();
}

/* RFC 8461 5.1: nothing bounces for the sake of a policy before a newer one was looked for, which an attempt does. Which DNS
 * answers keep mail waiting may be the policy's doing too. */
static bool needs_attempt(const struct walk *walk, const struct destination *destination, const struct queue_destination *known)
{
    return !walk->for_notice && verdict_may_hide_policy(known->reason) &&
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

/* Whether it is to be settled now; otherwise it is left to its destination. */
static bool may_settle(struct walk *walk, struct queue_entry *entry, struct destination *destination, struct arena *arena)
{
    struct queue_destination state;
    if (destination == NULL || is_left_to_delivery(walk, destination))
        return false;
    if (queue_destination_get(walk->schedule->relay->queue, entry->destination, arena, &state) == ERR_NONE) {
        if (needs_attempt(walk, destination, &state)) {
            destination_try_now(destination);
            schedule_wake(walk->schedule, entry->destination);
            return false;
        }
        explain_waiting(entry, &state);
    }
    return true;
}

static void record_group(struct walk *walk, struct group *group)
{
    if (group->count > 0)
        record_outcomes(walk->schedule->relay, group->requests, group->count);
    group->settled += group->count;
    group->count = group->recipient_count = 0;
}

/* The last of a message's groups. */
static void end_message(struct walk *walk, struct group *group, uint64_t id)
{
    record_group(walk, group);
    if (group->settled == 0 && group->is_in_flight && walk->postponed_id == 0)
        walk->postponed_id = id;
    group->settled = 0;
    group->is_in_flight = false;
    arena_reset(group->arena);
}

/* The entry is in flight from here until its record is committed, so that no delivery takes it meanwhile. */
static void add_entry(struct walk *walk, size_t index, struct group *group)
{
    struct queue *queue = walk->schedule->relay->queue;
    struct queue_entry entry;
    if (queue_entry_get(queue, walk->ids[index], walk->numbers[index], group->arena, &entry) != ERR_NONE)
        return;
    struct destination *destination = schedule_destination(walk->schedule, entry.destination);
    if (!may_settle(walk, &entry, destination, group->arena))
        return;
    if (group->recipient_count + entry.recipient_count > QUEUE_RECIPIENTS_MAX)
        record_group(walk, group);
    if (group->count == 0 && queue_message_get(queue, entry.id, group->arena, &group->message) != ERR_NONE)
        return;
    if (!destination_fly(destination, entry.id, entry.number)) {
        group->is_in_flight = true;
        return;
    }
    group->entries[group->count] = entry;
    group->requests[group->count] = (struct record_request){
        .message = &group->message,
        .entry = &group->entries[group->count],
        .destination = destination,
        .is_only_notice = walk->for_notice,
    };
    group->count++;
    group->recipient_count += entry.recipient_count;
}

/* What may not be is left to its destination. */
static void settle(struct walk *walk)
{
    struct group group = {.arena = arena_new(GROUP_BYTES_MAX)};
    for (size_t i = 0; group.arena != NULL && i < walk->count; i++) {
        add_entry(walk, i, &group);
        if (i + 1 == walk->count || walk->ids[i + 1] != walk->ids[i])
            end_message(walk, &group, walk->ids[i]);
    }
    arena_free(&group.arena);
}
