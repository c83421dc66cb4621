/* A world for tests of the finder: a cache in memory, one TXT record and one policy for all domains, and time that the
 * test moves (turn.h). Nothing here waits for a disk or a network; an answer comes in the next turn, a fetch takes as
 * long as the test says. */
#ifndef TEST_UNIT_FINDING_H
#define TEST_UNIT_FINDING_H

#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/fetch.h"
#include "relay/finder.h"
#include "relay/journal.h"
#include "relay/policy_waits.h"
#include "relay/relay.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define RECORDS_MAX 4096
#define FETCHES_NOTED_MAX 65536

#define POLICY(mode, max_age) "version: STSv1\nmode: " mode "\nmx: mx.a.example\nmax_age: " max_age "\n"
#define WEEK_ENFORCED POLICY("enforce", "604800")

struct stored {
    char domain[64];
    char *bytes;
    size_t length;
};
static struct finding_world {
    struct relay relay;
    struct config config;
    struct log log;
    struct buffer said;                 /* all log lines */
    struct stored records[RECORDS_MAX]; /* by domain */
    size_t count;
    const char *mail_for; /* mail waits for domains that begin so; NULL: for none */
    /* What is published. */
    enum resolve_status txt;
    const char *id;
    const char *body; /* NULL: the fetch fails */
    int64_t fetch_ms; /* how long it takes */
    int64_t mute_ms;  /* ... where nobody answers */
    size_t learned, learned_of_before; /* told to what waits */
    size_t fetches, fetching, fetching_most;
    int64_t fetched_ms[FETCHES_NOTED_MAX]; /* wall clock, of each */
} finding_world;

/* ---- the cache ---- */

static inline size_t stored_at(struct slice domain, bool *found)
{
    size_t low = 0, high = finding_world.count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slice_compare(slice_of(finding_world.records[middle].domain), domain) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *found = low < finding_world.count && slice_equal(slice_of(finding_world.records[low].domain), domain);
    return low;
}

static inline void stored_put(struct slice domain, struct slice bytes)
{
    bool found;
    size_t at = stored_at(domain, &found);
    struct stored *stored = &finding_world.records[at];
    if (found)
        free(stored->bytes);
    if (bytes.length == 0) {
        finding_world.count -= found;
        memmove(stored, stored + found, (finding_world.count - at) * sizeof *stored);
        return;
    }
    if (!found) {
        assert_true(finding_world.count < RECORDS_MAX);
        memmove(stored + 1, stored, (finding_world.count++ - at) * sizeof *stored);
        text_print(stored->domain, sizeof stored->domain, "%.*s", SLICE_ARGS(domain));
    }
    stored->bytes = malloc(bytes.length);
    assert_non_null(stored->bytes);
    memcpy(stored->bytes, bytes.data, bytes.length);
    stored->length = bytes.length;
}

static inline bool stored_has(const char *domain)
{
    bool found;
    (void)stored_at(slice_of(domain), &found);
    return found;
}

static inline size_t stored_bytes(void)
{
    size_t bytes = 0;
    for (size_t i = 0; i < finding_world.count; i++)
        bytes += strlen(finding_world.records[i].domain) + finding_world.records[i].length;
    return bytes;
}

/* Lives in the arena. */
static inline struct sts_entry stored_entry(const char *domain, struct arena *arena)
{
    struct sts_entry entry;
    bool found;
    size_t at = stored_at(slice_of(domain), &found);
    assert_true(found);
    struct slice bytes = slice_make(finding_world.records[at].bytes, finding_world.records[at].length);
    assert_int_equal(sts_entry_decode(bytes, arena, &entry), ERR_NONE);
    return entry;
}

enum err queue_policy_get(struct queue *queue, struct slice domain, struct arena *arena, struct slice *bytes)
{
    bool found;
    size_t at = stored_at(domain, &found);
    const struct stored *stored = &finding_world.records[at];
    (void)queue;
    if (!found)
        return ERR_NOT_FOUND;
    return arena_slice(arena, slice_make(stored->bytes, stored->length), bytes) ? ERR_NONE : ERR_MEMORY;
}

enum err queue_list_policies(struct queue *queue, struct buffer *after, size_t limit,
                             bool (*visit)(void *owner, struct slice domain, struct slice bytes), void *owner)
{
    bool found;
    size_t at = stored_at(buffer_slice(after), &found);
    (void)queue;
    for (at += found; at < finding_world.count && limit > 0; at++, limit--) {
        const struct stored *stored = &finding_world.records[at];
        buffer_clear(after);
        buffer_add(after, slice_of(stored->domain));
        if (!visit(owner, slice_of(stored->domain), slice_make(stored->bytes, stored->length)))
            return ERR_NONE;
    }
    return at == finding_world.count ? ERR_END : ERR_NONE;
}

