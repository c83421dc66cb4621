#include "relay/health.h"

#include "base/text.h"
#include "queue/envelope.h"
#include "relay/config.h"
#include "relay/finder.h"
#include "relay/host.h"
#include "relay/intake.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#include <stdlib.h>

/* RFC 6761 6.4: resolvers answer for "invalid" themselves, so a probe asks nobody but the resolver. */
#define PROBE_NAME SLICE("invalid")
#define PROBE_INTERVAL_MS 30000
#define PROBE_AGAIN_MS 5000

#define RESOLVER_STATE_LIST(X) X(UNKNOWN) X(ANSWERS) X(FAILS)
enum resolver_state {
#define X(name) RESOLVER_##name,
    RESOLVER_STATE_LIST(X)
#undef X
};

struct health {
    struct relay *relay;
    struct timer timer;
    struct resolve probe;
    enum resolver_state resolver;
    char problem[256]; /* of the last probe that failed */
};

static void on_timer(struct timer *timer);
static void on_probed(struct resolve *probe, const struct resolve_answer *answer);
static void log_change(struct health *health);

struct health *health_new(struct relay *relay)
{
    struct health *health = calloc(1, sizeof *health);
    if (health == NULL)
        return NULL;
    health->relay = relay;
    timer_start(&health->timer, 0, on_timer);
    return health;
}

void health_free(struct health **health)
{
    if (*health == NULL)
        return;
    timer_cancel(&(*health)->timer);
    resolve_cancel(&(*health)->probe);
    free(*health);
    *health = NULL;
}

static void on_timer(struct timer *timer)
{
    struct health *health = LIST_OF(timer, struct health, timer);
    if (!config_needs_names(health->relay->config)) {
        health->resolver = RESOLVER_UNKNOWN;
        timer_start(&health->timer, PROBE_AGAIN_MS, on_timer); /* a reload may change that */
        return;
    }
    resolve_start(&health->probe, RECORD_A, PROBE_NAME, on_probed);
}

/* Any answer but a failure shows that the resolver works; that the name does not exist is expected. */
static void on_probed(struct resolve *probe, const struct resolve_answer *answer)
{
    struct health *health = LIST_OF(probe, struct health, probe);
    enum resolver_state before = health->resolver;
    bool fails = resolve_is_temporary(answer->status);
    health->resolver = fails ? RESOLVER_FAILS : RESOLVER_ANSWERS;
    text_print(health->problem, sizeof health->problem, "%s%s%.*s", resolve_status_text(answer->status),
               answer->detail.length > 0 ? ", " : "", SLICE_ARGS(answer->detail));
    if (health->resolver != before && (fails || before == RESOLVER_FAILS))
        log_change(health);
    timer_start(&health->timer, fails ? PROBE_AGAIN_MS : PROBE_INTERVAL_MS, on_timer);
}

static void log_change(struct health *health)
{
    bool fails = health->resolver == RESOLVER_FAILS;
    struct log_line line;
    if (!log_open(&line, health->relay->log, fails ? LOG_WARNING : LOG_INFO, fails ? "resolver_failed" : "resolver_works"))
        return;
    if (fails) {
        log_string(&line, "problem", health->problem);
        log_string(&line, "advice", "mail is accepted and waits; see [dns] servers or /etc/resolv.conf");
    }
    log_close(&line);
}

/* Of what mail needs to get on its way; nothing where it needs no names. */
static bool lacks_resolver(const struct health *health, struct buffer *problem)
{
    if (health->resolver == RESOLVER_ANSWERS || !config_needs_names(health->relay->config))
        return false;
    if (health->resolver == RESOLVER_UNKNOWN)
        buffer_add(problem, SLICE("no name server has answered yet"));
    else
        buffer_print(problem, "names cannot be resolved: %s", health->problem);
    return true;
}

bool health_is_ready(const struct health *health, struct buffer *problem)
{
    if (health == NULL || health->relay->is_stopping)
        buffer_add(problem, health == NULL ? SLICE("the relay is starting") : SLICE("the relay is stopping"));
    else if (journal_is_full(health->relay->journal))
        buffer_add(problem, SLICE("the queue has no room: new mail is refused with 452"));
    else
        return !lacks_resolver(health, problem);
    return false;
}

void health_remark(const struct relay *relay, struct buffer *remark)
{
    int64_t leap_ms = steady_told_ms(&relay->steady);
    char text[24];
    if (leap_ms != 0)
        buffer_print(remark, "the clock of this machine has leapt %s by %s", leap_ms < 0 ? "back" : "forward",
                     text_duration_print(leap_ms < 0 ? -leap_ms : leap_ms, text).data);
}

void health_gauges(struct relay *relay, struct metrics_gauges *gauges)
{
    struct queue_totals totals;
    *gauges = (struct metrics_gauges){.started_ms = relay->started_ms};
    if (queue_totals(relay->queue, &totals) == ERR_NONE) {
        gauges->queue_messages = totals.messages;
        gauges->queue_bytes = totals.bytes;
        gauges->queue_entries = totals.entries;
        int64_t age_ms = totals.oldest_id == 0 ? 0 : clock_wall_ms() - queue_id_time_ms(totals.oldest_id);
        gauges->oldest_age_ms = age_ms < 0 ? 0 : age_ms;
    }
    for (size_t mode = 0; mode < sizeof gauges->policies / sizeof gauges->policies[0]; mode++)
        gauges->policies[mode] = finder_count_mode(relay->finder, (enum sts_mode)mode);
    gauges->policies_failing = finder_count_failing(relay->finder);
    gauges->policies_overdue = finder_count_overdue(relay->finder);
    gauges->policy_cache_bytes = finder_cache_bytes(relay->finder);
    gauges->clock_leap_ms = steady_told_ms(&relay->steady);
    gauges->connections_in = intake_session_count(relay->intake);
    gauges->connections_out = relay->schedule->delivery_count;
    struct buffer problem;
    buffer_init(&problem, 1024);
    gauges->ready = health_is_ready(relay->health, &problem);
    buffer_free(&problem);
}
