#include "relay/config.h"

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

const struct config_route *config_route_find(const struct config *config, struct slice domain, struct slice sender_domain)
{
    const struct config_route *route = find_exact(config, domain);
    if (route == NULL)
        route = find_below(config, domain);
    if (route == NULL)
        route = find_from(config, sender_domain);
    return route != NULL ? route : find_exact(config, SLICE("*"));
}

const struct config_rate *config_rate_find(const struct config *config, struct slice domain)
{
    for (size_t i = config->rate_count; i > 0; i--) {
        if (slice_equal(config->rates[i - 1].domain, domain))
            return &config->rates[i - 1];
    }
    return NULL;
}

bool config_networks_have(const struct config_networks *networks, const struct ip *ip)
{
    for (size_t i = 0; i < networks->count; i++) {
        if (ip_network_has(&networks->items[i], ip))
            return true;
    }
    return false;
}
