#include "test/sim/sim_waits.h"

#include "base/clock.h"
#include "queue/queue.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_seen.h"

#include <stddef.h>

#define RELEASED_MS 15000
#define ARENA_MAX ((size_t)16 << 20)

struct watch {
    struct sim_event event;
    int64_t replaced_ms; /* wall clock */
    uint64_t disturbed, starved;
};
static struct {
    struct queue *queue;
    uint64_t disturbed;
    bool is_commit_to_fail; /* one of those to come, sooner or later */
    struct watch watches[WORLD_DOMAINS_MAX];
} waits;

struct search {
    int64_t since_ms, until_ms; /* put off before the one, to behind the other */
    bool is_found;
};

static void on_deadline(struct sim_event *event);

void sim_waits_start(void)
{
    waits.queue = NULL;
    waits.disturbed = 0;
    waits.is_commit_to_fail = false;
}

void sim_waits_end(void)
{
    for (size_t i = 0; i < WORLD_DOMAINS_MAX; i++)
        sim_event_cancel(&waits.watches[i].event);
}

void sim_waits_watch(struct queue *queue)
{
    waits.queue = queue;
    waits.disturbed++;
}

void sim_waits_scene(enum scene_kind kind)
{
    if (kind == SCENE_COMMIT_FULL || kind == SCENE_COMMIT_IO || kind == SCENE_COMMIT_LOST)
        waits.is_commit_to_fail = true;
    if (kind != SCENE_POLICY && kind != SCENE_POLICY_WRONG && kind != SCENE_POLICY_GONE)
        waits.disturbed++;
}

static bool is_caused(struct slice reason)
{
    return slice_equal(reason, SLICE("policy")) || slice_equal(reason, SLICE("tls"));
}

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct search *search = owner;
    (void)message;
    search->is_found = search->is_found || (is_caused(entry->reason) && entry->last_attempt_ms < search->since_ms &&
                                            entry->due_ms > search->until_ms);
    return true;
}

/* Does something wait for longer than until_ms that was put off before since_ms? */
static bool is_waiting(const struct world_domain *domain, int64_t since_ms, int64_t until_ms)
{
    struct arena *arena = arena_new(ARENA_MAX);
    struct search search = {.since_ms = since_ms, .until_ms = until_ms};
    struct queue_listing listing = {
        .destination = slice_of(domain->name), .limit = SIZE_MAX, .arena = arena, .visit = visit, .owner = &search};
    enum err err = queue_list(waits.queue, &listing);
    struct queue_destination state;
    arena_reset(arena);
    if (err != ERR_IO && queue_destination_get(waits.queue, slice_of(domain->name), arena, &state) == ERR_NONE)
        search.is_found = search.is_found || (is_caused(state.reason) && state.failing_since_ms < since_ms &&
                                              state.not_before_ms > until_ms);
    arena_free(&arena);
    return search.is_found;
}

static bool is_hindered(void)
{
    static const enum world_fault_kind kinds[] = {WORLD_FAULT_DISK_FULL, WORLD_FAULT_DISK_EXHAUSTED, WORLD_FAULT_DISK_SLOW,
                                                  WORLD_FAULT_MEMORY_SHORT};
    bool is_hindered = waits.queue == NULL || waits.is_commit_to_fail;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        is_hindered = is_hindered || world_has_fault(kinds[i], 0);
    return is_hindered;
}

void sim_waits_replaced(const struct world_domain *domain)
{
    struct watch *watch = &waits.watches[domain->index];
    int64_t now_ms = clock_wall_ms();
    if (is_hindered() || !is_waiting(domain, now_ms, now_ms + 2 * RELEASED_MS))
        return;
    watch->replaced_ms = now_ms;
    watch->disturbed = waits.disturbed;
    watch->starved = sim_memory_starved_count();
    sim_event_plan(&watch->event, RELEASED_MS, on_deadline);
}

static void on_deadline(struct sim_event *event)
{
    const struct watch *watch = (const struct watch *)(const void *)((const char *)event - offsetof(struct watch, event));
    const struct world_domain *domain = &world.domains[watch - waits.watches];
    if (is_hindered() || watch->disturbed != waits.disturbed || watch->starved != sim_memory_starved_count())
        return;
    sim_saw(SIM_SEEN_WAIT_ENDED);
    if (is_waiting(domain, watch->replaced_ms, clock_wall_ms()))
        sim_fail("mail for %s waits for the sake of a policy that another has replaced", domain->name);
}
