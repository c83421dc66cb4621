/* Stored records of all kinds. The input is a record without its checksum, which is put behind it here: else nothing would
 * get past it. What is read must come out the same when it is written again. */
#include "base/text.h"
#include "queue/envelope.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new((size_t)1 << 20);
    struct buffer record, again;
    struct queue_message message;
    struct queue_entry entry, head;
    struct queue_destination destination;
    buffer_init(&record, size + 4);
    buffer_init(&again, size + 4);
    buffer_add(&record, slice_make(data, size));
    buffer_add_u32(&record, text_crc32c(slice_make(data, size)));
    struct slice bytes = buffer_slice(&record);
    if (queue_message_decode(bytes, &message) == ERR_NONE) {
        queue_message_encode(&message, &again);
    } else if (queue_entry_decode(bytes, arena, &entry) == ERR_NONE) {
        queue_entry_encode(&entry, &again);
        assert(queue_entry_peek(bytes, &head) == ERR_NONE && head.recipient_count == entry.recipient_count);
    } else if (queue_destination_decode(bytes, &destination) == ERR_NONE) {
        queue_destination_encode(&destination, &again);
    } else {
        buffer_add(&again, bytes);
    }
    assert(slice_equal(buffer_slice(&again), bytes));
    buffer_free(&record);
    buffer_free(&again);
    arena_free(&arena);
    return 0;
}
