#include "test/sim/sim_oracle.h"

#include "base/clock.h"
#include "base/text.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"

#include <string.h>

#define WINDOW_MS 600000

static struct {
    struct queue *queue;
    int64_t stepped_back_ms; /* when the clock last did; -1: never */
    bool was_reloaded;
    size_t early_count; /* attempts that were not held against the wait of their destination */
    /* In the present window of ten minutes. */
    int64_t window;
    size_t query_count, connection_count;
} oracle;

static void count(size_t *counter, const char *what);

void sim_oracle_start(void)
{
    memset(&oracle, 0, sizeof oracle);
    oracle.stepped_back_ms = -1;
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

void sim_oracle_clock_stepped(int64_t step_ms)
{
    if (step_ms < 0)
        oracle.stepped_back_ms = sim_now_ms();
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
        search->is_over = search->is_over || sim_clock_account_ms(sim_now_ms()) - message->arrival_ms >= world.expire_ms;
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
