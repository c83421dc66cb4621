/* What is read and printed is read as the same again: printing it twice gives the same bytes. */
#include "base/json.h"
#include "base/text.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *json, *again;
    if (json_parse(slice_make(data, size), &json) != ERR_NONE)
        return 0;
    struct buffer first, second;
    buffer_init(&first, 32 * size + 1000);
    buffer_init(&second, 32 * size + 1000);
    assert(json_print(json, &first) == ERR_NONE);
    assert(text_is_utf8(buffer_slice(&first)) && !slice_has(buffer_slice(&first), '\n'));
    assert(json_parse(buffer_slice(&first), &again) == ERR_NONE);
    assert(json_print(again, &second) == ERR_NONE);
    assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    json_free(&json);
    json_free(&again);
    buffer_free(&first);
    buffer_free(&second);
    return 0;
}
