#include "test/sim/sim_oracle.h"

#include "base/clock.h"
#include "base/text.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"

#include <string.h>

#define SERVINGS_MAX 256
/* From the start of a lookup, whose time counts as the time of the fetch, to the end of the response. */
#define LOOKUP_MAX_MS 180000
#define NOTHING (-1)
#define WINDOW_MS 600000
/* Where the stored form of a cache entry has the time of its fetch (sts/cache.c): eight bytes, the highest first. */
#define FETCHED_OFFSET 2

struct known {
    int publication;    /* index; NOTHING: none, or none that was published */
    int64_t stored_ms;  /* when it was fetched by the relay's word, wall clock */
    int64_t fetched_ms; /* the same as it may be counted, at the least, after steps of the clock */
};
struct serving {
    size_t domain;
    int publication;
    int64_t from_ms, to_ms;
};
static struct {
    struct queue *queue;
    struct known known[WORLD_DOMAINS_MAX];
    struct serving servings[SERVINGS_MAX];
    size_t serving_count;
    int64_t stepped_back_ms; /* when the clock last did; -1: never */
    bool was_reloaded;
    size_t early_count; /* attempts that were not held against the wait of their destination */
    /* In the present window of ten minutes. */
    int64_t window;
    size_t query_count, connection_count;
} oracle;

static int find_publication(const struct world_domain *domain, struct slice bytes);
static void judge_change(const struct world_domain *domain, const struct known *before, const struct known *after);
static void count(size_t *counter, const char *what);

void sim_oracle_start(void)
{
    memset(&oracle, 0, sizeof oracle);
    oracle.stepped_back_ms = -1;
    for (size_t i = 0; i < WORLD_DOMAINS_MAX; i++)
        oracle.known[i].publication = NOTHING;
}

void sim_oracle_watch(struct queue *queue)
{
    oracle.queue = queue;
    oracle.was_reloaded = false;
}

void sim_oracle_reloaded(void)
{
    oracle.was_reloaded = true;
}

/* ---- what the relay knows ---- */

static bool is_live(const struct world_domain *domain, const struct known *known)
{
    if (known->publication == NOTHING)
        return false;
    const struct world_publication *publication = &domain->publications[known->publication];
    return clock_wall_ms() < known->fetched_ms + publication->max_age_s * 1000;
}

const struct world_publication *sim_oracle_known(const struct world_domain *domain)
{
    const struct known *known = &oracle.known[domain->index];
    if (!is_live(domain, known) || domain->publications[known->publication].mode != WORLD_ENFORCE)
        return NULL;
    return &domain->publications[known->publication];
}

static struct known read_known(const struct world_domain *domain)
{
    struct known known = {.publication = NOTHING};
    struct slice bytes;
    struct arena *arena = arena_new(1u << 20);
    if (queue_policy_get(oracle.queue, slice_of(domain->name), arena, &bytes) == ERR_NONE) {
        struct reader reader = reader_of(slice_from(bytes, FETCHED_OFFSET));
        known.stored_ms = known.fetched_ms = (int64_t)reader_u64(&reader);
        known.publication = find_publication(domain, bytes);
    }
    arena_free(&arena);
    return known;
}

/* By the line with which every body names itself. */
static int find_publication(const struct world_domain *domain, struct slice bytes)
{
    char line[64];
    for (size_t i = 0; i < domain->publication_count; i++) {
        struct slice text = text_print(line, sizeof line, "publication: %s.", domain->publications[i].id);
        if (slice_find_slice(bytes, text) < bytes.length)
            return (int)i;
    }
    if (slice_find_slice(bytes, SLICE("publication: ")) < bytes.length)
        sim_fail("the relay took over a policy for %s that was never published", domain->name);
    return NOTHING;
}

void sim_oracle_committed(void)
{
    for (size_t i = 0; oracle.queue != NULL && i < world.domain_count; i++) {
        const struct world_domain *domain = &world.domains[i];
        struct known after = read_known(domain);
        struct known before = oracle.known[i];
        if (after.publication == before.publication && after.stored_ms == before.stored_ms)
            continue;
        judge_change(domain, &before, &after);
        if (after.fetched_ms > clock_wall_ms())
            after.fetched_ms = clock_wall_ms();
        oracle.known[i] = after;
    }
}

static bool was_served(const struct world_domain *domain, const struct known *known)
{
    for (size_t i = 0; i < oracle.serving_count && i < SERVINGS_MAX; i++) {
        const struct serving *serving = &oracle.servings[i];
        if (serving->domain == domain->index && serving->publication == known->publication &&
            sim_clock_showed(known->stored_ms, serving->from_ms - LOOKUP_MAX_MS, serving->to_ms))
            return true;
    }
    return false;
}

/* A policy in force gives way to one that was validly fetched, to nothing else; and only a fetch makes it younger. */
static void judge_change(const struct world_domain *domain, const struct known *before, const struct known *after)
{
    const char *id = after->publication == NOTHING ? "nothing" : domain->publications[after->publication].id;
    sim_log("the relay knows %s of %s now, fetched at %lld", id, domain->name, (long long)after->stored_ms);
    if (after->publication == NOTHING) {
        if (is_live(domain, before))
            sim_fail("the relay forgot the policy %s, which is in force", domain->publications[before->publication].id);
        return;
    }
    bool is_older = after->publication == before->publication && after->stored_ms < before->stored_ms;
    if (is_older && oracle.stepped_back_ms >= 0)
        return; /* what was fetched in the future counts as fetched now */
    if (!was_served(domain, after))
        sim_fail("the relay counts the policy %s as fetched at %lld, when nobody served it", id, (long long)after->stored_ms);
}

