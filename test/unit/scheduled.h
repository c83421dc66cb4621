/* A scheduler with a real queue and journal in a world whose time the test moves (turn.h), and deliveries that the test
 * plays: what becomes of an attempt depends on the first word of the destination's name. hang.…   nothing comes of it,
 * for ever dead.…   the destination as a whole fails after a second; tried again after ten minutes policy.…
 * waits for a policy without a place, then as others   others   each message takes a second and arrives */
#ifndef TEST_UNIT_SCHEDULED_H
#define TEST_UNIT_SCHEDULED_H

#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"
#include "test/unit/turn.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/aging.h"
#include "relay/config.h"
#include "relay/delivery.h"
#include "relay/finder.h"
#include "relay/hop.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/rewind.h"
#include "relay/schedule.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define DEAD_WAIT_MS (10 * MINUTE_MS)
#define HURRIED_MS (30 * SECOND_MS)
#define TRIED_MAX 20000

struct delivery {
    struct list_node node, idle_node;
    struct destination *destination;
    struct queue_pick pick;
    size_t taken;
    struct hop *hop;
    bool is_idle, is_through;
    struct place place;
    int64_t since_ms; /* the attempt */
    struct timer timer;
};

/* Each entry that was tried, in order. */
struct tried {
    uint64_t id;
    int64_t time_ms; /* since the start */
    char name[48];
};

static struct {
    struct relay relay;
    struct config config;
    struct log log;
    struct folder folder;
    uint64_t next_id;
    struct tried tried[TRIED_MAX];
    size_t tried_count, delivered, started, ended, aged, hurried;
    size_t deliveries_most; /* at once */
    int64_t policy_ms;      /* how long "policy." waits */
    size_t hop_most;        /* places held at once at a hop */
    struct finder_request *look; /* at a policy: under way */
    size_t looks;
    char looked_at[64];
    int64_t idle_ms;        /* how long a connection is kept without work; 0: not at all */
    int64_t start_ms;
} test;

static inline struct schedule *schedule(void)
{
    return test.relay.schedule;
}

/* ---- the rest of the relay ---- */

void relay_broken(struct relay *relay, enum err err)
{
    (void)relay;
    fail_msg("the queue is broken: %s", err_text(err));
}

void relay_part_ended(struct relay *relay)
{
    (void)relay;
    test.ended++;
}

bool aging_run(struct schedule *of)
{
    assert_ptr_equal(of, schedule());
    test.aged++;
    return false;
}

#ifndef SCHEDULED_WITH_REWIND
void rewind_release(struct schedule *of, struct slice name, struct slice reason)
{
    (void)name;
    (void)reason;
    assert_ptr_equal(of, schedule());
}

void rewind_waits(struct schedule *of)
{
    assert_ptr_equal(of, schedule());
}
#endif

/* Looks at a policy for the sake of new mail: the test answers. */
void finder_start(struct finder *finder, struct finder_request *request, struct slice domain, enum sts_lookup_purpose purpose)
{
    (void)finder;
    assert_int_equal(purpose, STS_LOOKUP_RENEW);
    assert_null(test.look);
    test.looks++;
    test.look = request;
    text_print(test.looked_at, sizeof test.looked_at, "%.*s", SLICE_ARGS(domain));
}

void finder_cancel(struct finder *finder, struct finder_request *request)
{
    (void)finder;
    assert_ptr_equal(test.look, request);
    test.look = NULL;
}

/* ---- deliveries ---- */

/* As delivery_next_work() does. */
static inline bool delivery_take(struct delivery *delivery)
{
    bool entered = false;
    struct arena *arena = arena_new(1u << 20);
    while (!entered && destination_take(delivery->destination, &delivery->pick, delivery->hop, &delivery->taken)) {
        struct queue_message message;
        arena_reset(arena);
        assert_int_equal(queue_message_get(test.relay.queue, delivery->pick.id, arena, &message), ERR_NONE);
        struct hop *hop = hop_of_message(schedule(), delivery->destination->name, message.sender);
        entered = hop_enter(hop, &delivery->hop);
        if (!entered)
            hop_park(hop, delivery->destination, &delivery->pick);
        if (hop != NULL && hop->connections > test.hop_most)
            test.hop_most = hop->connections;
    }
    arena_free(&arena);
    return entered;
}

struct hop *delivery_hop(const struct delivery *delivery)
{
    return delivery->hop;
}

static inline bool is_kind(const struct delivery *delivery, struct slice kind)
{
    return slice_starts(delivery->destination->name, kind);
}

static void delivery_served(struct timer *timer);
static inline void delivery_knows_policy(struct timer *timer);

