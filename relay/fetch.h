/* One HTTPS fetch of a policy body: addresses of the policy host, a verified TLS connection to a global address, one request,
 * one whole response (RFC 8461 3.3). At most one minute in all and 10 s without progress; where the owner deals out turns, the wait for
 * one is not counted. Addresses that did not answer anybody a moment ago come last. What they say of one domain's fetch alone (TLS,
 * HTTP) is not remembered against an address: many domains share it. */
#ifndef RELAY_FETCH_H
#define RELAY_FETCH_H

#include "base/arena.h"
#include "relay/channel.h"
#include "relay/route.h"
#include "sts/http.h"

struct relay;

#define FETCH_ADDRESSES_MAX 4

struct fetch {
    /* Once, never inside fetch_start(). failure empty: the body is whole. Both live during the call. */
    void (*done)(struct fetch *fetch, struct slice body, struct slice failure);
    /* Set by the owner behind fetch_start(); NULL: it connects at once. It would connect to this address, and waits for fetch_connect(),
     * which is not called inside. */
    void (*wants)(struct fetch *fetch, const struct ip *address, bool is_dead);
    /* Addresses known to be dead are passed over, as if they had not answered just now: for a domain whose policy is in force. One of
     * which nothing is known always has an attempt of its own: what others met must not make it a domain without a policy. */
    bool passes_dead;
    struct relay *relay;
    struct slice host;           /* the caller's; lives as long as the fetch */
    struct resolve a, aaaa;
    bool a_pending, aaaa_pending;
    struct ip address_items[FETCH_ADDRESSES_MAX];
    struct route_addresses addresses;
    size_t address_index;
    bool has_retried_tls;        /* a handshake was tried again that the TLS library can do in another way */
    struct channel channel;
    struct sts_http *http;
    struct timer timer;
    int64_t deadline_ms;         /* monotonic */
    int64_t wants_ms;            /* monotonic: since when it waits for its turn */
    bool is_connected;           /* the address has answered */
    bool is_starved;             /* our own memory or descriptors ran out on the way: a failure says nothing of the policy host */
    char failure[600];           /* of the last address tried */
};
void fetch_start(struct fetch *fetch, struct relay *relay, struct slice host,
                 void (*done)(struct fetch *fetch, struct slice body, struct slice failure));
void fetch_connect(struct fetch *fetch); /* its turn, after wants() */
void fetch_cancel(struct fetch *fetch);

#endif
