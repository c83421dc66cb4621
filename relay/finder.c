#include "relay/finder.h"

#include "base/map.h"
#include "base/text.h"
#include "relay/config.h"
#include "relay/fetch.h"
#include "relay/finder_internal.h"
#include "relay/journal.h"
#include "relay/policy_waits.h"
#include "relay/relay.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_MAX (4u << 20)
#define LABEL "_mta-sts."
#define POLICY_HOST "mta-sts."
#define NAME_MAX_LENGTH 253

/* The lookup for one domain; all that ask meanwhile share it. */
struct flight {
    struct finder *finder;
    struct map_node node;
    struct fetch_turn turn;
    struct slice domain;
    enum sts_lookup_purpose purpose;
    struct list requests;            /* answered when this lookup ends */
    struct list later;               /* want another purpose: a lookup of their own, after this one */
    enum sts_lookup_purpose later_purpose;
    struct arena *arena;
    struct sts_entry cached;
    bool has_cached, is_damaged;
    struct sts_lookup lookup;
    struct resolve txt;
    struct fetch fetch;
    bool is_fetching, is_storing;
    struct timer timer;              /* gives way to others */
    char name[NAME_MAX_LENGTH + 1];  /* of the TXT record or the policy host */
    struct buffer stored;            /* the entry on its way to the disk */
    struct queue_change change;
    struct journal_write write;
};

static struct flight *flight_new(struct finder *finder, struct slice domain, enum sts_lookup_purpose purpose);
static bool load_cached(struct flight *flight);
static void step(struct flight *flight);
static void on_txt(struct resolve *resolve, const struct resolve_answer *answer);
static void begin_fetch(struct flight *flight);
static void on_wants(struct fetch *fetch, const struct ip *address, bool is_dead);
static void give_turns(struct timer *timer);
static bool enter(struct flight *flight);
static void on_fetched(struct fetch *fetch, struct slice body, struct slice failure);
static void conclude(struct flight *flight);
static void store(struct flight *flight);
static void on_stored(struct journal_write *write, enum err err);
static void answer(struct flight *flight);
static void end_flight(struct flight *flight, const struct finding *finding);

struct finder *finder_new(struct relay *relay)
{
    struct finder *finder = calloc(1, sizeof *finder);
    if (finder == NULL)
        return NULL;
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&finder->flights, seed);
    fetch_turns_init(&finder->turns, seed);
    list_init(&finder->starved);
    buffer_init(&finder->walked, 4096);
    finder->relay = relay;
    refresh_turns_init(&finder->refreshes);
    finder_plan(finder);
    return finder;
}

void finder_free(struct finder **finder)
{
    if (*finder == NULL)
        return;
    timer_cancel(&(*finder)->timer);
    timer_cancel(&(*finder)->starved_timer);
    timer_cancel(&(*finder)->turn_timer);
    assert((*finder)->flights.count == 0);
    finder_end_refreshes(*finder);
    map_free(&(*finder)->flights);
    fetch_turns_free(&(*finder)->turns);
    buffer_free(&(*finder)->walked);
    free(*finder);
    *finder = NULL;
}

/* ---- asking ---- */

void finder_start(struct finder *finder, struct finder_request *request, struct slice domain, enum sts_lookup_purpose purpose)
{
    struct map_node *node = map_get(&finder->flights, domain);
    bool nameless = domain.length + sizeof LABEL - 1 > NAME_MAX_LENGTH; /* no record can be there */
    struct flight *flight = nameless               ? NULL
                            : node != NULL           ? LIST_OF(node, struct flight, node)
                            : finder->is_stopping ? NULL
                                                  : flight_new(finder, domain, purpose);
    request->host = nameless ? (void *)finder : flight;
    if (flight == NULL) {
        /* Answered in the loop's next turn: as none where there can be none, as unreadable without memory or at the end. */
        list_add_last(&finder->starved, &request->node);
        timer_start(&finder->starved_timer, 0, finder_answer_starved);
    } else if (purpose == flight->purpose || purpose == STS_LOOKUP_DELIVERY) {
        list_add_last(&flight->requests, &request->node);
    } else {
        list_add_last(&flight->later, &request->node);
        flight->later_purpose = purpose;
    }
}

static bool remove_from(struct list *list, struct list_node *wanted)
{
    for (struct list_node *node = list_first(list); node != NULL; node = list_next(list, node)) {
        if (node != wanted)
            continue;
        list_remove(list, node);
        return true;
    }
    return false;
}

