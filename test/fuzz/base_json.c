/* What is read and printed is read as the same again: printing it twice gives the same bytes. And no text holds more values than were
 * measured before it was read. */
#include "base/json.h"
#include "base/text.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count_values(const struct json *json)
{
    size_t count = 1;
    for (size_t i = 0; i < json_count(json); i++)
        count += count_values(json_at(json, i));
    for (const char *key = json_next_key(json, NULL); key != NULL; key = json_next_key(json, key))
        count += count_values(json_get(json, key));
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json *json, *again;
    if (json_parse(slice_make(data, size), &json) != ERR_NONE)
        return 0;
    assert(count_values(json) <= json_measure(slice_make(data, size)).value_max);
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
