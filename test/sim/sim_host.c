#include "test/sim/sim_host.h"

#include "base/list.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_memory.h"

#include <assert.h>
#include <stdlib.h>

#define JOB_DELAY_MAX_MS 8

struct sim_timer {
    struct sim_event event;
    struct list_node node;
    struct timer *owner;
    enum sim_party party;
};
struct sim_lane {
    struct list_node node;
    struct list waiting; /* struct sim_job; the first one is at work */
    enum sim_party party;
};
struct sim_job {
    struct sim_event event;
    struct list_node node;    /* of all jobs */
    struct list_node waiting; /* of its lane */
    struct job *owner;
    struct sim_lane *lane; /* NULL: on the pool */
    enum sim_party party;
};

static struct {
    struct list timers, jobs, lanes;
    void (*lane_worked)(void);
    int64_t lane_delay_max_ms;
} host;

static void *allocate(size_t size);
static void on_timer(struct sim_event *event);
static void on_work(struct sim_event *event);
static void on_done(struct sim_event *event);
static void lane_begin(struct sim_lane *lane);
static void drop_timer(struct sim_timer *timer);
static void drop_job(struct sim_job *job);
static void drop_all(bool only_relay);

void sim_host_start(void)
{
    list_init(&host.timers);
    list_init(&host.jobs);
    list_init(&host.lanes);
    host.lane_worked = NULL;
    host.lane_delay_max_ms = 5;
}

void sim_host_end(void)
{
    drop_all(false);
}

void sim_host_crash(void)
{
    drop_all(true);
}

void sim_host_watch_lanes(void (*worked)(void))
{
    host.lane_worked = worked;
}

void sim_host_set_lane_delay(int64_t delay_max_ms)
{
    host.lane_delay_max_ms = delay_max_ms;
}

size_t sim_host_count(void)
{
    size_t count = 0;
    for (struct list_node *node = list_first(&host.timers); node != NULL; node = list_next(&host.timers, node))
        count += LIST_OF(node, struct sim_timer, node)->party == SIM_RELAY;
    for (struct list_node *node = list_first(&host.jobs); node != NULL; node = list_next(&host.jobs, node))
        count += LIST_OF(node, struct sim_job, node)->party == SIM_RELAY;
    for (struct list_node *node = list_first(&host.lanes); node != NULL; node = list_next(&host.lanes, node))
        count += LIST_OF(node, struct sim_lane, node)->party == SIM_RELAY;
    return count;
}

static void *allocate(size_t size)
{
    enum sim_party before = sim_party_enter(SIM_WORLD);
    void *memory = calloc(1, size);
    sim_party_leave(before);
    if (memory == NULL)
        abort();
    return memory;
}

/* The caller's party, without changing it. */
static enum sim_party party_now(void)
{
    enum sim_party party = sim_party_enter(SIM_WORLD);
    sim_party_leave(party);
    return party;
}

/* ---- timers ---- */

void timer_start(struct timer *timer, int64_t delay_ms, void (*done)(struct timer *timer))
{
    struct sim_timer *running = timer->host;
    if (running == NULL) {
        running = allocate(sizeof *running);
        running->owner = timer;
        list_add_last(&host.timers, &running->node);
        timer->host = running;
    }
    running->party = party_now();
    timer->done = done;
    sim_event_plan(&running->event, delay_ms, on_timer);
}

void timer_cancel(struct timer *timer)
{
    if (timer->host == NULL)
        return;
    drop_timer(timer->host);
    timer->host = NULL;
}

bool timer_is_running(const struct timer *timer)
{
    return timer->host != NULL;
}

static void on_timer(struct sim_event *event)
{
    struct sim_timer *running = LIST_OF(event, struct sim_timer, event);
    struct timer *timer = running->owner;
    enum sim_party before = sim_party_enter(running->party);
    drop_timer(running);
    timer->host = NULL;
    timer->done(timer);
    sim_party_leave(before);
}

static void drop_timer(struct sim_timer *timer)
{
    sim_event_cancel(&timer->event);
    list_remove(&host.timers, &timer->node);
    free(timer);
}

/* ---- jobs and lanes ---- */

