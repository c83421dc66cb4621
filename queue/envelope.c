#include "queue/envelope.h"
#include "base/text.h"

#include <assert.h>

/* A stored form opens with what it is and its version, and ends in the CRC-32C of all before. */
#define TYPE_MESSAGE 'M'
#define TYPE_ENTRY 'E'
#define TYPE_DESTINATION 'D'
#define VERSION 1
#define HEAD_LENGTH 2
#define CHECK_LENGTH 4

#define MESSAGE_EIGHT_BIT 0x01
#define MESSAGE_UTF8 0x02
#define MESSAGE_IS_SIGNED 0x04
#define MESSAGE_LONG_LINES 0x08
#define MESSAGE_EIGHT_BIT_HEADER 0x10
#define MESSAGE_IS_SEALED 0x20
#define MESSAGE_HAS_FORM 0x40 /* a block more, at the end */
#define MESSAGE_FLAGS 0x7f
#define ENTRY_HELD 0x01
#define ENTRY_WARNED 0x02
#define ENTRY_FLAGS 0x03

#define ID_SEQUENCE_BITS 20
#define ID_TIME_MASK ((UINT64_C(1) << 44) - 1)
#define ID_SEQUENCE_MASK ((UINT64_C(1) << ID_SEQUENCE_BITS) - 1)
#define ID_DIGITS_MIN 12
#define ID_DIGITS_MAX 16

static size_t record_open(struct buffer *out, char type);
static void record_close(struct buffer *out, size_t start);
static bool record_read(struct slice bytes, char type, struct reader *body);
static void add_time(struct buffer *out, int64_t time_ms);
static uint8_t message_flags(const struct queue_message *message);
static int64_t read_time(struct reader *reader);
static void encode_recipient(const struct queue_recipient *recipient, struct buffer *out);
static void decode_recipient(struct reader *reader, struct queue_recipient *recipient);
static bool decode_entry_head(struct slice bytes, struct reader *reader, struct queue_entry *entry);
static int hex_value(char digit);

uint64_t queue_id_make(int64_t wall_ms, uint32_t sequence)
{
    uint64_t time_ms = wall_ms < 0 ? 0 : (uint64_t)wall_ms & ID_TIME_MASK;
    uint64_t id = time_ms << ID_SEQUENCE_BITS | (sequence & ID_SEQUENCE_MASK);
    return id == 0 ? 1 : id;
}

int64_t queue_id_time_ms(uint64_t id)
{
    return (int64_t)(id >> ID_SEQUENCE_BITS);
}

struct slice queue_id_print(uint64_t id, char out[QUEUE_ID_TEXT])
{
    return text_print(out, QUEUE_ID_TEXT, "%016llX", (unsigned long long)id);
}

bool queue_id_parse(struct slice text, uint64_t *id)
{
    if (text.length < ID_DIGITS_MIN || text.length > ID_DIGITS_MAX) {
        return false;
    }
    uint64_t number = 0;
    for (size_t i = 0; i < text.length; i++) {
        int value = hex_value(text.data[i]);
        if (value < 0) {
            return false;
        }
        number = number << 4 | (uint64_t)value;
    }
    *id = number;
    return number != 0;
}

/* Capitals only, as they are printed: one queue id has one text. */
static int hex_value(char digit)
{
    if (byte_is_digit(digit)) {
        return digit - '0';
    }
    return digit >= 'A' && digit <= 'F' ? digit - 'A' + 10 : -1;
}

const char *queue_status_name(enum queue_status status)
{
    switch (status) {
#define X(name, text)                                                                                                  \
    case QUEUE_##name:                                                                                                 \
        return text;
        QUEUE_STATUS_LIST(X)
#undef X
    }
    return "unknown";
}

bool queue_entry_is_finished(const struct queue_entry *entry)
{
    for (size_t i = 0; i < entry->recipient_count; i++) {
        if (entry->recipients[i].status == QUEUE_PENDING) {
            return false;
        }
    }
    return true;
}

uint64_t queue_sender_hash(struct slice sender)
{
    /* Fixed, because the hash is part of stored keys. Colliding senders share one turn: no harm worth a secret. */
    static const uint64_t key[2] = {UINT64_C(0x5374657266706f73), UINT64_C(0x747475726e6f7264)};
    char lower[1024];
    size_t length = sender.length < sizeof lower ? sender.length : sizeof lower;
    for (size_t i = 0; i < length; i++) {
        lower[i] = byte_lower(sender.data[i]);
    }
    uint64_t hash = text_siphash(key, slice_make(lower, length));
    return hash == 0 ? 1 : hash;
}

/* ---- message ---- */

