/* Drafts for tests: over a journal that the test plays, which answers a write when it is told to, and a real queue. */
#ifndef TEST_UNIT_DRAFTING_H
#define TEST_UNIT_DRAFTING_H

#include "test/unit/check.h"
#include "test/unit/folder.h"
#include "test/unit/turn.h"

#include "relay/config.h"
#include "relay/draft.h"
#include "relay/relay.h"
#include "relay/schedule.h"

#define WRITES_MAX 64
#define CONTENT_MAX (4u << 20)
#define TRACE "Received: from app.example by relay.example; Tue, 14 Nov 2023 22:13:20 +0000\r\n"
#define HEADER                                                                                                         \
    "From: a@example.com\r\nTo: b@example.org\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n"                            \
    "Message-ID: <1@example.com>\r\nSubject: test\r\n\r\n"
#define SIGNED "DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=x; h=from; bh=AA==; b=AA==\r\n"

static struct {
    struct relay relay;
    struct config config;
    struct folder folder;
    struct journal_write *writes[WRITES_MAX]; /* submitted and not answered, in order */
    size_t count, submitted, discarded;
    char woken[400]; /* names, each with a blank behind it */
    size_t ready, finished;
    enum err err;
    bool frees; /* finished() frees the draft */
    bool is_pressed; /* the disk is behind with what all together have given it */
    struct draft *draft;
    uint32_t next_id;
} test;

/* ---- the rest of the relay ---- */

void journal_submit(struct journal *journal, struct journal_write *write)
{
    (void)journal;
    assert_true(test.count < WRITES_MAX);
    for (size_t i = 0; i < write->change_count; i++) {
        bool has_content = write->changes[i].kind == QUEUE_CHANGE_CHUNK || write->changes[i].kind == QUEUE_CHANGE_ACCEPT;
        bool is_mail = has_content && !write->changes[i].is_report;
        assert_true(!is_mail || write->is_new_mail);
        test.discarded += write->changes[i].kind == QUEUE_CHANGE_DISCARD;
    }
    test.writes[test.count++] = write;
    test.submitted++;
}

bool journal_is_pressed(const struct journal *journal)
{
    (void)journal;
    return test.is_pressed;
}

void schedule_arrived(struct schedule *schedule, struct slice destination)
{
    (void)schedule;
    size_t length = strlen(test.woken);
    snprintf(test.woken + length, sizeof test.woken - length, "%.*s ", SLICE_ARGS(destination));
}

uint64_t relay_next_id(struct relay *relay)
{
    (void)relay;
    return queue_id_make(clock_wall_ms(), ++test.next_id);
}

/* The journal's answer to the write that waits longest; ERR_NONE: it is on the disk. */
static inline void answer(enum err err)
{
    assert_true(test.count > 0);
    struct journal_write *write = test.writes[0];
    memmove(&test.writes[0], &test.writes[1], --test.count * sizeof test.writes[0]);
    if (err == ERR_NONE) {
        const struct queue_change *changes[128];
        assert_true(write->change_count <= COUNT_OF(changes));
        for (size_t i = 0; i < write->change_count; i++)
            changes[i] = &write->changes[i];
        assert_int_equal(queue_apply(test.relay.queue, changes, write->change_count), ERR_NONE);
    }
    write->done(write, err);
}

static inline void answer_all(enum err err)
{
    while (test.count > 0)
        answer(err);
}

/* ---- the owner ---- */

static inline void on_ready(struct draft *draft)
{
    assert_ptr_equal(draft, test.draft);
    assert_false(draft_is_busy(draft));
    test.ready++;
}

static inline void on_finished(struct draft *draft, enum err err)
{
    assert_ptr_equal(draft, test.draft);
    assert_ptr_equal(draft_owner(draft), &test);
    test.finished++;
    test.err = err;
    if (test.frees)
        draft_free(&test.draft);
}

static inline int set_up(void **state)
{
    (void)state;
    struct buffer fault;
    struct queue_options options = {.map_size = 64u << 20, .done_keep_ms = 1000};
    memset(&test, 0, sizeof test);
    turn_start();
    test.config.hostname = SLICE("relay.example");
    test.relay.config = &test.config;
    folder_make(&test.folder);
    options.path = slice_of(folder_path(&test.folder, "queue"));
    buffer_init(&fault, 4096);
    assert_int_equal(queue_open(&options, &test.relay.queue, &fault), ERR_NONE);
    buffer_free(&fault);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    if (test.draft != NULL)
        draft_free(&test.draft);
    answer_all(ERR_NONE);
    queue_close(&test.relay.queue);
    folder_remove(&test.folder);
    return 0;
}

#define DRAFT_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static inline struct draft_options usual_options(void)
{
    return (struct draft_options){.sender = SLICE("a@example.com"),
                                  .origin = SLICE("smtp [192.0.2.1]"),
                                  .envid = SLICE_EMPTY,
                                  .owner = &test,
                                  .ready = on_ready,
                                  .finished = on_finished};
}

static inline void begin(void)
{
    struct draft_options options = usual_options();
    test.draft = draft_new(&test.relay, &options);
    assert_non_null(test.draft);
}

static inline enum err add_to(const char *address, const char *domain)
{
    struct draft_recipient recipient = {.address = slice_of(address), .domain = slice_of(domain), .orcpt = SLICE_EMPTY};
    return draft_add_recipient(test.draft, &recipient);
}

static inline void begin_usual(void)
{
    begin();
    assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
    draft_add_trace(test.draft, SLICE(TRACE));
    draft_add_content(test.draft, SLICE(HEADER));
}

/* Lines of 78 bytes and their end. */
static inline void add_body(size_t length)
{
    static char body[CONTENT_MAX];
    assert_true(length <= sizeof body);
    for (size_t i = 0; i < length; i++)
        body[i] = i % 80 == 78 ? '\r' : i % 80 == 79 ? '\n' : (char)('a' + i / 80 % 26);
    draft_add_content(test.draft, slice_make(body, length));
}

static inline void finish(void)
{
    assert_int_equal(draft_end(test.draft), DRAFT_FINE);
    draft_finish(test.draft, clock_wall_ms() + 5000);
}

#endif
