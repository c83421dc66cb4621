#include "smtp/mime.h"

#include "base/buffer.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

/* ---- Content-Type ---- */

static void test_type(void **state)
{
    static const struct {
        const char *name, *value, *type, *boundary; /* type NULL: none */
    } cases[] = {
        {"plain", " text/plain", "text/plain", ""},
        {"case is kept", "Text/HTML; charset=utf-8", "Text/HTML", ""},
        {"token", "multipart/mixed; boundary=abc", "multipart/mixed", "abc"},
        {"quoted", "multipart/mixed; boundary=\"a b\\\"c\"", "multipart/mixed", "a b\"c"},
        {"folded", "multipart/mixed;\r\n\tboundary=\"abc\"\r\n", "multipart/mixed", "abc"},
        {"name in capitals", "multipart/mixed; BOUNDARY=abc", "multipart/mixed", "abc"},
        {"other parameters", "multipart/related; type=\"text/html; boundary=no\"; boundary=yes", "multipart/related", "yes"},
        {"what tokens may not have", "multipart/mixed; boundary=a/b?c=d", "multipart/mixed", "a/b?c=d"},
        {"comments", "(a (b) \\) c) multipart (d) / mixed (e); (f) boundary (g) = (h) abc (i)", "multipart/mixed", "abc"},
        {"blanks behind the boundary", "multipart/mixed; boundary=\"abc  \"", "multipart/mixed", "abc"},
        {"semicolons", "multipart/mixed;; ;boundary=abc;", "multipart/mixed", "abc"},
        {"the first counts", "multipart/mixed; boundary=a; boundary=b", "multipart/mixed", "a"},
        {"behind a parameter without value", "multipart/mixed; what; boundary=a", "multipart/mixed", ""},
        {"no subtype", "text", NULL, ""},
        {"no type", "/plain", NULL, ""},
        {"nothing", "", NULL, ""},
        {"an open comment", "text/plain (", "text/plain", ""},
        {"an open string", "multipart/mixed; boundary=\"abc", "multipart/mixed", "abc"},
        {"a string that ends in a backslash", "multipart/mixed; boundary=\"abc\\", "multipart/mixed", "abc\\"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct smtp_mime_type type;
        char text[64] = "";
        bool found = smtp_mime_type_parse(slice_of(cases[i].value), &type);
        check_true(cases[i].name, found == (cases[i].type != NULL));
        snprintf(text, sizeof text, "%.*s/%.*s", SLICE_ARGS(type.type), SLICE_ARGS(type.subtype));
        if (found)
            check_slice(cases[i].name, slice_of(text), slice_of(cases[i].type));
        check_slice(cases[i].name, slice_make(type.boundary, type.boundary_length), slice_of(cases[i].boundary));
    }
}

static void test_boundary_length(void **state)
{
    (void)state;
    for (size_t length = SMTP_MIME_BOUNDARY_MAX - 1; length <= SMTP_MIME_BOUNDARY_MAX + 1; length++) {
        char value[300];
        struct smtp_mime_type type;
        int end = snprintf(value, sizeof value, "multipart/mixed; boundary=\"%0*d\"", (int)length, 0);
        assert_true(smtp_mime_type_parse(slice_make(value, (size_t)end), &type));
        assert_int_equal(type.boundary_length, length <= SMTP_MIME_BOUNDARY_MAX ? length : 0);
    }
}

/* ---- lines ---- */

struct walk {
    struct smtp_mime mime;
    struct buffer all; /* the lines joined */
};

static void *walk_start(void)
{
    struct walk *walk = calloc(1, sizeof *walk);
    assert_non_null(walk);
    smtp_mime_init(&walk->mime);
    buffer_init(&walk->all, 1 << 24);
    return walk;
}

/* "F0 From: a\n": kind, number of the part, the line's text; a field that matters as T (type), E (encoding), V (version), a
 * delimiter as D; behind a blank the part's nature. Of a long line the pieces join. */
static void print_line(const struct walk *walk, const struct smtp_mime_line *line, struct buffer *events)
{
    static const char fields[] = "FTEV", natures[] = "LMRO";
    const struct smtp_mime_part *part = &walk->mime.part;
    char kind = line->kind == SMTP_MIME_FIELD ? fields[line->field] : line->is_delimiter ? 'D' : "FBb-"[line->kind];
    struct slice text = slice_to(line->bytes, slice_find(line->bytes, '\r'));
    text = slice_to(text, slice_find(text, '\n'));
    if (line->starts)
        buffer_print(events, "%c%u %s", kind, part->number, line->is_long ? "LONG " : "");
    buffer_add(events, text);
    if (line->kind == SMTP_MIME_BLANK)
        buffer_print(events, "%s%c%d", line->bytes.length == 0 ? "missing " : "", natures[part->nature], part->encoding);
    if (line->ends)
        buffer_add_byte(events, '\n');
}

static void walk_feed(void *machine, struct slice part, struct buffer *events)
{
    struct walk *walk = machine;
    struct smtp_mime_line line;
    while (smtp_mime_next(&walk->mime, &part, &line)) {
        print_line(walk, &line, events);
        buffer_add(&walk->all, line.bytes);
    }
    assert_int_equal(part.length, 0);
}

static void walk_finish(void *machine, struct buffer *events)
{
    struct walk *walk = machine;
    struct smtp_mime_line line;
    while (smtp_mime_finish(&walk->mime, &line)) {
        print_line(walk, &line, events);
        buffer_add(&walk->all, line.bytes);
    }
    buffer_print(events, "%zu bytes\n", buffer_length(&walk->all));
    buffer_free(&walk->all);
    free(walk);
}

static const struct split_machine walker = {walk_start, walk_feed, walk_finish};

struct walk_case {
    const char *name, *input, *events;
};
static void run_walks(const struct walk_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char events[4096];
        snprintf(events, sizeof events, "%s%zu bytes\n", cases[i].events, strlen(cases[i].input));
        split_test(cases[i].name, slice_of(cases[i].input), &walker, events);
    }
}

