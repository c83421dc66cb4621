#include "queue/lmdb_internal.h"

#include <assert.h>

/* One slice of a listing. The record of the message is kept from one of its entries to the next. */
struct slice_of_listing {
    struct queue_listing *listing;
    struct lmdb_view view;
    struct lmdb_cursor cursor;
    struct queue_message message;
    bool has_message;
};

static enum err list_start(struct slice_of_listing *list);
static struct lmdb_key list_prefix(const struct slice_of_listing *list);
static enum err list_visit(struct slice_of_listing *list, size_t *visited, bool *goes_on);
static bool list_position(const struct slice_of_listing *list, uint64_t *id, uint16_t *number);
static enum err list_load(struct slice_of_listing *list, uint64_t id, uint16_t number, struct queue_entry *entry);
static enum err list_message(struct slice_of_listing *list, uint64_t id);
static enum err done_start(struct slice_of_listing *list);
static enum err done_visit(struct slice_of_listing *list, size_t *visited, bool *goes_on);
static enum err damaged_unless_memory(struct queue_listing *listing, enum err err);

enum err queue_list(struct queue *queue, struct queue_listing *listing)
{
    struct slice_of_listing list = {.listing = listing};
    struct lmdb_key prefix = list_prefix(&list);
    bool goes_on = true;
    enum err err = lmdb_view_read(queue, &list.view);
    err = err == ERR_NONE ? list_start(&list) : err;
    for (size_t visited = 0; err == ERR_NONE && visited < listing->limit && goes_on;) {
        if (!lmdb_key_begins(list.cursor.key, &prefix)) {
            err = ERR_NOT_FOUND;
            break;
        }
        err = list_visit(&list, &visited, &goes_on);
        err = err == ERR_NONE ? lmdb_cursor_next(&list.cursor) : err;
    }
    lmdb_cursor_close(&list.cursor);
    lmdb_view_end(&list.view);
    return err == ERR_NOT_FOUND ? ERR_END : err;
}

/* The cursor at the first entry that was not visited yet. */
static enum err list_start(struct slice_of_listing *list)
{
    const struct queue_listing *listing = list->listing;
    bool is_by_destination = listing->destination.length > 0;
    bool is_inside = listing->after_number > 0;
    uint64_t id = is_inside ? listing->after_id : listing->after_id + 1;
    uint16_t number = is_inside ? (uint16_t)listing->after_number : 0;
    if (listing->after_id == UINT64_MAX || listing->after_number > UINT16_MAX) {
        return ERR_NOT_FOUND;
    }
    struct lmdb_key key =
        is_by_destination ? lmdb_key_place(listing->destination, id, number) : lmdb_key_entry(id, number);
    enum err err = lmdb_cursor_open(&list->view, is_by_destination ? LMDB_PLACE : LMDB_ENTRY, &list->cursor);
    return err == ERR_NONE ? lmdb_cursor_seek(&list->cursor, &key) : err;
}

static struct lmdb_key list_prefix(const struct slice_of_listing *list)
{
    struct lmdb_key all = {.length = 0};
    return list->listing->destination.length > 0 ? lmdb_key_destination(list->listing->destination) : all;
}

/* A damaged key does not count: it gives no place to go on from, so a slice must not end there. */
static enum err list_visit(struct slice_of_listing *list, size_t *visited, bool *goes_on)
{
    struct queue_listing *listing = list->listing;
    uint64_t id;
    uint16_t number;
    struct queue_entry entry;
    if (!list_position(list, &id, &number)) {
        listing->damaged_count++;
        return ERR_NONE;
    }
    (*visited)++;
    listing->after_id = id;
    listing->after_number = (uint32_t)number + 1;
    enum err err = list_load(list, id, number, &entry);
    if (err != ERR_NONE) {
        return damaged_unless_memory(listing, err);
    }
    *goes_on = listing->visit(listing->owner, &list->message, &entry);
    return ERR_NONE;
}

static bool list_position(const struct slice_of_listing *list, uint64_t *id, uint16_t *number)
{
    struct lmdb_slot slot;
    if (list->listing->destination.length == 0) {
        return lmdb_key_read_entry(list->cursor.key, id, number);
    }
    bool is_key = lmdb_key_read_place(list->cursor.key, &slot);
    *id = slot.id;
    *number = slot.number;
    return is_key;
}

static enum err list_load(struct slice_of_listing *list, uint64_t id, uint16_t number, struct queue_entry *entry)
{
    struct slice value = list->cursor.value, record;
    uint64_t sender;
    enum err err = list_message(list, id);
    if (err == ERR_NONE && list->listing->destination.length > 0) {
        struct lmdb_key key = lmdb_key_entry(id, number);
        err = lmdb_get(&list->view, LMDB_ENTRY, &key, &value);
    }
    if (err == ERR_NONE && !lmdb_entry_split(value, &sender, &record)) {
        err = ERR_CORRUPT;
    }
    return err == ERR_NONE ? queue_entry_decode(record, list->listing->arena, entry) : err;
}

