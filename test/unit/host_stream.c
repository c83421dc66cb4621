#include "test/unit/peer.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static struct peer_log client_log, server_log;
static struct peer_listener server;
static struct endpoint place;

static int open_loop(void **state)
{
    (void)state;
    memset(&client_log, 0, sizeof client_log);
    memset(&server_log, 0, sizeof server_log);
    memset(&server, 0, sizeof server);
    server.accepts = SIZE_MAX;
    loop_open();
    place = peer_listen(&server, &server_log);
    return 0;
}

static int close_loop(void **state)
{
    (void)state;
    peers_close();
    listener_close(&server.listener);
    loop_close();
    check_number("connections left", host_connection_count(), 0);
    return 0;
}

static struct peer *connect_peer(void)
{
    struct peer *peer = peer_new(&client_log);
    stream_connect(&peer->stream, &place, NULL);
    stream_read(&peer->stream, true);
    return peer;
}

static void test_both_ends_know_each_other(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    uint32_t uid, gid;
    check_number("not within the call", client_log.connected, 0);
    loop_until("accepted", &server.accepted, 1);
    loop_until("connected", &client_log.connected, 1);
    check_number("err", client_log.connect_err, ERR_NONE);
    struct endpoint client_local = stream_local(&client->stream), client_peer = stream_peer(&client->stream);
    struct endpoint server_local = stream_local(&server.last->stream), server_peer = stream_peer(&server.last->stream);
    check_true("its own", endpoint_equal(&client_local, &server_peer));
    check_true("the other's", endpoint_equal(&client_peer, &server_local));
    check_true("the listener's", endpoint_equal(&client_peer, &place));
    check_true("no user over TCP", !stream_peer_uid(&client->stream, &uid, &gid));
    peer_close(&client);
    loop_until("end", &server_log.ended, 1);
    check_number("by", server_log.end_err, ERR_END);
    peer_close(&server.last);
}

static void test_much_comes_back(void **state)
{
    (void)state;
    enum { LENGTH = 8000000 };
    server.model.echoes = true;
    struct peer *client = connect_peer();
    client->sends = LENGTH;
    loop_until("bytes", &client_log.bytes, LENGTH);
    check_true("to the server", !server_log.is_wrong);
    check_true("and back", !client_log.is_wrong);
    check_number("all", client_log.bytes, LENGTH);
    loop_until("drained", &client_log.drained, LENGTH / 100000);
    check_number("pending", stream_pending(&client->stream), 0);
    peer_close(&client);
    loop_until("end", &server_log.ended, 1);
    peer_close(&server.last);
}

/* Written before it is connected, in many pieces, and more than the kernel takes. */
static void test_writes_keep_their_order(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    size_t sent = 0;
    for (size_t i = 0; i < 3000; i++) {
        client->sends = i;
        peer_send(client);
        sent += i;
        if (i % 1000 == 999) {
            loop_for(1);
        }
    }
    check_true("nothing within the call", client_log.drained < 10);
    loop_until("bytes", &server_log.bytes, sent);
    check_true("in order", !server_log.is_wrong);
    loop_until("drained", &client_log.drained, 1);
    peer_close(&client);
    loop_until("end", &server_log.ended, 1);
    check_number("all", server_log.bytes, sent);
    peer_close(&server.last);
}

static void test_reading_is_off_at_first(void **state)
{
    (void)state;
    struct peer *client = peer_new(&client_log);
    server.model.sends = 1000;
    stream_connect(&client->stream, &place, NULL);
    loop_until("connected", &client_log.connected, 1);
    loop_for(20);
    check_number("nothing", client_log.bytes, 0);
    stream_read(&client->stream, true);
    loop_until("bytes", &client_log.bytes, 1000);
    stream_read(&client->stream, false);
    server.last->sends = 500;
    peer_send(server.last);
    loop_for(20);
    check_number("nothing again", client_log.bytes, 1000);
    stream_read(&client->stream, true);
    loop_until("the rest", &client_log.bytes, 1500);
    check_true("the pattern", !client_log.is_wrong);
    peer_close(&server.last);
    loop_until("end", &client_log.ended, 1);
    peer_close(&client);
}

