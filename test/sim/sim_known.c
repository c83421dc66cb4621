#include "test/sim/sim_known.h"

#include "base/clock.h"
#include "base/text.h"
#include "sts/cache.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_seen.h"
#include "test/sim/sim_waits.h"

#include <stdlib.h>
#include <string.h>

#define NOTHING SIZE_MAX
#define OFFERS_MAX 512
#define ARENA_MAX ((size_t)1 << 20)
#define ANOTHER_TRY_MS 6000 /* where a commit failed and the disk is slow */

/* A policy that the relay has got. */
struct learned {
    size_t publication;    /* index */
    int64_t asked_ms;      /* from then on max_age counts */
    int64_t got_ms;
};
struct knowledge {
    struct sim_event deadline; /* by then the next one is on the disk */
    struct learned now, next;
    bool is_excused;           /* the next one may never have been written: memory was short, or the relay died */
    uint64_t starved_count;    /* when the record was asked for */
    int64_t asked_ms;      /* when the record was asked for last */
    int64_t stored_ms;         /* the time of the fetch that is on the disk; 0: nothing is */
};
/* A whole policy on its way to the relay. */
struct offer {
    size_t domain;
    uint64_t link, end;
    struct learned policy;
};
static struct {
    struct queue *queue; /* NULL: the relay is down */
    uint64_t changes;    /* of its policies, when they were read last */
    struct knowledge *domains; /* as many as the world has */
    struct offer offers[OFFERS_MAX];
    size_t offer_count;
} known;

static void on_deadline(struct sim_event *event);
static void read_disk(const struct world_domain *domain, struct arena *arena);
static void read_crowd(const struct world_domain *domain, struct arena *arena);
static void promote(const struct world_domain *domain);
static bool is_live(const struct world_domain *domain, const struct learned *learned);
static bool may_be_unwritten(const struct knowledge *knowledge);

void sim_known_start(void)
{
    known.domains = calloc(world.domain_count, sizeof *known.domains);
    if (known.domains == NULL)
        abort();
    for (size_t i = 0; i < world.domain_count; i++)
        known.domains[i].now.publication = known.domains[i].next.publication = NOTHING;
    known.queue = NULL;
    known.offer_count = 0;
}

void sim_known_end(void)
{
    for (size_t i = 0; i < world.domain_count; i++)
        sim_event_cancel(&known.domains[i].deadline);
    free(known.domains);
    known.domains = NULL;
}

static struct knowledge *knowledge_of(const struct world_domain *domain)
{
    return &known.domains[domain->index];
}

/* ---- what it knows ---- */

static const struct world_publication *enforced(const struct world_domain *domain, const struct learned *learned)
{
    if (!is_live(domain, learned) || domain->publications[learned->publication].mode != WORLD_ENFORCE)
        return NULL;
    return &domain->publications[learned->publication];
}

struct sim_known sim_known_of(const struct world_domain *domain)
{
    const struct knowledge *knowledge = knowledge_of(domain);
    struct sim_known result = {.ways = {enforced(domain, &knowledge->now), NULL}};
    if (knowledge->now.publication != NOTHING && result.ways[0] == NULL && !is_live(domain, &knowledge->now))
        sim_saw(SIM_SEEN_POLICY_ENDED);
    result.is_free = result.ways[0] == NULL;
    if (knowledge->next.publication != NOTHING) {
        result.ways[1] = enforced(domain, &knowledge->next);
        result.is_free = result.is_free || result.ways[1] == NULL;
    }
    return result;
}

void sim_known_all(void)
{
    for (size_t i = 0; i < world.domain_count; i++) {
        const struct learned *now = &known.domains[i].now;
        if (now->publication != NOTHING && !is_live(&world.domains[i], now))
            sim_fail("the policy of %s has lapsed, although its policy host is well", world.domains[i].name);
    }
}

/* Only time that has really passed ends a policy, whatever the clock of the relay shows. */
static bool is_live(const struct world_domain *domain, const struct learned *learned)
{
    if (learned->publication == NOTHING)
        return false;
    int64_t max_age_ms = domain->publications[learned->publication].max_age_s * 1000;
    return sim_now_ms() < learned->asked_ms + max_age_ms;
}

