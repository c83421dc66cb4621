#include "relay/rewind.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#include <stdlib.h>

#define DESTINATIONS_MAX 64 /* in one go; and of each */
#define ENTRIES_MAX 500
#define ARENA_MAX (16u << 20)

/* One destination's records on their way to the disk. */
struct rewind {
    struct relay *relay;
    struct destination *destination;
    struct arena *arena, *scratch;
    int64_t latest_ms;
    char reason[32]; /* only entries with this one, and the destination's wait is somebody else's matter; empty: all */
    struct queue_listing listing; /* how far it has come */
    bool is_over;                 /* it has met all entries */
    size_t total;                 /* entries changed */
    bool has_changed;             /* anything */
    uint64_t ids[ENTRIES_MAX];
    uint16_t numbers[ENTRIES_MAX];
    size_t found;
    struct queue_entry entries[ENTRIES_MAX];
    size_t count;
    struct queue_destination state;
    bool has_state;
    struct queue_change changes[ENTRIES_MAX + 1];
    struct journal_write write;
};

static void rewind_destination(struct schedule *schedule, struct slice name, int64_t latest_ms, struct slice reason);
static bool take_state(struct rewind *rewind);
static bool gather(struct rewind *rewind);
static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry);
static void take_entries(struct rewind *rewind);
static void submit(struct rewind *rewind);
static void written(struct journal_write *write, enum err err);
static void end(struct rewind *rewind);
static void release(struct rewind *rewind);
static void log_rewind(const struct rewind *rewind);

void rewind_waits(struct schedule *schedule)
{
    const struct queue_schedule *waits = &schedule->relay->config->retry;
    struct queue_ready page[DESTINATIONS_MAX];
    size_t count;
    struct queue_ready latest = {.time_ms = queue_backoff_clamp_ms(waits, INT64_MAX, clock_wall_ms()), .name = SLICE_EMPTY};
    struct arena *arena = arena_new(DESTINATIONS_MAX * 512);
    struct queue_ready_request request = {
        .now_ms = INT64_MAX, .after = &latest, .limit = DESTINATIONS_MAX, .arena = arena};
    if (arena != NULL && queue_ready(schedule->relay->queue, &request, page, &count) == ERR_NONE) {
        for (size_t i = 0; i < count; i++)
            rewind_destination(schedule, page[i].name, latest.time_ms, SLICE_EMPTY);
    }
    arena_free(&arena);
}

void rewind_release(struct schedule *schedule, struct slice name, struct slice reason)
{
    if (reason.length > 0)
        rewind_destination(schedule, name, clock_wall_ms(), reason);
}

/* Without memory nothing is done; the next minute brings the next try. */
static void rewind_destination(struct schedule *schedule, struct slice name, int64_t latest_ms, struct slice reason)
{
    struct rewind *rewind = calloc(1, sizeof *rewind);
    if (rewind == NULL)
        return;
    rewind->relay = schedule->relay;
    rewind->latest_ms = latest_ms;
    text_print(rewind->reason, sizeof rewind->reason, "%.*s", SLICE_ARGS(reason));
    rewind->destination = schedule_destination(schedule, name);
    rewind->arena = arena_new(ARENA_MAX);
    rewind->scratch = arena_new(ARENA_MAX);
    if (rewind->destination == NULL || rewind->arena == NULL || rewind->scratch == NULL) {
        release(rewind);
        return;
    }
    rewind->listing = (struct queue_listing){.destination = rewind->destination->name,
                                             .limit = ENTRIES_MAX,
                                             .arena = rewind->scratch,
                                             .visit = visit,
                                             .owner = rewind};
    rewind->destination->stores_pending++;
    if (take_state(rewind) && gather(rewind))
        submit(rewind);
    else
        end(rewind);
}

/* False: it cannot be read now. */
static bool take_state(struct rewind *rewind)
{
    struct queue *queue = rewind->relay->queue;
    enum err err = queue_destination_get(queue, rewind->destination->name, rewind->arena, &rewind->state);
    if (err != ERR_NONE && err != ERR_NOT_FOUND)
        return false;
    rewind->has_state = err == ERR_NONE && rewind->reason[0] == '\0' && rewind->state.not_before_ms > rewind->latest_ms;
    if (!rewind->has_state)
        return true;
    rewind->state.not_before_ms = rewind->latest_ms;
    if (rewind->destination->not_before_ms > rewind->latest_ms)
        rewind->destination->not_before_ms = rewind->latest_ms;
    return true;
}

