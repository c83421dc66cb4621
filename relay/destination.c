#include "relay/destination.h"

#include "base/text.h"
#include "relay/config.h"
#include "relay/delivery.h"
#include "relay/hop.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* One more connection for so many waiting messages, and a turn when others wait: a handshake costs as much as a score of messages. */
#define MESSAGES_PER_CONNECTION 25
#define PAUSE_MS 10000
#define GROW_AGAIN_MS 60000

struct flight {
    struct map_node node;
    char key[10]; /* id and number */
};

static void fill_window(struct destination *destination);
static bool is_flying(void *owner, uint64_t id, uint16_t number);
static void flight_key(char key[10], uint64_t id, uint16_t number);
static bool pace_allows(const struct destination *destination);
static void set_pace(struct destination *destination);
static void load_state(struct destination *destination);
static void store_failure(struct destination *destination, const struct destination_failure *failure);
static void store_wait(struct destination *destination);

struct destination *destination_new(struct schedule *schedule, struct slice name)
{
    struct destination *destination = calloc(1, sizeof *destination);
    char *copy = malloc(name.length + 1);
    if (destination == NULL || copy == NULL) {
        free(destination);
        free(copy);
        return NULL;
    }
    memcpy(copy, name.data, name.length);
    copy[name.length] = '\0';
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&destination->flights, seed);
    list_init(&destination->deliveries);
    destination->schedule = schedule;
    destination->name = slice_make(copy, name.length);
    destination->may_have_more = true;
    destination->hop = hop_of_destination(schedule, destination->name);
    load_state(destination);
    return destination;
}

void destination_free(struct destination **destination)
{
    if (*destination == NULL)
        return;
    assert(list_is_empty(&(*destination)->deliveries) && (*destination)->flights.count == 0);
    hop_stop_waiting(*destination);
    policy_waits_cancel(*destination);
    map_free(&(*destination)->flights);
    free((void *)(uintptr_t)(*destination)->name.data);
    free(*destination);
    *destination = NULL;
}

static void set_reason(struct destination *destination, struct slice reason)
{
    text_print(destination->reason, sizeof destination->reason, "%.*s", SLICE_ARGS(reason));
}

/* The back-off is on disk, so that a restart does not stampede a host that is down. */
static void load_state(struct destination *destination)
{
    struct relay *relay = destination->schedule->relay;
    struct arena *arena = arena_new(65536);
    struct queue_destination stored;
    if (arena != NULL && queue_destination_get(relay->queue, destination->name, arena, &stored) == ERR_NONE) {
        destination->not_before_ms =
            queue_backoff_clamp_ms(&relay->config->retry, stored.not_before_ms, clock_wall_ms());
        destination->failures = stored.failures;
        destination->failing_since_ms = stored.failing_since_ms;
        set_reason(destination, stored.reason);
    }
    arena_free(&arena);
}

/* What has come in while the window was not empty shows only now: it may be more than the connections that there are should carry, and
 * nothing else asks for another one when all of it is in the queue already. */
static void refill(struct destination *destination)
{
    fill_window(destination);
    if (destination_wants(destination) > destination->deliveries.count)
        schedule_wake(destination->schedule, destination->name);
}

bool destination_take(struct destination *destination, struct queue_pick *pick, const struct hop *held, size_t *taken)
{
    if (destination->not_before_ms > clock_wall_ms() || !pace_allows(destination) || hop_is_paced(destination->hop))
        return false;
    if (schedule_holds(destination->schedule, destination))
        return false;
    bool is_crowded = schedule_is_crowded(destination->schedule) || hop_is_crowded(held);
    if (*taken >= MESSAGES_PER_CONNECTION && is_crowded) {
        schedule_run_soon(destination->schedule); /* the caller's place is free now, or will be when asked for */
        return false;
    }
    if (destination->window_count == 0)
        refill(destination);
    while (destination->window_count > 0) {
        *pick = destination->window[destination->window_start++];
        destination->window_count--;
        destination->last_sender = pick->sender_hash;
        if (destination_fly(destination, pick->id, pick->number)) {
            (*taken)++;
            destination->is_urgent = false;
            set_pace(destination);
            return true;
        }
        destination->may_have_more = true; /* memory is short, or others have taken it out of turn */
    }
    return false;
}

void destination_put_first(struct destination *destination, const struct queue_pick *pick)
{
    if (destination->window_start == 0) {
        size_t count = destination->window_count;
        if (count == DESTINATION_WINDOW_MAX) {
            destination->may_have_more = true; /* the last one is in the queue */
            destination->window_count = --count;
        }
        memmove(destination->window + 1, destination->window, count * sizeof *destination->window);
        destination->window_start = 1;
    }
    destination->window[--destination->window_start] = *pick;
    destination->window_count++;
}

bool destination_fly(struct destination *destination, uint64_t id, uint16_t number)
{
    struct flight *flight = calloc(1, sizeof *flight);
    if (flight == NULL)
        return false;
    flight_key(flight->key, id, number);
    struct slice key = slice_make(flight->key, sizeof flight->key);
    if (map_get(&destination->flights, key) == NULL && map_add(&destination->flights, &flight->node, key) == ERR_NONE)
        return true;
    free(flight);
    return false;
}