void finder_cancel(struct finder *finder, struct finder_request *request)
{
    struct flight *flight = request->host;
    if (!list_has(&request->node))
        return;
    if (flight == NULL || request->host == finder)
        list_remove(&finder->starved, &request->node);
    else if (!remove_from(&flight->requests, &request->node))
        list_remove(&flight->later, &request->node);
}

bool finder_is_busy(const struct finder *finder, struct slice domain)
{
    return map_get(&finder->flights, domain) != NULL;
}

/* Nobody waits for a policy any more: lookups end where they are, except those that are being stored. */
void finder_stop(struct finder *finder)
{
    finder->is_stopping = true;
    timer_cancel(&finder->timer);
    struct map_node *node = map_first(&finder->flights);
    while (node != NULL) {
        struct flight *flight = LIST_OF(node, struct flight, node);
        node = map_after(&finder->flights, node);
        if (flight->is_storing)
            continue;
        resolve_cancel(&flight->txt);
        if (flight->is_fetching)
            fetch_cancel(&flight->fetch);
        struct finding finding = {.result = {.source = STS_SOURCE_UNREADABLE, .why = SLICE("the relay is stopping")}};
        end_flight(flight, &finding);
    }
}

bool finder_is_idle(const struct finder *finder)
{
    return finder->flights.count == 0 && list_is_empty(&finder->starved);
}

void finder_answer_starved(struct timer *timer)
{
    struct finder *finder = LIST_OF(timer, struct finder, starved_timer);
    struct finding unreadable = {
        .result = {.source = STS_SOURCE_UNREADABLE, .why = SLICE("the cache could not be read, or memory ran out")}};
    struct finding none = {.result = {.source = STS_SOURCE_NONE, .why = SLICE("the name is too long for a policy")}};
    struct list_node *node;
    while ((node = list_take_first(&finder->starved)) != NULL) {
        struct finder_request *request = LIST_OF(node, struct finder_request, node);
        request->done(request, request->host == finder ? &none : &unreadable);
    }
    if (finder->is_stopping)
        relay_part_ended(finder->relay);
}

/* ---- one lookup ---- */

static bool enter(struct flight *flight)
{
    struct finder *finder = flight->finder;
    if (fetch_turns_join(&finder->turns, &flight->turn, flight->domain, clock_monotonic_ms()) != ERR_NONE)
        return false;
    if (map_add(&finder->flights, &flight->node, flight->domain) == ERR_NONE)
        return true;
    fetch_turns_leave(&finder->turns, &flight->turn);
    return false;
}

static struct flight *flight_new(struct finder *finder, struct slice domain, enum sts_lookup_purpose purpose)
{
    struct flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return NULL;
    flight->finder = finder;
    flight->purpose = purpose;
    flight->arena = arena_new(ARENA_MAX);
    list_init(&flight->requests);
    list_init(&flight->later);
    buffer_init(&flight->stored, ARENA_MAX);
    if (flight->arena == NULL || !arena_slice(flight->arena, domain, &flight->domain) ||
        !load_cached(flight) || !enter(flight)) {
        arena_free(&flight->arena);
        free(flight);
        return NULL;
    }
    struct sts_lookup_request request = {
        .domain = flight->domain,
        .purpose = purpose,
        .cached = flight->has_cached ? &flight->cached : NULL,
        .is_damaged = flight->is_damaged,
        .now_ms = steady_now_ms(&finder->relay->steady),
        .arena = flight->arena,
    };
    sts_lookup_start(&flight->lookup, &request);
    step(flight);
    return flight;
}

/* A damaged entry is told; it may have been a policy in force, so that without one that was just fetched mail waits. Anything else
 * that keeps us from reading (memory, the disk) is no reason to believe that no policy is known: false. */
static bool load_cached(struct flight *flight)
{
    struct relay *relay = flight->finder->relay;
    struct slice bytes;
    enum err err = queue_policy_get(relay->queue, flight->domain, flight->arena, &bytes);
    if (err == ERR_NOT_FOUND)
        return true;
    if (err == ERR_NONE)
        err = sts_entry_decode(bytes, flight->arena, &flight->cached);
    flight->has_cached = err == ERR_NONE;
    flight->is_damaged = err == ERR_CORRUPT;
    if (err != ERR_CORRUPT)
        return err == ERR_NONE;
    struct log_line line;
    relay->metrics.policy_corrupt++;
    if (log_open(&line, relay->log, LOG_ERROR, "policy_unreadable")) {
        log_text(&line, "domain", flight->domain);
        log_string(&line, "error", err_text(err));
        log_string(&line, "advice",
                   "the policy is fetched again, and mail waits until that works; sternpost policy forget DOMAIN gives up what "
                   "was known");
        log_close(&line);
    }
    return true;
}

