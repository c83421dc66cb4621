/* Both ends of channels over a real socket for tests: each counts what happens to it and checks the bytes against a
 * pattern. One that closes is filled with rubbish and freed at once, so that AddressSanitizer sees a call that comes
 * too late. */
#ifndef TEST_UNIT_ENDS_H
#define TEST_UNIT_ENDS_H

#include "test/unit/loop.h"
#include "test/unit/pki.h"

#include "base/list.h"
#include "relay/channel.h"

#include <unistd.h>

#define INPUT_MAX (128u << 10) /* what an owner may leave unread, */
#define READ_MAX (64u << 10)   /* and what one read may add to it */

#define CALL_LIST(X) X(CONNECTED) X(SECURED) X(READABLE) X(WRITABLE) X(ENDED)
enum call {
    CALL_NEVER,
#define X(name) CALL_##name,
    CALL_LIST(X)
#undef X
        CALL_COUNT
};
static const char *const call_names[] = {"never",
#define X(name) #name,
                                         CALL_LIST(X)
#undef X
};

/* What has happened, kept outside of the end, which may be gone. */
struct end_log {
    size_t calls[CALL_COUNT];
    size_t bytes, input_most;
    bool is_wrong, is_secured, is_late; /* late: a byte after ended() */
    enum err connected, ended;
    enum tls_failure failure;
};
struct end {
    struct channel channel;
    struct list_node node;
    struct end_log *log;
    struct tls_session *tls; /* to be secured with at once; NULL: plaintext */
    enum call closes_in;
    bool by_abort;
    bool is_lazy; /* leaves what arrives unread */
    size_t sends, sent;
    size_t piece; /* of one write, and so of one TLS record; 0: large */
};

static struct pki *pki;
static struct tls_context *context;
static struct list ends = {.head = {&ends.head, &ends.head}};
static struct end_log client_log, server_log;
static struct end *client, *server; /* NULL: gone */
static struct listener listener;
static size_t accepted;
static struct end server_model;

static inline char pattern(size_t at)
{
    return (char)(at * 7 + at / 251);
}

static inline void end_close(struct end *end)
{
    if (end->by_abort)
        channel_abort(&end->channel);
    else
        channel_close(&end->channel);
    assert_false(channel_is_open(&end->channel));
    assert_int_equal(channel_input(&end->channel).length, 0);
    tls_session_free(&end->tls);
    list_remove(&ends, &end->node);
    client = end == client ? NULL : client;
    server = end == server ? NULL : server;
    memset(end, 0xa5, sizeof *end);
    free(end);
}

/* True: the call closed it. */
static inline bool closes(struct end *end, enum call call)
{
    end->log->calls[call]++;
    if (end->closes_in != call)
        return false;
    end_close(end);
    return true;
}

static inline void secure(struct end *end)
{
    if (end->tls != NULL)
        assert_true(channel_secure(&end->channel, &end->tls));
    assert_null(end->tls);
}

static inline void send_more(struct end *end)
{
    static char piece[50000];
    size_t most = end->piece > 0 ? end->piece : sizeof piece;
    size_t length = end->sends < most ? end->sends : most;
    for (size_t i = 0; i < length; i++)
        piece[i] = pattern(end->sent + i);
    end->sends -= length;
    end->sent += length;
    channel_write(&end->channel, slice_make(piece, length));
}

static inline void take(struct end *end)
{
    struct slice input = channel_input(&end->channel);
    struct end_log *log = end->log;
    for (size_t i = 0; i < input.length; i++)
        log->is_wrong = log->is_wrong || input.data[i] != pattern(log->bytes + i);
    log->bytes += input.length;
    channel_consume(&end->channel, input.length);
}

static inline void on_connected(struct channel *channel, enum err err)
{
    struct end *end = LIST_OF(channel, struct end, channel);
    end->log->connected = err;
    if (closes(end, CALL_CONNECTED) || err != ERR_NONE)
        return;
    secure(end);
    send_more(end);
}

static inline void on_secured(struct channel *channel, const struct tls_verdict *verdict)
{
    struct end *end = LIST_OF(channel, struct end, channel);
    end->log->is_secured = verdict->secured;
    end->log->failure = verdict->failure;
    assert_int_equal(channel_is_secured(channel), verdict->secured);
    closes(end, CALL_SECURED);
}

