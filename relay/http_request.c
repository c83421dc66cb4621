#include "relay/http_request.h"

#include "base/buffer.h"

#include <llhttp.h>
#include <stdlib.h>

#define TARGET_SIZE_MAX 1024u
#define NAME_SIZE_MAX 32u
#define VALUE_SIZE_MAX 1024u

struct http_request {
    llhttp_t parser;
    enum http_request_state state;
    unsigned fault;
    size_t length;       /* bytes taken */
    unsigned host_count; /* Host fields */
    bool has_body;       /* by Content-Length or Transfer-Encoding */
    bool takes_openmetrics;
    bool is_target_cut;
    struct buffer target;
    struct buffer name, value; /* of the field that is coming in; cut where they are too long to matter */
};

static void execute(struct http_request *request, struct slice bytes);
static int refuse(struct http_request *request, unsigned fault);
static void judge_field(struct http_request *request, struct slice name, struct slice value);
static bool lists_openmetrics(struct slice accept);
static void add_cut(struct buffer *buffer, struct slice bytes);
static int on_target(llhttp_t *parser, const char *at, size_t length);
static int on_target_end(llhttp_t *parser);
static int on_field_name(llhttp_t *parser, const char *at, size_t length);
static int on_field_value(llhttp_t *parser, const char *at, size_t length);
static int on_field_end(llhttp_t *parser);
static int on_head_end(llhttp_t *parser);

static const llhttp_settings_t settings = {
    .on_url = on_target,
    .on_url_complete = on_target_end,
    .on_header_field = on_field_name,
    .on_header_value = on_field_value,
    .on_header_value_complete = on_field_end,
    .on_headers_complete = on_head_end,
};

struct http_request *http_request_new(void)
{
    struct http_request *request = calloc(1, sizeof *request);
    if (request == NULL)
        return NULL;
    llhttp_init(&request->parser, HTTP_REQUEST, &settings);
    request->parser.data = request;
    buffer_init(&request->target, TARGET_SIZE_MAX);
    buffer_init(&request->name, NAME_SIZE_MAX);
    buffer_init(&request->value, VALUE_SIZE_MAX);
    return request;
}

void http_request_free(struct http_request **request)
{
    if (*request == NULL)
        return;
    buffer_free(&(*request)->target);
    buffer_free(&(*request)->name);
    buffer_free(&(*request)->value);
    free(*request);
    *request = NULL;
}

enum http_request_state http_request_feed(struct http_request *request, struct slice bytes)
{
    if (request->state == HTTP_REQUEST_MORE && bytes.length > 0)
        execute(request, slice_to(bytes, HTTP_REQUEST_SIZE_MAX - request->length));
    return request->state;
}

unsigned http_request_fault(const struct http_request *request)
{
    return request->fault;
}

bool http_request_is_head(const struct http_request *request)
{
    return request->parser.method == HTTP_HEAD;
}

/* The absolute form is for proxies, but has to be understood (RFC 9112 3.2.2). */
struct slice http_request_path(const struct http_request *request)
{
    struct slice target = buffer_slice(&request->target);
    size_t scheme = slice_find_slice(target, SLICE("://"));
    if (scheme < slice_find(target, '/')) {
        target = slice_from(target, scheme + 3);
        target = slice_from(target, slice_find(target, '/'));
    }
    return slice_to(target, slice_find(target, '?'));
}

bool http_request_takes_openmetrics(const struct http_request *request)
{
    return request->takes_openmetrics;
}

/* At most up to where the head would be too long, so that the same bytes give the same end however they are cut. */
static void execute(struct http_request *request, struct slice bytes)
{
    enum llhttp_errno error = llhttp_execute(&request->parser, bytes.data, bytes.length);
    request->length += bytes.length;
    if (request->state != HTTP_REQUEST_MORE)
        return;
    if (error != HPE_OK)
        refuse(request, 400);
    else if (request->length >= HTTP_REQUEST_SIZE_MAX)
        refuse(request, 431);
}

static int refuse(struct http_request *request, unsigned fault)
{
    request->state = HTTP_REQUEST_FAILED;
    request->fault = fault;
    return -1;
}

static struct http_request *owner(llhttp_t *parser)
{
    return parser->data;
}

static int on_target(llhttp_t *parser, const char *at, size_t length)
{
    struct http_request *request = owner(parser);
    request->is_target_cut = request->is_target_cut || length > buffer_room(&request->target);
    add_cut(&request->target, slice_make(at, length));
    return 0;
}

/* Only now: of a target with a fault in it, how much is told before the fault depends on the cuts. */
static int on_target_end(llhttp_t *parser)
{
    struct http_request *request = owner(parser);
    if (request->is_target_cut)
        return refuse(request, 414);
    return buffer_failed(&request->target) ? refuse(request, 503) : 0;
}

static int on_field_name(llhttp_t *parser, const char *at, size_t length)
{
    add_cut(&owner(parser)->name, slice_make(at, length));
    return 0;
}

static int on_field_value(llhttp_t *parser, const char *at, size_t length)
{
    add_cut(&owner(parser)->value, slice_make(at, length));
    return 0;
}

static void add_cut(struct buffer *buffer, struct slice bytes)
{
    buffer_add(buffer, slice_to(bytes, buffer_room(buffer)));
}

static int on_field_end(llhttp_t *parser)
{
    struct http_request *request = owner(parser);
    if (buffer_failed(&request->name) || buffer_failed(&request->value))
        return refuse(request, 503);
    judge_field(request, buffer_slice(&request->name), slice_trim(buffer_slice(&request->value)));
    buffer_clear(&request->name);
    buffer_clear(&request->value);
    return 0;
}

static void judge_field(struct http_request *request, struct slice name, struct slice value)
{
    if (slice_equal_nocase(name, SLICE("Host")))
        request->host_count++;
    else if (slice_equal_nocase(name, SLICE("Transfer-Encoding")))
        request->has_body = true;
    else if (slice_equal_nocase(name, SLICE("Content-Length")))
        request->has_body = request->has_body || !slice_equal(value, SLICE("0"));
    else if (slice_equal_nocase(name, SLICE("Accept")))
        request->takes_openmetrics = request->takes_openmetrics || lists_openmetrics(value);
}

/* "application/openmetrics-text;version=1.0.0;q=0.8, text/plain;q=0.5": which is liked better does not matter, both say
 * the same. */
static bool lists_openmetrics(struct slice accept)
{
    struct slice range;
    while (slice_cut(&accept, ',', &range)) {
        struct slice type = slice_trim(slice_to(range, slice_find(range, ';')));
        if (slice_equal_nocase(type, SLICE("application/openmetrics-text")))
            return true;
    }
    return false;
}

/* RFC 9112 3.2: a request of HTTP/1.1 without exactly one Host is malformed. */
static int on_head_end(llhttp_t *parser)
{
    struct http_request *request = owner(parser);
    if (parser->http_major != 1)
        return refuse(request, 505);
    if (request->host_count > 1 || (parser->http_minor > 0 && request->host_count == 0))
        return refuse(request, 400);
    if (parser->method != HTTP_GET && parser->method != HTTP_HEAD)
        return refuse(request, 405);
    if (request->has_body)
        return refuse(request, 413);
    request->state = HTTP_REQUEST_DONE;
    return HPE_PAUSED;
}
