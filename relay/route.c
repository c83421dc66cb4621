#include "relay/route.h"

#include <assert.h>
#include <string.h>

static bool is_our_name(const struct config *config, struct slice name);
static void sort_hosts(struct route_host *hosts, size_t count);
static bool is_allowed(const struct config *config, const struct ip *ip);

static void one_host(struct slice name, const struct sts_policy *policy, struct arena *arena, struct route *route)
{
    struct route_host *host = arena_alloc(arena, sizeof *host);
    if (host == NULL || !arena_slice(arena, name, &host->name)) {
        route->kind = ROUTE_MEMORY;
        return;
    }
    host->is_admitted = policy == NULL || sts_policy_admits(policy, host->name);
    route->kind = ROUTE_HOSTS;
    route->hosts = host;
    route->host_count = 1;
    route->admitted_count = host->is_admitted ? 1 : 0;
}

void route_by_name(struct slice host, const struct sts_policy *policy, struct arena *arena, struct route *route)
{
    *route = (struct route){0};
    one_host(host, policy, arena, route);
}

/* RFC 5321 5.1: of the MX hosts, if we are among them, only those more preferred than we are may be tried. */
static size_t cut_at_ourselves(const struct route_request *request, struct route_host *hosts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_our_name(request->config, hosts[i].name))
            continue;
        size_t kept = 0;
        while (kept < count && hosts[kept].preference < hosts[i].preference)
            kept++;
        return kept;
    }
    return count;
}

static size_t collect_hosts(const struct route_request *request, struct route_host *hosts)
{
    size_t count = 0;
    for (size_t i = 0; i < request->mx->count; i++) {
        const struct resolve_record *record = &request->mx->records[i];
        if (record->name.length == 0)
            continue;
        if (!arena_slice(request->arena, record->name, &hosts[count].name))
            return SIZE_MAX;
        hosts[count].preference = record->preference;
        count++;
    }
    return count;
}

void route_by_mx(const struct route_request *request, struct route *route)
{
    const struct resolve_answer *mx = request->mx;
    assert(mx->status == RESOLVE_FOUND || mx->status == RESOLVE_NODATA);
    *route = (struct route){0};
    if (mx->status == RESOLVE_NODATA) {
        route->is_implicit = true;
        one_host(request->domain, request->policy, request->arena, route);
        return;
    }
    if (mx->count == 1 && mx->records[0].name.length == 0) {
        route->kind = ROUTE_NULL_MX;
        return;
    }
    struct route_host *hosts = arena_array(request->arena, mx->count, sizeof *hosts);
    size_t count = hosts == NULL ? SIZE_MAX : collect_hosts(request, hosts);
    if (count == SIZE_MAX) {
        route->kind = ROUTE_MEMORY;
        return;
    }
    sort_hosts(hosts, count);
    if (count > ROUTE_HOSTS_MAX)
        count = ROUTE_HOSTS_MAX; /* the most preferred, wherever they stand in the answer */
    size_t kept = cut_at_ourselves(request, hosts, count);
    for (size_t i = 0; i < kept; i++) {
        hosts[i].is_admitted = request->policy == NULL || sts_policy_admits(request->policy, hosts[i].name);
        route->admitted_count += hosts[i].is_admitted ? 1 : 0;
    }
    route->kind = count == 0 ? ROUTE_NULL_MX : kept == 0 ? ROUTE_LOOP : ROUTE_HOSTS;
    route->hosts = hosts;
    route->host_count = kept;
}

/* Shuffled first, then sorted by a sort that keeps the order of equals. */
static void sort_hosts(struct route_host *hosts, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = (size_t)dice_below(i);
        struct route_host swapped = hosts[i - 1];
        hosts[i - 1] = hosts[j];
        hosts[j] = swapped;
    }
    for (size_t i = 1; i < count; i++) {
        struct route_host moving = hosts[i];
        size_t j = i;
        for (; j > 0 && hosts[j - 1].preference > moving.preference; j--)
            hosts[j] = hosts[j - 1];
        hosts[j] = moving;
    }
}

static bool is_our_name(const struct config *config, struct slice name)
{
    return slice_equal_nocase(name, config->hostname);
}

static void refuse(struct route_addresses *addresses, const struct ip *ip)
{
    if (addresses->refused++ == 0)
        addresses->refused_first = *ip;
}

void route_add_addresses(struct route_addresses *addresses, const struct resolve_answer *answer,
                         const struct config *config, bool named_by_administrator)
{
    if (answer->status != RESOLVE_FOUND)
        return;
    for (size_t i = 0; i < answer->count && addresses->count < addresses->capacity; i++) {
        const struct ip *ip = &answer->records[i].ip;
        bool is_own = !addresses->may_be_own && route_is_own_address(config, ip, config->delivery_port);
        if (!named_by_administrator && is_own)
            addresses->own++;
        else if (!named_by_administrator && !is_allowed(config, ip))
            refuse(addresses, ip);
        else
            addresses->items[addresses->count++] = *ip;
    }
}

static bool is_allowed(const struct config *config, const struct ip *ip)
{
    return ip_is_global(ip) || config_networks_have(&config->allow_networks, ip);
}

bool route_is_own_address(const struct config *config, const struct ip *ip, uint16_t port)
{
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        if (listen->fd_name.length == 0 && listen->endpoint.path[0] == '\0' && listen->endpoint.port == port &&
            ip_equal(&listen->endpoint.ip, ip))
            return true;
    }
    return false;
}

/* RFC 8305 in spirit: the families take turns, the one that leads is that of the first address. */
void route_interleave(struct route_addresses *addresses)
{
    for (size_t i = 1; i < addresses->count; i++) {
        enum ip_family wanted = addresses->items[i - 1].family == IP_V4 ? IP_V6 : IP_V4;
        size_t j = i;
        while (j < addresses->count && addresses->items[j].family != wanted)
            j++;
        if (j == addresses->count)
            return;
        struct ip found = addresses->items[j];
        memmove(&addresses->items[i + 1], &addresses->items[i], (j - i) * sizeof found);
        addresses->items[i] = found;
    }
}

enum config_tls route_exempt_tls(enum sts_exempt_level level)
{
    return level == STS_EXEMPT_ANY_HOST  ? CONFIG_TLS_VERIFY
           : level == STS_EXEMPT_ENCRYPT ? CONFIG_TLS_ENCRYPT
                                         : CONFIG_TLS_OPPORTUNISTIC;
}

enum config_tls route_raised_tls(enum config_tls tls, enum sts_exempt_level level)
{
    enum config_tls least = route_exempt_tls(level);
    return tls < least ? least : tls;
}

const struct endpoint *route_source(const struct config *config, enum ip_family family, struct endpoint *source)
{
    for (size_t i = 0; i < config->sources.count; i++) {
        if (config->sources.items[i].family != family)
            continue;
        *source = (struct endpoint){.ip = config->sources.items[i]};
        return source;
    }
    return NULL;
}

bool route_may_expect_tls(uint16_t port, enum config_tls tls)
{
    return port == CONFIG_PORT_IMPLICIT && tls != CONFIG_TLS_IMPLICIT;
}