void destination_try_now(struct destination *destination)
{
    destination->not_before_ms = 0;
    destination->may_have_more = true;
    destination->is_urgent = true;
    destination->window_count = 0;
}

void destination_pause(struct destination *destination)
{
    destination->may_have_more = true;
    destination->window_count = 0;
    destination->pace_next_ms = clock_monotonic_ms() + PAUSE_MS;
}

static void set_pace(struct destination *destination)
{
    struct config_limits limits = config_limits_find(destination->schedule->relay->config, destination->name);
    if (limits.rate.messages > 0)
        destination->pace_next_ms = clock_monotonic_ms() + limits.rate.per_ms / limits.rate.messages;
}

void destination_release(struct destination *destination, uint64_t id, uint16_t number)
{
    char key[10];
    flight_key(key, id, number);
    struct map_node *node = map_get(&destination->flights, slice_make(key, sizeof key));
    assert(node != NULL);
    struct flight *flight = LIST_OF(node, struct flight, node);
    map_remove(&destination->flights, node);
    free(flight);
    schedule_recorded(destination->schedule);
    if (destination->flights.count == 0)
        schedule_wake(destination->schedule, destination->name);
}

static void flight_key(char key[10], uint64_t id, uint16_t number)
{
    memcpy(key, &id, sizeof id);
    memcpy(key + sizeof id, &number, sizeof number);
}

static bool is_flying(void *owner, uint64_t id, uint16_t number)
{
    return destination_is_flying(owner, id, number);
}

bool destination_is_flying(const struct destination *destination, uint64_t id, uint16_t number)
{
    char key[10];
    flight_key(key, id, number);
    return map_get(&destination->flights, slice_make(key, sizeof key)) != NULL;
}

static void fill_window(struct destination *destination)
{
    if (!destination->may_have_more)
        return;
    struct queue_window_request request = {
        .destination = destination->name,
        .now_ms = clock_wall_ms(),
        .per_sender = DESTINATION_PER_SENDER_MAX,
        .limit = DESTINATION_WINDOW_MAX,
        .skip = is_flying,
        .owner = destination,
        .first_sender = destination->last_sender,
    };
    destination->window_start = 0;
    if (queue_window(destination->schedule->relay->queue, &request, destination->window, &destination->window_count) !=
        ERR_NONE)
        destination->window_count = 0;
    destination->may_have_more = destination->window_count > 0;
}

bool destination_has_work(struct destination *destination)
{
    if (destination->not_before_ms > clock_wall_ms())
        return false;
    if (destination->window_count == 0)
        fill_window(destination);
    return destination->window_count > 0;
}

size_t destination_limit(const struct destination *destination)
{
    size_t most = config_limits_find(destination->schedule->relay->config, destination->name).connections;
    bool may_grow = destination->through_count == 0 || destination->grow_ms <= clock_monotonic_ms();
    size_t limit = destination->through_count + may_grow;
    return limit < most ? limit : most;
}

/* One for so many that wait. */
size_t destination_wants(struct destination *destination)
{
    if (!destination_has_work(destination) || !pace_allows(destination))
        return destination->deliveries.count;
    size_t wanted = 1 + (destination->window_count + destination->flights.count) / MESSAGES_PER_CONNECTION;
    size_t limit = destination_limit(destination);
    return wanted < limit ? wanted : limit;
}

bool destination_is_unused(const struct destination *destination)
{
    return list_is_empty(&destination->deliveries) && destination->flights.count == 0 &&
           destination->stores_pending == 0 && destination->look.state == POLICY_LOOK_NONE && pace_allows(destination) &&
           !list_has(&destination->hop_node);
}

static bool pace_allows(const struct destination *destination)
{
    return destination->pace_next_ms <= clock_monotonic_ms();
}

void destination_got_through(struct destination *destination, bool *is_through)
{
    bool is_over = destination->grow_ms != 0 && destination->grow_ms <= clock_monotonic_ms();
    if (*is_through && !is_over)
        return;
    if (is_over)
        destination->grow_ms = 0;
    if (!*is_through)
        destination->through_count++;
    *is_through = true;
    schedule_wake(destination->schedule, destination->name);
}

void destination_hung_up(struct destination *destination, bool *is_through)
{
    if (*is_through)
        destination->through_count--;
    *is_through = false;
}

void destination_proven(struct destination *destination)
{
    if (destination->failures == 0)
        return;
    destination->failures = 0;
    destination->failing_since_ms = 0;
    destination->not_before_ms = 0;
    set_reason(destination, SLICE_EMPTY);
    store_failure(destination, NULL);
}

/* ---- how long it waits ---- */

static bool is_untried(const struct destination *destination, const struct queue_pick *pick, struct arena *arena)
{
    struct queue_entry entry;
    arena_reset(arena);
    return queue_entry_get(destination->schedule->relay->queue, pick->id, pick->number, arena, &entry) == ERR_NONE &&
           entry.attempts == 0;
}

