/* The content of drafts: what is stored is what came, whatever the cuts, with what was missing in front; what is wrong
 * with some; and reports, which are stored by others. */
#include "test/unit/drafting.h"

/* Cut into pieces of the length; ends with the content that was stored. */
static void store(const char *name, struct slice content, size_t piece, struct buffer *stored,
                  struct queue_message *message, struct arena *arena)
{
    test.finished = 0;
    begin();
    uint64_t id = draft_id(test.draft);
    assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
    draft_add_trace(test.draft, SLICE(TRACE));
    while (content.length > 0) {
        draft_add_content(test.draft, slice_to(content, piece));
        content = slice_from(content, piece);
        while (draft_is_busy(test.draft))
            answer(ERR_NONE);
    }
    check_number(name, draft_end(test.draft), DRAFT_FINE);
    draft_finish(test.draft, clock_wall_ms());
    answer_all(ERR_NONE);
    check_number(name, test.finished, 1);
    check_number(name, test.err, ERR_NONE);
    uint64_t size = draft_size(test.draft);
    draft_free(&test.draft);
    check_number(name, queue_message_get(test.relay.queue, id, arena, message), ERR_NONE);
    buffer_clear(stored);
    for (uint32_t i = 0; i < message->chunk_count; i++)
        check_number(name, queue_chunk_get(test.relay.queue, id, i, stored), ERR_NONE);
    check_number(name, buffer_length(stored), size);
    check_number(name, message->size, size);
}

static const size_t lengths[] = {0,     1,      79,     80,     65536 - sizeof TRACE - sizeof HEADER, 65500, 65536,
                                 65537, 131072, 200000, 1000003};
static const size_t cuts[] = {SIZE_MAX, 65537, 65536, 65535, 4096, 79, 3};

/* The body has bytes of all values but 0, in lines; what came is what is stored, with our field in front. */
static void test_what_came_is_stored(void **state)
{
    (void)state;
    static char content[CONTENT_MAX];
    struct buffer stored, expected;
    struct arena *arena = arena_new(1u << 20);
    buffer_init(&stored, CONTENT_MAX);
    buffer_init(&expected, CONTENT_MAX);
    for (size_t i = 0; i < COUNT_OF(lengths) * 2; i++) {
        bool is_signed = i % 2 == 1;
        size_t length = (size_t)snprintf(content, sizeof content, "%s%s", is_signed ? SIGNED : "", HEADER);
        size_t header_length = length;
        for (size_t k = 0; k < lengths[i / 2]; k++)
            content[length++] = k % 80 == 78 ? '\r' : k % 80 == 79 ? '\n' : (char)('a' + k / 80 % 26);
        buffer_clear(&expected);
        buffer_add(&expected, SLICE(TRACE));
        buffer_add(&expected, slice_make(content, length));
        for (size_t k = 0; k < COUNT_OF(cuts); k++) {
            char name[80];
            struct queue_message message;
            snprintf(name, sizeof name, "%zu bytes by %zu%s", lengths[i / 2], cuts[k], is_signed ? ", signed" : "");
            arena_reset(arena);
            store(name, slice_make(content, length), cuts[k], &stored, &message, arena);
            check_true(name, slice_equal(buffer_slice(&stored), buffer_slice(&expected)));
            check_number(name, message.header_length, header_length + sizeof TRACE - 1);
            check_number(name, message.is_signed, is_signed);
            check_number(name, message.eight_bit, false);
        }
    }
    buffer_free(&stored);
    buffer_free(&expected);
    arena_free(&arena);
}

static void test_facts_of_the_content(void **state)
{
    (void)state;
    static const struct {
        const char *name, *content;
        bool eight_bit;
    } cases[] = {
        {"ASCII", HEADER "text\r\n", false},
        {"a high byte in the body", HEADER "t\xc3\xa4xt\r\n", true},
        {"a high byte in the header", "Subject: \xc3\xa4\r\n" HEADER "text\r\n", true},
        {"a high byte at the end", HEADER "text\xff", true},
    };
    struct buffer stored;
    struct arena *arena = arena_new(1u << 20);
    buffer_init(&stored, CONTENT_MAX);
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct queue_message message;
        store(cases[i].name, slice_of(cases[i].content), 1, &stored, &message, arena);
        check_number(cases[i].name, message.eight_bit, cases[i].eight_bit);
        check_slice(cases[i].name, message.sender, SLICE("a@example.com"));
        check_slice(cases[i].name, message.origin, SLICE("smtp [192.0.2.1]"));
        check_number(cases[i].name, message.arrival_ms, clock_wall_ms());
    }
    buffer_free(&stored);
    arena_free(&arena);
}

/* ---- the header section ---- */

