/* What the files of the resolver share: a lookup asks one server after the other, each by an exchange. An exchange is
 * one question to one server, by udns over UDP or over a stream of the host; it has no deadline of its own. */
#ifndef RELAY_RESOLVER_UDNS_H
#define RELAY_RESOLVER_UDNS_H

#include "relay/host_uv.h"
#include "relay/host_uv_loop.h"
#include "relay/resolver_wire.h"

#define RESOLVER_SERVERS_MAX 6U

/* The servers of one configuration. Lookups hold it until they are over, so that a reload disturbs none. */
struct resolver_servers {
    size_t reference_count;
    size_t count;
    struct endpoint endpoints[RESOLVER_SERVERS_MAX];
    int64_t down_until_ms[RESOLVER_SERVERS_MAX]; /* monotonic; meanwhile the others are asked first */
    bool loses_case[RESOLVER_SERVERS_MAX]; /* it did when last seen */
    int64_t lowered_until_ms[RESOLVER_SERVERS_MAX]; /* monotonic; meanwhile it is asked in lower case */
    int64_t suspect_until_ms[RESOLVER_SERVERS_MAX]; /* monotonic; meanwhile mismatches are no news */
    int64_t attempt_timeout_ms, total_timeout_ms;
    void (*told)(void *owner, const struct resolver_event *event);
    void *owner;
};
struct resolver_servers *resolver_servers_take(struct resolver_servers *servers);
void resolver_servers_drop(struct resolver_servers **servers); /* accepts NULL inside; leaves NULL */
/* It is known not to keep the case of names. */
bool resolver_servers_is_lowered(const struct resolver_servers *servers, size_t server);
/* From an answer that nobody can have forged, or one that passed the test. */
void resolver_servers_saw_case(struct resolver_servers *servers, size_t server, bool is_kept);
void resolver_servers_saw_mismatches(struct resolver_servers *servers, size_t server);

struct exchange_request {
    const struct endpoint *server;
    const struct resolver_question *question; /* the name as it is to be sent */
    bool use_edns;
    unsigned mismatches_max; /* over UDP: so many, at least 1, and the exchange ends */
    /* Once, never within the call that opened the exchange. packet: the answer to the question, but perhaps to its
     * name in another case; or empty when the server cannot be reached, or at mismatches_max. Valid during the call.
     * The exchange may be closed from here. */
    void (*done)(void *owner, struct slice packet);
    void *owner;
};

struct udp_exchange;
struct udp_exchange *udp_exchange_open(const struct exchange_request *request);
void udp_exchange_close(struct udp_exchange **exchange); /* accepts NULL inside; leaves NULL */
/* What came that does not answer this question (another id, name or type, or no message at all): a few are no reason to
 * stop waiting, as anybody may have sent them. Packets of another address or port the kernel keeps from us. */
unsigned udp_exchange_mismatches(const struct udp_exchange *exchange);

struct tcp_exchange;
struct tcp_exchange *tcp_exchange_open(const struct exchange_request *request);
void tcp_exchange_close(struct tcp_exchange **exchange); /* accepts NULL inside; leaves NULL */

/* What the public functions of relay/host.h are made of. */
struct lookup;
struct lookup *lookup_open(struct resolve *owner, const struct resolver_question *question,
                           struct resolver_servers *servers); /* servers: NULL when there are none */
void lookup_close(struct lookup **lookup);

#endif
