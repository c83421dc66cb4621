#include "relay/upstream.h"

#include "base/buffer.h"
#include "base/list.h"
#include "base/text.h"
#include "queue/backoff.h"
#include "relay/config.h"
#include "relay/relay.h"
#include "relay/rewind.h"
#include "relay/schedule.h"

#include <stdlib.h>
#include <string.h>

/* So long the others wait for the delivery that tries. */
#define TRY_MS 60000
/* At most, and ask again then: most tries are over at once, and what they tell should not come a minute late. */
#define TRY_LOOK_MS 10000
#define COUNT_MAX 1000

struct upstream {
    struct upstream *next;
    uint64_t tag[2];    /* of the key: the password itself is not kept */
    int64_t end_ms;     /* monotonic: of the pause, or of the time for the one that tries */
    uint32_t failures;
    bool is_tried;      /* the pause is over, and one delivery finds out */
    char reason[300];
};

static struct upstream *find(const struct relay *relay, const struct upstream_key *key);
static struct upstream *add(struct relay *relay, const struct upstream_key *key);
static void set_tag(const struct upstream_key *key, uint64_t tag[2]);
static void forget(struct relay *relay, struct upstream *upstream);
static void log_pause(struct relay *relay, const struct upstream_key *key, const struct upstream *upstream);
/* Which waits end: those for credentials; the same, and one is to find out whether they are right now; all. */
enum release_kind { RELEASE_CREDENTIALS, RELEASE_AT_START, RELEASE_ALL };
static void release_soon(struct relay *relay, enum release_kind kind);
static void on_release(struct timer *timer);

struct upstream_pause upstream_ask(struct relay *relay, const struct upstream_key *key)
{
    struct upstream *upstream = find(relay, key);
    int64_t now_ms = clock_monotonic_ms();
    if (upstream == NULL)
        return (struct upstream_pause){.wait_ms = 0};
    int64_t rest_ms = upstream->end_ms - now_ms;
    if (rest_ms > 0) {
        int64_t wait_ms = upstream->is_tried && rest_ms > TRY_LOOK_MS ? TRY_LOOK_MS : rest_ms;
        return (struct upstream_pause){.wait_ms = wait_ms, .reason = slice_of(upstream->reason)};
    }
    upstream->end_ms = now_ms + TRY_MS;
    upstream->is_tried = true;
    return (struct upstream_pause){.wait_ms = 0};
}

struct upstream_pause upstream_look(const struct relay *relay, const struct upstream_key *key)
{
    const struct upstream *upstream = find(relay, key);
    int64_t rest_ms = upstream == NULL ? 0 : upstream->end_ms - clock_monotonic_ms();
    if (rest_ms <= 0)
        return (struct upstream_pause){.wait_ms = 0};
    return (struct upstream_pause){.wait_ms = rest_ms, .reason = slice_of(upstream->reason)};
}

/* Several deliveries may have been on their way when the first one was refused: together they count once. */
int64_t upstream_refused(struct relay *relay, const struct upstream_key *key, struct slice reason)
{
    struct upstream *upstream = find(relay, key);
    int64_t now_ms = clock_monotonic_ms();
    if (upstream != NULL && !upstream->is_tried && upstream->end_ms > now_ms)
        return upstream->end_ms - now_ms;
    if (upstream == NULL)
        upstream = add(relay, key);
    if (upstream == NULL)
        return 0; /* without memory each message waits for itself */
    uint32_t dice = (uint32_t)dice_below((uint64_t)UINT32_MAX + 1);
    int64_t pause_ms = queue_backoff_next_ms(&relay->config->retry, ++upstream->failures, 0, dice);
    upstream->is_tried = false;
    upstream->end_ms = now_ms + (pause_ms < UPSTREAM_PAUSE_MAX_MS ? pause_ms : UPSTREAM_PAUSE_MAX_MS);
    struct buffer cleaned;
    buffer_init(&cleaned, sizeof upstream->reason);
    text_clean(&cleaned, reason, sizeof upstream->reason - 1);
    text_print(upstream->reason, sizeof upstream->reason, "%.*s", SLICE_ARGS(buffer_slice(&cleaned)));
    buffer_free(&cleaned);
    relay->metrics.routes_paused++;
    log_pause(relay, key, upstream);
    return upstream->end_ms - now_ms;
}

void upstream_accepted(struct relay *relay, const struct upstream_key *key)
{
    struct upstream *upstream = find(relay, key);
    struct log_line line;
    if (upstream == NULL)
        return;
    forget(relay, upstream);
    if (log_open(&line, relay->log, LOG_INFO, "route_resumed")) {
        log_text(&line, "host", key->host);
        log_text(&line, "user", key->username);
        log_close(&line);
    }
    release_soon(relay, RELEASE_CREDENTIALS);
}

