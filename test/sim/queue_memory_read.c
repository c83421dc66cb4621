#include "test/sim/queue_memory_internal.h"

#include <assert.h>
#include <stdlib.h>

static const struct memory_table *table_of(const struct queue *queue, enum memory_table_name table);
static enum err copy_value(const struct queue *queue, enum memory_table_name table, struct slice key,
                           struct arena *arena, struct slice *value);
static uint64_t id_at(const struct memory_table *table, size_t index);
static struct queue_ready *ready_all(struct queue *queue, size_t *count);
static int64_t not_before(struct queue *queue, struct slice destination);
static int ready_order(const void *a, const void *b);

enum err queue_totals(struct queue *queue, struct queue_totals *totals)
{
    const struct memory_table *messages = table_of(queue, MEMORY_MESSAGE);
    const struct memory_table *pending = table_of(queue, MEMORY_PENDING);
    *totals = queue->directory->state.totals;
    totals->oldest_id = messages->count > 0 ? id_at(messages, 0) : 0;
    totals->newest_id = messages->count > 0 ? id_at(messages, messages->count - 1) : 0;
    if (pending->count > 0 && id_at(pending, pending->count - 1) > totals->newest_id) {
        totals->newest_id = id_at(pending, pending->count - 1);
    }
    return ERR_NONE;
}

enum err queue_message_get(struct queue *queue, uint64_t id, struct arena *arena, struct queue_message *message)
{
    struct memory_key key = memory_key_id(id);
    struct slice record;
    enum err err = copy_value(queue, MEMORY_MESSAGE, memory_key_slice(&key), arena, &record);
    return err == ERR_NONE ? queue_message_decode(record, message) : err;
}

enum err queue_entry_get(struct queue *queue, uint64_t id, uint16_t number, struct arena *arena,
                         struct queue_entry *entry)
{
    struct memory_key key = memory_key_entry(id, number);
    struct slice record;
    enum err err = copy_value(queue, MEMORY_ENTRY, memory_key_slice(&key), arena, &record);
    return err == ERR_NONE ? queue_entry_decode(record, arena, entry) : err;
}

enum err queue_destination_get(struct queue *queue, struct slice name, struct arena *arena,
                               struct queue_destination *destination)
{
    struct slice record;
    enum err err = copy_value(queue, MEMORY_DESTINATION, name, arena, &record);
    return err == ERR_NONE ? queue_destination_decode(record, destination) : err;
}

enum err queue_chunk_get(struct queue *queue, uint64_t id, uint32_t sequence, struct buffer *out)
{
    struct memory_key key = memory_key_chunk(id, sequence);
    struct memory_record *record = memory_table_get(table_of(queue, MEMORY_CHUNK), memory_key_slice(&key));
    struct slice content;
    if (record == NULL) {
        return ERR_NOT_FOUND;
    }
    if (!memory_unwrap(record->value, &content)) {
        return ERR_CORRUPT;
    }
    buffer_add(out, content);
    return buffer_failed(out) ? ERR_MEMORY : ERR_NONE;
}

enum err queue_policy_get(struct queue *queue, struct slice domain, struct arena *arena, struct slice *bytes)
{
    enum err err = copy_value(queue, MEMORY_POLICY, domain, arena, bytes);
    return err == ERR_NONE && !memory_unwrap(*bytes, bytes) ? ERR_CORRUPT : err;
}

enum err queue_meta_get(struct queue *queue, struct slice key, struct arena *arena, struct slice *bytes)
{
    enum err err = copy_value(queue, MEMORY_META, key, arena, bytes);
    return err == ERR_NONE && !memory_unwrap(*bytes, bytes) ? ERR_CORRUPT : err;
}

size_t queue_policy_count(struct queue *queue)
{
    return table_of(queue, MEMORY_POLICY)->count;
}

/* ---- the schedule, reckoned from the table of due entries at each call ---- */