/* Neither a refusal nor a wrong address calls back within the call, nor twice, and the struct is free afterwards. */
static void test_failures_to_connect(void **state)
{
    (void)state;
    struct endpoint closed = place, unknown = {0}, v6 = {.port = 25};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_storage address;
    closed.port = 0;
    socklen_t length = host_address(&closed, &address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, length), 0); /* bound, and nobody listens */
    closed = host_socket_local(fd);
    v6.ip.family = IP_V6;
    v6.ip.bytes[15] = 1;
    struct endpoint foreign = {.ip = {.family = IP_V4, .bytes = {192, 0, 2, 77}}};
    const struct {
        const char *name;
        const struct endpoint *peer, *source;
        enum err expected;
    } cases[] = {
        {"refused", &closed, NULL, ERR_REFUSED},
        {"no address", &unknown, NULL, ERR_UNSUPPORTED},
        {"a source of the other family", &v6, &place, ERR_UNREACHABLE},
        {"a source that is not ours", &place, &foreign, ERR_UNREACHABLE},
        {"no such socket", &(struct endpoint){.path = "/nonexistent/socket"}, NULL, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        memset(&client_log, 0, sizeof client_log);
        struct peer *client = peer_new(&client_log);
        stream_connect(&client->stream, cases[i].peer, cases[i].source);
        stream_write(&client->stream, SLICE("hello"));
        check_number(cases[i].name, client_log.connected, 0);
        loop_until(cases[i].name, &client_log.connected, 1);
        check_number(cases[i].name, client_log.connect_err, cases[i].expected);
        check_true(cases[i].name, !stream_is_open(&client->stream));
        peer_close(&client);
        loop_for(2);
        check_number(cases[i].name, client_log.calls, 1);
    }
    close(fd);
}

static void test_a_source_is_used(void **state)
{
    (void)state;
    struct endpoint source = {.ip = ip_v4((const uint8_t[4]){127, 0, 0, 9})};
    struct peer *client = peer_new(&client_log);
    stream_connect(&client->stream, &place, &source);
    loop_until("connected", &client_log.connected, 1);
    check_number("err", client_log.connect_err, ERR_NONE);
    loop_until("accepted", &server.accepted, 1);
    struct endpoint seen = stream_peer(&server.last->stream);
    check_true("address", ip_equal(&seen.ip, &source.ip));
    check_true("some port", seen.port != 0);
    peer_close(&client);
    peer_close(&server.last);
}

/* Each end closes in each of its callbacks, in both ways, with much under way. */
static void test_closing_in_every_callback(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2 * 5 * 5; i++) {
        memset(&client_log, 0, sizeof client_log);
        memset(&server_log, 0, sizeof server_log);
        server.model.closes_in = (enum peer_call)(i / 2 % 5);
        server.model.by_abort = i % 2 == 0;
        server.model.sends = 2000000;
        struct peer *client = connect_peer();
        client->closes_in = (enum peer_call)(i / 10);
        client->by_abort = i % 2 == 0;
        client->sends = 2000000;
        loop_until("connected", &client_log.connected, 1);
        loop_for(20);
        peers_close();
        check_number("told once that it is connected", client_log.connected, 1);
        check_true("told once of the end", client_log.ended <= 1 && server_log.ended <= 1);
        check_true("the pattern", !client_log.is_wrong && !server_log.is_wrong);
    }
}

