/* The name servers of the configuration, and what the log says of them. */
#ifndef RELAY_SERVE_RESOLVER_H
#define RELAY_SERVE_RESOLVER_H

#include "base/err.h"
#include "base/log.h"
#include "relay/config.h"
#include "relay/metrics.h"

/* Given by the owner; it lives until the resolver is closed. */
struct serve_resolver {
    struct log *log;
    struct metrics *metrics; /* NULL: nothing is counted yet */
};
/* Also after a reload. */
MUST_CHECK enum err serve_resolver_open(struct serve_resolver *resolver, const struct config *config);

#endif
