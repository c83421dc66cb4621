/* The policy of RFC 8461 3.2 and the matching of MX hosts of 4.1. */
#include "sts/policy.h"
#include "test/unit/sts_vectors.h"

#define BIT(name) (1u << STS_WARNING_##name)
#define VALID "version: STSv1\nmode: enforce\nmx: mail.example.com\nmax_age: 604800\n"
#define HEAD "version: STSv1\nmode: enforce\nmax_age: 604800\n"

static const char *warning_name(unsigned number);
static bool parse(struct arena **arena, struct slice body, struct sts_policy *policy, struct sts_fault *fault);
static void expect_parsed(const json_t *parsed, const struct sts_policy *policy);

struct policy_case {
    const char *name;
    struct slice body;
    size_t bad_line; /* where it is invalid; WHOLE: as a whole; 0: valid */
    unsigned warnings;
    const char *mx; /* the patterns, joined by a space */
};

#define WHOLE SIZE_MAX

static const struct policy_case policy_cases[] = {
    {.name = "LF", .body = TEXT(VALID), .mx = "mail.example.com"},
    {.name = "CRLF",
     .body = TEXT("version: STSv1\r\nmode: enforce\r\nmx: a.example\r\nmax_age: 604800\r\n"),
     .mx = "a.example"},
    {.name = "mixed, no end of line at the end",
     .body = TEXT("version: STSv1\r\nmode: enforce\nmx: a.example\r\nmax_age: 604800"),
     .mx = "a.example"},
    {.name = "tabs and no space after the colon",
     .body = TEXT("version:STSv1\nmode:\tenforce\nmx: \t a.example\nmax_age:604800"),
     .mx = "a.example"},
    {.name = "white space before the colon", .body = TEXT("version : STSv1\n" VALID), .bad_line = 1},
    {.name = "white space at the start of a line", .body = TEXT(HEAD " mx: a.example\n"), .bad_line = 4},
    {.name = "white space at the end of a line",
     .body = TEXT(HEAD "mx: a.example \t \n"),
     .mx = "a.example",
     .warnings = BIT(TRAILING_SPACE)},
    {.name = "blank lines",
     .body = TEXT("\n\r\n \t\n" VALID "\n\n"),
     .mx = "mail.example.com",
     .warnings = BIT(BLANK_LINE)},
    {.name = "byte order mark",
     .body = TEXT("\xef\xbb\xbf" VALID),
     .mx = "mail.example.com",
     .warnings = BIT(BYTE_ORDER_MARK)},
    {.name = "byte order mark twice", .body = TEXT("\xef\xbb\xbf\xef\xbb\xbf" VALID), .bad_line = 1},
    {.name = "bare CR", .body = TEXT("version: STSv1\rmode: enforce\rmx: a.example\rmax_age: 604800\r"), .bad_line = 1},
    {.name = "CR at the very end", .body = TEXT(HEAD "mx: a.example\r"), .bad_line = 4},
    {.name = "CR CR LF", .body = TEXT(HEAD "mx: a.example\r\r\n"), .bad_line = 4},
    {.name = "NUL", .body = TEXT(HEAD "mx: a.example\0\n"), .bad_line = 4},
    {.name = "nothing", .body = TEXT(""), .bad_line = WHOLE},
    {.name = "HTML", .body = TEXT("<!DOCTYPE html>\n<html></html>\n"), .bad_line = 1},
    {.name = "JSON", .body = TEXT("{\"version\": \"STSv1\"}"), .bad_line = 1},
    {.name = "names have a case",
     .body = TEXT("Version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 604800"),
     .bad_line = WHOLE},
    {.name = "version has a case", .body = TEXT("version: stsv1\nmode: none\nmax_age: 1"), .bad_line = 1},
    {.name = "mode has a case", .body = TEXT("version: STSv1\nmode: Enforce\nmax_age: 1"), .bad_line = 2},
    {.name = "mode of another word", .body = TEXT("version: STSv1\nmode: enforced\nmax_age: 1"), .bad_line = 2},
    {.name = "mode without a value", .body = TEXT("version: STSv1\nmode:\nmax_age: 1"), .bad_line = 2},
    {.name = "mode none with mx",
     .body = TEXT("version: STSv1\nmode: none\nmx: a.example\nmax_age: 1"),
     .mx = "a.example"},
    {.name = "repeated fields: the first counts",
     .body = TEXT(VALID "mode: none\nversion: STSv2\nmax_age: soon\n"),
     .mx = "mail.example.com",
     .warnings = BIT(DUPLICATE)},
    {.name = "repeated field, malformed", .body = TEXT(VALID "mode:\n"), .bad_line = 5},
    {.name = "max_age over a year",
     .body = TEXT("version: STSv1\nmode: none\nmax_age: 9999999999"),
     .warnings = BIT(MAX_AGE_CAPPED)},
    {.name = "max_age with zeros before it", .body = TEXT("version: STSv1\nmode: none\nmax_age: 0000086400")},
    {.name = "max_age of 11 digits", .body = TEXT("version: STSv1\nmode: none\nmax_age: 00000086400"), .bad_line = 3},
    {.name = "max_age with a sign", .body = TEXT("version: STSv1\nmode: none\nmax_age: -1"), .bad_line = 3},
    {.name = "max_age with a fraction", .body = TEXT("version: STSv1\nmode: none\nmax_age: 1.5"), .bad_line = 3},
    {.name = "max_age with a unit", .body = TEXT("version: STSv1\nmode: none\nmax_age: 86400s"), .bad_line = 3},
    {.name = "max_age under a day",
     .body = TEXT("version: STSv1\nmode: enforce\nmx: a.example\nmax_age: 86399"),
     .mx = "a.example",
     .warnings = BIT(MAX_AGE_SHORT)},
    {.name = "mx in capitals", .body = TEXT(HEAD "mx: *.Mail.EXAMPLE.com"), .mx = "*.mail.example.com"},
    {.name = "mx of one label", .body = TEXT(HEAD "mx: localhost"), .mx = "localhost"},
    {.name = "mx with a dot at its end",
     .body = TEXT(HEAD "mx: *.example.com."),
     .mx = "*.example.com",
     .warnings = BIT(TRAILING_DOT)},
    {.name = "mx with two dots at its end", .body = TEXT(HEAD "mx: example.com.."), .bad_line = 4},
    {.name = "mx with a dot at its start", .body = TEXT(HEAD "mx: .example.com"), .bad_line = 4},
    {.name = "mx with an empty label", .body = TEXT(HEAD "mx: mail..example.com"), .bad_line = 4},
    {.name = "mx that is a star", .body = TEXT(HEAD "mx: *"), .bad_line = 4},
    {.name = "mx that is a star and a dot", .body = TEXT(HEAD "mx: *."), .bad_line = 4},
    {.name = "mx with two stars", .body = TEXT(HEAD "mx: *.*.example.com"), .bad_line = 4},
    {.name = "mx with a star in the middle", .body = TEXT(HEAD "mx: mail.*.example.com"), .bad_line = 4},
    {.name = "mx with a part of a label", .body = TEXT(HEAD "mx: mx*.example.com"), .bad_line = 4},
    {.name = "mx with an underscore", .body = TEXT(HEAD "mx: my_mail.example.com"), .bad_line = 4},
    {.name = "mx with a hyphen first", .body = TEXT(HEAD "mx: -mail.example.com"), .bad_line = 4},
    {.name = "mx with a space", .body = TEXT(HEAD "mx: mail.example.com other.example.com"), .bad_line = 4},
    {.name = "mx with a comma", .body = TEXT(HEAD "mx: a.example,b.example"), .bad_line = 4},
    {.name = "mx as a U-label",
     .body = TEXT(HEAD "mx: mail.b\xc3\xbc"
                       "cher.example"),
     .bad_line = 4},
    {.name = "mx as an A-label",
     .body = TEXT(HEAD "mx: mail.xn--bcher-kva.example"),
     .mx = "mail.xn--bcher-kva.example"},
    {.name = "mx that is an IPv6 address",
     .body = TEXT(HEAD "mx: 2001:db8::1"),
     .mx = "2001:db8::1",
     .warnings = BIT(ADDRESS_AS_MX)},
    {.name = "mx that is an address literal",
     .body = TEXT(HEAD "mx: [192.0.2.1]\nmx: [IPv6:2001:DB8::1]"),
     .mx = "[192.0.2.1] [ipv6:2001:db8::1]",
     .warnings = BIT(ADDRESS_AS_MX)},
    {.name = "extension",
     .body = TEXT(VALID "Some-ext.1_x: a value: with colons  and spaces; \xe2\x82\xac\n"),
     .mx = "mail.example.com"},
    {.name = "extension name of 32",
     .body = TEXT(VALID "a2345678901234567890123456789012: x\n"),
     .mx = "mail.example.com"},
    {.name = "extension with an overlong form", .body = TEXT(VALID "x: \xc0\xaf\n"), .bad_line = 5},
    {.name = "extension with a surrogate", .body = TEXT(VALID "x: \xed\xa0\x80\n"), .bad_line = 5},
    {.name = "extension with half a character", .body = TEXT(VALID "x: \xe2\x82\n"), .bad_line = 5},
    {.name = "extension with DEL", .body = TEXT(VALID "x: a\x7f\n"), .bad_line = 5},
    {.name = "extension of one colon", .body = TEXT(VALID ":\n"), .bad_line = 5},
};

