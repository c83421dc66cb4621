/* Header sections: the scan of a stream, in two parts, counts what the walk over the section in memory finds. The first
 * byte says where the input is cut. */
#include <assert.h>

#include "smtp/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_from(slice_make(data, size), 1), rest = input;
    size_t cut = size == 0 ? 0 : input.length * data[0] / 255;
    struct smtp_header_scan scan;
    struct smtp_header_field field;
    smtp_header_scan_init(&scan);
    smtp_header_scan_feed(&scan, slice_to(input, cut));
    smtp_header_scan_feed(&scan, slice_from(input, cut));
    unsigned received = 0;
    bool from = false;
    size_t length = 0;
    while (smtp_header_next(&rest, &field)) {
        received += slice_equal_nocase(field.name, SLICE("Received"));
        from |= slice_equal_nocase(field.name, SLICE("From"));
        assert(field.whole.length > 0 && field.whole.data == input.data + length);
        length += field.whole.length;
    }
    assert(length + rest.length == input.length);
    bool plain = !slice_has(input, '\0') && slice_find_slice(input, SLICE("\r")) == input.length;
    assert(!plain || (received == scan.received_count && from == scan.has_from));
    assert(!plain || length <= smtp_header_section_length(input));
    return 0;
}