/* ---- how it gets there ---- */

void sim_known_asked(const struct world_domain *domain)
{
    struct knowledge *knowledge = knowledge_of(domain);
    knowledge->asked_ms = sim_now_ms();
    knowledge->starved_count = sim_memory_starved_count();
}

void sim_known_offered(const struct world_domain *domain, const struct sim_link *link, uint64_t end)
{
    const struct knowledge *knowledge = knowledge_of(domain);
    struct offer *offer = &known.offers[known.offer_count++ % OFFERS_MAX]; /* the last ones count */
    *offer = (struct offer){
        .domain = domain->index,
        .link = link->number,
        .end = end,
        .policy = {.publication = (size_t)domain->served,
                   .asked_ms = knowledge->asked_ms},
    };
}

/* Before it is on the disk nobody need know it; when it is the relay says so by what it wrote. */
static void take(struct offer *offer)
{
    struct knowledge *knowledge = &known.domains[offer->domain];
    if (world.domains[offer->domain].is_crowd)
        return;
    knowledge->next = offer->policy;
    knowledge->next.got_ms = sim_now_ms();
    knowledge->is_excused = false;
    int64_t last_ms = world_written_by_ms(sim_now_ms()) + ANOTHER_TRY_MS;
    sim_event_plan(&knowledge->deadline, last_ms - sim_now_ms(), on_deadline);
    sim_log("the relay has got policy %s",
            world.domains[offer->domain].publications[knowledge->next.publication].id);
    offer->link = 0;
}

void sim_known_given(const struct sim_link *link)
{
    for (size_t i = 0; i < known.offer_count && i < OFFERS_MAX; i++) {
        if (known.offers[i].link == link->number && link->given >= known.offers[i].end)
            take(&known.offers[i]);
    }
}

static void on_deadline(struct sim_event *event)
{
    struct knowledge *knowledge = (struct knowledge *)(void *)((char *)event - offsetof(struct knowledge, deadline));
    const struct world_domain *domain = &world.domains[knowledge - known.domains];
    if (knowledge->next.publication == NOTHING)
        return;
    knowledge->is_excused = knowledge->is_excused || may_be_unwritten(knowledge);
    if (!knowledge->is_excused)
        sim_fail("the relay got policy %s whole %lld ms ago and has not written it down",
                 domain->publications[knowledge->next.publication].id, (long long)(sim_now_ms() - knowledge->next.got_ms));
}

static bool may_be_unwritten(const struct knowledge *knowledge)
{
    return known.queue == NULL || queue_memory_is_broken(known.queue) ||
           sim_memory_starved_count() != knowledge->starved_count;
}

void sim_known_lost_memory(void)
{
    for (size_t i = 0; i < world.domain_count; i++) {
        known.domains[i].is_excused = true;
        sim_event_cancel(&known.domains[i].deadline);
    }
}

/* ---- what it wrote ---- */

void sim_known_watch(struct queue *queue)
{
    known.queue = queue;
    known.changes = UINT64_MAX;
    if (queue == NULL)
        return;
    sim_known_committed();
    /* What the relay had got and not written before it died is as never got. */
    for (size_t i = 0; i < world.domain_count; i++) {
        if (known.domains[i].next.publication != NOTHING)
            sim_saw(SIM_SEEN_POLICY_UNWRITTEN);
        known.domains[i].next.publication = NOTHING;
    }
}

void sim_known_committed(void)
{
    if (known.queue == NULL || known.changes == queue_memory_policy_changes(known.queue))
        return;
    known.changes = queue_memory_policy_changes(known.queue);
    struct arena *arena = arena_new(ARENA_MAX);
    for (size_t i = 0; i < world.domain_count; i++) {
        if (world.domains[i].is_crowd)
            read_crowd(&world.domains[i], arena);
        else
            read_disk(&world.domains[i], arena);
        arena_reset(arena);
    }
    arena_free(&arena);
}

