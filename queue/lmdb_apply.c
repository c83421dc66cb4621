#include "queue/lmdb_internal.h"

#include <assert.h>

#define ARENA_LIMIT ((size_t)64 << 20)
#define RECORD_LIMIT ((size_t)64 << 20)
/* Old outcomes that go with each transaction: more than can come in it, so that they never pile up. */
#define PURGE_PER_CHANGE 2
#define PURGE_MIN 8
/* Readers that died leave their slot, and pages that it pins; LMDB looks for them only when told to. */
#define APPLIES_PER_READER_CHECK 4096

static enum err commit_batch(struct queue *queue, const struct queue_change *const *changes, size_t count);
static enum err apply_all(struct lmdb_batch *batch, const struct queue_change *const *changes, size_t count);
static bool has_new_mail(const struct queue_change *const *changes, size_t count);
static enum err check_room(struct lmdb_batch *batch);
static enum err purge_done(struct lmdb_batch *batch, size_t change_count);
static void look_after(struct queue *queue);
static enum err check_chunks(struct lmdb_batch *batch, const struct queue_message *message);
static enum err message_add(struct lmdb_batch *batch, const struct queue_message *message);
static enum err ignore_missing(enum err err);

#define X(name) static enum err apply_##name(struct lmdb_batch *batch, const struct queue_change *change);
QUEUE_CHANGE_LIST(X)
#undef X

enum err queue_apply(struct queue *queue, const struct queue_change *const *changes, size_t count)
{
    assert(!queue->options.read_only);
    if (queue->is_broken) {
        return ERR_IO;
    }
    lmdb_reserve_keep(queue);
    enum err err = commit_batch(queue, changes, count);
    if (err == ERR_FULL && !has_new_mail(changes, count) && lmdb_reserve_release(queue)) {
        err = commit_batch(queue, changes, count);
    }
    if (err == ERR_CORRUPT) {
        err = ERR_IO;
    }
    queue->is_broken = err == ERR_IO;
    if (err == ERR_NONE) {
        look_after(queue);
    }
    return err;
}

static enum err commit_batch(struct queue *queue, const struct queue_change *const *changes, size_t count)
{
    struct lmdb_batch batch = {.arena = arena_new(ARENA_LIMIT)};
    if (batch.arena == NULL) {
        return ERR_MEMORY;
    }
    buffer_init(&batch.record, RECORD_LIMIT);
    enum err err = lmdb_view_write(queue, &batch.view);
    if (err == ERR_NONE) {
        err = apply_all(&batch, changes, count);
    }
    if (err == ERR_NONE && has_new_mail(changes, count)) {
        err = check_room(&batch);
    }
    if (err == ERR_NONE) {
        err = lmdb_view_commit(&batch.view);
    }
    lmdb_view_end(&batch.view);
    buffer_free(&batch.record);
    arena_free(&batch.arena);
    return err;
}

static enum err apply_all(struct lmdb_batch *batch, const struct queue_change *const *changes, size_t count)
{
    static enum err (*const appliers[])(struct lmdb_batch *, const struct queue_change *) = {
#define X(name) [QUEUE_CHANGE_##name] = apply_##name,
        QUEUE_CHANGE_LIST(X)
#undef X
    };
    enum err err = lmdb_totals_get(&batch->view, &batch->totals);
    int64_t latest_ms = 0;
    for (size_t i = 0; err == ERR_NONE && i < count; i++) {
        arena_reset(batch->arena);
        batch->now_ms = changes[i]->now_ms;
        latest_ms = batch->now_ms > latest_ms ? batch->now_ms : latest_ms;
        err = appliers[changes[i]->kind](batch, changes[i]);
    }
    batch->now_ms = latest_ms;
    if (err == ERR_NONE) {
        err = purge_done(batch, count);
    }
    return err == ERR_NONE ? lmdb_totals_put(&batch->view, &batch->totals) : err;
}

static bool has_new_mail(const struct queue_change *const *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_mail = changes[i]->kind == QUEUE_CHANGE_CHUNK || changes[i]->kind == QUEUE_CHANGE_ACCEPT;
        if (is_mail && !changes[i]->is_report) {
            return true;
        }
    }
    return false;
}

/* New mail leaves the last pages of the map to the bookkeeping that gets rid of mail, and without the reserve as many that
 * need no room on the disk. */