enum err queue_list(struct queue *queue, struct queue_listing *listing)
{
    static const struct queue_message message;
    struct queue_recipient recipient = {.status = QUEUE_PENDING};
    const struct queue_entry entry = {.recipients = &recipient, .recipient_count = 1};
    const char *prefix = finding_world.mail_for;
    (void)queue;
    if (prefix == NULL || !slice_starts(listing->destination, slice_of(prefix)) || listing->after_id > 0)
        return ERR_END;
    listing->after_id = 1;
    listing->visit(listing->owner, &message, &entry);
    return ERR_NONE;
}

/* ---- the journal and the network: each answer in a turn of its own ---- */

struct finding_answer {
    struct timer timer;
    struct journal_write *write;
    struct resolve *resolve;
    struct fetch *fetch;
};

static inline void finding_answer_write(struct journal_write *write)
{
    for (size_t i = 0; i < write->change_count; i++) {
        assert_int_equal(write->changes[i].kind, QUEUE_CHANGE_POLICY);
        stored_put(write->changes[i].key, write->changes[i].bytes);
    }
    write->done(write, ERR_NONE);
}

static inline void finding_answer_txt(struct resolve *resolve)
{
    char text[64];
    struct resolve_record record = {.text = text_print(text, sizeof text, "v=STSv1; id=%s;", finding_world.id)};
    struct resolve_answer answer = {.status = finding_world.txt,
                                    .records = &record,
                                    .count = finding_world.txt == RESOLVE_FOUND,
                                    .detail = SLICE_EMPTY};
    resolve->host = NULL;
    resolve->done(resolve, &answer);
}

/* The owner's name begins with "mute": such hosts never answer. Those of "mute.example" are all at one address; all else is in a
 * network of its own. */
static inline bool finding_is_mute(const struct fetch *fetch)
{
    return slice_find_slice(fetch->host, SLICE(".mute")) < fetch->host.length;
}

static inline struct ip finding_address(const struct fetch *fetch)
{
    bool is_shared = slice_ends(fetch->host, SLICE(".mute.example"));
    uint32_t number = is_shared ? 0 : text_crc32c(fetch->host);
    return (struct ip){.family = IP_V4, .bytes = {(uint8_t)number, (uint8_t)(number >> 8), (uint8_t)(number >> 16), 1}};
}

static inline void finding_answer_fetch(struct fetch *fetch)
{
    const char *body = finding_is_mute(fetch) ? NULL : finding_world.body;
    fetch->timer.host = NULL;
    if (!fetch->is_connected) {
        struct ip address = finding_address(fetch);
        fetch->wants(fetch, &address, false);
        return;
    }
    finding_world.fetching--;
    fetch->done(fetch, body == NULL ? SLICE_EMPTY : slice_of(body),
                body == NULL ? SLICE("HTTP status 503") : SLICE_EMPTY);
}

static inline void finding_answered(struct timer *timer)
{
    struct finding_answer answer = *LIST_OF(timer, struct finding_answer, timer);
    free(LIST_OF(timer, struct finding_answer, timer));
    if (answer.write != NULL)
        finding_answer_write(answer.write);
    else if (answer.resolve != NULL)
        finding_answer_txt(answer.resolve);
    else
        finding_answer_fetch(answer.fetch);
}

static inline struct finding_answer *finding_answer_later(int64_t delay_ms)
{
    struct finding_answer *answer = calloc(1, sizeof *answer);
    assert_non_null(answer);
    timer_start(&answer->timer, delay_ms, finding_answered);
    return answer;
}

static inline void finding_answer_fetch_later(struct fetch *fetch, int64_t delay_ms)
{
    struct finding_answer *answer = finding_answer_later(delay_ms);
    answer->fetch = fetch;
    fetch->timer.host = answer;
}

static inline void finding_cancel_answer(struct finding_answer *answer)
{
    timer_cancel(&answer->timer);
    free(answer);
}

void journal_submit(struct journal *journal, struct journal_write *write)
{
    (void)journal;
    finding_answer_later(0)->write = write;
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    assert_int_equal(kind, RECORD_TXT);
    assert_true(slice_starts(name, SLICE("_mta-sts.")));
    struct finding_answer *answer = finding_answer_later(0);
    answer->resolve = resolve;
    resolve->done = done;
    resolve->host = answer;
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve->host != NULL)
        finding_cancel_answer(resolve->host);
    resolve->host = NULL;
}

const char *resolve_status_text(enum resolve_status status)
{
    return status == RESOLVE_FOUND ? "found" : "failed";
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status == RESOLVE_SERVFAIL || status == RESOLVE_TIMEOUT;
}

void fetch_start(struct fetch *fetch, struct relay *relay, struct slice host,
                 void (*done)(struct fetch *fetch, struct slice body, struct slice failure))
{
    (void)relay;
    assert_true(slice_starts(host, SLICE("mta-sts.")));
    assert_true(finding_world.fetches < FETCHES_NOTED_MAX);
    *fetch = (struct fetch){.done = done, .host = host};
    finding_answer_fetch_later(fetch, 0);
}

