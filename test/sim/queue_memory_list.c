#include "test/sim/queue_memory_internal.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#define ARENA_LIMIT ((size_t)64 << 20)

/* The verification of one state. */
struct memory_check {
    const struct memory_state *state;
    struct arena *arena;
    void (*report)(void *owner, struct slice fault);
    void *owner;
    uint64_t faults;
    size_t waiting_count; /* entries that must stand in the table of due ones */
    size_t unknown_count; /* entries that may */
    struct queue_totals counted;
};

static bool visit_entry(const struct memory_state *state, struct queue_listing *listing,
                        const struct memory_record *record, bool *is_of_listing, enum err *err);
static bool visit_done(struct queue_listing *listing, const struct memory_record *record, enum err *err);
static size_t done_end(const struct memory_table *done, const struct queue_listing *listing);
static void check_messages(struct memory_check *check);
static void check_entries(struct memory_check *check);
static void check_wrapped(struct memory_check *check, enum memory_table_name table, const char *what);
static void check_sums(struct memory_check *check);
static void fault(struct memory_check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));

enum err queue_list(struct queue *queue, struct queue_listing *listing)
{
    assert(!queue->is_dead);
    const struct memory_state *state = &queue->directory->state;
    const struct memory_table *entries = &state->tables[MEMORY_ENTRY];
    bool is_inside = listing->after_number > 0;
    if (listing->after_id == UINT64_MAX || listing->after_number > UINT16_MAX) {
        return ERR_END;
    }
    struct memory_key key = memory_key_entry(is_inside ? listing->after_id : listing->after_id + 1,
                                             is_inside ? (uint16_t)listing->after_number : 0);
    size_t index = memory_table_seek(entries, memory_key_slice(&key));
    enum err err = ERR_NONE;
    for (size_t visited = 0; index < entries->count && visited < listing->limit; index++) {
        bool is_of_listing = true;
        bool goes_on = visit_entry(state, listing, entries->records[index], &is_of_listing, &err);
        visited += is_of_listing ? 1 : 0;
        if (!goes_on) {
            return err;
        }
    }
    return index == entries->count ? ERR_END : ERR_NONE;
}

static bool visit_entry(const struct memory_state *state, struct queue_listing *listing,
                        const struct memory_record *record, bool *is_of_listing, enum err *err)
{
    struct queue_entry entry;
    struct queue_message message;
    uint64_t id;
    uint16_t number;
    memory_key_read_entry(record->key, &id, &number);
    struct memory_key message_key = memory_key_id(id);
    struct memory_record *of = memory_table_get(&state->tables[MEMORY_MESSAGE], memory_key_slice(&message_key));
    *err = queue_entry_decode(record->value, listing->arena, &entry);
    if (*err == ERR_MEMORY) {
        return false;
    }
    bool is_readable = *err == ERR_NONE;
    *err = ERR_NONE;
    *is_of_listing =
        listing->destination.length == 0 || !is_readable || slice_equal(entry.destination, listing->destination);
    if (!*is_of_listing) {
        return true;
    }
    listing->after_id = id;
    listing->after_number = (uint32_t)number + 1;
    if (!is_readable || of == NULL || queue_message_decode(of->value, &message) != ERR_NONE) {
        listing->damaged_count++;
        return true;
    }
    return listing->visit(listing->owner, &message, &entry);
}

enum err queue_list_done(struct queue *queue, struct queue_listing *listing)
{
    assert(!queue->is_dead);
    const struct memory_table *done = &queue->directory->state.tables[MEMORY_DONE];
    size_t index = done_end(done, listing);
    enum err err = ERR_NONE;
    for (size_t left = listing->limit; index > 0 && left > 0; left--) {
        index--;
        if (!visit_done(listing, done->records[index], &err)) {
            return err;
        }
    }
    return index == 0 ? ERR_END : ERR_NONE;
}

/* Behind the first record to visit, backwards. */
static size_t done_end(const struct memory_table *done, const struct queue_listing *listing)
{
    if (listing->after_time_ms == 0) {
        return done->count;
    }
    bool is_inside = listing->after_number > 0;
    struct memory_key key = memory_key_done(listing->after_time_ms, is_inside ? listing->after_id : 0,
                                            is_inside ? (uint16_t)(listing->after_number - 1) : 0);
    return memory_table_seek(done, memory_key_slice(&key));
}

static bool visit_done(struct queue_listing *listing, const struct memory_record *record, enum err *err)
{
    struct queue_message message;
    struct queue_entry entry;
    struct slice value;
    uint64_t id;
    uint16_t number;
    listing->after_time_ms = memory_key_read_done(record->key, &id, &number);
    listing->after_id = id;
    listing->after_number = (uint32_t)number + 1;
    struct reader reader = reader_of(record->value);
    value = reader_block(&reader);
    *err = queue_message_decode(value, &message);
    if (*err == ERR_NONE) {
        value = reader_block(&reader);
        *err = queue_entry_decode(value, listing->arena, &entry);
    }
    if (*err == ERR_MEMORY) {
        return false;
    }
    if (*err != ERR_NONE) {
        *err = ERR_NONE;
        listing->damaged_count++;
        return true;
    }
    return listing->visit(listing->owner, &message, &entry);
}

