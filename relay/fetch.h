/* One HTTPS fetch of a policy body: addresses of the policy host, a verified TLS connection to a global address, one request,
 * one whole response (RFC 8461 3.3). At most one minute in all and 10 s without progress. */
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
    char failure[600];           /* of the last address tried */
};
void fetch_start(struct fetch *fetch, struct relay *relay, struct slice host,
                 void (*done)(struct fetch *fetch, struct slice body, struct slice failure));
void fetch_cancel(struct fetch *fetch);

#endif
