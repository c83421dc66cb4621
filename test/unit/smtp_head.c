#include "smtp/head.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

/* ---- where it ends ---- */

static const char *own; /* our own fields, before each content */

struct collection {
    struct smtp_head head;
    struct buffer body;
};

static void *collect_start(void)
{
    struct collection *collection = calloc(1, sizeof *collection);
    assert_non_null(collection);
    smtp_head_init(&collection->head);
    buffer_init(&collection->body, 1 << 20);
    if (own != NULL)
        smtp_head_add_own(&collection->head, slice_of(own));
    return collection;
}

static void collect_feed(void *machine, struct slice part, struct buffer *events)
{
    struct collection *collection = machine;
    bool was_complete = collection->head.is_complete;
    size_t taken = was_complete ? 0 : smtp_head_feed(&collection->head, part);
    (void)events;
    assert_true(taken <= part.length);
    assert_true(taken == part.length || collection->head.is_complete);
    if (!was_complete && collection->head.is_complete)
        buffer_add(&collection->body, smtp_head_body(&collection->head));
    buffer_add(&collection->body, slice_from(part, taken));
}

/* "SECTION|BODY" */
static void collect_finish(void *machine, struct buffer *events)
{
    struct collection *collection = machine;
    if (!collection->head.is_complete) {
        smtp_head_finish(&collection->head);
        buffer_add(&collection->body, smtp_head_body(&collection->head));
    }
    assert_true(collection->head.is_complete);
    buffer_add(events, smtp_head_section(&collection->head));
    buffer_print(events, "|%s", collection->head.is_too_long ? "TOO LONG" : "");
    if (!collection->head.is_too_long)
        buffer_add(events, buffer_slice(&collection->body));
    smtp_head_free(&collection->head);
    buffer_free(&collection->body);
    free(collection);
}

static const struct split_machine collector = {collect_start, collect_feed, collect_finish};

