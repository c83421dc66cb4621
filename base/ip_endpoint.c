#include "base/ip.h"

#include "base/text.h"

#include <string.h>

static bool parse_path(struct slice path, struct endpoint *endpoint);
static bool split_port(struct slice text, struct slice *address, struct slice *port);

enum err endpoint_parse(struct slice text, uint16_t port_default, struct endpoint *endpoint)
{
    *endpoint = (struct endpoint){.port = port_default};
    if (slice_starts(text, SLICE("unix:"))) {
        return parse_path(slice_from(text, 5), endpoint) ? ERR_NONE : ERR_SYNTAX;
    }
    struct slice address, port;
    bool has_port = split_port(text, &address, &port);
    bool is_bracketed = address.length >= 2 && address.data[0] == '[' && address.data[address.length - 1] == ']';
    if (is_bracketed) {
        address = slice_from(slice_to(address, address.length - 1), 1);
    }
    if (is_bracketed && !slice_has(address, ':')) {
        return ERR_SYNTAX; /* brackets are for IPv6 */
    }
    uint64_t number = port_default;
    if (has_port ? !slice_number(port, UINT16_MAX, &number) : port_default == 0) {
        return ERR_SYNTAX;
    }
    endpoint->port = (uint16_t)number;
    return ip_parse(address, &endpoint->ip) ? ERR_NONE : ERR_SYNTAX;
}

struct slice endpoint_print(const struct endpoint *endpoint, char out[128])
{
    if (endpoint->path[0] != '\0') {
        return text_print(out, 128, "unix:%s", endpoint->path);
    }
    char address[48];
    struct slice text = ip_print(&endpoint->ip, address);
    const char *format = endpoint->ip.family == IP_V6 ? "[%.*s]:%u" : "%.*s:%u";
    return text_print(out, 128, format, SLICE_ARGS(text), (unsigned)endpoint->port);
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
    if (a->path[0] != '\0' || b->path[0] != '\0') {
        return strcmp(a->path, b->path) == 0;
    }
    return a->port == b->port && ip_equal(&a->ip, &b->ip);
}

static bool is_any(const struct ip *ip)
{
    static const struct ip none;
    return memcmp(ip->bytes, none.bytes, sizeof ip->bytes) == 0;
}

bool endpoint_excludes(const struct endpoint *a, const struct endpoint *b)
{
    if (a->path[0] != '\0' || b->path[0] != '\0') {
        return strcmp(a->path, b->path) == 0;
    }
    bool is_one_place = a->ip.family == b->ip.family && (ip_equal(&a->ip, &b->ip) || is_any(&a->ip) || is_any(&b->ip));
    return is_one_place && a->port == b->port && a->port != 0;
}

/* Absolute only: what a relative path names would depend on where the process was started. */
static bool parse_path(struct slice path, struct endpoint *endpoint)
{
    if (path.length == 0 || path.data[0] != '/' || path.length >= sizeof endpoint->path || slice_has(path, '\0')) {
        return false;
    }
    memcpy(endpoint->path, path.data, path.length);
    endpoint->port = 0;
    return true;
}

/* A colon parts the port off when it follows a bracket or is the only one. */
static bool split_port(struct slice text, struct slice *address, struct slice *port)
{
    size_t last = slice_find_last(text, ':');
    bool is_after_bracket = last < text.length && last > 0 && text.data[last - 1] == ']';
    bool has_port = is_after_bracket || (last < text.length && slice_find(text, ':') == last);
    *address = has_port ? slice_to(text, last) : text;
    *port = has_port ? slice_from(text, last + 1) : SLICE_EMPTY;
    return has_port;
}
