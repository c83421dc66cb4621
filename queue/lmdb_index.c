#include "queue/lmdb_internal.h"

#include <assert.h>

/* The time in ready of one destination. */
struct appointment {
    bool is_made;
    int64_t time_ms;
};

static enum err appointment_get(struct lmdb_view *view, struct slice destination, struct appointment *appointment);
static enum err appointment_move(struct lmdb_view *view, struct slice destination, struct appointment before);
static enum err ready_purge(struct lmdb_view *view, struct slice destination);
static enum err turn_move(struct lmdb_view *view, const struct lmdb_slot *slot, struct appointment old,
                          struct appointment new);
static enum err remove_present(struct lmdb_view *view, const struct lmdb_slot *slot);
static enum err earliest(struct lmdb_view *view, const struct lmdb_slot *slot, struct appointment *earliest);
static enum err find_stray(struct lmdb_view *view, const struct lmdb_slot *wanted, struct lmdb_key *found);
static enum err not_before(struct lmdb_view *view, struct slice destination, int64_t *time_ms);

enum err lmdb_index_add(struct lmdb_view *view, const struct lmdb_slot *slot)
{
    struct appointment old;
    enum err err = earliest(view, slot, &old);
    if (err != ERR_NONE) {
        return err;
    }
    struct lmdb_key key = lmdb_key_due(slot);
    err = lmdb_put(view, LMDB_DUE, &key, SLICE_EMPTY);
    if (err != ERR_NONE || (old.is_made && old.time_ms <= slot->due_ms)) {
        return err;
    }
    return turn_move(view, slot, old, (struct appointment){.is_made = true, .time_ms = slot->due_ms});
}

enum err lmdb_index_remove(struct lmdb_view *view, const struct lmdb_slot *slot)
{
    enum err err = remove_present(view, slot);
    return err == ERR_NOT_FOUND ? lmdb_index_purge(view, slot) : err;
}