static void test_collecting(void **state)
{
    static const struct {
        const char *name, *own, *input, *events;
    } cases[] = {
        {"a message", NULL, "A: b\r\nC: d\r\n\r\nbody\r\n\r\nE: f\r\n", "A: b\r\nC: d\r\n\r\n|body\r\n\r\nE: f\r\n"},
        {"nothing", NULL, "", "|"},
        {"no body", NULL, "A: b\r\n\r\n", "A: b\r\n\r\n|"},
        {"no empty line", NULL, "A: b\r\n", "A: b\r\n|"},
        {"no header", NULL, "\r\nbody\r\n", "\r\n|body\r\n"},
        {"no field", NULL, "hello there: you\r\nA: b\r\n\r\n", "|hello there: you\r\nA: b\r\n\r\n"},
        {"fields, then none", NULL, "A: b\r\nhello\r\nC: d\r\n", "A: b\r\n|hello\r\nC: d\r\n"},
        {"folded", NULL, "A: b\r\n c: d\r\n\te\r\nF : g\r\n\r\n", "A: b\r\n c: d\r\n\te\r\nF : g\r\n\r\n|"},
        {"a folded line first", NULL, " a\r\nB: c\r\n\r\n", "| a\r\nB: c\r\n\r\n"},
        {"a line of blanks", NULL, "A: b\r\n \r\nC: d\r\n\r\n", "A: b\r\n \r\nC: d\r\n\r\n|"},
        {"no name", NULL, "A: b\r\n: c\r\n", "A: b\r\n|: c\r\n"},
        {"a name with a control", NULL, "A\x01: b\r\n", "|A\x01: b\r\n"},
        {"unfinished", NULL, "A: b\r\nC: d", "A: b\r\nC: d|"},
        {"unfinished body", NULL, "A: b\r\nC", "A: b\r\n|C"},
        {"ours first", "O: o\r\n", "A: b\r\n\r\nbody\r\n", "O: o\r\nA: b\r\n\r\n|body\r\n"},
        {"ours alone", "O: o\r\n", "", "O: o\r\n|"},
        {"ours and a body", "O: o\r\n", "hello\r\n", "O: o\r\n|hello\r\n"},
        {"nothing is added to ours", "O: o\r\n", " x\r\nA: b\r\n\r\n", "O: o\r\n| x\r\nA: b\r\n\r\n"},
        {"a mailbox file", "O: o\r\n", "From ann Tue Nov 24 03:05:22 2026\r\nA: b\r\n\r\n", "O: o\r\nA: b\r\n\r\n|"},
        {"a quoted mailbox file", NULL, ">From ann Tue Nov 24 03:05:22 2026\r\nA: b\r\n\r\n", "A: b\r\n\r\n|"},
        {"no mailbox file any more", NULL, "A: b\r\nFrom here on\r\n", "A: b\r\n|From here on\r\n"},
        {"From with a blank is a field", NULL, "From : ann\r\n\r\n", "From : ann\r\n\r\n|"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        own = cases[i].own;
        split_test(cases[i].name, slice_of(cases[i].input), &collector, cases[i].events);
    }
}

static void check_collected(const char *name, struct slice input, size_t section)
{
    struct buffer events;
    buffer_init(&events, 1 << 21);
    own = NULL;
    split_test(name, input, &collector, NULL);
    split_run(&collector, input, input.length, &events);
    check_number(name, slice_find(buffer_slice(&events), '|'), section);
    buffer_free(&events);
}

static struct slice repeat(struct buffer *out, const char *before, size_t count, const char *after)
{
    buffer_clear(out);
    buffer_add(out, slice_of(before));
    for (size_t i = 0; i < count; i++)
        buffer_add_byte(out, 'x');
    buffer_add(out, slice_of(after));
    return buffer_slice(out);
}

static void test_long_lines(void **state)
{
    struct buffer input;
    (void)state;
    buffer_init(&input, 1 << 20);
    check_collected("a long field", repeat(&input, "A: ", 100000, "\r\n\r\nbody"), 100007);
    check_collected("a long name", repeat(&input, "", 990, ": x\r\n\r\nbody"), 997);
    check_collected("a name that is too long", repeat(&input, "", 1000, ": x\r\n\r\nbody"), 0);
    check_collected("a long text", repeat(&input, "A: b\r\n", 100000, "\r\nC: d\r\n\r\n"), 6);
    buffer_free(&input);
}

static void test_too_long(void **state)
{
    struct buffer input;
    struct smtp_head head;
    (void)state;
    buffer_init(&input, 1 << 20);
    struct slice field = repeat(&input, "A: ", 1000, "\r\n");
    smtp_head_init(&head);
    while (smtp_head_feed(&head, field) == field.length)
        assert_true(buffer_length(&head.bytes) <= SMTP_HEAD_MAX);
    assert_true(head.is_complete && head.is_too_long);
    assert_true(head.length > SMTP_HEAD_MAX - 2000);
    smtp_head_free(&head);
    buffer_free(&input);
}

/* ---- the repair ---- */

static void check_repair(const char *name, const char *sender, const char *input, const char *expected)
{
    struct smtp_head head;
    struct buffer out;
    struct smtp_head_repair repair = {
        .hostname = SLICE("r.example"), .sender = slice_of(sender), .id = SLICE("6A01"), .date_ms = 0};
    smtp_head_init(&head);
    buffer_init(&out, 1 << 20);
    (void)smtp_head_feed(&head, slice_of(input));
    smtp_head_finish(&head);
    smtp_head_repair(&head, &repair, &out);
    check_slice(name, buffer_slice(&out), slice_of(expected));
    smtp_head_free(&head);
    buffer_free(&out);
}

#define ALL "Date: d\r\nMessage-ID: m\r\n"

static void test_missing(void **state)
{
    (void)state;
    check_repair("nothing is missing", "s@d.example", ALL "From: a@b.example\r\n\r\n", ALL "From: a@b.example\r\n\r\n");
    check_repair("all is missing", "s@d.example", "",
                 "From: s@d.example\r\nDate: Thu, 1 Jan 1970 00:00:00 +0000\r\nMessage-ID: <6A01@r.example>\r\n\r\n");
    check_repair("a null sender", "", ALL "\r\n", ALL "From: MAILER-DAEMON@r.example\r\n\r\n");
    check_repair("a sender that is none", "s", ALL "\r\n", ALL "From: MAILER-DAEMON@r.example\r\n\r\n");
    check_repair("no empty line", "s@d.example", ALL "From: a@b.example\r\n", ALL "From: a@b.example\r\n\r\n");
    check_repair("no line end", "s@d.example", ALL "From: a@b.example", ALL "From: a@b.example\r\n\r\n");
    check_repair("a body without header", "s@d.example", ALL "hello\r\n", ALL "From: s@d.example\r\n\r\n");
}

static void test_qualifying(void **state)
{
    static const struct {
        const char *name, *field, *expected; /* NULL: as it was */
    } cases[] = {
        {"whole", "To: a@b.example, c@d.example", NULL},
        {"bare", "To: ann", "To: ann@r.example"},
        {"bare in brackets", "To: Ann <ann>, \"B, c\" <bob>", "To: Ann <ann@r.example>, \"B, c\" <bob@r.example>"},
        {"mixed", "Cc: ann, b@c.example,bob (the builder),\r\n\tx", "Cc: ann@r.example, b@c.example,bob@r.example (the builder),\r\n\tx@r.example"},
        {"a group", "To: team: ann, b@c.example;, undisclosed-recipients:;", "To: team: ann@r.example, b@c.example;, undisclosed-recipients:;"},
        {"quoted", "Sender: \"ann other\"", "Sender: \"ann other\"@r.example"},
        {"words that are no address", "From: Ann Other", NULL},
        {"nothing", "To:", NULL},
        {"empty brackets", "From: <>", NULL},
        {"resent", "Resent-From: root", "Resent-From: root@r.example"},
        {"reply", "REPLY-TO: root", "REPLY-TO: root@r.example"},
        {"blind copies", "Bcc: root", "Bcc: root@r.example"},
        {"other fields", "X-To: root", NULL},
        {"a subject", "Subject: root, me", NULL},
        {"a blank before the colon", "Subject : x", "Subject: x"},
        {"blanks before the colon", "Cc \t : root, b@c.example", "Cc: root@r.example, b@c.example"},
        {"a blank before the colon of what is folded", "X-Other :\r\n\ta : b", "X-Other:\r\n\ta : b"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        char input[400], expected[400];
        const char *from = strncmp(cases[i].field, "From", 4) == 0 ? "" : "From: a@b.example\r\n";
        snprintf(input, sizeof input, ALL "%s%s\r\n\r\n", from, cases[i].field);
        snprintf(expected, sizeof expected, ALL "%s%s\r\n\r\n", from,
                 cases[i].expected == NULL ? cases[i].field : cases[i].expected);
        check_repair(cases[i].name, "s@d.example", input, expected);
    }
}

static void test_author_domain(void **state)
{
    static const struct {
        const char *section, *domain; /* NULL: none */
    } cases[] = {
        {"From: a@b.example\r\n\r\n", "b.example"},
        {"To: x@y.example\r\nFROM: Ann <a@B.example>, c@d.example\r\n\r\n", "B.example"},
        {"From: ann\r\n\r\n", NULL},
        {"From: \r\n\r\n", NULL},
        {"To: a@b.example\r\n\r\n", NULL},
        {"\r\nFrom: a@b.example\r\n", NULL},
        {"From: Ann Other\r\nFrom: a@b.example\r\n", "b.example"},
        {"", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 1024);
        bool found = smtp_head_author_domain(slice_of(cases[i].section), &out);
        check_true(cases[i].section, found == (cases[i].domain != NULL));
        check_slice(cases[i].section, buffer_slice(&out), slice_of(cases[i].domain));
        buffer_free(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_collecting),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_missing),
        cmocka_unit_test(test_qualifying),
        cmocka_unit_test(test_author_domain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
