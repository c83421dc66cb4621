#include "queue/lmdb_internal.h"

#include <assert.h>
#include <string.h>

/* Chunks of so many messages are swept in one transaction. */
#define SWEEP_PER_TRANSACTION 16
#define OWN_TOTALS "totals"

static enum err place_purge(struct lmdb_batch *batch, uint64_t id, uint16_t number);
static enum err sender_of(struct lmdb_batch *batch, uint64_t id, uint64_t *sender);
static enum err done_put(struct lmdb_batch *batch, const struct queue_entry *entry);
static void cancel_pending(struct queue_entry *entry);
static enum err message_remove_last(struct lmdb_batch *batch, uint64_t id);
static enum err sweep_some(struct queue *queue);
static uint64_t less(uint64_t number, uint64_t subtracted);
static enum err ignore_missing(enum err err);

enum err lmdb_entry_find(struct lmdb_batch *batch, uint64_t id, uint16_t number, struct lmdb_stored *stored)
{
    struct lmdb_key key = lmdb_key_entry(id, number);
    struct slice value, record;
    struct queue_entry entry;
    *stored = (struct lmdb_stored){.slot = {.id = id, .number = number}};
    enum err err = lmdb_get(&batch->view, LMDB_ENTRY, &key, &value);
    if (err != ERR_NONE) {
        return err;
    }
    if (!lmdb_entry_split(value, &stored->slot.sender, &record) || queue_entry_peek(record, &entry) != ERR_NONE ||
        entry.destination.length == 0) {
        stored->is_damaged = true;
        return sender_of(batch, id, &stored->slot.sender);
    }
    stored->slot.due_ms = entry.due_ms;
    stored->is_held = entry.held;
    return arena_slice(batch->arena, entry.destination, &stored->slot.destination) ? ERR_NONE : ERR_MEMORY;
}

enum err lmdb_entry_put(struct lmdb_batch *batch, const struct queue_entry *entry, uint64_t sender)
{
    buffer_clear(&batch->record);
    buffer_add_u64(&batch->record, sender);
    queue_entry_encode(entry, &batch->record);
    if (buffer_failed(&batch->record)) {
        return ERR_MEMORY;
    }
    struct lmdb_key key = lmdb_key_entry(entry->id, entry->number);
    enum err err = lmdb_put(&batch->view, LMDB_ENTRY, &key, buffer_slice(&batch->record));
    if (err != ERR_NONE || entry->held) {
        return err;
    }
    struct lmdb_slot slot = {.destination = entry->destination,
                             .sender = sender,
                             .due_ms = entry->due_ms,
                             .id = entry->id,
                             .number = entry->number};
    return lmdb_index_add(&batch->view, &slot);
}

enum err lmdb_entry_unschedule(struct lmdb_batch *batch, const struct lmdb_stored *stored)
{
    if (stored->is_held) {
        return ERR_NONE;
    }
    return stored->is_damaged ? lmdb_index_purge(&batch->view, &stored->slot)
                              : lmdb_index_remove(&batch->view, &stored->slot);
}

enum err lmdb_entry_place(struct lmdb_batch *batch, const struct queue_entry *entry)
{
    struct lmdb_key key = lmdb_key_place(entry->destination, entry->id, entry->number);
    return lmdb_put(&batch->view, LMDB_PLACE, &key, SLICE_EMPTY);
}

enum err lmdb_entry_displace(struct lmdb_batch *batch, const struct lmdb_stored *stored)
{
    if (stored->is_damaged) {
        return place_purge(batch, stored->slot.id, stored->slot.number);
    }
    struct lmdb_key key = lmdb_key_place(stored->slot.destination, stored->slot.id, stored->slot.number);
    return ignore_missing(lmdb_delete(&batch->view, LMDB_PLACE, &key));
}

enum err lmdb_entry_finish(struct lmdb_batch *batch, const struct queue_entry *entry)
{
    enum err err = done_put(batch, entry);
    if (err == ERR_NONE) {
        struct lmdb_key key = lmdb_key_entry(entry->id, entry->number);
        err = lmdb_delete(&batch->view, LMDB_ENTRY, &key);
        batch->totals.entries = less(batch->totals.entries, 1);
    }
    return err == ERR_NONE ? message_remove_last(batch, entry->id) : err;
}

enum err lmdb_entry_cancel(struct lmdb_batch *batch, uint64_t id, uint16_t number)
{
    struct lmdb_stored stored;
    enum err err = lmdb_entry_find(batch, id, number, &stored);
    err = err == ERR_NONE ? lmdb_entry_unschedule(batch, &stored) : err;
    err = err == ERR_NONE ? lmdb_entry_displace(batch, &stored) : err;

