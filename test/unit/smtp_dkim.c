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

/* h= names what a reader expects once one more time than it is there, so that nobody can put another on top. */
static void test_header(void **state)
{
    static const struct {
        const char *name, *section, *data;
    } cases[] = {
        {"from alone", "From: a@d.example\r\n\r\n",
         "from:a@d.example\r\n"
         RELAXED_TAGS("From:From:Reply-To:To:Cc:Subject:Date:Message-ID:In-Reply-To: References:MIME-Version:Content-Type:Content-Transfer-Encoding")},
        {"order", "Subject: x\r\nReceived: y\r\nX-Other: z\r\nTo: b\r\nFROM: a\r\nDate: d\r\n\r\nFrom: body\r\n",
         "from:a\r\nto:b\r\nsubject:x\r\ndate:d\r\n"
         RELAXED_TAGS("From:From:Reply-To:To:To:Cc:Subject:Subject:Date:Date:Message-ID: In-Reply-To:References:MIME-Version:Content-Type: Content-Transfer-Encoding")},
        {"the last first", "To: 1\r\nFrom: a\r\nTo: 2\r\nTo: 3\r\n\r\n",
         "from:a\r\nto:3\r\nto:2\r\nto:1\r\n"
         RELAXED_TAGS("From:From:Reply-To:To:To:To:To:Cc:Subject:Date:Message-ID: In-Reply-To:References:MIME-Version:Content-Type: Content-Transfer-Encoding")},
        {"folded", "From: a\r\n\tb\r\nSubject:\r\n x  y\r\n",
         "from:a b\r\nsubject:x y\r\n"
         RELAXED_TAGS("From:From:Reply-To:To:Cc:Subject:Subject:Date:Message-ID:In-Reply-To: References:MIME-Version:Content-Type:Content-Transfer-Encoding")},
        {"none added where there is one", "From: a\r\nSender: b\r\nList-Id: c\r\n",
         "from:a\r\nsender:b\r\nlist-id:c\r\n"
         RELAXED_TAGS("From:From:Sender:Sender:Reply-To:To:Cc:Subject:Date:Message-ID: In-Reply-To:References:MIME-Version:Content-Type: Content-Transfer-Encoding:List-Id:List-Id")},
        {"each hop its own", "Resent-To: 2\r\nResent-To: 1\r\nFrom: a\r\n",
         "from:a\r\nresent-to:1\r\nresent-to:2\r\n"
         RELAXED_TAGS("From:From:Reply-To:To:Cc:Subject:Date:Message-ID:In-Reply-To: References:MIME-Version:Content-Type:Content-Transfer-Encoding: Resent-To:Resent-To")},
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
    check_slice("short", buffer_slice(&out), SLICE("DKIM-Signature:" TAGS("From:From:Reply-To:To:Cc:Subject:Date:Message-ID:In-Reply-To:\r\n\tReferences:MIME-Version:Content-Type:Content-Transfer-Encoding") "YWJj\r\n"));
    buffer_free(&out);
}

/* As many fields as may be and a signature of 4096 bits: no line is long, and unfolded it is what was signed, with the value behind it. */
static void test_long_field(void **state)
{
    static const char *const names[] = {"Sender",       "Reply-To",    "To",         "Cc",        "Subject",       "Date",
                                        "Message-ID",   "In-Reply-To", "References", "List-Id",   "List-Help",     "List-Post",
                                        "Content-Type", "Resent-To",   "Resent-Cc",  "List-Owner", "MIME-Version", "List-Unsubscribe-Post"};
    struct buffer section, field, data, relaxed;
    char value[512];
    (void)state;
    memset(value, 'v', sizeof value);
    buffer_init(&section, 1 << 20);
    buffer_init(&field, 1 << 20);
    buffer_init(&data, 1 << 20);
    buffer_init(&relaxed, 1 << 20);
    for (int i = 0; i < 8; i++)
        for (size_t k = 0; k < COUNT_OF(names); k++)
            buffer_print(&section, "%s: %d\r\n", names[k], i);
    buffer_add(&section, SLICE("From: a\r\n\r\n"));
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
    assert_true(slice_find_slice(buffer_slice(&data), SLICE("to:7\r\nto:6\r\n")) < buffer_length(&data));
    assert_null(smtp_dkim_obstacle(buffer_slice(&section)));
    assert_true(buffer_length(&field) < 6144);
    buffer_free(&section);
    buffer_free(&field);
    buffer_free(&data);
    buffer_free(&relaxed);
}

/* ---- whether to sign ---- */

static void test_obstacle(void **state)
{
    static const struct {
        const char *name, *section, *word; /* in the reason; NULL: none */
    } cases[] = {
        {"usual", "From: a\r\nSubject: x\r\n\r\n", NULL},
        {"no author", "Subject: x\r\n\r\nFrom: body\r\n", "no From"},
        {"two authors", "From: a\r\nTo: b\r\nfrom: c\r\n\r\n", "several From"},
        {"several authors in one", "From: a, b\r\n\r\n", NULL},
        {"a blank before the colon", "From: a\r\nSubject : x\r\n\r\n", "blank"},
        {"a tab before the colon", "From: a\r\nCc\t: x\r\n\r\n", "blank"},
        {"the author's colon", "From : a\r\n\r\n", "blank"},
        {"a blank in what is not signed", "From: a\r\nX-Mailer : x\r\n\r\n", NULL},
        {"a blank in the body", "From: a\r\n\r\nSubject : x\r\n", NULL},
        {"eight of one", "From: a\r\nTo: 1\r\nTo: 2\r\nTo: 3\r\nTo: 4\r\nTo: 5\r\nTo: 6\r\nTo: 7\r\nTo: 8\r\n", NULL},
        {"nine of one", "From: a\r\nTo: 1\r\nTo: 2\r\nTo: 3\r\nTo: 4\r\nTo: 5\r\nTo: 6\r\nTo: 7\r\nTo: 8\r\nTo: 9\r\n", "eight times"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *reason = smtp_dkim_obstacle(slice_of(cases[i].section));
        check_true(cases[i].name, (reason == NULL) == (cases[i].word == NULL));
        check_true(cases[i].name, reason == NULL || strstr(reason, cases[i].word) != NULL);
    }
}

static void test_is_signed_by(void **state)
{
    static const struct {
        const char *name, *section;
        bool is_signed;
    } cases[] = {
        {"ours", "DKIM-Signature: v=1; d=d.example; s=x\r\n", true},
        {"folded", "dkim-signature: v=1; a=x;\r\n\td=D.Example\r\n ; s=x\r\n", true},
        {"the last tag", "DKIM-Signature: d = d.example\r\n", true},
        {"the second", "DKIM-Signature: d=x.example\r\nDKIM-Signature: d=d.example\r\n", true},
        {"another", "DKIM-Signature: d=x.example; s=d.example\r\n", false},
        {"below it", "DKIM-Signature: d=sub.d.example\r\n", false},
        {"above it", "DKIM-Signature: d=example\r\n", false},
        {"another tag", "DKIM-Signature: bd=d.example; i=d.example\r\n", false},
        {"another field", "X-DKIM-Signature: d=d.example\r\n", false},
        {"in the body", "From: a\r\n\r\nDKIM-Signature: d=d.example\r\n", false},
        {"nothing in it", "DKIM-Signature:\r\n", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        check_true(cases[i].name, smtp_dkim_is_signed_by(slice_of(cases[i].section), SLICE("d.example")) == cases[i].is_signed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_body),  cmocka_unit_test(test_relax),      cmocka_unit_test(test_header),
        cmocka_unit_test(test_field), cmocka_unit_test(test_long_field), cmocka_unit_test(test_obstacle),
        cmocka_unit_test(test_is_signed_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
