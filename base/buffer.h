/* A buffer is a growable queue of bytes with a limit: add at the end, consume from the front. Its error is sticky: once
 * an addition failed (limit or memory) all later additions fail and buffer_failed() says so; check once at the end. */
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/err.h"
#include "base/slice.h"

struct buffer {
    char *data;
    size_t start, end, capacity;
    size_t limit; /* bytes that may be held at once */
    bool failed;
    bool is_over; /* it failed at the limit: more memory would not help */
};

void buffer_init(struct buffer *buffer, size_t limit);
void buffer_free(struct buffer *buffer); /* releases the bytes; may be used again after buffer_init */
bool buffer_failed(const struct buffer *buffer);
MUST_CHECK enum err buffer_err(const struct buffer *buffer); /* why: ERR_LIMIT, ERR_MEMORY */
void buffer_clear(struct buffer *buffer); /* forgets bytes and error, keeps the memory */

size_t buffer_length(const struct buffer *buffer);
size_t buffer_room(const struct buffer *buffer); /* until the limit */
struct slice buffer_slice(const struct buffer *buffer);
void buffer_consume(struct buffer *buffer, size_t length); /* length at most buffer_length() */
void buffer_truncate(struct buffer *buffer, size_t length);

void buffer_add(struct buffer *buffer, struct slice bytes); /* all or nothing */
void buffer_add_byte(struct buffer *buffer, char byte);
void buffer_add_u8(struct buffer *buffer, uint8_t number);
void buffer_add_u16(struct buffer *buffer, uint16_t number); /* big endian, as all numbers on disk */
void buffer_add_u32(struct buffer *buffer, uint32_t number);
void buffer_add_u64(struct buffer *buffer, uint64_t number);
void buffer_add_block(struct buffer *buffer, struct slice bytes); /* u32 length, then the bytes */
void buffer_print(struct buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Room for length bytes to be written into directly, or NULL (and failed); buffer_added() says how many were. */
char *buffer_space(struct buffer *buffer, size_t length);
void buffer_added(struct buffer *buffer, size_t length);

/* A reader over a slice with a sticky error, for the same encoding. */
struct reader {
    struct slice rest;
    bool failed;
};
struct reader reader_of(struct slice bytes);
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
struct slice reader_bytes(struct reader *reader, size_t length); /* empty when failed */
struct slice reader_block(struct reader *reader);                /* u32 length, then the bytes */
bool reader_done(const struct reader *reader);                   /* no error and nothing left */

#endif
