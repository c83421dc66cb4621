/* Channels over real sockets and real TLS: what is written arrives, an owner may vanish in any call and at any moment,
 * and what is no good TLS ends. Owners that do not read: host_channel_rest.c. */
#include "test/unit/ends.h"

/* ---- talking ---- */

static void test_both_ways(void **state)
{
    enum { LENGTH = 3000000 };
    BOTH_KINDS(with_tls)
    {
        const char *name = kind_of(with_tls);
        connect_ends(with_tls);
        client->sends = LENGTH;
        server_model.sends = LENGTH;
        loop_until(name, &server_log.bytes, LENGTH);
        loop_until(name, &client_log.bytes, LENGTH);
        check_true(name, !server_log.is_wrong && !client_log.is_wrong);
        check_number(name, client_log.calls[CALL_SECURED], with_tls);
        check_number(name, server_log.calls[CALL_SECURED], with_tls);
        check_true(name, channel_is_secured(&client->channel) == (bool)with_tls);
        check_true(name, (channel_verdict(&client->channel) != NULL) == (bool)with_tls);
        loop_until(name, &client_log.calls[CALL_WRITABLE], LENGTH / 50000);
        check_number(name, channel_pending(&client->channel), 0);
        end_close(client);
        loop_until(name, &server_log.calls[CALL_ENDED], 1);
        check_number(name, server_log.ended, ERR_END);
        check_number(name, server_log.bytes, LENGTH);
    }
}

/* What was written when the owner closes arrives all the same, and then the end, as an end. */
static void test_what_was_written_arrives_after_a_close(void **state)
{
    enum { LENGTH = 2000000 };
    BOTH_KINDS(with_tls)
    {
        const char *name = kind_of(with_tls);
        connect_ends(with_tls);
        wait_open(with_tls);
        client->sends = LENGTH;
        while (client->sends > 0)
            send_more(client);
        end_close(client);
        loop_until(name, &server_log.calls[CALL_ENDED], 1);
        check_number(name, server_log.ended, ERR_END);
        check_number(name, server_log.bytes, LENGTH);
        check_true(name, !server_log.is_wrong && !server_log.is_late);
    }
}

static void test_connecting_fails(void **state)
{
    (void)state;
    struct endpoint place = listener_local(&listener);
    listener_close(&listener);
    client = end_new(&client_log);
    client->closes_in = CALL_CONNECTED;
    assert_int_equal(channel_connect(&client->channel, &place, NULL), ERR_NONE);
    assert_int_equal(client_log.calls[CALL_CONNECTED], 0);
    loop_until("refused", &client_log.calls[CALL_CONNECTED], 1);
    assert_int_equal(client_log.connected, ERR_REFUSED);
}

/* ---- an owner that vanishes ---- */

static const struct {
    bool with_tls, is_server;
    enum call call;
} vanishings[] = {
    {false, false, CALL_CONNECTED}, {false, false, CALL_READABLE}, {false, false, CALL_WRITABLE},
    {false, false, CALL_ENDED},     {false, true, CALL_READABLE},  {false, true, CALL_WRITABLE},
    {false, true, CALL_ENDED},      {true, false, CALL_CONNECTED}, {true, false, CALL_SECURED},
    {true, false, CALL_READABLE},   {true, false, CALL_WRITABLE},  {true, false, CALL_ENDED},
    {true, true, CALL_SECURED},     {true, true, CALL_READABLE},   {true, true, CALL_WRITABLE},
    {true, true, CALL_ENDED},
};

/* One end closes in one of its calls; the other learns of it. */
static void vanish(const char *name, size_t row, bool by_abort)
{
    struct end_log *gone = vanishings[row].is_server ? &server_log : &client_log;
    struct end_log *left = vanishings[row].is_server ? &client_log : &server_log;
    connect_ends(vanishings[row].with_tls);
    struct end *who = vanishings[row].is_server ? &server_model : client;
    who->closes_in = vanishings[row].call;
    who->by_abort = by_abort;
    client->sends = 120000;
    server_model.sends = 120000;
    if (vanishings[row].call == CALL_ENDED) {
        wait_open(vanishings[row].with_tls);
        end_close(vanishings[row].is_server ? client : server);
        left = NULL;
    }
    loop_until(name, &gone->calls[vanishings[row].call], 1);
    size_t calls = gone->calls[vanishings[row].call];
    check_true(name, (vanishings[row].is_server ? server : client) == NULL);
    if (left != NULL)
        loop_until(name, &left->calls[CALL_ENDED], 1);
    loop_for(5);
    check_number(name, calls, 1);
    check_number(name, gone->calls[vanishings[row].call], 1);
    if (left != NULL)
        check_number(name, left->calls[CALL_ENDED], 1);
}

static void test_an_owner_vanishes_in_a_call(void **state)
{
    for (size_t i = 0; i < COUNT_OF(vanishings); i++) {
        for (int by_abort = 0; by_abort < 2; by_abort++) {
            char name[100];
            snprintf(name, sizeof name, "%s, %s, in %s, %s", kind_of(vanishings[i].with_tls),
                     vanishings[i].is_server ? "server" : "client", call_names[vanishings[i].call],
                     by_abort ? "abort" : "close");
            vanish(name, i, by_abort);
            close_loop(state);
            open_loop(state);
        }
    }
}

