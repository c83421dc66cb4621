#include "tls/alert.h"
#include "tls/session.h"
#include "tls/verify.h"

#include "test/unit/check.h"

static void test_names(void **state)
{
    static const struct {
        const char *name, *pattern, *host;
        bool matches;
    } cases[] = {
        {"equal", "mx.example.com", "mx.example.com", true},
        {"case of the pattern", "MX.Example.COM", "mx.example.com", true},
        {"case of the host", "mx.example.com", "Mx.eXample.com", true},
        {"other host", "mx.example.com", "mx2.example.com", false},
        {"prefix", "mx.example.com", "mx.example.com.evil.test", false},
        {"suffix", "mx.example.com", "evil-mx.example.com", false},
        {"single label", "mailhub", "mailhub", true},
        {"underscore", "mx_1.example.com", "mx_1.example.com", true},
        {"A-label", "xn--mller-kva.example", "xn--mller-kva.example", true},
        {"wildcard, one label", "*.example.com", "mx.example.com", true},
        {"wildcard, case", "*.EXAMPLE.com", "mx.example.COM", true},
        {"wildcard, apex", "*.example.com", "example.com", false},
        {"wildcard, two labels", "*.example.com", "a.mx.example.com", false},
        {"wildcard, empty label", "*.example.com", ".example.com", false},
        {"wildcard, other domain", "*.example.com", "mx.example.net", false},
        {"wildcard, longer domain", "*.example.com", "mx.anexample.com", false},
        {"wildcard for an A-label", "*.example.com", "xn--mx-1.example.com", true},
        {"wildcard over a single label", "*.com", "example.com", true},
        {"partial, before", "m*.example.com", "mx.example.com", false},
        {"partial, after", "*x.example.com", "mx.example.com", false},
        {"star in the middle", "mx.*.com", "mx.example.com", false},
        {"two stars", "*.*.com", "mx.example.com", false},
        {"star alone", "*", "mailhub", false},
        {"star and dot", "*.", "mailhub", false},
        {"star and dots", "*..", "mailhub", false},
        {"host with a star", "*.example.com", "*.example.com", false},
        {"dot at the pattern's end", "mx.example.com.", "mx.example.com", false},
        {"dot at the host's end", "mx.example.com.", "mx.example.com.", false},
        {"empty both", "", "", false},
        {"empty pattern", "", "mx.example.com", false},
        {"empty host", "mx.example.com", "", false},
        {"empty label", "mx..com", "mx..com", false},
        {"blank", "mx example.com", "mx example.com", false},
        {"UTF-8", "m\xc3\xbcller.example", "m\xc3\xbcller.example", false},
        {"IPv4", "192.0.2.1", "192.0.2.1", false},
        {"IPv4 by wildcard", "*.0.2.1", "192.0.2.1", false},
        {"IPv4 as one number", "3221225985", "3221225985", false},
        {"IPv6", "2001:db8::1", "2001:db8::1", false},
        {"address literal", "[192.0.2.1]", "[192.0.2.1]", false},
        {"digits that are no address", "192.0.2.1.example.com", "192.0.2.1.example.com", true},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        check_number(cases[i].name, tls_name_matches(slice_of(cases[i].pattern), slice_of(cases[i].host)),
                     cases[i].matches);
    }
}

static void test_bytes_that_end_a_string(void **state)
{
    (void)state;
    struct slice pattern = SLICE("mx.example.com\0.evil.test");
    assert_false(tls_name_matches(pattern, SLICE("mx.example.com")));
    assert_false(tls_name_matches(pattern, pattern));
    assert_false(tls_name_matches(SLICE("*.example.com"), SLICE("mx\0.example.com")));
    assert_false(tls_name_matches(SLICE("mx.example.com\0"), SLICE("mx.example.com")));
}

static void test_lengths(void **state)
{
    (void)state;
    char name[256];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = i % 64 == 63 ? '.' : 'a';
    struct slice longest = slice_make(name, 253);
    assert_true(tls_name_matches(longest, longest));
    struct slice too_long = slice_make(name, 254);
    assert_false(tls_name_matches(too_long, too_long));
    memset(name, 'a', sizeof name);
    assert_true(tls_name_is_host(slice_make(name, 63)));
    assert_false(tls_name_is_host(slice_make(name, 64)));
}

static void test_failures_have_names(void **state)
{
    (void)state;
    assert_string_equal(tls_failure_code(TLS_FAILURE_EXPIRED), "certificate-expired");
    assert_string_equal(tls_failure_code(TLS_FAILURE_HOST_MISMATCH), "certificate-host-mismatch");
    assert_string_equal(tls_failure_code(TLS_FAILURE_NOT_TRUSTED), "certificate-not-trusted");
    assert_string_equal(tls_failure_code(TLS_FAILURE_MEMORY), "validation-failure");
    assert_string_equal(tls_failure_text(TLS_FAILURE_EXPIRED), "the certificate has expired");
    for (int i = TLS_FAILURE_NONE; i <= TLS_FAILURE_MEMORY; i++) {
        assert_true(strlen(tls_failure_code((enum tls_failure)i)) > 0);
        assert_true(strlen(tls_failure_text((enum tls_failure)i)) > 0);
    }
    assert_string_equal(tls_failure_code((enum tls_failure)999), "validation-failure");
    assert_string_equal(tls_failure_text((enum tls_failure)999), "an unknown failure");
}

static void test_alerts_have_names(void **state)
{
    (void)state;
    assert_string_equal(tls_alert_name(0), "close_notify");
    assert_string_equal(tls_alert_name(40), "handshake_failure");
    assert_string_equal(tls_alert_name(120), "no_application_protocol");
    assert_string_equal(tls_alert_name(255), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_bytes_that_end_a_string),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_failures_have_names),
        cmocka_unit_test(test_alerts_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
