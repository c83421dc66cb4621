/* Requests to the HTTP listener, however their bytes are cut. */
#include "relay/http_request.h"
#include "test/unit/check.h"
#include "test/unit/split.h"

#define HOST "Host: relay.example\r\n"

static void *start(void)
{
    struct http_request *request = http_request_new();
    assert_non_null(request);
    return request;
}

/* Only states are events, each once. */
static void feed(void *machine, struct slice part, struct buffer *events)
{
    (void)events;
    enum http_request_state state = http_request_feed(machine, part);
    assert_int_equal(http_request_feed(machine, SLICE_EMPTY), state);
}

static void finish(void *machine, struct buffer *events)
{
    struct http_request *request = machine;
    switch (http_request_feed(request, SLICE_EMPTY)) {
        case HTTP_REQUEST_MORE:
            buffer_print(events, "more");
            break;
        case HTTP_REQUEST_DONE:
            buffer_print(events, "%s %.*s%s", http_request_is_head(request) ? "HEAD" : "GET",
                         SLICE_ARGS(http_request_path(request)),
                         http_request_takes_openmetrics(request) ? " openmetrics" : "");
            break;
        case HTTP_REQUEST_FAILED:
            buffer_print(events, "%u", http_request_fault(request));
            break;
    }
    http_request_free(&request);
    assert_null(request);
}

static const struct split_machine machine = {start, feed, finish};

struct request_case {
    const char *name, *request, *outcome;
};
static const struct request_case request_cases[] = {
    {"plain", "GET /healthz HTTP/1.1\r\n" HOST "\r\n", "GET /healthz"},
    {"empty line first", "\r\nGET /healthz HTTP/1.1\r\n" HOST "\r\n", "GET /healthz"},
    {"HEAD", "HEAD /metrics HTTP/1.1\r\n" HOST "\r\n", "HEAD /metrics"},
    {"HTTP/1.0 needs no Host", "GET / HTTP/1.0\r\n\r\n", "GET /"},
    {"query", "GET /metrics?name[]=x&y=/z HTTP/1.1\r\n" HOST "\r\n", "GET /metrics"},
    {"query with an address in it", "GET /metrics?u=http://x/y HTTP/1.1\r\n" HOST "\r\n", "GET /metrics"},
    {"absolute form", "GET http://relay.example:9125/readyz?a HTTP/1.1\r\n" HOST "\r\n", "GET /readyz"},
    {"absolute form without path", "GET http://relay.example HTTP/1.1\r\n" HOST "\r\n", "GET "},
    {"more behind it", "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\n", "GET /a"},
    {"names in any case", "GET /a HTTP/1.1\r\nhOST: x\r\naccept: Application/OpenMetrics-Text\r\n\r\n",
     "GET /a openmetrics"},
    {"Accept of a collector",
     "GET /metrics HTTP/1.1\r\n" HOST
     "Accept: text/plain;version=0.0.4;q=0.3, application/openmetrics-text;version=1.0.0 ;q=0.5\r\n\r\n",
     "GET /metrics openmetrics"},
    {"Accept twice", "GET /a HTTP/1.1\r\n" HOST "Accept: text/plain\r\nAccept: application/openmetrics-text\r\n\r\n",
     "GET /a openmetrics"},
    {"Accept of another type", "GET /a HTTP/1.1\r\n" HOST "Accept: application/openmetrics-textual, */*\r\n\r\n",
     "GET /a"},
    {"Content-Length: 0", "GET /a HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", "GET /a"},

    {"nothing", "", "more"},
    {"cut", "GET /healthz HTTP/1.1\r\n" HOST, "more"},
    {"no Host", "GET /a HTTP/1.1\r\n\r\n", "400"},
    {"two Hosts", "GET /a HTTP/1.1\r\n" HOST HOST "\r\n", "400"},
    {"POST", "POST /a HTTP/1.1\r\n" HOST "\r\n", "405"},
    {"OPTIONS", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "405"},
    {"CONNECT", "CONNECT mx.example:25 HTTP/1.1\r\n" HOST "\r\n", "405"},
    {"body", "GET /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "413"},
    {"body in chunks", "GET /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "413"},
    {"both lengths", "GET /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "400"},
    {"unknown method", "BREW /a HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"no HTTP", "EHLO relay.example\r\n", "400"},
    {"TLS", "\x16\x03\x01\x02", "400"},
    {"space in the path", "GET /a b HTTP/1.1\r\n" HOST "\r\n", "400"},
    {"space before the colon", "GET /a HTTP/1.1\r\nHost : x\r\n\r\n", "400"},
    {"folded field", "GET /a HTTP/1.1\r\n" HOST "Accept: a,\r\n b\r\n\r\n", "400"},
    {"line ends without CR", "GET /a HTTP/1.1\n" HOST "\n", "400"},
    {"CR within a value", "GET /a HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", "400"},
    {"HTTP/2.0", "GET /a HTTP/2.0\r\n" HOST "\r\n", "505"},
    {"HTTP/0.9", "GET /a HTTP/0.9\r\n\r\n", "505"},
    {"version of another kind", "GET /a HTTP/9.9\r\n" HOST "\r\n", "400"},
};

static void test_requests(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(request_cases); i++) {
        const struct request_case *request = &request_cases[i];
        split_test(request->name, slice_of(request->request), &machine, request->outcome);
    }
}

/* A request line and fields of so many bytes in all, the last of them in the named place. */
static void expect_size(const char *name, const char *before, size_t size, const char *after, const char *outcome)
{
    struct buffer text;
    buffer_init(&text, 1u << 20);
    buffer_print(&text, "%s", before);
    while (buffer_length(&text) + strlen(after) < size)
        buffer_add_byte(&text, 'a');
    buffer_print(&text, "%s", after);
    split_test(name, buffer_slice(&text), &machine, outcome);
    buffer_free(&text);
}

static void test_sizes(void **state)
{
    (void)state;
    static const char field[] = "GET /a HTTP/1.1\r\n" HOST "X: ";
    expect_size("the longest head", field, HTTP_REQUEST_SIZE_MAX, "\r\n\r\n", "GET /a");
    expect_size("a byte more", field, HTTP_REQUEST_SIZE_MAX + 1, "\r\n\r\n", "431");
    expect_size("without end", field, 3 * HTTP_REQUEST_SIZE_MAX, "", "431");
    expect_size("a name without end", "GET /a HTTP/1.1\r\n", 3 * HTTP_REQUEST_SIZE_MAX, "", "431");
    expect_size("long names of fields are not taken for others", "GET /a HTTP/1.1\r\n" HOST "Accept", 500,
                ": application/openmetrics-text\r\n\r\n", "GET /a");
    expect_size("long path", "GET /", 1000, " HTTP/1.1\r\n" HOST "\r\n", NULL);
    expect_size("path that is too long", "GET /", 2000, " HTTP/1.1\r\n" HOST "\r\n", "414");
    expect_size("path without end", "GET /", 3 * HTTP_REQUEST_SIZE_MAX, "", "431");
    expect_size("fault in a path that is too long", "GET /", 2000, "\xff HTTP/1.1\r\n" HOST "\r\n", "400");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
