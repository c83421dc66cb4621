/* What a sender is still to be told, as stored: what can be read can be written again, and says the same then. */
#include "relay/owed.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct owed *owed, const struct owed *again)
{
    assert(again->since_ms == owed->since_ms && again->message.id == owed->message.id);
    assert(slice_equal(again->message.sender, owed->message.sender) && again->recipient_count == owed->recipient_count);
    for (size_t i = 0; i < owed->recipient_count; i++) {
        assert(again->recipients[i].action == owed->recipients[i].action);
        assert(slice_equal(again->recipients[i].advice, owed->recipients[i].advice));
        assert(slice_equal(again->recipients[i].recipient->address, owed->recipients[i].recipient->address));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(4u << 20);
    struct owed owed, again;
    struct buffer bytes;
    buffer_init(&bytes, size + 4096);
    assert(arena != NULL);
    if (owed_decode(slice_make(data, size), arena, &owed) == ERR_NONE) {
        owed_encode(&owed, &bytes);
        assert(!buffer_failed(&bytes));
        assert(owed_decode(buffer_slice(&bytes), arena, &again) == ERR_NONE);
        check_same(&owed, &again);
    }
    buffer_free(&bytes);
    arena_free(&arena);
    return 0;
}
