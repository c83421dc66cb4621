#include "base/ip.h"
#include "test/unit/check.h"

static void test_parsing_and_printing(void **state)
{
    static const struct {
        const char *text, *printed; /* NULL: no address */
    } cases[] = {
        {"192.0.2.1", "192.0.2.1"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:db8::ffff:192.0.2.1", "2001:db8::ffff:c000:201"},
        {"::ffff:192.0.2.1", "192.0.2.1"},
        {"::FFFF:c000:0201", "192.0.2.1"},
        {"0000:0000:0000:0000:0000:ffff:255.255.255.255", "255.255.255.255"},
        {"", NULL},
        {"1.2.3", NULL},
        {"1.2.3.4.5", NULL},
        {"1.2.3.256", NULL},
        {"01.2.3.4", NULL},
        {"0x7f.0.0.1", NULL},
        {"127.1", NULL},
        {"2130706433", NULL},
        {" 1.2.3.4", NULL},
        {"1.2.3.4 ", NULL},
        {"1.2.3.4\n", NULL},
        {":::", NULL},
        {"1::2::3", NULL},
        {"12345::", NULL},
        {"fe80::1%eth0", NULL},
        {"[::1]", NULL},
        {"::ffff:1.2.3", NULL},
        {"0000:0000:0000:0000:0000:0ffff:255.255.255.255", NULL},
        {"example.com", NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip ip;
        char out[48];
        bool valid = ip_parse(slice_of(cases[i].text), &ip);
        check_number(cases[i].text, valid, cases[i].printed != NULL);
        if (valid)
            check_slice(cases[i].text, ip_print(&ip, out), slice_of(cases[i].printed));
    }
    struct ip ip;
    char out[48];
    assert_false(ip_parse(SLICE("1.2.3.4\0"), &ip));
    check_slice("none", ip_print(&(struct ip){0}, out), SLICE("none"));
}

static void test_equality(void **state)
{
    (void)state;
    static const uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, [12] = 10, [15] = 1};
    static const uint8_t v4[4] = {10, 0, 0, 1};
    struct ip a = ip_v6(mapped), b = ip_v4(v4), c = ip_v6((uint8_t[16]){10, 0, 0, 1});
    assert_true(ip_equal(&a, &b));
    assert_false(ip_equal(&b, &c));
    c.bytes[15] = 1;
    assert_false(ip_equal(&c, &(struct ip){.family = IP_V6, .bytes = {10, 0, 0, 1}}));
}

static void test_networks(void **state)
{
    static const struct {
        const char *text, *printed; /* NULL: no network */
        const char *inside, *outside;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0/8", "10.255.0.1", "11.0.0.0"},
        {"192.0.2.1", "192.0.2.1/32", "192.0.2.1", "192.0.2.0"},
        {"0.0.0.0/0", "0.0.0.0/0", "255.1.2.3", "::1"},
        {"::/0", "::/0", "2001:db8::1", "1.2.3.4"},
        {"::1/128", "::1/128", "::1", "::2"},
        {"2001:db8::/33", "2001:db8::/33", "2001:db8:7fff::1", "2001:db8:8000::"},
        {"192.0.2.128/25", "192.0.2.128/25", "192.0.2.255", "192.0.2.127"},
        {"172.16.0.0/12", "172.16.0.0/12", "172.31.255.255", "172.32.0.0"},
        {"::ffff:10.0.0.0/104", "10.0.0.0/8", "10.1.2.3", "::a01:203"},
        {"::ffff:10.0.0.1", "10.0.0.1/32", "::ffff:10.0.0.1", "10.0.0.2"},
        {"10.0.0.0/8", "10.0.0.0/8", "::ffff:10.1.2.3", "a00::"},
        {.text = "10.0.0.1/8"},
        {.text = "10.0.0.0/33"},
        {.text = "::/129"},
        {.text = "::1/127"},
        {.text = "10.0.0.0/"},
        {.text = "10.0.0.0/-1"},
        {.text = "10.0.0.0/8/8"},
        {.text = "10.0.0.0/255.0.0.0"},
        {.text = "10/8"},
        {.text = "/8"},
        {.text = ""},
        {.text = "::ffff:0.0.0.0/95"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip_network network;
        enum err err = ip_network_parse(slice_of(cases[i].text), &network);
        check_number(cases[i].text, err, cases[i].printed == NULL ? ERR_SYNTAX : ERR_NONE);
        if (err != ERR_NONE)
            continue;
        char out[56];
        struct ip inside, outside;
        check_slice(cases[i].text, ip_network_print(&network, out), slice_of(cases[i].printed));
        assert_true(ip_parse(slice_of(cases[i].inside), &inside));
        assert_true(ip_parse(slice_of(cases[i].outside), &outside));
        check_true(cases[i].text, ip_network_has(&network, &inside));
        check_true(cases[i].text, !ip_network_has(&network, &outside));
        check_true(cases[i].text, !ip_network_has(&network, &(struct ip){0}));
    }
}

static const struct {
    const char *text;
    bool global;
} global_cases[] = {
    {"1.1.1.1", true},
    {"9.255.255.255", true},
    {"11.0.0.0", true},
    {"100.63.255.255", true},
    {"100.128.0.0", true},
    {"172.15.255.255", true},
    {"172.32.0.0", true},
    {"198.17.255.255", true},
    {"198.20.0.0", true},
    {"223.255.255.255", true},
    {"0.0.0.0", false},
    {"0.1.2.3", false},
    {"10.1.2.3", false},
    {"100.64.0.1", false},
    {"127.0.0.1", false},
    {"127.255.255.255", false},
    {"169.254.169.254", false},
    {"172.16.0.1", false},
    {"172.31.255.255", false},
    {"192.0.0.8", false},
    {"192.0.2.1", false},
    {"192.88.99.1", false},
    {"192.168.1.1", false},
    {"198.18.0.1", false},
    {"198.19.255.255", false},
    {"198.51.100.7", false},
    {"203.0.113.7", false},
    {"224.0.0.1", false},
    {"239.255.255.255", false},
    {"240.0.0.1", false},
    {"255.255.255.255", false},
    {"2606:4700:4700::1111", true},
    {"2a00::1", true},
    {"2001:200::1", true},
    {"3ffe::1", true},
    {"::", false},
    {"::1", false},
    {"::1.1.1.1", false},
    {"::ffff:10.0.0.1", false},
    {"::ffff:1.1.1.1", true},
    {"64:ff9b::1.1.1.1", true},
    {"64:ff9b::10.0.0.1", false},
    {"64:ff9b::127.0.0.1", false},
    {"64:ff9b:1::1.1.1.1", false},
    {"100::1", false},
    {"2001::1", false},
    {"2001:2::1", false},
    {"2001:10::1", false},
    {"2001:1ff:ffff::1", false},
    {"2001:db8::1", false},
    {"2002:0101:0101::1", true},
    {"2002:0a00:0001::1", false},
    {"2002:7f00:0001::1", false},
    {"2002:a9fe:a9fe::1", false},
    {"3fff::1", false},
    {"3fff:fff:ffff::1", false},
    {"3fff:1000::1", true},
    {"4000::1", false},
    {"5f00::1", false},
    {"fc00::1", false},
    {"fdff::1", false},
    {"fe80::1", false},
    {"fec0::1", false},
    {"ff02::1", false},
};

static void test_which_are_global(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(global_cases); i++) {
        struct ip ip;
        assert_true(ip_parse(slice_of(global_cases[i].text), &ip));
        check_number(global_cases[i].text, ip_is_global(&ip), global_cases[i].global);
    }
    assert_false(ip_is_global(&(struct ip){0}));
    /* A mapped address that was not normalised must not pass either. */
    struct ip raw = {.family = IP_V6, .bytes = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    assert_false(ip_is_global(&raw));
}

static void test_loopback(void **state)
{
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {
        {"127.0.0.1", true},  {"127.9.9.9", true}, {"::1", true}, {"::ffff:127.0.0.1", true},
        {"128.0.0.1", false}, {"::2", false},      {"::", false}, {"7f00::1", false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct ip ip;
        assert_true(ip_parse(slice_of(cases[i].text), &ip));
        check_number(cases[i].text, ip_is_loopback(&ip), cases[i].loopback);
    }
}

static void test_endpoints(void **state)
{
    static const struct {
        const char *text;
        uint16_t port_default;
        const char *printed; /* NULL: none */
    } cases[] = {
        {"192.0.2.1:25", 0, "192.0.2.1:25"},
        {"192.0.2.1:25", 53, "192.0.2.1:25"},
        {"192.0.2.1", 53, "192.0.2.1:53"},
        {"[::1]:25", 0, "[::1]:25"},
        {"[::1]", 53, "[::1]:53"},
        {"::1", 53, "[::1]:53"},
        {"2001:db8::1:25", 53, "[2001:db8::1:25]:53"},
        {"127.0.0.1:0", 0, "127.0.0.1:0"},
        {"127.0.0.1:65535", 0, "127.0.0.1:65535"},
        {"[::ffff:192.0.2.1]:25", 0, "192.0.2.1:25"},
        {"unix:/run/x.sock", 0, "unix:/run/x.sock"},
        {"192.0.2.1", 0, NULL},
        {"::1", 0, NULL},
        {"[::1]", 0, NULL},
        {"::1:25", 0, NULL},
        {"192.0.2.1:", 25, NULL},
        {"[::1]:", 25, NULL},
        {"192.0.2.1:65536", 0, NULL},
        {"192.0.2.1:25:25", 0, NULL},
        {"[192.0.2.1]:25", 0, NULL},
        {"[::1]25", 25, NULL},
        {"[::1", 25, NULL},
        {"::1]:25", 0, NULL},
        {"[]:25", 0, NULL},
        {":25", 0, NULL},
        {"", 25, NULL},
        {"localhost:25", 0, NULL},
        {"unix:", 0, NULL},
        {"unix:relative", 0, NULL},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct endpoint endpoint;
        char out[128];
        enum err err = endpoint_parse(slice_of(cases[i].text), cases[i].port_default, &endpoint);
        check_number(cases[i].text, err, cases[i].printed == NULL ? ERR_SYNTAX : ERR_NONE);
        if (err == ERR_NONE)
            check_slice(cases[i].text, endpoint_print(&endpoint, out), slice_of(cases[i].printed));
    }
}

static void test_socket_paths(void **state)
{
    (void)state;
    struct endpoint endpoint;
    char text[5 + sizeof endpoint.path + 1] = "unix:/";
    memset(text + 6, 'x', sizeof text - 6);
    size_t longest = 5 + sizeof endpoint.path - 1; /* a NUL must fit behind it */
    assert_int_equal(endpoint_parse(slice_make(text, longest), 0, &endpoint), ERR_NONE);
    char out[128];
    check_slice("longest", endpoint_print(&endpoint, out), slice_make(text, longest));
    assert_int_equal(endpoint_parse(slice_make(text, longest + 1), 0, &endpoint), ERR_SYNTAX);
    assert_int_equal(endpoint_parse(SLICE("unix:/a\0b"), 0, &endpoint), ERR_SYNTAX);
}

static struct endpoint endpoint_of(const char *text)
{
    struct endpoint endpoint;
    assert_int_equal(endpoint_parse(slice_of(text), 25, &endpoint), ERR_NONE);
    return endpoint;
}

static void test_endpoint_equality(void **state)
{
    (void)state;
    struct endpoint a = endpoint_of("192.0.2.1:25"), b = endpoint_of("192.0.2.1"), c = endpoint_of("192.0.2.1:26");
    struct endpoint d = endpoint_of("unix:/a"), e = endpoint_of("unix:/a"), f = endpoint_of("unix:/b");
    assert_true(endpoint_equal(&a, &b));
    assert_false(endpoint_equal(&a, &c));
    assert_true(endpoint_equal(&d, &e));
    assert_false(endpoint_equal(&d, &f));
    assert_false(endpoint_equal(&a, &d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parsing_and_printing),
        cmocka_unit_test(test_equality),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_which_are_global),
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_endpoint_equality),
        cmocka_unit_test(test_socket_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