static void test_policies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof policy_cases / sizeof *policy_cases; i++) {
        const struct policy_case *item = &policy_cases[i];
        struct arena *arena;
        struct sts_policy policy;
        struct sts_fault fault;
        struct buffer mx;
        bool is_valid = parse(&arena, item->body, &policy, &fault);
        print_message("%s%s%s\n", item->name, is_valid ? "" : ": ", is_valid ? "" : fault.why);
        assert_int_equal(is_valid, item->bad_line == 0);
        if (!is_valid)
            assert_int_equal(fault.line, item->bad_line == WHOLE ? 0 : item->bad_line);
        else
            assert_int_equal(policy.warnings, item->warnings);
        buffer_init(&mx, 1000);
        for (size_t k = 0; k < policy.mx_count && is_valid; k++)
            buffer_print(&mx, "%s%.*s", k == 0 ? "" : " ", SLICE_ARGS(policy.mx[k]));
        if (is_valid)
            assert_true(slice_equal(buffer_slice(&mx), slice_of(item->mx)));
        buffer_free(&mx);
        arena_free(&arena);
    }
}

static void test_policy_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("policy");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct buffer body = vector_text(vector.input);
        struct arena *arena;
        struct sts_policy policy;
        struct sts_fault fault;
        bool is_valid = parse(&arena, buffer_slice(&body), &policy, &fault);
        print_message("%s\n", vector.name);
        assert_int_equal(is_valid, vector_flag(&vector, "valid"));
        expect_parsed(json_object_get(vector.expected, "parsed"), &policy);
        if (is_valid)
            assert_true(vector_has_warning(vector_expected(&vector, "warning"), policy.warnings, warning_name));
        arena_free(&arena);
        buffer_free(&body);
    }
    vectors_close(&vectors);
}