    struct lmdb_key key = lmdb_key_entry(id, number);
    struct slice value, record;
    uint64_t sender;
    struct queue_entry entry = {.id = id, .number = number};
    err = err == ERR_NONE ? lmdb_get(&batch->view, LMDB_ENTRY, &key, &value) : err;
    if (err == ERR_NONE && !stored.is_damaged && lmdb_entry_split(value, &sender, &record)) {
        if (!arena_slice(batch->arena, record, &record)) {
            return ERR_MEMORY;
        }
        err = queue_entry_decode(record, batch->arena, &entry);
        err = err == ERR_CORRUPT ? ERR_NONE : err; /* goes without a trace of its recipients */
    }
    cancel_pending(&entry);
    return err == ERR_NONE ? lmdb_entry_finish(batch, &entry) : err;
}

enum err lmdb_message_remove(struct lmdb_batch *batch, uint64_t id)
{
    struct lmdb_key key = lmdb_key_id(id);
    struct slice record;
    struct queue_message message;
    enum err err = lmdb_get(&batch->view, LMDB_MESSAGE, &key, &record);
    if (err != ERR_NONE) {
        return ignore_missing(err);
    }
    bool is_readable = queue_message_decode(record, &message) == ERR_NONE;
    uint64_t size = is_readable ? message.size : 0, content_size = 0;
    err = lmdb_delete(&batch->view, LMDB_MESSAGE, &key);
    err = err == ERR_NONE ? lmdb_chunks_remove(&batch->view, id, &content_size) : err;
    batch->totals.messages = less(batch->totals.messages, 1);
    batch->totals.bytes = less(batch->totals.bytes, is_readable ? size : content_size);
    return err;
}

enum err lmdb_chunks_remove(struct lmdb_view *view, uint64_t id, uint64_t *bytes)
{
    *bytes = 0;
    struct lmdb_key prefix = lmdb_key_id(id);
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(view, LMDB_CHUNK, &cursor);
    while (err == ERR_NONE) {
        err = lmdb_cursor_seek(&cursor, &prefix);
        if (err != ERR_NONE || !lmdb_key_begins(cursor.key, &prefix)) {
            break;
        }
        struct slice content = SLICE_EMPTY;
        *bytes += lmdb_unwrap(cursor.value, &content) ? content.length : 0;
        err = lmdb_cursor_delete(&cursor);
    }
    lmdb_cursor_close(&cursor);
    return ignore_missing(err);
}

enum err lmdb_sweep(struct queue *queue)
{
    enum err err;
    do {
        err = sweep_some(queue);
    } while (err == ERR_NONE);
    return err == ERR_END ? ERR_NONE : err;
}

/* ERR_END: there was nothing left. */
static enum err sweep_some(struct queue *queue)
{
    struct lmdb_view view;
    struct lmdb_key any = {.length = 0};
    size_t count = 0;
    enum err err = lmdb_view_write(queue, &view);
    while (err == ERR_NONE && count < SWEEP_PER_TRANSACTION) {
        struct slice found;
        uint64_t id, bytes;
        err = lmdb_first(&view, LMDB_PENDING, &any, &found);
        if (err != ERR_NONE || !lmdb_key_read_id(found, &id)) {
            break;
        }
        struct lmdb_key key = lmdb_key_id(id);
        err = lmdb_delete(&view, LMDB_PENDING, &key);
        err = err == ERR_NONE ? lmdb_chunks_remove(&view, id, &bytes) : err;
        count++;
    }
    if (count > 0 && ignore_missing(err) == ERR_NONE) {
        return lmdb_view_commit(&view);
    }
    lmdb_view_end(&view);
    return err == ERR_NOT_FOUND ? ERR_END : err;
}

/* ---- records ---- */

enum err lmdb_totals_get(struct lmdb_view *view, struct queue_totals *totals)
{
    *totals = (struct queue_totals){0};
    struct lmdb_key key = lmdb_key_own(OWN_TOTALS);
    struct slice value;
    enum err err = lmdb_get_checked(view, LMDB_META, &key, &value);
    if (err != ERR_NONE) {
        return ignore_missing(err);
    }
    struct reader reader = reader_of(value);
    totals->messages = reader_u64(&reader);
    totals->bytes = reader_u64(&reader);
    totals->entries = reader_u64(&reader);
    return reader_done(&reader) ? ERR_NONE : ERR_CORRUPT;
}

enum err lmdb_totals_put(struct lmdb_view *view, const struct queue_totals *totals)
{
    struct lmdb_key key = lmdb_key_own(OWN_TOTALS);
    struct buffer record;
    buffer_init(&record, 64);
    buffer_add_u64(&record, totals->messages);
    buffer_add_u64(&record, totals->bytes);
    buffer_add_u64(&record, totals->entries);
    enum err err = buffer_failed(&record) ? ERR_MEMORY : lmdb_put_checked(view, LMDB_META, &key, buffer_slice(&record));
    buffer_free(&record);
    return err;
}

