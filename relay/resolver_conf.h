/* resolv.conf(5): only its name servers are read. No search list, no options: names are used as they are. */
#ifndef RELAY_RESOLVER_CONF_H
#define RELAY_RESOLVER_CONF_H

#include "base/ip.h"
#include "base/slice.h"

/* The first server_max name servers, port 53; returns their number. Lines that are no address are passed over, scoped
 * ones (fe80::1%eth0) too: struct endpoint has no scope. */
size_t resolver_conf_parse(struct slice text, struct endpoint *servers, size_t server_max);

#endif
