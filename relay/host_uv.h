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

/* What answers show of a name server. */
enum resolver_news {
    RESOLVER_CASE_LOST,  /* it does not repeat a name as it was asked: for an hour it is not expected to */
    RESOLVER_CASE_KEPT,  /* it does again */
    RESOLVER_MISMATCHES, /* answers with its address did not match the question, which was then asked over TCP */
};
struct resolver_event {
    enum resolver_news news;
    const struct endpoint *server;
    bool is_change; /* the server's state is another now; a repetition is only to be counted */
};
struct resolver_options {
    const struct endpoint *servers; /* none: /etc/resolv.conf's, else 127.0.0.1; port 0 is 53 */
    size_t server_count;            /* at most 6, else ERR_LIMIT */
    uint32_t attempt_timeout_ms;    /* 0: 3000 */
    uint32_t total_timeout_ms;      /* 0: 15000 */
    void (*told)(void *owner, const struct resolver_event *event); /* NULL: nobody wants to know */
    void *owner;
};
/* Never fails for want of a server: queries then end with RESOLVE_NO_SERVER. May be called again (reload):
 * lookups that are under way end with the servers they began with. */
MUST_CHECK enum err resolver_open(const struct resolver_options *options);
void resolver_close(void);
size_t resolver_server_count(void);
bool resolver_is_local(void); /* every server is on this host (loopback) */

#endif
