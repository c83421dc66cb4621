/* Messages whose time is over although their destination waits: they bounce, but not for the sake of a policy of which
 * nobody knows whether it is still the newest. RFC 8461 5.1. */
#include "test/unit/check.h"
#include "test/unit/turn.h"

#include "relay/aging.h"
#include "relay/config.h"
#include "relay/record.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

static struct {
    struct relay relay;
    struct config config;
    struct schedule schedule;
    struct destination destination;
    struct queue_destination known;
    struct queue_message message;
    struct queue_recipient recipient;
    struct queue_entry entry;
    size_t message_count; /* from that id on, all alike */
    uint64_t flying_id;   /* of the message all of which is being delivered, or waits for its turn at a next hop */
    size_t recorded, records, woken, tried;
    unsigned in_flight; /* entries that are being delivered: a bit each */
    uint32_t held_count;  /* the first so many entries are held */
    char text[64]; /* what the recipient is told */
} test;

/* ---- a queue of messages that are all alike ---- */

enum err queue_list(struct queue *queue, struct queue_listing *listing)
{
    (void)queue;
    struct queue_message message = test.message;
    size_t visited = 0;
    bool goes_on = true;
    uint64_t end_id = test.message.id + test.message_count;
    for (uint64_t id = test.message.id; id < end_id; id++) {
        uint32_t from = listing->after_id < id ? 0 : listing->after_id > id || listing->after_number == 0 ? UINT32_MAX : listing->after_number;
        for (uint32_t i = from; i < test.message.entry_count && goes_on && visited < listing->limit; i++) {
            message.id = test.entry.id = id;
            test.entry.number = (uint16_t)i;
            test.entry.held = i < test.held_count;
            goes_on = listing->visit(listing->owner, &message, &test.entry);
            listing->after_id = id;
            listing->after_number = i + 1;
            visited++;
        }
    }
    return goes_on && visited < listing->limit ? ERR_END : ERR_NONE;
}

enum err queue_entry_get(struct queue *queue, uint64_t id, uint16_t number, struct arena *arena,
                         struct queue_entry *entry)
{
    (void)queue;
    (void)arena;
    *entry = test.entry;
    entry->id = id;
    entry->number = number;
    return ERR_NONE;
}

enum err queue_message_get(struct queue *queue, uint64_t id, struct arena *arena, struct queue_message *message)
{
    (void)queue;
    (void)arena;
    *message = test.message;
    message->id = id;
    return ERR_NONE;
}

enum err queue_destination_get(struct queue *queue, struct slice name, struct arena *arena,
                               struct queue_destination *destination)
{
    (void)queue;
    (void)name;
    (void)arena;
    *destination = test.known;
    return test.known.reason.length > 0 ? ERR_NONE : ERR_NOT_FOUND;
}

struct destination *schedule_destination(struct schedule *schedule, struct slice name)
{
    (void)schedule;
    (void)name;
    return &test.destination;
}

void schedule_wake(struct schedule *schedule, struct slice destination)
{
    (void)schedule;
    check_slice("woken", destination, SLICE("a.example"));
    test.woken++;
}

bool destination_fly(struct destination *destination, uint64_t id, uint16_t number)
{
    (void)destination;
    return id != test.flying_id && (number >= 32 || (test.in_flight & 1u << number) == 0);
}

void destination_try_now(struct destination *destination)
{
    destination->not_before_ms = 0;
    test.tried++;
}

void record_outcomes(struct relay *relay, const struct record_request *requests, size_t count)
{
    (void)relay;
    test.recorded += count;
    test.records++;
    snprintf(test.text, sizeof test.text, "%.*s", SLICE_ARGS(requests[0].entry->recipients[0].text));
}

