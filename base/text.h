/* Text that people and protocols read: numbers, sizes, times, encodings, and the cleaning of peers' text. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buffer.h"
#include "base/err.h"
#include "base/slice.h"

/* As snprintf, but returns the slice that was written; cut at the capacity. */
struct slice text_print(char *out, size_t capacity, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* "50M" -> 52428800 (K M G T are powers of 1024; none is bytes). */
MUST_CHECK enum err text_size_parse(struct slice text, uint64_t *bytes);
/* "90s" "5m" "2h" "5d" "1500ms", joined "1h30m"; a number without unit is seconds. Result in milliseconds. */
MUST_CHECK enum err text_duration_parse(struct slice text, int64_t *duration_ms);
/* Shortest exact-enough form: "1.2s" "5m" "3h20m" "4d"; at most 16 bytes. */
struct slice text_duration_print(int64_t duration_ms, char out[24]);

/* RFC 5322 date-time in UTC: "Tue, 24 Nov 2026 03:05:22 +0000". */
struct slice text_date_rfc5322(int64_t wall_ms, char out[40]);
/* ISO 8601 in UTC: "2026-11-24T03:05:22Z"; the second form has milliseconds. */
struct slice text_date_iso(int64_t wall_ms, char out[32]);
struct slice text_date_iso_ms(int64_t wall_ms, char out[32]);
/* "2026-12-01" or the ISO form above -> milliseconds since the epoch (start of that day in UTC). */
MUST_CHECK enum err text_date_parse(struct slice text, int64_t *wall_ms);

struct slice text_hex(const void *bytes, size_t length, char *out, size_t capacity); /* lower case */
MUST_CHECK enum err text_base64_encode(struct slice bytes, struct buffer *out); /* no line breaks */
MUST_CHECK enum err text_base64_decode(struct slice text, struct buffer *out);  /* strict: RFC 4648 with padding */

/* A peer's text made harmless for a log line, a reply or a report: bytes outside 0x20..0x7e become '?', at most
 * limit bytes, "..." at the cut. */
void text_clean(struct buffer *out, struct slice text, size_t limit);
/* For JSON string contents, without the quotes: escapes quotes, backslash, controls; invalid UTF-8 becomes U+FFFD. */
void text_json(struct buffer *out, struct slice text);
bool text_is_utf8(struct slice text);
/* Takes one character off the front: its code point, or false and one byte where no valid UTF-8 starts (RFC 3629: no
 * overlong form, no surrogate, nothing above U+10FFFF). *rest is not empty. */
bool text_utf8_next(struct slice *rest, uint32_t *character);
/* Takes one character off the front and writes it as text_json does; returns the bytes written. */
size_t text_json_next(struct slice *rest, char out[8]);
bool text_is_ascii(struct slice text); /* 0x01..0x7f */
bool text_has_eight_bit(struct slice text); /* a byte over 0x7f */

/* The candidate nearest to word by edit distance (at most a third of its length), or NULL: for "did you mean". */
const char *text_nearest(struct slice word, const char *const *candidates, size_t count);

/* CRC-32C (Castagnoli), for stored records. */
uint32_t text_crc32c(struct slice bytes);
uint32_t text_crc32c_by_table(struct slice bytes); /* the same where the processor has no instruction for it; for tests */
/* SipHash-2-4 with the given key, for tables keyed by what peers choose. */
uint64_t text_siphash(const uint64_t key[2], struct slice bytes);

#endif
