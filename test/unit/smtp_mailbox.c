#include "smtp/mailbox.h"

#include "test/unit/check.h"

/* Every mailbox of the list: its address, with "?" when it is bare, or its element between "!" and "!". */
static void read_all(struct slice text, struct buffer *got)
{
    struct smtp_mailbox_list list = smtp_mailbox_list_of(text);
    struct smtp_mailbox mailbox;
    struct buffer address;
    enum smtp_mailbox_kind kind;
    buffer_init(&address, 1000);
    while ((kind = smtp_mailbox_next(&list, &mailbox, &address)) != SMTP_MAILBOX_END) {
        if (kind == SMTP_MAILBOX_FAULT)
            buffer_print(got, "!%.*s!", SLICE_ARGS(mailbox.element));
        else
            buffer_print(got, "%.*s%s|", SLICE_ARGS(buffer_slice(&address)), mailbox.is_bare ? "?" : "");
    }
    buffer_free(&address);
}

static void test_lists(void **state)
{
    static const struct {
        const char *name, *list, *found;
    } cases[] = {
        {"nothing", "", ""},
        {"blanks", " \t\r\n ", ""},
        {"one", "a@b.example", "a@b.example|"},
        {"folded", " a@b.example,\r\n\tc@d.example\r\n", "a@b.example|c@d.example|"},
        {"brackets", "<a@b.example>", "a@b.example|"},
        {"name", "Ann Other <a@b.example>", "a@b.example|"},
        {"name with a dot", "A. Q. Other <a@b.example>", "a@b.example|"},
        {"quoted name", "\"Other, Ann <x@y>\" <a@b.example>, c@d", "a@b.example|c@d|"},
        {"a quote in a quoted name", "\"a \\\" , b\" <a@b.example>", "a@b.example|"},
        {"encoded name", "=?utf-8?q?Z=C3=BCrich?= <a@b.example>", "a@b.example|"},
        {"UTF-8 name and address", "J\xc3\xb6 <j\xc3\xb6@b\xc3\xbc.example>", "j\xc3\xb6@b\xc3\xbc.example|"},
        {"comments", "(x) a (y) @ (z (deep) \\) ) b (w) . example (v), c@d (Ann, of b)", "a@b.example|c@d|"},
        {"comments in brackets", "Ann <(x)a@b(y)>", "a@b|"},
        {"a comment that does not end", "a@b (x, c@d", "a@b|"},
        {"bare", "root", "root?|"},
        {"bare with a comment", "root (Cron Daemon)", "root?|"},
        {"bare in brackets", "\"(Cron Daemon)\" <root>", "root?|"},
        {"bare with dots", "ann.other, <bob>", "ann.other?|bob?|"},
        {"bare and quoted", "\"ann other\"", "\"ann other\"?|"},
        {"group", "team: a@b, Bob <c@d>; e@f", "a@b|c@d|e@f|"},
        {"empty group", "undisclosed-recipients:;", ""},
        {"group with a quoted name", "\"a: b\": a@b;", "a@b|"},
        {"group without end", "team: a@b", "a@b|"},
        {"groups", "x: a@b;, y: c@d;", "a@b|c@d|"},
        {"commas in excess", ",, a@b ,, c@d, ,", "a@b|c@d|"},
        {"route", "<@x.example,@y.example:a@b>", "a@b|"},
        {"quoted local part", "\"a b\"@c, <\"d@e\"@f>", "\"a b\"@c|\"d@e\"@f|"},
        {"folded quoted local part", "\"a\r\n b\"@c", "\"a b\"@c|"},
        {"literals", "a@[192.0.2.1], b@[IPv6:2001:db8::1]", "a@[192.0.2.1]|b@[IPv6:2001:db8::1]|"},
        {"hyphens and plus", "-a+b-@c-d.example", "-a+b-@c-d.example|"},
        {"a bang path and a percent", "x!y, a%b@c", "x!y?|a%b@c|"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer got;
        buffer_init(&got, 4096);
        read_all(slice_of(cases[i].list), &got);
        check_slice(cases[i].name, buffer_slice(&got), slice_of(cases[i].found));
        buffer_free(&got);
    }
}

/* What is wrong does not take what follows with it. */
static void test_faults(void **state)
{
    static const struct {
        const char *name, *list, *found;
    } cases[] = {
        {"two words", "Ann Other, a@b", "!Ann Other!a@b|"},
        {"null", "<>, a@b", "!<>!a@b|"},
        {"name only", "Ann <>, a@b", "!Ann <>!a@b|"},
        {"no local part", "@b, c@d", "!@b!c@d|"},
        {"no domain", "a@, c@d", "!a@!c@d|"},
        {"two at signs", "a@b@c, d@e", "!a@b@c!d@e|"},
        {"dots and no domain", "a..b, d@e", "!a..b!d@e|"},
        {"two dots behind a domain", "a@b.., d@e", "!a@b..!d@e|"},
        {"words in brackets", "<a b@c>, d@e", "!<a b@c>!d@e|"},
        {"brackets not closed", "Ann <a@b, c@d", "!Ann <a@b, c@d!"},
        {"words behind the brackets", "<a@b> c, d@e", "!<a@b> c!d@e|"},
        {"two brackets", "<a@b> <c@d>, e@f", "!<a@b> <c@d>!e@f|"},
        {"a quote not closed", "\"a <b@c>, d@e", "!\"a <b@c>, d@e!"},
        {"a colon in an address", "a@b: c, d@e", "!a@b: c!d@e|"},
        {"a route without address", "<@a.example:>, d@e", "!<@a.example:>!d@e|"},
        {"no route", "<x:a@b>, d@e", "!<x:a@b>!d@e|"},
        {"semicolons", "a@b; c@d", "!a@b; c@d!"},
        {"a group in a group", "x: y: a@b; c@d", "!y: a@b!c@d|"},
        {"control", "a\001b@c, d@e", "!a\001b@c!d@e|"},
        {"backslash", "a\\b@c, d@e", "!a\\b@c!d@e|"},
        {"literal that is none", "a@[x], d@e", "!a@[x]!d@e|"},
        {"a literal alone", "[192.0.2.1], d@e", "![192.0.2.1]!d@e|"},
        {"no UTF-8", "a\xff@b, d@e", "!a\xff@b!d@e|"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct buffer got;
        buffer_init(&got, 4096);
        read_all(slice_of(cases[i].list), &got);
        check_slice(cases[i].name, buffer_slice(&got), slice_of(cases[i].found));
        buffer_free(&got);
    }
}

/* Where an address stands, for those who mend a field in place. */
static void test_spans(void **state)
{
    static const struct {
        const char *list, *element, *span;
    } cases[] = {
        {" root (Cron Daemon) , x", "root (Cron Daemon)", "root"},
        {"Ann <ann>", "Ann <ann>", "ann"},
        {"Ann < a (x) @ b > (y)", "Ann < a (x) @ b > (y)", "a (x) @ b"},
        {"team: <ann>;", "<ann>", "ann"},
        {"<@r.example:a@b>", "<@r.example:a@b>", "a@b"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct smtp_mailbox_list list = smtp_mailbox_list_of(slice_of(cases[i].list));
        struct smtp_mailbox mailbox;
        struct buffer address;
        buffer_init(&address, 1000);
        check_number(cases[i].list, smtp_mailbox_next(&list, &mailbox, &address), SMTP_MAILBOX_ADDRESS);
        check_slice(cases[i].list, mailbox.element, slice_of(cases[i].element));
        check_slice(cases[i].list, mailbox.span, slice_of(cases[i].span));
        buffer_free(&address);
    }
}

static void test_too_long(void **state)
{
    (void)state;
    char text[400];
    memset(text, 'a', sizeof text);
    struct smtp_mailbox_list list = smtp_mailbox_list_of(slice_make(text, sizeof text));
    struct smtp_mailbox mailbox;
    struct buffer address;
    buffer_init(&address, 1000);
    assert_int_equal(smtp_mailbox_next(&list, &mailbox, &address), SMTP_MAILBOX_FAULT);
    buffer_free(&address);
    buffer_init(&address, 3);
    list = smtp_mailbox_list_of(SLICE("a@b.example, c@d"));
    assert_int_equal(smtp_mailbox_next(&list, &mailbox, &address), SMTP_MAILBOX_FAULT);
    assert_int_equal(smtp_mailbox_next(&list, &mailbox, &address), SMTP_MAILBOX_ADDRESS);
    assert_int_equal(smtp_mailbox_next(&list, &mailbox, &address), SMTP_MAILBOX_END);
    buffer_free(&address);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_spans),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
