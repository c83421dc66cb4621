/* What only shows when all is read: keys that belong together, doors that get in each other's way, names that lead nowhere. */
#include "relay/config_internal.h"

#include "base/idna.h"
#include "base/text.h"
#include "relay/open_relay.h"
#include "smtp/address.h"

#include <stdio.h>
#include <sys/stat.h>


static void check_routes(struct config_loader *loader);
static void check_sts(struct config_loader *loader);
static void check_tls(struct config_loader *loader);
static void check_dkims(struct config_loader *loader);
static void check_doors(struct config_loader *loader);
static void check_proxies(struct config_loader *loader);
static void check_twice(struct config_loader *loader);
static void check_places(struct config_loader *loader);
static void check_hostname(struct config_loader *loader);

void config_check(struct config_loader *loader)
{
    check_hostname(loader);
    check_routes(loader);
    check_sts(loader);
    check_tls(loader);
    check_dkims(loader);
    check_doors(loader);
    /* Of no concern to the command line, which hands mail to whatever answers, or to the drop directory. */
    if (loader->lenient)
        return;
    check_twice(loader);
    check_places(loader);
}

static struct slice place(struct config_loader *loader, const char *section, const char *key)
{
    return config_place(loader, slice_of(section), SLICE_EMPTY, slice_of(key));
}

static void check_hostname(struct config_loader *loader)
{
    const struct config *config = loader->config;
    if (!loader->lenient && config->hostname.length > 0 && !slice_has(config->hostname, '.'))
        config_warn(loader, place(loader, "", "hostname"),
                    "\"%.*s\" has no dot: many hosts refuse mail from one that gives such a name; set hostname to the full one, such as "
                    "mail.example.com",
                    SLICE_ARGS(config->hostname));
}

/* ---- routes ---- */

static bool is_address(struct slice host)
{
    struct ip ip;
    return ip_parse(host, &ip);
}

static bool proves(const struct config_route *route)
{
    return route->tls == CONFIG_TLS_VERIFY || route->tls == CONFIG_TLS_STS || route->tls == CONFIG_TLS_IMPLICIT;
}

/* Without a password the command line may just not be able to read it. */
static void check_credentials(struct config_loader *loader, const struct config_route *route, struct slice where)
{
    if (route->password.length > 0 && route->username.length == 0)
        config_fault(loader, where, "a password needs a username");
    if (route->username.length > 0 && route->password.length == 0 && !loader->lenient)
        config_fault(loader, where, "a username needs a password; without both the relay does not log in");
    if (route->username.length > 0 && !proves(route))
        config_fault(loader, where, "credentials need verified TLS: tls = verify, sts or implicit");
}

static void check_port(struct config_loader *loader, const struct config_route *route, struct slice where)
{
    bool is_implicit = route->tls == CONFIG_TLS_IMPLICIT;
    if (route->port == CONFIG_PORT_IMPLICIT && !is_implicit)
        config_warn(loader, where, "behind port 465 TLS begins with the first byte, and with tls = %s both sides would wait for each other; "
                                   "set tls = implicit",
                    config_tls_name(route->tls));
    if (is_implicit && (route->port == 25 || route->port == 587))
        config_warn(loader, where, "behind port %u TLS begins with STARTTLS; set tls = verify, or the port to 465", route->port);
}

static void check_routes(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->config->route_count; i++) {
        struct config_route *route = &loader->routes[i];
        struct slice where = config_place(loader, SLICE("route"), route->pattern, SLICE_EMPTY);
        if (route->host.length == 0)
            config_fault(loader, where, "via is missing");
        if (route->port == 0)
            route->port = route->tls == CONFIG_TLS_IMPLICIT ? CONFIG_PORT_IMPLICIT : 587;
        check_credentials(loader, route, where);
        check_port(loader, route, where);
        if (proves(route) && is_address(route->host))
            config_warn(loader, where,
                        "%.*s is an address, which no certificate proves: mail would wait; name the host, or set tls = encrypt",
                        SLICE_ARGS(route->host));
    }
}

/* ---- TLS and signatures ---- */

static void check_sts(struct config_loader *loader)
{
    if (!loader->config->sts_enabled)
        config_warn(loader, place(loader, "sts", "enabled"),
                    "no policy is looked up or applied: whoever is on the way can read and change mail for every domain");
}