static inline void on_readable(struct channel *channel)
{
    struct end *end = LIST_OF(channel, struct end, channel);
    size_t length = channel_input(channel).length;
    assert_true(length > 0);
    end->log->is_late = end->log->is_late || end->log->calls[CALL_ENDED] > 0;
    if (length > end->log->input_most)
        end->log->input_most = length;
    if (!closes(end, CALL_READABLE) && !end->is_lazy)
        take(end);
}

static inline void on_writable(struct channel *channel)
{
    struct end *end = LIST_OF(channel, struct end, channel);
    assert_int_equal(channel_pending(channel), 0);
    if (!closes(end, CALL_WRITABLE))
        send_more(end);
}

static inline void on_ended(struct channel *channel, enum err err)
{
    struct end *end = LIST_OF(channel, struct end, channel);
    end->log->ended = err;
    closes(end, CALL_ENDED);
}

static inline struct end *end_new(struct end_log *log)
{
    struct end *end = calloc(1, sizeof *end);
    assert_non_null(end);
    end->log = log;
    end->channel = (struct channel){.connected = on_connected,
                                    .secured = on_secured,
                                    .readable = on_readable,
                                    .writable = on_writable,
                                    .ended = on_ended};
    list_add_last(&ends, &end->node);
    return end;
}

static inline void on_incoming(struct listener *incoming)
{
    struct end *end = end_new(&server_log);
    accepted++;
    end->closes_in = server_model.closes_in;
    end->by_abort = server_model.by_abort;
    end->is_lazy = server_model.is_lazy;
    end->sends = server_model.sends;
    end->tls = server_model.tls;
    server_model.tls = NULL;
    server = end;
    assert_int_equal(channel_accept(&end->channel, incoming), ERR_NONE);
    secure(end);
    send_more(end);
}

static inline int set_up(void **state)
{
    if (pki_set_up(state) != 0)
        return -1;
    pki = *state;
    context = pki_context(pki, "root", "good");
    return 0;
}

static inline int tear_down(void **state)
{
    *state = pki;
    tls_context_free(&context);
    return pki_tear_down(state);
}

static inline int open_loop(void **state)
{
    (void)state;
    struct listener_options options = {.fd = -1};
    memset(&client_log, 0, sizeof client_log);
    memset(&server_log, 0, sizeof server_log);
    memset(&server_model, 0, sizeof server_model);
    accepted = 0;
    loop_open();
    options.endpoint.ip = ip_v4((const uint8_t[4]){127, 0, 0, 1});
    listener = (struct listener){.incoming = on_incoming};
    assert_int_equal(listener_open(&listener, &options), ERR_NONE);
    return 0;
}

static inline int close_loop(void **state)
{
    (void)state;
    struct list_node *node;
    while ((node = list_first(&ends)) != NULL)
        end_close(LIST_OF(node, struct end, node));
    tls_session_free(&server_model.tls);
    listener_close(&listener);
    loop_close();
    check_number("connections left", host_connection_count(), 0);
    return 0;
}

static inline void connect_ends(bool with_tls)
{
    struct endpoint place = listener_local(&listener);
    client = end_new(&client_log);
    if (with_tls) {
        client->tls = tls_session_client(context, TLS_VERIFY, SLICE("mx.example.com"), NULL);
        server_model.tls = tls_session_server(context);
        assert_true(client->tls != NULL && server_model.tls != NULL);
    }
    assert_int_equal(channel_connect(&client->channel, &place, NULL), ERR_NONE);
}

static inline void wait_open(bool with_tls)
{
    loop_until("accepted", &accepted, 1);
    loop_until("connected", &client_log.calls[CALL_CONNECTED], 1);
    check_number("connected", client_log.connected, ERR_NONE);
    if (!with_tls)
        return;
    loop_until("secured", &client_log.calls[CALL_SECURED], 1);
    loop_until("secured", &server_log.calls[CALL_SECURED], 1);
    assert_true(client_log.is_secured && server_log.is_secured);
}

static inline const char *kind_of(bool with_tls)
{
    return with_tls ? "with TLS" : "plaintext";
}

#define BOTH_KINDS(with_tls) for (int with_tls = 0; with_tls < 2; with_tls++, close_loop(state), open_loop(state))

#define CHANNEL_TEST(test) cmocka_unit_test_setup_teardown(test, open_loop, close_loop)

#endif
