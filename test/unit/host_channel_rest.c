/* Channels whose owner does not read: the peer is stopped, memory is bounded, and nothing is lost, late or stuck when
 * the owner goes on, whichever buffer it was in. */
#include "test/unit/ends.h"

static void test_a_lazy_owner_stops_the_peer(void **state)
{
    enum { LENGTH = 20000000 };
    BOTH_KINDS(with_tls)
    {
        const char *name = kind_of(with_tls);
        server_model.is_lazy = true;
        connect_ends(with_tls);
        wait_open(with_tls);
        client->sends = LENGTH;
        while (client->sends > 0)
            send_more(client);
        loop_until(name, &server_log.calls[CALL_READABLE], 1);
        loop_for(100);
        check_true(name, channel_input(&server->channel).length >= READ_MAX);
        check_true(name, channel_input(&server->channel).length <= INPUT_MAX + READ_MAX);
        check_true(name, channel_pending(&client->channel) > 0);
        server->is_lazy = false;
        take(server);
        loop_until(name, &server_log.bytes, LENGTH);
        check_true(name, !server_log.is_wrong);
        check_true(name, server_log.input_most <= INPUT_MAX + READ_MAX);
        loop_until(name, &client_log.calls[CALL_WRITABLE], 1);
    }
}

/* What the owner leaves unread is in the channel's and the session's own buffers, and no further byte comes from
 * outside: when the owner makes room it arrives all the same. */
static void check_rest(const char *name, size_t length, size_t piece)
{
    server_model.is_lazy = true;
    connect_ends(true);
    wait_open(true);
    client->sends = length;
    client->piece = piece;
    while (client->sends > 0)
        send_more(client);
    loop_until(name, &server_log.calls[CALL_READABLE], 1);
    loop_for(10);
    server->is_lazy = false;
    take(server);
    loop_until(name, &server_log.bytes, length);
    check_number(name, server_log.bytes, length);
    check_true(name, !server_log.is_wrong);
}

static void test_the_rest_comes_without_another_byte(void **state)
{
    for (size_t length = 100000; length < 400000; length += 20000) {
        char name[64];
        snprintf(name, sizeof name, "%zu bytes", length);
        check_rest(name, length, 5000);
        close_loop(state);
        open_loop(state);
    }
}

/* A client whose ciphertext the test sends in pieces as it likes. */
struct raw {
    struct stream stream;
    struct tls_session *tls;
    size_t connected;
};

static void raw_send(struct raw *raw)
{
    struct slice wire = tls_session_wire(raw->tls);
    stream_write(&raw->stream, wire);
    tls_session_wired(raw->tls, wire.length);
}

static void raw_connected(struct stream *stream, enum err err)
{
    struct raw *raw = LIST_OF(stream, struct raw, stream);
    assert_int_equal(err, ERR_NONE);
    raw->connected++;
    stream_read(stream, true);
    tls_session_work(raw->tls);
    raw_send(raw);
}

static void raw_received(struct stream *stream, struct slice bytes)
{
    struct raw *raw = LIST_OF(stream, struct raw, stream);
    tls_session_feed(raw->tls, bytes);
    tls_session_work(raw->tls);
    raw_send(raw);
}

static void raw_drained(struct stream *stream)
{
    (void)stream;
}

static void raw_ended(struct stream *stream, enum err err)
{
    (void)stream;
    (void)err;
}

static void raw_open(struct raw *raw)
{
    struct endpoint place = listener_local(&listener);
    *raw = (struct raw){.tls = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), NULL)};
    raw->stream.connected = raw_connected;
    raw->stream.received = raw_received;
    raw->stream.drained = raw_drained;
    raw->stream.ended = raw_ended;
    server_model.tls = tls_session_server(context);
    server_model.is_lazy = true;
    stream_connect(&raw->stream, &place, NULL);
    loop_until("secured", &server_log.calls[CALL_SECURED], 1);
    assert_true(server_log.is_secured);
}