static void test_policy_byte_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("policy-bytes");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct slice hex = slice_of(json_string_value(json_object_get(vector.input, "hex_tail_after_valid_policy")));
        struct buffer body;
        struct arena *arena;
        struct sts_policy policy;
        struct sts_fault fault;
        buffer_init(&body, 1000);
        buffer_add(&body, SLICE(VALID));
        for (size_t i = 0; i + 1 < hex.length; i += 2) {
            char digits[3] = {hex.data[i], hex.data[i + 1], '\0'};
            buffer_add_u8(&body, (uint8_t)strtoul(digits, NULL, 16));
        }
        print_message("%s\n", vector.name);
        assert_int_equal(parse(&arena, buffer_slice(&body), &policy, &fault), vector_flag(&vector, "valid"));
        arena_free(&arena);
        buffer_free(&body);
    }
    vectors_close(&vectors);
}

static void test_size_limits(void **state)
{
    (void)state;
    struct buffer body;
    struct arena *arena;
    struct sts_policy policy;
    struct sts_fault fault;
    buffer_init(&body, STS_POLICY_SIZE_MAX + 1);
    buffer_add(&body, SLICE(VALID "x: "));
    while (buffer_length(&body) < STS_POLICY_SIZE_MAX)
        buffer_add_byte(&body, 'a');
    assert_true(parse(&arena, buffer_slice(&body), &policy, &fault));
    arena_free(&arena);
    buffer_add_byte(&body, 'a');
    assert_false(parse(&arena, buffer_slice(&body), &policy, &fault));
    arena_free(&arena);
    buffer_clear(&body);
    buffer_add(&body, SLICE(HEAD));
    for (size_t i = 0; i < STS_MX_MAX; i++)
        buffer_add(&body, SLICE("mx: mail.example.com\n"));
    assert_true(parse(&arena, buffer_slice(&body), &policy, &fault));
    assert_int_equal(policy.mx_count, STS_MX_MAX);
    arena_free(&arena);
    buffer_add(&body, SLICE("mx:one.example.com"));
    assert_false(parse(&arena, buffer_slice(&body), &policy, &fault));
    arena_free(&arena);
    buffer_free(&body);
}

