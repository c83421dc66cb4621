/* Addresses and networks. Places to connect to are in ip_endpoint.c. */
#include "base/ip.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define IP_TEXT_MAX 45 /* eight groups, the last two as an IPv4 address */

/* What the IANA special-purpose registries (RFC 6890) hold back from the open Internet, and multicast. */
struct special_v4 {
    uint8_t base[4];
    unsigned prefix_bits;
};
struct special_v6 {
    uint8_t base[16];
    unsigned prefix_bits;
};

static const struct special_v4 special_v4[] = {
    {{0, 0, 0, 0}, 8},       /* this network, unspecified */
    {{10, 0, 0, 0}, 8},      /* private (RFC 1918) */
    {{100, 64, 0, 0}, 10},   /* shared with a carrier's NAT (RFC 6598) */
    {{127, 0, 0, 0}, 8},     /* loopback */
    {{169, 254, 0, 0}, 16},  /* link-local; where clouds keep their metadata */
    {{172, 16, 0, 0}, 12},   /* private */
    {{192, 0, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2, 0}, 24},    /* documentation */
    {{192, 88, 99, 0}, 24},  /* 6to4 relays, withdrawn (RFC 7526) */
    {{192, 168, 0, 0}, 16},  /* private */
    {{198, 18, 0, 0}, 15},   /* benchmarking */
    {{198, 51, 100, 0}, 24}, /* documentation */
    {{203, 0, 113, 0}, 24},  /* documentation */
    {{224, 0, 0, 0}, 4},     /* multicast */
    {{240, 0, 0, 0}, 4},     /* reserved, and the broadcast address */
};

/* Within 2000::/3; nothing outside it has been given out as global unicast. */
static const struct special_v6 special_v6[] = {
    {{0x20, 0x01, 0x00, 0x00}, 23}, /* protocol assignments: Teredo, benchmarking, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff, 0x00, 0x00}, 20}, /* documentation (RFC 9637) */
};

static const uint8_t prefix_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
static const uint8_t prefix_nat64[12] = {0x00, 0x64, 0xff, 0x9b};
static const uint8_t prefix_6to4[2] = {0x20, 0x02};

static bool parse_unmapped(struct slice text, struct ip *ip);
static struct ip unmapped(struct ip ip);
static bool is_mapped(const struct ip *ip);
static unsigned bits_max(enum ip_family family);
static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits);
static bool has_bits_beyond(const struct ip *ip, unsigned bits);
static bool is_special_v4(const uint8_t bytes[4]);
static bool is_special_v6(const uint8_t bytes[16]);

struct ip ip_v4(const uint8_t bytes[4])
{
    struct ip ip = {.family = IP_V4};
    memcpy(ip.bytes, bytes, 4);
    return ip;
}

struct ip ip_v6(const uint8_t bytes[16])
{
    struct ip ip = {.family = IP_V6};
    memcpy(ip.bytes, bytes, 16);
    return unmapped(ip);
}

bool ip_parse(struct slice text, struct ip *ip)
{
    struct ip parsed;
    if (!parse_unmapped(text, &parsed)) {
        return false;
    }
    *ip = unmapped(parsed);
    return true;
}

struct slice ip_print(const struct ip *ip, char out[48])
{
    if (ip->family == IP_NONE) {
        return text_print(out, 48, "none");
    }
    const char *printed = inet_ntop(ip->family == IP_V4 ? AF_INET : AF_INET6, ip->bytes, out, 48);
    assert(printed != NULL);
    return slice_of(printed);
}

bool ip_equal(const struct ip *a, const struct ip *b)
{
    return a->family == b->family && bits_equal(a->bytes, b->bytes, bits_max(a->family));
}