/* A page of the destination's entries. False: nothing is left, or it cannot be read now. */
static bool gather(struct rewind *rewind)
{
    rewind->found = rewind->count = 0;
    arena_reset(rewind->scratch);
    enum err err = rewind->is_over ? ERR_END : queue_list(rewind->relay->queue, &rewind->listing);
    if (err != ERR_NONE && err != ERR_END)
        return false;
    rewind->is_over = err == ERR_END;
    take_entries(rewind);
    return !rewind->is_over || rewind->has_state || rewind->count > 0;
}

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct rewind *rewind = owner;
    (void)message;
    bool is_meant = rewind->reason[0] == '\0' || slice_equal(entry->reason, slice_of(rewind->reason));
    if (is_meant && entry->due_ms > rewind->latest_ms && !entry->held) {
        rewind->ids[rewind->found] = entry->id;
        rewind->numbers[rewind->found++] = entry->number;
    }
    return rewind->found < ENTRIES_MAX;
}

/* In flight from here until the change is on the disk, so that no delivery's outcome is overwritten. */
static void take_entries(struct rewind *rewind)
{
    for (size_t i = 0; i < rewind->found; i++) {
        struct queue_entry *entry = &rewind->entries[rewind->count];
        if (queue_entry_get(rewind->relay->queue, rewind->ids[i], rewind->numbers[i], rewind->arena, entry) != ERR_NONE ||
            !destination_fly(rewind->destination, entry->id, entry->number))
            continue;
        entry->due_ms = clock_wall_ms();
        rewind->count++;
    }
    rewind->total += rewind->count;
}

static void submit(struct rewind *rewind)
{
    size_t count = 0;
    for (size_t i = 0; i < rewind->count; i++)
        rewind->changes[count++] = (struct queue_change){
            .kind = QUEUE_CHANGE_UPDATE,
            .id = rewind->entries[i].id,
            .number = rewind->entries[i].number,
            .entries = &rewind->entries[i],
            .entry_count = 1,
            .now_ms = clock_wall_ms(),
        };
    if (rewind->has_state)
        rewind->changes[count++] = (struct queue_change){.kind = QUEUE_CHANGE_DESTINATION, .destination = &rewind->state};
    rewind->has_changed = rewind->has_changed || count > 0; /* without any the next page comes when the loop is back */
    rewind->write = (struct journal_write){.changes = rewind->changes, .change_count = count, .done = written};
    journal_submit(rewind->relay->journal, &rewind->write);
}

static void written(struct journal_write *write, enum err err)
{
    struct rewind *rewind = LIST_OF(write, struct rewind, write);
    struct destination *destination = rewind->destination;
    for (size_t i = 0; i < rewind->count; i++)
        destination_release(destination, rewind->entries[i].id, rewind->entries[i].number);
    rewind->has_state = false;
    arena_reset(rewind->arena);
    /* What could not be stored waits until its time, or is found again in a minute; the journal has said what failed. */
    if (err == ERR_NONE && !destination->schedule->is_stopping && gather(rewind))
        submit(rewind);
    else
        end(rewind);
}

static void end(struct rewind *rewind)
{
    struct destination *destination = rewind->destination;
    destination->stores_pending--;
    if (destination->has_arrived)
        destination_arrived(destination);
    if (rewind->has_changed)
        log_rewind(rewind);
    schedule_wake(destination->schedule, destination->name);
    release(rewind);
}

static void release(struct rewind *rewind)
{
    arena_free(&rewind->arena);
    arena_free(&rewind->scratch);
    free(rewind);
}

static void log_rewind(const struct rewind *rewind)
{
    struct log_line line;
    bool is_clock = rewind->reason[0] == '\0';
    if (!log_open(&line, rewind->relay->log, is_clock ? LOG_WARNING : LOG_INFO, is_clock ? "waits_shortened" : "waits_ended"))
        return;
    log_text(&line, "domain", rewind->destination->name);
    log_number(&line, "entries", (int64_t)rewind->total);
    if (is_clock) {
        log_string(&line, "problem", "the next attempt was further ahead than any wait is long: the clock was set back");
        log_string(&line, "advice", "see that the time of this machine is synchronised");
    } else {
        log_string(&line, "reason", rewind->reason);
    }
    log_close(&line);
}