static void test_simple(void **state)
{
    static const struct walk_case cases[] = {
        {"nothing", "", ""},
        {"a message", "From: a\r\n\r\nbody\r\n", "F0 From: a\nB0 L0\nb0 body\n"},
        {"no body", "From: a\r\n\r\n", "F0 From: a\nB0 L0\n"},
        {"no end of the header", "From: a\r\n", "F0 From: a\n"},
        {"unfinished", "From: a\r\n\r\nbody", "F0 From: a\nB0 L0\nb0 body"},
        {"folded", "A: b\r\n c\r\nContent-Type: x/y;\r\n\tz\r\n\r\n", "F0 A: b\nF0  c\nT0 Content-Type: x/y;\nT0 \tz\nB0 L0\n"},
        {"a folded line first", " a\r\nb: c\r\n\r\n", "F0  a\nF0 b: c\nB0 L0\n"},
        {"no header at all", "hello\r\nA: b\r\n", "B0 missing L0\nb0 hello\nb0 A: b\n"},
        {"a header that is broken off", "A: b\r\nhello\r\n\r\nC: d\r\n", "F0 A: b\nB0 missing L0\nb0 hello\nb0 \nb0 C: d\n"},
        {"encoding", "content-transfer-ENCODING : 8Bit\r\n\r\nx\r\n", "E0 content-transfer-ENCODING : 8Bit\nB0 L1\nb0 x\n"},
        {"two encodings", "Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding:\r\n 8bit\r\n\r\n",
         "E0 Content-Transfer-Encoding: base64\nE0 Content-Transfer-Encoding:\nE0  8bit\nB0 L4\n"},
        {"an encoding that nobody knows", "Content-Transfer-Encoding: x-uuencode\r\n\r\nx\r\n",
         "E0 Content-Transfer-Encoding: x-uuencode\nB0 O5\nb0 x\n"},
        {"an empty encoding", "Content-Transfer-Encoding:\r\n\r\n", "E0 Content-Transfer-Encoding:\nB0 L0\n"},
        {"version", "MIME-Version: 1.0\r\n\r\n", "V0 MIME-Version: 1.0\nB0 L0\n"},
        {"delimiters mean nothing here", "\r\n--a\r\n--\r\n", "B0 L0\nb0 --a\nb0 --\n"},
    };
    (void)state;
    run_walks(cases, COUNT_OF(cases));
}

#define MIXED "Content-Type: multipart/mixed; boundary=o\r\n\r\n"
#define MIXED_EVENTS "T0 Content-Type: multipart/mixed; boundary=o\nB0 M0\n"

