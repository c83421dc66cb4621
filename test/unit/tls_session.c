#include "test/unit/pki.h"
#include "test/unit/tls_pair.h"

static struct tls_context *context; /* trusts the root, serves the good certificate */

static int set_up(void **state)
{
    if (pki_set_up(state) != 0)
        return -1;
    context = pki_context(*state, "root", "good");
    return 0;
}

static int tear_down(void **state)
{
    tls_context_free(&context);
    return pki_tear_down(state);
}

static void start(struct tls_session **client, struct tls_session **server)
{
    *client = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    *server = tls_session_server(context);
    assert_non_null(*client);
    assert_non_null(*server);
}

static void start_open(struct tls_session **client, struct tls_session **server)
{
    start(client, server);
    pair_settle(*client, *server, SIZE_MAX);
    assert_int_equal(tls_session_status(*client), TLS_OPEN);
    assert_int_equal(tls_session_status(*server), TLS_OPEN);
}

/* Says something both ways and checks that it arrives. */
static void check_talk(const char *name, struct tls_session *client, struct tls_session *server, size_t step)
{
    check_number(name, tls_session_status(client), TLS_OPEN);
    check_number(name, tls_session_status(server), TLS_OPEN);
    check_number(name, tls_session_write(client, SLICE("EHLO relay.example\r\n")), 20);
    check_number(name, tls_session_write(server, SLICE("250 mx.example.com\r\n")), 20);
    pair_settle(client, server, step);
    check_slice(name, tls_session_plain(server), SLICE("EHLO relay.example\r\n"));
    check_slice(name, tls_session_plain(client), SLICE("250 mx.example.com\r\n"));
    tls_session_consume(server, 20);
    tls_session_consume(client, 20);
    check_number(name, tls_session_plain(client).length, 0);
}

static void test_verdicts(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start(&client, &server);
    assert_int_equal(tls_session_status(client), TLS_HANDSHAKING);
    assert_true(tls_session_is_costly(client));
    assert_false(tls_session_verdict(client)->secured);
    assert_string_equal(tls_session_verdict(client)->version, "");
    pair_settle(client, server, SIZE_MAX);
    assert_false(tls_session_is_costly(client));
    assert_true(tls_session_verdict(client)->secured);
    assert_true(tls_session_verdict(client)->verified);
    assert_string_equal(tls_session_verdict(client)->version, "TLSv1.3");
    assert_true(strlen(tls_session_verdict(client)->cipher) > 0);
    /* We ask clients for no certificate. */
    assert_true(tls_session_verdict(server)->secured);
    assert_false(tls_session_verdict(server)->verified);
    check_talk("whole", client, server, SIZE_MAX);
    pair_free(&client, &server);
}

static void test_no_plaintext_before_the_handshake(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start(&client, &server);
    assert_int_equal(tls_session_write(client, SLICE("secret")), 0);
    tls_session_work(client);
    assert_int_equal(tls_session_write(client, SLICE("secret")), 0);
    assert_int_equal(tls_session_plain(client).length, 0);
    pair_settle(client, server, SIZE_MAX);
    check_talk("afterwards", client, server, SIZE_MAX);
    pair_free(&client, &server);
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    static const size_t steps[] = {1, 2, 3, 7, 100, 1000};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        struct tls_session *client, *server;
        char name[32];
        snprintf(name, sizeof name, "%zu bytes a step", steps[i]);
        start(&client, &server);
        pair_settle(client, server, steps[i]);
        check_talk(name, client, server, steps[i]);
        tls_session_close(client);
        pair_settle(client, server, steps[i]);
        check_number(name, tls_session_status(server), TLS_CLOSED);
        pair_free(&client, &server);
    }
}

/* One direction of a pair, in which something happens to the byte at an offset. */
struct mishap {
    size_t offset;
    size_t passed;
    enum { CUT, DAMAGED, ENDED } kind;
    bool happened;
};

/* As pair_move(), but stops once at the offset, and does there what the mishap says. */
static size_t move_with_mishap(struct tls_session *from, struct tls_session *to, struct mishap *mishap)
{
    size_t left = mishap->offset - mishap->passed;
    if (mishap->happened || tls_session_wire(from).length <= left) {
        size_t moved = pair_move(from, to, SIZE_MAX);
        mishap->passed += moved;
        return moved;
    }
    size_t moved = pair_move(from, to, left);
    mishap->passed += moved;
    mishap->happened = true;
    tls_session_work(to);
    if (mishap->kind == ENDED) {
        tls_session_end(to);
    } else if (mishap->kind == DAMAGED) {
        char byte = (char)(tls_session_wire(from).data[0] ^ 0x40);
        tls_session_feed(to, slice_make(&byte, 1));
        tls_session_wired(from, 1);
    }
    return moved + 1;
}