void upstream_try_now(struct relay *relay)
{
    for (struct upstream *upstream = relay->upstreams; upstream != NULL; upstream = upstream->next)
        upstream->end_ms = clock_monotonic_ms();
}

void upstream_start(struct relay *relay)
{
    release_soon(relay, RELEASE_AT_START);
}

void upstream_reload(struct relay *relay, bool has_moved)
{
    const struct config *config = relay->config;
    bool is_over = false;
    struct upstream *next;
    for (struct upstream *upstream = relay->upstreams; upstream != NULL; upstream = next) {
        bool is_listed = false;
        next = upstream->next;
        for (size_t i = 0; i < config->route_count && !is_listed; i++) {
            const struct config_route *route = &config->routes[i];
            struct upstream_key key = {
                .host = route->host, .port = route->port, .username = route->username, .password = route->password};
            uint64_t tag[2];
            set_tag(&key, tag);
            is_listed = tag[0] == upstream->tag[0] && tag[1] == upstream->tag[1];
        }
        if (!is_listed)
            forget(relay, upstream);
        is_over = is_over || !is_listed;
    }
    if (is_over || has_moved)
        release_soon(relay, has_moved ? RELEASE_ALL : RELEASE_CREDENTIALS);
}

static void forget(struct relay *relay, struct upstream *upstream)
{
    struct upstream **link = &relay->upstreams;
    while (*link != upstream)
        link = &(*link)->next;
    *link = upstream->next;
    free(upstream);
}

/* ---- the end of a pause: what waits for it on the disk need not wait longer ---- */

#define RELEASE_PAGE 64
#define STATE_MAX 131072 /* of one destination as it is stored */
#define RELEASE_AGAIN_MS 200
struct upstream_release {
    struct relay *relay;
    struct timer timer;
    struct queue_ready last; /* where to go on */
    char name[256];
    bool has_last;
    enum release_kind kind;
    bool is_early; /* it began while waits were under way: it has to be walked once more */
};

/* Without memory each waits until its time. */
static void release_soon(struct relay *relay, enum release_kind kind)
{
    if (relay->upstream_release == NULL)
        relay->upstream_release = calloc(1, sizeof *relay->upstream_release);
    if (relay->upstream_release == NULL)
        return;
    relay->upstream_release->relay = relay;
    if (kind > relay->upstream_release->kind)
        relay->upstream_release->kind = kind;
    relay->upstream_release->has_last = false;
    timer_start(&relay->upstream_release->timer, 0, on_release);
}

/* Many may have waited for the same account: one login is tried, and the others wait for what becomes of it. */
static void begin_trial(struct relay *relay, struct slice name)
{
    const struct config_route *route = config_route_find(relay->config, name, SLICE_EMPTY);
    if (route == NULL || route->username.length == 0)
        return;
    struct upstream_key key = {
        .host = route->host, .port = route->port, .username = route->username, .password = route->password};
    struct upstream *upstream = find(relay, &key) == NULL ? add(relay, &key) : NULL;
    if (upstream == NULL)
        return;
    upstream->end_ms = clock_monotonic_ms();
    text_print(upstream->reason, sizeof upstream->reason, "something before the relay was started");
}

/* Only what waits for credentials, unless the routes have changed: of all other troubles a reload knows nothing. */
static void release_destination(const struct upstream_release *release, struct slice name, struct arena *arena)
{
    struct relay *relay = release->relay;
    struct queue_destination stored;
    arena_reset(arena); /* what is stored of a page of them, with all that was tried, has no bound worth reserving */
    if (queue_destination_get(relay->queue, name, arena, &stored) != ERR_NONE ||
        (release->kind != RELEASE_ALL && !slice_equal(stored.reason, SLICE("credentials"))))
        return;
    if (release->kind == RELEASE_AT_START)
        begin_trial(relay, name);
    struct destination *destination = schedule_destination(relay->schedule, name);
    if (destination == NULL)
        return;
    destination_proven(destination); /* forgets the wait, also on the disk */
    rewind_release(relay->schedule, name, stored.reason); /* and the message that was the one that tried */
}

/* A wait that is just on its way to the disk is not found there yet. */
static bool has_waits_under_way(const struct relay *relay)
{
    const struct map *destinations = &relay->schedule->destinations;
    for (struct map_node *node = map_first(destinations); node != NULL; node = map_after(destinations, node)) {
        if (LIST_OF(node, struct destination, node)->stores_pending > 0)
            return true;
    }
    return false;
}

