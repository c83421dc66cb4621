/* Lists of networks that let anybody in, in whatever parts they are written, and lists that do not. */
#include "relay/open_relay.h"

#include "test/unit/check.h"

#define NETWORKS_MAX 40

static size_t parse(const char *text, struct ip_network *networks)
{
    struct slice rest = slice_of(text), word;
    size_t count = 0;
    while (slice_word(&rest, &word)) {
        assert_true(count < NETWORKS_MAX);
        check_number(text, ip_network_parse(word, &networks[count++]), ERR_NONE);
    }
    return count;
}

static void test_lists(void **state)
{
    static const struct {
        const char *networks;
        enum ip_family family;
    } cases[] = {
        {"", IP_NONE},
        {"127.0.0.0/8 ::1/128", IP_NONE},
        {"10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fe80::/10", IP_NONE},
        {"0.0.0.0/0", IP_V4},
        {"::/0", IP_V6},
        {"127.0.0.0/8 ::/0", IP_V6},
        {"0.0.0.0/1 128.0.0.0/1", IP_V4},
        {"0.0.0.0/1", IP_V4},
        {"64.0.0.0/2 128.0.0.0/2", IP_V4},
        {"0.0.0.0/2 64.0.0.0/3", IP_NONE},
        {"0.0.0.0/2 0.0.0.0/2 0.0.0.0/3 1.2.3.4 1.2.3.4", IP_NONE}, /* the same again */
        {"0.0.0.0/3 32.0.0.0/3 64.0.0.0/3 96.0.0.0/4 112.0.0.0/5 120.0.0.0/6 124.0.0.0/6", IP_V4},
        {"2000::/3", IP_V6},
        {"2000::/4", IP_V6},
        {"2000::/5 2800::/5", IP_V6},
        {"2000::/5 2800::/6 2001:db8::/32", IP_NONE},
        {"::/1", IP_V6},
        {"8000::/1", IP_NONE}, /* no global address is there */
        {"::/2", IP_V6},
        {"2001:db8::/32 192.0.2.0/24", IP_NONE},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip_network networks[NETWORKS_MAX];
        size_t count = parse(cases[i].networks, networks);
        check_number(cases[i].networks, open_relay_family(networks, count), cases[i].family);
    }
}

/* Everybody but one /8, in as many parts as there are; and one network less than half. */
static void test_many_parts(void **state)
{
    struct ip_network networks[256];
    (void)state;
    for (unsigned i = 0; i < 255; i++) {
        const uint8_t bytes[4] = {(uint8_t)i};
        networks[i] = (struct ip_network){.base = ip_v4(bytes), .prefix_bits = 8};
        assert_int_equal(open_relay_family(networks, i + 1), i + 1 < 128 ? IP_NONE : IP_V4);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_many_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
