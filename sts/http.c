#include "sts/http.h"

#include <assert.h>
#include <llhttp.h>
#include <stdlib.h>

#include "base/text.h"
#include "sts/policy.h"

#define HEAD_SIZE_MAX 16384u /* all header sections together, those of 1xx too */
/* All bytes of a response. A body in chunks of one byte and some trailers fit; endless chunk extensions do not. */
#define RESPONSE_SIZE_MAX 524288u
#define NAME_SIZE_MAX 32u
#define VALUE_SIZE_MAX 256u
#define FAILURE_SIZE_MAX 512u
#define NO_BODY 1 /* what tells llhttp that no body follows this head */

enum part { PART_HEAD, PART_BODY };

/* What the header fields of the present message said. A field that came twice counts twice. */
struct head {
    unsigned text_types, other_types; /* Content-Type: text/plain, and others */
    unsigned other_codings;           /* Content-Encoding other than identity */
    unsigned other_transfers;         /* Transfer-Encoding other than chunked */
    char type[VALUE_SIZE_MAX];        /* the last of the other types */
    size_t type_length;
};

struct sts_http {
    llhttp_t parser;
    llhttp_settings_t settings;
    enum sts_http_state state;
    enum part part;
    size_t length; /* bytes taken */
    unsigned status;
    struct head head;
    struct buffer name, value; /* of the field that is coming in; cut where they are too long to matter */
    struct buffer body;
    struct buffer failure;
    bool is_starved;
};

static void execute(struct sts_http *http, struct slice bytes);
static size_t part_size_max(const struct sts_http *http);
static void fail(struct sts_http *http, const char *why);
static void judge_head(struct sts_http *http);
static bool judge_status(struct sts_http *http);
static bool judge_fields(struct sts_http *http);
static void judge_field(struct sts_http *http, struct slice name, struct slice value);
static void judge_type(struct head *head, struct slice value);
static bool is_judged(struct slice name);
static void add_cut(struct buffer *buffer, struct slice bytes);
static struct sts_http *owner(llhttp_t *parser);
static int on_message_begin(llhttp_t *parser);
static int on_field_start(llhttp_t *parser, const char *at, size_t length);
static int on_field_value(llhttp_t *parser, const char *at, size_t length);
static int on_field_end(llhttp_t *parser);
static int on_head_end(llhttp_t *parser);
static int on_chunk_start(llhttp_t *parser);
static int on_body(llhttp_t *parser, const char *at, size_t length);
static int on_message_end(llhttp_t *parser);

void sts_http_request(struct buffer *out, struct slice host)
{
    for (size_t i = 0; i < host.length; i++)
        assert(byte_is_print(host.data[i])); /* it comes from a canonical domain: no line can be put in */
    buffer_print(out,
                 "GET /.well-known/mta-sts.txt HTTP/1.1\r\n"
                 "Host: %.*s\r\n"
                 "User-Agent: sternpost\r\n"
                 "Accept: text/plain\r\n"
                 "Accept-Encoding: identity\r\n"
                 "Connection: close\r\n"
                 "\r\n",
                 SLICE_ARGS(host));
}

struct sts_http *sts_http_new(void)
{
    struct sts_http *http = calloc(1, sizeof *http);
    if (http == NULL)
        return NULL;
    llhttp_settings_init(&http->settings);
    http->settings.on_message_begin = on_message_begin;
    http->settings.on_header_field = on_field_start;
    http->settings.on_header_value = on_field_value;
    http->settings.on_header_value_complete = on_field_end;
    http->settings.on_headers_complete = on_head_end;
    http->settings.on_chunk_header = on_chunk_start;
    http->settings.on_body = on_body;
    http->settings.on_message_complete = on_message_end;
    llhttp_init(&http->parser, HTTP_RESPONSE, &http->settings);
    http->parser.data = http;
    buffer_init(&http->name, NAME_SIZE_MAX);
    buffer_init(&http->value, VALUE_SIZE_MAX);
    buffer_init(&http->body, STS_POLICY_SIZE_MAX);
    buffer_init(&http->failure, FAILURE_SIZE_MAX);
    return http;
}