/* The ciphertext of so many bytes of the pattern, as a record. */
static void raw_encrypt(struct raw *raw, size_t *sent, size_t length, struct buffer *out)
{
    char bytes[8192];
    assert_true(length <= sizeof bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = pattern(*sent + i);
    *sent += length;
    assert_int_equal(tls_session_write(raw->tls, slice_make(bytes, length)), length);
    tls_session_work(raw->tls);
    buffer_add(out, tls_session_wire(raw->tls));
    tls_session_wired(raw->tls, tls_session_wire(raw->tls).length);
}

/* Sends, and lets the server read what it will: nothing tells when it has read what makes no whole record. */
static void raw_write(struct raw *raw, struct slice bytes)
{
    stream_write(&raw->stream, bytes);
    for (size_t turns = 0; turns < 1000 && stream_pending(&raw->stream) > 0; turns++)
        loop_for(1);
    loop_for(20);
}

/* 125000 bytes are unread, and of the next record a byte is missing: so the owner's buffer takes one more read, of
 * which a part stays in the session, and no ciphertext is left to be fed. The end, too, has to wait for that part. */
static void check_rest_inside(const char *name, bool says_end)
{
    struct raw raw;
    struct buffer wire;
    size_t sent = 0, first = 0;
    raw_open(&raw);
    buffer_init(&wire, 1u << 20);
    for (size_t i = 0; i < 39; i++) {
        raw_encrypt(&raw, &sent, 5000, &wire);
        first = i == 25 ? buffer_length(&wire) - 1 : first;
    }
    if (says_end)
        tls_session_close(raw.tls);
    tls_session_work(raw.tls);
    buffer_add(&wire, tls_session_wire(raw.tls));
    raw_write(&raw, slice_to(buffer_slice(&wire), first));
    check_number(name, channel_input(&server->channel).length, 125000);
    raw_write(&raw, slice_from(buffer_slice(&wire), first));
    check_true(name, channel_input(&server->channel).length >= INPUT_MAX);
    check_true(name, channel_input(&server->channel).length <= INPUT_MAX + READ_MAX);
    check_number(name, server_log.calls[CALL_ENDED], 0);
    server->is_lazy = false;
    take(server);
    loop_until(name, &server_log.bytes, sent);
    check_true(name, !server_log.is_wrong);
    if (says_end)
        loop_until(name, &server_log.calls[CALL_ENDED], 1);
    check_true(name, !server_log.is_late);
    buffer_free(&wire);
    stream_abort(&raw.stream);
    tls_session_free(&raw.tls);
}

static void test_a_rest_inside_of_the_session(void **state)
{
    check_rest_inside("bytes", false);
    close_loop(state);
    open_loop(state);
    check_rest_inside("bytes and the end", true);
    assert_int_equal(server_log.ended, ERR_END);
}

/* The same when the peer has gone meanwhile: all bytes first, then the end. */
static void check_end(const char *name, size_t length, size_t piece)
{
    server_model.is_lazy = true;
    connect_ends(true);
    wait_open(true);
    client->sends = length;
    client->piece = piece;
    while (client->sends > 0)
        send_more(client);
    end_close(client);
    loop_until(name, &server_log.calls[CALL_READABLE], 1);
    loop_for(10);
    if (length > INPUT_MAX + READ_MAX)
        check_number(name, server_log.calls[CALL_ENDED], 0);
    server->is_lazy = false;
    take(server);
    loop_until(name, &server_log.calls[CALL_ENDED], 1);
    check_number(name, server_log.bytes, length);
    check_number(name, server_log.ended, ERR_END);
    loop_for(5);
    check_number(name, server_log.calls[CALL_ENDED], 1);
    check_true(name, !server_log.is_wrong && !server_log.is_late);
}

static void test_the_end_waits_for_the_owner(void **state)
{
    for (size_t length = 1000; length < 400000; length += 25000) {
        char name[64];
        snprintf(name, sizeof name, "%zu bytes", length);
        check_end(name, length, 5000);
        close_loop(state);
        open_loop(state);
    }
}

/* A peer that sends much and cuts the stream, and an owner that says something before it has read all. */
static void test_an_answer_after_the_end(void **state)
{
    static const size_t lengths[] = {1000, 150000, 250000, 300000};
    for (size_t i = 0; i < COUNT_OF(lengths); i++) {
        BOTH_KINDS(with_tls)
        {
            char name[64];
            snprintf(name, sizeof name, "%s, %zu bytes", kind_of(with_tls), lengths[i]);
            server_model.is_lazy = true;
            connect_ends(with_tls);
            wait_open(with_tls);
            client->sends = lengths[i];
            while (client->sends > 0)
                send_more(client);
            stream_close(channel_stream(&client->channel));
            loop_until(name, &server_log.calls[CALL_READABLE], 1);
            loop_for(30);
            server->is_lazy = false;
            take(server);
            server->sends = 1000;
            send_more(server);
            loop_until(name, &server_log.calls[CALL_ENDED], 1);
            check_number(name, server_log.bytes, lengths[i]);
            server->sends = 1000;
            send_more(server);
            loop_for(5);
            check_number(name, server_log.calls[CALL_ENDED], 1);
            client->by_abort = true;
        }
    }
}

static void test_reading_is_turned_off(void **state)
{
    BOTH_KINDS(with_tls)
    {
        const char *name = kind_of(with_tls);
        connect_ends(with_tls);
        wait_open(with_tls);
        channel_read(&server->channel, false);
        client->sends = 1000;
        send_more(client);
        loop_for(30);
        check_number(name, server_log.bytes, 0);
        channel_read(&server->channel, true);
        loop_until(name, &server_log.bytes, 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CHANNEL_TEST(test_a_lazy_owner_stops_the_peer),  CHANNEL_TEST(test_the_rest_comes_without_another_byte),
        CHANNEL_TEST(test_a_rest_inside_of_the_session), CHANNEL_TEST(test_the_end_waits_for_the_owner),
        CHANNEL_TEST(test_an_answer_after_the_end),      CHANNEL_TEST(test_reading_is_turned_off),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
