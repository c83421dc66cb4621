#include "test/sim/queue_memory_internal.h"

#include <assert.h>
#include <string.h>

#define RECORD_LIMIT ((size_t)64 << 20)
#define ARENA_LIMIT ((size_t)64 << 20)

/* The changes of one call. */
struct change_set {
    struct memory_state *state;
    const struct queue_options *options;
    struct buffer record;
    struct arena *arena;
    int64_t now_ms;
};

static enum err apply_one(struct change_set *set, const struct queue_change *change);
static enum err chunk(struct change_set *set, const struct queue_change *change);
static enum err discard(struct change_set *set, const struct queue_change *change);
static enum err accept_message(struct change_set *set, const struct queue_change *change);
static enum err update(struct change_set *set, const struct queue_change *change);
static enum err delete_message(struct change_set *set, const struct queue_change *change);
static enum err destination(struct change_set *set, const struct queue_change *change);
static enum err named(struct change_set *set, enum memory_table_name table, const struct queue_change *change);
static enum err entry_put(struct change_set *set, const struct queue_entry *entry, struct slice sender);
static enum err entry_finish(struct change_set *set, const struct queue_entry *entry);
static enum err done_put(struct change_set *set, const struct queue_entry *entry);
static struct slice sender_of(struct change_set *set, uint64_t id);
static void unschedule(struct memory_state *state, uint64_t id, uint16_t number);
static bool has_entries(const struct memory_state *state, uint64_t id);
static uint64_t remove_chunks(struct memory_state *state, uint64_t id);
static void remove_message(struct memory_state *state, uint64_t id);
static void purge_done(struct change_set *set);
static enum err put(struct change_set *set, enum memory_table_name table, const struct memory_key *key);
static bool begins_with_id(struct slice key, uint64_t id);

enum err memory_state_apply(struct memory_state *state, const struct queue_options *options,
                            const struct queue_change *const *changes, size_t count)
{
    struct change_set set = {.state = state, .options = options, .arena = arena_new(ARENA_LIMIT)};
    buffer_init(&set.record, RECORD_LIMIT);
    enum err err = set.arena == NULL ? ERR_MEMORY : ERR_NONE;
    int64_t latest_ms = 0;
    for (size_t i = 0; err == ERR_NONE && i < count; i++) {
        set.now_ms = changes[i]->now_ms;
        latest_ms = set.now_ms > latest_ms ? set.now_ms : latest_ms;
        err = apply_one(&set, changes[i]);
    }
    set.now_ms = latest_ms;
    purge_done(&set);
    buffer_free(&set.record);
    arena_free(&set.arena);
    return err;
}

void memory_state_sweep(struct memory_state *state)
{
    struct memory_table *pending = &state->tables[MEMORY_PENDING];
    while (pending->count > 0) {
        struct reader key = reader_of(pending->records[0]->key);
        remove_chunks(state, reader_u64(&key));
        memory_table_remove_at(pending, 0);
    }
}

enum err memory_state_copy(const struct memory_state *from, struct memory_state *to)
{
    *to = (struct memory_state){.totals = from->totals, .policy_changes = from->policy_changes};
    for (size_t i = 0; i < MEMORY_TABLE_COUNT; i++) {
        enum err err = memory_table_copy(&from->tables[i], &to->tables[i]);
        if (err != ERR_NONE) {
            memory_state_free(to);
            return err;
        }
    }
    return ERR_NONE;
}

void memory_state_free(struct memory_state *state)
{
    for (size_t i = 0; i < MEMORY_TABLE_COUNT; i++) {
        memory_table_free(&state->tables[i]);
    }
}

uint64_t memory_state_bytes(const struct memory_state *state)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < MEMORY_TABLE_COUNT; i++) {
        bytes += memory_table_bytes(&state->tables[i]);
    }
    return bytes;
}

