/* Drafts: recipients become entries, when a draft is busy and finished, and what one that fails or is given up leaves
 * behind. Their content: relay_draft_content.c. */
#include "test/unit/drafting.h"

/* ---- recipients ---- */

static const struct {
    const char *name;
    const char *to[8];   /* addresses; the domain is what follows the @ */
    size_t count;        /* of recipients */
    const char *entries; /* destination=recipients, in order */
} recipients[] = {
    {"one", {"b@example.org"}, 1, "example.org=1 "},
    {"two of one domain", {"b@example.org", "c@example.org"}, 2, "example.org=2 "},
    {"the same twice", {"b@example.org", "b@example.org"}, 1, "example.org=1 "},
    {"the case of a local part is another's", {"b@example.org", "B@example.org"}, 2, "example.org=2 "},
    {"mixed", {"b@example.org", "c@example.net", "d@example.org"}, 3, "example.org=2 example.net=1 "},
    {"a literal", {"b@[192.0.2.1]", "c@[192.0.2.1]"}, 2, "[192.0.2.1]=2 "},
};

static void print_entries(uint64_t id, char *out, size_t size)
{
    struct arena *arena = arena_new(1u << 20);
    struct queue_message message;
    size_t length = 0;
    out[0] = '\0';
    assert_int_equal(queue_message_get(test.relay.queue, id, arena, &message), ERR_NONE);
    for (uint32_t i = 0; i < message.entry_count; i++) {
        struct queue_entry entry;
        assert_int_equal(queue_entry_get(test.relay.queue, id, (uint16_t)i, arena, &entry), ERR_NONE);
        assert_int_equal(entry.due_ms, clock_wall_ms() + 5000);
        length += (size_t)snprintf(out + length, size - length, "%.*s=%zu ", SLICE_ARGS(entry.destination),
                                   entry.recipient_count);
        assert_true(length < size);
    }
    arena_free(&arena);
}

static void test_recipients_become_entries(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(recipients); i++) {
        char entries[200];
        begin();
        for (size_t k = 0; k < COUNT_OF(recipients[i].to) && recipients[i].to[k] != NULL; k++)
            check_number(recipients[i].name, add_to(recipients[i].to[k], strchr(recipients[i].to[k], '@') + 1),
                         ERR_NONE);
        check_number(recipients[i].name, draft_recipient_count(test.draft), recipients[i].count);
        draft_add_content(test.draft, SLICE(HEADER));
        finish();
        answer_all(ERR_NONE);
        print_entries(draft_id(test.draft), entries, sizeof entries);
        check_slice(recipients[i].name, slice_of(entries), slice_of(recipients[i].entries));
        draft_free(&test.draft);
    }
}

static void test_many_recipients(void **state)
{
    (void)state;
    char entries[200];
    begin();
    for (size_t i = 0; i < 250; i++) {
        char address[48];
        snprintf(address, sizeof address, "user%zu@example.org", i);
        assert_int_equal(add_to(address, "example.org"), ERR_NONE);
        snprintf(address, sizeof address, "user%zu@example.net", i);
        assert_int_equal(i % 5 == 0 ? add_to(address, "example.net") : ERR_NONE, ERR_NONE);
    }
    draft_add_content(test.draft, SLICE(HEADER));
    finish();
    answer_all(ERR_NONE);
    print_entries(draft_id(test.draft), entries, sizeof entries);
    check_slice("at most 100 an entry", slice_of(entries),
                SLICE("example.org=100 example.net=50 example.org=100 example.org=50 "));
    check_slice("all are woken", slice_of(test.woken), SLICE("example.org example.net example.org example.org "));
}

static void test_recipients_have_a_limit(void **state)
{
    (void)state;
    enum err err = ERR_NONE;
    size_t count = 0;
    char address[300];
    begin();
    while (err == ERR_NONE && count < 100000) {
        snprintf(address, sizeof address, "user%zu-%0200d@example%zu.org", count, 0, count);
        err = add_to(address, strchr(address, '@') + 1);
        count += err == ERR_NONE;
    }
    assert_int_equal(err, ERR_LIMIT);
    assert_true(count > 1000);
    assert_int_equal(draft_recipient_count(test.draft), count);
}

/* ---- the way to the disk ---- */

