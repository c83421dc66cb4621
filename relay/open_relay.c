#include "relay/open_relay.h"

/* Counted in units of 1/2^32 of the family's space: a network smaller than one counts as one. */
#define SPACE_BITS 32U
#define GLOBAL_IPV6_BITS 3U

/* 2000::/3, of which all global addresses of IPv6 are part. */
static const struct ip_network global_ipv6 = {.base = {.family = IP_V6, .bytes = {0x20}}, .prefix_bits = GLOBAL_IPV6_BITS};

static bool holds(const struct ip_network *outer, const struct ip_network *inner)
{
    return outer->prefix_bits <= inner->prefix_bits && ip_network_has(outer, &inner->base);
}

/* Networks are disjoint or one in the other: those that are in another one add nothing. Of the same written twice the first counts. */
static bool is_in_another(const struct ip_network *networks, size_t count, size_t index)
{
    for (size_t i = 0; i < count; i++) {
        bool is_same = networks[i].prefix_bits == networks[index].prefix_bits;
        if (i != index && holds(&networks[i], &networks[index]) && (!is_same || i < index))
            return true;
    }
    return false;
}

static uint64_t units_of(const struct ip_network *network)
{
    unsigned outside_bits = network->base.family == IP_V4 ? 0 : GLOBAL_IPV6_BITS;
    if (network->base.family == IP_V6 && holds(network, &global_ipv6))
        return UINT64_C(1) << SPACE_BITS;
    if (network->base.family == IP_V6 && !holds(&global_ipv6, network))
        return 0;
    unsigned bits = network->prefix_bits - outside_bits;
    return bits >= SPACE_BITS ? 1 : UINT64_C(1) << (SPACE_BITS - bits);
}

enum ip_family open_relay_family(const struct ip_network *networks, size_t count)
{
    uint64_t v4 = 0, v6 = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_in_another(networks, count, i))
            continue;
        *(networks[i].base.family == IP_V4 ? &v4 : &v6) += units_of(&networks[i]);
    }
    uint64_t half = UINT64_C(1) << (SPACE_BITS - 1);
    return v4 >= half ? IP_V4 : v6 >= half ? IP_V6 : IP_NONE;
}
