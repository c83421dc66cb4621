#include "relay/schedule.h"

#include "relay/aging.h"
#include "relay/config.h"
#include "relay/delivery.h"
#include "relay/hop.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/rewind.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define READY_PAGE 64
/* Outcomes that wait to be written: with so many nothing more is taken, until half of them are. */
#define BACKLOG_MAX 1000
#define HELD_LOOK_MS 100
/* When all places are taken so many destinations wait for one in memory, and they are looked for so often. */
#define WAITING_MAX 64
#define WAITING_LOOK_MS 1000
/* Where many are ready that cannot go, since their next hop is full, one look sees so many pages, and the next one comes so soon. */
#define PAGES_MAX 64
#define CUT_LOOK_MS 100
#define AGING_INTERVAL_MS INT64_C(60000)
#define AGING_INTERVAL_MIN_MS INT64_C(1000)
/* The longest sleep: a wall clock that steps is noticed after that at the latest. */
#define SLEEP_MAX_MS 60000

static void on_timer(struct timer *timer);
static void on_run(struct timer *timer);
static void on_aging(struct timer *timer);
static int64_t aging_interval_ms(const struct schedule *schedule);
static bool is_behind(const struct schedule *schedule);
static void each_delivery(struct schedule *schedule, void (*act)(struct delivery *delivery));
static struct destination *find(const struct schedule *schedule, struct slice name);
static void enter_turn(struct schedule *schedule, struct destination *destination);
static bool waits_in_queue(struct destination *destination);
static void forget_unused(struct schedule *schedule, struct destination *destination);
static bool gather_ready(struct schedule *schedule);
static void give_places_back(struct schedule *schedule);
static void start_deliveries(struct schedule *schedule);
static bool wants_another(struct destination *destination);
static bool hurry_slow(struct schedule *schedule);
static void note_pace(struct schedule *schedule, struct destination *destination);
static void sleep_until_next(struct schedule *schedule, int64_t longest_ms);

struct schedule *schedule_new(struct relay *relay)
{
    struct schedule *schedule = calloc(1, sizeof *schedule);
    if (schedule == NULL)
        return NULL;
    uint64_t seed[2] = {dice_u64(), dice_u64()};
    map_init(&schedule->destinations, seed);
    hop_init(schedule);
    list_init(&schedule->turns);
    list_init(&schedule->idles);
    list_init(&schedule->places_wanted);
    schedule->lent_max = PLACES_LENT_MAX;
    schedule->relay = relay;
    timer_start(&schedule->run_timer, 0, on_run);
    timer_start(&schedule->aging_timer, aging_interval_ms(schedule), on_aging);
    return schedule;
}

void schedule_free(struct schedule **schedule)
{
    if (*schedule == NULL)
        return;
    timer_cancel(&(*schedule)->timer);
    timer_cancel(&(*schedule)->run_timer);
    timer_cancel(&(*schedule)->aging_timer);
    struct map_node *node = map_first(&(*schedule)->destinations);
    while (node != NULL) {
        struct destination *destination = LIST_OF(node, struct destination, node);
        node = map_after(&(*schedule)->destinations, node);
        map_remove(&(*schedule)->destinations, &destination->node);
        destination_free(&destination);
    }
    map_free(&(*schedule)->destinations);
    hop_free_all(*schedule);
    free(*schedule);
    *schedule = NULL;
}

static struct destination *find(const struct schedule *schedule, struct slice name)
{
    struct map_node *node = map_get(&schedule->destinations, name);
    return node == NULL ? NULL : LIST_OF(node, struct destination, node);
}

struct destination *schedule_destination(struct schedule *schedule, struct slice name)
{
    struct destination *destination = find(schedule, name);
    if (destination != NULL)
        return destination;
    destination = destination_new(schedule, name);
    if (destination == NULL)
        return NULL;
    if (map_add(&schedule->destinations, &destination->node, destination->name) != ERR_NONE)
        destination_free(&destination);
    return destination;
}

