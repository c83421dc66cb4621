/* One end of a stream for the tests of the host: counts what happens, checks the bytes against a pattern, and closes
 * itself in a chosen callback. It lives on the heap: a closed one is filled with rubbish and freed at once, so that
 * AddressSanitizer sees a callback that comes too late. */
#ifndef TEST_UNIT_PEER_H
#define TEST_UNIT_PEER_H

#include "test/unit/loop.h"

enum peer_call { PEER_NEVER, PEER_CONNECTED, PEER_RECEIVED, PEER_DRAINED, PEER_ENDED };

/* What has happened, kept outside of the peer, which may be gone. */
struct peer_log {
    size_t connected, received, drained, ended, bytes, calls;
    enum err connect_err, end_err;
    bool is_wrong; /* a byte was not the pattern's */
    char first[64];
};

struct peer {
    struct stream stream;
    struct list_node node; /* in peers_alive */
    struct peer_log *log;
    enum peer_call closes_in; /* the first such call closes it, */
    bool by_abort;            /* by stream_abort(), */
    bool echoes;              /* gives back what it receives, */
    size_t sends;             /* bytes of the pattern still to send, in pieces, each after drained() */
    size_t sent;
};

static struct list peers_alive = {.head = {&peers_alive.head, &peers_alive.head}};

static inline char peer_pattern(size_t at)
{
    return (char)(at * 7 + at / 251);
}

static inline void peer_close(struct peer **peer)
{
    if ((*peer)->by_abort) {
        stream_abort(&(*peer)->stream);
    } else {
        stream_close(&(*peer)->stream);
    }
    assert_false(stream_is_open(&(*peer)->stream));
    list_remove(&peers_alive, &(*peer)->node);
    memset(*peer, 0xa5, sizeof **peer);
    free(*peer);
    *peer = NULL;
}

static inline void peers_close(void)
{
    for (struct list_node *node = list_first(&peers_alive); node != NULL; node = list_first(&peers_alive)) {
        struct peer *peer = LIST_OF(node, struct peer, node);
        peer_close(&peer);
    }
}

static inline bool peer_closes(struct peer *peer, enum peer_call call)
{
    peer->log->calls++;
    if (peer->closes_in != call) {
        return false;
    }
    peer_close(&peer);
    return true;
}

static inline void peer_send(struct peer *peer)
{
    static char piece[100000];
    size_t length = peer->sends < sizeof piece ? peer->sends : sizeof piece;
    for (size_t i = 0; i < length; i++) {
        piece[i] = peer_pattern(peer->sent + i);
    }
    peer->sends -= length;
    peer->sent += length;
    if (length > 0) {
        stream_write(&peer->stream, slice_make(piece, length));
    }
}

static inline void peer_connected(struct stream *stream, enum err err)
{
    struct peer *peer = LIST_OF(stream, struct peer, stream);
    peer->log->connected++;
    peer->log->connect_err = err;
    assert_int_equal(stream_is_open(stream), err == ERR_NONE);
    if (!peer_closes(peer, PEER_CONNECTED) && err == ERR_NONE) {
        peer_send(peer);
    }
}

static inline void peer_received(struct stream *stream, struct slice bytes)
{
    struct peer *peer = LIST_OF(stream, struct peer, stream);
    struct peer_log *log = peer->log;
    assert_true(bytes.length > 0);
    for (size_t i = 0; i < bytes.length; i++) {
        log->is_wrong = log->is_wrong || bytes.data[i] != peer_pattern(log->bytes + i);
        if (log->bytes + i < sizeof log->first) {
            log->first[log->bytes + i] = bytes.data[i];
        }
    }
    log->bytes += bytes.length;
    log->received++;
    if (!peer_closes(peer, PEER_RECEIVED) && peer->echoes) {
        stream_write(stream, bytes);
        stream_read(stream, stream_pending(stream) < 200000);
    }
}

static inline void peer_drained(struct stream *stream)
{
    struct peer *peer = LIST_OF(stream, struct peer, stream);
    peer->log->drained++;
    assert_int_equal(stream_pending(stream), 0);
    if (!peer_closes(peer, PEER_DRAINED)) {
        if (peer->echoes) {
            stream_read(stream, true);
        }
        peer_send(peer);
    }
}

static inline void peer_ended(struct stream *stream, enum err err)
{
    struct peer *peer = LIST_OF(stream, struct peer, stream);
    peer->log->ended++;
    peer->log->end_err = err;
    peer_closes(peer, PEER_ENDED);
}

static inline struct peer *peer_new(struct peer_log *log)
{
    struct peer *peer = calloc(1, sizeof *peer);
    assert_non_null(peer);
    peer->log = log;
    list_add_last(&peers_alive, &peer->node);
    peer->stream.connected = peer_connected;
    peer->stream.received = peer_received;
    peer->stream.drained = peer_drained;
    peer->stream.ended = peer_ended;
    return peer;
}

/* A listener that accepts each connection as a peer made like the model; the last one made is in last. */
struct peer_listener {
    struct listener listener;
    struct peer model;
    struct peer *last;
    size_t accepted, offered;
    size_t accepts; /* so many; the others are left to wait */
};

static inline void peer_incoming(struct listener *listener)
{
    struct peer_listener *peers = LIST_OF(listener, struct peer_listener, listener);
    peers->offered++;
    if (peers->accepted >= peers->accepts) {
        return;
    }
    peers->accepted++;
    struct peer *peer = peer_new(peers->model.log);
    peer->closes_in = peers->model.closes_in;
    peer->by_abort = peers->model.by_abort;
    peer->echoes = peers->model.echoes;
    peer->sends = peers->model.sends;
    assert_int_equal(stream_accept(listener, &peer->stream), ERR_NONE);
    assert_true(stream_is_open(&peer->stream));
    peers->last = peer;
    stream_read(&peer->stream, true);
    peer_send(peer);
}

static inline struct endpoint peer_listen(struct peer_listener *peers, struct peer_log *log)
{
    struct listener_options options = {.fd = -1};
    options.endpoint.ip = ip_v4((const uint8_t[4]){127, 0, 0, 1});
    peers->listener.incoming = peer_incoming;
    peers->model.log = log;
    assert_int_equal(listener_open(&peers->listener, &options), ERR_NONE);
    struct endpoint local = listener_local(&peers->listener);
    assert_true(local.port != 0);
    return local;
}

#endif
