#include "queue/lmdb_check.h"

/* The entry that a key of place or due speaks of. */
struct found_entry {
    bool is_there, is_readable;
    struct queue_entry entry; /* without recipients */
    uint64_t sender;
};

static enum err find_entry(struct lmdb_check *check, const struct lmdb_slot *slot, struct found_entry *found);
static enum err check_turn_of(struct lmdb_check *check, struct slice key, const struct lmdb_slot *slot);
static enum err check_ready_of(struct lmdb_check *check, struct slice key, const struct lmdb_slot *slot);

enum err lmdb_check_listed(struct lmdb_check *check, enum lmdb_table table, const struct lmdb_key *key, const char *id,
                           const char *what)
{
    struct slice found;
    enum err err = lmdb_get(&check->view, table, key, &found);
    if (err == ERR_NOT_FOUND) {
        lmdb_fault(check, "message %s: an entry of it %s", id, what);
        return ERR_NONE;
    }
    return err;
}

enum err lmdb_check_place(struct lmdb_check *check, struct slice key, struct slice value)
{
    (void)value;
    char text[QUEUE_ID_TEXT];
    struct lmdb_slot slot;
    struct found_entry found;
    if (!lmdb_key_read_place(key, &slot)) {
        lmdb_fault(check, "the list of a destination has a damaged key");
        return ERR_NONE;
    }
    enum err err = find_entry(check, &slot, &found);
    if (err == ERR_NONE && !found.is_there) {
        lmdb_fault(check, "message %s: entry %u is listed under %.*s, but is not stored", lmdb_id_text(slot.id, text),
                   slot.number, SLICE_ARGS(slot.destination));
    } else if (err == ERR_NONE && found.is_readable && !slice_equal(found.entry.destination, slot.destination)) {
        lmdb_fault(check, "message %s: entry %u is listed under %.*s, but goes to %.*s", lmdb_id_text(slot.id, text),
                   slot.number, SLICE_ARGS(slot.destination), SLICE_ARGS(found.entry.destination));
    }
    return err;
}

enum err lmdb_check_due(struct lmdb_check *check, struct slice key, struct slice value)
{
    (void)value;
    char text[QUEUE_ID_TEXT];
    struct lmdb_slot slot;
    struct found_entry found;
    if (!lmdb_key_read_due(key, &slot)) {
        lmdb_fault(check, "the schedule has a damaged key");
        return ERR_NONE;
    }
    enum err err = find_entry(check, &slot, &found);
    if (err == ERR_NONE && !found.is_there) {
        lmdb_fault(check, "message %s: entry %u is scheduled, but is not stored", lmdb_id_text(slot.id, text),
                   slot.number);
    } else if (err == ERR_NONE && found.is_readable &&
               (found.entry.held || found.entry.due_ms != slot.due_ms || found.sender != slot.sender ||
                !slice_equal(found.entry.destination, slot.destination))) {
        lmdb_fault(check, "message %s: entry %u is scheduled otherwise than its record says",
                   lmdb_id_text(slot.id, text), slot.number);
    }
    return err == ERR_NONE ? check_turn_of(check, key, &slot) : err;
}

/* The first key of a sender is the one that gives its turn. */
static enum err check_turn_of(struct lmdb_check *check, struct slice key, const struct lmdb_slot *slot)
{
    if (check->group.length > 0 && lmdb_key_begins(key, &check->group)) {
        return ERR_NONE;
    }
    char text[QUEUE_ID_TEXT];
    check->group = lmdb_key_sender(slot->destination, slot->sender);
    struct lmdb_key turn = lmdb_key_turn(slot->destination, slot->due_ms, slot->sender);
    return lmdb_check_listed(check, LMDB_TURN, &turn, lmdb_id_text(slot->id, text), "gets no turn");
}

enum err lmdb_check_turn(struct lmdb_check *check, struct slice key, struct slice value)
{
    (void)value;
    struct lmdb_slot slot;
    int64_t earliest_ms;
    if (!lmdb_key_read_turn(key, &slot)) {
        lmdb_fault(check, "the turns have a damaged key");
        return ERR_NONE;
    }
    enum err err = lmdb_index_earliest(&check->view, slot.destination, slot.sender, &earliest_ms);
    if (err == ERR_NOT_FOUND || (err == ERR_NONE && earliest_ms != slot.due_ms)) {
        lmdb_fault(check, "destination %.*s: a sender has a turn when nothing of it waits",
                   SLICE_ARGS(slot.destination));
        return ERR_NONE;
    }
    return err == ERR_NONE ? check_ready_of(check, key, &slot) : err;
}

/* The first key of a destination is the one that makes it ready. */
static enum err check_ready_of(struct lmdb_check *check, struct slice key, const struct lmdb_slot *slot)
{
    if (check->group.length > 0 && lmdb_key_begins(key, &check->group)) {
        return ERR_NONE;
    }
    check->group = lmdb_key_destination(slot->destination);
    int64_t time_ms;
    enum err err = lmdb_index_ready(&check->view, slot->destination, &time_ms);
    if (err != ERR_NONE) {
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    struct lmdb_key ready = lmdb_key_ready(time_ms, slot->destination);
    struct slice found;
    err = lmdb_get(&check->view, LMDB_READY, &ready, &found);
    if (err == ERR_NOT_FOUND) {
        lmdb_fault(check, "destination %.*s: is not called when it is ready", SLICE_ARGS(slot->destination));
        return ERR_NONE;
    }
    return err;
}

enum err lmdb_check_ready(struct lmdb_check *check, struct slice key, struct slice value)
{
    (void)value;
    struct lmdb_slot slot;
    int64_t time_ms;
    if (!lmdb_key_read_ready(key, &slot)) {
        lmdb_fault(check, "the list of ready destinations has a damaged key");
        return ERR_NONE;
    }
    enum err err = lmdb_index_ready(&check->view, slot.destination, &time_ms);
    if (err == ERR_NOT_FOUND || (err == ERR_NONE && time_ms != slot.due_ms)) {
        lmdb_fault(check, "destination %.*s: is called when it is not ready", SLICE_ARGS(slot.destination));
        return ERR_NONE;
    }
    return err;
}

/* ---- parts ---- */

static enum err find_entry(struct lmdb_check *check, const struct lmdb_slot *slot, struct found_entry *found)
{
    *found = (struct found_entry){0};
    struct lmdb_key key = lmdb_key_entry(slot->id, slot->number);
    struct slice value, record;
    enum err err = lmdb_get(&check->view, LMDB_ENTRY, &key, &value);
    if (err != ERR_NONE) {
        return err == ERR_NOT_FOUND ? ERR_NONE : err;
    }
    found->is_there = true;
    found->is_readable =
        lmdb_entry_split(value, &found->sender, &record) && queue_entry_peek(record, &found->entry) == ERR_NONE;
    return ERR_NONE;
}