void sts_http_free(struct sts_http **http)
{
    if (*http == NULL)
        return;
    buffer_free(&(*http)->name);
    buffer_free(&(*http)->value);
    buffer_free(&(*http)->body);
    buffer_free(&(*http)->failure);
    free(*http);
    *http = NULL;
}

enum sts_http_state sts_http_feed(struct sts_http *http, struct slice bytes)
{
    while (http->state == STS_HTTP_MORE && bytes.length > 0) {
        struct slice piece = slice_to(bytes, part_size_max(http) - http->length);
        execute(http, piece);
        bytes = slice_from(bytes, piece.length);
    }
    return http->state;
}

enum sts_http_state sts_http_end(struct sts_http *http, bool whole)
{
    if (http->state != STS_HTTP_MORE)
        return http->state;
    if (http->length == 0)
        fail(http, "the connection ended before a response came");
    else if (http->part == PART_HEAD)
        fail(http, "the connection ended within the header section");
    else if (!llhttp_message_needs_eof(&http->parser))
        fail(http, "the connection ended before the body was whole");
    else if (!whole)
        fail(http, "the connection ended without close_notify, the body may be cut");
    else
        http->state = STS_HTTP_DONE;
    return http->state;
}

struct slice sts_http_body(const struct sts_http *http)
{
    return buffer_slice(&http->body);
}

struct slice sts_http_failure(const struct sts_http *http)
{
    return buffer_failed(&http->failure) ? SLICE("out of memory") : buffer_slice(&http->failure);
}

bool sts_http_is_starved(const struct sts_http *http)
{
    return http->is_starved;
}

unsigned sts_http_status(const struct sts_http *http)
{
    return http->status;
}

bool sts_media_type_is_text(struct slice content_type)
{
    return slice_equal_nocase(slice_trim(slice_to(content_type, slice_find(content_type, ';'))), SLICE("text/plain"));
}

/* At most up to where the present part of the response would be too long, so that the same bytes give the same end
 * however they are cut. */
static void execute(struct sts_http *http, struct slice bytes)
{
    enum llhttp_errno error = llhttp_execute(&http->parser, bytes.data, bytes.length);
    http->length += bytes.length;
    if (http->state != STS_HTTP_MORE)
        return;
    if (error != HPE_OK) {
        buffer_print(&http->failure, "malformed HTTP response: %s", llhttp_get_error_reason(&http->parser));
        http->state = STS_HTTP_FAILED;
    } else if (http->length >= part_size_max(http)) {
        fail(http, http->part == PART_HEAD ? "the header section is over 16 KiB" : "the response is over 512 KiB");
    }
}

static size_t part_size_max(const struct sts_http *http)
{
    return http->part == PART_HEAD ? HEAD_SIZE_MAX : RESPONSE_SIZE_MAX;
}

static void fail(struct sts_http *http, const char *why)
{
    buffer_print(&http->failure, "%s", why);
    http->state = STS_HTTP_FAILED;
}

static void starve(struct sts_http *http)
{
    http->is_starved = true;
    fail(http, "out of memory");
}

static void judge_head(struct sts_http *http)
{
    const llhttp_t *parser = &http->parser;
    if (!judge_status(http) || !judge_fields(http))
        return;
    if ((parser->flags & F_CONTENT_LENGTH) && parser->content_length > STS_POLICY_SIZE_MAX)
        fail(http, "the body is over 64 KiB");
    http->part = PART_BODY;
}

static bool judge_status(struct sts_http *http)
{
    const llhttp_t *parser = &http->parser;
    if (parser->http_major != 1)
        fail(http, "the response is neither HTTP/1.0 nor HTTP/1.1");
    else if (http->status >= 300 && http->status < 400)
        buffer_print(&http->failure, "HTTP status %u, redirects are not followed", http->status);
    else if (http->status != 200)
        buffer_print(&http->failure, "HTTP status %u", http->status);
    else
        return true;
    http->state = STS_HTTP_FAILED;
    return false;
}

