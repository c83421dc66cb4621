/* What the files of the uv host share: the loop, calls put off to its next turn, and translations. Only
 * relay/host_uv*.c and relay/resolver_udns*.c include it. */
#ifndef RELAY_HOST_UV_LOOP_H
#define RELAY_HOST_UV_LOOP_H

#include "base/list.h"
#include "relay/host.h"

#include <sys/socket.h>
#include <uv.h>

uv_loop_t *host_loop(void);

/* A call in the next turn of the loop, in order. Zeroed: not put off. Putting off twice is putting off once. */
struct host_deferred {
    struct list_node node;
    void (*run)(struct host_deferred *deferred);
};
void host_defer(struct host_deferred *deferred, void (*run)(struct host_deferred *deferred));
void host_defer_cancel(struct host_deferred *deferred);

/* Zeroed memory. An operation has no way to fail at its start, so without memory the process ends. */
void *host_allocate(size_t size);

/* Ends the process with what it lacked: for the few places where going on would break a contract. */
_Noreturn void host_give_up(const char *what);

/* The enum err of a libuv status. */
enum err host_err(int status);

/* A socket address of an endpoint; 0 when it has neither address nor path. */
socklen_t host_address(const struct endpoint *endpoint, struct sockaddr_storage *address);
/* The endpoint of a socket address, normalised; an unnamed or foreign one gives an empty endpoint. */
struct endpoint host_endpoint(const struct sockaddr_storage *address, socklen_t length);
struct endpoint host_socket_local(int fd);
struct endpoint host_socket_peer(int fd);

/* A stream over a socket that is connected already; the host takes the descriptor over. */
MUST_CHECK enum err host_stream_adopt(struct stream *stream, uv_stream_t *server);
int host_stream_fd(const struct stream *stream); /* -1: it has none any more */

/* Connections that are open, and how many there may be before listeners let new ones wait. */
size_t host_connection_count(void);
void host_connection_shed(void); /* closes one at once that its owner has closed already, if there is any */
void host_connection_max_set(size_t count_max); /* for tests */
void host_listeners_wake(void);                 /* a connection was closed: one that waits may come in */

/* The parts of the loop, opened and closed by host_open() and host_close(). Each close returns what was still open. */
void host_timers_open(void);
int host_timers_close(void);
void host_lanes_open(void);
int host_lanes_close(void);

#endif
