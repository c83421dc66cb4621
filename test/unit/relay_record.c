/* Records: what an outcome becomes in log, counters, queue and reports, and when the entry is free again. */
#include "test/unit/calm.h"
#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/mail.h"
#include "test/unit/turn.h"

#include "relay/config.h"
#include "relay/digest.h"
#include "relay/gathering.h"
#include "relay/locals.h"
#include "relay/record.h"
#include "relay/relay.h"
#include "relay/report.h"
#include "relay/schedule.h"
#include "smtp/envelope.h"

#define HOUR_MS INT64_C(3600000)
#define RECIPIENTS_MAX 4

static struct {
    struct relay relay;
    struct config config;
    struct log log;
    struct folder folder;
    struct buffer lines;
    struct destination destination;
    struct journal_write *write; /* submitted, not answered */
    size_t released, paused, woken, digested, digest_wakes;
    uint32_t next_id;
    struct queue_message message;
    struct queue_entry entry;
    struct queue_recipient recipients[RECIPIENTS_MAX];
    bool decided[RECIPIENTS_MAX];
} test;

/* ---- the rest of the relay ---- */

void journal_submit(struct journal *journal, struct journal_write *write)
{
    (void)journal;
    assert_null(test.write);
    assert_false(write->is_new_mail);
    test.write = write;
}

void destination_release(struct destination *destination, uint64_t id, uint16_t number)
{
    assert_ptr_equal(destination, &test.destination);
    assert_int_equal(id, test.message.id);
    assert_int_equal(number, 0);
    test.released++;
}

void destination_pause(struct destination *destination)
{
    assert_ptr_equal(destination, &test.destination);
    test.paused++;
}

void schedule_arrived(struct schedule *schedule, struct slice destination)
{
    (void)schedule;
    check_slice("woken", destination, SLICE("example.com"));
    test.woken++;
}

uint64_t relay_next_id(struct relay *relay)
{
    (void)relay;
    return queue_id_make(clock_wall_ms(), ++test.next_id);
}

bool digest_add(struct digest *digest, const struct digest_item *item, struct arena *arena, struct queue_change *change)
{
    (void)digest;
    (void)arena;
    assert_true(item->recipient.length > 0);
    *change = (struct queue_change){.kind = QUEUE_CHANGE_META, .key = SLICE("digest"), .bytes = SLICE("item")};
    test.digested++;
    return true;
}

void digest_wake(struct digest *digest)
{
    (void)digest;
    test.digest_wakes++;
}

static void keep_line(struct log *log, struct slice line)
{
    (void)log;
    buffer_add(&test.lines, line);
}

/* ---- set-up ---- */

/* A message that is stored, with one entry of so many recipients, whose outcome is not set yet. */
static void make_entry(size_t count)
{
    static const char *const addresses[RECIPIENTS_MAX] = {"a@example.org", "b@example.org", "c@example.org",
                                                          "d@example.org"};
    uint64_t id = queue_id_make(clock_wall_ms(), ++test.next_id);
    assert_int_equal(mail_accept(test.relay.queue, &(struct mail){.id = id, .from = "s@example.com"}), ERR_NONE);
    test.message = (struct queue_message){.id = id,
                                          .arrival_ms = clock_wall_ms(),
                                          .size = 10,
                                          .chunk_count = 1,
                                          .entry_count = 1,
                                          .sender = SLICE("s@example.com"),
                                          .origin = SLICE("smtp [192.0.2.1]"),
                                          .envid = SLICE_EMPTY,
                                          .header_length = 10};
    for (size_t i = 0; i < count; i++) {
        test.recipients[i] = (struct queue_recipient){
            .address = slice_of(addresses[i]), .orcpt = SLICE_EMPTY, .text = SLICE_EMPTY, .host = SLICE_EMPTY};
        test.decided[i] = true;
    }
    test.entry = (struct queue_entry){.id = id,
                                      .destination = SLICE("example.org"),
                                      .due_ms = clock_wall_ms() + HOUR_MS,
                                      .attempts = 1,
                                      .first_attempt_ms = clock_wall_ms(),
                                      .last_attempt_ms = clock_wall_ms(),
                                      .reason = SLICE_EMPTY,
                                      .why = SLICE_EMPTY,
                                      .recipients = test.recipients,
                                      .recipient_count = count};
    buffer_clear(&test.lines);
    test.released = test.paused = test.woken = test.digested = test.digest_wakes = 0;
}

