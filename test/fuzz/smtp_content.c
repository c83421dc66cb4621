/* The content decoder, fed in pieces, against one that sees all at once and is too simple to be wrong. The first byte
 * is the size of the pieces, and its highest bit says whether the decoder is lenient. What was decoded without fault, encoded again, decodes to the same. */
#include <assert.h>
#include <string.h>

#include "smtp/content.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* text begins with the CRLF of the DATA command. The end mark is the first CRLF.CRLF; lines end in CRLF. */
static bool simple_decode(struct slice text, struct buffer *out, bool *faulty, size_t *taken)
{
    size_t end = slice_find_slice(text, SLICE("\r\n.\r\n"));
    bool ended = end < text.length;
    *taken = ended ? end + 3 : text.length - 2;
    struct slice lines = slice_from(slice_to(text, ended ? end + 2 : text.length), 2);
    *faulty = slice_has(lines, '\0');
    for (size_t i = 0; i < lines.length; i++) {
        bool bare_cr = lines.data[i] == '\r' && i + 1 < lines.length && lines.data[i + 1] != '\n';
        bool bare_lf = lines.data[i] == '\n' && (i == 0 || lines.data[i - 1] != '\r');
        *faulty = *faulty || bare_cr || bare_lf;
    }
    while (lines.length > 0) {
        size_t length = slice_find_slice(lines, SLICE("\r\n"));
        length = length < lines.length ? length + 2 : length;
        buffer_add(out, slice_from(slice_to(lines, length), lines.data[0] == '.'));
        lines = slice_from(lines, length);
    }
    return ended;
}

/* The same where a bare CR or LF ends a line too: a dot behind it stays, and one that is all of such a line. */
static bool simple_decode_leniently(struct slice text, struct buffer *out, bool *faulty, size_t *taken)
{
    size_t end = slice_find_slice(text, SLICE("\r\n.\r\n"));
    bool ended = end < text.length, is_whole = true;
    *taken = ended ? end + 3 : text.length - 2;
    struct slice lines = slice_from(slice_to(text, ended ? end + 2 : text.length), 2);
    *faulty = slice_has(lines, '\0');
    while (lines.length > 0) {
        size_t length = 0;
        while (length < lines.length && lines.data[length] != '\r' && lines.data[length] != '\n')
            length++;
        bool ends_whole = slice_starts(slice_from(lines, length), SLICE("\r\n"));
        bool is_stuffed = is_whole && length > 0 && lines.data[0] == '.' && (length > 1 || ends_whole);
        buffer_add(out, slice_from(slice_to(lines, length), is_stuffed));
        buffer_add(out, SLICE("\r\n"));
        lines = slice_from(lines, length + 1 + ends_whole);
        is_whole = ends_whole;
    }
    return ended;
}

static bool decode(struct slice input, size_t step, struct smtp_content_decoder *decoder, struct buffer *out)
{
    size_t taken = 0, part;
    bool ended = false;
    bool lenient = decoder->lenient;
    smtp_content_decoder_init(decoder);
    decoder->lenient = lenient;
    for (; taken < input.length && !ended; taken += part)
        ended = smtp_content_decode(decoder, slice_to(slice_from(input, taken), step), out, &part);
    decoder->line_length_max = taken; /* borrowed for the caller */
    return ended;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct smtp_content_decoder decoder;
    struct smtp_content_encoder encoder;
    struct buffer input, simple, out, wire;
    bool faulty;
    size_t taken;
    buffer_init(&input, size + 2);
    decoder.lenient = size > 0 && data[0] > 0x7f;
    buffer_init(&simple, 2 * size + 2);
    buffer_init(&out, 6 * size + 600);
    buffer_init(&wire, 4 * size + 16);
    buffer_add(&input, SLICE("\r\n"));
    buffer_add(&input, slice_from(slice_make(data, size), 1));
    struct slice content = slice_from(buffer_slice(&input), 2);
    bool ended = decode(content, size > 0 ? (data[0] & 0x7fU) + 1U : 1U, &decoder, &out);
    assert(ended == (decoder.lenient ? simple_decode_leniently : simple_decode)(buffer_slice(&input), &simple, &faulty, &taken));
    if (ended) {
        assert(slice_equal(buffer_slice(&out), buffer_slice(&simple)));
        assert(faulty == (decoder.fault != SMTP_CONTENT_OK));
        assert(taken == decoder.line_length_max && decoder.length == buffer_length(&out));
        smtp_content_encoder_init(&encoder);
        smtp_content_encode(&encoder, buffer_slice(&out), &wire);
        smtp_content_encode_end(&encoder, &wire);
        buffer_clear(&out);
        decoder.lenient = false; /* as the next host reads it: nothing in it ends it early */
        assert(decode(buffer_slice(&wire), 7, &decoder, &out) && decoder.fault == SMTP_CONTENT_OK);
        assert(decoder.line_length_max == buffer_length(&wire));
        assert(faulty || slice_equal(buffer_slice(&out), buffer_slice(&simple)));
    }
    buffer_free(&input);
    buffer_free(&simple);
    buffer_free(&out);
    buffer_free(&wire);
    return 0;
}