/* A private key that everybody can read is no secret. */
static void check_key(struct config_loader *loader, struct slice where, struct slice path)
{
    struct stat status;
    char name[4096];
    snprintf(name, sizeof name, "%.*s", SLICE_ARGS(path));
    if (!loader->lenient && path.length > 0 && stat(name, &status) == 0 && (status.st_mode & S_IROTH) != 0)
        config_fault(loader, where, "%s can be read by everybody; chmod 0640 it", name);
}

static void check_tls(struct config_loader *loader)
{
    const struct config *config = loader->config;
    bool has_certificate = config->tls_certificate.length > 0, has_key = config->tls_key.length > 0;
    if (has_certificate != has_key)
        config_fault(loader, place(loader, "tls", has_certificate ? "certificate" : "key"), "certificate and key belong together");
    check_key(loader, place(loader, "tls", "key"), config->tls_key);
}

static void check_dkims(struct config_loader *loader)
{
    for (size_t i = 0; i < loader->config->dkim_count; i++) {
        const struct config_dkim *dkim = &loader->dkims[i];
        struct slice where = config_place(loader, SLICE("dkim"), dkim->domain, SLICE_EMPTY);
        if (dkim->selector.length == 0 || dkim->key_file.length == 0)
            config_fault(loader, where, "a signature needs selector and key");
        else if (!smtp_domain_is_valid(dkim->selector, false))
            config_fault(loader, where, "\"%.*s\" is no selector: letters, digits and hyphens, as in a name of DNS",
                         SLICE_ARGS(dkim->selector));
        check_key(loader, where, dkim->key_file);
    }
}

/* ---- doors ---- */

static const char *const door_keys[] = {[CONFIG_SMTP] = "smtp", [CONFIG_SUBMISSION] = "submission", [CONFIG_SUBMISSIONS] = "submissions"};

static bool are_one(const struct config_listen *a, const struct config_listen *b)
{
    if (a->fd_name.length > 0 || b->fd_name.length > 0)
        return slice_equal(a->fd_name, b->fd_name);
    return endpoint_excludes(&a->endpoint, &b->endpoint);
}

static bool is_path_of(const struct endpoint *endpoint, struct slice path)
{
    return path.length > 0 && slice_equal(slice_of(endpoint->path), path);
}

/* A socket of our own that has its key. */
static const char *socket_of(const struct config *config, const struct endpoint *endpoint)
{
    return is_path_of(endpoint, config->control_socket)  ? "[control] socket"
           : is_path_of(endpoint, config->submit_socket) ? "[submit] socket"
                                                         : NULL;
}

static void tell_twice(struct config_loader *loader, struct slice where, const struct endpoint *one, const struct endpoint *other)
{
    char text[128], other_text[128];
    struct slice name = endpoint_print(one, text);
    if (endpoint_equal(one, other))
        config_fault(loader, where, "%.*s is named twice; each can be one door only", SLICE_ARGS(name));
    else
        config_fault(loader, where, "%.*s and %.*s cannot both be opened: one of them is every address of the machine", SLICE_ARGS(name),
                     SLICE_ARGS(endpoint_print(other, other_text)));
}

/* With those before it, and with those of [http]. */
static void check_door(struct config_loader *loader, size_t number)
{
    const struct config *config = loader->config;
    const struct config_listen *door = &config->listen[number];
    struct slice where = place(loader, "listen", door_keys[door->door]);
    for (size_t i = 0; i < number; i++) {
        if (!are_one(door, &config->listen[i]))
            continue;
        if (door->fd_name.length > 0)
            config_fault(loader, where, "%.*s is named twice; each can be one door only", SLICE_ARGS(door->fd_name));
        else
            tell_twice(loader, where, &door->endpoint, &config->listen[i].endpoint);
        return;
    }
    for (size_t i = 0; i < config->http_listen.count && door->fd_name.length == 0; i++) {
        if (!endpoint_excludes(&door->endpoint, &config->http_listen.items[i]))
            continue;
        tell_twice(loader, where, &door->endpoint, &config->http_listen.items[i]);
        return;
    }
}

