/* Deliveries in a world whose time the test moves (turn.h): queue, journal, scheduler, finder and deliveries are real. Names and the
 * network are the test's own. */
#ifndef TEST_UNIT_DELIVERING_H
#define TEST_UNIT_DELIVERING_H

#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"
#include "test/unit/turn.h"

#include "base/list.h"
#include "base/text.h"
#include "relay/config.h"
#include "relay/finder.h"
#include "relay/gathering.h"
#include "relay/journal.h"
#include "relay/relay.h"
#include "relay/schedule.h"
#include "tls/session.h"

#define SECOND_MS INT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)

static struct {
    struct relay relay;
    struct config config;
    struct log log;
    struct folder folder;
    char said[65536]; /* the log */
    size_t said_length;
} delivering;

/* ---- the rest of the relay ---- */

void relay_broken(struct relay *relay, enum err err)
{
    (void)relay;
    fail_msg("the queue is broken: %s", err_text(err));
}

void relay_part_ended(struct relay *relay)
{
    (void)relay;
}

uint64_t relay_next_id(struct relay *relay)
{
    return queue_id_make(clock_wall_ms(), 100000 + ++relay->id_sequence);
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status != RESOLVE_FOUND && status != RESOLVE_NXDOMAIN && status != RESOLVE_NODATA;
}

static inline void delivering_keep_line(struct log *log, struct slice line)
{
    (void)log;
    assert_true(delivering.said_length + line.length < sizeof delivering.said);
    memcpy(delivering.said + delivering.said_length, line.data, line.length);
    delivering.said_length += line.length;
    delivering.said[delivering.said_length] = '\0';
}

static inline size_t delivering_said(const char *text)
{
    size_t count = 0;
    for (const char *at = strstr(delivering.said, text); at != NULL; at = strstr(at + 1, text))
        count++;
    return count;
}

/* ---- set-up ---- */

static inline void delivering_open_queue(void)
{
    struct buffer fault;
    struct queue_options options = {
        .path = slice_of(folder_path(&delivering.folder, "queue")), .map_size = 256u << 20, .done_keep_ms = HOUR_MS};
    struct tls_context_options tls = {.minimum = TLS_1_2};
    buffer_init(&fault, 4096);
    assert_int_equal(queue_open(&options, &delivering.relay.queue, &fault), ERR_NONE);
    assert_int_equal(tls_start(), ERR_NONE);
    assert_int_equal(tls_context_new(&tls, &delivering.relay.tls, &fault, &fault), ERR_NONE);
    buffer_free(&fault);
}

static inline void delivering_set_up(void)
{
    struct relay *relay = &delivering.relay;
    struct config *config = &delivering.config;
    uint64_t seed[2] = {1, 2};
    turn_start();
    memset(&delivering, 0, sizeof delivering);
    delivering.log = (struct log){.level = LOG_INFO, .write = delivering_keep_line};
    config->delivery_connections_max = 200;
    config->per_destination = 20;
    config->sts_enabled = true;
    config->delivery_port = 25;
    config->retry = (struct queue_schedule){.wait_ms = {MINUTE_MS, HOUR_MS}, .count = 2};
    config->expire_ms = 120 * HOUR_MS;
    relay->config = config;
    relay->log = &delivering.log;
    folder_make(&delivering.folder);
    delivering_open_queue();
    dead_hosts_init(&relay->dead_hosts, seed);
    reuse_limits_init(&relay->reuse_limits, seed);
    relay->journal = journal_new(relay);
    relay->finder = finder_new(relay);
    relay->gathering = gathering_new(relay);
    relay->schedule = schedule_new(relay);
    assert_true(relay->journal != NULL && relay->finder != NULL && relay->gathering != NULL && relay->schedule != NULL);
    turn_settle();
}

static inline void delivering_tear_down(void)
{
    struct relay *relay = &delivering.relay;
    schedule_stop(relay->schedule);
    schedule_abort(relay->schedule);
    finder_stop(relay->finder);
    gathering_stop(relay->gathering);
    turn_settle();
    schedule_free(&relay->schedule);
    finder_free(&relay->finder);
    gathering_free(&relay->gathering);
    journal_free(&relay->journal);
    dead_hosts_free(&relay->dead_hosts);
    reuse_limits_free(&relay->reuse_limits);
    tls_context_free(&relay->tls);
    tls_stop();
    queue_close(&relay->queue);
    folder_remove(&delivering.folder);
    assert_int_equal(turn_running(), 0);
}

/* As a commit does: the scheduler is told. */
static inline uint64_t delivering_mail(const char *from, const char *to)
{
    static uint32_t number;
    struct mail mail = {
        .id = queue_id_make(clock_wall_ms(), ++number), .from = from, .to = {to}, .due_ms = clock_wall_ms()};
    assert_int_equal(mail_accept(delivering.relay.queue, &mail), ERR_NONE);
    schedule_wake(delivering.relay.schedule, slice_of(to));
    return mail.id;
}

#endif