static int set_up(void **state)
{
    (void)state;
    memset(&test, 0, sizeof test);
    turn_start();
    buffer_init(&test.lines, 1u << 20);
    folder_make(&test.folder);
    test.log = (struct log){.level = LOG_DEBUG, .write = keep_line};
    test.config.hostname = SLICE("relay.example");
    test.config.expire_ms = 5 * 24 * HOUR_MS;
    test.config.warn_ms = 4 * HOUR_MS;
    test.relay.config = &test.config;
    test.relay.log = &test.log;
    struct buffer fault;
    struct queue_options options = {.map_size = 16u << 20, .done_keep_ms = HOUR_MS};
    buffer_init(&fault, 4096);
    options.path = slice_of(folder_path(&test.folder, "queue"));
    assert_int_equal(queue_open(&options, &test.relay.queue, &fault), ERR_NONE);
    assert_int_equal(locals_load(&test.config, &test.relay.locals, &fault), ERR_NONE);
    buffer_free(&fault);
    assert_non_null(test.relay.gathering = gathering_new(&test.relay));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_null(test.write);
    gathering_free(&test.relay.gathering);
    locals_free(&test.relay.locals);
    queue_close(&test.relay.queue);
    buffer_free(&test.lines);
    folder_remove(&test.folder);
    return 0;
}

#define RECORD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void record_with(const struct record_context *context, const struct trouble_facts *trouble)
{
    struct record_request request = {.message = &test.message,
                                     .entry = &test.entry,
                                     .destination = &test.destination,
                                     .decided = test.decided,
                                     .context = context,
                                     .trouble = trouble,
                                     .advice = SLICE("wait")};
    record_outcome(&test.relay, &request);
}

static void record(void)
{
    record_with(&(struct record_context){.host = SLICE("mx.example.org"),
                                         .address = SLICE("192.0.2.25"),
                                         .tls_version = SLICE("TLSv1.3"),
                                         .verified = true,
                                         .secured = true,
                                         .policy_mode = SLICE("enforce"),
                                         .policy_id = SLICE("20240101")},
                NULL);
}

/* The journal's answer; ERR_NONE: all of it is on the disk. */
static void answer(enum err err)
{
    struct journal_write *write = test.write;
    const struct queue_change *changes[16];
    assert_non_null(write);
    assert_true(write->change_count <= COUNT_OF(changes));
    test.write = NULL;
    for (size_t i = 0; i < write->change_count; i++)
        changes[i] = &write->changes[i];
    if (err == ERR_NONE)
        assert_int_equal(queue_apply(test.relay.queue, changes, write->change_count), ERR_NONE);
    write->done(write, err);
}

static size_t count_of(const char *part)
{
    return check_count_of(buffer_slice(&test.lines), part);
}

static void check_says(const char *name, const char *part)
{
    if (count_of(part) == 0)
        print_error("%s: \"%s\" is not in:\n%.*s", name, part, SLICE_ARGS(buffer_slice(&test.lines)));
    check_true(name, count_of(part) > 0);
}

static uint64_t stored_messages(void)
{
    struct queue_totals totals;
    assert_int_equal(queue_totals(test.relay.queue, &totals), ERR_NONE);
    return totals.messages;
}

/* ---- one recipient ---- */