static void start(const char *reason, int64_t tried_ms)
{
    memset(&test, 0, sizeof test);
    turn_start();
    turn_for(HOUR_MS);
    test.config.expire_ms = 5 * DAY_MS;
    test.relay.config = &test.config;
    struct steady_reading clocks;
    steady_read(&clocks);
    steady_open(&test.relay.steady, NULL, &clocks);
    test.schedule.relay = &test.relay;
    test.destination.not_before_ms = clock_wall_ms() + HOUR_MS;
    test.destination.tried_ms = tried_ms == 0 ? 0 : clock_monotonic_ms() - tried_ms;
    test.known = (struct queue_destination){
        .name = SLICE("a.example"), .reason = slice_of(reason), .text = SLICE("no STARTTLS")};
    test.message = (struct queue_message){.id = 7, .arrival_ms = clock_wall_ms() - 5 * DAY_MS - MINUTE_MS, .entry_count = 1};
    test.message_count = 1;
    test.entry = (struct queue_entry){
        .id = 7, .destination = SLICE("a.example"), .recipients = &test.recipient, .recipient_count = 1};
    test.recipient = (struct queue_recipient){.text = SLICE_EMPTY};
}

static const struct {
    const char *name, *reason;
    int64_t tried_ms; /* ago; 0: not since the start */
    bool is_tried;    /* else it bounces */
} cases[] = {
    {"the policy, tried an hour ago", "policy", HOUR_MS, true},
    {"TLS, tried an hour ago", "tls", HOUR_MS, true},
    {"the policy, not tried since the start", "policy", 0, true},
    {"the policy, tried a minute ago", "policy", MINUTE_MS, false},
    {"DNS, tried an hour ago", "dns", HOUR_MS, true},
    {"DNS, tried a minute ago", "dns", MINUTE_MS, false},
    {"a greeting, tried an hour ago", "reply", HOUR_MS, true},
    {"no connection, tried an hour ago", "connect", HOUR_MS, false},
};

static void test_a_last_attempt_before_the_bounce(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        start(cases[i].reason, cases[i].tried_ms);
        assert_false(aging_run(&test.schedule));
        check_number(cases[i].name, test.tried, cases[i].is_tried);
        check_number(cases[i].name, test.woken, cases[i].is_tried);
        check_number(cases[i].name, test.recorded, !cases[i].is_tried);
        check_slice(cases[i].name, slice_of(test.text), cases[i].is_tried ? SLICE_EMPTY : SLICE("no STARTTLS"));
        /* The attempt decides; until it has, nothing bounces by age. */
        if (cases[i].is_tried) {
            assert_false(aging_run(&test.schedule));
            check_number(cases[i].name, test.recorded, 0);
            test.destination.not_before_ms = clock_wall_ms() + HOUR_MS;
            test.destination.tried_ms = clock_monotonic_ms();
            assert_false(aging_run(&test.schedule));
            check_number(cases[i].name, test.recorded, 1);
        }
    }
}

static void test_what_is_young_or_held_stays(void **state)
{
    (void)state;
    start("policy", HOUR_MS);
    test.message.arrival_ms += HOUR_MS;
    assert_false(aging_run(&test.schedule));
    check_number("young", test.recorded + test.tried, 0);
    start("policy", HOUR_MS);
    test.held_count = 1;
    assert_false(aging_run(&test.schedule));
    check_number("held", test.recorded + test.tried, 0);
}

/* Forged time bounces nothing and tells nobody of a delay; nor does a clock that went back keep mail for ever. */
static void test_a_leap_ages_nothing(void **state)
{
    (void)state;
    start("connect", HOUR_MS);
    test.config.warn_ms = 4 * HOUR_MS;
    test.message.arrival_ms = steady_now_ms(&test.relay.steady) - HOUR_MS;
    turn_step_wall(400 * DAY_MS);
    assert_false(aging_run(&test.schedule));
    check_number("a leap forward", test.recorded, 0);
    turn_step_wall(-800 * DAY_MS);
    test.destination.not_before_ms = clock_wall_ms() + 9 * DAY_MS;
    turn_for(2 * HOUR_MS);
    assert_false(aging_run(&test.schedule));
    check_number("three hours old", test.recorded, 0);
    turn_for(2 * HOUR_MS);
    assert_false(aging_run(&test.schedule));
    check_number("five hours old", test.recorded, 1);
    test.entry.warned = true;
    turn_for(5 * DAY_MS);
    test.destination.not_before_ms = clock_wall_ms() + DAY_MS;
    assert_false(aging_run(&test.schedule));
    check_number("five days old", test.recorded, 2);
}

