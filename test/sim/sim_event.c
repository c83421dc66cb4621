#include "test/sim/sim_event.h"

#include "base/clock.h"
#include "test/sim/sim_memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Neither clock starts at 0: who takes one for the other, or 0 for "never", shall be found out. */
#define MONOTONIC_START_MS INT64_C(5000000)
#define WALL_START_MS INT64_C(1772323200000)
#define STEPS_MAX 64

struct step {
    int64_t at_ms, offset_ms; /* from then on */
};
static struct {
    struct heap heap;
    int64_t now_ms;
    struct step steps[STEPS_MAX];
    size_t step_count;
} events;

void sim_event_start(void)
{
    events.now_ms = 0;
    events.steps[0] = (struct step){.offset_ms = WALL_START_MS};
    events.step_count = 1;
    heap_init(&events.heap);
}

void sim_event_end(void)
{
    assert(heap_first(&events.heap) == NULL);
    heap_free(&events.heap);
}

void sim_event_plan(struct sim_event *event, int64_t delay_ms, void (*run)(struct sim_event *event))
{
    enum sim_party before = sim_party_enter(SIM_WORLD);
    heap_remove(&events.heap, &event->node);
    event->run = run;
    if (heap_add(&events.heap, &event->node, events.now_ms + (delay_ms > 0 ? delay_ms : 0)) != ERR_NONE)
        abort();
    sim_party_leave(before);
}

void sim_event_cancel(struct sim_event *event)
{
    heap_remove(&events.heap, &event->node);
}

bool sim_event_is_planned(const struct sim_event *event)
{
    return event->node.index != 0;
}

bool sim_event_next(int64_t until_ms)
{
    struct heap_node *first = heap_first(&events.heap);
    if (first == NULL || first->key > until_ms) {
        events.now_ms = until_ms;
        return false;
    }
    struct sim_event *event = (struct sim_event *)(void *)((char *)first - offsetof(struct sim_event, node));
    assert(first->key >= events.now_ms);
    events.now_ms = first->key;
    heap_remove(&events.heap, first);
    event->run(event);
    return true;
}

/* ---- the clocks ---- */

int64_t sim_now_ms(void)
{
    return events.now_ms;
}

int64_t clock_monotonic_ms(void)
{
    return MONOTONIC_START_MS + events.now_ms;
}

int64_t clock_monotonic_us(void)
{
    return clock_monotonic_ms() * 1000;
}

int64_t clock_wall_ms(void)
{
    return events.now_ms + events.steps[events.step_count - 1].offset_ms;
}

int64_t clock_boot_ms(void)
{
    return clock_monotonic_ms();
}

void clock_boot_id(char id[CLOCK_BOOT_ID_SIZE])
{
    memcpy(id, "the only one", sizeof "the only one");
}

void sim_clock_step(int64_t step_ms)
{
    assert(events.step_count < STEPS_MAX);
    int64_t offset_ms = events.steps[events.step_count - 1].offset_ms + step_ms;
    events.steps[events.step_count++] = (struct step){.at_ms = events.now_ms, .offset_ms = offset_ms};
}

int64_t sim_clock_account_ms(int64_t at_ms)
{
    return at_ms + events.steps[0].offset_ms;
}
