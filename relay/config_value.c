#include "relay/config_internal.h"

#include "base/idna.h"
#include "base/list.h"
#include "base/text.h"
#include "smtp/address.h"

#include <string.h>

static bool keep(struct config_loader *loader, struct slice value, struct slice *place);
static bool add_listen(struct config_loader *loader, struct slice value, enum config_door door, const char **expected);

static bool keep(struct config_loader *loader, struct slice value, struct slice *place)
{
    if (arena_slice(loader->config->arena, value, place))
        return true;
    loader->no_memory = true;
    return false;
}

/* Room for one item a word. */
static void *make_items(struct config_loader *loader, struct slice value, size_t size)
{
    size_t count = 1;
    struct slice word;
    while (slice_word(&value, &word))
        count++;
    void *items = count > CONFIG_ITEMS_MAX ? NULL : arena_array(loader->config->arena, count, size);
    if (items == NULL)
        loader->no_memory = true;
    return items;
}

bool config_parse_text(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    *expected = "text";
    return keep(loader, value, place);
}

bool config_parse_flag(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "yes or no";
    bool yes = slice_equal(value, SLICE("yes")) || slice_equal(value, SLICE("true")) || slice_equal(value, SLICE("on"));
    bool no = slice_equal(value, SLICE("no")) || slice_equal(value, SLICE("false")) || slice_equal(value, SLICE("off"));
    *(bool *)place = yes;
    return yes || no;
}

bool config_parse_count(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    uint64_t number;
    *expected = "a number from 1 to 1000000";
    if (!slice_number(value, 1000000, &number) || number == 0)
        return false;
    *(uint32_t *)place = (uint32_t)number;
    return true;
}

bool config_parse_port(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    uint64_t number;
    *expected = "a port from 1 to 65535";
    if (!slice_number(value, 65535, &number) || number == 0)
        return false;
    *(uint16_t *)place = (uint16_t)number;
    return true;
}

bool config_parse_size(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "a size such as 50M";
    return text_size_parse(value, place) == ERR_NONE;
}

bool config_parse_duration(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "a time such as 90s, 5m, 2h or 5d";
    return text_duration_parse(value, place) == ERR_NONE;
}

bool config_parse_schedule(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    struct queue_schedule schedule = {.count = 0};
    struct slice word;
    *expected = "one to sixteen times over 0, such as 1m 5m 1h";
    while (slice_word(&value, &word)) {
        if (schedule.count == QUEUE_BACKOFF_MAX || text_duration_parse(word, &schedule.wait_ms[schedule.count]) != ERR_NONE ||
            schedule.wait_ms[schedule.count] <= 0)
            return false;
        schedule.count++;
    }
    memcpy(place, &schedule, sizeof schedule);
    return schedule.count > 0;
}

bool config_parse_networks(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    struct config_networks *networks = place;
    struct ip_network *items = make_items(loader, value, sizeof *items);
    struct slice word;
    size_t count = 0;
    *expected = "networks such as 10.0.0.0/8 or 2001:db8::/32 (no bits set behind the prefix)";
    while (items != NULL && slice_word(&value, &word)) {
        if (ip_network_parse(word, &items[count++]) != ERR_NONE)
            return false;
    }
    *networks = (struct config_networks){.items = items, .count = count};
    return items != NULL;
}

bool config_parse_domains(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    struct config_list *list = place;
    struct slice *items = make_items(loader, value, sizeof *items);
    struct slice word;
    size_t count = 0;
    *expected = "domain names";
    while (items != NULL && slice_word(&value, &word)) {
        if (idna_canonical(word, loader->config->arena, &items[count++]) != ERR_NONE)
            return false;
    }
    *list = (struct config_list){.items = items, .count = count};
    return items != NULL;
}

bool config_parse_endpoints(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    struct config_endpoints *endpoints = place;
    struct endpoint *items = make_items(loader, value, sizeof *items);
    struct slice word;
    size_t count = 0;
    *expected = "ADDRESS:PORT or unix:PATH, white space between";
    while (items != NULL && slice_word(&value, &word)) {
        if (endpoint_parse(word, 0, &items[count++]) != ERR_NONE)
            return false;
    }
    *endpoints = (struct config_endpoints){.items = items, .count = count};
    return items != NULL;
}

bool config_parse_servers(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    struct config_endpoints *endpoints = place;
    struct endpoint *items = make_items(loader, value, sizeof *items);
    struct slice word;
    size_t count = 0;
    *expected = "addresses of resolvers, such as 127.0.0.1 or [::1]:5353";
    while (items != NULL && slice_word(&value, &word)) {
        struct endpoint *server = &items[count++];
        *server = (struct endpoint){.port = 53};
        if (!ip_parse(word, &server->ip) && (endpoint_parse(word, 53, server) != ERR_NONE || server->path[0] != '\0'))
            return false;
    }
    *endpoints = (struct config_endpoints){.items = items, .count = count};
    return items != NULL;
}

bool config_parse_sources(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    struct config_addresses *sources = place;
    struct ip *items = make_items(loader, value, sizeof *items);
    struct slice word;
    size_t count = 0;
    *expected = "addresses of this machine";
    while (items != NULL && slice_word(&value, &word)) {
        if (!ip_parse(word, &items[count++]))
            return false;
    }
    *sources = (struct config_addresses){.items = items, .count = count};
    return items != NULL;
}