static enum err apply_one(struct change_set *set, const struct queue_change *change)
{
    arena_reset(set->arena);
    switch (change->kind) {
        case QUEUE_CHANGE_CHUNK:
            return chunk(set, change);
        case QUEUE_CHANGE_DISCARD:
            return discard(set, change);
        case QUEUE_CHANGE_ACCEPT:
            return accept_message(set, change);
        case QUEUE_CHANGE_UPDATE:
            return update(set, change);
        case QUEUE_CHANGE_DELETE:
            return delete_message(set, change);
        case QUEUE_CHANGE_DESTINATION:
            return destination(set, change);
        case QUEUE_CHANGE_POLICY:
            return named(set, MEMORY_POLICY, change);
        case QUEUE_CHANGE_META:
            return named(set, MEMORY_META, change);
        case QUEUE_CHANGE_PARK:
            unschedule(set->state, change->id, (uint16_t)change->number);
            return ERR_NONE;
    }
    assert(false);
    return ERR_UNSUPPORTED;
}

/* ---- the changes ---- */

static enum err chunk(struct change_set *set, const struct queue_change *change)
{
    assert(change->id != 0);
    assert(change->bytes.length <= QUEUE_CHUNK_MAX);
    struct memory_key id = memory_key_id(change->id), key = memory_key_chunk(change->id, change->number);
    struct memory_state *state = set->state;
    if (memory_table_get(&state->tables[MEMORY_MESSAGE], memory_key_slice(&id)) != NULL ||
        memory_table_get(&state->tables[MEMORY_CHUNK], memory_key_slice(&key)) != NULL) {
        return ERR_EXISTS;
    }
    buffer_clear(&set->record);
    memory_wrap(&set->record, change->bytes);
    enum err err = put(set, MEMORY_CHUNK, &key);
    buffer_clear(&set->record);
    return err == ERR_NONE ? put(set, MEMORY_PENDING, &id) : err;
}

static enum err discard(struct change_set *set, const struct queue_change *change)
{
    struct memory_key id = memory_key_id(change->id);
    if (memory_table_remove(&set->state->tables[MEMORY_PENDING], memory_key_slice(&id))) {
        remove_chunks(set->state, change->id);
    }
    return ERR_NONE;
}

static enum err accept_message(struct change_set *set, const struct queue_change *change)
{
    const struct queue_message *message = change->message;
    assert(message->entry_count == change->entry_count);
    assert(change->entry_count > 0);
    struct memory_state *state = set->state;
    struct memory_key id = memory_key_id(message->id);
    struct memory_key last = memory_key_chunk(message->id, message->chunk_count - 1);
    if (message->chunk_count > 0 && memory_table_get(&state->tables[MEMORY_CHUNK], memory_key_slice(&last)) == NULL) {
        return ERR_NOT_FOUND;
    }
    if (memory_table_get(&state->tables[MEMORY_MESSAGE], memory_key_slice(&id)) != NULL) {
        return ERR_EXISTS;
    }
    buffer_clear(&set->record);
    queue_message_encode(message, &set->record);
    enum err err = put(set, MEMORY_MESSAGE, &id);
    memory_table_remove(&state->tables[MEMORY_PENDING], memory_key_slice(&id));
    for (size_t i = 0; err == ERR_NONE && i < change->entry_count; i++) {
        assert(change->entries[i].id == message->id);
        assert(!queue_entry_is_finished(&change->entries[i]));
        err = entry_put(set, &change->entries[i], message->sender);
    }
    state->totals.messages++;
    state->totals.bytes += message->size;
    state->totals.entries += change->entry_count;
    return err;
}

static enum err update(struct change_set *set, const struct queue_change *change)
{
    assert(change->entry_count == 1);
    const struct queue_entry *entry = &change->entries[0];
    struct memory_key key = memory_key_entry(entry->id, entry->number);
    if (memory_table_get(&set->state->tables[MEMORY_ENTRY], memory_key_slice(&key)) == NULL) {
        return ERR_NONE;
    }
    unschedule(set->state, entry->id, entry->number);
    if (queue_entry_is_finished(entry)) {
        return entry_finish(set, entry);
    }
    return entry_put(set, entry, sender_of(set, entry->id));
}

