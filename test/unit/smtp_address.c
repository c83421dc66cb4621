#include "smtp/address.h"

#include "test/unit/check.h"

static const struct {
    const char *text;
    bool ascii, utf8; /* valid without, with SMTPUTF8 */
} addresses[] = {
    {"user@example.com", true, true},
    {"u@c", true, true},
    {"a.b.c@example.com", true, true},
    {"user+tag@example.com", true, true},
    {"!#$%&'*+-/=?^_`{|}~@example.com", true, true},
    {"user%hop@example.com", true, true},
    {"host!user@example.com", true, true},
    {"u@c@example.com", false, false},
    {"u@_dmarc.example.com", true, true},
    {"u@xn--bcher-kva.example", true, true},
    {"u@123.example", true, true},
    {"\"a b\"@example.com", true, true},
    {"\"a@b\"@example.com", true, true},
    {"\"a\\\"b\"@example.com", true, true},
    {"\"a>b\"@example.com", true, true},
    {"\"\"@example.com", true, true},
    {"u@[192.0.2.1]", true, true},
    {"u@[IPv6:2001:db8::1]", true, true},
    {"\xc3\xa4@example.com", false, true},
    {"\"\xc3\xa4\"@example.com", false, true},
    {"u@b\xc3\xbc"
     "cher.example",
     false, true},
    {"\xff@example.com", false, false},
    {"u@\xc3.example", false, false},
    {"", false, false},
    {"user", false, false},
    {"@example.com", false, false},
    {"user@", false, false},
    {"user@@example.com", false, false},
    {".u@example.com", false, false},
    {"u.@example.com", false, false},
    {"a..b@example.com", false, false},
    {"a b@example.com", false, false},
    {"a\tb@example.com", false, false},
    {"a\nb@example.com", false, false},
    {"a\rb@example.com", false, false},
    {"a<b@example.com", false, false},
    {"a,b@example.com", false, false},
    {"a(b)@example.com", false, false},
    {"\"a@example.com", false, false},
    {"a\"@example.com", false, false},
    {"\"a\"b@example.com", false, false},
    {"\"a\\\"@example.com", false, false},
    {"\"a\nb\"@example.com", false, false},
    {"\"a\\\nb\"@example.com", false, false},
    {"u@example..com", false, false},
    {"u@.example.com", false, false},
    {"u@example.com.", false, false},
    {"u@-a.example", false, false},
    {"u@a-.example", false, false},
    {"u@exa mple", false, false},
    {"u@exa\nmple", false, false},
    {"u@exa>mple", false, false},
    {"u@[192.0.2.256]", false, false},
    {"u@[2001:db8::1]", false, false},
    {"u@[IPv6:192.0.2.1]", false, false},
    {"u@[IPv6:]", false, false},
    {"u@[]", false, false},
    {"u@[x:y]", false, false},
    {"u@[192.0.2.1", false, false},
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(addresses); i++) {
        check_number(addresses[i].text, smtp_address_is_valid(slice_of(addresses[i].text), false), addresses[i].ascii);
        check_number(addresses[i].text, smtp_address_is_valid(slice_of(addresses[i].text), true), addresses[i].utf8);
    }
    assert_false(smtp_address_is_valid(SLICE("a\0b@example.com"), true));
    assert_false(smtp_address_is_valid(SLICE("\"a\0b\"@example.com"), true));
    assert_false(smtp_address_is_valid(SLICE("a@example\0.com"), true));
}

