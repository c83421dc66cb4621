/* A request to the HTTP listener (RFC 9112), as far as probes and collectors of metrics need one: GET or HEAD, no body,
 * one request a connection. Bytes in, a request or the status code of its refusal out. The request line and the header
 * section together have at most HTTP_REQUEST_SIZE_MAX bytes; what comes behind them is not looked at. */
#ifndef RELAY_HTTP_REQUEST_H
#define RELAY_HTTP_REQUEST_H

#include "base/slice.h"

#define HTTP_REQUEST_SIZE_MAX 8192u

#define HTTP_REQUEST_STATE_LIST(X) X(MORE) X(DONE) X(FAILED)
enum http_request_state {
#define X(name) HTTP_REQUEST_##name,
    HTTP_REQUEST_STATE_LIST(X)
#undef X
};

struct http_request;
struct http_request *http_request_new(void); /* NULL: out of memory */
void http_request_free(struct http_request **request);
/* DONE: the header section is whole. FAILED: see http_request_fault(). Bytes after either change nothing. */
enum http_request_state http_request_feed(struct http_request *request, struct slice bytes);

/* Of a FAILED one, RFC 9110 15.5: 400, 405, 413, 414, 431, 503 (out of memory) or 505. */
unsigned http_request_fault(const struct http_request *request);
/* Of a DONE one. */
bool http_request_is_head(const struct http_request *request);
struct slice http_request_path(const struct http_request *request); /* without the query: "/metrics" */
/* The client can read OpenMetrics: it says so in Accept. */
bool http_request_takes_openmetrics(const struct http_request *request);

#endif
