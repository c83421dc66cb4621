#include "test/unit/turn.h"

#include "base/list.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLS_MAX 1000000

struct waiting_timer {
    struct list_node node;
    struct timer *timer;
    int64_t due_ms;
};
struct waiting_job {
    struct list_node node;
    struct job *job;
    bool is_lane;
};

static struct {
    int64_t monotonic_ms, wall_ms;
    struct list timers; /* in the order of their start */
    struct list jobs;
    size_t lanes;
    bool holds_lanes;
    uint64_t rolls, loaded;
} turn;

static void drop_all(struct list *list);

void turn_start(void)
{
    if (turn.monotonic_ms != 0) {
        drop_all(&turn.timers);
        drop_all(&turn.jobs);
    }
    memset(&turn, 0, sizeof turn);
    list_init(&turn.timers);
    list_init(&turn.jobs);
    turn.monotonic_ms = 1000;
    turn.wall_ms = TURN_START_MS;
}

/* Both structs begin with their node. */
static void drop_all(struct list *list)
{
    struct list_node *node;
    while ((node = list_take_first(list)) != NULL)
        free(node);
}

/* ---- clocks and dice ---- */

int64_t clock_wall_ms(void)
{
    return turn.wall_ms;
}

int64_t clock_monotonic_ms(void)
{
    return turn.monotonic_ms;
}

int64_t clock_monotonic_us(void)
{
    return turn.monotonic_ms * 1000;
}

int64_t clock_boot_ms(void)
{
    return turn.monotonic_ms;
}

void clock_boot_id(char id[CLOCK_BOOT_ID_SIZE])
{
    memcpy(id, "turn", sizeof "turn");
}

void turn_step_wall(int64_t step_ms)
{
    turn.wall_ms += step_ms;
}

void turn_load_dice(uint64_t number)
{
    turn.loaded = number;
}

uint64_t dice_u64(void)
{
    if (turn.loaded != 0)
        return turn.loaded;
    turn.rolls = turn.rolls * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return turn.rolls ^ turn.rolls >> 33;
}

uint64_t dice_below(uint64_t bound)
{
    return dice_u64() % bound;
}

void dice_fill(void *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        ((uint8_t *)bytes)[i] = (uint8_t)dice_u64();
}

/* ---- timers ---- */

void timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer))
{
    assert(delay_ms >= 0);
    timer_cancel(timer);
    struct waiting_timer *fresh = calloc(1, sizeof *fresh);
    assert(fresh != NULL);
    *fresh = (struct waiting_timer){.timer = timer, .due_ms = turn.monotonic_ms + delay_ms};
    timer->done = done;
    timer->host = fresh;
    list_add_last(&turn.timers, &fresh->node);
}

void timer_cancel(struct timer *timer)
{
    struct waiting_timer *waiting = timer->host;
    if (waiting == NULL)
        return;
    timer->host = NULL;
    list_remove(&turn.timers, &waiting->node);
    free(waiting);
}

bool timer_is_running(const struct timer *timer)
{
    return timer->host != NULL;
}

/* ---- jobs and lanes ---- */

static void add_job(struct job *job, bool is_lane)
{
    struct waiting_job *waiting = calloc(1, sizeof *waiting);
    assert(waiting != NULL && job->host == NULL);
    *waiting = (struct waiting_job){.job = job, .is_lane = is_lane};
    job->host = waiting;
    list_add_last(&turn.jobs, &waiting->node);
}

void job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    job->work = work;
    job->done = done;
    add_job(job, false);
}

bool job_is_running(const struct job *job)
{
    return job->host != NULL;
}

enum err lane_open(struct lane *lane, const char *name)
{
    (void)name;
    lane->host = lane;
    turn.lanes++;
    return ERR_NONE;
}

void lane_start(struct lane *lane, struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    assert(lane->host == lane);
    job->work = work;
    job->done = done;
    add_job(job, true);
}

void lane_close(struct lane *lane)
{
    assert(lane->host == lane);
    lane->host = NULL;
    turn.lanes--;
}

void turn_hold_lanes(bool holds)
{
    turn.holds_lanes = holds;
}

size_t turn_running(void)
{
    return turn.timers.count + turn.jobs.count + turn.lanes;
}

/* ---- turns ---- */

static bool run_job(void)
{
    struct list_node *node = list_first(&turn.jobs);
    while (node != NULL && turn.holds_lanes && LIST_OF(node, struct waiting_job, node)->is_lane)
        node = list_next(&turn.jobs, node);
    if (node == NULL)
        return false;
    struct job *job = LIST_OF(node, struct waiting_job, node)->job;
    list_remove(&turn.jobs, node);
    free(LIST_OF(node, struct waiting_job, node));
    job->work(job);
    job->host = NULL;
    job->done(job);
    return true;
}

/* Of those of the same time the one that was started first. NULL: none. */
static struct waiting_timer *earliest_timer(void)
{
    struct waiting_timer *earliest = NULL;
    for (struct list_node *node = list_first(&turn.timers); node != NULL; node = list_next(&turn.timers, node)) {
        struct waiting_timer *waiting = LIST_OF(node, struct waiting_timer, node);
        if (earliest == NULL || waiting->due_ms < earliest->due_ms)
            earliest = waiting;
    }
    return earliest;
}

static bool run_timer(void)
{
    struct waiting_timer *waiting = earliest_timer();
    if (waiting == NULL || waiting->due_ms > turn.monotonic_ms)
        return false;
    struct timer *timer = waiting->timer;
    timer_cancel(timer);
    timer->done(timer);
    return true;
}

void turn_settle(void)
{
    for (size_t calls = 0; run_job() || run_timer(); calls++) {
        if (calls > CALLS_MAX) {
            fputs("something starts itself again for ever\n", stderr);
            abort();
        }
    }
}

void turn_for(int64_t duration_ms)
{
    int64_t end_ms = turn.monotonic_ms + duration_ms;
    turn_settle();
    while (turn.monotonic_ms < end_ms) {
        const struct waiting_timer *earliest = earliest_timer();
        int64_t next_ms = earliest == NULL ? end_ms : earliest->due_ms;
        int64_t step_ms = (next_ms < end_ms ? next_ms : end_ms) - turn.monotonic_ms;
        turn.monotonic_ms += step_ms;
        turn.wall_ms += step_ms;
        turn_settle();
    }
}