static void test_multipart(void **state)
{
    static const struct walk_case cases[] = {
        {"two parts", MIXED "pre\r\n--o\r\nA: b\r\n\r\n1\r\n--o\r\n\r\n2\r\n--o--\r\npost\r\n",
         MIXED_EVENTS "-0 pre\nD1 --o\nF1 A: b\nB1 L0\nb1 1\nD2 --o\nB2 L0\nb2 2\nD2 --o--\n-2 post\n"},
        {"blanks behind delimiters", MIXED "--o \t\r\n\r\n1\r\n--o--  \r\n", MIXED_EVENTS "D1 --o \t\nB1 L0\nb1 1\nD1 --o--  \n"},
        {"lines that are almost delimiters", MIXED "--o\r\n\r\n--ox\r\n --o\r\n-o\r\n--O\r\n--o-\r\n--o--x\r\n--\r\n--o--",
         MIXED_EVENTS "D1 --o\nB1 L0\nb1 --ox\nb1  --o\nb1 -o\nb1 --O\nb1 --o-\nb1 --o--x\nb1 --\nD1 --o--"},
        {"a part that is over within its header", MIXED "--o\r\nA: b\r\n--o\r\n--o--\r\n", MIXED_EVENTS "D1 --o\nF1 A: b\nD2 --o\nD2 --o--\n"},
        {"a part without empty line", MIXED "--o\r\nA: b\r\ntext here\r\n--o--\r\n",
         MIXED_EVENTS "D1 --o\nF1 A: b\nB1 missing L0\nb1 text here\nD1 --o--\n"},
        {"never closed", MIXED "--o\r\n\r\n1", MIXED_EVENTS "D1 --o\nB1 L0\nb1 1"},
        {"nested", MIXED "--o\r\nContent-Type: multipart/alternative; boundary=oi\r\n\r\n--oi\r\n\r\n1\r\n--oi--\r\n--oi\r\n--o\r\n\r\n2\r\n--o--\r\n",
         MIXED_EVENTS "D1 --o\nT1 Content-Type: multipart/alternative; boundary=oi\nB1 M0\nD2 --oi\nB2 L0\nb2 1\nD2 --oi--\n-2 --oi\n"
                      "D3 --o\nB3 L0\nb3 2\nD3 --o--\n"},
        {"the outer delimiter ends the inner one", MIXED "--o\r\nContent-Type: multipart/x; boundary=i\r\n\r\n--i\r\n\r\n1\r\n--o\r\n\r\n--i\r\n",
         MIXED_EVENTS "D1 --o\nT1 Content-Type: multipart/x; boundary=i\nB1 M0\nD2 --i\nB2 L0\nb2 1\nD3 --o\nB3 L0\nb3 --i\n"},
        {"signed", "Content-Type: multipart/signed; boundary=o\r\n\r\n--o\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--o--\r\n",
         "T0 Content-Type: multipart/signed; boundary=o\nB0 O0\nb0 --o\nb0 Content-Transfer-Encoding: 8bit\nb0 \nb0 --o--\n"},
        {"a signed part", MIXED "--o\r\nContent-Type: multipart/signed; boundary=i\r\n\r\n--i\r\n--o\r\n\r\n2\r\n",
         MIXED_EVENTS "D1 --o\nT1 Content-Type: multipart/signed; boundary=i\nB1 O0\nb1 --i\nD2 --o\nB2 L0\nb2 2\n"},
        {"no boundary", "Content-Type: multipart/mixed\r\n\r\n--o\r\n", "T0 Content-Type: multipart/mixed\nB0 O0\nb0 --o\n"},
        {"two types", "Content-Type: text/plain\r\n" MIXED "--o\r\n",
         "T0 Content-Type: text/plain\nT0 Content-Type: multipart/mixed; boundary=o\nB0 L0\nb0 --o\n"},
    };
    (void)state;
    run_walks(cases, COUNT_OF(cases));
}

static void test_messages(void **state)
{
    static const struct walk_case cases[] = {
        {"a message inside", MIXED "--o\r\nContent-Type: message/rfc822\r\n\r\nFrom: a\r\n\r\n1\r\n--o--\r\n",
         MIXED_EVENTS "D1 --o\nT1 Content-Type: message/rfc822\nB1 R0\nF2 From: a\nB2 L0\nb2 1\nD2 --o--\n"},
        {"in a digest", "Content-Type: multipart/digest; boundary=o\r\n\r\n--o\r\n\r\nFrom: a\r\n\r\n1\r\n--o\r\nContent-Type: text/plain\r\n\r\n2\r\n",
         "T0 Content-Type: multipart/digest; boundary=o\nB0 M0\nD1 --o\nB1 R0\nF2 From: a\nB2 L0\nb2 1\n"
         "D3 --o\nT3 Content-Type: text/plain\nB3 L0\nb3 2\n"},
        {"a multipart in a message", "Content-Type: message/rfc822\r\n\r\n" MIXED "--o\r\n\r\n1\r\n--o--\r\n",
         "T0 Content-Type: message/rfc822\nB0 R0\nT1 Content-Type: multipart/mixed; boundary=o\nB1 M0\nD2 --o\nB2 L0\nb2 1\nD2 --o--\n"},
        {"a message without header", "Content-Type: message/rfc822\r\n\r\nhello\r\n",
         "T0 Content-Type: message/rfc822\nB0 R0\nB1 missing L0\nb1 hello\n"},
        {"a message that nothing separates", "Content-Type: message/rfc822\r\nhello\r\nA: b\r\n",
         "T0 Content-Type: message/rfc822\nB0 missing O0\nb0 hello\nb0 A: b\n"},
        {"a message that is encoded", "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n",
         "T0 Content-Type: message/rfc822\nE0 Content-Transfer-Encoding: base64\nB0 L4\nb0 AAAA\n"},
        {"of other types", "Content-Type: message/delivery-status\r\n\r\nA: b\r\n", "T0 Content-Type: message/delivery-status\nB0 O0\nb0 A: b\n"},
        {"global", "Content-Type: message/global\r\n\r\nA: b\r\n", "T0 Content-Type: message/global\nB0 L0\nb0 A: b\n"},
    };
    (void)state;
    run_walks(cases, COUNT_OF(cases));
}