static struct slice make_name(struct flight *flight, const char *prefix)
{
    if (strlen(prefix) + flight->domain.length > NAME_MAX_LENGTH)
        return SLICE_EMPTY;
    return text_print(flight->name, sizeof flight->name, "%s%.*s", prefix, SLICE_ARGS(flight->domain));
}

static void step(struct flight *flight)
{
    switch (sts_lookup_next(&flight->lookup)) {
    case STS_LOOKUP_TXT:
        resolve_start(&flight->txt, RECORD_TXT, make_name(flight, LABEL), on_txt);
        break;
    case STS_LOOKUP_HTTPS:
        begin_fetch(flight);
        break;
    case STS_LOOKUP_DONE:
        conclude(flight);
        break;
    }
}

static enum sts_txt_status txt_status(enum resolve_status status)
{
    if (status == RESOLVE_FOUND)
        return STS_TXT_FOUND;
    return resolve_is_temporary(status) ? STS_TXT_FAILED : STS_TXT_NONE;
}

static void on_txt(struct resolve *resolve, const struct resolve_answer *answer)
{
    struct flight *flight = LIST_OF(resolve, struct flight, txt);
    enum sts_txt_status status = txt_status(answer->status);
    struct slice *texts = arena_array(flight->arena, answer->count + 1, sizeof *texts);
    for (size_t i = 0; texts != NULL && i < answer->count; i++)
        texts[i] = answer->records[i].text;
    if (texts == NULL) {
        sts_lookup_give_up(&flight->lookup, SLICE("memory ran out when its record came"));
        step(flight);
        return;
    }
    struct slice detail = answer->detail.length > 0 ? answer->detail : slice_of(resolve_status_text(answer->status));
    sts_lookup_txt(&flight->lookup, status, texts, answer->count, detail);
    step(flight);
}

/* ---- fetching, each in its turn ---- */

static void begin_fetch(struct flight *flight)
{
    struct finder *finder = flight->finder;
    struct slice host = make_name(flight, POLICY_HOST);
    if (host.length == 0) {
        sts_lookup_fetch_failed(&flight->lookup, SLICE("the policy host's name would be too long"));
        conclude(flight);
    } else {
        flight->is_fetching = true;
        fetch_start(&flight->fetch, finder->relay, host, on_fetched);
        flight->fetch.wants = on_wants;
        flight->fetch.passes_dead = flight->purpose == STS_LOOKUP_DELIVERY && flight->has_cached &&
                                    sts_entry_is_live(&flight->cached, steady_now_ms(&finder->relay->steady));
    }
}

static void on_wants(struct fetch *fetch, const struct ip *address, bool is_dead)
{
    struct flight *flight = LIST_OF(fetch, struct flight, fetch);
    fetch_turns_wait(&flight->finder->turns, &flight->turn, address, is_dead);
    timer_start(&flight->finder->turn_timer, 0, give_turns);
}

static void give_turns(struct timer *timer)
{
    struct finder *finder = LIST_OF(timer, struct finder, turn_timer);
    struct fetch_turn *turn;
    while ((turn = fetch_turns_next(&finder->turns)) != NULL)
        fetch_connect(&LIST_OF(turn, struct flight, turn)->fetch);
}

static void end_turn(struct flight *flight)
{
    fetch_turns_over(&flight->finder->turns, &flight->turn);
    timer_start(&flight->finder->turn_timer, 0, give_turns);
}

static void on_fetched(struct fetch *fetch, struct slice body, struct slice failure)
{
    struct flight *flight = LIST_OF(fetch, struct flight, fetch);
    struct finder *finder = flight->finder;
    flight->is_fetching = false;
    end_turn(flight);
    if (failure.length == 0)
        sts_lookup_body(&flight->lookup, body);
    else if (fetch->is_starved)
        sts_lookup_give_up(&flight->lookup, SLICE("memory or descriptors ran out while its policy was fetched"));
    else
        sts_lookup_fetch_failed(&flight->lookup, failure);
    struct metrics *metrics = &finder->relay->metrics;
    *(failure.length > 0                                         ? &metrics->policy_failed
      : sts_lookup_result(&flight->lookup)->fetch_failed ? &metrics->policy_invalid
                                                                 : &metrics->policy_fetched) += 1;
    conclude(flight);
}

