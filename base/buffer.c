#include "base/buffer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_CAPACITY_MIN ((size_t)64)

static bool fits(struct buffer *buffer, size_t length);
static bool make_room(struct buffer *buffer, size_t length);
static bool grow(struct buffer *buffer, size_t held);
static void add_number(struct buffer *buffer, uint64_t number, size_t width);
static uint64_t read_number(struct reader *reader, size_t width);

void buffer_init(struct buffer *buffer, size_t limit)
{
    *buffer = (struct buffer){.limit = limit};
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){.limit = buffer->limit};
}

bool buffer_failed(const struct buffer *buffer)
{
    return buffer->failed;
}

enum err buffer_err(const struct buffer *buffer)
{
    return !buffer->failed ? ERR_NONE : buffer->is_over ? ERR_LIMIT : ERR_MEMORY;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->start = buffer->end = 0;
    buffer->failed = buffer->is_over = false;
}

size_t buffer_length(const struct buffer *buffer)
{
    return buffer->end - buffer->start;
}

size_t buffer_room(const struct buffer *buffer)
{
    return buffer->limit - buffer_length(buffer);
}

struct slice buffer_slice(const struct buffer *buffer)
{
    return buffer->data == NULL ? SLICE_EMPTY : slice_make(buffer->data + buffer->start, buffer_length(buffer));
}

void buffer_consume(struct buffer *buffer, size_t length)
{
    assert(length <= buffer_length(buffer));
    buffer->start += length;
    if (buffer->start == buffer->end) {
        buffer->start = buffer->end = 0;
    }
}

void buffer_truncate(struct buffer *buffer, size_t length)
{
    assert(length <= buffer_length(buffer));
    buffer->end = buffer->start + length;
}

void buffer_add(struct buffer *buffer, struct slice bytes)
{
    char *space = buffer_space(buffer, bytes.length);
    if (space != NULL && bytes.length > 0) {
        memcpy(space, bytes.data, bytes.length);
        buffer_added(buffer, bytes.length);
    }
}

void buffer_add_byte(struct buffer *buffer, char byte)
{
    buffer_add(buffer, slice_make(&byte, 1));
}

void buffer_add_u8(struct buffer *buffer, uint8_t number)
{
    add_number(buffer, number, 1);
}

void buffer_add_u16(struct buffer *buffer, uint16_t number)
{
    add_number(buffer, number, 2);
}

void buffer_add_u32(struct buffer *buffer, uint32_t number)
{
    add_number(buffer, number, 4);
}

void buffer_add_u64(struct buffer *buffer, uint64_t number)
{
    add_number(buffer, number, 8);
}

void buffer_add_block(struct buffer *buffer, struct slice bytes)
{
    if (bytes.length > UINT32_MAX || buffer_room(buffer) < 4 || buffer_room(buffer) - 4 < bytes.length) {
        buffer->failed = buffer->is_over = true; /* before the length goes in: a block is added whole or not at all */
        return;
    }
    buffer_add_u32(buffer, (uint32_t)bytes.length);
    buffer_add(buffer, bytes);
}

void buffer_print(struct buffer *buffer, const char *format, ...)
{
    va_list measured, printed;
    va_start(measured, format);
    va_copy(printed, measured);
    int length = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    assert(length >= 0);

    if (!fits(buffer, (size_t)length) || !make_room(buffer, (size_t)length + 1)) {
        buffer->failed = true;
    } else if (!buffer->failed) {
        vsnprintf(buffer->data + buffer->end, (size_t)length + 1, format, printed);
        buffer->end += (size_t)length;
    }
    va_end(printed);
}

static bool fits(struct buffer *buffer, size_t length)
{
    bool fits = length <= buffer_room(buffer);
    buffer->is_over = buffer->is_over || (!fits && !buffer->failed);
    return fits;
}

char *buffer_space(struct buffer *buffer, size_t length)
{
    if (buffer->failed || !fits(buffer, length) || !make_room(buffer, length)) {
        buffer->failed = true;
        return NULL;
    }
    return buffer->data + buffer->end;
}

void buffer_added(struct buffer *buffer, size_t length)
{
    assert(length <= buffer->capacity - buffer->end);
    assert(length <= buffer_room(buffer));
    buffer->end += length;
}

struct reader reader_of(struct slice bytes)
{
    return (struct reader){.rest = bytes};
}

uint8_t reader_u8(struct reader *reader)
{
    return (uint8_t)read_number(reader, 1);
}

uint16_t reader_u16(struct reader *reader)
{
    return (uint16_t)read_number(reader, 2);
}

uint32_t reader_u32(struct reader *reader)
{
    return (uint32_t)read_number(reader, 4);
}

uint64_t reader_u64(struct reader *reader)
{
    return read_number(reader, 8);
}

struct slice reader_bytes(struct reader *reader, size_t length)
{
    if (reader->failed || length > reader->rest.length) {
        reader->failed = true;
        return SLICE_EMPTY;
    }
    struct slice bytes = slice_to(reader->rest, length);
    reader->rest = slice_from(reader->rest, length);
    return bytes;
}

struct slice reader_block(struct reader *reader)
{
    return reader_bytes(reader, reader_u32(reader));
}

bool reader_done(const struct reader *reader)
{
    return !reader->failed && reader->rest.length == 0;
}

/* Room for length bytes behind the end, beyond the limit too where a terminating NUL is written and not counted. */
static bool make_room(struct buffer *buffer, size_t length)
{
    if (buffer->data != NULL && buffer->capacity - buffer->end >= length) {
        return true;
    }
    size_t held = buffer_length(buffer);
    /* Moving to the front costs a copy of what is held, so only when at least as much was consumed before it. */
    if (buffer->start >= held && buffer->capacity >= held && buffer->capacity - held >= length &&
        buffer->data != NULL) {
        memcpy(buffer->data, buffer->data + buffer->start, held);
        buffer->start = 0;
        buffer->end = held;
        return true;
    }
    return length <= SIZE_MAX - held && grow(buffer, held + length);
}

static bool grow(struct buffer *buffer, size_t needed)
{
    size_t capacity = buffer->capacity < BUFFER_CAPACITY_MIN ? BUFFER_CAPACITY_MIN : buffer->capacity;
    while (capacity < needed) {
        capacity = capacity > SIZE_MAX / 2 ? needed : capacity * 2;
    }
    char *data = malloc(capacity);
    if (data == NULL) {
        return false;
    }
    size_t held = buffer_length(buffer);
    if (held > 0) {
        memcpy(data, buffer->data + buffer->start, held);
    }
    free(buffer->data);
    buffer->data = data;
    buffer->capacity = capacity;
    buffer->start = 0;
    buffer->end = held;
    return true;
}

static void add_number(struct buffer *buffer, uint64_t number, size_t width)
{
    char bytes[8];
    for (size_t i = 0; i < width; i++) {
        bytes[i] = (char)(uint8_t)(number >> (8 * (width - 1 - i)));
    }
    buffer_add(buffer, slice_make(bytes, width));
}

static uint64_t read_number(struct reader *reader, size_t width)
{
    struct slice bytes = reader_bytes(reader, width);
    uint64_t number = 0;
    for (size_t i = 0; i < bytes.length; i++) {
        number = number << 8 | (uint8_t)bytes.data[i];
    }
    return number;
}
