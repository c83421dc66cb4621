#include "queue/lmdb_internal.h"

#include <assert.h>
#include <string.h>

static enum err copy_value(struct queue *queue, enum lmdb_table table, const struct lmdb_key *key, struct arena *arena,
                           struct slice *value);
static enum err copy_checked(struct queue *queue, enum lmdb_table table, const struct lmdb_key *key,
                             struct arena *arena, struct slice *value);
static enum err totals_read(struct lmdb_view *view, struct queue_totals *totals);
static enum err end_id(struct lmdb_view *view, enum lmdb_table table, bool is_last, uint64_t *id);
static enum err ready_copy(struct lmdb_cursor *cursor, const struct queue_ready_request *request,
                           struct queue_ready *out);

enum err queue_totals(struct queue *queue, struct queue_totals *totals)
{
    struct lmdb_view view;
    *totals = (struct queue_totals){0};
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? totals_read(&view, totals) : err;
    lmdb_view_end(&view);
    return err;
}

enum err queue_ready(struct queue *queue, const struct queue_ready_request *request, struct queue_ready *out,
                     size_t *count)
{
    *count = 0;
    struct lmdb_view view;
    struct lmdb_cursor cursor = {0};
    struct lmdb_key after;
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? lmdb_cursor_open(&view, LMDB_READY, &cursor) : err;
    if (err == ERR_NONE && request->after != NULL) {
        after = lmdb_key_ready(request->after->time_ms, request->after->name);
        err = lmdb_cursor_behind(&cursor, &after);
    } else if (err == ERR_NONE) {
        err = lmdb_cursor_first(&cursor);
    }
    while (err == ERR_NONE && *count < request->limit) {
        err = ready_copy(&cursor, request, &out[*count]);
        if (err == ERR_NONE) {
            (*count)++;
        }
        err = err == ERR_NONE || err == ERR_CORRUPT ? lmdb_cursor_next(&cursor) : err;
    }
    lmdb_cursor_close(&cursor);
    lmdb_view_end(&view);
    return err == ERR_NOT_FOUND || err == ERR_END ? ERR_NONE : err;
}

/* ERR_END: not ready yet. ERR_CORRUPT: no key of this table. */
static enum err ready_copy(struct lmdb_cursor *cursor, const struct queue_ready_request *request,
                           struct queue_ready *out)
{
    struct lmdb_slot slot;
    if (!lmdb_key_read_ready(cursor->key, &slot)) {
        return ERR_CORRUPT;
    }
    if (slot.due_ms > request->now_ms) {
        return ERR_END;
    }
    out->time_ms = slot.due_ms;
    return arena_slice(request->arena, slot.destination, &out->name) ? ERR_NONE : ERR_MEMORY;
}

enum err queue_ready_next(struct queue *queue, int64_t from_ms, int64_t *time_ms)
{
    struct lmdb_view view;
    struct lmdb_cursor cursor = {0};
    struct lmdb_key key = lmdb_key_ready(from_ms, SLICE_EMPTY);
    struct lmdb_slot slot = {0};
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? lmdb_cursor_open(&view, LMDB_READY, &cursor) : err;
    err = err == ERR_NONE ? lmdb_cursor_seek(&cursor, &key) : err;
    while (err == ERR_NONE && !lmdb_key_read_ready(cursor.key, &slot)) {
        err = lmdb_cursor_next(&cursor);
    }
    *time_ms = slot.due_ms;
    lmdb_cursor_close(&cursor);
    lmdb_view_end(&view);
    return err;
}

enum err queue_message_get(struct queue *queue, uint64_t id, struct arena *arena, struct queue_message *message)
{
    struct lmdb_key key = lmdb_key_id(id);
    struct slice record;
    enum err err = copy_value(queue, LMDB_MESSAGE, &key, arena, &record);
    return err == ERR_NONE ? queue_message_decode(record, message) : err;
}

enum err queue_entry_get(struct queue *queue, uint64_t id, uint16_t number, struct arena *arena,
                         struct queue_entry *entry)
{
    struct lmdb_key key = lmdb_key_entry(id, number);
    struct slice value, record;
    uint64_t sender;
    enum err err = copy_value(queue, LMDB_ENTRY, &key, arena, &value);
    if (err != ERR_NONE) {
        return err;
    }
    return lmdb_entry_split(value, &sender, &record) ? queue_entry_decode(record, arena, entry) : ERR_CORRUPT;
}

