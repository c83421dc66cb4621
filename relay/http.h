/* The HTTP listener of [http] listen: /healthz, /readyz and /metrics, for probes and collectors. It tells counts and
 * states, nothing of senders and recipients. One request a connection, which has HTTP_DEADLINE_MS from beginning to
 * end; of HTTP_SESSIONS_MAX at once the oldest makes room for the next, so that whoever holds connections open keeps no
 * probe from its answer. */
#ifndef RELAY_HTTP_H
#define RELAY_HTTP_H

#include "base/buffer.h"
#include "base/err.h"

#define HTTP_SESSIONS_MAX 64u
#define HTTP_DEADLINE_MS 10000

struct relay;
struct http;

struct http *http_new(struct relay *relay); /* NULL: out of memory */
void http_free(struct http **http);         /* drops what is under way */
/* Listens where the relay's configuration says and no longer elsewhere: for the start and for a reload. On error the
 * fault names the address and the cure, nothing is closed, and what else could be opened is. ERR_IN_USE,
 * ERR_PERMISSION, ... */
MUST_CHECK enum err http_open(struct http *http, struct buffer *fault);

#endif