/* Returns whether the mishap's offset was reached. */
static bool settle_with_mishap(struct tls_session *from, struct tls_session *to, struct mishap *mishap)
{
    size_t moved;
    do {
        tls_session_work(from);
        tls_session_work(to);
        moved = move_with_mishap(from, to, mishap);
        if (mishap->happened && mishap->kind == ENDED) {
            tls_session_work(to);
            return true;
        }
        moved += pair_move(to, from, SIZE_MAX);
    } while (moved > 0);
    return mishap->happened;
}

/* Every offset would take minutes with the sanitizers, and each is in the byte-by-byte test anyway. */
#define OFFSET_STEP 3

static void test_cut_at_many_offsets(void **state)
{
    (void)state;
    for (int of_client = 0; of_client < 2; of_client++) {
        bool reached = true;
        size_t offset;
        for (offset = 0; reached; offset += OFFSET_STEP) {
            struct tls_session *client, *server;
            struct mishap mishap = {.offset = offset, .kind = CUT};
            char name[64];
            snprintf(name, sizeof name, "%s cut at %zu", of_client ? "client" : "server", offset);
            start(&client, &server);
            reached =
                of_client ? settle_with_mishap(client, server, &mishap) : settle_with_mishap(server, client, &mishap);
            check_true(name, tls_session_verdict(client)->verified);
            check_talk(name, client, server, SIZE_MAX);
            pair_free(&client, &server);
        }
        assert_true(offset > 200);
    }
}

static void test_end_at_many_offsets(void **state)
{
    (void)state;
    bool reached = true;
    size_t offset;
    for (offset = 0; reached; offset += OFFSET_STEP) {
        struct tls_session *client, *server;
        struct mishap mishap = {.offset = offset, .kind = ENDED};
        char name[64];
        snprintf(name, sizeof name, "server ends at %zu", offset);
        start(&client, &server);
        reached = settle_with_mishap(server, client, &mishap);
        if (reached) {
            check_number(name, tls_session_status(client), TLS_FAILED);
            check_number(name, tls_session_verdict(client)->failure, TLS_FAILURE_ENDED);
            check_number(name, tls_session_verdict(client)->verified, false);
        }
        pair_free(&client, &server);
    }
    assert_true(offset > 500);
}

/* A byte that was changed on its way ends the handshake, or it was one that TLS ignores (record versions) and then
 * everything else is as it was. */
static void test_damage_at_many_offsets(void **state)
{
    (void)state;
    bool reached = true;
    size_t failed_count = 0, offset;
    for (offset = 0; reached; offset += OFFSET_STEP) {
        struct tls_session *client, *server;
        struct mishap mishap = {.offset = offset, .kind = DAMAGED};
        char name[64];
        snprintf(name, sizeof name, "server damaged at %zu", offset);
        start(&client, &server);
        reached = settle_with_mishap(server, client, &mishap);
        if (tls_session_status(client) == TLS_OPEN) {
            check_talk(name, client, server, SIZE_MAX);
        } else {
            /* A length that grew may leave it waiting for bytes that never come. */
            failed_count += tls_session_status(client) == TLS_FAILED;
            check_number(name, tls_session_verdict(client)->verified, false);
            check_number(name, tls_session_verdict(client)->secured, false);
            check_number(name, tls_session_write(client, SLICE("secret")), 0);
        }
        pair_free(&client, &server);
    }
    assert_true(failed_count > offset / OFFSET_STEP - 32);
}