enum err lmdb_totals_count(struct lmdb_view *view, struct queue_totals *totals)
{
    *totals = (struct queue_totals){0};
    struct lmdb_cursor cursor;
    enum err err = lmdb_view_count(view, LMDB_ENTRY, &totals->entries);
    err = err == ERR_NONE ? lmdb_view_count(view, LMDB_MESSAGE, &totals->messages) : err;
    if (err != ERR_NONE) {
        return err;
    }
    err = lmdb_cursor_open(view, LMDB_MESSAGE, &cursor);
    while (err == ERR_NONE && (err = lmdb_cursor_next(&cursor)) == ERR_NONE) {
        struct queue_message message;
        totals->bytes += queue_message_decode(cursor.value, &message) == ERR_NONE ? message.size : 0;
    }
    lmdb_cursor_close(&cursor);
    return ignore_missing(err);
}

bool lmdb_entry_split(struct slice value, uint64_t *sender, struct slice *record)
{
    struct reader reader = reader_of(value);
    *sender = reader_u64(&reader);
    *record = reader.rest;
    return !reader.failed;
}

bool lmdb_done_split(struct slice value, struct slice *message, struct slice *entry)
{
    struct reader reader = reader_of(value);
    *message = reader_block(&reader);
    *entry = reader_block(&reader);
    return reader_done(&reader);
}

/* ---- parts ---- */

/* Its destination is not known: all are searched. */
static enum err place_purge(struct lmdb_batch *batch, uint64_t id, uint16_t number)
{
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(&batch->view, LMDB_PLACE, &cursor);
    while (err == ERR_NONE && (err = lmdb_cursor_next(&cursor)) == ERR_NONE) {
        struct lmdb_slot slot;
        if (lmdb_key_read_place(cursor.key, &slot) && slot.id == id && slot.number == number) {
            err = lmdb_cursor_delete(&cursor);
            break;
        }
    }
    lmdb_cursor_close(&cursor);
    return ignore_missing(err);
}

static enum err sender_of(struct lmdb_batch *batch, uint64_t id, uint64_t *sender)
{
    struct lmdb_key key = lmdb_key_id(id);
    struct slice record;
    struct queue_message message = {.sender = SLICE_EMPTY};
    enum err err = lmdb_get(&batch->view, LMDB_MESSAGE, &key, &record);
    bool is_readable = err == ERR_NONE && queue_message_decode(record, &message) == ERR_NONE;
    *sender = queue_sender_hash(is_readable ? message.sender : SLICE_EMPTY);
    return ignore_missing(err);
}

static void cancel_pending(struct queue_entry *entry)
{
    for (size_t i = 0; entry->recipients != NULL && i < entry->recipient_count; i++) {
        if (entry->recipients[i].status == QUEUE_PENDING) {
            entry->recipients[i].status = QUEUE_DELETED;
        }
    }
}

/* The outcome, with a copy of the message's record: the message itself may be gone when somebody asks. */
static enum err done_put(struct lmdb_batch *batch, const struct queue_entry *entry)
{
    struct slice message;
    struct queue_message decoded;
    struct lmdb_key key = lmdb_key_id(entry->id);
    if (batch->view.queue->options.done_keep_ms <= 0 || entry->recipient_count == 0) {
        return ERR_NONE;
    }
    enum err err = lmdb_get(&batch->view, LMDB_MESSAGE, &key, &message);
    if (err != ERR_NONE) {
        return ignore_missing(err);
    }
    if (queue_message_decode(message, &decoded) != ERR_NONE) {
        return ERR_NONE; /* damage is not handed on */
    }
    buffer_clear(&batch->record);
    buffer_add_block(&batch->record, message);
    size_t length_at = buffer_length(&batch->record);
    buffer_add_u32(&batch->record, 0);
    queue_entry_encode(entry, &batch->record);
    if (buffer_failed(&batch->record)) {
        return ERR_MEMORY;
    }
    uint32_t length = (uint32_t)(buffer_length(&batch->record) - length_at - 4);
    for (size_t i = 0; i < 4; i++) {
        batch->record.data[batch->record.start + length_at + i] = (char)(uint8_t)(length >> (8 * (3 - i)));
    }
    key = lmdb_key_done(batch->now_ms, entry->id, entry->number);
    return lmdb_put(&batch->view, LMDB_DONE, &key, buffer_slice(&batch->record));
}

static enum err message_remove_last(struct lmdb_batch *batch, uint64_t id)
{
    struct lmdb_key prefix = lmdb_key_id(id);
    struct slice found;
    enum err err = lmdb_first(&batch->view, LMDB_ENTRY, &prefix, &found);
    return err == ERR_NOT_FOUND ? lmdb_message_remove(batch, id) : err;
}

/* Totals that are wrong (queue_check says so) must not wrap around too. */
static uint64_t less(uint64_t number, uint64_t subtracted)
{
    return number > subtracted ? number - subtracted : 0;
}

static enum err ignore_missing(enum err err)
{
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}
