/* Where mail for one destination goes: pure decisions over what DNS and the policy said. RFC 5321 5.1, RFC 7505 (null MX),
 * RFC 8461 8.4: our own hosts and all less preferred ones are cut from the unfiltered list first (filtering by policy first
 * makes loops); every host left stays in order with its admission, and one that is not admitted is passed over. */
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include "base/arena.h"
#include "relay/config.h"
#include "relay/host.h"
#include "sts/cache.h"

#define ROUTE_HOSTS_MAX 64
#define ROUTE_ADDRESSES_MAX 16 /* of a host */
#define ROUTE_TRIED_MAX 12     /* addresses of one attempt: a domain with many hosts that hang, or are made up, keeps a place no longer */

struct route_host {
    struct slice name; /* canonical; the name to be resolved, verified and matched */
    uint16_t preference;
    bool is_admitted;  /* by the policy; true without one */
};
enum route_kind {
    ROUTE_HOSTS,
    ROUTE_NULL_MX, /* the domain takes no mail */
    ROUTE_LOOP,    /* we are the best host left */
    ROUTE_MEMORY,
};
struct route {
    enum route_kind kind;
    bool is_implicit;  /* no MX record: the domain itself (RFC 5321 5.1) */
    const struct route_host *hosts;
    size_t host_count, admitted_count;
};
struct route_request {
    struct slice domain;                   /* canonical */
    const struct resolve_answer *mx;       /* FOUND or NODATA */
    const struct sts_policy *policy;       /* NULL: none */
    const struct config *config;           /* our own names */
    struct arena *arena;
};
/* Hosts of equal preference are shuffled with the dice. */
void route_by_mx(const struct route_request *request, struct route *route);
/* One host that was named: a smart host, or the address of a literal. */
void route_by_name(struct slice host, const struct sts_policy *policy, struct arena *arena, struct route *route);

/* Addresses of a host that may be connected to: both families taken in turn, not where we take mail ourselves, global or allowed. refused counts
 * those left out because they are not global. */
struct route_addresses {
    struct ip *items;
    size_t count, capacity;
    size_t refused;
    struct ip refused_first; /* for telling */
    size_t own;
    bool may_be_own; /* not for mail: one of ours is as good as another */
};
void route_add_addresses(struct route_addresses *addresses, const struct resolve_answer *answer,
                         const struct config *config, bool named_by_administrator);
void route_interleave(struct route_addresses *addresses);
/* What an exemption still demands of the hosts where a policy would bind. */
enum config_tls route_exempt_tls(enum sts_exempt_level level);
enum config_tls route_raised_tls(enum config_tls tls, enum sts_exempt_level level); /* tls, or that where it is more */
/* [delivery] source of that family, in *source; NULL: the kernel chooses. */
const struct endpoint *route_source(const struct config *config, enum ip_family family, struct endpoint *source);
/* On port 465 both sides wait for each other where the [route] does not say tls = implicit (RFC 8314 3.3). */
bool route_may_expect_tls(uint16_t port, enum config_tls tls);
bool route_is_own_address(const struct config *config, const struct ip *ip, uint16_t port);

#endif
