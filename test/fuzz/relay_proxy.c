/* A header that is whole is the same with more behind it, and never whole with less; it is bounded, and its address normalised. */
#include "relay/proxy.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size);
    struct proxy_header header, again;
    size_t taken, taken_again;
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    enum proxy_parse parse = proxy_header_parse(input, &header, &taken);
    assert(parse == PROXY_DONE ? taken > 0 && taken <= size && taken <= PROXY_HEADER_MAX : taken == 0);
    assert(parse != PROXY_MORE || size < PROXY_HEADER_MAX);
    for (size_t length = 0; length < size; length++) {
        enum proxy_parse part = proxy_header_parse(slice_to(input, length), &again, &taken_again);
        if (parse == PROXY_DONE) {
            assert(part == (length < taken ? PROXY_MORE : PROXY_DONE));
            assert(part == PROXY_MORE || (taken_again == taken && again.has_source == header.has_source &&
                                          endpoint_equal(&again.source, &header.source)));
        } else {
            assert(part != PROXY_DONE);
        }
    }
    if (parse == PROXY_DONE && header.has_source)
        assert(header.source.ip.family == IP_V4 || memcmp(header.source.ip.bytes, mapped, sizeof mapped) != 0);
    return 0;
}
