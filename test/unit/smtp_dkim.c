#include "smtp/dkim.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

/* ---- the body ---- */

struct relaxing {
    struct smtp_dkim_body body;
    struct buffer out;
};

static void *body_start(void)
{
    struct relaxing *relaxing = calloc(1, sizeof *relaxing);
    assert_non_null(relaxing);
    buffer_init(&relaxing->out, 1 << 20);
    return relaxing;
}

static void body_feed(void *machine, struct slice part, struct buffer *events)
{
    struct relaxing *relaxing = machine;
    (void)events;
    smtp_dkim_body_feed(&relaxing->body, part, &relaxing->out);
}

static void body_finish(void *machine, struct buffer *events)
{
    struct relaxing *relaxing = machine;
    smtp_dkim_body_finish(&relaxing->body, &relaxing->out);
    buffer_add(events, buffer_slice(&relaxing->out));
    buffer_free(&relaxing->out);
    free(relaxing);
}

static const struct split_machine body = {body_start, body_feed, body_finish};

static void test_body(void **state)
{
    static const struct {
        const char *name, *input, *relaxed;
    } cases[] = {
        {"RFC 6376 3.4.5", " C \r\nD \t E\r\n\r\n\r\n", " C\r\nD E\r\n"},
        {"nothing", "", ""},
        {"empty lines only", "\r\n\r\n\r\n", ""},
        {"blank lines only", " \r\n\t\r\n", ""},
        {"empty lines in the middle", "a\r\n\r\n \r\nb\r\n", "a\r\n\r\n\r\nb\r\n"},
        {"empty lines first", "\r\n\r\na\r\n", "\r\n\r\na\r\n"},
        {"blanks", "a  b\t\tc \t d\r\n", "a b c d\r\n"},
        {"blanks in front", "  a\r\n\tb\r\n", " a\r\n b\r\n"},
        {"blanks at the end", "a \t \r\n", "a\r\n"},
        {"no line end", "a\r\nb", "a\r\nb\r\n"},
        {"no line end behind a blank", "a ", "a\r\n"},
        {"8-bit", "\xc3\xa4  \xff\r\n", "\xc3\xa4 \xff\r\n"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        split_test(cases[i].name, slice_of(cases[i].input), &body, cases[i].relaxed);
}

/* ---- header fields ---- */

static void test_relax(void **state)
{
    static const struct {
        const char *name, *body, *relaxed;
    } cases[] = {
        {"A", " X", "a:X"}, /* RFC 6376 3.4.5 */
        {"B", " Y\t\r\n\tZ  ", "b:Y Z"},
        {"SubJect", "", "subject:"},
        {"To", " \t\r\n ", "to:"},
        {"From", "a \r\n b\t\tc", "from:a b c"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 1024);
        smtp_dkim_relax(slice_of(cases[i].name), slice_of(cases[i].body), &out);
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].relaxed));
        buffer_free(&out);
    }
}

static const struct smtp_dkim_signature signature = {
    .domain = SLICE_INIT("d.example"),
    .selector = SLICE_INIT("s1"),
    .body_hash = SLICE_INIT("0123456789abcdef0123456789abcdef"),
    .time_ms = 1700000000999,
};

#define TAGS(names)                                                                                                    \
    " v=1; a=rsa-sha256; c=relaxed/relaxed; d=d.example;\r\n\ts=s1; t=1700000000;\r\n\th=" names ";\r\n"                \
    "\tbh=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=;\r\n\tb="
#define RELAXED_TAGS(names)                                                                                            \
    "dkim-signature:v=1; a=rsa-sha256; c=relaxed/relaxed; d=d.example; s=s1; t=1700000000; h=" names "; "                \
    "bh=MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=; b="

static void test_header(void **state)
{
    static const struct {
        const char *name, *section, *data;
    } cases[] = {
        {"from alone", "From: a@d.example\r\n\r\n", "from:a@d.example\r\n" RELAXED_TAGS("From:From")},
        {"no from", "Subject: x\r\n\r\n", "subject:x\r\n" RELAXED_TAGS("From:Subject")},
        {"order", "Subject: x\r\nReceived: y\r\nX-Other: z\r\nTo: b\r\nFROM: a\r\nDate : d\r\n\r\nFrom: body\r\n",
         "from:a\r\nto:b\r\nsubject:x\r\ndate:d\r\n" RELAXED_TAGS("From:From:To:Subject:Date")},
        {"the last first", "To: 1\r\nFrom: a\r\nTo: 2\r\nTo: 3\r\n\r\n",
         "from:a\r\nto:3\r\nto:2\r\nto:1\r\n" RELAXED_TAGS("From:From:To:To:To")},
        {"folded", "From: a\r\n\tb\r\nSubject:\r\n x  y\r\n", "from:a b\r\nsubject:x y\r\n" RELAXED_TAGS("From:From:Subject")},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer out;
        buffer_init(&out, 65536);
        smtp_dkim_header(&signature, slice_of(cases[i].section), &out);
        check_slice(cases[i].name, buffer_slice(&out), slice_of(cases[i].data));
        buffer_free(&out);
    }
}

static void test_field(void **state)
{
    struct buffer out;
    (void)state;
    buffer_init(&out, 65536);
    smtp_dkim_field(&signature, SLICE("From: a\r\n\r\n"), SLICE("abc"), &out);
    check_slice("short", buffer_slice(&out), SLICE("DKIM-Signature:" TAGS("From:From") "YWJj\r\n"));
    buffer_free(&out);
}

/* Many fields and a signature of 4096 bits: no line is long, and unfolded it is what was signed, with the value behind it. */
static void test_long_field(void **state)
{
    struct buffer section, field, data, relaxed;
    char value[512];
    (void)state;
    memset(value, 'v', sizeof value);
    buffer_init(&section, 1 << 20);
    buffer_init(&field, 1 << 20);
    buffer_init(&data, 1 << 20);
    buffer_init(&relaxed, 1 << 20);
    for (int i = 0; i < 300; i++)
        buffer_print(&section, "To: %d\r\n", i);
    buffer_add(&section, SLICE("From: a\r\nContent-Transfer-Encoding: 7bit\r\nList-Unsubscribe-Post: x\r\n\r\n"));
    smtp_dkim_field(&signature, buffer_slice(&section), slice_make(value, sizeof value), &field);
    smtp_dkim_header(&signature, buffer_slice(&section), &data);
    assert_false(buffer_failed(&field) || buffer_failed(&data));
    struct slice rest = buffer_slice(&field), line;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line))
        assert_true(line.length <= 80);
    struct slice all = buffer_slice(&field);
    size_t value_at = slice_find_slice(all, SLICE("\r\n\tb=")) + 5;
    smtp_dkim_relax(SLICE("DKIM-Signature"), slice_from(slice_to(all, value_at), sizeof "DKIM-Signature:" - 1), &relaxed);
    assert_true(slice_ends(buffer_slice(&data), buffer_slice(&relaxed)));
    assert_true(slice_find_slice(buffer_slice(&data), SLICE("to:299\r\nto:298\r\n")) < buffer_length(&data));
    assert_int_equal(slice_find_slice(buffer_slice(&data), SLICE("to:43\r\n")), buffer_length(&data)); /* the first 44 are not signed */
    buffer_free(&section);
    buffer_free(&field);
    buffer_free(&data);
    buffer_free(&relaxed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),  cmocka_unit_test(test_relax),      cmocka_unit_test(test_header),
        cmocka_unit_test(test_field), cmocka_unit_test(test_long_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
