#include "test/sim/sim_peer.h"

#include <assert.h>

static struct {
    struct list open, over;
} peers;

static void on_connected(struct stream *stream, enum err err);
static void on_received(struct stream *stream, struct slice bytes);
static void on_drained(struct stream *stream);
static void on_ended(struct stream *stream, enum err err);
static void on_dribble(struct sim_event *event);
static void work(struct sim_peer *peer);
static void send(struct sim_peer *peer, struct slice bytes);
static void leave(struct sim_peer *peer);

void sim_peers_start(void)
{
    list_init(&peers.open);
    list_init(&peers.over);
}

void sim_peers_reap(void)
{
    struct list_node *node;
    while ((node = list_take_first(&peers.over)) != NULL) {
        struct sim_peer *peer = LIST_OF(node, struct sim_peer, node);
        tls_session_free(&peer->tls);
        buffer_free(&peer->input);
        buffer_free(&peer->slow);
        peer->release(peer);
    }
}

void sim_peers_end(void)
{
    struct list_node *node;
    while ((node = list_first(&peers.open)) != NULL)
        sim_peer_drop(LIST_OF(node, struct sim_peer, node));
    sim_peers_reap();
}

static void prepare(struct sim_peer *peer)
{
    buffer_init(&peer->input, SIZE_MAX / 2);
    buffer_init(&peer->slow, SIZE_MAX / 2);
    peer->stream = (struct stream){
        .connected = on_connected, .received = on_received, .drained = on_drained, .ended = on_ended};
    list_add_last(&peers.open, &peer->node);
}

void sim_peer_accept(struct sim_peer *peer, struct sim_link *link)
{
    prepare(peer);
    sim_net_take(link, &peer->stream);
    stream_read(&peer->stream, true);
}

void sim_peer_connect(struct sim_peer *peer, const struct endpoint *to, const struct endpoint *from)
{
    prepare(peer);
    stream_connect(&peer->stream, to, from);
}

static struct sim_peer *peer_of(struct stream *stream)
{
    return LIST_OF(stream, struct sim_peer, stream);
}

static void on_connected(struct stream *stream, enum err err)
{
    struct sim_peer *peer = peer_of(stream);
    if (err == ERR_NONE)
        stream_read(stream, true);
    peer->connected(peer, err);
}

static void on_received(struct stream *stream, struct slice bytes)
{
    struct sim_peer *peer = peer_of(stream);
    if (peer->is_hanging)
        return;
    if (peer->tls == NULL) {
        buffer_add(&peer->input, bytes);
        peer->readable(peer);
        return;
    }
    while (bytes.length > 0 && peer->tls != NULL) {
        struct slice part = slice_to(bytes, tls_session_room(peer->tls));
        assert(part.length > 0);
        tls_session_feed(peer->tls, part);
        bytes = slice_from(bytes, part.length);
        work(peer);
    }
}

static void on_drained(struct stream *stream)
{
    (void)stream; /* a peer never waits for that */
}

static void on_ended(struct stream *stream, enum err err)
{
    struct sim_peer *peer = peer_of(stream);
    (void)err;
    if (!peer->is_hanging)
        peer->ended(peer);
    if (!peer->is_closed)
        sim_peer_drop(peer);
}

/* ---- TLS ---- */

void sim_peer_secure(struct sim_peer *peer, struct tls_session *tls)
{
    assert(peer->tls == NULL);
    peer->tls = tls;
    work(peer);
}

static void send_wire(struct sim_peer *peer)
{
    struct slice wire = tls_session_wire(peer->tls);
    if (wire.length == 0)
        return;
    send(peer, wire);
    tls_session_wired(peer->tls, wire.length);
}

static void work(struct sim_peer *peer)
{
    tls_session_work(peer->tls);
    send_wire(peer);
    struct slice plain = tls_session_plain(peer->tls);
    size_t arrived = plain.length;
    buffer_add(&peer->input, plain);
    tls_session_consume(peer->tls, arrived);
    enum tls_status status = tls_session_status(peer->tls);
    if (!peer->told_secured && status != TLS_HANDSHAKING) {
        peer->told_secured = true;
        peer->secured(peer, status == TLS_OPEN || status == TLS_CLOSED);
    }
    if (arrived > 0 && !peer->is_closed && !peer->is_hanging)
        peer->readable(peer);
}

/* ---- talking ---- */

struct slice sim_peer_input(const struct sim_peer *peer)
{
    return buffer_slice(&peer->input);
}

void sim_peer_consume(struct sim_peer *peer, size_t length)
{
    buffer_consume(&peer->input, length);
}

void sim_peer_write(struct sim_peer *peer, struct slice bytes)
{
    if (peer->is_closed || peer->is_hanging || bytes.length == 0)
        return;
    if (peer->tls == NULL) {
        send(peer, bytes);
        return;
    }
    while (bytes.length > 0) {
        size_t taken = tls_session_write(peer->tls, bytes);
        if (taken == 0)
            return; /* the session is over */
        bytes = slice_from(bytes, taken);
        tls_session_work(peer->tls);
        send_wire(peer);
    }
}

static void send(struct sim_peer *peer, struct slice bytes)
{
    if (peer->dribble_ms == 0) {
        stream_write(&peer->stream, bytes);
        return;
    }
    buffer_add(&peer->slow, bytes);
    if (!sim_event_is_planned(&peer->dribble))
        sim_event_plan(&peer->dribble, peer->dribble_ms, on_dribble);
}

static void on_dribble(struct sim_event *event)
{
    struct sim_peer *peer = LIST_OF(event, struct sim_peer, dribble);
    stream_write(&peer->stream, slice_to(buffer_slice(&peer->slow), 1));
    buffer_consume(&peer->slow, 1);
    if (buffer_length(&peer->slow) > 0)
        sim_event_plan(&peer->dribble, peer->dribble_ms, on_dribble);
}

uint64_t sim_peer_written(const struct sim_peer *peer)
{
    return sim_net_written(&peer->stream) + buffer_length(&peer->slow);
}

/* ---- the end ---- */

static void leave(struct sim_peer *peer)
{
    peer->is_closed = true;
    sim_event_cancel(&peer->dribble);
    list_remove(&peers.open, &peer->node);
    list_add_last(&peers.over, &peer->node);
}

void sim_peer_hang(struct sim_peer *peer)
{
    peer->is_hanging = true;
    sim_event_cancel(&peer->dribble);
    stream_read(&peer->stream, false);
}

void sim_peer_close(struct sim_peer *peer)
{
    if (peer->is_closed)
        return;
    stream_write(&peer->stream, buffer_slice(&peer->slow));
    buffer_clear(&peer->slow);
    peer->dribble_ms = 0;
    if (peer->tls != NULL) {
        tls_session_close(peer->tls);
        tls_session_work(peer->tls);
        send_wire(peer);
    }
    stream_close(&peer->stream);
    leave(peer);
}

void sim_peer_drop(struct sim_peer *peer)
{
    if (peer->is_closed)
        return;
    stream_abort(&peer->stream);
    leave(peer);
}