/* The same one twice is one door. */
static void check_http_door(struct config_loader *loader, size_t number)
{
    const struct config_endpoints *doors = &loader->config->http_listen;
    for (size_t i = 0; i < number; i++) {
        if (!endpoint_excludes(&doors->items[number], &doors->items[i]) || endpoint_equal(&doors->items[number], &doors->items[i]))
            continue;
        tell_twice(loader, place(loader, "http", "listen"), &doors->items[number], &doors->items[i]);
        return;
    }
}

static void check_socket(struct config_loader *loader, struct slice where, const struct endpoint *endpoint)
{
    const char *key = socket_of(loader->config, endpoint);
    if (key != NULL)
        config_fault(loader, where, "%s is the %s; name another path", endpoint->path, key);
}

static void check_twice(struct config_loader *loader)
{
    const struct config *config = loader->config;
    for (size_t i = 0; i < config->listen_count; i++) {
        check_door(loader, i);
        check_socket(loader, place(loader, "listen", door_keys[config->listen[i].door]), &config->listen[i].endpoint);
    }
    for (size_t i = 0; i < config->http_listen.count; i++) {
        check_http_door(loader, i);
        check_socket(loader, place(loader, "http", "listen"), &config->http_listen.items[i]);
    }
}

/* Where clients have to log in there must be TLS to do it over, and users. */
static void check_logins(struct config_loader *loader)
{
    const struct config *config = loader->config;
    bool has_tls = config->tls_certificate.length > 0, has_users = config->users_file.length > 0;
    if (has_users && !has_tls)
        config_fault(loader, place(loader, "access", "users-file"), "users log in over TLS only: configure [tls] certificate and key");
    for (size_t i = 0; i < config->listen_count; i++) {
        const struct config_listen *listen = &config->listen[i];
        bool is_near = listen->fd_name.length == 0 && (listen->endpoint.path[0] != '\0' || ip_is_loopback(&listen->endpoint.ip));
        if (listen->door == CONFIG_SMTP || (listen->door == CONFIG_SUBMISSION && is_near))
            continue;
        struct slice where = place(loader, "listen", door_keys[listen->door]);
        if (!has_tls)
            config_fault(loader, where, "needs TLS: configure [tls] certificate and key");
        if (!has_users)
            config_fault(loader, where, "needs users who log in: name their file in [access] users-file");
    }
}

static void check_doors(struct config_loader *loader)
{
    check_logins(loader);
    check_proxies(loader);
}

/* A network of everybody may be written in parts, as that of who may relay. */
static void check_proxies(struct config_loader *loader)
{
    const struct config *config = loader->config;
    enum ip_family family = open_relay_family(config->proxy_networks.items, config->proxy_networks.count);
    if (family == IP_NONE)
        return;
    for (size_t i = 0; i < config->proxy_networks.count; i++) {
        char text[56];
        if (config->proxy_networks.items[i].prefix_bits != 0)
            continue;
        config_fault(loader, place(loader, "listen", "proxy-networks"),
                     "%.*s would have anybody believed who says where he is; list the addresses of your proxies",
                     SLICE_ARGS(ip_network_print(&config->proxy_networks.items[i], text)));
        return;
    }
    config_fault(loader, place(loader, "listen", "proxy-networks"),
                 "these would have anybody believed who says where he is: together they hold half of all %s addresses or more; list the "
                 "addresses of your proxies",
                 family == IP_V4 ? "IPv4" : "IPv6");
}

/* ---- sockets ---- */

/* A path of a unix socket fits into its address, as that of an endpoint does, or cannot be bound. */
static void check_places(struct config_loader *loader)
{
    const struct config *config = loader->config;
    const struct {
        const char *section;
        struct slice path;
    } sockets[] = {{"control", config->control_socket}, {"submit", config->submit_socket}};
    for (size_t i = 0; i < sizeof sockets / sizeof sockets[0]; i++) {
        if (sockets[i].path.length >= sizeof((struct endpoint *)0)->path)
            config_fault(loader, place(loader, sockets[i].section, "socket"), "a path of %zu bytes is too long for a socket: %zu at most",
                         sockets[i].path.length, sizeof((struct endpoint *)0)->path - 1);
    }
    if (config->control_socket.length > 0 && slice_equal(config->control_socket, config->submit_socket))
        config_fault(loader, place(loader, "submit", "socket"), "the socket of [control] is not for all users: name another one");
}
