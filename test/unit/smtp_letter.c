#include "smtp/letter.h"

#include "test/unit/check.h"
#include "test/unit/split.h"

static struct smtp_letter_options options;

static void *start(void)
{
    struct smtp_letter *letter = malloc(sizeof *letter);
    assert_non_null(letter);
    smtp_letter_init(letter, &options);
    return letter;
}

static void feed(void *machine, struct slice part, struct buffer *events)
{
    (void)events;
    smtp_letter_feed(machine, part);
}

/* The text, "==", recipients, faults, what is missing. */
static void finish(void *machine, struct buffer *events)
{
    struct smtp_letter *letter = machine;
    bool was_over = smtp_letter_is_over(letter);
    enum smtp_letter_fault fault = smtp_letter_finish(letter);
    struct smtp_letter_resent resent = smtp_letter_resent(letter);
    if (fault != SMTP_LETTER_TOO_BIG)
        buffer_add(events, smtp_letter_text(letter));
    buffer_print(events, "==%s%s%s%s%s ", was_over ? "over" : "", smtp_letter_has_from(letter) ? "from" : "",
                 resent.lacks_from ? "+from" : "", resent.lacks_date ? "+date" : "", resent.lacks_id ? "+id" : "");
    buffer_add(events, smtp_letter_recipients(letter));
    static const char *const names[] = {"", "too big", "address", "too many"};
    buffer_print(events, "%s%s%.*s", names[fault], fault == SMTP_LETTER_ADDRESS ? " " : "",
                 SLICE_ARGS(fault == SMTP_LETTER_ADDRESS ? smtp_letter_wrong(letter) : SLICE_EMPTY));
    smtp_letter_free(letter);
    free(letter);
}

static const struct split_machine machine = {start, feed, finish};

struct vector {
    const char *name, *input, *result;
};

static void run(const struct vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++)
        split_test(vectors[i].name, slice_of(vectors[i].input), &machine, vectors[i].result);
}

static void test_text(void **state)
{
    static const struct vector vectors[] = {
        {"nothing", "", "\r\n== "},
        {"an empty line", "\n", "\r\n== "},
        {"LF", "From: a\nTo: b\n\nbody\n", "From: a\r\nTo: b\r\n\r\nbody\r\n==from "},
        {"CRLF", "From: a\r\n\r\nbody\r\n", "From: a\r\n\r\nbody\r\n==from "},
        {"both", "From: a\r\nTo: b\n\r\nx\r\ny\nz\r\n", "From: a\r\nTo: b\r\n\r\nx\r\ny\r\nz\r\n==from "},
        {"a CR and a NUL are no line ends", "X: a\rb\n\nc\rd\r\r\ne\n", "X: a b\r\n\r\nc d \r\ne\r\n== "},
        {"no line end", "X: a\n\nbody", "X: a\r\n\r\nbody\r\n== "},
        {"no line end in the header", "X: a\nY: b", "X: a\r\nY: b\r\n\r\n== "},
        {"header only", "X: a\n", "X: a\r\n\r\n== "},
        {"no header", "just text\nmore: text\n", "\r\njust text\r\nmore: text\r\n== "},
        {"an empty line first", "\nX: a\n", "\r\nX: a\r\n== "},
        {"no empty line behind the header", "X: a\nHello,\nyou: there\n", "X: a\r\n\r\nHello,\r\nyou: there\r\n== "},
        {"folded", "X: a\n b\n\tc\nY: d\n\n e\n", "X: a\r\n b\r\n\tc\r\nY: d\r\n\r\n e\r\n== "},
        {"folded before anything", " a\nX: b\n", "\r\n a\r\nX: b\r\n== "},
        {"blank before the colon", "From : a\n\n", "From : a\r\n\r\n==from "},
        {"a line of blanks goes on", "X: a\n \nY: b\n\n", "X: a\r\n \r\nY: b\r\n\r\n== "},
        {"mailbox file", "From a@b Thu Jan  1 00:00:00 1970\nX: a\n\nFrom here\n", "X: a\r\n\r\nFrom here\r\n== "},
        {"mailbox file, quoted", ">From a\nFrom b\nX: a\n\n>From c\n", "X: a\r\n\r\n>From c\r\n== "},
        {"only that", "From a\n", "\r\n== "},
        {"no name", ": a\n\n", "\r\n: a\r\n\r\n== "},
        {"a word too many", "From me: a\n\n", "\r\n== "}, /* the line of a mailbox file */
        {"a word too many behind a field", "X: a\nFrom me: b\n", "X: a\r\n\r\nFrom me: b\r\n== "},
    };
    (void)state;
    options = (struct smtp_letter_options){.size_max = 65536};
    run(vectors, COUNT_OF(vectors));
}

