#include "queue/lmdb_internal.h"

#include <assert.h>
#include <string.h>

#define SIGN_BIT (UINT64_C(1) << 63)

static void add(struct lmdb_key *key, struct slice bytes);
static void add_name(struct lmdb_key *key, struct slice name);
static void add_number(struct lmdb_key *key, uint64_t number, size_t width);
static void add_time(struct lmdb_key *key, int64_t time_ms);
static int64_t read_time(struct reader *reader);
static bool read_destination(struct slice key, size_t rest_length, struct slice *destination, struct reader *rest);
static bool is_name(struct slice name);

struct lmdb_key lmdb_key_id(uint64_t id)
{
    struct lmdb_key key = {.length = 0};
    add_number(&key, id, 8);
    return key;
}

struct lmdb_key lmdb_key_entry(uint64_t id, uint16_t number)
{
    struct lmdb_key key = lmdb_key_id(id);
    add_number(&key, number, 2);
    return key;
}

struct lmdb_key lmdb_key_chunk(uint64_t id, uint32_t sequence)
{
    struct lmdb_key key = lmdb_key_id(id);
    add_number(&key, sequence, 4);
    return key;
}

struct lmdb_key lmdb_key_name(struct slice name)
{
    struct lmdb_key key = {.length = 0};
    add_name(&key, name);
    return key;
}

struct lmdb_key lmdb_key_own(const char *name)
{
    struct lmdb_key key = {.length = 0};
    add_number(&key, 0, 1);
    add(&key, slice_of(name));
    return key;
}

struct lmdb_key lmdb_key_destination(struct slice destination)
{
    struct lmdb_key key = lmdb_key_name(destination);
    add_number(&key, 0, 1);
    return key;
}

struct lmdb_key lmdb_key_place(struct slice destination, uint64_t id, uint16_t number)
{
    struct lmdb_key key = lmdb_key_destination(destination);
    add_number(&key, id, 8);
    add_number(&key, number, 2);
    return key;
}

struct lmdb_key lmdb_key_sender(struct slice destination, uint64_t sender)
{
    struct lmdb_key key = lmdb_key_destination(destination);
    add_number(&key, sender, 8);
    return key;
}

struct lmdb_key lmdb_key_due(const struct lmdb_slot *slot)
{
    struct lmdb_key key = lmdb_key_sender(slot->destination, slot->sender);
    add_time(&key, slot->due_ms);
    add_number(&key, slot->id, 8);
    add_number(&key, slot->number, 2);
    return key;
}

struct lmdb_key lmdb_key_turn(struct slice destination, int64_t due_ms, uint64_t sender)
{
    struct lmdb_key key = lmdb_key_destination(destination);
    add_time(&key, due_ms);
    add_number(&key, sender, 8);
    return key;
}

struct lmdb_key lmdb_key_ready(int64_t time_ms, struct slice destination)
{
    struct lmdb_key key = {.length = 0};
    add_time(&key, time_ms);
    add(&key, destination);
    return key;
}

struct lmdb_key lmdb_key_done(int64_t time_ms, uint64_t id, uint16_t number)
{
    struct lmdb_key key = {.length = 0};
    add_time(&key, time_ms);
    add_number(&key, id, 8);
    add_number(&key, number, 2);
    return key;
}

bool lmdb_key_begins(struct slice key, const struct lmdb_key *prefix)
{
    return slice_starts(key, slice_make(prefix->bytes, prefix->length));
}

bool lmdb_key_read_id(struct slice key, uint64_t *id)
{
    struct reader reader = reader_of(key);
    *id = reader_u64(&reader);
    return reader_done(&reader);
}

bool lmdb_key_read_entry(struct slice key, uint64_t *id, uint16_t *number)
{
    struct reader reader = reader_of(key);
    *id = reader_u64(&reader);
    *number = reader_u16(&reader);
    return reader_done(&reader);
}

bool lmdb_key_read_chunk(struct slice key, uint64_t *id, uint32_t *sequence)
{
    struct reader reader = reader_of(key);
    *id = reader_u64(&reader);
    *sequence = reader_u32(&reader);
    return reader_done(&reader);
}

bool lmdb_key_read_place(struct slice key, struct lmdb_slot *slot)
{
    struct reader rest;
    *slot = (struct lmdb_slot){0};
    if (!read_destination(key, 8 + 2, &slot->destination, &rest)) {
        return false;
    }
    slot->id = reader_u64(&rest);
    slot->number = reader_u16(&rest);
    return reader_done(&rest);
}

bool lmdb_key_read_due(struct slice key, struct lmdb_slot *slot)
{
    struct reader rest;
    *slot = (struct lmdb_slot){0};
    if (!read_destination(key, 8 + 8 + 8 + 2, &slot->destination, &rest)) {
        return false;
    }
    slot->sender = reader_u64(&rest);
    slot->due_ms = read_time(&rest);
    slot->id = reader_u64(&rest);
    slot->number = reader_u16(&rest);
    return reader_done(&rest);
}

bool lmdb_key_read_turn(struct slice key, struct lmdb_slot *slot)
{
    struct reader rest;
    *slot = (struct lmdb_slot){0};
    if (!read_destination(key, 8 + 8, &slot->destination, &rest)) {
        return false;
    }
    slot->due_ms = read_time(&rest);
    slot->sender = reader_u64(&rest);
    return reader_done(&rest);
}

bool lmdb_key_read_ready(struct slice key, struct lmdb_slot *slot)
{
    struct reader reader = reader_of(key);
    *slot = (struct lmdb_slot){0};
    slot->due_ms = read_time(&reader);
    slot->destination = reader.rest;
    return !reader.failed && is_name(slot->destination);
}

bool lmdb_key_read_done(struct slice key, struct lmdb_slot *slot)
{
    struct reader reader = reader_of(key);
    *slot = (struct lmdb_slot){0};
    slot->due_ms = read_time(&reader);
    slot->id = reader_u64(&reader);
    slot->number = reader_u16(&reader);
    return reader_done(&reader);
}

/* Splits a key into the destination and rest_length bytes behind its NUL. The numbers there may hold NULs too, so it is
 * found from the end. */
static bool read_destination(struct slice key, size_t rest_length, struct slice *destination, struct reader *rest)
{
    if (key.length < rest_length + 2) {
        return false;
    }
    size_t length = key.length - rest_length - 1;
    *destination = slice_to(key, length);
    *rest = reader_of(slice_from(key, length + 1));
    return key.data[length] == '\0' && is_name(*destination);
}

static bool is_name(struct slice name)
{
    return name.length > 0 && name.length <= QUEUE_NAME_MAX && !slice_has(name, '\0');
}

static void add(struct lmdb_key *key, struct slice bytes)
{
    assert(bytes.length <= sizeof key->bytes - key->length);
    memcpy(key->bytes + key->length, bytes.data, bytes.length);
    key->length += bytes.length;
}

/* Without NUL, or keys of one destination would sort among another's. */
static void add_name(struct lmdb_key *key, struct slice name)
{
    assert(is_name(name));
    add(key, name);
}

static void add_number(struct lmdb_key *key, uint64_t number, size_t width)
{
    char bytes[8];
    for (size_t i = 0; i < width; i++) {
        bytes[i] = (char)(uint8_t)(number >> (8 * (width - 1 - i)));
    }
    add(key, slice_make(bytes, width));
}

static void add_time(struct lmdb_key *key, int64_t time_ms)
{
    add_number(key, (uint64_t)time_ms ^ SIGN_BIT, 8);
}

static int64_t read_time(struct reader *reader)
{
    return (int64_t)(reader_u64(reader) ^ SIGN_BIT);
}