/* What is no address as it is written: made one, or not. */
static void test_repair(void **state)
{
    static const struct {
        const char *text, *repaired; /* NULL: it cannot be */
    } cases[] = {
        {"u@example.com", "u@example.com"},
        {"\"a..b\"@example.com", "\"a..b\"@example.com"},
        {"a..b@example.com", "\"a..b\"@example.com"},
        {"a.b.@example.com", "\"a.b.\"@example.com"},
        {".a@example.com", "\".a\"@example.com"},
        {"..@example.com", "\"..\"@example.com"},
        {".@[192.0.2.1]", "\".\"@[192.0.2.1]"},
        {"\xc3\xa4.@example.com", "\"\xc3\xa4.\"@example.com"},
        {"u@example.com.", "u@example.com"},
        {"a..b@example.com.", "\"a..b\"@example.com"},
        {"\"a b\"@example.com.", "\"a b\"@example.com"},
        {"u@c.", "u@c"},
        {"u@example.com..", NULL},
        {"u@.", NULL},
        {"u@.example.com", NULL},
        {"u@example..com.", NULL},
        {"u@[192.0.2.1].", "u@[192.0.2.1]"},
        {"u.@", NULL},
        {".@", NULL},
        {"u.", NULL},
        {"@example.com.", NULL},
        {"a..b c@example.com", NULL},
        {"a..\"b\"@example.com", NULL},
        {"a..b>@example.com", NULL},
        {"a..b@c@example.com", NULL},
        {"a..b\\@example.com", NULL},
        {"a..b\r\n@example.com", NULL},
        {"\"a..b@example.com", NULL},
        {"\xff..@example.com", NULL},
    };
    char text[SMTP_ADDRESS_MAX + 1];
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice address = slice_of(cases[i].text);
        check_number(cases[i].text, smtp_address_repair(&address, true, text), cases[i].repaired != NULL);
        if (cases[i].repaired != NULL)
            check_slice(cases[i].text, address, slice_of(cases[i].repaired));
    }
    const struct slice with_nul[] = {SLICE("a@b\0c.example."), SLICE("a.\0@b.example"), SLICE("a..@b.example\0.")};
    for (size_t i = 0; i < COUNT_OF(with_nul); i++) {
        struct slice address = with_nul[i];
        assert_false(smtp_address_repair(&address, true, text));
    }
    struct slice eight_bit = SLICE("\xc3\xa4.@example.com");
    assert_false(smtp_address_repair(&eight_bit, false, text));
}

/* The quotes count too. */
static void test_repair_of_long_ones(void **state)
{
    char given[512], text[SMTP_ADDRESS_MAX + 1];
    (void)state;
    for (int more = 0; more <= 1; more++) {
        snprintf(given, sizeof given, "%0*d..@example.com", 60 + more, 0);
        struct slice address = slice_of(given);
        check_number("local part", smtp_address_repair(&address, false, text), !more);
        snprintf(given, sizeof given, "%062d@%063d.%063d.%063d.%061d.x%s.", 0, 0, 0, 0, 0, more ? "y" : "");
        address = slice_of(given);
        check_number("domain", smtp_address_repair(&address, false, text), !more);
    }
    snprintf(given, sizeof given, "%060d..@%063d.%063d.%063d.%061d.x.", 0, 0, 0, 0, 0);
    struct slice longest = slice_of(given);
    assert_true(smtp_address_repair(&longest, false, text));
    assert_int_equal(longest.length, SMTP_ADDRESS_MAX);
}

static void test_lengths(void **state)
{
    (void)state;
    char text[512];
    for (int more = 0; more <= 1; more++) {
        snprintf(text, sizeof text, "%0*d@example.com", 64 + more, 0);
        check_number("local part", smtp_address_is_valid(slice_of(text), false), !more);
        snprintf(text, sizeof text, "u@%0*d.example", 63 + more, 0);
        check_number("label", smtp_address_is_valid(slice_of(text), false), !more);
        snprintf(text, sizeof text, "u@%063d.%063d.%063d.%0*d", 0, 0, 0, 63, 0);
        check_number("domain of 255", smtp_address_is_valid(slice_of(text), false), true);
        snprintf(text, sizeof text, "u@%063d.%063d.%063d.%061d.x%s", 0, 0, 0, 0, more ? "y" : "");
        check_number("domain", smtp_address_is_valid(slice_of(text), false), !more);
    }
}

static void test_parts(void **state)
{
    static const struct {
        const char *text, *local, *domain;
    } cases[] = {
        {"u@example.com", "u", "example.com"},
        {"u@c@example.com", "u@c", "example.com"},
        {"\"a@b\"@c", "\"a@b\"", "c"},
        {"postmaster", "postmaster", ""},
        {"", "", ""},
        {"u@", "u", ""},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_slice(cases[i].text, smtp_address_local(slice_of(cases[i].text)), slice_of(cases[i].local));
        check_slice(cases[i].text, smtp_address_domain(slice_of(cases[i].text)), slice_of(cases[i].domain));
    }
    assert_true(smtp_domain_is_literal(SLICE("[192.0.2.1]")));
    assert_false(smtp_domain_is_literal(SLICE("[]")));
    assert_false(smtp_domain_is_literal(SLICE("example.com")));
    assert_false(smtp_domain_is_literal(SLICE("")));
}

