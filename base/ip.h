/* Internet addresses as values: parse, print, networks, and which of them are global. IPv4-mapped IPv6 addresses are
 * normalised to IPv4 where they enter, so that no rule can be passed by writing an address in the other family. */
#ifndef BASE_IP_H
#define BASE_IP_H

#include "base/err.h"
#include "base/slice.h"

enum ip_family { IP_NONE, IP_V4, IP_V6 };

struct ip {
    enum ip_family family;
    uint8_t bytes[16]; /* network order; the first 4 for IPv4 */
};
struct ip_network {
    struct ip base;
    unsigned prefix_bits;
};
/* A place to connect to or to listen at: an address and port, or the path of a unix socket. */
struct endpoint {
    struct ip ip;
    uint16_t port;
    char path[108]; /* not empty: a unix socket, and ip.family is IP_NONE */
};

struct ip ip_v4(const uint8_t bytes[4]);
struct ip ip_v6(const uint8_t bytes[16]); /* ::ffff:a.b.c.d becomes IPv4 */
bool ip_parse(struct slice text, struct ip *ip);
struct slice ip_print(const struct ip *ip, char out[48]);
bool ip_equal(const struct ip *a, const struct ip *b);

/* "10.0.0.0/8", "::1/128", "192.0.2.1". Bits set beyond the prefix are a syntax error. */
MUST_CHECK enum err ip_network_parse(struct slice text, struct ip_network *network);
struct slice ip_network_print(const struct ip_network *network, char out[56]);
bool ip_network_has(const struct ip_network *network, const struct ip *ip);

/* Reachable on the open Internet: not loopback, private, shared (RFC 6598), link-local, multicast, documentation,
 * benchmarking, reserved, unspecified, ULA, IPv4-mapped, -compatible, 6to4 or NAT64 of such an address (RFC 6890). */
bool ip_is_global(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);

/* "192.0.2.1:25", "[::1]:25", "unix:/run/x.sock"; a missing port takes port_default (0: it must be there). */
MUST_CHECK enum err endpoint_parse(struct slice text, uint16_t port_default, struct endpoint *endpoint);
struct slice endpoint_print(const struct endpoint *endpoint, char out[128]);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
/* Not both can be listened at: they are equal, or one is all addresses of the other's family. Port 0 is any that is free. */
bool endpoint_excludes(const struct endpoint *a, const struct endpoint *b);

#endif
