#include "test/sim/sim_relay.h"

#include "base/log.h"
#include "relay/config.h"
#include "relay/control.h"
#include "relay/health.h"
#include "relay/intake.h"
#include "relay/journal.h"
#include "relay/locals.h"
#include "relay/relay.h"
#include "test/sim/sim_client.h"
#include "test/sim/sim_dice.h"
#include "test/sim/sim_dns.h"
#include "test/sim/sim_event.h"
#include "test/sim/sim_host.h"
#include "test/sim/sim_known.h"
#include "test/sim/sim_ledger.h"
#include "test/sim/sim_log.h"
#include "test/sim/sim_memory.h"
#include "test/sim/sim_mx.h"
#include "test/sim/sim_net.h"
#include "test/sim/sim_oracle.h"
#include "test/sim/sim_seen.h"
#include "test/sim/sim_waits.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define SETS_MAX 24
/* What jobs that were under way may take after the end, until the last handshake is done. */
#define AFTERMATH_MS 1000
#define SLACK_MS 2000
#define EXIT_IO 74
#define PRESSED_BYTES 60000

static struct {
    struct queue_memory_disk *disk;
    struct relay *relay; /* NULL: down */
    struct queue *queue; /* the relay's; closed by us after a crash */
    struct log log;
    struct sim_event start, aftermath, overdue;
    bool is_kept_up, is_stopping;
    int64_t stopping_ms;
} sim;

static void on_start(struct sim_event *event);
static void on_stopped(struct relay *relay);
static void on_aftermath(struct sim_event *event);
static void on_overdue(struct sim_event *event);
static void write_log(struct log *log, struct slice line);
static bool make_parts(struct relay_options *options);

void sim_relay_begin(void)
{
    sim.disk = queue_memory_disk_new();
    if (sim.disk == NULL)
        abort();
    queue_memory_mount(sim.disk);
    sim.relay = NULL;
    sim.queue = NULL;
    sim.is_kept_up = true;
    sim.is_stopping = false;
    sim.log = (struct log){.level = LOG_INFO, .format = LOG_LOGFMT, .write = write_log};
    sim_host_watch_lanes(sim_known_committed);
}

void sim_relay_end(void)
{
    sim.is_kept_up = false;
    if (sim.relay != NULL)
        sim_relay_crash();
    sim_event_cancel(&sim.start);
    sim_event_cancel(&sim.aftermath);
    sim_event_cancel(&sim.overdue);
    queue_memory_disk_free(&sim.disk);
}

struct queue_memory_disk *sim_relay_disk(void)
{
    return sim.disk;
}

bool sim_relay_is_up(void)
{
    return sim.relay != NULL;
}

bool sim_relay_is_stopping(void)
{
    return sim.is_stopping;
}

void sim_relay_keep_up(bool is_kept_up)
{
    sim.is_kept_up = is_kept_up;
}

static void write_log(struct log *log, struct slice line)
{
    (void)log;
    enum sim_party before = sim_party_enter(SIM_WORLD);
    sim_log_relay(line);
    if (slice_find_slice(line, SLICE("event=deferred")) < line.length && slice_find_slice(line, SLICE(SIM_MX_SPENT)) < line.length)
        sim_fail("mail was put off for a connection that was only spent");
    sim_party_leave(before);
}

static void watch(struct queue *queue)
{
    sim_oracle_watch(queue);
    sim_waits_watch(queue);
    sim_known_watch(queue);
}

static void lose_memory(void)
{
    sim_ledger_lost_memory();
    sim_known_lost_memory();
}

/* ---- the start ---- */

struct sets {
    char texts[SETS_MAX][160];
    struct slice items[SETS_MAX];
    size_t count;
};

