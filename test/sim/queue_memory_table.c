#include "test/sim/queue_memory_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static struct memory_record *record_new(struct slice key, struct slice value);
static void record_release(struct memory_record *record);
static bool make_room(struct memory_table *table, size_t count);

enum err memory_table_copy(const struct memory_table *from, struct memory_table *to)
{
    *to = (struct memory_table){0};
    if (!make_room(to, from->count)) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < from->count; i++) {
        to->records[i] = from->records[i];
        to->records[i]->references++;
    }
    to->count = from->count;
    return ERR_NONE;
}

void memory_table_free(struct memory_table *table)
{
    for (size_t i = 0; i < table->count; i++) {
        record_release(table->records[i]);
    }
    free(table->records);
    *table = (struct memory_table){0};
}

size_t memory_table_seek(const struct memory_table *table, struct slice key)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(table->records[middle]->key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct memory_record *memory_table_get(const struct memory_table *table, struct slice key)
{
    size_t index = memory_table_seek(table, key);
    bool is_there = index < table->count && slice_equal(table->records[index]->key, key);
    return is_there ? table->records[index] : NULL;
}

enum err memory_table_put(struct memory_table *table, struct slice key, struct slice value)
{
    struct memory_record *record = record_new(key, value);
    if (record == NULL) {
        return ERR_MEMORY;
    }
    size_t index = memory_table_seek(table, key);
    if (index < table->count && slice_equal(table->records[index]->key, key)) {
        record_release(table->records[index]);
        table->records[index] = record;
        return ERR_NONE;
    }
    if (!make_room(table, table->count + 1)) {
        free(record);
        return ERR_MEMORY;
    }
    memmove(table->records + index + 1, table->records + index, (table->count - index) * sizeof *table->records);
    table->records[index] = record;
    table->count++;
    return ERR_NONE;
}

bool memory_table_remove(struct memory_table *table, struct slice key)
{
    size_t index = memory_table_seek(table, key);
    if (index == table->count || !slice_equal(table->records[index]->key, key)) {
        return false;
    }
    memory_table_remove_at(table, index);
    return true;
}

void memory_table_remove_at(struct memory_table *table, size_t index)
{
    assert(index < table->count);
    record_release(table->records[index]);
    table->count--;
    memmove(table->records + index, table->records + index + 1, (table->count - index) * sizeof *table->records);
}

uint64_t memory_table_bytes(const struct memory_table *table)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < table->count; i++) {
        bytes += table->records[i]->key.length + table->records[i]->value.length;
    }
    return bytes;
}

static struct memory_record *record_new(struct slice key, struct slice value)
{
    struct memory_record *record = malloc(sizeof *record + key.length + value.length);
    if (record == NULL) {
        return NULL;
    }
    memcpy(record->bytes, key.data, key.length);
    if (value.length > 0) {
        memcpy(record->bytes + key.length, value.data, value.length);
    }
    record->references = 1;
    record->key = slice_make(record->bytes, key.length);
    record->value = slice_make(record->bytes + key.length, value.length);
    return record;
}

static void record_release(struct memory_record *record)
{
    if (--record->references == 0) {
        free(record);
    }
}

static bool make_room(struct memory_table *table, size_t count)
{
    if (count <= table->capacity) {
        return true;
    }
    size_t capacity = table->capacity < 16 ? 16 : table->capacity * 2;
    capacity = capacity < count ? count : capacity;
    struct memory_record **records = realloc(table->records, capacity * sizeof *records);
    if (records == NULL) {
        return false;
    }
    table->records = records;
    table->capacity = capacity;
    return true;
}
