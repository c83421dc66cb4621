/* Upstreams that refused our credentials. To try each message with a wrong password would lock the account and tell nobody anything:
 * the route is paused instead, for all destinations behind it. When the pause is over one delivery tries; if that is refused too
 * the pause begins again and is longer. Other credentials are another upstream, so that a mended configuration counts at once. */
#ifndef RELAY_UPSTREAM_H
#define RELAY_UPSTREAM_H

#include "base/slice.h"
#include "smtp/reply.h"

struct relay;
struct upstream;

#define UPSTREAM_PAUSE_MAX_MS (15 * 60 * 1000)

struct upstream_key {
    struct slice host;
    uint16_t port;
    struct slice username, password;
};
struct upstream_pause {
    int64_t wait_ms;     /* until the next try; 0: not paused */
    struct slice reason; /* what the upstream said; lives as long as the pause */
};
/* May a delivery begin? When a pause has just ended the one that asks is the one that tries, and the others wait for what becomes of
 * it. */
struct upstream_pause upstream_ask(struct relay *relay, const struct upstream_key *key);
/* The same without trying: for people who look. */
struct upstream_pause upstream_look(const struct relay *relay, const struct upstream_key *key);
/* reason: of the upstream, for people. Warns. Returns for how many milliseconds it is paused; 0: out of memory, it is not. */
int64_t upstream_refused(struct relay *relay, const struct upstream_key *key, struct slice reason);
void upstream_accepted(struct relay *relay, const struct upstream_key *key);
/* What waits for credentials since before the start: one tries them now, since they may have been corrected. */
void upstream_start(struct relay *relay);
/* The configuration has changed: pauses of what stands in it no more are over. has_moved: its routes have changed, so whatever
 * destinations wait for may be another host's now, and they wait no longer. */
void upstream_reload(struct relay *relay, bool has_moved);
/* The operator wants everything to be tried now: of each that is paused, one tries. */
void upstream_try_now(struct relay *relay);
void upstream_free_all(struct relay *relay);

#endif