/* ---- what may happen at any time ---- */

void schedule_run_soon(struct schedule *schedule)
{
    if (!schedule->is_stopping && !timer_is_running(&schedule->run_timer))
        timer_start(&schedule->run_timer, 0, on_run);
}

/* Without memory its wait stays as it is. */
void schedule_arrived(struct schedule *schedule, struct slice name)
{
    struct destination *destination = schedule_destination(schedule, name);
    if (destination != NULL) {
        destination_arrived(destination);
        policy_waits_arrived(destination);
    }
    schedule_wake(schedule, name);
}

void schedule_wake(struct schedule *schedule, struct slice name)
{
    struct destination *destination = find(schedule, name);
    if (destination != NULL) {
        destination->may_have_more = true;
        if (!waits_in_queue(destination))
            enter_turn(schedule, destination);
    }
    schedule_run_soon(schedule);
}

void schedule_reload(struct schedule *schedule)
{
    hop_reload(schedule);
    each_delivery(schedule, delivery_reload);
    struct map_node *node = map_first(&schedule->destinations);
    for (; node != NULL; node = map_after(&schedule->destinations, node)) {
        struct destination *destination = LIST_OF(node, struct destination, node);
        destination->not_before_ms = 0;
        destination->may_have_more = true;
        enter_turn(schedule, destination);
    }
    schedule_run_soon(schedule);
}

void schedule_ended(struct schedule *schedule, struct destination *destination)
{
    schedule->delivery_count--;
    if (!waits_in_queue(destination))
        enter_turn(schedule, destination);
    else if (list_has(&destination->turn))
        list_remove(&schedule->turns, &destination->turn);
    schedule_run_soon(schedule);
    if (schedule->is_stopping)
        relay_part_ended(schedule->relay);
}

static void on_timer(struct timer *timer)
{
    struct schedule *schedule = LIST_OF(timer, struct schedule, timer);
    schedule_run_soon(schedule);
}

/* Each minute, but in time where mail waits for less. */
static int64_t aging_interval_ms(const struct schedule *schedule)
{
    const struct config *config = schedule->relay->config;
    int64_t least_ms = config->warn_ms > 0 && config->warn_ms < config->expire_ms ? config->warn_ms : config->expire_ms;
    int64_t interval_ms = least_ms / 4 < AGING_INTERVAL_MS ? least_ms / 4 : AGING_INTERVAL_MS;
    return interval_ms > AGING_INTERVAL_MIN_MS ? interval_ms : AGING_INTERVAL_MIN_MS;
}

static void on_aging(struct timer *timer)
{
    struct schedule *schedule = LIST_OF(timer, struct schedule, aging_timer);
    if (!schedule->is_stopping)
        rewind_waits(schedule);
    int64_t wait_ms = is_behind(schedule) ? HELD_LOOK_MS : aging_run(schedule) ? 0 : aging_interval_ms(schedule);
    timer_start(&schedule->aging_timer, wait_ms, on_aging);
}

/* ---- deliveries that are faster than the disk ---- */

static bool is_behind(const struct schedule *schedule)
{
    return journal_backlog(schedule->relay->journal) >= (schedule->is_held ? BACKLOG_MAX / 2 : BACKLOG_MAX);
}

bool schedule_holds(struct schedule *schedule, struct destination *destination)
{
    if (!is_behind(schedule))
        return false;
    enter_turn(schedule, destination);
    schedule_run_soon(schedule);
    return true;
}

void schedule_recorded(struct schedule *schedule)
{
    if (schedule->is_held && !is_behind(schedule))
        schedule_run_soon(schedule);
}

/* ---- a turn ---- */