static void test_fields_left_out(void **state)
{
    static const struct vector vectors[] = {
        {"Bcc", "A: b\nBcc: c@d\nE: f\n\nBcc: g\n", "A: b\r\nE: f\r\n\r\nBcc: g\r\n== "},
        {"folded", "bcc: a,\n b\n\tc\nD: e\n\n", "D: e\r\n\r\n== "},
        {"all of them", "Return-Path: <a>\nContent-Length: 4\nResent-Bcc: b\nBCC : c\n\nd\n", "\r\nd\r\n==+from+date+id "},
        {"the last one", "A: b\nBcc: c\n", "A: b\r\n\r\n== "},
        {"the last one, and no line end", "A: b\nBcc: c", "A: b\r\n\r\n== "},
        {"with no empty line behind it", "A: b\nBcc: c\nHello\n", "A: b\r\n\r\nHello\r\n== "},
        {"not another one", "X-Bcc: a\nBccs: b\n\n", "X-Bcc: a\r\nBccs: b\r\n\r\n== "},
    };
    (void)state;
    options = (struct smtp_letter_options){.size_max = 65536};
    run(vectors, COUNT_OF(vectors));
}

static void test_dot(void **state)
{
    static const struct vector ends[] = {
        {"body", "X: a\n\nb\n.\nc\n", "X: a\r\n\r\nb\r\n==over "},
        {"CRLF", "X: a\r\n\r\nb\r\n.\r\nc\r\n", "X: a\r\n\r\nb\r\n==over "},
        {"first line of the body", "X: a\n\n.\n", "X: a\r\n\r\n==over "},
        {"header", "X: a\nBcc: b\n.\nY: c\n", "X: a\r\n\r\n==over "},
        {"first", ".\n", "\r\n==over "},
        {"behind the line of a mailbox file", "From a\n.\n", "\r\n==over "},
        {"at the end of the input", "X: a\n\nb\n.", "X: a\r\n\r\nb\r\n== "},
        {"not alone", "X: a\n\n.b\n..\n. \n .\n", "X: a\r\n\r\n.b\r\n..\r\n. \r\n .\r\n== "},
    };
    static const struct vector stays[] = {
        {"body", "X: a\n\nb\n.\nc\n", "X: a\r\n\r\nb\r\n.\r\nc\r\n== "},
        {"header", "X: a\n.\nY: c\n", "X: a\r\n\r\n.\r\nY: c\r\n== "},
        {"first", ".\n", "\r\n.\r\n== "},
    };
    (void)state;
    options = (struct smtp_letter_options){.size_max = 65536, .dot_ends = true};
    run(ends, COUNT_OF(ends));
    options.dot_ends = false;
    run(stays, COUNT_OF(stays));
}

static void test_recipients(void **state)
{
    static const struct vector vectors[] = {
        {"all three", "To: a@b\nBcc: c@d\nCc: Ann <e@f>, g\n\n", "To: a@b\r\nCc: Ann <e@f>, g\r\n\r\n== a@b\nc@d\ne@f\ng\n"},
        {"folded and repeated", "to: a@b,\n c@d\nTO: e@f\n\nTo: x@y\n", "to: a@b,\r\n c@d\r\nTO: e@f\r\n\r\nTo: x@y\r\n== a@b\nc@d\ne@f\n"},
        {"the last field", "To: a@b", "To: a@b\r\n\r\n== a@b\n"},
        {"none", "From: a@b\nReply-To: c@d\n\n", "From: a@b\r\nReply-To: c@d\r\n\r\n==from "},
        {"an empty group", "To: undisclosed-recipients:;\n\n", "To: undisclosed-recipients:;\r\n\r\n== "},
        {"wrong", "To: a@b\nCc: Ann Other, c@d\nBcc: e f\n\n",
         "To: a@b\r\nCc: Ann Other, c@d\r\n\r\n== a@b\nc@d\naddress Cc: Ann Other"},
    };
    (void)state;
    options = (struct smtp_letter_options){.size_max = 65536, .wants_recipients = true};
    run(vectors, COUNT_OF(vectors));
}