static void test_at_most_two_chunks_are_under_way(void **state)
{
    (void)state;
    begin_usual();
    add_body(65536);
    assert_int_equal(test.submitted, 1);
    assert_false(draft_is_busy(test.draft));
    add_body(65536);
    assert_int_equal(test.submitted, 2);
    assert_true(draft_is_busy(test.draft));
    assert_int_equal(test.ready, 0);
    answer(ERR_NONE);
    assert_int_equal(test.ready, 1);
    assert_false(draft_is_busy(test.draft));
    answer(ERR_NONE);
    finish();
    assert_int_equal(test.finished, 0);
    answer_all(ERR_NONE);
    assert_int_equal(test.finished, 1);
    check_slice("woken", slice_of(test.woken), SLICE("example.org "));
    draft_free(&test.draft);
    assert_int_equal(test.discarded, 0);
}

/* The acceptance is submitted when all chunks are on the disk, and nothing is finished or woken before its own commit.
 */
static void test_the_acceptance_is_last(void **state)
{
    (void)state;
    begin_usual();
    add_body(65536);
    add_body(65536);
    add_body(100);
    finish();
    assert_int_equal(test.submitted, 2);
    answer(ERR_NONE);
    assert_int_equal(test.submitted, 2);
    answer(ERR_NONE);
    assert_int_equal(test.submitted, 3);
    assert_int_equal(test.finished, 0);
    check_slice("nobody is woken yet", slice_of(test.woken), SLICE_EMPTY);
    const struct journal_write *last = test.writes[0];
    assert_int_equal(last->changes[last->change_count - 1].kind, QUEUE_CHANGE_ACCEPT);
    answer(ERR_NONE);
    assert_int_equal(test.finished, 1);
}

static const struct {
    const char *name;
    size_t chunks;    /* full ones before the end */
    size_t failing;   /* which write fails */
    size_t submitted; /* in all, before the draft is freed */
    size_t discards;
} failures[] = {
    {"the only write", 0, 0, 1, 0},
    {"the first chunk", 2, 0, 2, 1},
    {"the second chunk", 2, 1, 2, 1},
    {"the acceptance", 2, 2, 3, 1},
};
static const enum err errs[] = {ERR_FULL, ERR_IO, ERR_MEMORY};

