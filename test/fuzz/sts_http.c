/* The HTTP response: whole and in two parts it must end alike. The first byte says where it is cut. */
#include <assert.h>

#include "sts/http.h"
#include "sts/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sts_http *run(struct slice first, struct slice second, bool whole)
{
    struct sts_http *http = sts_http_new();
    sts_http_feed(http, first);
    sts_http_feed(http, second);
    assert(sts_http_end(http, whole) != STS_HTTP_MORE);
    return http;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct slice input = slice_make(data + 1, size - 1);
    size_t cut = input.length * data[0] / 256;
    struct sts_http *a = run(input, SLICE_EMPTY, data[0] & 1);
    struct sts_http *b = run(slice_to(input, cut), slice_from(input, cut), data[0] & 1);
    assert(sts_http_feed(a, SLICE_EMPTY) == sts_http_feed(b, SLICE_EMPTY));
    assert(sts_http_status(a) == sts_http_status(b));
    bool is_done = sts_http_feed(a, SLICE("more")) == STS_HTTP_DONE;
    assert(!is_done || sts_http_status(a) == 200);
    assert(!is_done || slice_equal(sts_http_body(a), sts_http_body(b)));
    assert(is_done == (sts_http_failure(a).length == 0));
    assert(sts_http_body(a).length <= STS_POLICY_SIZE_MAX);
    sts_http_free(&a);
    sts_http_free(&b);
    return 0;
}