/* ---- giving way ---- */

/* Nothing was learned, and nothing is held against the domain: a policy in force is applied, and otherwise its mail waits. */
static void on_gives_way(struct timer *timer)
{
    struct flight *flight = LIST_OF(timer, struct flight, timer);
    resolve_cancel(&flight->txt);
    if (flight->is_fetching)
        fetch_cancel(&flight->fetch);
    flight->is_fetching = false;
    end_turn(flight);
    sts_lookup_give_up(&flight->lookup, SLICE("too many policies are being looked up at once: its turn has not come"));
    conclude(flight);
}

void finder_make_way(struct finder *finder)
{
    struct fetch_turn *turn = fetch_turns_crowding(&finder->turns, clock_monotonic_ms());
    struct flight *flight = turn == NULL ? NULL : LIST_OF(turn, struct flight, turn);
    if (flight == NULL || flight->is_storing || finder->is_stopping)
        return;
    finder->relay->metrics.policy_crowded++;
    timer_start(&flight->timer, 0, on_gives_way);
}

/* ---- the result ---- */

static void conclude(struct flight *flight)
{
    timer_cancel(&flight->timer);
    struct finder_event event = {
        .domain = flight->domain,
        .purpose = flight->purpose,
        .before = flight->has_cached ? &flight->cached : NULL,
        .result = &flight->lookup.result,
    };
    finder_log_result(flight->finder, &event);
    if (sts_lookup_result(&flight->lookup)->store)
        store(flight);
    else
        answer(flight);
}

/* Known means stored: mail goes out under a policy only after it would be found again after a crash. */
static void store(struct flight *flight)
{
    struct sts_entry *entry = &flight->lookup.result.entry;
    int64_t now_ms = steady_now_ms(&flight->finder->relay->steady);
    if (entry->refresh_ms == 0 && sts_entry_is_live(entry, now_ms))
        entry->refresh_ms = sts_entry_next_refresh_ms(entry, now_ms, (uint32_t)dice_below((uint64_t)UINT32_MAX + 1));
    sts_entry_encode(entry, &flight->stored);
    if (buffer_failed(&flight->stored)) {
        answer(flight);
        return;
    }
    flight->change = (struct queue_change){
        .kind = QUEUE_CHANGE_POLICY, .key = flight->domain, .bytes = buffer_slice(&flight->stored), .now_ms = now_ms};
    flight->write = (struct journal_write){.changes = &flight->change, .change_count = 1, .done = on_stored};
    flight->is_storing = true;
    journal_submit(flight->finder->relay->journal, &flight->write);
}

static void on_stored(struct journal_write *write, enum err err)
{
    struct flight *flight = LIST_OF(write, struct flight, write);
    const struct sts_entry *before = flight->has_cached ? &flight->cached : NULL;
    if (err == ERR_NONE) {
        finder_count(flight->finder, before, &flight->lookup.result.entry);
        policy_waits_learned(flight->finder->relay, flight->domain, before, &flight->lookup.result);
    }
    answer(flight);
}

static void answer(struct flight *flight)
{
    struct finding finding = {.result = *sts_lookup_result(&flight->lookup)};
    finding.exempt = sts_entry_is_exempt(&finding.result.entry, steady_latest_ms(&flight->finder->relay->steady));
    finding.exempt_reason = finding.exempt ? finding.result.entry.exempt_reason : SLICE_EMPTY;
    finding.exempt_level = finding.result.entry.exempt_level;
    end_flight(flight, &finding);
}

static void end_flight(struct flight *flight, const struct finding *finding)
{
    struct finder *finder = flight->finder;
    struct list_node *node;
    /* The flight leaves the table first, so that a request made by an answer starts a new one; until its own are answered they may
     * still be cancelled. */
    map_remove(&finder->flights, &flight->node);
    fetch_turns_leave(&finder->turns, &flight->turn);
    timer_cancel(&flight->timer);
    while ((node = list_take_first(&flight->requests)) != NULL) {
        struct finder_request *request = LIST_OF(node, struct finder_request, node);
        request->done(request, finding);
    }
    while ((node = list_take_first(&flight->later)) != NULL) {
        struct finder_request *request = LIST_OF(node, struct finder_request, node);
        finder_start(finder, request, flight->domain, flight->later_purpose);
    }
    buffer_free(&flight->stored);
    arena_free(&flight->arena);
    free(flight);
    if (finder_is_idle(finder))
        relay_part_ended(finder->relay);
}
