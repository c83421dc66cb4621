#include "test/unit/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static struct peer_log client_log, server_log;
static struct peer_listener server;
static char folder[64], path[108];

static int open_loop(void **state)
{
    (void)state;
    memset(&client_log, 0, sizeof client_log);
    memset(&server_log, 0, sizeof server_log);
    memset(&server, 0, sizeof server);
    server.accepts = SIZE_MAX;
    server.listener.incoming = peer_incoming;
    server.model.log = &server_log;
    memcpy(folder, "/tmp/sternpost-listener-XXXXXX", sizeof "/tmp/sternpost-listener-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    loop_open();
    return 0;
}

static int close_loop(void **state)
{
    (void)state;
    peers_close();
    listener_close(&server.listener);
    loop_close();
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static struct listener_options unix_options(unsigned mode)
{
    struct listener_options options = {.fd = -1, .mode = mode};
    memcpy(options.endpoint.path, path, sizeof path);
    return options;
}

/* A client by plain system calls: the kernel queues it though nobody accepts. */
static int connect_plainly(const struct endpoint *place)
{
    struct sockaddr_storage address;
    socklen_t length = host_address(place, &address);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
    return fd;
}

static unsigned mode_of(const char *file)
{
    struct stat status;
    assert_int_equal(lstat(file, &status), 0);
    assert_true(S_ISSOCK(status.st_mode));
    return status.st_mode & 0777;
}

/* What is not accepted waits, and no further call comes until listener_resume(). */
static void test_not_accepting_is_back_pressure(void **state)
{
    (void)state;
    int clients[6];
    server.accepts = 2;
    struct endpoint place = peer_listen(&server, &server_log);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        clients[i] = connect_plainly(&place);
    }
    loop_until("offers", &server.offered, 3);
    loop_for(20);
    check_number("offered", server.offered, 3);
    check_number("accepted", server.accepted, 2);
    listener_resume(&server.listener);
    check_number("not within the call", server.offered, 3);
    loop_until("the same again", &server.offered, 4);
    loop_for(10);
    check_number("declined again", server.offered, 4);
    server.accepts = SIZE_MAX;
    listener_resume(&server.listener);
    listener_resume(&server.listener);
    loop_until("all", &server.accepted, COUNT_OF(clients));
    loop_for(10);
    check_number("no more", server.accepted, COUNT_OF(clients));
    listener_resume(&server.listener); /* nothing waits */
    loop_for(5);
    check_number("offered in all", server.offered, 5 + COUNT_OF(clients) - 3);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        close(clients[i]);
    }
}

static void test_resuming_within_the_offer(void **state)
{
    (void)state;
    struct stream none = {.received = peer_received};
    struct endpoint place = peer_listen(&server, &server_log);
    assert_int_equal(stream_accept(&server.listener, &none), ERR_NOT_FOUND);
    server.accepts = 0;
    int client = connect_plainly(&place);
    loop_until("offer", &server.offered, 1);
    server.accepts = 1;
    listener_resume(&server.listener);
    loop_until("accepted", &server.accepted, 1);
    close(client);
}

/* With as many connections as there may be, new ones wait in the kernel until one is closed. */
static void test_the_limit_of_connections_holds(void **state)
{
    (void)state;
    int clients[8];
    size_t before = host_connection_max();
    check_true("some", before >= 256);
    host_connection_max_set(3);
    struct endpoint place = peer_listen(&server, &server_log);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        clients[i] = connect_plainly(&place);
    }
    loop_until("three", &server.accepted, 3);
    loop_for(20);
    check_number("not more", server.accepted, 3);
    check_number("nor offered", server.offered, 3);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        loop_until("next", &server.accepted, 3 + i < COUNT_OF(clients) ? 3 + i : COUNT_OF(clients));
        struct peer *peer = LIST_OF(list_first(&peers_alive), struct peer, node);
        peer->by_abort = true;
        peer_close(&peer);
        assert_true(host_connection_count() <= 3);
    }
    check_number("all", server.accepted, COUNT_OF(clients));
    host_connection_max_set(before);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        close(clients[i]);
    }
}