/* Whichever write fails: the owner hears that error, nobody is woken, and nothing stays behind. */
static void test_failures(void **state)
{
    for (size_t i = 0; i < COUNT_OF(failures) * COUNT_OF(errs); i++) {
        size_t row = i / COUNT_OF(errs);
        enum err err = errs[i % COUNT_OF(errs)];
        const char *name = failures[row].name;
        begin_usual();
        uint64_t id = draft_id(test.draft);
        for (size_t k = 0; k < failures[row].chunks; k++)
            add_body(65536);
        finish();
        for (size_t k = 0; test.count > 0; k++)
            answer(k == failures[row].failing ? err : ERR_NONE);
        check_number(name, test.finished, 1);
        check_number(name, test.err, err);
        check_number(name, test.submitted, failures[row].submitted);
        check_slice(name, slice_of(test.woken), SLICE_EMPTY);
        draft_free(&test.draft);
        check_number(name, test.discarded, failures[row].discards);
        answer_all(ERR_NONE);
        struct buffer chunk;
        buffer_init(&chunk, CONTENT_MAX);
        for (uint32_t k = 0; k < 4; k++)
            check_number(name, queue_chunk_get(test.relay.queue, id, k, &chunk), ERR_NOT_FOUND);
        buffer_free(&chunk);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* Whenever it is busy a chunk is under way, and ready() follows: also where the disk is behind with the mail of others. */
static void test_a_wait_for_all_the_others(void **state)
{
    (void)state;
    begin_usual();
    test.is_pressed = true;
    add_body(60000);
    assert_false(draft_is_busy(test.draft)); /* nothing of it is under way: nothing would wake it */
    add_body(65536);
    assert_int_equal(test.submitted, 1);
    assert_true(draft_is_busy(test.draft));
    answer(ERR_NONE);
    assert_int_equal(test.ready, 1);
    assert_false(draft_is_busy(test.draft));
    add_body(65536);
    add_body(65536);
    assert_int_equal(test.submitted, 3);
    answer(ERR_NONE);
    assert_true(draft_is_busy(test.draft));
    assert_int_equal(test.ready, 1);
    answer(ERR_NONE);
    assert_int_equal(test.ready, 2);
    test.is_pressed = false;
    add_body(65536);
    assert_false(draft_is_busy(test.draft));
    test.is_pressed = true; /* by what others give meanwhile */
    assert_true(draft_is_busy(test.draft));
    answer(ERR_NONE);
    assert_int_equal(test.ready, 3);
    finish();
    answer_all(ERR_NONE);
    assert_int_equal(test.finished, 1);
}

/* After a failure no more is stored; the owner may go on until the client is done. */
static void test_a_failed_draft_stores_no_more(void **state)
{
    (void)state;
    begin_usual();
    add_body(65536);
    answer(ERR_FULL);
    for (size_t i = 0; i < 50; i++) {
        add_body(65536);
        assert_false(draft_is_busy(test.draft));
    }
    assert_int_equal(test.submitted, 1);
    finish();
    assert_int_equal(test.finished, 1);
    assert_int_equal(test.err, ERR_FULL);
}

static void test_the_owner_is_out_of_memory(void **state)
{
    (void)state;
    begin_usual();
    draft_fail(test.draft);
    finish();
    assert_int_equal(test.finished, 1);
    assert_int_equal(test.err, ERR_MEMORY);
    assert_int_equal(test.submitted, 0);
}

static void test_finished_frees_the_draft(void **state)
{
    static const size_t bodies[] = {10, 200000};
    for (size_t i = 0; i < COUNT_OF(bodies) * 2; i++) {
        test.frees = true;
        begin_usual();
        add_body(bodies[i / 2]);
        finish();
        answer_all(i % 2 == 0 ? ERR_NONE : ERR_IO);
        assert_int_equal(test.finished, 1);
        assert_null(test.draft);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* ---- giving up ---- */

static const struct {
    const char *name;
    size_t body;
    size_t answered; /* writes before it is given up */
    size_t discards;
} leavings[] = {
    {"nothing stored", 1000, 0, 0},  {"a chunk under way", 70000, 0, 1},          {"a chunk stored", 70000, 1, 1},
    {"two under way", 140000, 0, 1}, {"one stored, one under way", 140000, 1, 1},
};

/* A client that goes away: writes under way end first, then what they stored is thrown away. Nobody is called. */
static void test_giving_up(void **state)
{
    for (size_t i = 0; i < COUNT_OF(leavings); i++) {
        begin_usual();
        uint64_t id = draft_id(test.draft);
        add_body(leavings[i].body);
        for (size_t k = 0; k < leavings[i].answered; k++)
            answer(ERR_NONE);
        size_t ready = test.ready;
        draft_free(&test.draft);
        check_true(leavings[i].name, test.draft == NULL);
        answer_all(ERR_NONE);
        check_number(leavings[i].name, test.discarded, leavings[i].discards);
        check_number(leavings[i].name, test.finished, 0);
        check_number(leavings[i].name, test.ready, ready);
        struct buffer chunk;
        buffer_init(&chunk, CONTENT_MAX);
        for (uint32_t k = 0; k < 4; k++)
            check_number(leavings[i].name, queue_chunk_get(test.relay.queue, id, k, &chunk), ERR_NOT_FOUND);
        buffer_free(&chunk);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* ---- a mark ---- */

static void test_a_mark_is_stored_with_the_message(void **state)
{
    (void)state;
    struct draft_options options = usual_options();
    struct arena *arena = arena_new(65536);
    struct slice mark;
    options.mark_key = SLICE("drop/1");
    options.mark = SLICE("taken");
    test.draft = draft_new(&test.relay, &options);
    assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
    draft_add_content(test.draft, SLICE(HEADER));
    add_body(70000);
    answer(ERR_NONE);
    assert_int_equal(queue_meta_get(test.relay.queue, SLICE("drop/1"), arena, &mark), ERR_NOT_FOUND);
    finish();
    answer_all(ERR_NONE);
    assert_int_equal(queue_meta_get(test.relay.queue, SLICE("drop/1"), arena, &mark), ERR_NONE);
    check_slice("mark", mark, SLICE("taken"));
    arena_free(&arena);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        DRAFT_TEST(test_recipients_become_entries),
        DRAFT_TEST(test_many_recipients),
        DRAFT_TEST(test_recipients_have_a_limit),
        DRAFT_TEST(test_at_most_two_chunks_are_under_way),
        DRAFT_TEST(test_a_wait_for_all_the_others),
        DRAFT_TEST(test_the_acceptance_is_last),
        DRAFT_TEST(test_failures),
        DRAFT_TEST(test_a_failed_draft_stores_no_more),
        DRAFT_TEST(test_the_owner_is_out_of_memory),
        DRAFT_TEST(test_finished_frees_the_draft),
        DRAFT_TEST(test_giving_up),
        DRAFT_TEST(test_a_mark_is_stored_with_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
