#include "test/sim/queue_memory_internal.h"
#include "base/text.h"

#include <assert.h>
#include <string.h>

#define SIGN_BIT (UINT64_C(1) << 63)
#define CHECK_LENGTH 4
#define DUE_NUMBERS (8 + 8 + 8 + 2)

static void add(struct memory_key *key, struct slice bytes);
static void add_number(struct memory_key *key, uint64_t number, size_t width);

struct slice memory_key_slice(const struct memory_key *key)
{
    return slice_make(key->bytes, key->length);
}

struct memory_key memory_key_id(uint64_t id)
{
    struct memory_key key = {.length = 0};
    add_number(&key, id, 8);
    return key;
}

struct memory_key memory_key_entry(uint64_t id, uint16_t number)
{
    struct memory_key key = memory_key_id(id);
    add_number(&key, number, 2);
    return key;
}

struct memory_key memory_key_chunk(uint64_t id, uint32_t sequence)
{
    struct memory_key key = memory_key_id(id);
    add_number(&key, sequence, 4);
    return key;
}

struct memory_key memory_key_due(const struct memory_slot *slot)
{
    struct memory_key key = {.length = 0};
    add(&key, slot->destination);
    add_number(&key, 0, 1);
    add_number(&key, slot->sender, 8);
    add_number(&key, (uint64_t)slot->due_ms ^ SIGN_BIT, 8);
    add_number(&key, slot->id, 8);
    add_number(&key, slot->number, 2);
    return key;
}

struct memory_key memory_key_done(int64_t time_ms, uint64_t id, uint16_t number)
{
    struct memory_key key = {.length = 0};
    add_number(&key, (uint64_t)time_ms ^ SIGN_BIT, 8);
    add_number(&key, id, 8);
    add_number(&key, number, 2);
    return key;
}

void memory_key_read_entry(struct slice key, uint64_t *id, uint16_t *number)
{
    struct reader reader = reader_of(key);
    *id = reader_u64(&reader);
    *number = reader_u16(&reader);
    assert(reader_done(&reader));
}

void memory_key_read_due(struct slice key, struct memory_slot *slot)
{
    assert(key.length > DUE_NUMBERS);
    slot->destination = slice_to(key, key.length - DUE_NUMBERS - 1);
    struct reader reader = reader_of(slice_from(key, key.length - DUE_NUMBERS));
    slot->sender = reader_u64(&reader);
    slot->due_ms = (int64_t)(reader_u64(&reader) ^ SIGN_BIT);
    slot->id = reader_u64(&reader);
    slot->number = reader_u16(&reader);
}

int64_t memory_key_read_done(struct slice key, uint64_t *id, uint16_t *number)
{
    struct reader reader = reader_of(key);
    int64_t time_ms = (int64_t)(reader_u64(&reader) ^ SIGN_BIT);
    *id = reader_u64(&reader);
    *number = reader_u16(&reader);
    assert(reader_done(&reader));
    return time_ms;
}

void memory_wrap(struct buffer *out, struct slice bytes)
{
    buffer_add(out, bytes);
    buffer_add_u32(out, text_crc32c(bytes));
}

bool memory_unwrap(struct slice stored, struct slice *bytes)
{
    if (stored.length < CHECK_LENGTH) {
        return false;
    }
    *bytes = slice_to(stored, stored.length - CHECK_LENGTH);
    struct reader check = reader_of(slice_from(stored, bytes->length));
    return reader_u32(&check) == text_crc32c(*bytes);
}

static void add(struct memory_key *key, struct slice bytes)
{
    assert(bytes.length <= sizeof key->bytes - key->length);
    memcpy(key->bytes + key->length, bytes.data, bytes.length);
    key->length += bytes.length;
}

static void add_number(struct memory_key *key, uint64_t number, size_t width)
{
    char bytes[8];
    for (size_t i = 0; i < width; i++) {
        bytes[i] = (char)(uint8_t)(number >> (8 * (width - 1 - i)));
    }
    add(key, slice_make(bytes, width));
}