void fetch_connect(struct fetch *fetch)
{
    finding_world.fetched_ms[finding_world.fetches++] = clock_wall_ms();
    finding_world.fetching++;
    if (finding_world.fetching > finding_world.fetching_most)
        finding_world.fetching_most = finding_world.fetching;
    fetch->is_connected = true;
    finding_answer_fetch_later(fetch, finding_is_mute(fetch) ? finding_world.mute_ms : finding_world.fetch_ms);
}

void fetch_cancel(struct fetch *fetch)
{
    finding_world.fetching -= fetch->is_connected;
    if (fetch->timer.host != NULL)
        finding_cancel_answer(fetch->timer.host);
    fetch->timer.host = NULL;
}

void policy_waits_learned(struct relay *relay, struct slice domain, const struct sts_entry *before,
                          const struct sts_lookup_result *result)
{
    assert_ptr_equal(relay, &finding_world.relay);
    assert_true(domain.length > 0 && result->store);
    assert_true(stored_has(domain.data)); /* it is told behind the commit */
    finding_world.learned_of_before += before != NULL;
    finding_world.learned++;
}

void relay_part_ended(struct relay *relay)
{
    (void)relay;
}

/* ---- a test ---- */

static inline void finding_write(struct log *log, struct slice line)
{
    (void)log;
    buffer_add(&finding_world.said, line);
}

static inline void finding_start(void)
{
    struct finding_world *world = &finding_world;
    turn_start();
    memset(world, 0, sizeof *world);
    buffer_init(&world->said, 64u << 20);
    world->log = (struct log){.level = LOG_INFO, .write = finding_write};
    world->config = (struct config){.sts_enabled = true, .sts_cache_max = 64u << 20};
    world->relay.log = &world->log;
    world->relay.config = &world->config;
    struct steady_reading clocks;
    steady_read(&clocks);
    steady_open(&world->relay.steady, NULL, &clocks);
    world->txt = RESOLVE_FOUND;
    world->id = "1";
    world->body = WEEK_ENFORCED;
    world->mute_ms = 20 * SECOND_MS;
    world->relay.finder = finder_new(&world->relay);
    assert_non_null(world->relay.finder);
}

static inline void finding_restart(void)
{
    finder_stop(finding_world.relay.finder);
    turn_settle();
    finder_free(&finding_world.relay.finder);
    finding_world.relay.finder = finder_new(&finding_world.relay);
}

static inline void finding_stop(void)
{
    finder_stop(finding_world.relay.finder);
    turn_settle();
    finder_free(&finding_world.relay.finder);
    while (finding_world.count > 0)
        stored_put(slice_of(finding_world.records[0].domain), SLICE_EMPTY);
    buffer_free(&finding_world.said);
    assert_int_equal(turn_running(), 0);
}

static inline int finding_setup(void **state)
{
    (void)state;
    finding_start();
    return 0;
}

static inline int finding_teardown(void **state)
{
    (void)state;
    finding_stop();
    return 0;
}

#define FINDING_TEST(test) cmocka_unit_test_setup_teardown(test, finding_setup, finding_teardown)

/* One that asks, and what it heard. */
struct finding_asker {
    struct finder_request request;
    size_t answered;
    enum sts_source source;
    bool has_policy, exempt, changed, fetch_failed;
    enum sts_mode mode;
};

static inline void finding_heard(struct finder_request *request, const struct finding *finding)
{
    struct finding_asker *asker = LIST_OF(request, struct finding_asker, request);
    asker->answered++;
    asker->source = finding->result.source;
    asker->has_policy = finding->result.has_policy;
    asker->mode = finding->result.has_policy ? finding->result.entry.policy.mode : STS_MODE_NONE;
    asker->exempt = finding->exempt;
    asker->changed = finding->result.changed;
    asker->fetch_failed = finding->result.fetch_failed;
}

static inline void finding_ask(struct finding_asker *asker, const char *domain, enum sts_lookup_purpose purpose)
{
    *asker = (struct finding_asker){.request.done = finding_heard};
    finder_start(finding_world.relay.finder, &asker->request, slice_of(domain), purpose);
    assert_int_equal(asker->answered, 0);
}

static inline struct finding_asker finding_ask_now(const char *domain, enum sts_lookup_purpose purpose)
{
    struct finding_asker asker;
    finding_ask(&asker, domain, purpose);
    turn_for(finding_world.fetch_ms);
    assert_int_equal(asker.answered, 1);
    return asker;
}

static inline void finding_exempt(const char *domain, int64_t until_ms)
{
    struct finder_exemption exemption = {.until_ms = until_ms, .reason = SLICE("their firewall"), .level = STS_EXEMPT_ENCRYPT};
    assert_int_equal(finder_exempt(finding_world.relay.finder, slice_of(domain), &exemption), ERR_NONE);
}

static inline size_t finding_said(const char *text)
{
    return check_count_of(buffer_slice(&finding_world.said), text);
}

#endif