bool config_parse_family(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    static const char *const names[] = {"any", "ipv4", "ipv6"};
    *expected = "any, ipv4 or ipv6";
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!slice_equal(value, slice_of(names[i])))
            continue;
        *(enum config_family *)place = (enum config_family)i;
        return true;
    }
    return false;
}

static bool parse_tls(struct slice value, void *place)
{
    static const char *const names[] = {
#define X(name, text) [CONFIG_TLS_##name] = text,
        CONFIG_TLS_LIST(X)
#undef X
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!slice_equal(value, slice_of(names[i])))
            continue;
        *(enum config_tls *)place = (enum config_tls)i;
        return true;
    }
    return false;
}

bool config_parse_route_tls(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "sts, verify, implicit, encrypt or opportunistic";
    return parse_tls(value, place);
}

bool config_parse_default_tls(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "opportunistic, encrypt or verify";
    return parse_tls(value, place) && *(enum config_tls *)place <= CONFIG_TLS_VERIFY;
}

bool config_parse_log_format(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    *expected = "text, logfmt or json";
    loader->config->log_format_given = true;
    return log_format_parse(value, place);
}

bool config_parse_log_level(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "error, warning, info or debug";
    return log_level_parse(value, place);
}

bool config_parse_minimum(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    *expected = "1.2 or 1.3";
    *(bool *)place = slice_equal(value, SLICE("1.3"));
    return *(bool *)place || slice_equal(value, SLICE("1.2"));
}

/* The port is told from the host by the last colon; an IPv6 address stands in brackets. */
bool config_parse_via(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    struct config_route *route = LIST_OF(place, struct config_route, host);
    uint64_t port = 0;
    struct slice host = value;
    size_t colon = slice_find_last(value, ':');
    struct ip ip;
    *expected = "HOST:PORT, such as smtp.example.com:587";
    if (colon < value.length && !slice_ends(value, SLICE("]")) && !ip_parse(value, &ip)) {
        if (!slice_number(slice_from(value, colon + 1), 65535, &port) || port == 0)
            return false;
        host = slice_to(value, colon);
    }
    if (slice_starts(host, SLICE("[")) && slice_ends(host, SLICE("]")))
        host = slice_make(host.data + 1, host.length - 2);
    route->port = (uint16_t)port;
    return ip_parse(host, &ip) ? keep(loader, host, place)
                               : idna_canonical(host, loader->config->arena, place) == ERR_NONE;
}

bool config_parse_rate(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)loader;
    struct config_rate *rate = place;
    struct slice count;
    uint64_t messages;
    int64_t per_ms;
    *expected = "messages in a time, such as 100/h or 1/10s";
    if (!slice_cut(&value, '/', &count) || !slice_number(count, 10000000, &messages) || messages == 0 || value.data == NULL)
        return false;
    char text[32];
    bool bare = value.length == 1 && !byte_is_digit(value.data[0]);
    struct slice time = bare ? text_print(text, sizeof text, "1%c", value.data[0]) : value;
    if (text_duration_parse(time, &per_ms) != ERR_NONE || per_ms <= 0 || per_ms > UINT32_MAX)
        return false;
    rate->messages = (uint32_t)messages;
    rate->per_ms = (uint32_t)per_ms;
    return true;
}

bool config_parse_address(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    char text[SMTP_ADDRESS_MAX + 1];
    *expected = "an address such as admin@example.com";
    return (value.length == 0 || smtp_address_repair(&value, true, text)) && keep(loader, value, place);
}

/* ---- listeners: three keys fill one list ---- */

static bool add_listen(struct config_loader *loader, struct slice value, enum config_door door, const char **expected)
{
    static const uint16_t ports[] = {[CONFIG_SMTP] = 25, [CONFIG_SUBMISSION] = 587, [CONFIG_SUBMISSIONS] = 465};
    struct slice word;
    size_t kept = 0;
    *expected = "ADDRESS:PORT, unix:PATH or fd:NAME, white space between";
    /* A later source replaces what an earlier one said for this door. */
    for (size_t i = 0; i < loader->listen_count; i++) {
        if (loader->listen[i].door != door)
            loader->listen[kept++] = loader->listen[i];
    }
    loader->listen_count = kept;
    while (slice_word(&value, &word)) {
        if (loader->listen_count == CONFIG_ITEMS_MAX)
            return false;
        struct config_listen *listen = &loader->listen[loader->listen_count++];
        *listen = (struct config_listen){.door = door, .fd_name = SLICE_EMPTY};
        if (slice_starts(word, SLICE("fd:")) ? !keep(loader, slice_from(word, 3), &listen->fd_name)
                                             : endpoint_parse(word, ports[door], &listen->endpoint) != ERR_NONE)
            return false;
    }
    return true;
}

bool config_parse_listen_smtp(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)place;
    return add_listen(loader, value, CONFIG_SMTP, expected);
}

bool config_parse_listen_submission(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)place;
    return add_listen(loader, value, CONFIG_SUBMISSION, expected);
}

bool config_parse_listen_submissions(struct config_loader *loader, struct slice value, void *place, const char **expected)
{
    (void)place;
    return add_listen(loader, value, CONFIG_SUBMISSIONS, expected);
}