#define DATE "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"
static const struct {
    const char *name, *content;
    const char *stored; /* part of it; NULL: all as it came */
} repairs[] = {
    {"complete", HEADER "text\r\n", NULL},
    {"no From", DATE "Message-ID: <1@a>\r\n\r\ntext\r\n", "\r\nFrom: "},
    {"no Date", "From: a@example.com\r\nMessage-ID: <1@a>\r\n\r\ntext\r\n", "\r\nDate: "},
    {"no Message-ID", "From: a@example.com\r\n" DATE "\r\ntext\r\n", "\r\nMessage-ID: <"},
    {"no empty line", "From: a@example.com\r\nno field\r\nmore\r\n", "\r\n\r\nno field\r\nmore\r\n"},
    {"no header section", "no field\r\nmore\r\n", "\r\n\r\nno field\r\nmore\r\n"},
    {"nothing", "", "\r\nFrom: "},
    {"signed, no Date", SIGNED "From: a@example.com\r\n\r\ntext\r\n", NULL},
    {"signed, an address without domain", SIGNED "From: a\r\n\r\ntext\r\n", NULL},
};

/* Whatever the cuts; what is signed is left alone. */
static void test_what_is_missing_is_added(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 7, SIZE_MAX};
    struct buffer stored, expected;
    struct arena *arena = arena_new(1u << 20);
    buffer_init(&stored, CONTENT_MAX);
    buffer_init(&expected, CONTENT_MAX);
    for (size_t i = 0; i < COUNT_OF(repairs) * COUNT_OF(pieces); i++) {
        const char *name = repairs[i / COUNT_OF(pieces)].name;
        struct slice content = slice_of(repairs[i / COUNT_OF(pieces)].content);
        struct slice part = slice_of(repairs[i / COUNT_OF(pieces)].stored);
        struct queue_message message;
        store(name, content, pieces[i % COUNT_OF(pieces)], &stored, &message, arena);
        check_true(name, slice_starts(buffer_slice(&stored), SLICE(TRACE)));
        buffer_clear(&expected);
        buffer_add(&expected, SLICE(TRACE));
        buffer_add(&expected, content);
        if (part.length == 0)
            check_slice(name, buffer_slice(&stored), buffer_slice(&expected));
        else
            check_true(name, slice_find_slice(buffer_slice(&stored), part) < buffer_length(&stored));
        struct slice section = slice_to(buffer_slice(&stored), message.header_length);
        check_true(name, slice_ends(section, SLICE("\r\n\r\n")));
        check_number(name, slice_find_slice(section, SLICE("\r\n\r\n")), section.length - 4);
    }
    buffer_free(&stored);
    buffer_free(&expected);
    arena_free(&arena);
}

/* ---- faults of the content ---- */