enum err queue_list_policies(struct queue *queue, struct buffer *after, size_t limit,
                             bool (*visit)(void *owner, struct slice domain, struct slice bytes), void *owner)
{
    assert(!queue->is_dead);
    const struct memory_table *policies = &queue->directory->state.tables[MEMORY_POLICY];
    size_t index = memory_table_seek(policies, buffer_slice(after));
    if (buffer_length(after) > 0 && index < policies->count &&
        slice_equal(policies->records[index]->key, buffer_slice(after))) {
        index++;
    }
    for (size_t left = limit; index < policies->count && left > 0; left--, index++) {
        const struct memory_record *record = policies->records[index];
        struct slice bytes;
        buffer_clear(after);
        buffer_add(after, record->key);
        if (buffer_failed(after)) {
            return ERR_MEMORY;
        }
        if (memory_unwrap(record->value, &bytes) && !visit(owner, record->key, bytes)) {
            return ERR_NONE;
        }
    }
    return index == policies->count ? ERR_END : ERR_NONE;
}

/* ---- verification ---- */

enum err queue_check(struct slice path, void (*report)(void *owner, struct slice fault), void *owner, uint64_t *faults)
{
    struct queue_options options = {.path = path, .read_only = true};
    struct queue *queue;
    struct buffer why;
    buffer_init(&why, 4096);
    *faults = 0;
    enum err err = queue_open(&options, &queue, &why);
    if (err != ERR_NONE) {
        report(owner, buffer_slice(&why));
        *faults = 1;
    }
    buffer_free(&why);
    if (err != ERR_NONE) {
        return err;
    }
    struct memory_check check = {
        .state = &queue->directory->state, .arena = arena_new(ARENA_LIMIT), .report = report, .owner = owner};
    if (check.arena == NULL) {
        queue_close(&queue);
        return ERR_MEMORY;
    }
    check_messages(&check);
    check_entries(&check);
    check_wrapped(&check, MEMORY_CHUNK, "a part of content");
    check_wrapped(&check, MEMORY_POLICY, "a policy");
    check_wrapped(&check, MEMORY_META, "a state");
    check_sums(&check);
    arena_free(&check.arena);
    queue_close(&queue);
    *faults = check.faults;
    return ERR_NONE;
}

static void check_messages(struct memory_check *check)
{
    const struct memory_table *messages = &check->state->tables[MEMORY_MESSAGE];
    for (size_t i = 0; i < messages->count; i++) {
        struct queue_message message;
        check->counted.messages++;
        if (queue_message_decode(messages->records[i]->value, &message) != ERR_NONE) {
            fault(check, "message %zu: its record is damaged", i);
            continue;
        }
        check->counted.bytes += message.size;
        for (uint32_t part = 0; part < message.chunk_count; part++) {
            struct memory_key key = memory_key_chunk(message.id, part);
            if (memory_table_get(&check->state->tables[MEMORY_CHUNK], memory_key_slice(&key)) == NULL) {
                fault(check, "message %016llX: part %u of its content is missing", (unsigned long long)message.id,
                      part + 1);
            }
        }
    }
}

static void check_entries(struct memory_check *check)
{
    const struct memory_table *entries = &check->state->tables[MEMORY_ENTRY];
    for (size_t i = 0; i < entries->count; i++) {
        struct queue_entry entry;
        arena_reset(check->arena);
        check->counted.entries++;
        if (queue_entry_decode(entries->records[i]->value, check->arena, &entry) != ERR_NONE) {
            fault(check, "entry %zu: its record is damaged", i);
            check->unknown_count++;
            continue;
        }
        struct memory_key key = memory_key_id(entry.id);
        if (memory_table_get(&check->state->tables[MEMORY_MESSAGE], memory_key_slice(&key)) == NULL) {
            fault(check, "message %016llX: is missing, but an entry of it is stored", (unsigned long long)entry.id);
        }
        check->waiting_count += entry.held ? 0 : 1;
    }
}

static void check_wrapped(struct memory_check *check, enum memory_table_name table, const char *what)
{
    const struct memory_table *records = &check->state->tables[table];
    for (size_t i = 0; i < records->count; i++) {
        struct slice bytes;
        if (!memory_unwrap(records->records[i]->value, &bytes)) {
            fault(check, "%s is damaged", what);
        }
    }
}

static void check_sums(struct memory_check *check)
{
    const struct queue_totals *totals = &check->state->totals;
    if (totals->messages != check->counted.messages || totals->bytes != check->counted.bytes ||
        totals->entries != check->counted.entries) {
        fault(check, "the totals are wrong");
    }
    size_t due_count = check->state->tables[MEMORY_DUE].count;
    if (due_count < check->waiting_count || due_count > check->waiting_count + check->unknown_count) {
        fault(check, "the schedule does not fit the entries");
    }
}

static void fault(struct memory_check *check, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    check->report(check->owner, slice_of(text));
    check->faults++;
}
