/* Requests to the HTTP listener: the same end however they are cut, and nothing behind the end is taken. */
#include "relay/http_request.h"

#include <stdlib.h>

static enum http_request_state run(struct http_request *request, struct slice input, size_t piece)
{
    enum http_request_state state = HTTP_REQUEST_MORE;
    for (size_t i = 0; i < input.length; i += piece)
        state = http_request_feed(request, slice_to(slice_from(input, i), piece));
    return state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make((const char *)data, size);
    struct http_request *whole = http_request_new(), *bytewise = http_request_new();
    if (whole == NULL || bytewise == NULL)
        abort();
    enum http_request_state state = run(whole, input, size + 1);
    if (run(bytewise, input, 1) != state || http_request_fault(whole) != http_request_fault(bytewise))
        abort();
    if (state == HTTP_REQUEST_DONE &&
        (!slice_equal(http_request_path(whole), http_request_path(bytewise)) ||
         http_request_takes_openmetrics(whole) != http_request_takes_openmetrics(bytewise)))
        abort();
    http_request_free(&whole);
    http_request_free(&bytewise);
    return 0;
}
