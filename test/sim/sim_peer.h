/* A peer's side of a connection: a stream, with TLS once asked for, told in plaintext. Mail hosts, policy hosts and clients
 * embed it; it shares no code with relay/channel.c on purpose. */
#ifndef TEST_SIM_SIM_PEER_H
#define TEST_SIM_SIM_PEER_H

#include "base/list.h"
#include "test/sim/sim_net.h"
#include "test/sim/sim_tls.h"

struct sim_peer {
    /* Set by the owner first. readable: input grew; take what can be used with sim_peer_consume(). */
    void (*connected)(struct sim_peer *peer, enum err err);
    void (*readable)(struct sim_peer *peer);
    void (*secured)(struct sim_peer *peer, bool is_open); /* the handshake ended */
    void (*ended)(struct sim_peer *peer);
    void (*release)(struct sim_peer *peer); /* frees the owner; called between events, once the peer is closed */
    /* The peer's own. */
    struct list_node node;
    struct stream stream;
    struct tls_session *tls;
    bool told_secured, is_closed, is_hanging;
    struct buffer input;
    struct buffer slow;        /* what leaves byte by byte */
    int64_t dribble_ms;        /* between two bytes; 0: all at once */
    struct sim_event dribble;
};

void sim_peers_start(void);
void sim_peers_reap(void);
void sim_peers_end(void);
void sim_peer_accept(struct sim_peer *peer, struct sim_link *link);
void sim_peer_connect(struct sim_peer *peer, const struct endpoint *to, const struct endpoint *from);
void sim_peer_secure(struct sim_peer *peer, struct tls_session *tls); /* takes it over */
struct slice sim_peer_input(const struct sim_peer *peer);
void sim_peer_consume(struct sim_peer *peer, size_t length);
void sim_peer_write(struct sim_peer *peer, struct slice bytes);
uint64_t sim_peer_written(const struct sim_peer *peer); /* bytes of the stream, with those that are on their way */
void sim_peer_hang(struct sim_peer *peer);  /* says and hears nothing any more */
void sim_peer_close(struct sim_peer *peer); /* orderly, with close_notify */
void sim_peer_drop(struct sim_peer *peer);  /* rudely */

#endif
