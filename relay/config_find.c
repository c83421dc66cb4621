#include "relay/config.h"

#include "base/ip.h"
#include "smtp/address.h"

static const struct config_route *find_exact(const struct config *config, struct slice pattern)
{
    for (size_t i = 0; i < config->route_count; i++) {
        if (slice_equal(config->routes[i].pattern, pattern))
            return &config->routes[i];
    }
    return NULL;
}

/* "*.example.com" is for hosts below example.com, at any depth; the longest pattern wins. */
static const struct config_route *find_below(const struct config *config, struct slice domain)
{
    const struct config_route *best = NULL;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (slice_starts(route->pattern, SLICE("*.")) && domain.length > route->pattern.length - 1 &&
            slice_ends(domain, slice_from(route->pattern, 1)) &&
            (best == NULL || route->pattern.length > best->pattern.length))
            best = route;
    }
    return best;
}

static const struct config_route *find_from(const struct config *config, struct slice sender_domain)
{
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (slice_starts(route->pattern, SLICE("from:")) && sender_domain.length > 0 &&
            slice_equal_nocase(slice_from(route->pattern, 5), sender_domain))
            return route;
    }
    return NULL;
}

bool config_routes_are_equal(const struct config *a, const struct config *b)
{
    bool equal = a->route_count == b->route_count;
    for (size_t i = 0; equal && i < a->route_count; i++) {
        const struct config_route *x = &a->routes[i], *y = &b->routes[i];
        equal = slice_equal(x->pattern, y->pattern) && slice_equal(x->host, y->host) && x->port == y->port && x->tls == y->tls &&
                slice_equal(x->username, y->username) && slice_equal(x->password, y->password);
    }
    return equal;
}

bool config_needs_names(const struct config *config)
{
    struct ip ip;
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->tls == CONFIG_TLS_STS || !ip_parse(route->host, &ip))
            return true;
    }
    return find_exact(config, SLICE("*")) == NULL; /* what no route is for goes by MX */
}

const struct config_route *config_route_find(const struct config *config, struct slice domain, struct slice sender_domain)
{
    const struct config_route *route = find_exact(config, domain);
    if (route == NULL)
        route = find_below(config, domain);
    if (route == NULL)
        route = find_from(config, sender_domain);
    return route != NULL ? route : find_exact(config, SLICE("*"));
}

/* An address literal has no policy. */
struct slice config_policy_domain(const struct config *config, struct slice domain, struct slice sender_domain)
{
    if (!config->sts_enabled)
        return SLICE_EMPTY;
    const struct config_route *route = config_route_find(config, domain, sender_domain);
    struct slice next = route == NULL ? domain : route->host;
    struct ip ip;
    bool applies = route == NULL || route->tls == CONFIG_TLS_STS;
    return applies && !smtp_domain_is_literal(next) && !ip_parse(next, &ip) ? next : SLICE_EMPTY;
}

static const struct config_destination *find_destination(const struct config *config, struct slice domain)
{
    for (size_t i = 0; i < config->destination_count; i++) {
        if (slice_equal(config->destinations[i].domain, domain))
            return &config->destinations[i];
    }
    return NULL;
}

struct config_limits config_limits_find(const struct config *config, struct slice domain)
{
    struct config_limits limits = {.connections = config->per_destination};
    const struct config_destination *rows[] = {find_destination(config, SLICE("*")), find_destination(config, domain)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i] != NULL && rows[i]->connections > 0)
            limits.connections = rows[i]->connections;
        if (rows[i] != NULL && rows[i]->rate.messages > 0)
            limits.rate = rows[i]->rate;
    }
    return limits;
}

/* Is a the slower one? No rate is the fastest. */
static bool is_slower(const struct config_rate *a, const struct config_rate *b)
{
    return a->messages > 0 &&
           (b->messages == 0 || (uint64_t)a->messages * b->per_ms < (uint64_t)b->messages * a->per_ms);
}

struct config_limits config_hop_limits(const struct config *config, struct slice host, uint16_t port)
{
    struct config_limits own = {.connections = 0}, limits = config_limits_find(config, host);
    for (size_t i = 0; i < config->route_count; i++) {
        const struct config_route *route = &config->routes[i];
        if (route->port != port || !slice_equal(route->host, host))
            continue;
        if (route->connections > 0 && (own.connections == 0 || route->connections < own.connections))
            own.connections = route->connections;
        if (is_slower(&route->rate, &own.rate))
            own.rate = route->rate;
    }
    if (own.connections > 0)
        limits.connections = own.connections;
    if (own.rate.messages > 0)
        limits.rate = own.rate;
    return limits;
}

const struct config_client *config_client_find(const struct config *config, const struct ip *ip)
{
    const struct config_client *best = NULL;
    for (size_t i = 0; i < config->client_count; i++) {
        const struct config_client *client = &config->clients[i];
        if (ip_network_has(&client->network, ip) && (best == NULL || client->network.prefix_bits > best->network.prefix_bits))
            best = client;
    }
    return best;
}

bool config_networks_have(const struct config_networks *networks, const struct ip *ip)
{
    for (size_t i = 0; i < networks->count; i++) {
        if (ip_network_has(&networks->items[i], ip))
            return true;
    }
    return false;
}
