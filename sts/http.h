/* The HTTPS response of a policy host: RFC 8461 3.3. One request, one response; only a 200 with a whole text/plain body of
 * at most 64 KiB counts. Redirects, other codes, truncated bodies and encodings are failures. */
#ifndef STS_HTTP_H
#define STS_HTTP_H

#include "base/buffer.h"

struct sts_http;

#define STS_HTTP_STATE_LIST(X) X(MORE) X(DONE) X(FAILED)
enum sts_http_state {
#define X(name) STS_HTTP_##name,
    STS_HTTP_STATE_LIST(X)
#undef X
};

/* The request for https://HOST/.well-known/mta-sts.txt, into out. */
void sts_http_request(struct buffer *out, struct slice host);

struct sts_http *sts_http_new(void); /* NULL: out of memory */
void sts_http_free(struct sts_http **http);
/* Feeds plaintext of the response. DONE: the body is whole. FAILED: see sts_http_failure(). */
enum sts_http_state sts_http_feed(struct sts_http *http, struct slice bytes);
/* The stream ended: whole tells whether TLS said close_notify. A body that only the end of the stream ends is whole only
 * then. */
enum sts_http_state sts_http_end(struct sts_http *http, bool whole);
struct slice sts_http_body(const struct sts_http *http);
struct slice sts_http_failure(const struct sts_http *http); /* "HTTP status 301, redirects are not followed"; cleaned */
bool sts_http_is_starved(const struct sts_http *http);      /* FAILED since memory ran out: nothing was learned */
unsigned sts_http_status(const struct sts_http *http);      /* 0 before the status line */
/* "text/plain" with any parameters, any case. */
bool sts_media_type_is_text(struct slice content_type);

#endif