/* Among what is due; what is tried at this moment does not count. */
static bool has_untried(struct destination *destination)
{
    struct arena *arena = arena_new(1u << 20);
    bool found = false;
    destination->may_have_more = true;
    fill_window(destination);
    for (size_t i = 0; arena != NULL && i < destination->window_count && !found; i++)
        found = is_untried(destination, &destination->window[destination->window_start + i], arena);
    arena_free(&arena);
    return found;
}

int64_t destination_next_ms(struct destination *destination)
{
    const struct queue_schedule *retry = &destination->schedule->relay->config->retry;
    int64_t now_ms = clock_wall_ms();
    if (destination->not_before_ms > now_ms)
        return destination->not_before_ms; /* another delivery has found out */
    uint32_t dice = (uint32_t)dice_below((uint64_t)UINT32_MAX + 1);
    int64_t next_ms = queue_backoff_next_ms(retry, destination->failures + 1, now_ms, dice);
    int64_t latest_ms = now_ms + DESTINATION_UNTRIED_MS;
    return next_ms > latest_ms && has_untried(destination) ? latest_ms : next_ms;
}

size_t destination_waiting(const struct destination *destination)
{
    struct queue_pick *picks = calloc(DESTINATION_WAITING_MAX, sizeof *picks);
    size_t count = 0;
    struct queue_window_request request = {
        .destination = destination->name,
        .now_ms = clock_wall_ms(),
        .per_sender = DESTINATION_WAITING_MAX,
        .limit = DESTINATION_WAITING_MAX,
    };
    if (picks == NULL || queue_window(destination->schedule->relay->queue, &request, picks, &count) != ERR_NONE)
        count = 0;
    free(picks);
    return count;
}

void destination_arrived(struct destination *destination)
{
    int64_t latest_ms = clock_wall_ms() + DESTINATION_UNTRIED_MS;
    destination->has_arrived = destination->stores_pending > 0;
    if (destination->not_before_ms <= latest_ms || destination->has_arrived)
        return;
    destination->not_before_ms = latest_ms;
    store_wait(destination);
}

void destination_failed(struct destination *destination, const struct destination_failure *failure)
{
    destination->tried_ms = clock_monotonic_ms();
    if (destination->through_count > 0) {
        destination->grow_ms = destination->tried_ms + GROW_AGAIN_MS;
        return;
    }
    if (destination->not_before_ms > clock_wall_ms())
        return; /* another delivery has said so already */
    destination->failures++;
    if (destination->failing_since_ms == 0)
        destination->failing_since_ms = clock_wall_ms();
    destination->not_before_ms = failure->next_ms;
    set_reason(destination, failure->reason);
    destination->window_count = 0;
    destination->may_have_more = true;
    store_failure(destination, failure);
}

/* ---- storing the back-off ---- */

struct state_write {
    struct journal_write write;
    struct queue_change change;
    struct queue_destination state;
    struct destination *destination;
    struct arena *arena;
};

static void state_written(struct journal_write *write, enum err err)
{
    /* A back-off that could not be stored only costs a try too many after a restart; the journal has said what failed. */
    (void)err;
    struct state_write *state = LIST_OF(write, struct state_write, write);
    state->destination->stores_pending--;
    if (state->destination->has_arrived)
        destination_arrived(state->destination);
    schedule_wake(state->destination->schedule, state->destination->name);
    arena_free(&state->arena);
    free(state);
}

static void submit_state(struct destination *destination, struct state_write *state)
{
    state->destination = destination;
    destination->stores_pending++;
    state->change = (struct queue_change){.kind = QUEUE_CHANGE_DESTINATION, .destination = &state->state};
    state->write = (struct journal_write){.changes = &state->change, .change_count = 1, .done = state_written};
    journal_submit(destination->schedule->relay->journal, &state->write);
}

static void store_failure(struct destination *destination, const struct destination_failure *failure)
{
    struct state_write *state = calloc(1, sizeof *state);
    struct arena *arena = arena_new(65536);
    if (state == NULL || arena == NULL || !arena_slice(arena, destination->name, &state->state.name))
        goto failed;
    state->arena = arena;
    if (failure != NULL) {
        state->state.not_before_ms = destination->not_before_ms;
        state->state.failures = destination->failures;
        state->state.failing_since_ms = destination->failing_since_ms;
        if (!arena_slice(arena, failure->reason, &state->state.reason) ||
            !arena_slice(arena, failure->text, &state->state.text) || !arena_slice(arena, failure->why, &state->state.why))
            goto failed;
    }
    submit_state(destination, state);
    return;
failed:
    arena_free(&arena);
    free(state);
}

/* All else that is known of it stays as it is stored. */
static void store_wait(struct destination *destination)
{
    struct state_write *state = calloc(1, sizeof *state);
    struct arena *arena = arena_new(65536);
    struct queue *queue = destination->schedule->relay->queue;
    if (state == NULL || arena == NULL ||
        queue_destination_get(queue, destination->name, arena, &state->state) != ERR_NONE) {
        arena_free(&arena);
        free(state);
        return;
    }
    state->arena = arena;
    state->state.not_before_ms = destination->not_before_ms;
    submit_state(destination, state);
}