enum err queue_ready(struct queue *queue, const struct queue_ready_request *request, struct queue_ready *out,
                     size_t *count)
{
    size_t all_count;
    struct queue_ready *all = ready_all(queue, &all_count);
    enum err err = all == NULL ? ERR_MEMORY : ERR_NONE;
    *count = 0;
    for (size_t i = 0; err == ERR_NONE && i < all_count && *count < request->limit; i++) {
        if (all[i].time_ms > request->now_ms) {
            break;
        }
        if (request->after != NULL && ready_order(&all[i], request->after) <= 0) {
            continue;
        }
        out[*count].time_ms = all[i].time_ms;
        if (!arena_slice(request->arena, all[i].name, &out[*count].name)) {
            err = ERR_MEMORY;
            break;
        }
        (*count)++;
    }
    free(all);
    return err;
}

enum err queue_ready_next(struct queue *queue, int64_t from_ms, int64_t *time_ms)
{
    size_t count;
    struct queue_ready *all = ready_all(queue, &count);
    enum err err = all == NULL ? ERR_MEMORY : ERR_NOT_FOUND;
    for (size_t i = 0; err == ERR_NOT_FOUND && i < count; i++) {
        if (all[i].time_ms >= from_ms) {
            *time_ms = all[i].time_ms;
            err = ERR_NONE;
        }
    }
    free(all);
    return err;
}

/* Every destination that has entries waiting, sorted. To be freed; NULL: out of memory. */
static struct queue_ready *ready_all(struct queue *queue, size_t *count)
{
    const struct memory_table *due = table_of(queue, MEMORY_DUE);
    struct queue_ready *all = calloc(due->count + 1, sizeof *all);
    *count = 0;
    for (size_t i = 0; all != NULL && i < due->count; i++) {
        struct memory_slot slot;
        memory_key_read_due(due->records[i]->key, &slot);
        if (*count == 0 || !slice_equal(all[*count - 1].name, slot.destination)) {
            all[(*count)++] = (struct queue_ready){.time_ms = slot.due_ms, .name = slot.destination};
        } else if (slot.due_ms < all[*count - 1].time_ms) {
            all[*count - 1].time_ms = slot.due_ms;
        }
    }
    for (size_t i = 0; all != NULL && i < *count; i++) {
        int64_t earliest_ms = not_before(queue, all[i].name);
        all[i].time_ms = all[i].time_ms > earliest_ms ? all[i].time_ms : earliest_ms;
    }
    if (all != NULL) {
        qsort(all, *count, sizeof *all, ready_order);
    }
    return all;
}

static int64_t not_before(struct queue *queue, struct slice destination)
{
    struct memory_record *record = memory_table_get(table_of(queue, MEMORY_DESTINATION), destination);
    struct queue_destination known;
    if (record == NULL || queue_destination_decode(record->value, &known) != ERR_NONE) {
        return INT64_MIN;
    }
    return known.not_before_ms;
}

static int ready_order(const void *a, const void *b)
{
    const struct queue_ready *left = a, *right = b;
    if (left->time_ms != right->time_ms) {
        return left->time_ms < right->time_ms ? -1 : 1;
    }
    return slice_compare(left->name, right->name);
}

/* ---- parts ---- */

static const struct memory_table *table_of(const struct queue *queue, enum memory_table_name table)
{
    assert(!queue->is_dead);
    return &queue->directory->state.tables[table];
}

static enum err copy_value(const struct queue *queue, enum memory_table_name table, struct slice key,
                           struct arena *arena, struct slice *value)
{
    struct memory_record *record = memory_table_get(table_of(queue, table), key);
    if (record == NULL) {
        return ERR_NOT_FOUND;
    }
    return arena_slice(arena, record->value, value) ? ERR_NONE : ERR_MEMORY;
}

static uint64_t id_at(const struct memory_table *table, size_t index)
{
    struct reader key = reader_of(table->records[index]->key);
    return reader_u64(&key);
}