static const struct {
    const char *name;
    enum queue_status status;
    uint16_t code;
    uint8_t dsn[3];
    const char *text, *reason;
    uint64_t *counter; /* that becomes 1 */
    const char *says[4];
    uint64_t left; /* messages in the queue: the entry's own, and a report */
} outcomes[] = {
    {"delivered",
     QUEUE_DELIVERED,
     250,
     {2, 0, 0},
     "250 2.0.0 queued",
     "",
     &test.relay.metrics.delivered,
     {"event=delivered", "dsn=2.0.0", "reply=\"250 2.0.0 queued\"", "policy=enforce policy_id=20240101"},
     0},
    {"refused",
     QUEUE_FAILED,
     550,
     {5, 1, 1},
     "550 5.1.1 no such user",
     "reply",
     &test.relay.metrics.bounced[METRICS_REASON_reply],
     {"event=bounced", "dsn=5.1.1", "reply=\"550 5.1.1 no such user\"", "host=mx.example.org"},
     1},
    {"failed without a reply",
     QUEUE_FAILED,
     0,
     {5, 1, 2},
     "there is no such domain",
     "dns",
     &test.relay.metrics.bounced[METRICS_REASON_dns],
     {"event=bounced", "dsn=5.1.2", "problem=\"there is no such domain\"", ""},
     1},
    {"deferred",
     QUEUE_PENDING,
     451,
     {4, 7, 1},
     "451 4.7.1 later",
     "reply",
     &test.relay.metrics.deferred[METRICS_REASON_reply],
     {"event=deferred", "reason=reply", "reply=\"451 4.7.1 later\"", "advice=wait"},
     1},
    {"deferred by policy",
     QUEUE_PENDING,
     0,
     {4, 7, 0},
     "no host",
     "policy",
     &test.relay.metrics.deferred[METRICS_REASON_policy],
     {"event=deferred", "reason=policy", "next=2023-11-14T23:13:20", ""},
     1},
    {"deferred for a reason that nobody knows",
     QUEUE_PENDING,
     0,
     {4, 0, 0},
     "",
     "wibble",
     &test.relay.metrics.deferred[METRICS_REASON_internal],
     {"event=deferred", "", "", ""},
     1},
};

static void test_outcomes(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(outcomes); i++) {
        const char *name = outcomes[i].name;
        make_entry(1);
        uint64_t before = stored_messages() - 1, counter = *outcomes[i].counter;
        test.recipients[0].status = outcomes[i].status;
        test.recipients[0].code = outcomes[i].code;
        memcpy(test.recipients[0].dsn, outcomes[i].dsn, sizeof outcomes[i].dsn);
        test.recipients[0].text = slice_of(outcomes[i].text);
        test.entry.reason = slice_of(outcomes[i].reason);
        record();
        check_number(name, *outcomes[i].counter, counter + 1);
        check_number(name, count_of("\n"), 1);
        check_says(name, "from=s@example.com to=a@example.org");
        for (size_t k = 0; k < COUNT_OF(outcomes[i].says) && outcomes[i].says[k] != NULL; k++)
            check_says(name, outcomes[i].says[k]);
        check_number(name, test.released, 0);
        answer(ERR_NONE);
        check_number(name, test.released, 1);
        check_number(name, test.paused, 0);
        check_number(name, stored_messages(), before + outcomes[i].left);
    }
}

static const struct {
    const char *name;
    struct record_context context;
    const char *says;
} contexts[] = {
    {"in plaintext",
     {.host = SLICE_INIT("mx"), .address = SLICE_INIT("192.0.2.1")},
     "host=mx ip=192.0.2.1 tls=none verified=no policy=none"},
    {"encrypted",
     {.host = SLICE_INIT("mx"), .tls_version = SLICE_INIT("TLSv1.2"), .secured = true},
     "tls=TLSv1.2 verified=no policy=none"},
    {"in testing mode",
     {.host = SLICE_INIT("mx"), .tls_version = SLICE_INIT("TLSv1.3"), .secured = true, .verified = true, .policy_mode = SLICE_INIT("testing")},
     "tls=TLSv1.3 verified=yes policy=testing"},
};