static void test_garbage(void **state)
{
    static const struct {
        const char *name;
        struct slice bytes;
        enum tls_failure failure;
        const char *detail;
    } cases[] = {
        {"an SMTP reply", {"220 mx.example.com ESMTP\r\n", 26}, TLS_FAILURE_PROTOCOL, "not TLS"},
        {"an HTTP answer", {"HTTP/1.1 400 Bad Request\r\n\r\n", 28}, TLS_FAILURE_PROTOCOL, "not TLS"},
        {"zeros", {"\0\0\0\0\0\0\0\0", 8}, TLS_FAILURE_PROTOCOL, "not TLS"},
        {"alert: handshake failure", {"\x15\3\3\0\2\2\x28", 7}, TLS_FAILURE_ALERT, "handshake_failure (40)"},
        {"alert: internal error", {"\x15\3\1\0\2\2\x50", 7}, TLS_FAILURE_ALERT, "internal_error (80)"},
        {"alert: no such number", {"\x15\3\3\0\2\2\xfe", 7}, TLS_FAILURE_ALERT, "unknown (254)"},
        {"alert: protocol version", {"\x15\3\3\0\2\2\x46", 7}, TLS_FAILURE_VERSION, "protocol_version (70)"},
        {"alert: SSL 3.0", {"\x15\3\0\0\2\2\x46", 7}, TLS_FAILURE_VERSION, "protocol_version (70)"},
        {"close_notify", {"\x15\3\3\0\2\1\0", 7}, TLS_FAILURE_ENDED, "closed"},
        {"application data", {"\x17\3\3\0\4ABCD", 9}, TLS_FAILURE_PROTOCOL, "not expected"},
        {"too long a record", {"\x16\3\3\xff\xff", 5}, TLS_FAILURE_PROTOCOL, "not TLS"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_session *client = tls_session_client(context, TLS_ENCRYPT, SLICE("mx.example.com"), NULL);
        tls_session_work(client);
        tls_session_feed(client, cases[i].bytes);
        tls_session_work(client);
        check_number(cases[i].name, tls_session_status(client), TLS_FAILED);
        check_number(cases[i].name, tls_session_verdict(client)->failure, cases[i].failure);
        if (strstr(tls_session_verdict(client)->detail, cases[i].detail) == NULL) {
            print_error("%s: \"%s\"\n", cases[i].name, tls_session_verdict(client)->detail);
            fail();
        }
        tls_session_feed(client, SLICE("more")); /* is dropped */
        tls_session_work(client);
        tls_session_end(client);
        tls_session_work(client);
        check_number(cases[i].name, tls_session_status(client), TLS_FAILED);
        tls_session_free(&client);
    }
}

static void test_application_protocols(void **state)
{
    (void)state;
    struct tls_session *client = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), "http/1.1");
    struct tls_session *server = tls_session_server(context);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(server), TLS_FAILED);
    assert_int_equal(tls_session_verdict(server)->failure, TLS_FAILURE_PROTOCOL);
    assert_non_null(strstr(tls_session_verdict(server)->detail, "ALPN"));
    assert_int_equal(tls_session_status(client), TLS_FAILED);
    assert_int_equal(tls_session_verdict(client)->failure, TLS_FAILURE_ALERT);
    assert_non_null(strstr(tls_session_verdict(client)->detail, "no_application_protocol (120)"));
    pair_free(&client, &server);
}

static void test_alert_leaves_with_the_failure(void **state)
{
    (void)state;
    struct tls_session *client = tls_session_client(context, TLS_VERIFY, SLICE("other.example.com"), NULL);
    struct tls_session *server = tls_session_server(context);
    pair_settle(client, server, 1);
    assert_int_equal(tls_session_status(client), TLS_FAILED);
    assert_int_equal(tls_session_status(server), TLS_FAILED);
    assert_int_equal(tls_session_write(server, SLICE("x")), 0);
    pair_free(&client, &server);

    client = tls_session_client(context, TLS_VERIFY, SLICE("other.example.com"), NULL);
    server = tls_session_server(context);
    tls_session_work(client);
    while (pair_move(client, server, SIZE_MAX) > 0)
        tls_session_work(server);
    (void)pair_move(server, client, SIZE_MAX);
    tls_session_work(client);
    assert_int_equal(tls_session_status(client), TLS_FAILED);
    struct slice wire = tls_session_wire(client);
    assert_true(wire.length >= 7);
    assert_int_equal(wire.data[wire.length - 7], 21); /* alert */
    assert_int_equal(wire.data[wire.length - 2], 2);  /* fatal */
    assert_int_equal(wire.data[wire.length - 1], 42); /* bad_certificate */
    tls_session_wired(client, wire.length);
    pair_free(&client, &server);
}

static char pattern_at(size_t offset, int direction)
{
    uint32_t x = (uint32_t)offset * 2654435761u + (uint32_t)direction * 40503u;
    return (char)(x >> 24 ^ x >> 9);
}

/* One direction of a large transfer. */
struct transfer {
    struct tls_session *from, *to;
    int direction;
    size_t length, written, read;
};

static void write_some(struct transfer *transfer)
{
    static char chunk[50000];
    size_t length = transfer->length - transfer->written;
    length = length < sizeof chunk ? length : sizeof chunk;
    for (size_t i = 0; i < length; i++)
        chunk[i] = pattern_at(transfer->written + i, transfer->direction);
    transfer->written += tls_session_write(transfer->from, slice_make(chunk, length));
}

