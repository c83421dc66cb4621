#include "base/idna.h"
#include "test/unit/check.h"

#define X10 "xxxxxxxxxx"
#define X63 X10 X10 X10 X10 X10 X10 "xxx"

static const struct {
    const char *domain, *canonical; /* NULL: a syntax error */
} canonical_cases[] = {
    {"example.com", "example.com"},
    {"EXAMPLE.Com", "example.com"},
    {"example.com.", "example.com"},
    {"localhost", "localhost"},
    {"_mta-sts.example.com", "_mta-sts.example.com"},
    {"_25._tcp.Mail_Host.example.com", "_25._tcp.mail_host.example.com"},
    {"1.2.3.4", "1.2.3.4"},
    {"3com.com", "3com.com"},
    {"a--b.example", "a--b.example"},
    {"XN--MNCHEN-3YA.de", "xn--mnchen-3ya.de"},
    {"xn--zzzzzz-not-a-real-label.example", "xn--zzzzzz-not-a-real-label.example"},
    {"m\xc3\xbcnchen.de", "xn--mnchen-3ya.de"},
    {"M\xc3\x9cNCHEN.DE", "xn--mnchen-3ya.de"},
    {"mu\xcc\x88nchen.de", "xn--mnchen-3ya.de"}, /* decomposed */
    {"m\xc3\xbcnchen.de.", "xn--mnchen-3ya.de"},
    {"_mta-sts.m\xc3\xbcnchen.de", "_mta-sts.xn--mnchen-3ya.de"},
    {"fa\xc3\x9f.de", "xn--fa-hia.de"}, /* non-transitional: not fass.de */
    {"\xe4\xbe\x8b\xe3\x81\x88.\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88", "xn--r8jz45g.xn--zckzah"},
    {"example\xe3\x80\x82"
     "com",
     "example.com"},                           /* ideographic full stop */
    {"\xef\xbd\x85xample.com", "example.com"}, /* fullwidth e */
    {"\xf0\x9f\x92\xa9.example", NULL},        /* IDNA 2008 has no symbols (RFC 5892); its A-label passes */
    {"xn--ls8h.example", "xn--ls8h.example"},
    {X63 ".example", X63 ".example"},
    {"", NULL},
    {".", NULL},
    {"..", NULL},
    {".example.com", NULL},
    {"example..com", NULL},
    {"example.com..", NULL},
    {"exam ple.com", NULL},
    {"example.com\r\n", NULL},
    {"a/b.example", NULL},
    {"a@b.example", NULL},
    {"*.example.com", NULL},
    {"-a.example", NULL},
    {"a-.example", NULL},
    {"[127.0.0.1]", NULL},
    {"example.com:25", NULL},
    {X63 "x.example", NULL},
    {X63 "." X63 "." X63 "." X63, NULL},
    {"\xff.example", NULL},
    {"\xc3.example", NULL},
    {"a\xef\xbc\x8f"
     "b.example",
     NULL}, /* fullwidth solidus becomes a slash */
    {"a\xef\xbc\xa0"
     "b.example",
     NULL}, /* fullwidth commercial at */
    {"m\xc3\xbc..de", NULL},
    {"\xcc\x88"
     "a.example",
     NULL}, /* begins with a combining mark */
    {"\xd7\x90"
     "a.example",
     NULL}, /* mixed directions (RFC 5893) */
};

static void test_canonical(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(canonical_cases); i++) {
        struct arena *arena = arena_new(8192);
        struct slice canonical;
        enum err err = idna_canonical(slice_of(canonical_cases[i].domain), arena, &canonical);
        check_number(canonical_cases[i].domain, err, canonical_cases[i].canonical == NULL ? ERR_SYNTAX : ERR_NONE);
        if (err == ERR_NONE) {
            check_slice(canonical_cases[i].domain, canonical, slice_of(canonical_cases[i].canonical));
            check_number("NUL behind", canonical.data[canonical.length], 0);
        }
        arena_free(&arena);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    struct arena *arena = arena_new(100000);
    struct slice canonical;
    char name[300];
    memset(name, 'a', sizeof name);
    for (size_t i = 49; i < sizeof name; i += 50)
        name[i] = '.';
    assert_int_equal(idna_canonical(slice_make(name, 253), arena, &canonical), ERR_NONE);
    assert_int_equal(idna_canonical(slice_make(name, 254), arena, &canonical), ERR_SYNTAX);
    name[253] = '.';
    assert_int_equal(idna_canonical(slice_make(name, 254), arena, &canonical), ERR_NONE);
    assert_int_equal(canonical.length, 253);

    static char huge[65540];
    memset(huge, 'x', sizeof huge);
    memcpy(huge + 65536, "\xef\xbc\x80", 3);
    assert_int_equal(idna_canonical(slice_make(huge, 65539), arena, &canonical), ERR_SYNTAX);
    assert_int_equal(idna_canonical(SLICE("a\0b.example"), arena, &canonical), ERR_SYNTAX);
    assert_int_equal(idna_canonical(SLICE("\xc3\xa4\0b.example"), arena, &canonical), ERR_SYNTAX);
    arena_free(&arena);
}

static void test_every_arena_limit(void **state)
{
    (void)state;
    bool done = false;
    for (size_t limit = 0; !done; limit++) {
        struct arena *arena = arena_new(limit);
        struct slice canonical;
        enum err err = idna_canonical(SLICE("m\xc3\xbcnchen.de"), arena, &canonical);
        assert_true(err == ERR_NONE || err == ERR_MEMORY);
        done = err == ERR_NONE;
        assert_true(limit < 1000);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_canonical),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_every_arena_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