enum err lmdb_index_purge(struct lmdb_view *view, const struct lmdb_slot *slot)
{
    struct lmdb_key key;
    enum err err;
    while ((err = find_stray(view, slot, &key)) == ERR_NONE) {
        struct lmdb_slot stray;
        bool is_key = lmdb_key_read_due(slice_make(key.bytes, key.length), &stray);
        assert(is_key);
        err = remove_present(view, &stray);
        if (err != ERR_NONE) {
            return err;
        }
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

enum err lmdb_index_destination(struct lmdb_view *view, struct slice name, struct slice record)
{
    struct appointment before;
    enum err err = appointment_get(view, name, &before);
    if (err != ERR_NONE) {
        return err;
    }
    struct lmdb_key key = lmdb_key_name(name);
    if (record.length > 0) {
        err = lmdb_put(view, LMDB_DESTINATION, &key, record);
    } else {
        err = lmdb_delete(view, LMDB_DESTINATION, &key);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    return err == ERR_NONE ? appointment_move(view, name, before) : err;
}

enum err lmdb_index_earliest(struct lmdb_view *view, struct slice destination, uint64_t sender, int64_t *due_ms)
{
    struct lmdb_slot slot = {.destination = destination, .sender = sender};
    struct appointment first;
    enum err err = earliest(view, &slot, &first);
    *due_ms = first.time_ms;
    return err == ERR_NONE && !first.is_made ? ERR_NOT_FOUND : err;
}

enum err lmdb_index_ready(struct lmdb_view *view, struct slice destination, int64_t *time_ms)
{
    struct appointment appointment;
    enum err err = appointment_get(view, destination, &appointment);
    *time_ms = appointment.time_ms;
    return err == ERR_NONE && !appointment.is_made ? ERR_NOT_FOUND : err;
}

static enum err remove_present(struct lmdb_view *view, const struct lmdb_slot *slot)
{
    struct appointment old, new;
    enum err err = earliest(view, slot, &old);
    if (err != ERR_NONE) {
        return err;
    }
    struct lmdb_key key = lmdb_key_due(slot);
    err = lmdb_delete(view, LMDB_DUE, &key);
    if (err != ERR_NONE || old.time_ms != slot->due_ms) {
        return err;
    }
    err = earliest(view, slot, &new);
    if (err != ERR_NONE || (new.is_made &&new.time_ms == old.time_ms)) {
        return err;
    }
    return turn_move(view, slot, old, new);
}

/* Of the slot's destination and sender. */
static enum err earliest(struct lmdb_view *view, const struct lmdb_slot *slot, struct appointment *earliest)
{
    *earliest = (struct appointment){0};
    struct lmdb_key prefix = lmdb_key_sender(slot->destination, slot->sender);
    struct slice key;
    struct lmdb_slot first;
    enum err err = lmdb_first(view, LMDB_DUE, &prefix, &key);
    if (err == ERR_NONE && lmdb_key_read_due(key, &first)) {
        *earliest = (struct appointment){.is_made = true, .time_ms = first.due_ms};
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* The sender's turn, and with it perhaps the destination's appointment. */
static enum err turn_move(struct lmdb_view *view, const struct lmdb_slot *slot, struct appointment old,
                          struct appointment new)
{
    struct appointment before;
    enum err err = appointment_get(view, slot->destination, &before);
    if (err == ERR_NONE && old.is_made) {
        struct lmdb_key key = lmdb_key_turn(slot->destination, old.time_ms, slot->sender);
        err = lmdb_delete(view, LMDB_TURN, &key);
        err = err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    if (err == ERR_NONE && new.is_made) {
        struct lmdb_key key = lmdb_key_turn(slot->destination, new.time_ms, slot->sender);
        err = lmdb_put(view, LMDB_TURN, &key, SLICE_EMPTY);
    }
    return err == ERR_NONE ? appointment_move(view, slot->destination, before) : err;
}

static enum err appointment_get(struct lmdb_view *view, struct slice destination, struct appointment *appointment)
{
    *appointment = (struct appointment){0};
    struct lmdb_key prefix = lmdb_key_destination(destination);
    struct slice key;
    struct lmdb_slot first;
    enum err err = lmdb_first(view, LMDB_TURN, &prefix, &key);
    if (err != ERR_NONE || !lmdb_key_read_turn(key, &first)) {
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    int64_t earliest_ms;
    err = not_before(view, destination, &earliest_ms);
    appointment->is_made = true;
    appointment->time_ms = first.due_ms > earliest_ms ? first.due_ms : earliest_ms;
    return err;
}

static enum err appointment_move(struct lmdb_view *view, struct slice destination, struct appointment before)
{
    struct appointment after;
    enum err err = appointment_get(view, destination, &after);
    if (err != ERR_NONE || (before.is_made == after.is_made && before.time_ms == after.time_ms)) {
        return err;
    }
    if (before.is_made) {
        struct lmdb_key key = lmdb_key_ready(before.time_ms, destination);
        err = lmdb_delete(view, LMDB_READY, &key);
        err = err == ERR_NOT_FOUND ? ready_purge(view, destination) : err;
    }
    if (err == ERR_NONE && after.is_made) {
        struct lmdb_key key = lmdb_key_ready(after.time_ms, destination);
        err = lmdb_put(view, LMDB_READY, &key, SLICE_EMPTY);
    }
    return err;
}

/* The appointment does not stand where it should: what it was reckoned from was damaged since. Left alone it would call
 * the destination for ever. */
static enum err ready_purge(struct lmdb_view *view, struct slice destination)
{
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(view, LMDB_READY, &cursor);
    if (err != ERR_NONE) {
        return err;
    }
    err = lmdb_cursor_first(&cursor);
    while (err == ERR_NONE) {
        struct lmdb_slot slot;
        if (lmdb_key_read_ready(cursor.key, &slot) && slice_equal(slot.destination, destination)) {
            err = lmdb_cursor_delete(&cursor);
            err = err == ERR_NONE ? lmdb_cursor_first(&cursor) : err;
        } else {
            err = lmdb_cursor_next(&cursor);
        }
    }
    lmdb_cursor_close(&cursor);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* The key in due of the wanted id and number. */
static enum err find_stray(struct lmdb_view *view, const struct lmdb_slot *wanted, struct lmdb_key *found)
{
    struct lmdb_key prefix = {.length = 0};
    if (wanted->destination.length > 0) {
        prefix = lmdb_key_destination(wanted->destination);
    }
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(view, LMDB_DUE, &cursor);
    if (err != ERR_NONE) {
        return err;
    }
    err = lmdb_cursor_seek(&cursor, &prefix);
    while (err == ERR_NONE) {
        struct lmdb_slot slot;
        if (!lmdb_key_begins(cursor.key, &prefix)) {
            err = ERR_NOT_FOUND;
            break;
        }
        if (lmdb_key_read_due(cursor.key, &slot) && slot.id == wanted->id && slot.number == wanted->number) {
            *found = lmdb_key_due(&slot);
            break;
        }
        err = lmdb_cursor_next(&cursor);
    }
    lmdb_cursor_close(&cursor);
    return err;
}

/* A damaged record counts as none, before and after a change alike. */
static enum err not_before(struct lmdb_view *view, struct slice destination, int64_t *time_ms)
{
    struct lmdb_key key = lmdb_key_name(destination);
    struct slice record;
    struct queue_destination known;
    enum err err = lmdb_get(view, LMDB_DESTINATION, &key, &record);
    bool is_known = err == ERR_NONE && queue_destination_decode(record, &known) == ERR_NONE;
    *time_ms = is_known ? known.not_before_ms : INT64_MIN;
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}