static enum err list_message(struct slice_of_listing *list, uint64_t id)
{
    if (list->has_message && list->message.id == id) {
        return ERR_NONE;
    }
    struct lmdb_key key = lmdb_key_id(id);
    struct slice record;
    enum err err = lmdb_get(&list->view, LMDB_MESSAGE, &key, &record);
    err = err == ERR_NONE ? queue_message_decode(record, &list->message) : err;
    list->has_message = err == ERR_NONE;
    return err;
}

/* ---- outcomes ---- */

enum err queue_list_done(struct queue *queue, struct queue_listing *listing)
{
    struct slice_of_listing list = {.listing = listing};
    bool goes_on = true;
    enum err err = lmdb_view_read(queue, &list.view);
    err = err == ERR_NONE ? done_start(&list) : err;
    for (size_t visited = 0; err == ERR_NONE && visited < listing->limit && goes_on;) {
        err = done_visit(&list, &visited, &goes_on);
        err = err == ERR_NONE ? lmdb_cursor_previous(&list.cursor) : err;
    }
    lmdb_cursor_close(&list.cursor);
    lmdb_view_end(&list.view);
    return err == ERR_NOT_FOUND ? ERR_END : err;
}

static enum err done_start(struct slice_of_listing *list)
{
    const struct queue_listing *listing = list->listing;
    enum err err = lmdb_cursor_open(&list->view, LMDB_DONE, &list->cursor);
    if (err != ERR_NONE) {
        return err;
    }
    if (listing->after_time_ms == 0) {
        return lmdb_cursor_last(&list->cursor);
    }
    bool is_inside = listing->after_number > 0;
    struct lmdb_key key = lmdb_key_done(listing->after_time_ms, is_inside ? listing->after_id : 0,
                                        is_inside ? (uint16_t)(listing->after_number - 1) : 0);
    return lmdb_cursor_before(&list->cursor, &key);
}

static enum err done_visit(struct slice_of_listing *list, size_t *visited, bool *goes_on)
{
    struct queue_listing *listing = list->listing;
    struct lmdb_slot slot;
    struct slice message, entry_record;
    struct queue_entry entry;
    if (!lmdb_key_read_done(list->cursor.key, &slot)) {
        listing->damaged_count++;
        return ERR_NONE;
    }
    (*visited)++;
    listing->after_time_ms = slot.due_ms;
    listing->after_id = slot.id;
    listing->after_number = (uint32_t)slot.number + 1;
    enum err err = lmdb_done_split(list->cursor.value, &message, &entry_record) ? ERR_NONE : ERR_CORRUPT;
    err = err == ERR_NONE ? queue_message_decode(message, &list->message) : err;
    err = err == ERR_NONE ? queue_entry_decode(entry_record, listing->arena, &entry) : err;
    if (err != ERR_NONE) {
        return damaged_unless_memory(listing, err);
    }
    *goes_on = listing->visit(listing->owner, &list->message, &entry);
    return ERR_NONE;
}

static enum err damaged_unless_memory(struct queue_listing *listing, enum err err)
{
    if (err != ERR_CORRUPT && err != ERR_NOT_FOUND) {
        return err;
    }
    listing->damaged_count++;
    return ERR_NONE;
}

/* ---- policies ---- */

enum err queue_list_policies(struct queue *queue, struct buffer *after, size_t limit,
                             bool (*visit)(void *owner, struct slice domain, struct slice bytes), void *owner)
{
    struct lmdb_view view;
    struct lmdb_cursor cursor = {0};
    struct lmdb_key key = {.length = 0};
    if (buffer_length(after) > 0) {
        key = lmdb_key_name(buffer_slice(after));
    }
    bool goes_on = true;
    enum err err = lmdb_view_read(queue, &view);
    err = err == ERR_NONE ? lmdb_cursor_open(&view, LMDB_POLICY, &cursor) : err;
    err = err == ERR_NONE ? lmdb_cursor_behind(&cursor, &key) : err;
    for (size_t left = limit; err == ERR_NONE && left > 0 && goes_on; left--) {
        struct slice bytes;
        buffer_clear(after);
        buffer_add(after, cursor.key);
        if (buffer_failed(after)) {
            err = ERR_MEMORY;
        } else if (lmdb_unwrap(cursor.value, &bytes)) { /* a damaged one is told by queue_policy_get, queue_check */
            goes_on = visit(owner, cursor.key, bytes);
        }
        err = err == ERR_NONE ? lmdb_cursor_next(&cursor) : err;
    }
    lmdb_cursor_close(&cursor);
    lmdb_view_end(&view);
    return err == ERR_NOT_FOUND ? ERR_END : err;
}
