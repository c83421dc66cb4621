/* Readiness and name servers: who needs one, and when it is asked. */
#include "test/unit/dns_script.h"
#include "test/unit/running.h"

#include "relay/health.h"

static struct dns_server server;

/* Asks nobody but this name server. */
static void use_server(const struct dns_entry *script)
{
    dns_server_open(&server, script, "127.0.0.1", false);
    const struct resolver_options options = {
        .servers = &server.endpoint, .server_count = 1, .attempt_timeout_ms = 50, .total_timeout_ms = 100};
    assert_int_equal(resolver_open(&options), ERR_NONE);
    running.relay->health = health_new(running.relay);
    assert_non_null(running.relay->health);
}

static void let_go(void)
{
    health_free(&running.relay->health);
    dns_server_close(&server);
}

static void check_ready(const char *name, bool is_ready, const char *problem)
{
    struct buffer text;
    buffer_init(&text, 1024);
    check_number(name, health_is_ready(running.relay->health, &text), is_ready);
    check_slice(name, slice_to(buffer_slice(&text), strlen(problem)), slice_of(problem));
    check_true(name, (buffer_length(&text) == 0) == is_ready);
    buffer_free(&text);
}

static bool is_ready(void *owner)
{
    struct buffer text;
    (void)owner;
    buffer_init(&text, 1024);
    bool ready = health_is_ready(running.relay->health, &text);
    buffer_free(&text);
    return ready;
}

static bool has_failed(void *owner)
{
    (void)owner;
    return slice_find_slice(buffer_slice(&running.told), SLICE("resolver_failed")) < buffer_length(&running.told);
}

static void test_names_are_needed(void **state)
{
    (void)state;
    use_server(dns_script_plain);
    check_ready("not yet", false, "no name server has answered yet");
    running_until("answered", is_ready, NULL);
    check_number("by one question", server.udp_count, 1);
    let_go();
}

static void test_names_are_needed_in_vain(void **state)
{
    (void)state;
    use_server(dns_script_silent);
    running_until("failed", has_failed, NULL);
    check_ready("in vain", false, "names cannot be resolved: no name server answered");
    let_go();
}

static void test_all_goes_to_addresses(void **state)
{
    (void)state;
    static const struct config_route routes[] = {
        {.pattern = {"*", 1}, .host = {"192.0.2.1", 9}, .port = 25},
        {.pattern = {"a.example", 9}, .host = {"mail.example", 12}, .port = 25},
    };
    struct config *config = running.relay->config;
    config->routes = routes;
    config->route_count = 1;
    use_server(dns_script_silent);
    check_ready("at once", true, "");
    loop_for(200);
    check_ready("for good", true, "");
    check_number("nobody was asked", server.udp_count, 0);
    check_true("nothing is told", !has_failed(NULL));

    config->route_count = 2; /* as after a reload */
    check_ready("a name is to be found now", false, "no name server has answered yet");
    config->route_count = 0;
    let_go();
}

#define HEALTH_TEST(test) cmocka_unit_test_setup_teardown(test, running_setup, running_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HEALTH_TEST(test_names_are_needed),
        HEALTH_TEST(test_names_are_needed_in_vain),
        HEALTH_TEST(test_all_goes_to_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
