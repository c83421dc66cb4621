#include "test/sim/sim_chunk.h"

#include "smtp/content.h"

#define CONTENT_MAX ((size_t)1 << 20)

void sim_chunks_init(struct sim_chunks *chunks)
{
    *chunks = (struct sim_chunks){0};
    buffer_init(&chunks->content, CONTENT_MAX);
}

void sim_chunks_free(struct sim_chunks *chunks)
{
    buffer_free(&chunks->content);
}

void sim_chunks_reset(struct sim_chunks *chunks)
{
    chunks->is_failed = false;
    buffer_clear(&chunks->content);
}

bool sim_chunk_read(struct slice line, uint64_t *length, bool *is_last)
{
    struct slice word, rest = line;
    if (slice_ends(rest, SLICE("\r\n")))
        rest = slice_to(rest, rest.length - 2);
    if (!slice_word(&rest, &word) || !slice_equal_nocase(word, SLICE("BDAT")) || !slice_word(&rest, &word) ||
        !slice_number(word, UINT32_MAX, length))
        return false;
    *is_last = slice_equal_nocase(slice_trim(rest), SLICE("LAST"));
    return *is_last || slice_trim(rest).length == 0;
}

void sim_chunk_begin(struct sim_chunks *chunks, uint64_t length, bool is_last)
{
    chunks->is_open = true;
    chunks->is_last = is_last;
    chunks->left = length;
}

size_t sim_chunk_feed(struct sim_chunks *chunks, struct slice input)
{
    struct slice part = slice_to(input, chunks->left < input.length ? (size_t)chunks->left : input.length);
    if (!chunks->is_failed)
        buffer_add(&chunks->content, part);
    chunks->left -= part.length;
    return part.length;
}

void sim_chunks_stuff(struct sim_chunks *chunks, struct buffer *out)
{
    struct smtp_content_encoder encoder;
    smtp_content_encoder_init(&encoder);
    smtp_content_encode(&encoder, buffer_slice(&chunks->content), out);
    smtp_content_encode_end(&encoder, out);
    buffer_clear(&chunks->content);
}
