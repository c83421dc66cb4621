#include "queue/lmdb_check.h"
#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>

#define ARENA_LIMIT ((size_t)64 << 20)
#define FAULT_LIMIT 4096

static enum err check_all(struct lmdb_check *check);
static enum err check_table(struct lmdb_check *check, enum lmdb_table table, lmdb_check_record *record);
static lmdb_check_record check_message, check_entry, check_chunk, check_pending, check_destination, check_policy,
    check_done, check_meta;
static enum err check_chunks_of(struct lmdb_check *check, const struct queue_message *message);
static enum err check_entry_message(struct lmdb_check *check, const struct queue_entry *entry, uint64_t sender);
static enum err check_entry_indexes(struct lmdb_check *check, const struct queue_entry *entry, uint64_t sender);
static enum err check_totals(struct lmdb_check *check);

enum err queue_check(struct slice path, void (*report)(void *owner, struct slice fault), void *owner, uint64_t *faults)
{
    struct lmdb_check check = {.report = report, .owner = owner, .arena = arena_new(ARENA_LIMIT)};
    struct queue *queue = NULL;
    struct buffer why;
    buffer_init(&why, FAULT_LIMIT);
    struct queue_options options = {.path = path, .read_only = true};
    enum err err = check.arena == NULL ? ERR_MEMORY : queue_open(&options, &queue, &why);
    if (err != ERR_NONE && buffer_length(&why) > 0) {
        report(owner, buffer_slice(&why));
        check.faults++;
    }
    err = err == ERR_NONE ? lmdb_view_read(queue, &check.view) : err;
    err = err == ERR_NONE ? check_all(&check) : err;
    lmdb_view_end(&check.view);
    queue_close(&queue);
    buffer_free(&why);
    arena_free(&check.arena);
    *faults = check.faults;
    return err;
}

static enum err check_all(struct lmdb_check *check)
{
    static lmdb_check_record *const checks[] = {
        [LMDB_MESSAGE] = check_message, [LMDB_ENTRY] = check_entry,      [LMDB_CHUNK] = check_chunk,
        [LMDB_PENDING] = check_pending, [LMDB_PLACE] = lmdb_check_place, [LMDB_DUE] = lmdb_check_due,
        [LMDB_TURN] = lmdb_check_turn,  [LMDB_READY] = lmdb_check_ready, [LMDB_DESTINATION] = check_destination,
        [LMDB_POLICY] = check_policy,   [LMDB_DONE] = check_done,        [LMDB_META] = check_meta,
    };
    enum err err = ERR_NONE;
    for (size_t table = 0; err == ERR_NONE && table < LMDB_TABLE_COUNT; table++) {
        err = check_table(check, (enum lmdb_table)table, checks[table]);
    }
    return err == ERR_NONE ? check_totals(check) : err;
}