static void test_how_it_was_delivered(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(contexts); i++) {
        make_entry(1);
        test.recipients[0].status = QUEUE_DELIVERED;
        record_with(&contexts[i].context, NULL);
        check_says(contexts[i].name, contexts[i].says);
        answer(ERR_NONE);
    }
}

static void test_a_deferral_names_what_failed(void **state)
{
    (void)state;
    struct trouble_facts trouble = {.trouble = TROUBLE_NO_STARTTLS,
                                    .host = SLICE("mx.example.org"),
                                    .address = SLICE("192.0.2.25"),
                                    .detail = SLICE_EMPTY,
                                    .required_tls = true,
                                    .by_policy = true};
    make_entry(1);
    test.entry.reason = SLICE("tls");
    record_with(NULL, &trouble);
    check_says("problem", "problem=\"mx.example.org");
    check_says("host", "failed_host=mx.example.org");
    answer(ERR_NONE);
}

/* ---- several recipients ---- */

static void test_only_what_was_decided_is_told(void **state)
{
    (void)state;
    make_entry(4);
    test.recipients[0].status = QUEUE_DELIVERED; /* by an earlier attempt */
    test.decided[0] = false;
    test.recipients[1].status = QUEUE_DELIVERED;
    test.recipients[2].status = QUEUE_FAILED;
    test.decided[3] = false; /* left for the next attempt */
    record();
    assert_int_equal(count_of("\n"), 2);
    check_says("delivered", "to=b@example.org");
    check_says("bounced", "to=c@example.org");
    answer(ERR_NONE);
    struct arena *arena = arena_new(1u << 20);
    struct queue_entry stored;
    assert_int_equal(queue_entry_get(test.relay.queue, test.message.id, 0, arena, &stored), ERR_NONE);
    assert_int_equal(stored.recipient_count, 4);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(stored.recipients[i].status, test.recipients[i].status);
    arena_free(&arena);
}

/* ---- who is told: RFC 3461 4.1 ---- */

enum { NOBODY, FAILED, RELAYED, DELAYED };
static const char *const actions[] = {"", "failed", "relayed", "delayed"};

static const struct {
    const char *name;
    enum queue_status status;
    unsigned notify;
    bool is_notice, host_reports; /* the next host took the demand for reports over */
    int told;
} notifications[] = {
    {"failure", QUEUE_FAILED, SMTP_NOTIFY_DEFAULT, false, true, FAILED},
    {"failure, asked", QUEUE_FAILED, SMTP_NOTIFY_FAILURE, false, true, FAILED},
    {"failure, asked for success", QUEUE_FAILED, SMTP_NOTIFY_SUCCESS, false, true, NOBODY},
    {"failure, never", QUEUE_FAILED, SMTP_NOTIFY_NEVER, false, true, NOBODY},
    {"never, whatever else", QUEUE_FAILED, SMTP_NOTIFY_NEVER | SMTP_NOTIFY_FAILURE, false, true, NOBODY},
    {"expired", QUEUE_EXPIRED, SMTP_NOTIFY_DEFAULT, false, true, FAILED},
    {"expired, never", QUEUE_EXPIRED, SMTP_NOTIFY_NEVER, false, true, NOBODY},
    {"success", QUEUE_DELIVERED, SMTP_NOTIFY_DEFAULT, false, false, NOBODY},
    {"success, asked, the host tells", QUEUE_DELIVERED, SMTP_NOTIFY_SUCCESS, false, true, NOBODY},
    {"success, asked, the host cannot", QUEUE_DELIVERED, SMTP_NOTIFY_SUCCESS, false, false, RELAYED},
    {"success, asked for failure", QUEUE_DELIVERED, SMTP_NOTIFY_FAILURE, false, false, NOBODY},
    {"a deferral", QUEUE_PENDING, SMTP_NOTIFY_DEFAULT, false, true, NOBODY},
    {"delay", QUEUE_PENDING, SMTP_NOTIFY_DEFAULT, true, true, DELAYED},
    {"delay, asked", QUEUE_PENDING, SMTP_NOTIFY_DELAY, true, true, DELAYED},
    {"delay, asked for failure", QUEUE_PENDING, SMTP_NOTIFY_FAILURE, true, true, NOBODY},
    {"delay, never", QUEUE_PENDING, SMTP_NOTIFY_NEVER, true, true, NOBODY},
    {"deleted", QUEUE_DELETED, SMTP_NOTIFY_DEFAULT, false, true, NOBODY},
};