static void close_in_offer(struct listener *listener)
{
    struct peer_listener *peers = LIST_OF(listener, struct peer_listener, listener);
    peers->offered++;
    listener_close(listener);
    memset(listener, 0, sizeof *listener);
}

static void test_closing_within_the_offer(void **state)
{
    (void)state;
    struct listener_options options = {.fd = -1};
    options.endpoint.ip = ip_v4((const uint8_t[4]){127, 0, 0, 1});
    server.listener.incoming = close_in_offer;
    assert_int_equal(listener_open(&server.listener, &options), ERR_NONE);
    struct endpoint place = listener_local(&server.listener);
    int first = connect_plainly(&place), second = connect_plainly(&place);
    loop_until("offer", &server.offered, 1);
    loop_for(10);
    check_number("no other", server.offered, 1);
    close(first);
    close(second);
}

static void test_faults_are_told(void **state)
{
    (void)state;
    struct listener other = {.incoming = peer_incoming};
    struct endpoint place = peer_listen(&server, &server_log);
    struct listener_options in_use = {.fd = -1, .endpoint = place}, nowhere = {.fd = -1}, foreign = in_use;
    assert_int_equal(listener_open(&other, &in_use), ERR_IN_USE);
    assert_int_equal(listener_open(&other, &nowhere), ERR_SYNTAX);
    foreign.endpoint.ip.bytes[0] = 192;
    foreign.endpoint.ip.bytes[1] = 0;
    foreign.endpoint.ip.bytes[2] = 2;
    assert_int_equal(listener_open(&other, &foreign), ERR_UNREACHABLE);
    struct listener_options datagram = {.fd = socket(AF_INET, SOCK_DGRAM, 0)};
    assert_int_equal(listener_open(&other, &datagram), ERR_UNSUPPORTED);
    assert_int_equal(fcntl(datagram.fd, F_GETFD), -1);
    struct listener_options no_folder = {.fd = -1, .mode = 0600, .endpoint.path = "/nonexistent/socket"};
    assert_int_equal(listener_open(&other, &no_folder), ERR_NOT_FOUND);
    assert_null(other.host);
    listener_close(&other);
}

/* After a restart the port is free again though old connections linger. */
static void test_a_port_can_be_taken_again(void **state)
{
    (void)state;
    struct endpoint place = peer_listen(&server, &server_log);
    int client = connect_plainly(&place);
    loop_until("accepted", &server.accepted, 1);
    server.last->by_abort = true;
    peer_close(&server.last); /* our side closes first, so its port waits */
    char byte;
    assert_int_equal(read(client, &byte, 1), 0);
    close(client);
    listener_close(&server.listener);
    struct listener_options again = {.fd = -1, .endpoint = place};
    assert_int_equal(listener_open(&server.listener, &again), ERR_NONE);
}

static void test_the_wildcards_are_two(void **state)
{
    (void)state;
    struct listener v4 = {.incoming = peer_incoming};
    struct listener_options options = {.fd = -1};
    options.endpoint.ip.family = IP_V6;
    enum err err = listener_open(&server.listener, &options);
    if (err == ERR_UNSUPPORTED || err == ERR_UNREACHABLE) {
        skip(); /* no IPv6 here */
    }
    assert_int_equal(err, ERR_NONE);
    options.endpoint.port = listener_local(&server.listener).port;
    options.endpoint.ip = ip_v4((const uint8_t[4]){0, 0, 0, 0});
    assert_int_equal(listener_open(&v4, &options), ERR_NONE);
    listener_close(&v4);
}

