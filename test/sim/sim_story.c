#include "test/sim/sim_story.h"

#include "base/list.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_host.h"
#include "test/sim/sim_known.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_oracle.h"
#include "test/sim/sim_relay.h"
#include "test/sim/sim_seen.h"
#include "test/sim/sim_waits.h"
#include "test/sim/world.h"

#include <stdlib.h>

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define SCENES_MAX 24
#define POLL_MS 500

struct scene {
    struct sim_event event;
    enum scene_kind kind;
    int64_t step_ms;
};

static struct {
    struct scene scenes[SCENES_MAX];
    size_t count;
    struct sim_event back; /* the clock comes back from a leap */
    int64_t leap_ms;
    struct sim_event poll; /* the disk and the memory follow their faults */
    struct sim_event correction; /* of a policy that lists the wrong host */
    struct world_domain *wrong;
    int right; /* publication that is to come */
    struct sim_event record[WORLD_DOMAINS_MAX]; /* the TXT record follows the policy */
} story;

static void on_scene(struct sim_event *event);
static void on_poll(struct sim_event *event);
static void on_record(struct sim_event *event);
static void on_correction(struct sim_event *event);
static void on_back(struct sim_event *event);

static const struct {
    unsigned weight, weight_in_siege;
} rows[] = {
#define X(name, weight, weight_in_siege) {weight, weight_in_siege},
    SIM_SCENE_LIST(X)
#undef X
};

bool sim_story_makes(enum scene_kind kind)
{
    return (world.is_attacked ? rows[kind].weight_in_siege : rows[kind].weight) > 0;
}

static enum scene_kind choose_scene(void)
{
    unsigned weights[SIM_SCENE_KINDS], sum = 0, kind = 0;
    for (size_t i = 0; i < SIM_SCENE_KINDS; i++)
        sum += weights[i] = world.is_attacked ? rows[i].weight_in_siege : rows[i].weight;
    for (uint64_t left = sim_dice_below(sum); left >= weights[kind]; kind++)
        left -= weights[kind];
    return (enum scene_kind)kind;
}

static int64_t random_step(enum scene_kind kind)
{
    int64_t step_ms = sim_dice_percent(40)   ? sim_dice_between(1000, 10 * MINUTE_MS)
                      : sim_dice_percent(50) ? sim_dice_between(MINUTE_MS, 5 * HOUR_MS)
                                             : sim_dice_between(24 * HOUR_MS, 24 * HOUR_MS * 400);
    return kind == SCENE_CLOCK_FORWARD ? step_ms : -step_ms;
}

void sim_story_start(void)
{
    story.count = world.is_attacked       ? (size_t)sim_dice_between(4, SCENES_MAX)
                  : world.crowd != WORLD_CROWD_NONE || sim_dice_percent(10) ? 0
                                         : (size_t)sim_dice_between(1, 10);
    for (size_t i = 0; i < story.count; i++) {
        struct scene *scene = &story.scenes[i];
        scene->kind = choose_scene();
        if (scene->kind == SCENE_CLOCK_FORWARD || scene->kind == SCENE_CLOCK_BACK)
            scene->step_ms = random_step(scene->kind);
        sim_event_plan(&scene->event, sim_dice_between(0, world.storm_ms), on_scene);
    }
    sim_event_plan(&story.poll, 0, on_poll);
}

void sim_story_end(void)
{
    for (size_t i = 0; i < story.count; i++)
        sim_event_cancel(&story.scenes[i].event);
    for (size_t i = 0; i < WORLD_DOMAINS_MAX; i++)
        sim_event_cancel(&story.record[i]);
    sim_event_cancel(&story.poll);
    sim_event_cancel(&story.correction);
    sim_event_cancel(&story.back);
}

/* ---- faults of the machine ---- */

/* Looks again when something changes; until then the fault is what it is. */
static int64_t next_change_ms(void)
{
    int64_t now_ms = sim_now_ms(), next_ms = INT64_MAX;
    for (size_t i = 0; i < world.fault_count; i++) {
        const struct world_fault *fault = &world.faults[i];
        if (world_fault_target(fault->kind) != WORLD_TARGET_NOTHING)
            continue;
        if (fault->from_ms > now_ms && fault->from_ms < next_ms)
            next_ms = fault->from_ms;
        if (fault->to_ms > now_ms && fault->to_ms < next_ms)
            next_ms = fault->to_ms;
    }
    return next_ms;
}

static void on_poll(struct sim_event *event)
{
    bool is_exhausted = world_has_fault(WORLD_FAULT_DISK_EXHAUSTED, 0);
    bool is_full = world_has_fault(WORLD_FAULT_DISK_FULL, 0);
    queue_memory_set_room(sim_relay_disk(), is_exhausted ? QUEUE_MEMORY_EXHAUSTED
                                             : is_full    ? QUEUE_MEMORY_FULL
                                                          : QUEUE_MEMORY_ROOMY);
    sim_host_set_lane_delay(world_has_fault(WORLD_FAULT_DISK_SLOW, 0) ? 1500 : 5);
    sim_memory_starve(world_has_fault(WORLD_FAULT_MEMORY_SHORT, 0) ? 10 + sim_dice_below(2000) : 0);
    int64_t next_ms = next_change_ms();
    if (next_ms != INT64_MAX)
        sim_event_plan(event, next_ms - sim_now_ms(), on_poll);
}

/* ---- scenes ---- */