/* RFC 5322 3.6.6: whom a message is resent to now, and not whom it was sent or resent to before. */
static void test_resent(void **state)
{
    static const struct vector vectors[] = {
        {"instead of To", "Resent-From: m\nResent-To: a@b\nTo: c@d\nBcc: e@f\n\n",
         "Resent-From: m\r\nResent-To: a@b\r\nTo: c@d\r\n\r\n==+date+id a@b\n"},
        {"behind To", "To: c@d\nResent-Cc: a@b\nResent-Date: x\nResent-From: y\nResent-Message-ID: z\n\n",
         "To: c@d\r\nResent-Cc: a@b\r\nResent-Date: x\r\nResent-From: y\r\nResent-Message-ID: z\r\n\r\n== a@b\n"},
        {"Resent-Bcc", "Resent-To: a@b\nResent-Bcc: c@d\n\n", "Resent-To: a@b\r\n\r\n==+from+date+id a@b\nc@d\n"},
        {"an older block", "Resent-From: m\nResent-To: a@b\nResent-From: n\nResent-To: c@d\nResent-Cc: e@f\n\n",
         "Resent-From: m\r\nResent-To: a@b\r\nResent-From: n\r\nResent-To: c@d\r\nResent-Cc: e@f\r\n\r\n==+date+id a@b\n"},
        {"an older block behind its trace", "Resent-To: a@b\nReceived: x\nResent-Cc: c@d\nResent-Bcc: e@f\n\n",
         "Resent-To: a@b\r\nReceived: x\r\nResent-Cc: c@d\r\n\r\n==+from+date+id a@b\n"},
        {"a block behind a trace", "Received: x\nResent-To: a@b\n\n", "Received: x\r\nResent-To: a@b\r\n\r\n==+from+date+id a@b\n"},
        {"without recipients", "Resent-From: m\nTo: a@b\n\n", "Resent-From: m\r\nTo: a@b\r\n\r\n==+date+id a@b\n"},
        {"what is wrong with the old ones is nobody's business", "Resent-To: a@b\nTo: Ann Other\n\n",
         "Resent-To: a@b\r\nTo: Ann Other\r\n\r\n==+from+date+id a@b\n"},
        {"wrong", "To: a@b\nResent-To: Ann Other\n\n", "To: a@b\r\nResent-To: Ann Other\r\n\r\n==+from+date+id address Resent-To: Ann Other"},
    };
    (void)state;
    options = (struct smtp_letter_options){.size_max = 65536, .wants_recipients = true};
    run(vectors, COUNT_OF(vectors));
}

static void test_limits(void **state)
{
    static const char *const big[] = {"X: 0123456789", "X: a\n\n0123456789\n", "X: a\n\n012345678901234567890123456789\n",
                                      "01234567890123456\n", "X: a\nX: b\nX: c\n"};
    (void)state;
    options = (struct smtp_letter_options){.size_max = 16};
    split_test("fits", SLICE("X: 0123456789\n"), &machine, NULL);
    split_test("just fits", SLICE("X: a\n\n01234\n"), &machine, "X: a\r\n\r\n01234\r\n== ");
    split_test("just fits", SLICE("X: a\n\n012345\n"), &machine, "X: a\r\n\r\n012345\r\n== ");
    split_test("just does not", SLICE("X: a\n\n0123456\n"), &machine, "== too big");
    for (size_t i = 1; i < COUNT_OF(big); i++)
        split_test(big[i], slice_of(big[i]), &machine, "== too big");
    struct buffer many;
    buffer_init(&many, 8u << 20);
    buffer_add(&many, SLICE("To: a"));
    while (buffer_length(&many) < SMTP_LETTER_RECIPIENTS_MAX + 10)
        buffer_add(&many, SLICE(",\n a"));
    while (buffer_length(&many) < 5 * SMTP_LETTER_RECIPIENTS_MAX / 2)
        buffer_add(&many, SLICE(", aaaaaaaaaa"));
    struct smtp_letter letter;
    options = (struct smtp_letter_options){.size_max = 8u << 20, .wants_recipients = true};
    smtp_letter_init(&letter, &options);
    smtp_letter_feed(&letter, buffer_slice(&many));
    assert_int_equal(smtp_letter_finish(&letter), SMTP_LETTER_TOO_MANY);
    smtp_letter_free(&letter);
    buffer_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),   cmocka_unit_test(test_fields_left_out), cmocka_unit_test(test_dot),
        cmocka_unit_test(test_recipients), cmocka_unit_test(test_resent),      cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