void queue_message_encode(const struct queue_message *message, struct buffer *out)
{
    size_t start = record_open(out, TYPE_MESSAGE);
    buffer_add_u64(out, message->id);
    add_time(out, message->arrival_ms);
    buffer_add_u64(out, message->size);
    buffer_add_u32(out, message->chunk_count);
    buffer_add_u32(out, message->entry_count);
    buffer_add_u8(out, message_flags(message));
    buffer_add_u8(out, message->ret);
    buffer_add_u32(out, message->header_length);
    buffer_add_block(out, message->sender);
    buffer_add_block(out, message->origin);
    buffer_add_block(out, message->envid);
    if (message->form.length > 0) {
        buffer_add_block(out, message->form);
    }
    record_close(out, start);
}

static uint8_t message_flags(const struct queue_message *message)
{
    return (uint8_t)((message->eight_bit ? MESSAGE_EIGHT_BIT : 0) | (message->utf8 ? MESSAGE_UTF8 : 0) |
                     (message->is_signed ? MESSAGE_IS_SIGNED : 0) | (message->has_long_lines ? MESSAGE_LONG_LINES : 0) |
                     (message->has_eight_bit_header ? MESSAGE_EIGHT_BIT_HEADER : 0) |
                     (message->is_sealed ? MESSAGE_IS_SEALED : 0) | (message->form.length > 0 ? MESSAGE_HAS_FORM : 0));
}

enum err queue_message_decode(struct slice bytes, struct queue_message *message)
{
    *message = (struct queue_message){0};
    struct reader reader;
    if (!record_read(bytes, TYPE_MESSAGE, &reader)) {
        return ERR_CORRUPT;
    }
    message->id = reader_u64(&reader);
    message->arrival_ms = read_time(&reader);
    message->size = reader_u64(&reader);
    message->chunk_count = reader_u32(&reader);
    message->entry_count = reader_u32(&reader);
    uint8_t flags = reader_u8(&reader);
    message->eight_bit = (flags & MESSAGE_EIGHT_BIT) != 0;
    message->utf8 = (flags & MESSAGE_UTF8) != 0;
    message->is_signed = (flags & MESSAGE_IS_SIGNED) != 0;
    message->has_long_lines = (flags & MESSAGE_LONG_LINES) != 0;
    message->has_eight_bit_header = (flags & MESSAGE_EIGHT_BIT_HEADER) != 0;
    message->is_sealed = (flags & MESSAGE_IS_SEALED) != 0;
    message->ret = reader_u8(&reader);
    message->header_length = reader_u32(&reader);
    message->sender = reader_block(&reader);
    message->origin = reader_block(&reader);
    message->envid = reader_block(&reader);
    bool has_form = (flags & MESSAGE_HAS_FORM) != 0;
    message->form = has_form ? reader_block(&reader) : SLICE_EMPTY;
    bool is_valid = reader_done(&reader) && message->id != 0 && (flags & ~MESSAGE_FLAGS) == 0 &&
                    has_form == (message->form.length > 0);
    return is_valid ? ERR_NONE : ERR_CORRUPT;
}

/* ---- entry ---- */

void queue_entry_encode(const struct queue_entry *entry, struct buffer *out)
{
    assert(entry->recipient_count <= QUEUE_RECIPIENTS_MAX);
    assert(entry->destination.length <= QUEUE_NAME_MAX);

    size_t start = record_open(out, TYPE_ENTRY);
    buffer_add_u64(out, entry->id);
    buffer_add_u16(out, entry->number);
    add_time(out, entry->due_ms);
    buffer_add_u8(out, (uint8_t)((entry->held ? ENTRY_HELD : 0) | (entry->warned ? ENTRY_WARNED : 0)));
    buffer_add_u32(out, entry->attempts);
    add_time(out, entry->first_attempt_ms);
    add_time(out, entry->last_attempt_ms);
    buffer_add_block(out, entry->destination);
    buffer_add_block(out, entry->reason);
    buffer_add_block(out, entry->why);
    buffer_add_u16(out, (uint16_t)entry->recipient_count);
    for (size_t i = 0; i < entry->recipient_count; i++) {
        encode_recipient(&entry->recipients[i], out);
    }
    record_close(out, start);
}

enum err queue_entry_decode(struct slice bytes, struct arena *arena, struct queue_entry *entry)
{
    struct reader reader;
    if (!decode_entry_head(bytes, &reader, entry)) {
        return ERR_CORRUPT;
    }
    entry->recipients = arena_array(arena, entry->recipient_count, sizeof *entry->recipients);
    if (entry->recipients == NULL) {
        return ERR_MEMORY;
    }
    for (size_t i = 0; i < entry->recipient_count; i++) {
        decode_recipient(&reader, &entry->recipients[i]);
    }
    return reader_done(&reader) ? ERR_NONE : ERR_CORRUPT;
}

enum err queue_entry_peek(struct slice bytes, struct queue_entry *entry)
{
    struct reader reader;
    return decode_entry_head(bytes, &reader, entry) ? ERR_NONE : ERR_CORRUPT;
}