static enum err check_room(struct lmdb_batch *batch)
{
    const struct queue *queue = batch->view.queue;
    uint64_t used;
    enum err err = lmdb_view_used(&batch->view, &used);
    if (err != ERR_NONE) {
        return err;
    }
    bool has_reserve = queue->reserve != LMDB_RESERVE_SPENT || lmdb_view_free(&batch->view, used) >= LMDB_RESERVE_SIZE;
    return has_reserve && used <= lmdb_accept_limit(queue) ? ERR_NONE : ERR_FULL;
}

static enum err purge_done(struct lmdb_batch *batch, size_t change_count)
{
    if (batch->now_ms <= 0) {
        return ERR_NONE; /* nobody told the time */
    }
    struct lmdb_cursor cursor;
    enum err err = lmdb_cursor_open(&batch->view, LMDB_DONE, &cursor);
    for (size_t left = PURGE_MIN + PURGE_PER_CHANGE * change_count; err == ERR_NONE && left > 0; left--) {
        struct lmdb_slot slot;
        err = lmdb_cursor_first(&cursor);
        if (err == ERR_NONE && lmdb_key_read_done(cursor.key, &slot) &&
            slot.due_ms >= batch->now_ms - batch->view.queue->options.done_keep_ms) {
            break;
        }
        err = err == ERR_NONE ? lmdb_cursor_delete(&cursor) : err;
    }
    lmdb_cursor_close(&cursor);
    return ignore_missing(err);
}

static void look_after(struct queue *queue)
{
    if (++queue->apply_count % APPLIES_PER_READER_CHECK == 0) {
        int stale;
        queue->is_broken = mdb_reader_check(queue->env, &stale) != MDB_SUCCESS;
    }
}

/* ---- the changes ---- */

static enum err apply_CHUNK(struct lmdb_batch *batch, const struct queue_change *change)
{
    assert(change->id != 0);
    assert(change->bytes.length <= QUEUE_CHUNK_MAX);
    struct lmdb_key id = lmdb_key_id(change->id);
    struct slice message;
    enum err err = lmdb_get(&batch->view, LMDB_MESSAGE, &id, &message);
    if (err != ERR_NOT_FOUND) {
        return err == ERR_NONE ? ERR_EXISTS : err;
    }
    err = lmdb_put(&batch->view, LMDB_PENDING, &id, SLICE_EMPTY);
    if (err != ERR_NONE) {
        return err;
    }
    struct lmdb_key key = lmdb_key_chunk(change->id, change->number);
    return lmdb_add_checked(&batch->view, LMDB_CHUNK, &key, change->bytes);
}

static enum err apply_DISCARD(struct lmdb_batch *batch, const struct queue_change *change)
{
    struct lmdb_key id = lmdb_key_id(change->id);
    enum err err = lmdb_delete(&batch->view, LMDB_PENDING, &id);
    if (err != ERR_NONE) {
        return ignore_missing(err);
    }
    uint64_t bytes;
    return lmdb_chunks_remove(&batch->view, change->id, &bytes);
}

static enum err apply_ACCEPT(struct lmdb_batch *batch, const struct queue_change *change)
{
    const struct queue_message *message = change->message;
    assert(message->id != 0);
    assert(message->entry_count == change->entry_count);
    assert(change->entry_count > 0 && change->entry_count <= UINT16_MAX);

    enum err err = check_chunks(batch, message);
    err = err == ERR_NONE ? message_add(batch, message) : err;
    uint64_t sender = queue_sender_hash(message->sender);
    for (size_t i = 0; err == ERR_NONE && i < change->entry_count; i++) {
        const struct queue_entry *entry = &change->entries[i];
        assert(entry->id == message->id);
        assert(!queue_entry_is_finished(entry));
        err = lmdb_entry_put(batch, entry, sender);
        err = err == ERR_NONE ? lmdb_entry_place(batch, entry) : err;
    }
    batch->totals.entries += change->entry_count;
    return err;
}

/* Never a promise without the content. */
static enum err check_chunks(struct lmdb_batch *batch, const struct queue_message *message)
{
    if (message->chunk_count == 0) {
        return ERR_NONE;
    }
    struct lmdb_key last = lmdb_key_chunk(message->id, message->chunk_count - 1);
    struct slice chunk;
    return lmdb_get(&batch->view, LMDB_CHUNK, &last, &chunk);
}