static size_t find_publication(const struct world_domain *domain, const struct sts_policy *policy)
{
    for (size_t i = 0; i < domain->publication_count; i++) {
        if (domain->publications[i].max_age_s == (int64_t)policy->max_age_s)
            return i;
    }
    sim_fail("the relay took over a policy for %s that was never published", domain->name);
    return NOTHING;
}

static void judge_disk(const struct world_domain *domain, size_t publication, int64_t fetched_ms)
{
    struct knowledge *knowledge = knowledge_of(domain);
    bool is_news = fetched_ms != knowledge->stored_ms;
    knowledge->stored_ms = fetched_ms;
    if (publication != NOTHING && publication == knowledge->next.publication &&
        (publication != knowledge->now.publication || is_news))
        promote(domain);
    if (publication == knowledge->now.publication)
        return;
    if (publication != NOTHING)
        sim_fail("the relay counts policy %s as known, which is not the one that it got last",
                 domain->publications[publication].id);
    else if (is_live(domain, &knowledge->now))
        sim_fail("the relay forgot policy %s, which is in force", domain->publications[knowledge->now.publication].id);
    else
        knowledge->now.publication = NOTHING;
}

static void read_disk(const struct world_domain *domain, struct arena *arena)
{
    struct slice bytes;
    struct sts_entry entry = {.has_policy = false};
    enum err err = queue_policy_get(known.queue, slice_of(domain->name), arena, &bytes);
    if (err == ERR_NONE)
        err = sts_entry_decode(bytes, arena, &entry);
    if (err != ERR_NONE && err != ERR_NOT_FOUND)
        sim_fail("what the relay wrote down about %s cannot be read", domain->name);
    judge_disk(domain, entry.has_policy ? find_publication(domain, &entry.policy) : NOTHING,
               entry.has_policy ? entry.fetched_ms : 0);
}

/* Whether it is there: knowledge->stored_ms says so for these. */
static void read_crowd(const struct world_domain *domain, struct arena *arena)
{
    struct slice bytes;
    struct knowledge *knowledge = knowledge_of(domain);
    bool is_stored = queue_policy_get(known.queue, slice_of(domain->name), arena, &bytes) == ERR_NONE;
    if (!is_stored && knowledge->stored_ms != 0)
        sim_saw(SIM_SEEN_CROWD_GONE);
    knowledge->stored_ms = is_stored;
}

static void note_promotion(const struct world_domain *domain, const struct knowledge *knowledge)
{
    const struct world_publication *publications = domain->publications;
    const struct learned *now = &knowledge->now, *next = &knowledge->next;
    if (!is_live(domain, now))
        sim_saw(SIM_SEEN_POLICY_LEARNED);
    else if (now->publication == next->publication)
        sim_saw(SIM_SEEN_POLICY_AGAIN);
    else
        sim_saw(SIM_SEEN_POLICY_REPLACED);
    if (is_live(domain, now) && publications[now->publication].mode == WORLD_ENFORCE &&
        publications[next->publication].mode != WORLD_ENFORCE)
        sim_saw(SIM_SEEN_POLICY_WEAKENED);
}

static void promote(const struct world_domain *domain)
{
    struct knowledge *knowledge = knowledge_of(domain);
    const char *id = domain->publications[knowledge->next.publication].id;
    bool is_true = knowledge->stored_ms >= sim_clock_account_ms(knowledge->next.asked_ms) &&
                   knowledge->stored_ms <= sim_clock_account_ms(sim_now_ms());
    if (!is_true)
        sim_fail("the relay counts policy %s as fetched at %lld, when nobody served it", id, (long long)knowledge->stored_ms);
    sim_log("the relay knows policy %s", id);
    note_promotion(domain, knowledge);
    bool is_another = knowledge->now.publication != knowledge->next.publication;
    if (is_another && enforced(domain, &knowledge->now) != NULL)
        sim_waits_replaced(domain);
    knowledge->now = knowledge->next;
    knowledge->next.publication = NOTHING;
    knowledge->is_excused = false;
    sim_event_cancel(&knowledge->deadline);
}
