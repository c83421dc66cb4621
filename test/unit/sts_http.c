/* The HTTPS response of RFC 8461 3.3, however its bytes are cut. */
#include "sts/http.h"
#include "sts/policy.h"
#include "base/idna.h"
#include "test/unit/split.h"
#include "test/unit/sts_vectors.h"

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
#define BODY "version: STSv1\r\nmode: none\r\nmax_age: 86400\r\n"

static void *start(void);
static void feed(void *machine, struct slice part, struct buffer *events);
static void finish_whole(void *machine, struct buffer *events);
static void finish_cut(void *machine, struct buffer *events);
static void finish(struct sts_http *http, bool whole, struct buffer *events);
static void expect(const char *name, struct slice response, const char *events);

static const struct split_machine machine_whole = {start, feed, finish_whole};
static const struct split_machine machine_cut = {start, feed, finish_cut};

struct response_case {
    const char *name;
    struct slice response;
    const char *whole; /* what comes out when close_notify ends the stream */
    const char *cut;   /* and when it just ends; NULL: the same */
};

#define MALFORMED "FAILED 0 malformed HTTP response"

static const struct response_case response_cases[] = {
    {.name = "content length", .response = TEXT(OK_HEAD "Content-Length: 3\r\n\r\nabc"), .whole = "DONE 200 abc"},
    {.name = "content length, more bytes",
     .response = TEXT(OK_HEAD "Content-Length: 3\r\n\r\nabcdef"),
     .whole = "DONE 200 abc"},
    {.name = "content length, another response",
     .response = TEXT(OK_HEAD "Content-Length: 3\r\n\r\nabcHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
     .whole = "DONE 200 abc"},
    {.name = "content length of 0", .response = TEXT(OK_HEAD "Content-Length: 0\r\n\r\n"), .whole = "DONE 200 "},
    {.name = "connection: close",
     .response = TEXT(OK_HEAD "Connection: close\r\nContent-Length: 3\r\n\r\nabc\r\n\r\n"),
     .whole = "DONE 200 abc"},
    {.name = "HTTP/1.0",
     .response = TEXT("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nabc"),
     .whole = "DONE 200 abc"},
    {.name = "no reason phrase",
     .response = TEXT("HTTP/1.1 200\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\na"),
     .whole = "DONE 200 a"},
    {.name = "names in any case, white space around values",
     .response = TEXT("HTTP/1.1 200 OK\r\ncontent-TYPE:  Text/PLAIN;charset=utf-8 \t\r\nCONTENT-length:1\r\n\r\na"),
     .whole = "DONE 200 a"},
    {.name = "an offer of HTTP/2",
     .response = TEXT(OK_HEAD "Upgrade: h2\r\nConnection: Upgrade, close\r\nContent-Length: 1\r\n\r\na"),
     .whole = "DONE 200 a"},
    {.name = "content length, cut",
     .response = TEXT(OK_HEAD "Content-Length: 4\r\n\r\nabc"),
     .whole = "FAILED 200 the connection ended before the body was whole"},
    {.name = "until close",
     .response = TEXT(OK_HEAD "\r\nabc"),
     .whole = "DONE 200 abc",
     .cut = "FAILED 200 the connection ended without close_notify, the body may be cut"},
    {.name = "until close, HTTP/1.0",
     .response = TEXT("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nabc"),
     .whole = "DONE 200 abc",
     .cut = "FAILED 200 the connection ended without close_notify, the body may be cut"},
    {.name = "until close, nothing",
     .response = TEXT(OK_HEAD "\r\n"),
     .whole = "DONE 200 ",
     .cut = "FAILED 200 the connection ended without close_notify, the body may be cut"},
    {.name = "chunks",
     .response = TEXT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n02;x=y;z=\"q\"\r\nbc\r\n0\r\n\r\n"),
     .whole = "DONE 200 abc"},
    {.name = "chunks and trailers",
     .response = TEXT(OK_HEAD "Transfer-Encoding: Chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n"
                              "Content-Type: text/html\r\nContent-Encoding: gzip\r\n\r\nmore"),
     .whole = "DONE 200 abc"},
    {.name = "chunks, cut in a chunk",
     .response = TEXT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n4\r\nabc"),
     .whole = "FAILED 200 the connection ended before the body was whole"},
    {.name = "chunks, without the last",
     .response = TEXT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"),
     .whole = "FAILED 200 the connection ended before the body was whole"},
    {.name = "chunks, cut in the trailers",
     .response = TEXT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n"),
     .whole = "FAILED 200 the connection ended before the body was whole"},
    {.name = "chunk that is too large",
     .response = TEXT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n10001\r\nabc"),
     .whole = "FAILED 200 the body is over 64 KiB"},
    {.name = "chunk of a size that overflows",
     .response = TEXT(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nabc"),
     .whole = "FAILED 200 malformed HTTP response"},
    {.name = "100 first",
     .response = TEXT("HTTP/1.1 100 Continue\r\n\r\n" OK_HEAD "Content-Length: 1\r\n\r\na"),
     .whole = "DONE 200 a"},
    {.name = "103 twice first, with other fields",
     .response =
         TEXT("HTTP/1.1 103 Early Hints\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\n\r\n"
              "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n" OK_HEAD "Content-Length: 1\r\n\r\na"),
     .whole = "DONE 200 a"},
    {.name = "only 100",
     .response = TEXT("HTTP/1.1 100 Continue\r\n\r\n"),
     .whole = "FAILED 100 the connection ended within the header section"},
    {.name = "101",
     .response = TEXT("HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nabc"),
     .whole = "FAILED 101 HTTP status 101"},
    {.name = "301",
     .response = TEXT("HTTP/1.1 301 Moved\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n"),
     .whole = "FAILED 301 HTTP status 301, redirects are not followed"},
    {.name = "304",
     .response = TEXT("HTTP/1.1 304 Not Modified\r\n\r\n"),
     .whole = "FAILED 304 HTTP status 304, redirects are not followed"},
    {.name = "308",
     .response = TEXT("HTTP/1.1 308 Permanent Redirect\r\nLocation: /\r\n\r\n"),
     .whole = "FAILED 308 HTTP status 308, redirects are not followed"},
    {.name = "201",
     .response = TEXT("HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\n\r\n" BODY),
     .whole = "FAILED 201 HTTP status 201"},
    {.name = "204", .response = TEXT("HTTP/1.1 204 No Content\r\n\r\n"), .whole = "FAILED 204 HTTP status 204"},
    {.name = "206",
     .response = TEXT("HTTP/1.1 206 Partial\r\nContent-Type: text/plain\r\nContent-Length: 1\r\n\r\na"),
     .whole = "FAILED 206 HTTP status 206"},
    {.name = "404 of text/html",
     .response = TEXT("HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<html>"),
     .whole = "FAILED 404 HTTP status 404"},
    {.name = "503",
     .response = TEXT("HTTP/1.1 503 Unavailable\r\nRetry-After: 1\r\n\r\n"),
     .whole = "FAILED 503 HTTP status 503"},
    {.name = "media type text/html",
     .response = TEXT("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" BODY),
     .whole = "FAILED 200 the media type is not text/plain but text/html"},
    {.name = "media type missing",
     .response = TEXT("HTTP/1.1 200 OK\r\n\r\n" BODY),
     .whole = "FAILED 200 there is no media type, it must be text/plain"},
    {.name = "media type empty",
     .response = TEXT("HTTP/1.1 200 OK\r\nContent-Type:\r\n\r\n" BODY),
     .whole = "FAILED 200 the media type is not text/plain but "},
    {.name = "media type twice, once another",
     .response = TEXT(OK_HEAD "Content-Type: text/html\r\n\r\n" BODY),
     .whole = "FAILED 200 the media type is not text/plain but text/html"},
    {.name = "media type with control characters",
     .response = TEXT("HTTP/1.1 200 OK\r\nContent-Type: a\x80\xff\tb\r\n\r\n" BODY),
     .whole = "FAILED 200 the media type is not text/plain but a???b"},
    {.name = "gzip",
     .response = TEXT(OK_HEAD "Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
     .whole = "FAILED 200 the body has a content encoding, none was asked for"},
    {.name = "identity",
     .response = TEXT(OK_HEAD "Content-Encoding: Identity\r\nContent-Length: 3\r\n\r\nabc"),
     .whole = "DONE 200 abc"},
    {.name = "identity and gzip",
     .response = TEXT(OK_HEAD "Content-Encoding: identity\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc"),
     .whole = "FAILED 200 the body has a content encoding, none was asked for"},
    {.name = "gzip in chunks",
     .response = TEXT(OK_HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
     .whole = "FAILED 200 the transfer encoding is not chunked"},
    {.name = "gzip until close",
     .response = TEXT(OK_HEAD "Transfer-Encoding: gzip\r\n\r\nabc"),
     .whole = "FAILED 200 the transfer encoding is not chunked"},
    {.name = "content length of 64 KiB and one byte",
     .response = TEXT(OK_HEAD "Content-Length: 65537\r\n\r\n"),
     .whole = "FAILED 200 the body is over 64 KiB"},
    {.name = "content length that overflows",
     .response = TEXT(OK_HEAD "Content-Length: 18446744073709551617\r\n\r\n"),
     .whole = MALFORMED},
    {.name = "content length with a sign",
     .response = TEXT(OK_HEAD "Content-Length: +3\r\n\r\nabc"),
     .whole = MALFORMED},
    {.name = "content length twice",
     .response = TEXT(OK_HEAD "Content-Length: 3\r\nContent-Length: 2\r\n\r\nabc"),
     .whole = MALFORMED},
    {.name = "content length and chunks",
     .response = TEXT(OK_HEAD "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
     .whole = MALFORMED},
    {.name = "HTTP/0.9",
     .response = TEXT("HTTP/0.9 200 OK\r\nContent-Type: text/plain\r\n\r\nabc"),
     .whole = "FAILED 200 the response is neither HTTP/1.0 nor HTTP/1.1"},
    {.name = "HTTP/2.0",
     .response = TEXT("HTTP/2.0 200 OK\r\nContent-Type: text/plain\r\n\r\nabc"),
     .whole = "FAILED 200 the response is neither HTTP/1.0 nor HTTP/1.1"},
    {.name = "another protocol", .response = TEXT("220 mail.example.com ESMTP\r\n"), .whole = MALFORMED},
    {.name = "only a body", .response = TEXT(BODY), .whole = MALFORMED},
    {.name = "nothing", .response = TEXT(""), .whole = "FAILED 0 the connection ended before a response came"},
    {.name = "part of the status line",
     .response = TEXT("HTTP/1.1 20"),
     .whole = "FAILED 0 the connection ended within the header section"},
    {.name = "part of the header section",
     .response = TEXT(OK_HEAD),
     .whole = "FAILED 0 the connection ended within the header section"},
};

static void test_responses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof response_cases / sizeof *response_cases; i++) {
        const struct response_case *item = &response_cases[i];
        split_test(item->name, item->response, &machine_whole, item->whole);
        split_test(item->name, item->response, &machine_cut, item->cut == NULL ? item->whole : item->cut);
    }
}

static void add_repeated(struct buffer *out, char byte, size_t count)
{
    memset(buffer_space(out, count), byte, count);
    buffer_added(out, count);
}

static void test_header_limit(void **state)
{
    (void)state;
    struct buffer response;
    const size_t rest = sizeof OK_HEAD "Content-Length: 1\r\nX: \r\n\r\n" - 1;
    buffer_init(&response, 1 << 20);
    for (size_t size = 16383; size <= 16386; size++) {
        buffer_clear(&response);
        buffer_add(&response, SLICE(OK_HEAD "Content-Length: 1\r\nX: "));
        add_repeated(&response, ' ', size - rest);
        buffer_add(&response, SLICE("\r\n\r\na"));
        expect("header section", buffer_slice(&response),
               size <= 16384 ? "DONE 200 a" : "FAILED 0 the header section is over 16 KiB");
    }
    buffer_clear(&response);
    for (size_t i = 0; i < 1000; i++)
        buffer_add(&response, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    expect("100 without end", buffer_slice(&response), "FAILED 100 the header section is over 16 KiB");
    buffer_free(&response);
}

static void test_field_limit(void **state)
{
    (void)state;
    struct buffer response;
    buffer_init(&response, 1 << 20);
    buffer_add(&response, SLICE("HTTP/1.1 200 OK\r\nContent-Type: text/plain"));
    add_repeated(&response, ' ', 300);
    buffer_add(&response, SLICE("x\r\n\r\n" BODY));
    expect("media type behind much white space", buffer_slice(&response),
           "FAILED 0 a header field that matters is over 255 bytes");
    buffer_clear(&response);
    buffer_add(&response, SLICE(OK_HEAD "Content-Type-and-something-that-makes-it-longer: x\r\nX: "));
    add_repeated(&response, 'x', 1000);
    buffer_add(&response, SLICE("\r\nContent-Length: 1\r\n\r\na"));
    expect("other long fields", buffer_slice(&response), "DONE 200 a");
    buffer_clear(&response);
    buffer_add(&response, SLICE(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nContent-Type: "));
    add_repeated(&response, 'x', 1000);
    buffer_add(&response, SLICE("\r\n\r\n"));
    expect("long trailer", buffer_slice(&response), "DONE 200 a");
    buffer_free(&response);
}

/* A body of the given size by each of the three ways of saying where it ends. */
static void test_body_limit(void **state)
{
    (void)state;
    struct buffer response;
    buffer_init(&response, 1 << 20);
    for (size_t size = STS_POLICY_SIZE_MAX; size <= STS_POLICY_SIZE_MAX + 1; size++) {
        const char *expected[3];
        struct sts_http *http;
        for (int form = 0; form < 3; form++) {
            buffer_clear(&response);
            buffer_add(&response, SLICE(OK_HEAD));
            if (form == 0)
                buffer_print(&response, "Content-Length: %zu\r\n\r\n", size);
            else if (form == 1)
                buffer_print(&response, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", size - 1);
            else
                buffer_print(&response, "\r\n");
            add_repeated(&response, 'a', size - 1);
            buffer_add(&response, form == 1 ? SLICE("\r\n1\r\na\r\n0\r\n\r\n") : SLICE("a"));
            http = sts_http_new();
            sts_http_feed(http, buffer_slice(&response));
            sts_http_end(http, true);
            expected[form] = size > STS_POLICY_SIZE_MAX ? "the body is over 64 KiB" : "";
            assert_true(slice_equal(sts_http_failure(http), slice_of(expected[form])));
            if (size <= STS_POLICY_SIZE_MAX)
                assert_int_equal(sts_http_body(http).length, size);
            sts_http_free(&http);
            assert_null(http);
        }
    }
    buffer_free(&response);
}

/* Framing that never ends fails at a bound, whether it comes at once or in pieces. */
static void test_response_limit(void **state)
{
    (void)state;
    struct buffer response;
    buffer_init(&response, 2 << 20);
    buffer_add(&response, SLICE(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n1;"));
    add_repeated(&response, 'x', 1 << 20);
    for (size_t piece = 1 << 20; piece >= 1000; piece /= 10) {
        struct sts_http *http = sts_http_new();
        struct slice rest = buffer_slice(&response);
        for (; rest.length > 0; rest = slice_from(rest, piece))
            sts_http_feed(http, slice_to(rest, piece));
        assert_true(slice_equal(sts_http_failure(http), SLICE("the response is over 512 KiB")));
        assert_int_equal(sts_http_end(http, true), STS_HTTP_FAILED);
        sts_http_free(&http);
    }
    buffer_free(&response);
}

static void test_one_byte_chunks_fit(void **state)
{
    (void)state;
    struct sts_http *http = sts_http_new();
    sts_http_feed(http, SLICE(OK_HEAD "Transfer-Encoding: chunked\r\n\r\n"));
    for (size_t i = 0; i < STS_POLICY_SIZE_MAX; i++)
        sts_http_feed(http, SLICE("1\r\na\r\n"));
    assert_int_equal(sts_http_feed(http, SLICE("0\r\n\r\n")), STS_HTTP_DONE);
    assert_int_equal(sts_http_body(http).length, STS_POLICY_SIZE_MAX);
    sts_http_free(&http);
}

static void test_end_is_final(void **state)
{
    (void)state;
    struct sts_http *http = sts_http_new();
    assert_int_equal(sts_http_feed(http, SLICE_EMPTY), STS_HTTP_MORE);
    assert_int_equal(sts_http_status(http), 0);
    assert_int_equal(sts_http_feed(http, SLICE(OK_HEAD "\r\na")), STS_HTTP_MORE);
    assert_int_equal(sts_http_status(http), 200);
    assert_int_equal(sts_http_end(http, true), STS_HTTP_DONE);
    assert_int_equal(sts_http_feed(http, SLICE("b")), STS_HTTP_DONE);
    assert_int_equal(sts_http_end(http, false), STS_HTTP_DONE);
    assert_true(slice_equal(sts_http_body(http), SLICE("a")));
    sts_http_free(&http);
    sts_http_free(&http);
}

/* What a vector of kind httpfetch describes, as bytes. A certificate that is refused ends the stream before a byte. */
static void build_response(const json_t *input, struct buffer *out)
{
    const json_t *length = json_object_get(input, "content-length"), *location = json_object_get(input, "location");
    if (json_object_get(input, "cert") != NULL)
        return;
    buffer_print(out, "HTTP/1.1 %d X\r\nContent-Type: text/plain\r\n",
                 (int)json_integer_value(json_object_get(input, "status")));
    if (length != NULL) {
        assert_string_equal(json_string_value(length), ">65536");
        buffer_print(out, "Content-Length: 65537\r\n");
    }
    if (location != NULL)
        buffer_print(out, "Location: %s\r\n", json_string_value(location));
    buffer_add(out, SLICE("\r\n"));
    add_repeated(out, 'a', (size_t)json_integer_value(json_object_get(input, "body_len")));
}

static void test_fetch_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("httpfetch");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct buffer response;
        struct sts_http *http = sts_http_new();
        const char *expected = json_string_value(vector.expected);
        print_message("%s\n", vector.name);
        assert_non_null(strstr(expected, "error"));
        buffer_init(&response, 1 << 20);
        build_response(vector.input, &response);
        enum sts_http_state end = sts_http_feed(http, buffer_slice(&response));
        if (strstr(expected, "before reading") != NULL)
            assert_int_equal(end, STS_HTTP_FAILED);
        assert_int_equal(sts_http_end(http, true), STS_HTTP_FAILED);
        if (strstr(expected, "redirect") != NULL)
            assert_true(slice_ends(sts_http_failure(http), SLICE("redirects are not followed")));
        if (strstr(expected, "size cap") != NULL)
            assert_true(slice_equal(sts_http_failure(http), SLICE("the body is over 64 KiB")));
        sts_http_free(&http);
        buffer_free(&response);
    }
    vectors_close(&vectors);
}

static void test_media_type_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("content-type");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        print_message("%s\n", vector.name);
        assert_int_equal(sts_media_type_is_text(slice_of(json_string_value(vector.input))),
                         vector_flag(&vector, "accept"));
    }
    vectors_close(&vectors);
}

static void test_media_types(void **state)
{
    (void)state;
    assert_true(sts_media_type_is_text(SLICE("text/plain")));
    assert_true(sts_media_type_is_text(SLICE(" Text/Plain\t;")));
    assert_true(sts_media_type_is_text(SLICE("text/plain;charset=\"utf-8\"; text/html")));
    assert_false(sts_media_type_is_text(SLICE("text/plain, text/html")));
    assert_false(sts_media_type_is_text(SLICE("text/plain charset=utf-8")));
    assert_false(sts_media_type_is_text(SLICE("text/plaintext")));
    assert_false(sts_media_type_is_text(SLICE("text /plain")));
    assert_false(sts_media_type_is_text(SLICE("; text/plain")));
}

/* The policy host is asked for by the canonical name of the Policy Domain. */
static void test_next_hop_vectors(void **state)
{
    (void)state;
    struct vectors vectors = vectors_open("nexthop");
    for (struct vector vector; vectors_next(&vectors, &vector);) {
        struct slice domain, host;
        struct buffer request, line;
        struct arena *arena = arena_new(1000);
        print_message("%s\n", vector.name);
        assert_int_equal(idna_canonical(slice_of(json_string_value(vector.input)), arena, &domain), ERR_NONE);
        assert_true(arena_print(arena, &host, "mta-sts.%.*s", SLICE_ARGS(domain)));
        buffer_init(&request, 1000);
        buffer_init(&line, 1000);
        sts_http_request(&request, host);
        buffer_print(&line, "\r\nHost: mta-sts.%s\r\n", json_string_value(vector.expected) + strlen("lookup "));
        assert_true(slice_find_slice(buffer_slice(&request), buffer_slice(&line)) < buffer_length(&request));
        buffer_free(&request);
        buffer_free(&line);
        arena_free(&arena);
    }
    vectors_close(&vectors);
}

static void test_request(void **state)
{
    (void)state;
    struct buffer request;
    buffer_init(&request, 1000);
    sts_http_request(&request, SLICE("mta-sts.example.com"));
    assert_true(slice_equal(buffer_slice(&request),
                            SLICE("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.example.com\r\n"
                                  "User-Agent: sternpost\r\nAccept: text/plain\r\n"
                                  "Accept-Encoding: identity\r\nConnection: close\r\n\r\n")));
    buffer_free(&request);
}

static void *start(void)
{
    return sts_http_new();
}

static void feed(void *machine, struct slice part, struct buffer *events)
{
    (void)events;
    sts_http_feed(machine, part);
}

static void finish_whole(void *machine, struct buffer *events)
{
    finish(machine, true, events);
}

static void finish_cut(void *machine, struct buffer *events)
{
    finish(machine, false, events);
}

/* Without what follows "malformed HTTP response": the library's words differ from version to version. */
static void finish(struct sts_http *http, bool whole, struct buffer *events)
{
    bool is_done = sts_http_end(http, whole) == STS_HTTP_DONE;
    struct slice text = is_done ? sts_http_body(http) : sts_http_failure(http);
    if (slice_starts(text, SLICE("malformed HTTP response: ")))
        text = slice_to(text, strlen("malformed HTTP response"));
    buffer_print(events, "%s %u %.*s", is_done ? "DONE" : "FAILED", sts_http_status(http), SLICE_ARGS(text));
    sts_http_free(&http);
}

static void expect(const char *name, struct slice response, const char *events)
{
    split_test(name, response, &machine_whole, events);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses),          cmocka_unit_test(test_header_limit),
        cmocka_unit_test(test_field_limit),        cmocka_unit_test(test_body_limit),
        cmocka_unit_test(test_response_limit),     cmocka_unit_test(test_one_byte_chunks_fit),
        cmocka_unit_test(test_end_is_final),       cmocka_unit_test(test_fetch_vectors),
        cmocka_unit_test(test_media_type_vectors), cmocka_unit_test(test_media_types),
        cmocka_unit_test(test_next_hop_vectors),   cmocka_unit_test(test_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
