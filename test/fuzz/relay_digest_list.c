/* The stored list of double bounces: what can be read comes out the same when it is written again, and can be printed. */
#include "relay/digest_list.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct digest_list list;
    struct buffer again, printed;
    struct digest_letter letter = {.hostname = SLICE("r.example"), .id = SLICE("6A"), .to = SLICE("p@d.example"), .date_ms = 0};
    buffer_init(&again, size + 64);
    buffer_init(&printed, 64 * size + 4096);
    if (digest_list_decode(slice_make(data, size), &list) == ERR_NONE) {
        digest_list_encode(&list, &again);
        assert(slice_equal(buffer_slice(&again), slice_make(data, size)));
        digest_list_print(&list, &letter, &printed);
        assert(!buffer_failed(&printed));
    } else {
        assert(list.count == 0 && digest_list_due_ms(&list, 1) == INT64_MAX);
    }
    digest_list_free(&list);
    buffer_free(&again);
    buffer_free(&printed);
    return 0;
}
