/* The simulated time, and what is planned in it: events leave in the order of their times, those of one millisecond in the
 * order in which they were planned. The wall clock is the monotonic one plus an offset that the story may change. */
#ifndef TEST_SIM_SIM_EVENT_H
#define TEST_SIM_SIM_EVENT_H

#include "base/heap.h"

#include <stdbool.h>

struct sim_event {
    struct heap_node node;
    void (*run)(struct sim_event *event);
};

void sim_event_start(void); /* a new run: the time is 0 */
void sim_event_end(void);   /* nothing is planned any more */
/* Plans or moves it. */
void sim_event_plan(struct sim_event *event, int64_t delay_ms, void (*run)(struct sim_event *event));
void sim_event_cancel(struct sim_event *event);
bool sim_event_is_planned(const struct sim_event *event);
/* Runs the next event that is due by then; false: there is none, and that time has come. */
bool sim_event_next(int64_t until_ms);

int64_t sim_now_ms(void); /* since the start of the run: what clock_monotonic_ms() says but for a constant */
void sim_clock_step(int64_t step_ms);
/* What a wall clock would show at that time which nobody has ever set. */
int64_t sim_clock_account_ms(int64_t at_ms);

#endif
