/* The header by which a proxy says whom it speaks for (PROXY protocol, versions 1 and 2, as HAProxy specifies it), read from the
 * front of what a connection sent. Pure; the bytes are given again with more behind them until it is whole. */
#ifndef RELAY_PROXY_H
#define RELAY_PROXY_H

#include "base/ip.h"

/* No header is longer: version 1 has 107 bytes at most, version 2 as many as this relay takes. */
#define PROXY_HEADER_MAX 2048

enum proxy_parse {
    PROXY_MORE,      /* it may become one */
    PROXY_DONE,      /* taken: its length */
    PROXY_MALFORMED, /* it is none, and never will be */
};
struct proxy_header {
    bool has_source;        /* false: the proxy speaks for itself (a health check), or for whom it does not know */
    struct endpoint source; /* the client; normalised */
};
enum proxy_parse proxy_header_parse(struct slice input, struct proxy_header *header, size_t *taken);

#endif