static inline void delivery_attempt(struct delivery *delivery)
{
    assert_true(test.tried_count < TRIED_MAX);
    struct tried *tried = &test.tried[test.tried_count++];
    tried->id = delivery->pick.id;
    tried->time_ms = clock_monotonic_ms() - test.start_ms;
    text_print(tried->name, sizeof tried->name, "%.*s", SLICE_ARGS(delivery->destination->name));
    delivery->since_ms = clock_monotonic_ms();
    if (is_kind(delivery, SLICE("policy."))) {
        (void)place_lend(schedule(), &delivery->place);
        timer_start(&delivery->timer, test.policy_ms, delivery_knows_policy);
    } else if (!is_kind(delivery, SLICE("hang."))) {
        timer_start(&delivery->timer, SECOND_MS, delivery_served);
    }
}

static inline void delivery_knows_policy(struct timer *timer)
{
    struct delivery *delivery = LIST_OF(timer, struct delivery, timer);
    if (place_claim(schedule(), &delivery->place))
        delivery_has_place(delivery);
}

void delivery_has_place(struct delivery *delivery)
{
    size_t taken = schedule()->delivery_count - schedule()->lent_count;
    assert_true(taken <= test.config.delivery_connections_max);
    timer_start(&delivery->timer, SECOND_MS, delivery_served);
}

struct delivery *delivery_of_place(struct place *place)
{
    return LIST_OF(place, struct delivery, place);
}

static inline void delivery_end(struct delivery *delivery)
{
    struct destination *destination = delivery->destination;
    timer_cancel(&delivery->timer);
    place_drop(schedule(), &delivery->place);
    destination_hung_up(destination, &delivery->is_through);
    list_remove(&destination->deliveries, &delivery->node);
    hop_leave(destination->schedule, &delivery->hop);
    if (delivery->is_idle) {
        destination->idle_count--;
        list_remove(&destination->schedule->idles, &delivery->idle_node);
    }
    free(delivery);
    schedule_ended(destination->schedule, destination);
}

static inline void delivery_idle_over(struct timer *timer)
{
    delivery_end(LIST_OF(timer, struct delivery, timer));
}

static inline void delivery_rest(struct delivery *delivery)
{
    if (test.idle_ms == 0) {
        delivery_end(delivery);
        return;
    }
    delivery->is_idle = true;
    delivery->destination->idle_count++;
    list_add_last(&schedule()->idles, &delivery->idle_node);
    timer_start(&delivery->timer, test.idle_ms, delivery_idle_over);
}

static inline void delivery_give_back(struct delivery *delivery, enum mail_fate fate, int64_t time_ms)
{
    const struct queue_pick *pick = &delivery->pick;
    assert_int_equal(mail_update(test.relay.queue, pick->id, pick->number, fate, time_ms), ERR_NONE);
    destination_release(delivery->destination, pick->id, pick->number);
}

static void delivery_served(struct timer *timer)
{
    struct delivery *delivery = LIST_OF(timer, struct delivery, timer);
    int64_t next_ms = clock_wall_ms() + DEAD_WAIT_MS;
    if (is_kind(delivery, SLICE("dead.")) || is_kind(delivery, SLICE("hang."))) {
        struct destination_failure failure = {.reason = SLICE("connect"),
                                              .text = SLICE("nobody answers"),
                                              .why = SLICE("{\"problem\":\"nobody answers\"}"),
                                              .next_ms = next_ms};
        delivery_give_back(delivery, MAIL_DEFER, next_ms);
        destination_failed(delivery->destination, &failure);
    } else {
        destination_proven(delivery->destination);
        destination_got_through(delivery->destination, &delivery->is_through);
        delivery_give_back(delivery, MAIL_DELIVER, clock_wall_ms());
        test.delivered++;
    }
    if (delivery_take(delivery))
        delivery_attempt(delivery);
    else
        delivery_rest(delivery);
}

bool delivery_start(struct relay *relay, struct destination *destination)
{
    struct delivery *delivery = calloc(1, sizeof *delivery);
    assert_non_null(delivery);
    assert_ptr_equal(relay, &test.relay);
    delivery->destination = destination;
    if (!delivery_take(delivery)) {
        free(delivery);
        return false;
    }
    test.started++;
    list_add_last(&destination->deliveries, &delivery->node);
    delivery_attempt(delivery);
    size_t taken = schedule()->delivery_count + 1 - schedule()->lent_count;
    if (taken > test.deliveries_most)
        test.deliveries_most = taken;
    return true;
}