void sim_oracle_served(const struct world_domain *domain, const struct world_publication *publication, int64_t from_ms)
{
    struct serving *serving = &oracle.servings[oracle.serving_count++ % SERVINGS_MAX]; /* the last ones count */
    *serving = (struct serving){
        .domain = domain->index,
        .publication = (int)(publication - domain->publications),
        .from_ms = from_ms,
        .to_ms = sim_now_ms(),
    };
}

/* After a step back what was fetched in the future counts as fetched at that moment, at the earliest. */
void sim_oracle_clock_stepped(int64_t step_ms)
{
    if (step_ms < 0)
        oracle.stepped_back_ms = sim_now_ms();
    for (size_t i = 0; i < world.domain_count; i++) {
        if (oracle.known[i].fetched_ms > clock_wall_ms())
            oracle.known[i].fetched_ms = clock_wall_ms();
    }
}

/* ---- no haste ---- */

/* Far above what the schedules allow, far below what a loop without a wait makes. */
static void count(size_t *counter, const char *what)
{
    if (oracle.window != sim_now_ms() / WINDOW_MS) {
        oracle.window = sim_now_ms() / WINDOW_MS;
        oracle.query_count = oracle.connection_count = 0;
    }
    size_t limit = 300 + 60 * sim_ledger_count();
    if (++*counter == limit)
        sim_fail("%zu %s in ten minutes", limit, what);
}

void sim_oracle_asked(struct slice name)
{
    (void)name;
    count(&oracle.query_count, "DNS queries");
}

void sim_oracle_connecting(const struct world_host *host)
{
    (void)host;
    count(&oracle.connection_count, "connections to mail hosts");
}

struct search {
    struct slice address;
    bool is_found;
    bool is_over; /* its time is: it gets a last attempt, whenever the next one was due */
    int64_t due_ms;
};

static bool visit(void *owner, const struct queue_message *message, const struct queue_entry *entry)
{
    struct search *search = owner;
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (!slice_equal(entry->recipients[i].address, search->address) || entry->recipients[i].status != QUEUE_PENDING)
            continue;
        /* Several reports may be on their way to one sender. */
        if (!search->is_found || entry->due_ms < search->due_ms)
            search->due_ms = entry->due_ms;
        search->is_found = true;
        search->is_over = search->is_over || clock_wall_ms() - message->arrival_ms >= world.expire_ms;
    }
    return true;
}

static void judge_time(const struct world_domain *domain, struct slice address, int64_t due_ms, const char *what)
{
    bool has_excuse = oracle.stepped_back_ms >= 0 && sim_now_ms() - oracle.stepped_back_ms < 24 * 3600000ll;
    if (due_ms > clock_wall_ms() && !has_excuse)
        sim_fail("<%.*s> is tried at %s %lld ms before %s is due", SLICE_ARGS(address), domain->name,
                 (long long)(due_ms - clock_wall_ms()), what);
}

/* Before mail of an enforced policy bounces by its age, its destination gets an attempt ahead of time, which others join. */
static bool may_be_early(const struct world_domain *domain)
{
    return domain->publication_count > 0 && oracle.early_count++ < 2 * sim_ledger_count();
}

void sim_oracle_attempted(const struct world_domain *domain, struct slice address)
{
    struct arena *arena = arena_new(4u << 20);
    struct search search = {.address = address};
    struct queue_listing listing = {
        .destination = slice_of(domain->name), .limit = SIZE_MAX, .arena = arena, .visit = visit, .owner = &search};
    struct queue_destination state;
    if (oracle.queue == NULL || queue_list(oracle.queue, &listing) == ERR_IO || !search.is_found)
        sim_fail("<%.*s> is tried but does not wait in the queue", SLICE_ARGS(address));
    else if (!search.is_over)
        judge_time(domain, address, search.due_ms, "it");
    arena_reset(arena);
    if (!oracle.was_reloaded && !search.is_over && oracle.queue != NULL &&
        queue_destination_get(oracle.queue, slice_of(domain->name), arena, &state) == ERR_NONE &&
        (state.not_before_ms <= clock_wall_ms() || !may_be_early(domain)))
        judge_time(domain, address, state.not_before_ms, "the destination");
    arena_free(&arena);
}

/* ---- the promise ---- */

void sim_oracle_answered(struct slice reply)
{
    struct slice marker = SLICE("queued as ");
    struct slice rest = slice_from(reply, slice_find_slice(reply, marker));
    uint64_t id;
    if (rest.length == 0 || oracle.queue == NULL)
        return;
    rest = slice_from(rest, marker.length);
    struct slice text = slice_to(rest, 16);
    struct arena *arena = arena_new(1u << 20);
    struct queue_message message;
    if (!queue_id_parse(text, &id) || queue_message_get(oracle.queue, id, arena, &message) != ERR_NONE)
        sim_fail("250 was answered for %.*s, which is not on the disk", SLICE_ARGS(text));
    arena_free(&arena);
}

bool sim_oracle_queue_is_empty(void)
{
    struct queue_totals totals;
    return oracle.queue != NULL && queue_totals(oracle.queue, &totals) == ERR_NONE && totals.messages == 0 &&
           totals.entries == 0;
}