static void add_set(struct sets *sets, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add_set(struct sets *sets, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(sets->texts[sets->count], sizeof sets->texts[0], format, arguments);
    va_end(arguments);
    assert(sets->count < SETS_MAX && length > 0 && (size_t)length < sizeof sets->texts[0]);
    sets->items[sets->count] = slice_make(sets->texts[sets->count], (size_t)length);
    sets->count++;
}

static enum err load_config(struct config **config)
{
    struct sets sets = {.count = 0};
    struct buffer faults, warnings;
    add_set(&sets, "hostname=%s", WORLD_RELAY_NAME);
    add_set(&sets, "listen.smtp=%s %s:25", SIM_CLIENT_DOOR, WORLD_RELAY_ADDRESS);
    add_set(&sets, "access.networks=%s", SIM_CLIENT_NETWORK);
    add_set(&sets, "tls.certificate=simulated");
    add_set(&sets, "tls.key=simulated");
    add_set(&sets, "queue.path=queue");
    add_set(&sets, "queue.free-min=1");
    add_set(&sets, "retry.schedule=%s", world.retry_schedule);
    add_set(&sets, "retry.expire=%llds", (long long)world.expire_ms / 1000);
    add_set(&sets, "retry.warn=%llds", (long long)world.warn_ms / 1000);
    add_set(&sets, "bounce.gather=%llds", (long long)world.gather_ms / 1000);
    add_set(&sets, "delivery.connections-max=%u", world.connections_max);
    add_set(&sets, "delivery.per-destination=%u", world.per_destination);
    add_set(&sets, "sts.cache-max=%llu", (unsigned long long)world.cache_max);
    add_set(&sets, "delivery.stop-timeout=%llds", (long long)world.stop_timeout_ms / 1000);
    add_set(&sets, "local.aliases-file=/dev/null");
    struct config_source source = {.file = SLICE("/dev/null"), .sets = sets.items, .set_count = sets.count};
    buffer_init(&faults, 65536);
    buffer_init(&warnings, 65536);
    uint64_t starved = sim_memory_starved_count();
    enum err err = config_load(&source, config, &faults, &warnings);
    if (err != ERR_NONE && sim_memory_starved_count() == starved)
        sim_fail("the configuration is faulty: %.*s", SLICE_ARGS(buffer_slice(&faults)));
    buffer_free(&faults);
    buffer_free(&warnings);
    return err;
}

/* False: something is missing; nothing is left then. */
static bool make_parts(struct relay_options *options)
{
    struct buffer notes;
    buffer_init(&notes, 65536);
    struct tls_context_options tls = {.certificate = SLICE("simulated"), .key = SLICE("simulated")};
    bool is_whole = load_config(&options->config) == ERR_NONE &&
                    tls_context_new(&tls, &options->tls, &notes, &notes) == ERR_NONE &&
                    locals_load(options->config, &options->locals, &notes) == ERR_NONE;
    buffer_free(&notes);
    if (is_whole)
        return true;
    locals_free(&options->locals);
    tls_context_free(&options->tls);
    config_free(&options->config);
    return false;
}

static struct queue *open_queue(void)
{
    struct queue *queue = NULL;
    struct buffer fault;
    struct queue_options options = {
        .path = SLICE("queue"), .map_size = UINT64_C(1) << 34, .done_keep_ms = 3600000, .free_min = 1};
    buffer_init(&fault, 4096);
    if (queue_open(&options, &queue, &fault) != ERR_NONE)
        sim_fail("the queue cannot be opened: %.*s", SLICE_ARGS(buffer_slice(&fault)));
    buffer_free(&fault);
    return queue;
}

/* Reports that the relay before left behind. */
static void look_for_owed(struct queue *queue)
{
    struct arena *arena = arena_new(1u << 20);
    struct slice bytes;
    if (arena != NULL && queue != NULL && queue_meta_get(queue, SLICE("owed/0"), arena, &bytes) == ERR_NONE)
        sim_saw(SIM_SEEN_OWED);
    arena_free(&arena);
}

static bool open_doors(struct relay *relay)
{
    struct buffer fault;
    struct intake_fds none = {.count = 0};
    buffer_init(&fault, 4096);
    bool is_open = intake_open(relay->intake, &none, &fault) == ERR_NONE &&
                   control_open(relay->control, &fault) == ERR_NONE;
    buffer_free(&fault);
    relay->health = health_new(relay);
    return is_open;
}

void sim_relay_start(void)
{
    assert(sim.relay == NULL);
    sim_event_cancel(&sim.start);
    struct queue *queue = open_queue();
    struct relay_options options = {.log = &sim.log, .queue = queue, .stopped = on_stopped};
    sim.is_stopping = false;
    sim_log("the relay starts");
    look_for_owed(queue);
    enum sim_party before = sim_party_enter(SIM_RELAY);
    struct relay *relay = make_parts(&options) ? relay_new(&options) : NULL;
    bool is_open = relay != NULL && open_doors(relay);
    sim_party_leave(before);
    if (is_open) {
        sim.relay = relay;
        sim.queue = queue;
        if (world.seed % 2 == 0) /* the disk is soon behind: whoever waits for it must be called again */
            journal_set_pending_max(relay->journal, PRESSED_BYTES);
        watch(queue);
        return;
    }
    /* It lacked memory: the process ends, the supervisor tries again. */
    if (sim_memory_starved_count() == 0)
        sim_fail("the relay does not start");
    sim.relay = relay;
    sim.queue = queue;
    sim_relay_crash();
}

void sim_relay_start_later(int64_t delay_ms)
{
    sim_event_plan(&sim.start, delay_ms, on_start);
}

static void on_start(struct sim_event *event)
{
    (void)event;
    if (sim.relay == NULL && !sim_event_is_planned(&sim.aftermath))
        sim_relay_start();
}

void sim_relay_reload(void)
{
    struct relay_options options = {.log = &sim.log};
    struct buffer fault;
    if (sim.relay == NULL || sim.is_stopping)
        return;
    sim_log("the relay reloads");
    sim_oracle_reloaded();
    buffer_init(&fault, 4096);
    enum sim_party before = sim_party_enter(SIM_RELAY);
    if (make_parts(&options)) {
        relay_reload(sim.relay, &options);
        if (intake_reload(sim.relay->intake, &fault) != ERR_NONE && sim_memory_starved_count() == 0)
            sim_fail("the listeners cannot be reloaded");
    }
    buffer_free(&fault);
    sim_party_leave(before);
}

/* ---- the end ---- */

void sim_relay_stop(void)
{
    if (sim.relay == NULL || sim.is_stopping)
        return;
    sim_log("the relay is told to stop");
    sim.is_stopping = true;
    sim.stopping_ms = sim_now_ms();
    sim_event_plan(&sim.overdue, world.stop_timeout_ms + SLACK_MS, on_overdue);
    enum sim_party before = sim_party_enter(SIM_RELAY);
    relay_stop(sim.relay, 0);
    sim_party_leave(before);
}

static void on_overdue(struct sim_event *event)
{
    (void)event;
    sim_fail("the relay was told to stop %lld ms ago and has not", (long long)(sim_now_ms() - sim.stopping_ms));
}

static void on_stopped(struct relay *relay)
{
    int status = relay->exit_status;
    assert(relay == sim.relay);
    health_free(&relay->health);
    relay_free(&sim.relay);
    (void)sim_party_enter(SIM_WORLD);
    sim_log("the relay has stopped with status %d", status);
    sim_event_cancel(&sim.overdue);
    watch(NULL);
    sim.queue = NULL;
    sim.is_stopping = false;
    if (status != 0 || world_has_fault(WORLD_FAULT_DISK_EXHAUSTED, 0))
        lose_memory();
    sim_event_plan(&sim.aftermath, AFTERMATH_MS, on_aftermath);
    (void)sim_party_enter(SIM_RELAY);
}

/* What has ended has given everything back. */
static void on_aftermath(struct sim_event *event)
{
    (void)event;
    if (sim_memory_used() > 0)
        sim_fail("the relay has stopped and still holds %zu bytes", sim_memory_used());
    size_t held = sim_host_count() + sim_net_relay_count() + sim_dns_count();
    if (held > 0)
        sim_fail("the relay has stopped and still has %zu timers, jobs, lanes, streams, listeners or queries", held);
    if (sim.is_kept_up)
        sim_relay_start_later(sim_dice_between(0, 20000));
}

void sim_relay_crash(void)
{
    if (sim.relay == NULL && sim.queue == NULL)
        return;
    sim_log("the relay crashes");
    sim_event_cancel(&sim.overdue);
    lose_memory();
    watch(NULL);
    sim_net_crash();
    sim_dns_crash();
    sim_host_crash();
    sim_memory_crash();
    queue_memory_crash(sim.disk);
    queue_close(&sim.queue);
    sim.relay = NULL;
    sim.is_stopping = false;
    if (sim.is_kept_up)
        sim_relay_start_later(sim_dice_between(0, 60000));
}