static void on_run(struct timer *timer)
{
    struct schedule *schedule = LIST_OF(timer, struct schedule, run_timer);
    if (schedule->is_stopping)
        return;
    if (is_behind(schedule)) {
        schedule->is_held = true;
        timer_start(&schedule->timer, HELD_LOOK_MS, on_timer);
        return;
    }
    schedule->is_held = false;
    give_places_back(schedule);
    bool has_looked = gather_ready(schedule);
    schedule->hop_next_ms = hop_let_in(schedule);
    start_deliveries(schedule);
    bool is_crowded = hurry_slow(schedule);
    sleep_until_next(schedule, schedule->is_cut                  ? CUT_LOOK_MS
                               : has_looked && !is_crowded ? SLEEP_MAX_MS
                                                           : WAITING_LOOK_MS);
}

/* Whoever had a turn, or has new mail, goes to the end of the line that the queue keeps, where gather_ready() finds it when the
 * others had theirs. Only who is to be tried before the queue's time is not found there, and who is paced has a time of its own. */
static bool waits_in_queue(struct destination *destination)
{
    return list_is_empty(&destination->deliveries) && !destination->is_urgent && wants_another(destination);
}

static void enter_turn(struct schedule *schedule, struct destination *destination)
{
    if (!list_has(&destination->turn))
        list_add_last(&schedule->turns, &destination->turn);
}

static size_t count_taken(const struct schedule *schedule)
{
    return schedule->delivery_count - schedule->lent_count;
}

bool schedule_has_room(const struct schedule *schedule)
{
    return count_taken(schedule) < schedule->relay->config->delivery_connections_max;
}

/* What is ready is known to be so by the queue alone: also what is in flight. Without room only those count that have no place. */
static bool can_use_place(const struct schedule *schedule, struct destination *destination)
{
    size_t count = destination->deliveries.count;
    bool is_full = count >= destination_limit(destination) && destination->idle_count == 0;
    if ((count > 0 && (!schedule_has_room(schedule) || is_full)) || hop_is_closed(destination->hop))
        return false;
    destination->may_have_more = true;
    return wants_another(destination) || (destination->idle_count > 0 && destination_has_work(destination));
}

static size_t count_usable(const struct schedule *schedule)
{
    size_t usable = 0;
    for (const struct list_node *node = list_first(&schedule->turns); node != NULL; node = list_next(&schedule->turns, node))
        usable += can_use_place(schedule, LIST_OF(node, struct destination, turn));
    return usable;
}

/* One page of what is ready. Returns how many more can use a place now. */
static size_t take_page(struct schedule *schedule, const struct queue_ready *page, size_t count)
{
    size_t usable = 0;
    for (size_t i = 0; i < count; i++) {
        struct destination *destination = find(schedule, page[i].name);
        if (destination == NULL && hop_is_closed(hop_of_destination(schedule, page[i].name)))
            continue; /* found again when others of its hop have gone */
        if (destination == NULL)
            destination = schedule_destination(schedule, page[i].name);
        if (destination == NULL || list_has(&destination->turn) || list_has(&destination->hop_node))
            continue;
        if (can_use_place(schedule, destination)) {
            enter_turn(schedule, destination);
            usable++;
        } else {
            forget_unused(schedule, destination);
        }
    }
    return usable;
}

/* last: NULL: at the front. */
static void remember_place(struct schedule *schedule, const struct queue_ready *last)
{
    size_t length = last == NULL ? 0 : last->name.length;
    assert(length <= sizeof schedule->gathered_name);
    schedule->gathered = (struct queue_ready){0};
    if (length == 0)
        return;
    memcpy(schedule->gathered_name, last->name.data, length);
    schedule->gathered = (struct queue_ready){.time_ms = last->time_ms, .name = {schedule->gathered_name, length}};
}

/* Makes those destinations known that are ready: as many as there is room for, and some that wait. It goes on where the last look
 * ended, so that those with much mail, which stay at the front, do not hide all behind them; and those that have what they can use
 * do not count, or some that hang would. False: there is no room, and it looked but lately. */
