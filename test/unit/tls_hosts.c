#include "tls/hosts.h"

#include "test/unit/check.h"

static const uint64_t key[2] = {1, 2};

static void test_remembers(void **state)
{
    (void)state;
    struct tls_hosts hosts;
    tls_hosts_init(&hosts, key);
    assert_false(tls_hosts_has(&hosts, SLICE("mx.example.com")));
    assert_false(tls_hosts_has(&hosts, SLICE_EMPTY));
    tls_hosts_add(&hosts, SLICE("mx.example.com"));
    tls_hosts_add(&hosts, SLICE("mx.example.com"));
    assert_true(tls_hosts_has(&hosts, SLICE("mx.example.com")));
    assert_false(tls_hosts_has(&hosts, SLICE("mx.example.co")));
    assert_false(tls_hosts_has(&hosts, SLICE("MX.example.com")));
}

/* Any number of names fits; the newest is there, and no name that was never added. */
static void test_forgets_the_older(void **state)
{
    (void)state;
    struct tls_hosts hosts;
    size_t kept_count = 0;
    tls_hosts_init(&hosts, key);
    for (int i = 0; i < 10000; i++) {
        char name[32], stranger[32];
        snprintf(name, sizeof name, "mx%d.example.com", i);
        snprintf(stranger, sizeof stranger, "other%d.example.com", i);
        tls_hosts_add(&hosts, slice_of(name));
        assert_true(tls_hosts_has(&hosts, slice_of(name)));
        assert_false(tls_hosts_has(&hosts, slice_of(stranger)));
    }
    for (int i = 0; i < 10000; i++) {
        char name[32];
        snprintf(name, sizeof name, "mx%d.example.com", i);
        kept_count += tls_hosts_has(&hosts, slice_of(name));
    }
    assert_true(kept_count > TLS_HOSTS_COUNT / 2 && kept_count <= TLS_HOSTS_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_remembers),
        cmocka_unit_test(test_forgets_the_older),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