enum err ip_network_parse(struct slice text, struct ip_network *network)
{
    size_t slash = slice_find(text, '/');
    struct ip base;
    if (!parse_unmapped(slice_to(text, slash), &base)) {
        return ERR_SYNTAX;
    }
    uint64_t bits = bits_max(base.family);
    if (slash < text.length && !slice_number(slice_from(text, slash + 1), bits, &bits)) {
        return ERR_SYNTAX;
    }
    if (has_bits_beyond(&base, (unsigned)bits)) {
        return ERR_SYNTAX;
    }
    /* A mapped base has bits set up to the 96th, so that the prefix is at least that long here. */
    bool mapped = is_mapped(&base);
    *network = (struct ip_network){.base = unmapped(base), .prefix_bits = (unsigned)bits - (mapped ? 96 : 0)};
    return ERR_NONE;
}

struct slice ip_network_print(const struct ip_network *network, char out[56])
{
    char base[48];
    struct slice text = ip_print(&network->base, base);
    return text_print(out, 56, "%.*s/%u", SLICE_ARGS(text), network->prefix_bits);
}

bool ip_network_has(const struct ip_network *network, const struct ip *ip)
{
    return ip->family == network->base.family && ip->family != IP_NONE &&
           bits_equal(ip->bytes, network->base.bytes, network->prefix_bits);
}

bool ip_is_global(const struct ip *ip)
{
    switch (ip->family) {
        case IP_NONE:
            return false;
        case IP_V4:
            return !is_special_v4(ip->bytes);
        case IP_V6:
            break;
    }
    if (bits_equal(ip->bytes, prefix_nat64, 96)) {
        return !is_special_v4(ip->bytes + 12);
    }
    if (bits_equal(ip->bytes, prefix_6to4, 16)) {
        return !is_special_v4(ip->bytes + 2);
    }
    return !is_special_v6(ip->bytes);
}

bool ip_is_loopback(const struct ip *ip)
{
    static const uint8_t loopback[16] = {[15] = 1};
    return (ip->family == IP_V4 && ip->bytes[0] == 127) ||
           (ip->family == IP_V6 && bits_equal(ip->bytes, loopback, 128));
}

static bool parse_unmapped(struct slice text, struct ip *ip)
{
    char string[IP_TEXT_MAX + 1];
    if (text.length > IP_TEXT_MAX || slice_has(text, '\0')) {
        return false;
    }
    text_print(string, sizeof string, "%.*s", SLICE_ARGS(text));
    *ip = (struct ip){.family = slice_has(text, ':') ? IP_V6 : IP_V4};
    return inet_pton(ip->family == IP_V6 ? AF_INET6 : AF_INET, string, ip->bytes) == 1;
}

static struct ip unmapped(struct ip ip)
{
    return is_mapped(&ip) ? ip_v4(ip.bytes + 12) : ip;
}

static bool is_mapped(const struct ip *ip)
{
    return ip->family == IP_V6 && bits_equal(ip->bytes, prefix_mapped, 96);
}

static unsigned bits_max(enum ip_family family)
{
    return family == IP_NONE ? 0 : family == IP_V4 ? 32 : 128;
}

static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    size_t whole = bits / 8;
    if (memcmp(a, b, whole) != 0) {
        return false;
    }
    return bits % 8 == 0 || ((a[whole] ^ b[whole]) & (0xff00 >> (bits % 8)) & 0xff) == 0;
}

static bool has_bits_beyond(const struct ip *ip, unsigned bits)
{
    for (unsigned i = bits; i < bits_max(ip->family); i++) {
        if ((ip->bytes[i / 8] & (0x80 >> (i % 8))) != 0) {
            return true;
        }
    }
    return false;
}

static bool is_special_v4(const uint8_t bytes[4])
{
    for (size_t i = 0; i < sizeof special_v4 / sizeof special_v4[0]; i++) {
        if (bits_equal(bytes, special_v4[i].base, special_v4[i].prefix_bits)) {
            return true;
        }
    }
    return false;
}

static bool is_special_v6(const uint8_t bytes[16])
{
    if (bytes[0] >> 5 != 1) {
        return true;
    }
    for (size_t i = 0; i < sizeof special_v6 / sizeof special_v6[0]; i++) {
        if (bits_equal(bytes, special_v6[i].base, special_v6[i].prefix_bits)) {
            return true;
        }
    }
    return false;
}