static void test_an_abort_drops_what_is_pending(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    loop_until("accepted", &server.accepted, 1);
    loop_until("connected", &client_log.connected, 1);
    stream_read(&server.last->stream, false);
    client->by_abort = true;
    client->sends = 100000;
    for (size_t i = 0; i < 200; i++) {
        peer_send(client);
        client->sends = 100000;
    }
    loop_for(5);
    check_true("much is pending", stream_pending(&client->stream) > 5000000);
    check_number("nothing has drained", client_log.drained, 0);
    peer_close(&client);
    stream_read(&server.last->stream, true);
    loop_until("end", &server_log.ended, 1);
    check_true("not all arrived", server_log.bytes < 15000000);
    check_number("no call", client_log.calls, 1);
}

/* What was written before stream_close() arrives, though the owner is gone. */
static void test_a_close_brings_out_what_is_pending(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    loop_until("accepted", &server.accepted, 1);
    loop_until("connected", &client_log.connected, 1);
    stream_read(&server.last->stream, false);
    for (size_t i = 0; i < 100; i++) {
        client->sends = 100000;
        peer_send(client);
    }
    check_true("much is pending", stream_pending(&client->stream) > 0);
    peer_close(&client);
    stream_read(&server.last->stream, true);
    loop_until("end", &server_log.ended, 1);
    check_number("all", server_log.bytes, 10000000);
    check_true("the pattern", !server_log.is_wrong);
    check_number("the end is a clean one", server_log.end_err, ERR_END);
    check_number("no call", client_log.calls, 1);
}

/* A last reply reaches a peer that is still sending: the socket is not reset over it. */
static void test_a_last_reply_arrives(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    client->sends = 1000000;
    loop_until("accepted", &server.accepted, 1);
    stream_read(&server.last->stream, false);
    loop_for(10);
    stream_write(&server.last->stream, SLICE("421 too much\r\n"));
    peer_close(&server.last);
    loop_until("end", &client_log.ended, 1);
    check_number("end", client_log.end_err, ERR_END);
    check_slice("reply", slice_make(client_log.first, client_log.bytes), SLICE("421 too much\r\n"));
    peer_close(&client);
}

/* One that never takes its bytes is given up after a while. */
static void test_a_close_does_not_wait_for_ever(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    loop_until("accepted", &server.accepted, 1);
    loop_until("connected", &client_log.connected, 1);
    stream_read(&server.last->stream, false);
    for (size_t i = 0; i < 100; i++) {
        client->sends = 100000;
        peer_send(client);
    }
    int64_t start_ms = clock_monotonic_ms();
    peer_close(&client);
    while (host_connection_count() > 1 && clock_monotonic_ms() < start_ms + 10000) {
        loop_for(50);
    }
    check_number("gone", host_connection_count(), 1);
    check_true("not at once", clock_monotonic_ms() - start_ms >= 4900);
    peer_close(&server.last);
}

/* A peer that goes on sending to a closed stream for ever is cut off. */
static void test_a_close_takes_only_so_much(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    client->sends = 50000000;
    loop_until("accepted", &server.accepted, 1);
    peer_close(&server.last);
    loop_until("end", &client_log.ended, 1);
    check_true("not all was taken", client->sent < 50000000);
    peer_close(&client);
}

/* The peer says why, then breaks off while we write: what it said comes before the error. */
static void test_a_reply_before_a_reset_is_read(void **state)
{
    (void)state;
    struct peer *client = connect_peer();
    loop_until("accepted", &server.accepted, 1);
    loop_until("connected", &client_log.connected, 1);
    stream_read(&client->stream, false);
    stream_read(&server.last->stream, false);
    client->sends = 1000;
    peer_send(client);
    loop_for(10);
    stream_write(&server.last->stream, SLICE("554 go away\r\n"));
    server.last->by_abort = true;
    peer_close(&server.last); /* with unread bytes: a reset */
    loop_for(10);
    stream_read(&client->stream, true);
    for (size_t i = 0; i < 10 && client_log.ended == 0; i++) {
        stream_write(&client->stream, SLICE("more"));
        loop_for(2);
    }
    loop_until("end", &client_log.ended, 1);
    check_slice("reply", slice_make(client_log.first, client_log.bytes), SLICE("554 go away\r\n"));
    check_number("end", client_log.end_err, ERR_RESET);
    check_true("failed", !stream_is_open(&client->stream));
    loop_for(5);
    check_number("told once", client_log.ended, 1);
    size_t drained = client_log.drained;
    stream_write(&client->stream, SLICE("in vain"));
    check_number("nothing is kept", stream_pending(&client->stream), 0);
    loop_until("who waits is not left waiting", &client_log.drained, drained + 1);
    peer_close(&client);
}