static bool judge_fields(struct sts_http *http)
{
    const struct head *head = &http->head;
    if (head->other_transfers > 0)
        fail(http, "the transfer encoding is not chunked");
    else if (head->other_codings > 0)
        fail(http, "the body has a content encoding, none was asked for");
    else if (head->other_types == 0 && head->text_types == 0)
        fail(http, "there is no media type, it must be text/plain");
    else if (head->other_types == 0)
        return true;
    else {
        buffer_print(&http->failure, "the media type is not text/plain but ");
        text_clean(&http->failure, slice_make(head->type, head->type_length), 100);
    }
    http->state = STS_HTTP_FAILED;
    return false;
}

static void judge_field(struct sts_http *http, struct slice name, struct slice value)
{
    if (!is_judged(name))
        return;
    if (value.length == VALUE_SIZE_MAX) { /* cut: what follows could be anything */
        fail(http, "a header field that matters is over 255 bytes");
        return;
    }
    value = slice_trim(value);
    if (slice_equal_nocase(name, SLICE("Content-Type")))
        judge_type(&http->head, value);
    else if (slice_equal_nocase(name, SLICE("Content-Encoding")))
        http->head.other_codings += value.length > 0 && !slice_equal_nocase(value, SLICE("identity"));
    else
        http->head.other_transfers += !slice_equal_nocase(value, SLICE("chunked"));
}

static void judge_type(struct head *head, struct slice value)
{
    if (sts_media_type_is_text(value)) {
        head->text_types++;
        return;
    }
    head->other_types++;
    head->type_length = text_print(head->type, sizeof head->type, "%.*s", SLICE_ARGS(value)).length;
}

static bool is_judged(struct slice name)
{
    return slice_equal_nocase(name, SLICE("Content-Type")) || slice_equal_nocase(name, SLICE("Content-Encoding")) ||
           slice_equal_nocase(name, SLICE("Transfer-Encoding"));
}

static void add_cut(struct buffer *buffer, struct slice bytes)
{
    buffer_add(buffer, slice_to(bytes, buffer_room(buffer)));
}

static struct sts_http *owner(llhttp_t *parser)
{
    return parser->data;
}

static int on_message_begin(llhttp_t *parser)
{
    owner(parser)->head = (struct head){0};
    return 0;
}

static int on_field_start(llhttp_t *parser, const char *at, size_t length)
{
    add_cut(&owner(parser)->name, slice_make(at, length));
    return 0;
}

static int on_field_value(llhttp_t *parser, const char *at, size_t length)
{
    add_cut(&owner(parser)->value, slice_make(at, length));
    return 0;
}

static int on_field_end(llhttp_t *parser)
{
    struct sts_http *http = owner(parser);
    if (buffer_failed(&http->name) || buffer_failed(&http->value))
        starve(http);
    else if (http->part == PART_HEAD)
        judge_field(http, buffer_slice(&http->name), buffer_slice(&http->value));
    buffer_clear(&http->name);
    buffer_clear(&http->value);
    return http->state == STS_HTTP_FAILED ? -1 : 0;
}

static int on_head_end(llhttp_t *parser)
{
    struct sts_http *http = owner(parser);
    http->status = parser->status_code;
    if (http->status / 100 == 1 && http->status != 101)
        return NO_BODY;
    judge_head(http);
    return http->state == STS_HTTP_FAILED ? -1 : 0;
}

static int on_chunk_start(llhttp_t *parser)
{
    struct sts_http *http = owner(parser);
    if (parser->content_length > buffer_room(&http->body))
        fail(http, "the body is over 64 KiB");
    return http->state == STS_HTTP_FAILED ? -1 : 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t length)
{
    struct sts_http *http = owner(parser);
    if (length > buffer_room(&http->body))
        fail(http, "the body is over 64 KiB");
    else
        buffer_add(&http->body, slice_make(at, length));
    if (buffer_failed(&http->body))
        starve(http);
    return http->state == STS_HTTP_FAILED ? -1 : 0;
}

/* Pausing keeps whatever follows from being read as another response. */
static int on_message_end(llhttp_t *parser)
{
    struct sts_http *http = owner(parser);
    if (http->part == PART_HEAD)
        return 0;
    http->state = STS_HTTP_DONE;
    return HPE_PAUSED;
}