static enum err delete_message(struct change_set *set, const struct queue_change *change)
{
    struct memory_table *entries = &set->state->tables[MEMORY_ENTRY];
    struct memory_key prefix = memory_key_id(change->id);
    enum err err = ERR_NONE;
    while (err == ERR_NONE && has_entries(set->state, change->id)) {
        struct memory_record *record = entries->records[memory_table_seek(entries, memory_key_slice(&prefix))];
        struct queue_entry entry;
        uint64_t id;
        uint16_t number;
        memory_key_read_entry(record->key, &id, &number);
        if (queue_entry_decode(record->value, set->arena, &entry) != ERR_NONE) {
            entry = (struct queue_entry){0};
        }
        entry.id = id;
        entry.number = number;
        for (size_t i = 0; i < entry.recipient_count; i++) {
            if (entry.recipients[i].status == QUEUE_PENDING) {
                entry.recipients[i].status = QUEUE_DELETED;
            }
        }
        unschedule(set->state, id, number);
        err = entry_finish(set, &entry);
    }
    remove_message(set->state, change->id);
    return err;
}

static enum err destination(struct change_set *set, const struct queue_change *change)
{
    const struct queue_destination *known = change->destination;
    struct memory_table *table = &set->state->tables[MEMORY_DESTINATION];
    bool is_nothing = known->not_before_ms == 0 && known->failures == 0 && known->failing_since_ms == 0 &&
                      known->reason.length == 0 && known->why.length == 0 && known->text.length == 0;
    assert(known->name.length > 0);
    if (is_nothing) {
        memory_table_remove(table, known->name);
        return ERR_NONE;
    }
    buffer_clear(&set->record);
    queue_destination_encode(known, &set->record);
    return buffer_failed(&set->record) ? ERR_MEMORY : memory_table_put(table, known->name, buffer_slice(&set->record));
}

static enum err named(struct change_set *set, enum memory_table_name table, const struct queue_change *change)
{
    assert(change->key.length > 0);
    assert(change->key.length <= QUEUE_NAME_MAX);
    set->state->policy_changes += table == MEMORY_POLICY;
    if (change->bytes.length == 0) {
        memory_table_remove(&set->state->tables[table], change->key);
        return ERR_NONE;
    }
    buffer_clear(&set->record);
    memory_wrap(&set->record, change->bytes);
    return buffer_failed(&set->record)
               ? ERR_MEMORY
               : memory_table_put(&set->state->tables[table], change->key, buffer_slice(&set->record));
}

/* ---- parts ---- */

static enum err entry_put(struct change_set *set, const struct queue_entry *entry, struct slice sender)
{
    assert(entry->destination.length > 0);
    struct memory_key key = memory_key_entry(entry->id, entry->number);
    buffer_clear(&set->record);
    queue_entry_encode(entry, &set->record);
    enum err err = put(set, MEMORY_ENTRY, &key);
    if (err != ERR_NONE || entry->held) {
        return err;
    }
    struct memory_slot slot = {.destination = entry->destination,
                               .sender = queue_sender_hash(sender),
                               .due_ms = entry->due_ms,
                               .id = entry->id,
                               .number = entry->number};
    key = memory_key_due(&slot);
    buffer_clear(&set->record);
    return put(set, MEMORY_DUE, &key);
}

static enum err entry_finish(struct change_set *set, const struct queue_entry *entry)
{
    struct memory_key key = memory_key_entry(entry->id, entry->number);
    enum err err = done_put(set, entry);
    memory_table_remove(&set->state->tables[MEMORY_ENTRY], memory_key_slice(&key));
    set->state->totals.entries--;
    if (!has_entries(set->state, entry->id)) {
        remove_message(set->state, entry->id);
    }
    return err;
}