static bool decode_entry_head(struct slice bytes, struct reader *reader, struct queue_entry *entry)
{
    *entry = (struct queue_entry){0};
    if (!record_read(bytes, TYPE_ENTRY, reader)) {
        return false;
    }
    entry->id = reader_u64(reader);
    entry->number = reader_u16(reader);
    entry->due_ms = read_time(reader);
    uint8_t flags = reader_u8(reader);
    entry->held = (flags & ENTRY_HELD) != 0;
    entry->warned = (flags & ENTRY_WARNED) != 0;
    entry->attempts = reader_u32(reader);
    entry->first_attempt_ms = read_time(reader);
    entry->last_attempt_ms = read_time(reader);
    entry->destination = reader_block(reader);
    entry->reason = reader_block(reader);
    entry->why = reader_block(reader);
    entry->recipient_count = reader_u16(reader);
    return !reader->failed && entry->id != 0 && (flags & ~ENTRY_FLAGS) == 0 &&
           entry->recipient_count <= QUEUE_RECIPIENTS_MAX && entry->destination.length <= QUEUE_NAME_MAX;
}

static void encode_recipient(const struct queue_recipient *recipient, struct buffer *out)
{
    buffer_add_u8(out, (uint8_t)recipient->status);
    buffer_add_u8(out, recipient->notify);
    buffer_add_u16(out, recipient->code);
    for (size_t i = 0; i < sizeof recipient->dsn; i++) {
        buffer_add_u8(out, recipient->dsn[i]);
    }
    buffer_add_block(out, recipient->address);
    buffer_add_block(out, recipient->orcpt);
    buffer_add_block(out, recipient->text);
    buffer_add_block(out, recipient->host);
}

static void decode_recipient(struct reader *reader, struct queue_recipient *recipient)
{
    uint8_t status = reader_u8(reader);
    reader->failed = reader->failed || status > QUEUE_DELETED;
    recipient->status = reader->failed ? QUEUE_PENDING : (enum queue_status)status;
    recipient->notify = reader_u8(reader);
    recipient->code = reader_u16(reader);
    for (size_t i = 0; i < sizeof recipient->dsn; i++) {
        recipient->dsn[i] = reader_u8(reader);
    }
    recipient->address = reader_block(reader);
    recipient->orcpt = reader_block(reader);
    recipient->text = reader_block(reader);
    recipient->host = reader_block(reader);
}

/* ---- destination ---- */

void queue_destination_encode(const struct queue_destination *destination, struct buffer *out)
{
    assert(destination->name.length <= QUEUE_NAME_MAX);

    size_t start = record_open(out, TYPE_DESTINATION);
    buffer_add_block(out, destination->name);
    add_time(out, destination->not_before_ms);
    buffer_add_u32(out, destination->failures);
    add_time(out, destination->failing_since_ms);
    buffer_add_block(out, destination->reason);
    buffer_add_block(out, destination->why);
    buffer_add_block(out, destination->text);
    record_close(out, start);
}

enum err queue_destination_decode(struct slice bytes, struct queue_destination *destination)
{
    *destination = (struct queue_destination){0};
    struct reader reader;
    if (!record_read(bytes, TYPE_DESTINATION, &reader)) {
        return ERR_CORRUPT;
    }
    destination->name = reader_block(&reader);
    destination->not_before_ms = read_time(&reader);
    destination->failures = reader_u32(&reader);
    destination->failing_since_ms = read_time(&reader);
    destination->reason = reader_block(&reader);
    destination->why = reader_block(&reader);
    destination->text = reader_block(&reader);
    return reader_done(&reader) && destination->name.length <= QUEUE_NAME_MAX ? ERR_NONE : ERR_CORRUPT;
}

/* ---- records ---- */

static size_t record_open(struct buffer *out, char type)
{
    size_t start = buffer_length(out);
    buffer_add_byte(out, type);
    buffer_add_u8(out, VERSION);
    return start;
}

static void record_close(struct buffer *out, size_t start)
{
    if (!buffer_failed(out)) {
        buffer_add_u32(out, text_crc32c(slice_from(buffer_slice(out), start)));
    }
}

/* The body of a record of this type and version whose checksum holds. */
static bool record_read(struct slice bytes, char type, struct reader *body)
{
    if (bytes.length < HEAD_LENGTH + CHECK_LENGTH) {
        return false;
    }
    struct slice checked = slice_to(bytes, bytes.length - CHECK_LENGTH);
    struct reader check = reader_of(slice_from(bytes, checked.length));
    if (reader_u32(&check) != text_crc32c(checked)) {
        return false;
    }
    *body = reader_of(slice_from(checked, HEAD_LENGTH));
    return checked.data[0] == type && checked.data[1] == VERSION;
}

static void add_time(struct buffer *out, int64_t time_ms)
{
    buffer_add_u64(out, (uint64_t)time_ms);
}

static int64_t read_time(struct reader *reader)
{
    return (int64_t)reader_u64(reader);
}