static void test_paths(void **state)
{
    static const struct {
        const char *input;
        bool null_allowed;
        const char *address, *rest; /* address NULL: no path */
    } cases[] = {
        {"<u@c.example>", false, "u@c.example", ""},
        {"<u@c.example> SIZE=1", true, "u@c.example", " SIZE=1"},
        {"<>", true, "", ""},
        {"<> SIZE=1", true, "", " SIZE=1"},
        {"<>", false, NULL, NULL},
        {"<postmaster>", false, "postmaster", ""},
        {"<PostMaster>", false, "PostMaster", ""},
        {"<postmaster>", true, NULL, NULL},
        {"<other>", false, NULL, NULL},
        {"<x..y@c.example> SIZE=1", false, "x..y@c.example", " SIZE=1"},
        {"<x.@c.example.>", false, "x.@c.example.", ""},
        {".x@c.example", false, ".x@c.example", ""},
        {"<x..y@c..example>", false, NULL, NULL},
        {"u@c.example", false, "u@c.example", ""},
        {"u@c.example SIZE=1", true, "u@c.example", " SIZE=1"},
        {"<@a.example:u@c.example>", false, "u@c.example", ""},
        {"<@a.example,@b.example:u@c.example>", false, "u@c.example", ""},
        {"<@a.example:>", true, NULL, NULL},
        {"<@a.example,b.example:u@c.example>", false, NULL, NULL},
        {"<@:u@c.example>", false, NULL, NULL},
        {"<@a.example u@c.example>", false, NULL, NULL},
        {"<\"a>b\"@c.example>x", false, "\"a>b\"@c.example", "x"},
        {"<\"a\\\">b\"@c.example>", false, "\"a\\\">b\"@c.example", ""},
        {"\"a b\"@c.example x", false, "\"a b\"@c.example", " x"},
        {"<u@c.example", false, NULL, NULL},
        {"<u@c.example>>", false, "u@c.example", ">"},
        {"<<u@c.example>", false, NULL, NULL},
        {"<u@c.example\r\n>", false, NULL, NULL},
        {"<u @c.example>", false, NULL, NULL},
        {" <u@c.example>", false, NULL, NULL},
        {"", true, NULL, NULL},
        {"<", true, NULL, NULL},
        {">", true, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice input = slice_of(cases[i].input), address = SLICE("none");
        struct smtp_path_rules rules = {.null_allowed = cases[i].null_allowed};
        bool parsed = smtp_path_parse(&input, rules, &address);
        check_number(cases[i].input, parsed, cases[i].address != NULL);
        check_slice(cases[i].input, input, slice_of(parsed ? cases[i].rest : cases[i].input));
        check_slice(cases[i].input, address, slice_of(parsed ? cases[i].address : "none"));
    }
}

/* Names without a domain, where they are allowed: only in brackets, or a parameter could be taken for one. */
static void test_names(void **state)
{
    static const struct {
        const char *input, *name; /* NULL: no path */
    } cases[] = {
        {"<scanner>", "scanner"},   {"<x..y>", "x..y"},     {"<\"a b\">", "\"a b\""}, {"<postmaster>", "postmaster"},
        {"scanner", NULL},          {"SIZE=1", NULL},       {"<a b>", NULL},            {"<@>", NULL},
        {"<a@>", NULL},             {"<@a.example:b>", "b"}, {"<\"a>", NULL},           {"<a,b>", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct slice input = slice_of(cases[i].input), address = SLICE("none");
        struct smtp_path_rules rules = {.null_allowed = true, .name_allowed = true};
        check_number(cases[i].input, smtp_path_parse(&input, rules, &address), cases[i].name != NULL);
        check_slice(cases[i].input, address, slice_of(cases[i].name == NULL ? "none" : cases[i].name));
    }
    char text[80];
    for (int more = 0; more <= 1; more++) {
        snprintf(text, sizeof text, "<%0*d>", 64 + more, 0);
        struct slice input = slice_of(text), address;
        struct smtp_path_rules rules = {.name_allowed = true};
        check_number("length", smtp_path_parse(&input, rules, &address), !more);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repair),
        cmocka_unit_test(test_repair_of_long_ones),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
