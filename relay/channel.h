/* A channel is a stream with or without TLS: the owner reads and writes plaintext in either case. It runs handshake flights
 * as jobs, so that the loop never stalls. Pull style: readable() says that there is something to look at; what the owner
 * does not consume stays, and when enough stays the peer is no longer read. */
#ifndef RELAY_CHANNEL_H
#define RELAY_CHANNEL_H

#include "relay/host.h"
#include "tls/session.h"

struct channel_state;

struct channel {
    /* Set by the owner first. connected: of channel_connect() only. secured: the handshake ended; look at the verdict (not
     * secured: it failed, close the channel). readable: channel_input() grew. writable: all that was written has left.
     * ended: once, after the last byte was readable: ERR_END (for TLS: with close_notify), ERR_RESET (also TLS without
     * close_notify), ERR_TIMEOUT... */
    void (*connected)(struct channel *channel, enum err err);
    void (*secured)(struct channel *channel, const struct tls_verdict *verdict);
    void (*readable)(struct channel *channel);
    void (*writable)(struct channel *channel);
    void (*ended)(struct channel *channel, enum err err);
    struct channel_state *state; /* NULL: closed */
};

MUST_CHECK enum err channel_connect(struct channel *channel, const struct endpoint *peer, const struct endpoint *source);
MUST_CHECK enum err channel_accept(struct channel *channel, struct listener *listener);
/* From now on TLS: takes the session over. False: input is left that came before TLS (injected); the session is freed, close
 * the channel. What was written before still leaves in plaintext, before the handshake. */
bool channel_secure(struct channel *channel, struct tls_session **session);
/* TLS from the first byte: what has arrived and was not consumed is its beginning. Nothing may have been written. */
void channel_secure_from_start(struct channel *channel, struct tls_session **session);
struct slice channel_input(const struct channel *channel);
void channel_consume(struct channel *channel, size_t length);
void channel_read(struct channel *channel, bool on); /* reading is on from the start; off: the peer waits */
void channel_write(struct channel *channel, struct slice bytes); /* plaintext; copied */
size_t channel_pending(const struct channel *channel);           /* written, not yet left (approximately, over TLS) */
void channel_close(struct channel *channel); /* says close_notify, sends what is pending, in the background */
void channel_abort(struct channel *channel);
bool channel_is_open(const struct channel *channel);
bool channel_is_secured(const struct channel *channel);
const struct tls_verdict *channel_verdict(const struct channel *channel); /* NULL without TLS */
struct endpoint channel_peer(const struct channel *channel);
struct endpoint channel_local(const struct channel *channel);
struct stream *channel_stream(struct channel *channel); /* for stream_peer_uid() */

#endif