static void step_clock(int64_t step_ms)
{
    sim_log("the clock steps by %lld s", (long long)step_ms / 1000);
    sim_clock_step(step_ms);
    sim_oracle_clock_stepped(step_ms);
}

/* By days or years, as of somebody who forges the time, and back after a while; one at a time. */
static void leap(void)
{
    if (sim_event_is_planned(&story.back))
        return;
    int64_t days = sim_dice_percent(50) ? sim_dice_between(1, 40) : sim_dice_between(300, 3000);
    story.leap_ms = (sim_dice_percent(70) ? days : -days) * 24 * HOUR_MS;
    step_clock(story.leap_ms);
    sim_event_plan(&story.back, sim_dice_between(1000, 30 * MINUTE_MS), on_back);
}

static void on_back(struct sim_event *event)
{
    (void)event;
    step_clock(-story.leap_ms);
}

/* The owner changes HTTPS first and the record a while after (RFC 8461 8.3 says how), or forgets the record. */
static void change_policy(void)
{
    static const unsigned weights[] = {15, 25, 60, 0};
    struct world_domain *domain = &world.domains[sim_dice_below(world.domain_count)];
    struct world_publication *publication = world_publish(domain, world.is_attacked ? WORLD_ENFORCE : (enum world_mode)sim_dice_choose(weights), 0);
    if (publication == NULL)
        return;
    domain->served = (int)(publication - domain->publications);
    sim_log("%s publishes policy %s: %s, max_age %lld", domain->name, publication->id, world_mode_name(publication->mode),
            (long long)publication->max_age_s);
    if (sim_dice_percent(90))
        sim_event_plan(&story.record[domain->index], sim_dice_percent(50) ? 0 : sim_dice_between(0, 30 * MINUTE_MS),
                       on_record);
}

static void on_record(struct sim_event *event)
{
    struct world_domain *domain = &world.domains[event - story.record];
    domain->announced = domain->served;
    sim_log("%s announces its policy", domain->name);
}

/* The owner's policy lists a host that there is not, and keeps all mail waiting until he corrects it; that is before the storm ends. */
static void publish_wrong_policy(void)
{
    struct world_domain *domain = &world.domains[sim_dice_below(world.domain_count)];
    int64_t left_ms = world.storm_ms - sim_now_ms();
    if (domain->publication_count + 2 > WORLD_PUBLICATIONS_MAX || domain->mx_count == 0 || domain->is_hopeless || domain->is_crowd ||
        left_ms < 2 * MINUTE_MS || sim_event_is_planned(&story.correction))
        return;
    domain->is_hopeless = true;
    struct world_publication *wrong = world_publish(domain, WORLD_ENFORCE, 604800);
    domain->is_hopeless = false;
    struct world_publication *right = world_publish(domain, WORLD_ENFORCE, 0);
    story.wrong = domain;
    story.right = (int)(right - domain->publications);
    domain->served = domain->announced = (int)(wrong - domain->publications);
    sim_log("%s publishes policy %s, which lists the wrong host", domain->name, wrong->id);
    sim_event_plan(&story.correction, sim_dice_between(MINUTE_MS, left_ms < 4 * HOUR_MS ? left_ms : 4 * HOUR_MS), on_correction);
}

static void on_correction(struct sim_event *event)
{
    (void)event;
    story.wrong->served = story.wrong->announced = story.right;
    sim_log("%s corrects its policy", story.wrong->name);
}

static void withdraw_policy(void)
{
    struct world_domain *domain = &world.domains[sim_dice_below(world.domain_count)];
    sim_log("%s withdraws its policy", domain->name);
    if (sim_dice_percent(70))
        domain->announced = -1;
    if (sim_dice_percent(70))
        domain->served = -1;
}

static void fail_commit(enum err err, bool is_stored)
{
    struct queue_memory_fault fault = {.nth = 1 + sim_dice_below(5), .err = err, .is_stored = is_stored};
    sim_log("commit %llu from now fails%s", (unsigned long long)fault.nth, is_stored ? ", but is stored" : "");
    queue_memory_fail_commit(sim_relay_disk(), fault);
    if (is_stored)
        sim_ledger_answers_may_lie();
}

static void on_scene(struct sim_event *event)
{
    struct scene *scene = LIST_OF(event, struct scene, event);
    sim_saw(SIM_SEEN_SCENES + scene->kind);
    sim_waits_scene(scene->kind);
    switch (scene->kind) {
    case SCENE_CRASH:
        if (sim_relay_is_up())
            sim_relay_crash();
        break;
    case SCENE_STOP:
        sim_relay_stop();
        break;
    case SCENE_RELOAD:
        sim_relay_reload();
        break;
    case SCENE_CLOCK_FORWARD:
    case SCENE_CLOCK_BACK:
        step_clock(scene->step_ms);
        break;
    case SCENE_CLOCK_LEAP:
        leap();
        break;
    case SCENE_POLICY:
        change_policy();
        break;
    case SCENE_POLICY_WRONG:
        publish_wrong_policy();
        break;
    case SCENE_POLICY_GONE:
        withdraw_policy();
        break;
    case SCENE_COMMIT_FULL:
        fail_commit(ERR_FULL, false);
        break;
    case SCENE_COMMIT_IO:
        fail_commit(ERR_IO, false);
        break;
    case SCENE_COMMIT_LOST:
        fail_commit(ERR_IO, true);
        break;
    case SIM_SCENE_KINDS:
        break;
    }
}