static bool gather_ready(struct schedule *schedule)
{
    int64_t now_ms = clock_monotonic_ms();
    int64_t look_ms = schedule->is_cut ? CUT_LOOK_MS : schedule_has_room(schedule) ? 0 : WAITING_LOOK_MS;
    if (now_ms - schedule->gathered_ms < look_ms)
        return false;
    schedule->gathered_ms = now_ms;
    schedule->is_cut = false;
    struct arena *arena = arena_new(READY_PAGE * 512);
    size_t places = schedule->relay->config->delivery_connections_max;
    size_t taken = count_taken(schedule);
    size_t wanted = WAITING_MAX + (places > taken ? places - taken : 0);
    size_t usable = count_usable(schedule);
    unsigned ends = schedule->gathered.name.length == 0 ? 1 : 0; /* at the second end it has been once around */
    for (size_t pages = 0; arena != NULL && usable < wanted && ends < 2; pages++) {
        schedule->is_cut = pages >= PAGES_MAX;
        if (schedule->is_cut)
            break;
        struct queue_ready page[READY_PAGE];
        size_t count = 0;
        struct queue_ready_request request = {
            .now_ms = clock_wall_ms(),
            .after = schedule->gathered.name.length > 0 ? &schedule->gathered : NULL,
            .limit = READY_PAGE,
            .arena = arena,
        };
        if (queue_ready(schedule->relay->queue, &request, page, &count) != ERR_NONE)
            break;
        usable += take_page(schedule, page, count);
        if (count > 0)
            remember_place(schedule, &page[count - 1]);
        if (count < READY_PAGE && ++ends < 2)
            remember_place(schedule, NULL);
        arena_reset(arena);
    }
    arena_free(&arena);
    return true;
}

bool schedule_is_crowded(const struct schedule *schedule)
{
    if (schedule_has_room(schedule))
        return false;
    if (!list_is_empty(&schedule->places_wanted))
        return true;
    for (const struct list_node *node = list_first(&schedule->turns); node != NULL; node = list_next(&schedule->turns, node)) {
        struct destination *destination = LIST_OF(node, struct destination, turn);
        if (list_is_empty(&destination->deliveries) && destination_wants(destination) > 0)
            return true;
    }
    return false;
}

static void wake_idle(struct destination *destination)
{
    struct list_node *node = list_first(&destination->deliveries);
    while (node != NULL && destination->idle_count > 0 && destination_has_work(destination)) {
        struct delivery *delivery = delivery_of(node);
        node = list_next(&destination->deliveries, node);
        if (delivery_is_idle(delivery))
            delivery_wake(delivery);
    }
}

/* An idle connection is a courtesy to its own destination; it ends when another one waits for the place. */
static bool make_room(struct schedule *schedule)
{
    if (schedule_has_room(schedule))
        return true;
    struct list_node *node = list_first(&schedule->idles);
    if (node != NULL)
        delivery_stop(delivery_of_idle(node));
    return schedule_has_room(schedule);
}

static bool wants_another(struct destination *destination)
{
    return destination_wants(destination) > destination->deliveries.count;
}

/* Those that lent their place and have what they waited for. */
static void give_places_back(struct schedule *schedule)
{
    while (!list_is_empty(&schedule->places_wanted) && make_room(schedule))
        delivery_has_place(delivery_of_place(place_give(schedule)));
}

/* One with an open connection of its own waits too, where the hop's rate allows nothing now. */
static bool waits_for_hop(struct destination *destination, bool wants)
{
    if (hop_has_place(destination->hop))
        return false;
    return wants || (hop_is_paced(destination->hop) && destination_has_work(destination));
}

