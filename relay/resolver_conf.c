#include "relay/resolver_conf.h"

#define DNS_PORT 53

static bool parse_line(struct slice line, struct endpoint *server);

size_t resolver_conf_parse(struct slice text, struct endpoint *servers, size_t server_max)
{
    size_t count = 0;
    struct slice line;
    while (count < server_max && slice_cut(&text, '\n', &line)) {
        count += parse_line(line, &servers[count]) ? 1 : 0;
    }
    return count;
}

/* The keyword begins the line, as the C library wants it; what follows the address is a comment. */
static bool parse_line(struct slice line, struct endpoint *server)
{
    struct slice word;
    if (!slice_starts(line, SLICE("nameserver")) || !slice_word(&line, &word) ||
        !slice_equal(word, SLICE("nameserver")) || !slice_word(&line, &word)) {
        return false;
    }
    *server = (struct endpoint){.port = DNS_PORT};
    return ip_parse(word, &server->ip);
}