static void read_some(struct transfer *transfer, size_t limit)
{
    struct slice plain = slice_to(tls_session_plain(transfer->to), limit);
    for (size_t i = 0; i < plain.length; i++)
        assert_int_equal(plain.data[i], pattern_at(transfer->read + i, transfer->direction));
    transfer->read += plain.length;
    tls_session_consume(transfer->to, plain.length);
}

static void test_large_transfers_both_ways(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start_open(&client, &server);
    struct transfer there = {.from = client, .to = server, .direction = 1, .length = 5000000};
    struct transfer back = {.from = server, .to = client, .direction = 2, .length = 3000001};
    size_t round;
    for (round = 0; there.read < there.length || back.read < back.length; round++) {
        write_some(&there);
        write_some(&back);
        tls_session_work(client);
        tls_session_work(server);
        assert_true(tls_session_wire(client).length <= 70000);
        assert_true(tls_session_plain(server).length <= 65536);
        (void)pair_move(client, server, 1 + round * 7919 % 65536);
        (void)pair_move(server, client, 1 + round * 104729 % 30000);
        tls_session_work(client);
        tls_session_work(server);
        read_some(&there, 1 + round * 31 % 90000);
        read_some(&back, SIZE_MAX);
        assert_true(round < 100000);
    }
    tls_session_close(client);
    pair_settle(client, server, SIZE_MAX);
    assert_int_equal(tls_session_status(server), TLS_CLOSED);
    assert_int_equal(tls_session_status(client), TLS_OPEN);
    pair_free(&client, &server);
}

/* A peer that reads nothing makes nothing grow; when it reads again, all of it comes. */
static void test_bounds(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start_open(&client, &server);
    struct transfer there = {.from = client, .to = server, .direction = 1, .length = SIZE_MAX};
    for (size_t before = SIZE_MAX; before != there.written;) {
        before = there.written;
        write_some(&there);
        pair_settle(client, server, SIZE_MAX);
    }
    /* The three rings between the two are full. */
    assert_true(there.written >= 3 * 60000 && there.written <= 3 * 65536 + 20000);
    assert_int_equal(tls_session_plain(server).length, 65536);
    assert_true(tls_session_room(server) < 1000);
    assert_true(tls_session_wire(client).length > 60000 && tls_session_wire(client).length < 70000);
    assert_int_equal(tls_session_write(client, SLICE("x")), 0);

    /* Without another byte from outside: what waits inside comes out by work() alone. */
    read_some(&there, SIZE_MAX);
    tls_session_work(server);
    assert_true(tls_session_plain(server).length > 40000);
    there.length = there.written;
    while (there.read < there.written) {
        size_t before = there.read;
        read_some(&there, SIZE_MAX);
        pair_settle(client, server, SIZE_MAX);
        assert_true(there.read > before);
    }
    check_talk("after the jam", client, server, SIZE_MAX);
    pair_free(&client, &server);
}

static void test_close(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start_open(&client, &server);
    assert_int_equal(tls_session_write(client, SLICE("QUIT\r\n")), 6);
    tls_session_close(client);
    assert_int_equal(tls_session_write(client, SLICE("more")), 0);
    pair_settle(client, server, 3);
    assert_int_equal(tls_session_status(server), TLS_CLOSED);
    check_slice("before the close", tls_session_plain(server), SLICE("QUIT\r\n"));
    /* The other direction is still open (RFC 8446 6.1). */
    assert_int_equal(tls_session_write(server, SLICE("221 bye\r\n")), 9);
    tls_session_close(server);
    tls_session_close(server);
    pair_settle(client, server, 3);
    check_slice("the answer", tls_session_plain(client), SLICE("221 bye\r\n"));
    assert_int_equal(tls_session_status(client), TLS_CLOSED);
    /* After the close the end of the stream is no truncation, and bytes are nobody's. */
    tls_session_feed(client, SLICE("injected"));
    tls_session_work(client);
    tls_session_end(client);
    tls_session_work(client);
    assert_int_equal(tls_session_status(client), TLS_CLOSED);
    check_slice("unchanged", tls_session_plain(client), SLICE("221 bye\r\n"));
    assert_int_equal(tls_session_wire(client).length, 0);
    pair_free(&client, &server);
}

static void test_close_and_end_at_once(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start_open(&client, &server);
    assert_int_equal(tls_session_write(client, SLICE("QUIT\r\n")), 6);
    tls_session_close(client);
    tls_session_work(client);
    (void)pair_move(client, server, SIZE_MAX);
    tls_session_end(server);
    tls_session_work(server);
    assert_int_equal(tls_session_status(server), TLS_CLOSED);
    check_slice("all of it", tls_session_plain(server), SLICE("QUIT\r\n"));
    pair_free(&client, &server);
}