/* Whatever the limit, there is a clean end: out of memory, or the whole policy. */
static void test_memory_limits(void **state)
{
    (void)state;
    const struct slice body = SLICE(HEAD "mx: a.example\nmx: *.b.example\nmx: c.example\n");
    size_t limit = 0;
    for (bool is_valid = false; !is_valid; limit++) {
        struct arena *arena = arena_new(limit);
        struct sts_policy policy;
        struct sts_fault fault;
        is_valid = sts_policy_parse(body, arena, &policy, &fault);
        assert_int_equal(fault.out_of_memory, !is_valid);
        if (is_valid)
            assert_int_equal(policy.mx_count, 3);
        arena_free(&arena);
    }
    assert_true(limit > 3);
}

static void test_match_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("mxmatch");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct buffer host = vector_text(json_object_get(vector.input, "mx"));
        struct slice patterns[4];
        struct sts_policy policy = {.mx = patterns};
        size_t index;
        const json_t *pattern;
        json_array_foreach(json_object_get(vector.input, "patterns"), index, pattern) patterns[policy.mx_count++] =
            slice_of(json_string_value(pattern));
        print_message("%s\n", vector.name);
        assert_int_equal(sts_policy_admits(&policy, buffer_slice(&host)), json_is_true(vector.expected));
        buffer_free(&host);
    }
    vectors_close(&vectors);
}

struct match_case {
    struct slice pattern, host;
    bool admits;
};

static const struct match_case match_cases[] = {
    {TEXT("mail.example.com"), TEXT("MAIL.Example.COM."), true},
    {TEXT("MAIL.example.com."), TEXT("mail.example.com"), true},
    {TEXT("mail.example.com"), TEXT("mail.example.com.."), false},
    {TEXT("mail.example.com"), TEXT("mail.example.co"), false},
    {TEXT("mail.example.com"), TEXT("xmail.example.com"), false},
    {TEXT("mail.example.com"), TEXT("mail.example.com.evil.example"), false},
    {TEXT("mail.example.com"), TEXT("mail.example.com\0.evil.example"), false},
    {TEXT("*.example.com"), TEXT("MX1.EXAMPLE.COM"), true},
    {TEXT("*.example.com"), TEXT(".example.com"), false},
    {TEXT("*.example.com"), TEXT("example.com"), false},
    {TEXT("*.example.com"), TEXT("a.b.example.com"), false},
    {TEXT("*.example.com"), TEXT("mail.notexample.com"), false},
    {TEXT("*.example.com"), TEXT("*.example.com"), false},
    {TEXT("*.com"), TEXT("com"), false},
    {TEXT("*"), TEXT("localhost"), false},
    {TEXT("*."), TEXT("localhost"), false},
    {TEXT("*."), TEXT("localhost."), false},
    {TEXT("*"), TEXT("*"), false},
    {TEXT("m*.example.com"), TEXT("mx.example.com"), false},
    {TEXT(""), TEXT(""), false},
    {TEXT("."), TEXT("."), false},
    {TEXT(""), TEXT("."), false},
    {TEXT("192.0.2.1"), TEXT("192.0.2.1"), false},
    {TEXT("*.0.2.1"), TEXT("192.0.2.1"), false},
    {TEXT("192.0.2.1"), TEXT("192.0.2.1."), false},
    {TEXT("[192.0.2.1]"), TEXT("[192.0.2.1]"), false},
    {TEXT("2001:db8::1"), TEXT("2001:db8::1"), false},
    {TEXT("mail.b\xc3\xbc"
          "cher.example"),
     TEXT("mail.xn--bcher-kva.example"), false},
};

static void test_matches(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof match_cases / sizeof *match_cases; i++) {
        const struct match_case *item = &match_cases[i];
        print_message("%.*s %.*s\n", SLICE_ARGS(item->pattern), SLICE_ARGS(item->host));
        assert_int_equal(sts_pattern_admits(item->pattern, item->host), item->admits);
    }
}

/* What large providers publish, and the names of their MX hosts, in the form in which both are widely known. */
struct provider {
    const char *domain;
    enum sts_mode mode;
    struct slice body;
    struct slice hosts[5];
};

