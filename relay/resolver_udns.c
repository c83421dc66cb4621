/* The resolver of relay/host.h: its servers, and its operations as lookups. */
#include "relay/resolver_udns.h"

#include "relay/host_uv.h"
#include "relay/resolver_conf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <udns.h>

#define RESOLV_CONF "/etc/resolv.conf"
#define RESOLV_CONF_MAX 65536U
#define DNS_PORT 53
#define ATTEMPT_TIMEOUT_MS 3000
#define TOTAL_TIMEOUT_MS 15000
#define LOWERED_MS 3600000 /* then it is seen again whether it keeps the case of names */
#define SUSPECT_MS 3600000 /* mismatches within it belong to the same attempt */

static struct resolver_servers *current; /* NULL: not open */

static void read_resolv_conf(struct resolver_servers *servers);
static void use_servers(struct resolver_servers *servers, const struct resolver_options *options);
static void tell(struct resolver_servers *servers, size_t server, enum resolver_news news, bool is_change);

enum err resolver_open(const struct resolver_options *options)
{
    if (options->server_count > RESOLVER_SERVERS_MAX) {
        return ERR_LIMIT;
    }
    struct resolver_servers *servers = host_allocate(sizeof *servers);
    servers->reference_count = 1;
    servers->attempt_timeout_ms = options->attempt_timeout_ms > 0 ? options->attempt_timeout_ms : ATTEMPT_TIMEOUT_MS;
    servers->total_timeout_ms = options->total_timeout_ms > 0 ? options->total_timeout_ms : TOTAL_TIMEOUT_MS;
    servers->told = options->told;
    servers->owner = options->owner;
    use_servers(servers, options);
    resolver_servers_drop(&current);
    current = servers;
    dns_reset(NULL); /* the context that each question's is copied from */
    return ERR_NONE;
}

void resolver_close(void)
{
    resolver_servers_drop(&current);
}

size_t resolver_server_count(void)
{
    return current == NULL ? 0 : current->count;
}

bool resolver_is_local(void)
{
    if (current == NULL || current->count == 0) {
        return false;
    }
    for (size_t i = 0; i < current->count; i++) {
        if (!ip_is_loopback(&current->endpoints[i].ip)) {
            return false;
        }
    }
    return true;
}

void resolve_start(struct resolve *resolve, enum record_kind kind, struct slice name,
                   void (*done)(struct resolve *resolve, const struct resolve_answer *answer))
{
    assert(resolve->host == NULL);
    struct resolver_question question = {.kind = kind};
    if (!resolver_name_parse(name, &question.name)) {
        question.name.length = 0;
    }
    resolve->done = done;
    resolve->host = lookup_open(resolve, &question, current);
}

void resolve_cancel(struct resolve *resolve)
{
    struct lookup *lookup = resolve->host;
    resolve->host = NULL;
    lookup_close(&lookup);
}

const char *record_kind_name(enum record_kind kind)
{
    static const char *const names[] = {
        [RECORD_A] = "A", [RECORD_AAAA] = "AAAA", [RECORD_MX] = "MX", [RECORD_TXT] = "TXT", [RECORD_TLSA] = "TLSA"};
    return names[kind];
}

const char *resolve_status_text(enum resolve_status status)
{
    switch (status) {
#define X(name, text)                                                                                                  \
    case RESOLVE_##name:                                                                                               \
        return text;
        RESOLVE_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

bool resolve_is_temporary(enum resolve_status status)
{
    return status != RESOLVE_FOUND && status != RESOLVE_NXDOMAIN && status != RESOLVE_NODATA;
}

struct resolver_servers *resolver_servers_take(struct resolver_servers *servers)
{
    servers->reference_count++;
    return servers;
}

void resolver_servers_drop(struct resolver_servers **servers)
{
    if (*servers != NULL && --(*servers)->reference_count == 0) {
        free(*servers);
    }
    *servers = NULL;
}

bool resolver_servers_is_lowered(const struct resolver_servers *servers, size_t server)
{
    return servers->lowered_until_ms[server] > clock_monotonic_ms();
}

void resolver_servers_saw_case(struct resolver_servers *servers, size_t server, bool is_kept)
{
    bool is_change = servers->loses_case[server] == is_kept;
    servers->loses_case[server] = !is_kept;
    servers->lowered_until_ms[server] = is_kept ? 0 : clock_monotonic_ms() + LOWERED_MS;
    if (is_change) {
        tell(servers, server, is_kept ? RESOLVER_CASE_KEPT : RESOLVER_CASE_LOST, true);
    }
}

void resolver_servers_saw_mismatches(struct resolver_servers *servers, size_t server)
{
    int64_t now_ms = clock_monotonic_ms();
    bool is_change = servers->suspect_until_ms[server] <= now_ms;
    servers->suspect_until_ms[server] = now_ms + SUSPECT_MS;
    tell(servers, server, RESOLVER_MISMATCHES, is_change);
}

static void tell(struct resolver_servers *servers, size_t server, enum resolver_news news, bool is_change)
{
    if (servers->told != NULL) {
        struct resolver_event event = {.news = news, .server = &servers->endpoints[server], .is_change = is_change};
        servers->told(servers->owner, &event);
    }
}

/* Given ones, else the system's, else this host: what resolv.conf(5) says of a file that names none. */
static void use_servers(struct resolver_servers *servers, const struct resolver_options *options)
{
    for (size_t i = 0; i < options->server_count; i++) {
        servers->endpoints[servers->count] = options->servers[i];
        if (servers->endpoints[servers->count].port == 0) {
            servers->endpoints[servers->count].port = DNS_PORT;
        }
        servers->count += options->servers[i].ip.family != IP_NONE ? 1 : 0;
    }
    if (options->server_count == 0) {
        read_resolv_conf(servers);
    }
    if (servers->count == 0 && options->server_count == 0) {
        servers->endpoints[0] = (struct endpoint){.ip = ip_v4((const uint8_t[4]){127, 0, 0, 1}), .port = DNS_PORT};
        servers->count = 1;
    }
}

static void read_resolv_conf(struct resolver_servers *servers)
{
    FILE *file = fopen(RESOLV_CONF, "re");
    if (file == NULL) {
        return;
    }
    char *text = host_allocate(RESOLV_CONF_MAX);
    size_t length = fread(text, 1, RESOLV_CONF_MAX, file);
    fclose(file);
    servers->count = resolver_conf_parse(slice_make(text, length), servers->endpoints, RESOLVER_SERVERS_MAX);
    free(text);
}