static enum err check_table(struct lmdb_check *check, enum lmdb_table table, lmdb_check_record *record)
{
    struct lmdb_cursor cursor;
    check->group.length = 0;
    enum err err = lmdb_cursor_open(&check->view, table, &cursor);
    while (err == ERR_NONE && (err = lmdb_cursor_next(&cursor)) == ERR_NONE) {
        arena_reset(check->arena);
        err = record(check, cursor.key, cursor.value);
    }
    lmdb_cursor_close(&cursor);
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

/* ---- records ---- */

static enum err check_message(struct lmdb_check *check, struct slice key, struct slice value)
{
    uint64_t id;
    char text[QUEUE_ID_TEXT];
    struct queue_message message;
    check->counted.messages++;
    if (!lmdb_key_read_id(key, &id)) {
        lmdb_fault(check, "a message has a damaged key");
        return ERR_NONE;
    }
    if (queue_message_decode(value, &message) != ERR_NONE || message.id != id) {
        check->has_unknown_size = true;
        lmdb_fault(check, "message %s: its record is damaged", lmdb_id_text(id, text));
        return ERR_NONE;
    }
    check->counted.bytes += message.size;
    struct lmdb_key prefix = lmdb_key_id(id);
    struct slice found;
    enum err err = lmdb_first(&check->view, LMDB_ENTRY, &prefix, &found);
    if (err == ERR_NOT_FOUND) {
        lmdb_fault(check, "message %s: has no recipients left, but is still stored", lmdb_id_text(id, text));
    } else if (err != ERR_NONE) {
        return err;
    }
    return check_chunks_of(check, &message);
}

static enum err check_chunks_of(struct lmdb_check *check, const struct queue_message *message)
{
    char text[QUEUE_ID_TEXT];
    uint64_t size = 0;
    for (uint32_t i = 0; i < message->chunk_count; i++) {
        struct lmdb_key key = lmdb_key_chunk(message->id, i);
        struct slice content;
        enum err err = lmdb_get(&check->view, LMDB_CHUNK, &key, &content);
        if (err == ERR_NOT_FOUND) {
            lmdb_fault(check, "message %s: part %u of %u of its content is missing", lmdb_id_text(message->id, text),
                       i + 1, message->chunk_count);
            return ERR_NONE;
        }
        if (err != ERR_NONE) {
            return err;
        }
        size += content.length - (content.length < 4 ? content.length : 4);
    }
    if (size != message->size) {
        lmdb_fault(check, "message %s: has %llu bytes of content, not %llu", lmdb_id_text(message->id, text),
                   (unsigned long long)size, (unsigned long long)message->size);
    }
    return ERR_NONE;
}

static enum err check_entry(struct lmdb_check *check, struct slice key, struct slice value)
{
    uint64_t id, sender;
    uint16_t number;
    char text[QUEUE_ID_TEXT];
    struct slice record;
    struct queue_entry entry;
    check->counted.entries++;
    if (!lmdb_key_read_entry(key, &id, &number)) {
        lmdb_fault(check, "an entry has a damaged key");
        return ERR_NONE;
    }
    if (!lmdb_entry_split(value, &sender, &record) || queue_entry_decode(record, check->arena, &entry) != ERR_NONE ||
        entry.id != id || entry.number != number || entry.destination.length == 0) {
        lmdb_fault(check, "message %s: the record of entry %u is damaged", lmdb_id_text(id, text), number);
        return ERR_NONE;
    }
    if (queue_entry_is_finished(&entry)) {
        lmdb_fault(check, "message %s: entry %u is finished, but is still stored", lmdb_id_text(id, text), number);
    }
    enum err err = check_entry_message(check, &entry, sender);
    return err == ERR_NONE ? check_entry_indexes(check, &entry, sender) : err;
}

static enum err check_entry_message(struct lmdb_check *check, const struct queue_entry *entry, uint64_t sender)
{
    char text[QUEUE_ID_TEXT];
    struct lmdb_key key = lmdb_key_id(entry->id);
    struct slice record;
    struct queue_message message;
    enum err err = lmdb_get(&check->view, LMDB_MESSAGE, &key, &record);
    if (err == ERR_NOT_FOUND) {
        lmdb_fault(check, "message %s: is missing, but entry %u of it is stored", lmdb_id_text(entry->id, text),
                   entry->number);
        return ERR_NONE;
    }
    if (err == ERR_NONE && queue_message_decode(record, &message) == ERR_NONE &&
        queue_sender_hash(message.sender) != sender) {
        lmdb_fault(check, "message %s: entry %u waits under another sender", lmdb_id_text(entry->id, text),
                   entry->number);
    }
    return err;
}

static enum err check_entry_indexes(struct lmdb_check *check, const struct queue_entry *entry, uint64_t sender)
{
    char text[QUEUE_ID_TEXT];
    const char *id = lmdb_id_text(entry->id, text);
    struct lmdb_slot slot = {.destination = entry->destination,
                             .sender = sender,
                             .due_ms = entry->due_ms,
                             .id = entry->id,
                             .number = entry->number};
    struct lmdb_key key = lmdb_key_place(entry->destination, entry->id, entry->number);
    enum err err = lmdb_check_listed(check, LMDB_PLACE, &key, id, "is not listed under its destination");
    if (err != ERR_NONE || entry->held) {
        return err;
    }
    key = lmdb_key_due(&slot);
    return lmdb_check_listed(check, LMDB_DUE, &key, id, "is not scheduled");
}

static enum err check_chunk(struct lmdb_check *check, struct slice key, struct slice value)
{
    uint64_t id;
    uint32_t sequence;
    char text[QUEUE_ID_TEXT];
    struct slice content, found;
    if (!lmdb_key_read_chunk(key, &id, &sequence)) {
        lmdb_fault(check, "a part of content has a damaged key");
        return ERR_NONE;
    }
    if (!lmdb_unwrap(value, &content)) {
        lmdb_fault(check, "message %s: part %u of its content is damaged", lmdb_id_text(id, text), sequence + 1);
    }
    struct lmdb_key owner = lmdb_key_id(id);
    struct queue_message message;
    enum err err = lmdb_get(&check->view, LMDB_MESSAGE, &owner, &found);
    if (err == ERR_NONE && queue_message_decode(found, &message) == ERR_NONE && sequence >= message.chunk_count) {
        lmdb_fault(check, "message %s: has more content than it should", lmdb_id_text(id, text));
    }
    err = err == ERR_NOT_FOUND ? lmdb_get(&check->view, LMDB_PENDING, &owner, &found) : err;
    if (err == ERR_NOT_FOUND) {
        lmdb_fault(check, "message %s: is missing, but content of it is stored", lmdb_id_text(id, text));
        return ERR_NONE;
    }
    return err;
}

static enum err check_pending(struct lmdb_check *check, struct slice key, struct slice value)
{
    (void)value;
    uint64_t id;
    char text[QUEUE_ID_TEXT];
    if (!lmdb_key_read_id(key, &id)) {
        lmdb_fault(check, "an unfinished message has a damaged key");
        return ERR_NONE;
    }
    struct lmdb_key message = lmdb_key_id(id);
    struct slice found;
    enum err err = lmdb_get(&check->view, LMDB_MESSAGE, &message, &found);
    if (err == ERR_NONE) {
        lmdb_fault(check, "message %s: counts as unfinished, but was accepted", lmdb_id_text(id, text));
    }
    return err == ERR_NOT_FOUND ? ERR_NONE : err;
}

static enum err check_destination(struct lmdb_check *check, struct slice key, struct slice value)
{
    struct queue_destination destination;
    if (queue_destination_decode(value, &destination) != ERR_NONE || !slice_equal(destination.name, key)) {
        lmdb_fault(check, "destination %.*s: its record is damaged", SLICE_ARGS(key));
    }
    return ERR_NONE;
}

static enum err check_policy(struct lmdb_check *check, struct slice key, struct slice value)
{
    struct slice bytes;
    if (!lmdb_unwrap(value, &bytes)) {
        lmdb_fault(check, "policy of %.*s: its record is damaged", SLICE_ARGS(key));
    }
    return ERR_NONE;
}

static enum err check_done(struct lmdb_check *check, struct slice key, struct slice value)
{
    struct lmdb_slot slot;
    char text[QUEUE_ID_TEXT];
    struct slice message_record, entry_record;
    struct queue_message message;
    struct queue_entry entry;
    if (!lmdb_key_read_done(key, &slot)) {
        lmdb_fault(check, "an outcome has a damaged key");
    } else if (!lmdb_done_split(value, &message_record, &entry_record) ||
               queue_message_decode(message_record, &message) != ERR_NONE ||
               queue_entry_decode(entry_record, check->arena, &entry) != ERR_NONE) {
        lmdb_fault(check, "message %s: the record of its outcome is damaged", lmdb_id_text(slot.id, text));
    }
    return ERR_NONE;
}

static enum err check_meta(struct lmdb_check *check, struct slice key, struct slice value)
{
    struct slice bytes;
    if (!lmdb_unwrap(value, &bytes)) {
        lmdb_fault(check, "state %.*s: its record is damaged",
                   SLICE_ARGS(slice_from(key, key.data[0] == '\0' ? 1 : 0)));
    }
    return ERR_NONE;
}

static enum err check_totals(struct lmdb_check *check)
{
    struct queue_totals stored;
    enum err err = lmdb_totals_get(&check->view, &stored);
    if (err == ERR_CORRUPT) {
        return ERR_NONE; /* told with the other states */
    }
    if (check->has_unknown_size) {
        check->counted.bytes = stored.bytes;
    }
    if (err == ERR_NONE && (stored.messages != check->counted.messages || stored.bytes != check->counted.bytes ||
                            stored.entries != check->counted.entries)) {
        lmdb_fault(check, "the totals say %llu messages, %llu bytes, %llu entries; there are %llu, %llu, %llu",
                   (unsigned long long)stored.messages, (unsigned long long)stored.bytes,
                   (unsigned long long)stored.entries, (unsigned long long)check->counted.messages,
                   (unsigned long long)check->counted.bytes, (unsigned long long)check->counted.entries);
    }
    return err;
}

void lmdb_fault(struct lmdb_check *check, const char *format, ...)
{
    char text[FAULT_LIMIT];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);

    struct buffer sentence;
    buffer_init(&sentence, FAULT_LIMIT);
    text_clean(&sentence, slice_of(text), FAULT_LIMIT / 2); /* damaged names may hold anything */
    check->report(check->owner, buffer_slice(&sentence));
    check->faults++;
    buffer_free(&sentence);
}

const char *lmdb_id_text(uint64_t id, char text[QUEUE_ID_TEXT])
{
    return queue_id_print(id, text).data;
}