static enum err message_add(struct lmdb_batch *batch, const struct queue_message *message)
{
    buffer_clear(&batch->record);
    queue_message_encode(message, &batch->record);
    if (buffer_failed(&batch->record)) {
        return ERR_MEMORY;
    }
    struct lmdb_key id = lmdb_key_id(message->id);
    enum err err = lmdb_add(&batch->view, LMDB_MESSAGE, &id, buffer_slice(&batch->record));
    if (err == ERR_NONE) {
        err = ignore_missing(lmdb_delete(&batch->view, LMDB_PENDING, &id));
    }
    batch->totals.messages++;
    batch->totals.bytes += message->size;
    return err;
}

static enum err apply_UPDATE(struct lmdb_batch *batch, const struct queue_change *change)
{
    assert(change->entry_count == 1);
    const struct queue_entry *entry = &change->entries[0];
    struct lmdb_stored old;
    enum err err = lmdb_entry_find(batch, entry->id, entry->number, &old);
    if (err != ERR_NONE) {
        return ignore_missing(err);
    }
    bool is_finished = queue_entry_is_finished(entry);
    bool keeps_place = !is_finished && !old.is_damaged && slice_equal(old.slot.destination, entry->destination);
    err = lmdb_entry_unschedule(batch, &old);
    if (err == ERR_NONE && !keeps_place) {
        err = lmdb_entry_displace(batch, &old);
    }
    if (err == ERR_NONE && is_finished) {
        return lmdb_entry_finish(batch, entry);
    }
    if (err == ERR_NONE && !keeps_place) {
        err = lmdb_entry_place(batch, entry);
    }
    return err == ERR_NONE ? lmdb_entry_put(batch, entry, old.slot.sender) : err;
}

static enum err apply_DELETE(struct lmdb_batch *batch, const struct queue_change *change)
{
    struct lmdb_key prefix = lmdb_key_id(change->id);
    struct slice found;
    enum err err;
    while ((err = lmdb_first(&batch->view, LMDB_ENTRY, &prefix, &found)) == ERR_NONE) {
        uint64_t id;
        uint16_t number;
        if (!lmdb_key_read_entry(found, &id, &number)) {
            return ERR_CORRUPT;
        }
        arena_reset(batch->arena);
        err = lmdb_entry_cancel(batch, id, number);
        if (err != ERR_NONE) {
            return err;
        }
    }
    /* With the last entry the message went; one that has none is removed here. */
    return err == ERR_NOT_FOUND ? lmdb_message_remove(batch, change->id) : err;
}

static enum err apply_DESTINATION(struct lmdb_batch *batch, const struct queue_change *change)
{
    const struct queue_destination *known = change->destination;
    bool is_nothing = known->not_before_ms == 0 && known->failures == 0 && known->failing_since_ms == 0 &&
                      known->reason.length == 0 && known->why.length == 0 && known->text.length == 0;
    buffer_clear(&batch->record);
    if (!is_nothing) {
        queue_destination_encode(known, &batch->record);
    }
    if (buffer_failed(&batch->record)) {
        return ERR_MEMORY;
    }
    return lmdb_index_destination(&batch->view, known->name, buffer_slice(&batch->record));
}

static enum err apply_POLICY(struct lmdb_batch *batch, const struct queue_change *change)
{
    struct lmdb_key key = lmdb_key_name(change->key);
    if (change->bytes.length == 0) {
        return ignore_missing(lmdb_delete(&batch->view, LMDB_POLICY, &key));
    }
    return lmdb_put_checked(&batch->view, LMDB_POLICY, &key, change->bytes);
}

static enum err apply_META(struct lmdb_batch *batch, const struct queue_change *change)
{
    struct lmdb_key key = lmdb_key_name(change->key);
    if (change->bytes.length == 0) {
        return ignore_missing(lmdb_delete(&batch->view, LMDB_META, &key));
    }
    return lmdb_put_checked(&batch->view, LMDB_META, &key, change->bytes);
}

static enum err apply_PARK(struct lmdb_batch *batch, const struct queue_change *change)
{
    assert(change->number <= UINT16_MAX);
    struct lmdb_slot slot = {.destination = change->key, .id = change->id, .number = (uint16_t)change->number};
    return lmdb_index_purge(&batch->view, &slot);
}

static enum err ignore_missing(enum err err)
{
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}
