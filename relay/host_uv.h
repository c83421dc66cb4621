/* The real world behind host.h: the loop, signals, and the resolver's set-up. Only main.c uses this. */
#ifndef RELAY_HOST_UV_H
#define RELAY_HOST_UV_H

#include "relay/host.h"

/* Before anything else: ignores SIGPIPE, raises the limit of open files, makes the loop. */
MUST_CHECK enum err host_open(void);
/* Runs until host_stop() was called and every operation is closed. */
void host_run(void);
void host_stop(void);
/* Closes the loop; returns the number of handles that were still open (0 in good health). */
int host_close(void);
/* Signals: SIGTERM, SIGINT, SIGHUP, SIGUSR1; handler runs on the loop. */
MUST_CHECK enum err host_signal(int number, void (*handler)(void *owner, int number), void *owner);

struct resolver_options {
    const struct endpoint *servers; /* none: /etc/resolv.conf's, else 127.0.0.1; port 0 is 53 */
    size_t server_count;            /* at most 6, else ERR_LIMIT */
    uint32_t attempt_timeout_ms;    /* 0: 3000 */
    uint32_t total_timeout_ms;      /* 0: 15000 */
};
/* Never fails for want of a server: queries then end with RESOLVE_NO_SERVER. May be called again (reload):
 * lookups that are under way end with the servers they began with. */
MUST_CHECK enum err resolver_open(const struct resolver_options *options);
void resolver_close(void);
size_t resolver_server_count(void);
bool resolver_is_local(void); /* every server is on this host (loopback) */

#endif