static void test_a_notice_needs_no_attempt(void **state)
{
    (void)state;
    start("policy", HOUR_MS);
    test.config.warn_ms = 4 * HOUR_MS;
    test.message.arrival_ms = clock_wall_ms() - DAY_MS;
    test.entry.attempts = 3;
    assert_false(aging_run(&test.schedule));
    check_number("recorded", test.recorded, 1);
    check_number("tried", test.tried, 0);
}

static void start_notice(uint32_t entries, unsigned in_flight)
{
    start("connect", HOUR_MS);
    test.config.warn_ms = 4 * HOUR_MS;
    test.message.arrival_ms = clock_wall_ms() - DAY_MS;
    test.message.entry_count = entries;
    test.in_flight = in_flight;
}

/* One record, and so one report, tells of all its destinations. */
static void test_one_notice_of_a_message(void **state)
{
    (void)state;
    start_notice(3, 0);
    assert_false(aging_run(&test.schedule));
    check_number("entries", test.recorded, 3);
    check_number("records", test.records, 1);
    start_notice(3, 2);
    assert_false(aging_run(&test.schedule));
    check_number("those that wait", test.recorded, 2);
    check_number("records", test.records, 1);
    assert_false(aging_run(&test.schedule));
    check_number("once", test.records, 1);
}

/* What is being delivered right now is told of later, if it then still waits. */
static void test_a_notice_waits_for_attempts(void **state)
{
    (void)state;
    start_notice(2, 3);
    assert_false(aging_run(&test.schedule));
    check_number("nothing yet", test.records, 0);
    test.in_flight = 1;
    assert_false(aging_run(&test.schedule));
    check_number("then", test.records, 1);
    check_number("entries", test.recorded, 1);
}

/* One that waits for hours for its turn at a next hop keeps none behind it from being told of. */
static void test_a_notice_that_waits_hides_no_others(void **state)
{
    (void)state;
    start_notice(1, 0);
    test.message_count = 200;
    test.flying_id = test.message.id + 3;
    while (aging_run(&test.schedule))
        continue;
    check_number("all others", test.records, 199);
    test.flying_id = 0;
    test.message_count = 4;
    test.records = 0;
    assert_false(aging_run(&test.schedule));
    check_number("itself, when it is back", test.records, 1);
}

static void test_no_notice_twice(void **state)
{
    (void)state;
    start_notice(1, 0);
    test.entry.warned = true;
    assert_false(aging_run(&test.schedule));
    start_notice(1, 0);
    test.held_count = 1;
    assert_false(aging_run(&test.schedule));
    check_number("records", test.records, 0);
}

/* More of them than one slice of work takes. */
static void test_every_entry_of_a_large_message(void **state)
{
    (void)state;
    start_notice(150, 0);
    while (aging_run(&test.schedule))
        continue;
    check_number("told of", test.recorded, 150);
    start("connect", HOUR_MS);
    test.message.entry_count = 150;
    while (aging_run(&test.schedule))
        continue;
    check_number("expired", test.recorded, 150);
}

/* Those at the front that stay keep none behind them. */
static void test_held_ones_hide_no_others(void **state)
{
    (void)state;
    start("connect", HOUR_MS);
    test.message.entry_count = 100;
    test.held_count = 90;
    while (aging_run(&test.schedule))
        continue;
    check_number("expired", test.recorded, 10);
    test.held_count = 89; /* released: the next walk begins at the front */
    while (aging_run(&test.schedule))
        continue;
    check_number("with those of the next walk", test.recorded, 10 + 11);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_last_attempt_before_the_bounce),
        cmocka_unit_test(test_what_is_young_or_held_stays),
        cmocka_unit_test(test_a_leap_ages_nothing),
        cmocka_unit_test(test_a_notice_needs_no_attempt),
        cmocka_unit_test(test_one_notice_of_a_message),
        cmocka_unit_test(test_a_notice_waits_for_attempts),
        cmocka_unit_test(test_a_notice_that_waits_hides_no_others),
        cmocka_unit_test(test_no_notice_twice),
        cmocka_unit_test(test_every_entry_of_a_large_message),
        cmocka_unit_test(test_held_ones_hide_no_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
