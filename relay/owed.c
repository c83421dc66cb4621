#include "relay/owed.h"

#include <assert.h>

#define VERSION 1

/* A record that does not fit is as one that was added in vain. */
static void add_record(struct buffer *out, struct buffer *record)
{
    out->failed = out->failed || record->failed;
    out->is_over = out->is_over || record->is_over;
    buffer_add_block(out, buffer_slice(record));
    buffer_free(record);
}

static void add_message(const struct owed *owed, struct buffer *out)
{
    struct buffer record;
    buffer_init(&record, out->limit);
    queue_message_encode(&owed->message, &record);
    add_record(out, &record);
}

/* In the form that an entry has them. */
static void add_recipients(const struct owed *owed, struct buffer *out)
{
    struct queue_recipient recipients[QUEUE_RECIPIENTS_MAX];
    struct buffer record;
    for (size_t i = 0; i < owed->recipient_count; i++)
        recipients[i] = *owed->recipients[i].recipient;
    struct queue_entry entry = {.id = owed->message.id, .recipients = recipients, .recipient_count = owed->recipient_count};
    buffer_init(&record, out->limit);
    queue_entry_encode(&entry, &record);
    add_record(out, &record);
}

void owed_encode(const struct owed *owed, struct buffer *out)
{
    assert(owed->recipient_count > 0 && owed->recipient_count <= QUEUE_RECIPIENTS_MAX);
    buffer_add_u8(out, VERSION);
    buffer_add_u64(out, (uint64_t)owed->since_ms);
    add_message(owed, out);
    add_recipients(owed, out);
    for (size_t i = 0; i < owed->recipient_count; i++) {
        buffer_add_u8(out, (uint8_t)owed->recipients[i].action);
        buffer_add_u64(out, (uint64_t)owed->recipients[i].last_attempt_ms);
        buffer_add_block(out, owed->recipients[i].advice);
    }
}

static bool read_recipient(struct reader *reader, struct report_recipient *recipient)
{
    uint8_t action = reader_u8(reader);
    recipient->last_attempt_ms = (int64_t)reader_u64(reader);
    recipient->advice = reader_block(reader);
    recipient->action = (enum smtp_dsn_action)action;
    return action == SMTP_DSN_FAILED || action == SMTP_DSN_DELAYED || action == SMTP_DSN_RELAYED;
}

enum err owed_decode(struct slice bytes, struct arena *arena, struct owed *owed)
{
    struct queue_entry entry;
    struct reader reader = reader_of(bytes);
    *owed = (struct owed){.recipient_count = 0};
    uint8_t version = reader_u8(&reader);
    owed->since_ms = (int64_t)reader_u64(&reader);
    enum err err = version == VERSION ? queue_message_decode(reader_block(&reader), &owed->message) : ERR_CORRUPT;
    if (err == ERR_NONE)
        err = queue_entry_decode(reader_block(&reader), arena, &entry);
    if (err != ERR_NONE)
        return err;
    if (entry.id != owed->message.id || entry.recipient_count == 0)
        return ERR_CORRUPT;
    owed->recipients = arena_array(arena, entry.recipient_count, sizeof *owed->recipients);
    if (owed->recipients == NULL)
        return ERR_MEMORY;
    for (; owed->recipient_count < entry.recipient_count; owed->recipient_count++) {
        struct report_recipient *recipient = &owed->recipients[owed->recipient_count];
        recipient->recipient = &entry.recipients[owed->recipient_count];
        if (!read_recipient(&reader, recipient))
            return ERR_CORRUPT;
    }
    return reader_done(&reader) ? ERR_NONE : ERR_CORRUPT;
}