static void test_unix_sockets(void **state)
{
    (void)state;
    static const unsigned modes[] = {0600, 0660, 0666};
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        struct listener_options options = unix_options(modes[i]);
        mode_t mask = umask(i == 0 ? 0 : 077);
        assert_int_equal(listener_open(&server.listener, &options), ERR_NONE);
        umask(mask);
        check_number("mode", mode_of(path), modes[i]);
        struct endpoint local = listener_local(&server.listener);
        check_slice("path", slice_of(local.path), slice_of(path));
        listener_close(&server.listener);
        assert_int_equal(access(path, F_OK), -1); /* it takes its file away */
    }
    struct listener_options options = unix_options(0600);
    assert_int_equal(listener_open(&server.listener, &options), ERR_NONE);
    struct peer *client = peer_new(&client_log);
    client->sends = 3000000;
    stream_connect(&client->stream, &options.endpoint, NULL);
    loop_until("bytes", &server_log.bytes, 3000000);
    check_true("the pattern", !server_log.is_wrong);
    uint32_t uid = 12345, gid = 12345;
    check_true("the user is known", stream_peer_uid(&server.last->stream, &uid, &gid));
    check_number("uid", uid, getuid());
    check_number("gid", gid, getgid());
    struct endpoint seen = stream_peer(&client->stream);
    check_slice("peer", slice_of(seen.path), slice_of(path));
    seen = stream_peer(&server.last->stream);
    check_number("unnamed", seen.path[0], 0);
    check_number("no address", seen.ip.family, IP_NONE);
}

static void test_abandoned_sockets_are_replaced(void **state)
{
    (void)state;
    struct listener other = {.incoming = peer_incoming};
    struct listener_options options = unix_options(0600);
    struct sockaddr_storage address;
    socklen_t length = host_address(&options.endpoint, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0);
    close(fd);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(listener_open(&server.listener, &options), ERR_NONE);
    assert_int_equal(listener_open(&other, &options), ERR_IN_USE);
    assert_int_equal(access(path, F_OK), 0);
    /* Another one has taken the place meanwhile: it is not ours to remove. */
    unlink(path);
    assert_int_equal(listener_open(&other, &options), ERR_NONE);
    listener_close(&server.listener);
    assert_int_equal(access(path, F_OK), 0);
    listener_close(&other);
    assert_int_equal(access(path, F_OK), -1);
    /* A file is never removed. */
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(listener_open(&other, &options), ERR_IN_USE);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_sockets_that_are_bound_already(void **state)
{
    (void)state;
    static const bool listens[] = {false, true};
    for (size_t i = 0; i < 2 * COUNT_OF(listens); i++) {
        struct endpoint place = {.ip = ip_v4((const uint8_t[4]){127, 0, 0, 1})};
        if (i >= COUNT_OF(listens)) {
            place = unix_options(0).endpoint;
        }
        struct sockaddr_storage address;
        socklen_t length = host_address(&place, &address);
        struct listener_options options = {.fd = socket(address.ss_family, SOCK_STREAM, 0)};
        unlink(path);
        assert_int_equal(bind(options.fd, (struct sockaddr *)&address, length), 0);
        if (listens[i % COUNT_OF(listens)]) {
            assert_int_equal(listen(options.fd, 5), 0);
        }
        assert_int_equal(listener_open(&server.listener, &options), ERR_NONE);
        check_number("not for child processes", fcntl(options.fd, F_GETFD), FD_CLOEXEC);
        place = listener_local(&server.listener);
        int client = connect_plainly(&place);
        loop_until("accepted", &server.accepted, i + 1);
        close(client);
        peers_close();
        listener_close(&server.listener);
    }
    assert_int_equal(access(path, F_OK), 0); /* who made the file takes it away */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_not_accepting_is_back_pressure, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_resuming_within_the_offer, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_the_limit_of_connections_holds, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_closing_within_the_offer, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_faults_are_told, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_port_can_be_taken_again, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_the_wildcards_are_two, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_unix_sockets, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_abandoned_sockets_are_replaced, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_sockets_that_are_bound_already, open_loop, close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