/* After so many turns of the loop, so also while a job has the session. */
static void vanish_after(size_t turns, bool is_server, bool by_abort)
{
    connect_ends(true);
    client->sends = server_model.sends = 100000;
    for (size_t i = 0; i < turns; i++)
        uv_run(host_loop(), UV_RUN_NOWAIT);
    struct end *who = is_server ? server : client;
    struct end_log *left = is_server ? &client_log : &server_log;
    if (who == NULL)
        return;
    who->by_abort = by_abort;
    end_close(who);
    if ((is_server ? client : server) != NULL || !is_server)
        loop_for(2);
    struct end *other = is_server ? client : server;
    if (other != NULL && !by_abort)
        loop_until("the other's end", &left->calls[CALL_ENDED], 1);
    assert_true(left->calls[CALL_ENDED] <= 1);
}

static void test_an_owner_vanishes_at_any_moment(void **state)
{
    for (size_t turns = 0; turns < 60; turns++) {
        for (int kind = 0; kind < 4; kind++) {
            vanish_after(turns * turns / 20, kind & 1, kind & 2);
            close_loop(state);
            open_loop(state);
        }
    }
}

/* ---- what is no good TLS ---- */

static void test_what_came_before_tls_is_injected(void **state)
{
    (void)state;
    server_model.is_lazy = true;
    connect_ends(false);
    wait_open(false);
    client->sends = 6;
    send_more(client);
    loop_until("bytes", &server_log.calls[CALL_READABLE], 1);
    struct tls_session *session = tls_session_server(context);
    assert_false(channel_secure(&server->channel, &session));
    assert_null(session);
    assert_null(channel_verdict(&server->channel));
}

static void test_starttls(void **state)
{
    (void)state;
    connect_ends(false);
    wait_open(false);
    server->sends = 100;
    send_more(server); /* as a 220: leaves in plaintext, before the handshake */
    struct tls_session *session = tls_session_server(context);
    assert_true(channel_secure(&server->channel, &session));
    loop_until("the reply", &client_log.bytes, 100);
    session = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    assert_true(channel_secure(&client->channel, &session));
    client->sends = 1000;
    send_more(client); /* before it is secured: leaves after that */
    loop_until("the client", &client_log.calls[CALL_SECURED], 1);
    loop_until("bytes", &server_log.bytes, 1000);
    assert_true(client_log.is_secured && server_log.is_secured && !server_log.is_wrong);
    assert_true(channel_verdict(&client->channel)->verified);
}

static void test_a_certificate_for_another_name(void **state)
{
    (void)state;
    connect_ends(true);
    tls_session_free(&client->tls);
    client->tls = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.net"), NULL);
    client->closes_in = CALL_SECURED;
    server_model.closes_in = CALL_SECURED;
    loop_until("client", &client_log.calls[CALL_SECURED], 1);
    loop_until("server", &server_log.calls[CALL_SECURED], 1);
    assert_false(client_log.is_secured);
    assert_int_equal(client_log.failure, TLS_FAILURE_HOST_MISMATCH);
    assert_int_equal(client_log.calls[CALL_READABLE] + server_log.calls[CALL_READABLE], 0);
}

static const struct {
    const char *name;
    bool is_secured; /* it happens after the handshake */
    bool by_abort;
    enum err ended;
} cuts[] = {
    {"cut after the handshake", true, false, ERR_RESET},
    {"reset after the handshake", true, true, ERR_RESET},
    {"cut before it", false, false, ERR_RESET},
};

/* The stream ends without a close_notify: never a good end, the owner must know that something may be missing. */
static void test_a_truncated_stream(void **state)
{
    for (size_t i = 0; i < COUNT_OF(cuts); i++) {
        connect_ends(cuts[i].is_secured);
        wait_open(cuts[i].is_secured);
        if (!cuts[i].is_secured) {
            struct tls_session *session = tls_session_server(context);
            assert_true(channel_secure(&server->channel, &session));
        }
        if (cuts[i].by_abort)
            stream_abort(channel_stream(&client->channel));
        else
            stream_close(channel_stream(&client->channel));
        loop_until(cuts[i].name, &server_log.calls[CALL_ENDED], 1);
        check_number(cuts[i].name, server_log.ended, cuts[i].ended);
        check_number(cuts[i].name, server_log.calls[CALL_SECURED], 1);
        check_true(cuts[i].name, server_log.is_secured == cuts[i].is_secured);
        client->by_abort = true;
        close_loop(state);
        open_loop(state);
    }
}

static void test_garbage_instead_of_a_handshake(void **state)
{
    (void)state;
    connect_ends(false);
    wait_open(false);
    struct tls_session *session = tls_session_server(context);
    assert_true(channel_secure(&server->channel, &session));
    client->sends = 5000;
    send_more(client);
    loop_until("server", &server_log.calls[CALL_SECURED], 1);
    assert_false(server_log.is_secured);
    assert_int_equal(server_log.calls[CALL_READABLE], 0);
    loop_until("its end", &server_log.calls[CALL_ENDED], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_both_ways),
        CHANNEL_TEST(test_what_was_written_arrives_after_a_close),
        CHANNEL_TEST(test_connecting_fails),
        CHANNEL_TEST(test_an_owner_vanishes_in_a_call),
        CHANNEL_TEST(test_an_owner_vanishes_at_any_moment),
        CHANNEL_TEST(test_what_came_before_tls_is_injected),
        CHANNEL_TEST(test_starttls),
        CHANNEL_TEST(test_a_certificate_for_another_name),
        CHANNEL_TEST(test_a_truncated_stream),
        CHANNEL_TEST(test_garbage_instead_of_a_handshake),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
