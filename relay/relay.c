#include "relay/relay.h"

#include "relay/control.h"
#include "relay/digest.h"
#include "relay/drop.h"
#include "relay/finder.h"
#include "relay/gathering.h"
#include "relay/intake.h"
#include "relay/journal.h"
#include "relay/locals.h"
#include "relay/schedule.h"
#include "relay/upstream.h"
#include "relay/signers.h"
#include "relay/users.h"

#include <stdlib.h>

#define EXIT_IO 74

static void on_stop_timeout(struct timer *timer);
static void on_stopped(struct timer *timer);
static void free_own_parts(struct relay *relay);
static bool everything_is_idle(const struct relay *relay);

struct relay *relay_new(const struct relay_options *options)
{
    struct relay *relay = calloc(1, sizeof *relay);
    if (relay == NULL)
        return NULL;
    relay->config = options->config;
    relay->log = options->log;
    relay->queue = options->queue;
    relay->tls = options->tls;
    relay->locals = options->locals;
    relay->users = options->users;
    relay->signers = options->signers;
    relay->stopped = options->stopped;
    relay->started_ms = relay->configured_ms = clock_wall_ms();
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    dead_hosts_init(&relay->dead_hosts, seed);
    reuse_limits_init(&relay->reuse_limits, seed);
    relay->journal = journal_new(relay);
    relay->finder = finder_new(relay);
    relay->intake = intake_new(relay);
    relay->control = control_new(relay);
    relay->drop = drop_new(relay);
    relay->digest = digest_new(relay);
    relay->gathering = gathering_new(relay);
    if (relay->journal != NULL && relay->finder != NULL && relay->intake != NULL && relay->control != NULL && relay->drop != NULL &&
        relay->digest != NULL && relay->gathering != NULL)
        relay->schedule = schedule_new(relay);
    if (relay->schedule != NULL) {
        clock_watch_start(&relay->clock_watch, relay);
        upstream_start(relay);
    }
    if (relay->schedule == NULL) {
        free_own_parts(relay);
        dead_hosts_free(&relay->dead_hosts);
        reuse_limits_free(&relay->reuse_limits);
        free(relay);
        return NULL;
    }
    return relay;
}

static void free_own_parts(struct relay *relay)
{
    timer_cancel(&relay->stop_timer);
    clock_watch_stop(&relay->clock_watch);
    schedule_free(&relay->schedule);
    gathering_free(&relay->gathering);
    digest_free(&relay->digest);
    drop_free(&relay->drop);
    control_free(&relay->control);
    intake_free(&relay->intake);
    finder_free(&relay->finder);
    journal_free(&relay->journal);
}

void relay_free(struct relay **relay)
{
    if (*relay == NULL)
        return;
    free_own_parts(*relay);
    users_free(&(*relay)->users);
    signers_free(&(*relay)->signers);
    upstream_free_all(*relay);
    dead_hosts_free(&(*relay)->dead_hosts);
    reuse_limits_free(&(*relay)->reuse_limits);
    locals_free(&(*relay)->locals);
    tls_context_free(&(*relay)->tls);
    queue_close(&(*relay)->queue);
    config_free(&(*relay)->config);
    free(*relay);
    *relay = NULL;
}

/* Time in the upper bits, a counter in the lower ones; the counter starts anywhere, so that a clock that stepped back makes no
 * id twice. */
uint64_t relay_next_id(struct relay *relay)
{
    if (relay->id_sequence == 0)
        relay->id_sequence = (uint32_t)dice_below(1u << 20) + 1;
    return queue_id_make(clock_wall_ms(), relay->id_sequence++);
}

void relay_reload(struct relay *relay, const struct relay_options *options)
{
    relay->configured_ms = clock_wall_ms();
    relay->reload_count++;
    bool has_moved = !config_routes_are_equal(relay->config, options->config);
    config_free(&relay->config);
    tls_context_free(&relay->tls);
    locals_free(&relay->locals);
    users_free(&relay->users);
    signers_free(&relay->signers);
    relay->config = options->config;
    relay->tls = options->tls;
    relay->locals = options->locals;
    relay->users = options->users;
    relay->signers = options->signers;
    dead_hosts_forget(&relay->dead_hosts);
    upstream_reload(relay, has_moved);
    schedule_reload(relay->schedule);
    digest_wake(relay->digest);
    drop_look_again(relay->drop);
}

void relay_set_tls(struct relay *relay, struct tls_context *tls)
{
    tls_context_free(&relay->tls);
    relay->tls = tls;
}

void relay_set_users(struct relay *relay, struct users *users)
{
    users_free(&relay->users);
    relay->users = users;
}

/* ---- the end ---- */

void relay_stop(struct relay *relay, int exit_status)
{
    if (relay->is_stopping) {
        relay->exit_status = relay->exit_status == 0 ? exit_status : relay->exit_status;
        return;
    }
    relay->is_stopping = true;
    relay->exit_status = exit_status;
    timer_start(&relay->stop_timer, relay->config->stop_timeout_ms, on_stop_timeout);
    intake_stop(relay->intake);
    control_close(relay->control);
    drop_stop(relay->drop);
    digest_stop(relay->digest);
    gathering_stop(relay->gathering);
    schedule_stop(relay->schedule);
    clock_watch_stop(&relay->clock_watch);
    finder_stop(relay->finder);
    relay_part_ended(relay);
}

static void on_stop_timeout(struct timer *timer)
{
    struct relay *relay = LIST_OF(timer, struct relay, stop_timer);
    intake_drop(relay->intake);
    schedule_abort(relay->schedule);
    journal_give_up(relay->journal);
    relay_part_ended(relay);
}

void relay_broken(struct relay *relay, enum err err)
{
    struct log_line line;
    if (log_open(&line, relay->log, LOG_ERROR, "queue_broken")) {
        log_string(&line, "error", err_text(err));
        log_string(&line, "advice", "check the disk, then start again; nothing that was answered 250 is lost by this stop");
        log_close(&line);
    }
    relay_stop(relay, EXIT_IO);
    intake_abort(relay->intake);
    schedule_abort(relay->schedule);
    relay_part_ended(relay);
}

static bool everything_is_idle(const struct relay *relay)
{
    return intake_is_idle(relay->intake) && schedule_is_idle(relay->schedule) && finder_is_idle(relay->finder) &&
           journal_is_idle(relay->journal) && control_is_idle(relay->control) && drop_is_idle(relay->drop);
}

/* In a turn of its own: the part that ended is still on the stack. */
void relay_part_ended(struct relay *relay)
{
    if (!relay->is_stopping || relay->has_stopped || !everything_is_idle(relay))
        return;
    relay->has_stopped = true;
    timer_start(&relay->stop_timer, 0, on_stopped);
}

static void on_stopped(struct timer *timer)
{
    struct relay *relay = LIST_OF(timer, struct relay, stop_timer);
    relay->stopped(relay);
}