enum err queue_destination_get(struct queue *queue, struct slice name, struct arena *arena,
                               struct queue_destination *destination)
{
    struct lmdb_key key = lmdb_key_name(name);
    struct slice record;
    enum err err = copy_value(queue, LMDB_DESTINATION, &key, arena, &record);
    return err == ERR_NONE ? queue_destination_decode(record, destination) : err;
}

enum err queue_chunk_get(struct queue *queue, uint64_t id, uint32_t sequence, struct buffer *out)
{
    struct lmdb_key key = lmdb_key_chunk(id, sequence);
    struct lmdb_view view;
    struct slice content;
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? lmdb_get_checked(&view, LMDB_CHUNK, &key, &content) : err;
    if (err == ERR_NONE) {
        buffer_add(out, content);
        err = buffer_failed(out) ? ERR_MEMORY : ERR_NONE;
    }
    lmdb_view_end(&view);
    return err;
}

enum err queue_policy_get(struct queue *queue, struct slice domain, struct arena *arena, struct slice *bytes)
{
    struct lmdb_key key = lmdb_key_name(domain);
    return copy_checked(queue, LMDB_POLICY, &key, arena, bytes);
}

enum err queue_meta_get(struct queue *queue, struct slice name, struct arena *arena, struct slice *bytes)
{
    struct lmdb_key key = lmdb_key_name(name);
    return copy_checked(queue, LMDB_META, &key, arena, bytes);
}

size_t queue_policy_count(struct queue *queue)
{
    struct lmdb_view view;
    uint64_t count = 0;
    if (lmdb_view_read(queue, &view) == ERR_NONE && lmdb_view_count(&view, LMDB_POLICY, &count) != ERR_NONE) {
        count = 0;
    }
    lmdb_view_end(&view);
    return (size_t)count;
}

/* ---- parts ---- */

static enum err copy_value(struct queue *queue, enum lmdb_table table, const struct lmdb_key *key, struct arena *arena,
                           struct slice *value)
{
    struct lmdb_view view;
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? lmdb_get(&view, table, key, value) : err;
    if (err == ERR_NONE && !arena_slice(arena, *value, value)) {
        err = ERR_MEMORY;
    }
    lmdb_view_end(&view);
    return err;
}

static enum err copy_checked(struct queue *queue, enum lmdb_table table, const struct lmdb_key *key,
                             struct arena *arena, struct slice *value)
{
    enum err err = copy_value(queue, table, key, arena, value);
    if (err != ERR_NONE) {
        return err;
    }
    return lmdb_unwrap(*value, value) ? ERR_NONE : ERR_CORRUPT;
}

static enum err totals_read(struct lmdb_view *view, struct queue_totals *totals)
{
    uint64_t pending_id = 0;
    enum err err = lmdb_totals_get(view, totals);
    err = err == ERR_NONE ? end_id(view, LMDB_MESSAGE, false, &totals->oldest_id) : err;
    err = err == ERR_NONE ? end_id(view, LMDB_MESSAGE, true, &totals->newest_id) : err;
    err = err == ERR_NONE ? end_id(view, LMDB_PENDING, true, &pending_id) : err;
    if (pending_id > totals->newest_id) {
        totals->newest_id = pending_id;
    }
    return err;
}

/* The first or last id of a table that is keyed by it; 0 when it is empty. */
static enum err end_id(struct lmdb_view *view, enum lmdb_table table, bool is_last, uint64_t *id)
{
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(view, table, &cursor);
    if (err == ERR_NONE) {
        err = is_last ? lmdb_cursor_last(&cursor) : lmdb_cursor_first(&cursor);
    }
    if (err == ERR_NONE && !lmdb_key_read_id(cursor.key, id)) {
        err = ERR_CORRUPT;
    }
    lmdb_cursor_close(&cursor);
    if (err == ERR_NOT_FOUND) {
        *id = 0;
        return ERR_NONE;
    }
    return err;
}