static struct sim_job *begin(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    assert(job->host == NULL);
    struct sim_job *running = allocate(sizeof *running);
    running->owner = job;
    running->party = party_now();
    list_add_last(&host.jobs, &running->node);
    job->work = work;
    job->done = done;
    job->host = running;
    return running;
}

void job_start(struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    struct sim_job *running = begin(job, work, done);
    sim_event_plan(&running->event, sim_dice_between(0, JOB_DELAY_MAX_MS), on_work);
}

bool job_is_running(const struct job *job)
{
    return job->host != NULL;
}

enum err lane_open(struct lane *lane, const char *name)
{
    (void)name;
    assert(lane->host == NULL);
    struct sim_lane *opened = allocate(sizeof *opened);
    list_init(&opened->waiting);
    opened->party = party_now();
    list_add_last(&host.lanes, &opened->node);
    lane->host = opened;
    return ERR_NONE;
}

void lane_start(struct lane *lane, struct job *job, void (*work)(struct job *job), void (*done)(struct job *job))
{
    struct sim_lane *opened = lane->host;
    assert(opened != NULL);
    struct sim_job *running = begin(job, work, done);
    running->lane = opened;
    list_add_last(&opened->waiting, &running->waiting);
    if (opened->waiting.count == 1)
        lane_begin(opened);
}

void lane_close(struct lane *lane)
{
    struct sim_lane *opened = lane->host;
    if (opened == NULL)
        return;
    assert(list_is_empty(&opened->waiting));
    list_remove(&host.lanes, &opened->node);
    free(opened);
    lane->host = NULL;
}

static void lane_begin(struct sim_lane *lane)
{
    struct list_node *first = list_first(&lane->waiting);
    if (first == NULL)
        return;
    struct sim_job *job = LIST_OF(first, struct sim_job, waiting);
    sim_event_plan(&job->event, sim_dice_between(0, host.lane_delay_max_ms), on_work);
}

/* What a lane makes is on the disk: not the relay's memory. */
static void on_work(struct sim_event *event)
{
    struct sim_job *job = LIST_OF(event, struct sim_job, event);
    enum sim_party before = sim_party_enter(job->lane != NULL ? SIM_WORLD : job->party);
    job->owner->work(job->owner);
    if (job->lane != NULL && host.lane_worked != NULL)
        host.lane_worked();
    sim_party_leave(before);
    sim_event_plan(&job->event, sim_dice_between(0, 2), on_done);
}

static void on_done(struct sim_event *event)
{
    struct sim_job *running = LIST_OF(event, struct sim_job, event);
    struct job *job = running->owner;
    struct sim_lane *lane = running->lane;
    enum sim_party party = running->party;
    drop_job(running);
    if (lane != NULL)
        lane_begin(lane);
    job->host = NULL;
    enum sim_party before = sim_party_enter(party);
    job->done(job);
    sim_party_leave(before);
}

static void drop_job(struct sim_job *job)
{
    sim_event_cancel(&job->event);
    if (job->lane != NULL)
        list_remove(&job->lane->waiting, &job->waiting);
    list_remove(&host.jobs, &job->node);
    free(job);
}

static void drop_all(bool only_relay)
{
    struct list_node *node, *next;
    for (node = list_first(&host.timers); node != NULL; node = next) {
        struct sim_timer *timer = LIST_OF(node, struct sim_timer, node);
        next = list_next(&host.timers, node);
        if (!only_relay || timer->party == SIM_RELAY)
            drop_timer(timer);
    }
    for (node = list_first(&host.jobs); node != NULL; node = next) {
        struct sim_job *job = LIST_OF(node, struct sim_job, node);
        next = list_next(&host.jobs, node);
        if (!only_relay || job->party == SIM_RELAY)
            drop_job(job);
    }
    for (node = list_first(&host.lanes); node != NULL; node = next) {
        struct sim_lane *lane = LIST_OF(node, struct sim_lane, node);
        next = list_next(&host.lanes, node);
        if (only_relay && lane->party != SIM_RELAY)
            continue;
        list_remove(&host.lanes, &lane->node);
        free(lane);
    }
}