/* The stream is cut at every offset behind the handshake: never CLOSED, and the records that came whole are there. */
static void test_truncation(void **state)
{
    (void)state;
    size_t length = 1;
    for (size_t cut = 0; cut < length; cut++) {
        struct tls_session *client, *server;
        start_open(&client, &server);
        assert_int_equal(tls_session_write(server, SLICE("version: STSv1\r\n")), 16);
        tls_session_work(server);
        size_t data_length = tls_session_wire(server).length;
        tls_session_close(server);
        tls_session_work(server);
        length = tls_session_wire(server).length;
        (void)pair_move(server, client, cut);
        tls_session_end(client);
        tls_session_work(client);
        assert_int_equal(tls_session_status(client), TLS_TRUNCATED);
        assert_int_equal(tls_session_plain(client).length, cut >= data_length ? 16 : 0);
        assert_true(tls_session_verdict(client)->verified);
        assert_int_equal(tls_session_write(client, SLICE("x")), 0);
        tls_session_close(client);
        tls_session_work(client);
        assert_int_equal(tls_session_wire(client).length, 0);
        pair_free(&client, &server);
    }
    assert_true(length > 40);
}

static void test_damage_after_the_handshake(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start_open(&client, &server);
    assert_int_equal(tls_session_write(server, SLICE("250 ok\r\n")), 8);
    tls_session_work(server);
    char wire[64];
    struct slice sent = tls_session_wire(server);
    assert_true(sent.length < sizeof wire);
    memcpy(wire, sent.data, sent.length);
    wire[sent.length - 1] ^= 1;
    tls_session_feed(client, slice_make(wire, sent.length));
    tls_session_work(client);
    assert_int_equal(tls_session_status(client), TLS_FAILED);
    assert_int_equal(tls_session_verdict(client)->failure, TLS_FAILURE_PROTOCOL);
    assert_int_equal(tls_session_plain(client).length, 0);
    assert_int_equal(tls_session_write(client, SLICE("x")), 0);
    pair_free(&client, &server);
}

/* The record of one session, replayed to it or given to another, is not taken. */
static void test_replay(void **state)
{
    (void)state;
    struct tls_session *client, *server;
    start_open(&client, &server);
    assert_int_equal(tls_session_write(server, SLICE("250 ok\r\n")), 8);
    tls_session_work(server);
    struct slice sent = tls_session_wire(server);
    tls_session_feed(client, sent);
    tls_session_feed(client, sent);
    tls_session_work(client);
    check_slice("once", tls_session_plain(client), SLICE("250 ok\r\n"));
    assert_int_equal(tls_session_status(client), TLS_FAILED);
    pair_free(&client, &server);
}

static void test_freed_at_any_time(void **state)
{
    (void)state;
    for (size_t limit = 0; limit < 2000; limit += 37) {
        struct tls_session *client, *server;
        struct mishap mishap = {.offset = limit, .kind = ENDED};
        start(&client, &server);
        (void)settle_with_mishap(server, client, &mishap);
        (void)tls_session_write(server, SLICE("not read by anybody"));
        tls_session_work(server);
        pair_free(&client, &server);
        assert_null(client);
    }
    struct tls_session *none = NULL;
    tls_session_free(&none);
}

/* Sessions go on with the context they have, whoever else gives it up. */
static void test_context_outlives_its_owner(void **state)
{
    struct tls_context *own = pki_context(*state, "root", "rsa");
    struct tls_session *client = tls_session_client(own, TLS_VERIFY, SLICE("mx.example.com"), NULL);
    struct tls_session *server = tls_session_server(own);
    tls_context_free(&own);
    assert_null(own);
    pair_settle(client, server, SIZE_MAX);
    check_talk("without an owner", client, server, SIZE_MAX);
    pair_free(&client, &server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_no_plaintext_before_the_handshake),
        cmocka_unit_test(test_byte_by_byte),
        cmocka_unit_test(test_cut_at_many_offsets),
        cmocka_unit_test(test_end_at_many_offsets),
        cmocka_unit_test(test_damage_at_many_offsets),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_application_protocols),
        cmocka_unit_test(test_alert_leaves_with_the_failure),
        cmocka_unit_test(test_large_transfers_both_ways),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_close),
        cmocka_unit_test(test_close_and_end_at_once),
        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_damage_after_the_handshake),
        cmocka_unit_test(test_replay),
        cmocka_unit_test(test_freed_at_any_time),
        cmocka_unit_test(test_context_outlives_its_owner),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