/* After the peer has shut its side, ours still works. */
static void test_half_closed(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    socklen_t length = host_address(&place, &address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, length), 0);
    assert_int_equal(write(fd, "x", 1), 1);
    shutdown(fd, SHUT_WR);
    loop_until("end", &server_log.ended, 1);
    check_number("end", server_log.end_err, ERR_END);
    check_true("still open", stream_is_open(&server.last->stream));
    stream_read(&server.last->stream, true);
    stream_write(&server.last->stream, SLICE("bye"));
    loop_until("drained", &server_log.drained, 1);
    peer_close(&server.last);
    loop_for(5);
    char bytes[8] = "";
    assert_int_equal(read(fd, bytes, sizeof bytes), 3);
    assert_int_equal(read(fd, bytes, sizeof bytes), 0);
    check_number("told once", server_log.ended, 1);
    close(fd);
}

/* Without a descriptor a connection fails as any other, and a listener lives through it. */
static void test_no_descriptor_is_left(void **state)
{
    (void)state;
    struct rlimit before, none;
    int clients[3];
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM, 0);
    }
    int next = dup(0);
    close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = (rlim_t)next, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct peer *client = connect_peer();
    loop_until("told", &client_log.connected, 1);
    check_number("err", client_log.connect_err, ERR_LIMIT);
    peer_close(&client);
    struct sockaddr_storage address;
    socklen_t length = host_address(&place, &address);
    assert_int_equal(connect(clients[0], (struct sockaddr *)&address, length), 0);
    loop_for(20);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(connect(clients[1], (struct sockaddr *)&address, length), 0);
    loop_until("accepted", &server.accepted, 1);
    for (size_t i = 0; i < COUNT_OF(clients); i++) {
        close(clients[i]);
    }
}

/* Hundreds of streams, each closed at a moment of its own. */
static void test_churn(void **state)
{
    (void)state;
    for (size_t round = 0; round < 40; round++) {
        for (size_t i = 0; i < 25; i++) {
            server.model.closes_in = (enum peer_call)dice_below(5);
            server.model.by_abort = dice_below(2) == 0;
            server.model.echoes = dice_below(2) == 0;
            server.model.sends = (size_t)dice_below(400000);
            struct peer *client = connect_peer();
            client->closes_in = (enum peer_call)dice_below(5);
            client->by_abort = dice_below(2) == 0;
            client->sends = (size_t)dice_below(400000);
            if (dice_below(8) == 0) {
                peer_close(&client);
            }
        }
        loop_for(1 + (int64_t)dice_below(5));
        for (size_t i = (size_t)dice_below(20); i > 0 && !list_is_empty(&peers_alive); i--) {
            struct peer *peer = LIST_OF(list_first(&peers_alive), struct peer, node);
            peer_close(&peer);
        }
    }
    peers_close();
    check_true("some were accepted before they were closed", server.accepted > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_ends_know_each_other, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_much_comes_back, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_writes_keep_their_order, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_reading_is_off_at_first, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_failures_to_connect, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_source_is_used, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_closing_in_every_callback, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_an_abort_drops_what_is_pending, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_close_brings_out_what_is_pending, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_last_reply_arrives, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_close_does_not_wait_for_ever, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_close_takes_only_so_much, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_a_reply_before_a_reset_is_read, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_half_closed, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_no_descriptor_is_left, open_loop, close_loop),
        cmocka_unit_test_setup_teardown(test_churn, open_loop, close_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
