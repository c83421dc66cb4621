/* Doors over a reload: what the new configuration says is what is open, also where the old one is in the way. */
#include "test/unit/running.h"

#include "relay/http.h"
#include "relay/intake_internal.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

static uint16_t port;

static struct sockaddr_in address_of(const char *text, uint16_t number)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(number)};
    assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
    return address;
}

/* One that nobody has at any address. */
static void find_port(void)
{
    struct sockaddr_in address = address_of("0.0.0.0", 0);
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length), 0);
    port = ntohs(address.sin_port);
    close(fd);
}

static bool answers(const char *text)
{
    struct sockaddr_in address = address_of(text, port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool is_open = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_open;
}

static const struct {
    const char *name, *endpoint;
    enum config_door kind;
    bool elsewhere; /* 127.0.0.2 is let in too */
} steps[] = {
    {"one address", "127.0.0.1", CONFIG_SMTP, false},
    {"all addresses", "0.0.0.0", CONFIG_SMTP, true},
    {"the same", "0.0.0.0", CONFIG_SMTP, true},
    {"one address again", "127.0.0.1", CONFIG_SMTP, false},
    {"another kind", "127.0.0.1", CONFIG_SUBMISSION, false},
    {"all, and another kind", "0.0.0.0", CONFIG_SMTP, true},
    {"one, and another kind", "127.0.0.1", CONFIG_SUBMISSION, false},
};

static void test_doors_of_mail(void **state)
{
    (void)state;
    find_port();
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        static struct config_listen listen;
        struct buffer fault;
        buffer_init(&fault, 4096);
        listen = (struct config_listen){.door = steps[i].kind, .endpoint = {.port = port}, .fd_name = SLICE_EMPTY};
        assert_true(ip_parse(slice_of(steps[i].endpoint), &listen.endpoint.ip));
        running.relay->config->listen = &listen;
        running.relay->config->listen_count = 1;
        check_number(steps[i].name, intake_reload(running.relay->intake, &fault), ERR_NONE);
        check_slice(steps[i].name, buffer_slice(&fault), SLICE_EMPTY);
        check_number(steps[i].name, running.relay->intake->doors.count, 1);
        const struct door *door = LIST_OF(list_first(&running.relay->intake->doors), struct door, node);
        check_number(steps[i].name, door->kind, steps[i].kind);
        check_true(steps[i].name, answers("127.0.0.1") && answers("127.0.0.2") == steps[i].elsewhere);
        buffer_free(&fault);
        loop_for(1);
    }
}

static void test_doors_of_health(void **state)
{
    struct http *http = http_new(running.relay);
    (void)state;
    find_port();
    assert_non_null(http);
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        static struct endpoint endpoint;
        struct buffer fault;
        buffer_init(&fault, 4096);
        endpoint = (struct endpoint){.port = port};
        assert_true(ip_parse(slice_of(steps[i].endpoint), &endpoint.ip));
        running.relay->config->http_listen = (struct config_endpoints){.items = &endpoint, .count = 1};
        check_number(steps[i].name, http_open(http, &fault), ERR_NONE);
        check_true(steps[i].name, answers("127.0.0.1") && answers("127.0.0.2") == steps[i].elsewhere);
        buffer_free(&fault);
        loop_for(1);
    }
    http_free(&http);
}

/* What is in the way and wanted stays, and what another program has is told. */
static void test_a_place_of_others(void **state)
{
    static struct config_listen doors[2];
    struct buffer fault;
    (void)state;
    find_port();
    struct sockaddr_in address = address_of("127.0.0.1", port);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 1), 0);
    buffer_init(&fault, 4096);
    for (size_t i = 0; i < 2; i++)
        doors[i] = (struct config_listen){.endpoint = {.port = port}, .fd_name = SLICE_EMPTY};
    assert_true(ip_parse(SLICE("127.0.0.2"), &doors[0].endpoint.ip) && ip_parse(SLICE("127.0.0.1"), &doors[1].endpoint.ip));
    running.relay->config->listen = doors;
    running.relay->config->listen_count = 2;
    check_number("in use", intake_reload(running.relay->intake, &fault), ERR_IN_USE);
    check_true("told", slice_find_slice(buffer_slice(&fault), SLICE("in use by another program")) < buffer_length(&fault));
    check_number("the first stays", running.relay->intake->doors.count, 1);
    close(fd);
    buffer_free(&fault);
}

int main(void)
{
    folder_use_memory();
    static const struct CMUnitTest tests[] = {
        RUNNING_TEST(test_doors_of_mail),
        RUNNING_TEST(test_doors_of_health),
        RUNNING_TEST(test_a_place_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