static const struct provider providers[] = {
    {.domain = "gmail.com",
     .mode = STS_MODE_ENFORCE,
     .body = TEXT("version: STSv1\nmode: enforce\nmx: gmail-smtp-in.l.google.com\n"
                  "mx: *.gmail-smtp-in.l.google.com\nmax_age: 86400\n"),
     .hosts = {TEXT("gmail-smtp-in.l.google.com."), TEXT("alt1.gmail-smtp-in.l.google.com."),
               TEXT("alt2.gmail-smtp-in.l.google.com."), TEXT("alt3.gmail-smtp-in.l.google.com."),
               TEXT("alt4.gmail-smtp-in.l.google.com.")}},
    {.domain = "outlook.com",
     .mode = STS_MODE_ENFORCE,
     .body = TEXT("version: STSv1\r\nmode: enforce\r\nmx: *.olc.protection.outlook.com\r\nmax_age: 604800\r\n"),
     .hosts = {TEXT("outlook-com.olc.protection.outlook.com.")}},
    {.domain = "yahoo.com",
     .mode = STS_MODE_TESTING,
     .body = TEXT("version: STSv1\nmode: testing\nmx: *.am0.yahoodns.net\nmx: *.mail.gm0.yahoodns.net\n"
                  "mx: *.mail.am0.yahoodns.net\nmax_age: 604800\n"),
     .hosts = {TEXT("mta5.am0.yahoodns.net."), TEXT("mta6.am0.yahoodns.net."), TEXT("mta7.am0.yahoodns.net."),
               TEXT("mx-eu.mail.am0.yahoodns.net."), TEXT("mx-apac.mail.gm0.yahoodns.net.")}},
    {.domain = "protonmail.com",
     .mode = STS_MODE_ENFORCE,
     .body = TEXT("version: STSv1\nmode: enforce\nmx: mail.protonmail.ch\nmx: mailsec.protonmail.ch\nmax_age: 604800\n"),
     .hosts = {TEXT("mail.protonmail.ch."), TEXT("mailsec.protonmail.ch.")}},
    {.domain = "a domain whose mail Google hosts",
     .mode = STS_MODE_TESTING,
     .body = TEXT("version: STSv1\nmode: testing\nmx: aspmx.l.google.com\nmx: *.aspmx.l.google.com\nmax_age: 86400"),
     .hosts = {TEXT("aspmx.l.google.com."), TEXT("alt1.aspmx.l.google.com."), TEXT("ALT2.ASPMX.L.GOOGLE.COM.")}},
    {.domain = "a domain whose mail Microsoft 365 hosts",
     .mode = STS_MODE_ENFORCE,
     .body = TEXT("version: STSv1\nmode: enforce\nmx: *.mail.protection.outlook.com\nmax_age: 604800\n"),
     .hosts = {TEXT("contoso-com.mail.protection.outlook.com.")}},
};

static void test_providers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof providers / sizeof *providers; i++) {
        const struct provider *provider = &providers[i];
        struct arena *arena;
        struct sts_policy policy;
        struct sts_fault fault;
        print_message("%s\n", provider->domain);
        assert_true(parse(&arena, provider->body, &policy, &fault));
        assert_int_equal(policy.mode, provider->mode);
        assert_int_equal(policy.warnings, 0);
        for (size_t k = 0; k < 5 && provider->hosts[k].length > 0; k++)
            assert_true(sts_policy_admits(&policy, provider->hosts[k]));
        assert_false(sts_policy_admits(&policy, SLICE("mx.attacker.example")));
        arena_free(&arena);
    }
}

static bool parse(struct arena **arena, struct slice body, struct sts_policy *policy, struct sts_fault *fault)
{
    *arena = arena_new(4 * STS_POLICY_SIZE_MAX);
    assert_non_null(*arena);
    bool is_valid = sts_policy_parse(body, *arena, policy, fault);
    assert_int_equal(is_valid, fault->why == NULL);
    return is_valid;
}

static void expect_parsed(const json_t *parsed, const struct sts_policy *policy)
{
    size_t index;
    const json_t *mx;
    if (parsed == NULL)
        return;
    assert_string_equal(sts_mode_name(policy->mode), json_string_value(json_object_get(parsed, "mode")));
    assert_int_equal(policy->max_age_s, json_integer_value(json_object_get(parsed, "max_age")));
    assert_int_equal(policy->mx_count, json_array_size(json_object_get(parsed, "mx")));
    json_array_foreach(json_object_get(parsed, "mx"), index, mx)
        assert_true(slice_equal(policy->mx[index], slice_of(json_string_value(mx))));
}

static const char *warning_name(unsigned number)
{
    return sts_warning_text((enum sts_warning)number);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_policies),
        cmocka_unit_test(test_policy_vectors),
        cmocka_unit_test(test_policy_byte_vectors),
        cmocka_unit_test(test_size_limits),
        cmocka_unit_test(test_memory_limits),
        cmocka_unit_test(test_match_vectors),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_providers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