static enum err done_put(struct change_set *set, const struct queue_entry *entry)
{
    struct memory_key id = memory_key_id(entry->id);
    struct memory_record *message = memory_table_get(&set->state->tables[MEMORY_MESSAGE], memory_key_slice(&id));
    struct queue_message decoded;
    if (set->options->done_keep_ms <= 0 || entry->recipient_count == 0 || message == NULL ||
        queue_message_decode(message->value, &decoded) != ERR_NONE) {
        return ERR_NONE;
    }
    struct buffer encoded;
    buffer_init(&encoded, RECORD_LIMIT);
    queue_entry_encode(entry, &encoded);
    buffer_clear(&set->record);
    buffer_add_block(&set->record, message->value);
    buffer_add_block(&set->record, buffer_slice(&encoded));
    bool is_whole = !buffer_failed(&encoded);
    buffer_free(&encoded);
    struct memory_key key = memory_key_done(set->now_ms, entry->id, entry->number);
    return is_whole ? put(set, MEMORY_DONE, &key) : ERR_MEMORY;
}

static struct slice sender_of(struct change_set *set, uint64_t id)
{
    struct memory_key key = memory_key_id(id);
    struct memory_record *record = memory_table_get(&set->state->tables[MEMORY_MESSAGE], memory_key_slice(&key));
    struct queue_message message;
    if (record == NULL || queue_message_decode(record->value, &message) != ERR_NONE) {
        return SLICE_EMPTY;
    }
    return message.sender;
}

static void unschedule(struct memory_state *state, uint64_t id, uint16_t number)
{
    struct memory_table *due = &state->tables[MEMORY_DUE];
    struct memory_key key = memory_key_entry(id, number);
    for (size_t i = 0; i < due->count; i++) {
        if (slice_ends(due->records[i]->key, memory_key_slice(&key))) {
            memory_table_remove_at(due, i);
            return;
        }
    }
}

static bool has_entries(const struct memory_state *state, uint64_t id)
{
    const struct memory_table *entries = &state->tables[MEMORY_ENTRY];
    struct memory_key key = memory_key_id(id);
    size_t index = memory_table_seek(entries, memory_key_slice(&key));
    return index < entries->count && begins_with_id(entries->records[index]->key, id);
}

static uint64_t remove_chunks(struct memory_state *state, uint64_t id)
{
    struct memory_table *chunks = &state->tables[MEMORY_CHUNK];
    struct memory_key key = memory_key_id(id);
    size_t index = memory_table_seek(chunks, memory_key_slice(&key));
    uint64_t bytes = 0;
    while (index < chunks->count && begins_with_id(chunks->records[index]->key, id)) {
        struct slice content;
        bytes += memory_unwrap(chunks->records[index]->value, &content) ? content.length : 0;
        memory_table_remove_at(chunks, index);
    }
    return bytes;
}

static void remove_message(struct memory_state *state, uint64_t id)
{
    struct memory_key key = memory_key_id(id);
    struct memory_record *record = memory_table_get(&state->tables[MEMORY_MESSAGE], memory_key_slice(&key));
    struct queue_message message;
    if (record == NULL) {
        return;
    }
    bool is_readable = queue_message_decode(record->value, &message) == ERR_NONE;
    uint64_t size = is_readable ? message.size : 0;
    memory_table_remove(&state->tables[MEMORY_MESSAGE], memory_key_slice(&key));
    uint64_t content_size = remove_chunks(state, id);
    state->totals.messages--;
    state->totals.bytes -= is_readable ? size : content_size;
}

/* All at once: how many go with one batch is the database's business. */
static void purge_done(struct change_set *set)
{
    struct memory_table *done = &set->state->tables[MEMORY_DONE];
    while (set->now_ms > 0 && done->count > 0) {
        uint64_t id;
        uint16_t number;
        if (memory_key_read_done(done->records[0]->key, &id, &number) >= set->now_ms - set->options->done_keep_ms) {
            return;
        }
        memory_table_remove_at(done, 0);
    }
}

/* The record that was just encoded. */
static enum err put(struct change_set *set, enum memory_table_name table, const struct memory_key *key)
{
    if (buffer_failed(&set->record)) {
        return ERR_MEMORY;
    }
    return memory_table_put(&set->state->tables[table], memory_key_slice(key), buffer_slice(&set->record));
}

static bool begins_with_id(struct slice key, uint64_t id)
{
    struct memory_key prefix = memory_key_id(id);
    return slice_starts(key, memory_key_slice(&prefix));
}