/* The content of the report in the write that waits; empty: there is none. */
static struct slice report_of(struct buffer *content)
{
    buffer_clear(content);
    for (size_t i = 0; i < test.write->change_count; i++) {
        const struct queue_change *change = &test.write->changes[i];
        if (change->kind == QUEUE_CHANGE_CHUNK)
            buffer_add(content, change->bytes);
    }
    return buffer_slice(content);
}

static void test_who_is_told(void **state)
{
    (void)state;
    struct buffer content;
    buffer_init(&content, 1u << 20);
    for (size_t i = 0; i < COUNT_OF(notifications); i++) {
        const char *name = notifications[i].name;
        char action[40];
        make_entry(1);
        test.recipients[0].status = notifications[i].status;
        test.recipients[0].notify = (uint8_t)notifications[i].notify;
        struct record_context context = {.reports_deliveries = notifications[i].host_reports};
        struct record_request request = {.message = &test.message,
                                         .entry = &test.entry,
                                         .destination = &test.destination,
                                         .context = &context,
                                         .advice = SLICE("advice of the attempt"),
                                         .decided = test.decided,
                                         .is_only_notice = notifications[i].is_notice};
        record_outcome(&test.relay, &request);
        struct slice report = report_of(&content);
        snprintf(action, sizeof action, "\r\nAction: %s\r\n", actions[notifications[i].told]);
        if (notifications[i].told == NOBODY)
            check_number(name, report.length, 0);
        else
            check_true(name, slice_find_slice(report, slice_of(action)) < report.length);
        bool is_advised = slice_find_slice(report, SLICE("advice of the attempt")) < report.length;
        bool is_over = notifications[i].told == RELAYED || notifications[i].status == QUEUE_EXPIRED;
        check_true(name, is_advised == (notifications[i].told != NOBODY && !is_over));
        size_t reports = test.relay.metrics.reports;
        answer(ERR_NONE);
        check_number(name, test.relay.metrics.reports - reports, notifications[i].told != NOBODY);
        check_number(name, test.woken, notifications[i].told != NOBODY);
    }
    buffer_free(&content);
}