static void test_loops(void **state)
{
    static const unsigned counts[] = {0, 1, 49, 50, 51, 120};
    for (size_t k = 0; k < COUNT_OF(counts); k++) {
        unsigned hops = counts[k];
        struct buffer content;
        buffer_init(&content, CONTENT_MAX);
        for (unsigned i = 0; i < hops; i++)
            buffer_add(&content, SLICE("Received: from x by y; Tue, 14 Nov 2023 22:13:20 +0000\r\n"));
        buffer_add(&content, SLICE(HEADER));
        begin();
        assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
        draft_add_content(test.draft, buffer_slice(&content));
        check_number("hops", draft_end(test.draft), hops > 50 ? DRAFT_LOOP : DRAFT_FINE);
        assert_int_equal(draft_fault_reply(DRAFT_LOOP).code, 554);
        buffer_free(&content);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

static const struct {
    const char *name;
    bool is_signed, in_header;
    size_t line; /* bytes of one */
    enum draft_fault fault;
} long_lines[] = {
    {"a long line", false, false, 60000, DRAFT_FINE},
    {"a very long line", false, false, 300000, DRAFT_FINE}, /* it can be encoded */
    {"a long line that is signed", true, false, 65536, DRAFT_FINE},
    {"too long a line that is signed", true, false, 65537, DRAFT_LINE},
    {"a large header", false, true, 250000, DRAFT_FINE},
    {"too large a header", false, true, 270000, DRAFT_HEADER},
};

static void test_lines_and_headers_that_are_too_long(void **state)
{
    for (size_t i = 0; i < COUNT_OF(long_lines) * 2; i++) {
        size_t row = i / 2, piece = i % 2 == 0 ? SIZE_MAX : 1000;
        struct buffer content;
        buffer_init(&content, CONTENT_MAX);
        buffer_add(&content, slice_of(long_lines[row].is_signed ? SIGNED : ""));
        for (size_t k = 0; long_lines[row].in_header && k < long_lines[row].line / 70; k++)
            buffer_print(&content, "X-Long-%04zu: %056d\r\n", k % 10000, 0);
        buffer_add(&content, SLICE(HEADER));
        for (size_t k = 0; !long_lines[row].in_header && k < long_lines[row].line; k++)
            buffer_add_byte(&content, 'x');
        buffer_add(&content, SLICE("\r\n"));
        begin();
        assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
        struct slice rest = buffer_slice(&content);
        while (rest.length > 0) {
            draft_add_content(test.draft, slice_to(rest, piece));
            rest = slice_from(rest, piece);
        }
        check_number(long_lines[row].name, draft_end(test.draft), long_lines[row].fault);
        check_true(long_lines[row].name,
                   draft_fault_reply(long_lines[row].fault).code >= (long_lines[row].fault == DRAFT_FINE ? 250 : 500));
        buffer_free(&content);
        assert_int_equal(tear_down(state), 0);
        assert_int_equal(set_up(state), 0);
    }
}

/* Addresses without a domain are completed, each of a few bytes by ours: what becomes too long by that is the message's own fault, and
 * no want of memory that would be over some day. */
static void test_a_header_that_outgrows_its_room(void **state)
{
    (void)state;
    begin();
    assert_int_equal(add_to("b@example.org", "example.org"), ERR_NONE);
    draft_add_content(test.draft, SLICE("To: a"));
    for (size_t i = 0; i < 60000; i++)
        draft_add_content(test.draft, SLICE(",a"));
    draft_add_content(test.draft, SLICE("\r\n\r\nbody\r\n"));
    check_number("fault", draft_end(test.draft), DRAFT_HEADER);
}

/* ---- reports ---- */

static struct draft *new_report(size_t length)
{
    static char line[] = "a line of a report that is neither long nor short, as reports have many of them\r\n";
    struct draft_options options = {
        .sender = SLICE_EMPTY, .origin = SLICE("report"), .envid = SLICE_EMPTY, .is_report = true, .owner = &test};
    struct draft *draft = draft_new(&test.relay, &options);
    struct draft_recipient recipient = {
        .address = SLICE("a@example.com"), .domain = SLICE("example.com"), .orcpt = SLICE_EMPTY};
    assert_non_null(draft);
    assert_int_equal(draft_add_recipient(draft, &recipient), ERR_NONE);
    draft_add_content(draft, SLICE(HEADER));
    for (size_t at = 0; at < length; at += sizeof line - 1)
        draft_add_content(draft, slice_make(line, sizeof line - 1));
    return draft;
}

/* A report is nobody's until its changes are applied, together with others. */
static void test_reports(void **state)
{
    (void)state;
    static const size_t bodies[] = {0, 100, 60000, 70000, 900000};
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        const struct queue_change *changes = NULL;
        const struct queue_change *batch[32];
        struct arena *arena = arena_new(1u << 20);
        struct queue_message message;
        char name[48];
        size_t count = 0;
        snprintf(name, sizeof name, "%zu bytes", bodies[i]);
        struct draft *draft = new_report(bodies[i]);
        check_number(name, draft_changes(draft, clock_wall_ms(), &changes, &count), ERR_NONE);
        check_number(name, test.submitted, 0);
        assert_true(count > 0 && count <= COUNT_OF(batch));
        for (size_t k = 0; k < count; k++) {
            batch[k] = &changes[k];
            check_true(name, changes[k].is_report);
        }
        check_number(name, queue_apply(test.relay.queue, batch, count), ERR_NONE);
        check_number(name, queue_message_get(test.relay.queue, draft_id(draft), arena, &message), ERR_NONE);
        check_number(name, message.size, draft_size(draft));
        check_number(name, message.sender.length, 0);
        draft_free(&draft);
        check_number(name, test.discarded, 0);
        arena_free(&arena);
    }
}

static void test_a_report_that_is_too_large(void **state)
{
    (void)state;
    const struct queue_change *changes;
    size_t count;
    struct draft *draft = new_report(1200000);
    assert_int_not_equal(draft_changes(draft, clock_wall_ms(), &changes, &count), ERR_NONE);
    draft_free(&draft);
    assert_int_equal(test.submitted, 0);
}

int main(void)
{
    folder_use_memory();
    const struct CMUnitTest tests[] = {
        DRAFT_TEST(test_what_came_is_stored),
        DRAFT_TEST(test_facts_of_the_content),
        DRAFT_TEST(test_what_is_missing_is_added),
        DRAFT_TEST(test_loops),
        DRAFT_TEST(test_lines_and_headers_that_are_too_long),
        DRAFT_TEST(test_a_header_that_outgrows_its_room),
        DRAFT_TEST(test_reports),
        DRAFT_TEST(test_a_report_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
