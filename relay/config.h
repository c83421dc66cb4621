/* The configuration as values: every key of the table in config_table.c with its safe default, filled from files, environment and
 * --set. The whole lives in one arena; a reload makes a new one. */
#ifndef RELAY_CONFIG_H
#define RELAY_CONFIG_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/err.h"
#include "base/ip.h"
#include "base/list.h"
#include "base/log.h"
#include "queue/backoff.h"

struct config_list { /* of texts */
    const struct slice *items;
    size_t count;
};
struct config_networks {
    const struct ip_network *items;
    size_t count;
};
struct config_endpoints {
    const struct endpoint *items;
    size_t count;
};
struct config_addresses {
    const struct ip *items;
    size_t count;
};
enum config_door { CONFIG_SMTP, CONFIG_SUBMISSION, CONFIG_SUBMISSIONS };
struct config_listen {
    enum config_door door;
    struct endpoint endpoint; /* unused when fd_name is not empty */
    struct slice fd_name;     /* "fd:NAME": socket activation */
};
/* What a connection must prove. STS: verify, and apply the Policy Domain's policy (of the smart host for a route). */
#define CONFIG_TLS_LIST(X) X(OPPORTUNISTIC, "opportunistic") X(ENCRYPT, "encrypt") X(VERIFY, "verify") X(STS, "sts") X(IMPLICIT, "implicit")
enum config_tls {
#define X(name, text) CONFIG_TLS_##name,
    CONFIG_TLS_LIST(X)
#undef X
};
const char *config_tls_name(enum config_tls tls);

struct config_rate { /* at most so many messages in that time; messages 0: no limit */
    uint32_t messages, per_ms;
};
struct config_route {
    struct slice pattern;  /* "example.com", "*.example.com", "from:example.com", "*" */
    struct slice host;     /* of via, canonical, or an address */
    uint16_t port;
    enum config_tls tls;
    struct slice username, password;
    uint32_t connections;  /* 0: those of its host as a destination */
    struct config_rate rate;
};
struct config_destination {
    struct slice domain;   /* canonical, or "*" */
    uint32_t connections;  /* 0: not given */
    struct config_rate rate;
};
struct config_dkim {
    struct slice domain, selector, key_file;
};
struct config_client {
    struct slice name;     /* the network as text, canonical */
    struct ip_network network;
    bool lenient;
};
#define CONFIG_PORT_IMPLICIT 465 /* TLS begins with the first byte (RFC 8314 3.3) */
enum config_family { CONFIG_ANY, CONFIG_IPV4, CONFIG_IPV6 };

struct config {
    struct arena *arena;
    struct slice hostname, user;

    const struct config_listen *listen;
    size_t listen_count;
    struct config_networks proxy_networks;
    uint32_t connections_max, connections_per_client, recipients_max;

    struct config_networks access_networks;
    bool access_networks_given; /* configured, not default */
    struct slice users_file;

    struct slice tls_certificate, tls_key, tls_ca_file;
    bool tls_minimum_1_3, tls_old_suites;

    struct slice queue_path;
    uint64_t queue_size_max, queue_free_min, message_size_max;

    struct queue_schedule retry;
    int64_t expire_ms, warn_ms, report_gather_ms;
    struct slice postmaster;

    struct config_list local_domains; /* canonical */
    struct slice local_root, aliases_file;

    struct config_endpoints dns_servers;

    uint16_t delivery_port, https_port;
    struct config_networks allow_networks;
    uint32_t delivery_connections_max, per_destination;
    enum config_family family;
    struct config_addresses sources;
    int64_t stop_timeout_ms;
    const struct config_destination *destinations;
    size_t destination_count;

    bool sts_enabled, expired_floor;
    uint64_t sts_cache_max;
    enum config_tls tls_default; /* OPPORTUNISTIC, ENCRYPT or VERIFY */

    const struct config_route *routes;
    size_t route_count;
    const struct config_dkim *dkims;
    size_t dkim_count;
    const struct config_client *clients;
    size_t client_count;

    struct config_endpoints http_listen;

    enum log_format log_format;
    bool log_format_given;
    enum log_level log_level;
    struct slice control_socket, submit_socket, drop_path;
    bool control_given, submit_given, drop_given, user_given; /* configured, not default */
    struct list settings; /* what was configured, as it was written: for config_print_effective() and the places of faults */
    bool is_partial; /* read leniently, and something of it may not be read by us */
};

/* Where values come from. Later sources win: files in order, then environment, then sets ("SECTION.KEY=VALUE"). */
struct config_source {
    struct slice file;             /* main file; empty: /etc/sternpost/sternpost.conf and conf.d/ beside it, if they exist */
    const char *const *environment; /* "NAME=VALUE", NULL-terminated; NULL: none */
    const struct slice *sets;
    size_t set_count;
    bool lenient;                  /* sendmail, mailq: what the caller may not read is skipped */
    struct buffer *files;          /* gets a line for each file that was read or not there; NULL: nobody asks */
};
/* Faults and warnings are sentences, one a line, each naming file:line (or variable, or --set) and the cure. ERR_SYNTAX: at least
 * one fault; *config is NULL then. */
MUST_CHECK enum err config_load(const struct config_source *source, struct config **config, struct buffer *faults,
                                struct buffer *warnings);
void config_free(struct config **config);
/* "/etc/sternpost/sternpost.conf:12: [tls] key", without the place where the key has its default. An empty key: the section. */
void config_place_print(const struct config *config, struct slice section, struct slice key, struct buffer *out);

/* The route that applies to a recipient domain of a sender (exact, longest "*.sub", "from:", "*"); NULL: by MX. */
bool config_routes_are_equal(const struct config *a, const struct config *b); /* and their credentials, in the same order */
const struct config_route *config_route_find(const struct config *config, struct slice domain, struct slice sender_domain);
/* False: all mail goes by routes to addresses, without a look at policies: the DNS is never asked. */
bool config_needs_names(const struct config *config);
/* The Policy Domain of such mail is the next-hop domain: the recipient's, or the smart host's where its route asks for policies (RFC
 * 8461 3.4). Empty: it has none. */
struct slice config_policy_domain(const struct config *config, struct slice domain, struct slice sender_domain);
/* What holds for a recipient domain, or for the host of a route: its own [destination], else "*", else per-destination. */
struct config_limits {
    uint32_t connections;
    struct config_rate rate;
};
struct config_limits config_limits_find(const struct config *config, struct slice domain);
/* What holds for a next hop: the strictest that one of its routes says, else what holds for its host as a destination. */
struct config_limits config_hop_limits(const struct config *config, struct slice host, uint16_t port);
/* The [client] section of the smallest network that the address is in; NULL: there is none. */
const struct config_client *config_client_find(const struct config *config, const struct ip *ip);
bool config_networks_have(const struct config_networks *networks, const struct ip *ip);

/* The sample configuration file and the key table of the manual page, made from the parser's own table. */
void config_print_sample(struct buffer *out);
/* What is in force, as a file that says the same, each value with the place that it comes from; secrets are left out. */
void config_print_effective(const struct config *config, struct buffer *out);
void config_print_manual(struct buffer *out); /* mdoc/man macros: one entry a key */

#endif