/* Of a failed report nobody is told but the postmaster, where there is one, and of his digest nobody. */
static void test_double_bounces(void **state)
{
    (void)state;
    static const struct {
        const char *name, *postmaster, *origin;
        enum queue_status status;
        size_t digested;
    } cases[] = {
        {"no postmaster", "", "report", QUEUE_FAILED, 0},
        {"a failed report", "postmaster@example.com", "report", QUEUE_FAILED, 1},
        {"an expired report", "postmaster@example.com", "report", QUEUE_EXPIRED, 1},
        {"a report that arrived", "postmaster@example.com", "report", QUEUE_DELIVERED, 0},
        {"the digest itself", "postmaster@example.com", DIGEST_ORIGIN, QUEUE_FAILED, 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make_entry(1);
        test.config.postmaster = slice_of(cases[i].postmaster);
        test.message.sender = SLICE_EMPTY;
        test.message.origin = slice_of(cases[i].origin);
        test.recipients[0].status = cases[i].status;
        record();
        check_says(cases[i].name, "from=<>");
        check_number(cases[i].name, test.digested, cases[i].digested);
        answer(ERR_NONE);
        check_number(cases[i].name, test.digest_wakes, cases[i].digested);
        check_number(cases[i].name, test.relay.metrics.reports, 0);
    }
}

/* ---- time ---- */

static void test_expiry(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t age_ms;
        uint8_t dsn[3], expected[3];
        bool is_expired;
    } cases[] = {
        {"a millisecond before", 120 * HOUR_MS - 1, {4, 4, 1}, {4, 4, 1}, false},
        {"its time is over", 120 * HOUR_MS, {4, 4, 1}, {4, 4, 1}, true},
        {"nobody ever said why", 120 * HOUR_MS, {0, 0, 0}, {4, 4, 7}, true},
        {"long over", 1000 * HOUR_MS, {4, 7, 5}, {4, 7, 5}, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        make_entry(2);
        test.message.arrival_ms = clock_wall_ms() - cases[i].age_ms;
        memcpy(test.recipients[0].dsn, cases[i].dsn, sizeof cases[i].dsn);
        test.recipients[1].status = QUEUE_DELIVERED;
        record();
        check_number(cases[i].name, test.recipients[0].status, cases[i].is_expired ? QUEUE_EXPIRED : QUEUE_PENDING);
        check_number(cases[i].name, test.recipients[1].status, QUEUE_DELIVERED);
        check_number(cases[i].name, memcmp(test.recipients[0].dsn, cases[i].expected, 3), 0);
        check_says(cases[i].name, cases[i].is_expired ? "event=expired" : "event=deferred");
        check_says(cases[i].name, "event=delivered");
        answer(ERR_NONE);
        check_number(cases[i].name, test.woken, cases[i].is_expired); /* the bounce */
    }
}

static void test_a_notice_is_no_attempt(void **state)
{
    (void)state;
    make_entry(1);
    struct record_request request = {
        .message = &test.message, .entry = &test.entry, .destination = &test.destination, .is_only_notice = true};
    record_outcome(&test.relay, &request);
    assert_int_equal(buffer_length(&test.lines), 0);
    answer(ERR_NONE);
    struct arena *arena = arena_new(1u << 20);
    struct queue_entry stored;
    assert_int_equal(queue_entry_get(test.relay.queue, test.message.id, 0, arena, &stored), ERR_NONE);
    assert_true(stored.warned);
    assert_int_equal(stored.attempts, 1);
    assert_int_equal(stored.due_ms, test.entry.due_ms);
    arena_free(&arena);
}

/* ---- the commit ---- */

/* What was not written is tried again, but not at once: each try may be one copy more at the recipient. */
static void test_what_is_not_committed(void **state)
{
    (void)state;
    static const enum err errs[] = {ERR_FULL, ERR_MEMORY, ERR_IO};
    for (size_t i = 0; i < COUNT_OF(errs); i++) {
        const char *name = err_text(errs[i]);
        make_entry(1);
        uint64_t before = stored_messages();
        test.recipients[0].status = QUEUE_FAILED;
        record();
        answer(errs[i]);
        check_number(name, test.released, 1);
        check_number(name, test.paused, 1);
        check_number(name, test.woken, 0);
        check_number(name, test.relay.metrics.reports, 0);
        check_number(name, stored_messages(), before);
        check_says(name, "event=unrecorded");
        check_says(name, name);
    }
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        RECORD_TEST(test_outcomes),
        RECORD_TEST(test_how_it_was_delivered),
        RECORD_TEST(test_a_deferral_names_what_failed),
        RECORD_TEST(test_only_what_was_decided_is_told),
        RECORD_TEST(test_who_is_told),
        RECORD_TEST(test_double_bounces),
        RECORD_TEST(test_expiry),
        RECORD_TEST(test_a_notice_is_no_attempt),
        RECORD_TEST(test_what_is_not_committed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