/* A line of `length` bytes in the place of each %, within a message. */
static void walk_lengths(const char *before, const char *after, size_t length, const char *expected)
{
    struct buffer input;
    buffer_init(&input, 1 << 20);
    buffer_add(&input, slice_of(before));
    for (size_t i = 0; i < length; i++)
        buffer_add_byte(&input, 'x');
    buffer_add(&input, slice_of(after));
    struct buffer events;
    buffer_init(&events, 1 << 20);
    split_test(before, buffer_slice(&input), &walker, NULL);
    split_run(&walker, buffer_slice(&input), SIZE_MAX, &events);
    struct slice got = buffer_slice(&events);
    if (slice_find_slice(got, slice_of(expected)) == got.length)
        fail_msg("%s %zu: no \"%s\" in \"%.*s\"", before, length, expected, SLICE_ARGS(got));
    buffer_free(&events);
    buffer_free(&input);
}

static void test_long_lines(void **state)
{
    (void)state;
    walk_lengths("\r\n", "\r\nend\r\n", 998, "B0 L0\nb0 xxx");
    walk_lengths("\r\n", "\r\nend\r\n", 999, "B0 L0\nb0 LONG xxx");
    walk_lengths("\r\n", "\r\nend\r\n", 1000, "B0 L0\nb0 LONG xxx");
    walk_lengths("\r\n", "\r\nend\r\n", 5000, "xxx\nb0 end\n");
    walk_lengths("\r\n", "", 998, "B0 L0\nb0 xxx");
    walk_lengths("\r\n", "", 5000, "B0 L0\nb0 LONG xxx");
    walk_lengths("A: ", "\r\nB: c\r\n\r\n", 2000, "xxx\nF0 B: c\nB0 L0\n");
    walk_lengths("A: b\r\n ", "\r\nB: c\r\n\r\n", 2000, "F0 LONG  xxx");
    walk_lengths("", ": a\r\n\r\n", 2000, "B0 missing L0\nb0 LONG xxx");
    walk_lengths(MIXED "--o", "\r\n", 2000, MIXED_EVENTS "-0 LONG --oxxx");
    walk_lengths("Content-Transfer-Encoding: base64", "\r\n\r\n", 2000, "B0 O5\n");
    walk_lengths("Content-Type: multipart/mixed; boundary=o; x=", "\r\n\r\n--o\r\n", 2000, "B0 O0\nb0 --o\n");
}

static void test_depth(void **state)
{
    struct buffer input, events;
    (void)state;
    buffer_init(&input, 1 << 20);
    buffer_init(&events, 1 << 20);
    for (int i = 0; i <= SMTP_MIME_DEPTH_MAX; i++)
        buffer_print(&input, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
    buffer_add(&input, SLICE("\r\ndeep\r\n--b0\r\n\r\nflat\r\n"));
    split_test("depth", buffer_slice(&input), &walker, NULL);
    split_run(&walker, buffer_slice(&input), SIZE_MAX, &events);
    struct slice got = buffer_slice(&events);
    assert_true(slice_find_slice(got, SLICE("B16 O0\nb16 --b16\nb16 \nb16 deep\nD17 --b0\nB17 L0\nb17 flat\n")) < got.length);
    buffer_free(&input);
    buffer_free(&events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type),
        cmocka_unit_test(test_boundary_length),
        cmocka_unit_test(test_simple),
        cmocka_unit_test(test_multipart),
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
