/* Do some networks together hold everybody, or nearly? No list of networks may make a relay that anybody can use. */
#ifndef RELAY_OPEN_RELAY_H
#define RELAY_OPEN_RELAY_H

#include "base/ip.h"

/* Half of all IPv4 addresses, or half of those of the IPv6 Internet (2000::/3), or more: as a network of everybody written in parts.
 * Returns whose; IP_NONE: of neither. */
enum ip_family open_relay_family(const struct ip_network *networks, size_t count);

#endif