/* A page in each turn of the loop, so that a long queue stops nothing. */
static void on_release(struct timer *timer)
{
    struct upstream_release *release = LIST_OF(timer, struct upstream_release, timer);
    struct relay *relay = release->relay;
    struct arena *arena = arena_new(RELEASE_PAGE * 512), *scratch = arena_new(STATE_MAX);
    struct queue_ready page[RELEASE_PAGE];
    struct queue_ready_request request = {
        .now_ms = INT64_MAX, .after = release->has_last ? &release->last : NULL, .limit = RELEASE_PAGE, .arena = arena};
    size_t count = 0;
    release->is_early = release->is_early || (!release->has_last && has_waits_under_way(relay));
    if (relay->is_stopping || arena == NULL || scratch == NULL || queue_ready(relay->queue, &request, page, &count) != ERR_NONE)
        count = 0;
    for (size_t i = 0; i < count; i++)
        release_destination(release, page[i].name, scratch);
    if (count == RELEASE_PAGE) {
        struct slice name = slice_to(page[count - 1].name, sizeof release->name);
        memcpy(release->name, name.data, name.length);
        release->last = (struct queue_ready){.time_ms = page[count - 1].time_ms, .name = slice_make(release->name, name.length)};
        release->has_last = true;
        timer_start(&release->timer, 0, on_release);
    } else if (!relay->is_stopping) {
        schedule_run_soon(relay->schedule);
        if (release->is_early)
            timer_start(&release->timer, RELEASE_AGAIN_MS, on_release);
        else
            release->kind = RELEASE_CREDENTIALS;
        release->has_last = release->is_early = false;
    }
    arena_free(&scratch);
    arena_free(&arena);
}

void upstream_free_all(struct relay *relay)
{
    if (relay->upstream_release != NULL)
        timer_cancel(&relay->upstream_release->timer);
    free(relay->upstream_release);
    relay->upstream_release = NULL;
    while (relay->upstreams != NULL) {
        struct upstream *upstream = relay->upstreams;
        relay->upstreams = upstream->next;
        free(upstream);
    }
}

static void log_pause(struct relay *relay, const struct upstream_key *key, const struct upstream *upstream)
{
    struct log_line line;
    char next[32];
    if (!log_open(&line, relay->log, LOG_WARNING, "route_paused"))
        return;
    log_text(&line, "host", key->host);
    log_number(&line, "port", key->port);
    log_text(&line, "user", key->username);
    log_string(&line, "problem", upstream->reason);
    log_number(&line, "failures", upstream->failures);
    log_text(&line, "next", text_date_iso(clock_wall_ms() + upstream->end_ms - clock_monotonic_ms(), next));
    log_string(&line, "advice", "correct the username and password of the [route] and reload; mail waits meanwhile, nothing bounces for it");
    log_close(&line);
}

static void set_tag(const struct upstream_key *key, uint64_t tag[2])
{
    static const uint64_t seeds[2][2] = {{0x7570, 0x7374}, {0x7265, 0x616d}};
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    buffer_add_u16(&bytes, key->port);
    buffer_add_block(&bytes, key->host);
    buffer_add_block(&bytes, key->username);
    buffer_add_block(&bytes, key->password);
    for (size_t i = 0; i < 2; i++)
        tag[i] = text_siphash(seeds[i], buffer_slice(&bytes));
    if (bytes.data != NULL)
        explicit_bzero(bytes.data, bytes.capacity);
    buffer_free(&bytes);
}

static struct upstream *find(const struct relay *relay, const struct upstream_key *key)
{
    uint64_t tag[2];
    if (relay->upstreams == NULL)
        return NULL;
    set_tag(key, tag);
    struct upstream *upstream = relay->upstreams;
    while (upstream != NULL && (upstream->tag[0] != tag[0] || upstream->tag[1] != tag[1]))
        upstream = upstream->next;
    return upstream;
}

/* There are no more than routes, but for those that a reload has changed: they are forgotten, oldest first. */
static struct upstream *add(struct relay *relay, const struct upstream_key *key)
{
    struct upstream *upstream = calloc(1, sizeof *upstream);
    size_t count = 0;
    if (upstream == NULL)
        return NULL;
    set_tag(key, upstream->tag);
    upstream->next = relay->upstreams;
    relay->upstreams = upstream;
    for (struct upstream *each = upstream; each->next != NULL; each = each->next) {
        if (++count < COUNT_MAX)
            continue;
        struct upstream *last = each->next;
        each->next = last->next;
        free(last);
        break;
    }
    return upstream;
}