void delivery_wake(struct delivery *delivery)
{
    assert_true(delivery->is_idle);
    delivery->is_idle = false;
    delivery->destination->idle_count--;
    list_remove(&schedule()->idles, &delivery->idle_node);
    timer_cancel(&delivery->timer);
    delivery->taken = 0;
    if (delivery_take(delivery))
        delivery_attempt(delivery);
    else
        delivery_rest(delivery);
}

bool delivery_is_idle(const struct delivery *delivery)
{
    return delivery->is_idle;
}

/* What hangs is given up as if it were dead. */
void delivery_hurry(struct delivery *delivery)
{
    test.hurried++;
    if (is_kind(delivery, SLICE("hang.")) && clock_monotonic_ms() - delivery->since_ms >= HURRIED_MS)
        timer_start(&delivery->timer, 0, delivery_served);
}

void delivery_stop(struct delivery *delivery)
{
    if (!delivery->is_idle)
        destination_release(delivery->destination, delivery->pick.id, delivery->pick.number);
    delivery_end(delivery);
}

void delivery_reload(struct delivery *delivery)
{
    (void)delivery;
}

void delivery_abort(struct delivery *delivery)
{
    delivery_stop(delivery);
}

struct delivery *delivery_of(struct list_node *node)
{
    return LIST_OF(node, struct delivery, node);
}

struct delivery *delivery_of_idle(struct list_node *node)
{
    return LIST_OF(node, struct delivery, idle_node);
}

/* ---- set-up ---- */

static inline void open_queue(void)
{
    struct buffer fault;
    struct queue_options options = {
        .path = slice_of(folder_path(&test.folder, "queue")), .map_size = 256u << 20, .done_keep_ms = HOUR_MS};
    buffer_init(&fault, 4096);
    assert_int_equal(queue_open(&options, &test.relay.queue, &fault), ERR_NONE);
    buffer_free(&fault);
}

static inline void no_line(struct log *log, struct slice line)
{
    (void)log;
    (void)line;
}

static inline void start_relay(void)
{
    test.relay.journal = journal_new(&test.relay);
    test.relay.schedule = schedule_new(&test.relay);
    assert_true(test.relay.journal != NULL && test.relay.schedule != NULL);
}

/* As at the end of the program: deliveries give back what they have. */
static inline void stop_relay(void)
{
    schedule_stop(schedule());
    turn_settle();
    assert_true(schedule_is_idle(schedule()) && journal_is_idle(test.relay.journal));
    schedule_free(&test.relay.schedule);
    journal_free(&test.relay.journal);
    assert_int_equal(turn_running(), 0);
}

static inline int set_up(void **state)
{
    (void)state;
    turn_start();
    memset(&test, 0, sizeof test);
    test.log = (struct log){.level = LOG_INFO, .write = no_line};
    test.config.delivery_connections_max = 200;
    test.config.per_destination = 20;
    test.config.sts_enabled = true;
    test.config.retry = (struct queue_schedule){.wait_ms = {MINUTE_MS, HOUR_MS}, .count = 2};
    test.config.expire_ms = 5 * DAY_MS;
    test.relay.config = &test.config;
    test.relay.log = &test.log;
    test.start_ms = clock_monotonic_ms();
    folder_make(&test.folder);
    open_queue();
    start_relay();
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    stop_relay();
    queue_close(&test.relay.queue);
    folder_remove(&test.folder);
    return 0;
}

#define SCHEDULE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

/* ---- mail ---- */

static inline uint64_t mail_due(const char *from, const char *to, int64_t due_ms)
{
    struct mail mail = {
        .id = queue_id_make(clock_wall_ms(), (uint32_t)++test.next_id), .from = from, .to = {to}, .due_ms = due_ms};
    assert_int_equal(mail_accept(test.relay.queue, &mail), ERR_NONE);
    return mail.id;
}

/* As its commit does: the scheduler is told. */
static inline uint64_t mail_now(const char *from, const char *to)
{
    uint64_t id = mail_due(from, to, clock_wall_ms());
    schedule_wake(schedule(), slice_of(to));
    return id;
}

static inline void mail_many(const char *from, const char *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        mail_due(from, to, clock_wall_ms());
    schedule_wake(schedule(), slice_of(to));
}

static inline size_t tried_of(const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < test.tried_count; i++)
        count += strcmp(test.tried[i].name, name) == 0;
    return count;
}

/* When the entry was tried first, since the start; -1: never. */
static inline int64_t tried_at(uint64_t id)
{
    for (size_t i = 0; i < test.tried_count; i++) {
        if (test.tried[i].id == id)
            return test.tried[i].time_ms;
    }
    return -1;
}

#endif
