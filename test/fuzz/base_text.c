/* What is read and printed again must be read as the same; base64 must decode to what encodes to the same digits. */
#include "base/text.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_date(int64_t wall_ms)
{
    char out[32];
    int64_t again;
    assert(text_date_parse(text_date_iso_ms(wall_ms, out), &again) == ERR_NONE);
    assert(again == wall_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = slice_make(data, size);
    struct buffer decoded, encoded;
    uint64_t bytes;
    int64_t ms;
    char out[24];
    if (text_size_parse(text, &bytes) == ERR_NONE)
        assert(size > 0);
    if (text_duration_parse(text, &ms) == ERR_NONE)
        assert(ms >= 0 && text_duration_print(ms, out).length <= 16);
    if (text_date_parse(text, &ms) == ERR_NONE)
        check_date(ms);
    buffer_init(&decoded, size + 1);
    buffer_init(&encoded, 2 * size + 4);
    if (text_base64_decode(text, &decoded) == ERR_NONE) {
        assert(text_base64_encode(buffer_slice(&decoded), &encoded) == ERR_NONE);
        assert(slice_equal(buffer_slice(&encoded), text));
    }
    buffer_free(&decoded);
    buffer_free(&encoded);
    return 0;
}