/* Each destination in its turn gets one delivery more if it should have one; then the next one. */
static void start_deliveries(struct schedule *schedule)
{
    size_t rest = schedule->turns.count;
    schedule->pace_next_ms = 0;
    while (rest > 0 && !list_is_empty(&schedule->turns)) { /* an idle one that ends may leave the turns */
        rest--;
        struct destination *destination = LIST_OF(list_take_first(&schedule->turns), struct destination, turn);
        wake_idle(destination);
        bool wants = wants_another(destination);
        if (waits_for_hop(destination, wants)) {
            if (destination->deliveries.count == destination->idle_count)
                hop_wait(destination); /* the others have a place already */
            forget_unused(schedule, destination); /* where the line is too long: it is found again in the queue */
            continue;
        }
        if (wants && !make_room(schedule)) {
            if (!list_has(&destination->turn)) /* one of its own that was idle may have ended meanwhile */
                list_add_first(&schedule->turns, &destination->turn);
            return;
        }
        if (wants && delivery_start(schedule->relay, destination)) {
            schedule->delivery_count++;
            if (wants_another(destination)) {
                enter_turn(schedule, destination);
                rest++;
            }
        } else {
            note_pace(schedule, destination);
            forget_unused(schedule, destination);
        }
    }
}

static void note_pace(struct schedule *schedule, struct destination *destination)
{
    int64_t pace_ms = destination->pace_next_ms;
    if (pace_ms <= clock_monotonic_ms())
        return;
    if (schedule->pace_next_ms == 0 || pace_ms < schedule->pace_next_ms)
        schedule->pace_next_ms = pace_ms;
    enter_turn(schedule, destination);
}

static void forget_unused(struct schedule *schedule, struct destination *destination)
{
    if (!destination_is_unused(destination))
        return;
    if (list_has(&destination->turn))
        list_remove(&schedule->turns, &destination->turn);
    map_remove(&schedule->destinations, &destination->node);
    destination_free(&destination);
}

static void sleep_until_next(struct schedule *schedule, int64_t longest_ms)
{
    int64_t now_ms = clock_wall_ms();
    int64_t next_ms;
    int64_t delay_ms = longest_ms;
    if (queue_ready_next(schedule->relay->queue, now_ms + 1, &next_ms) == ERR_NONE && next_ms - now_ms < delay_ms)
        delay_ms = next_ms - now_ms;
    if (schedule->pace_next_ms != 0 && schedule->pace_next_ms - clock_monotonic_ms() < delay_ms)
        delay_ms = schedule->pace_next_ms - clock_monotonic_ms();
    if (schedule->hop_next_ms != 0 && schedule->hop_next_ms - clock_monotonic_ms() < delay_ms)
        delay_ms = schedule->hop_next_ms - clock_monotonic_ms();
    timer_start(&schedule->timer, delay_ms < 1 ? 1 : delay_ms, on_timer);
}

/* ---- all of them ---- */

static void each_delivery(struct schedule *schedule, void (*act)(struct delivery *delivery))
{
    struct map_node *node = map_first(&schedule->destinations);
    for (; node != NULL; node = map_after(&schedule->destinations, node)) {
        struct destination *destination = LIST_OF(node, struct destination, node);
        struct list_node *delivery = list_first(&destination->deliveries);
        while (delivery != NULL) {
            struct list_node *next = list_next(&destination->deliveries, delivery);
            act(delivery_of(delivery));
            delivery = next;
        }
    }
}

/* They end in a turn of their own. Returns whether somebody waits for their places. */
static bool hurry_slow(struct schedule *schedule)
{
    int64_t now_ms = clock_monotonic_ms();
    if (!schedule_is_crowded(schedule))
        return false;
    if (now_ms - schedule->hurried_ms >= WAITING_LOOK_MS) {
        schedule->hurried_ms = now_ms;
        each_delivery(schedule, delivery_hurry);
    }
    return true;
}

void schedule_stop(struct schedule *schedule)
{
    schedule->is_stopping = true;
    timer_cancel(&schedule->timer);
    timer_cancel(&schedule->run_timer);
    timer_cancel(&schedule->aging_timer);
    each_delivery(schedule, delivery_stop);
    hop_unpark_all(schedule);
}

void schedule_abort(struct schedule *schedule)
{
    each_delivery(schedule, delivery_abort);
}

bool schedule_is_idle(const struct schedule *schedule)
{
    return schedule->delivery_count == 0;
}
