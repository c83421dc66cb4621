/* DKIM: the relaxed body in pieces is that of a simple reading of RFC 6376 3.4.4 line by line, and relaxing again changes nothing. A header
 * section of any bytes gives a field whose lines are short and which says what was signed. The first byte is the size of the pieces. */
#include <assert.h>

#include "smtp/content.h"
#include "smtp/dkim.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void relax_simply(struct slice content, struct buffer *out)
{
    size_t end = 0; /* behind the last line with something in it */
    while (content.length > 0) {
        size_t length = slice_find_slice(content, SLICE("\r\n"));
        struct slice line = slice_to(content, length);
        content = slice_from(content, length + 2);
        while (line.length > 0 && (slice_ends(line, SLICE(" ")) || slice_ends(line, SLICE("\t"))))
            line.length--;
        for (size_t i = 0; i < line.length; i++) {
            bool is_blank = line.data[i] == ' ' || line.data[i] == '\t';
            bool follows_blank = i > 0 && (line.data[i - 1] == ' ' || line.data[i - 1] == '\t');
            if (!is_blank || !follows_blank)
                buffer_add_byte(out, is_blank ? ' ' : line.data[i]);
        }
        buffer_add(out, SLICE("\r\n"));
        end = line.length > 0 ? buffer_length(out) : end;
    }
    buffer_truncate(out, end);
}

static void relax(struct slice content, size_t step, struct buffer *out)
{
    struct smtp_dkim_body body = {.in_line = false};
    for (size_t at = 0; at < content.length; at += step)
        smtp_dkim_body_feed(&body, slice_to(slice_from(content, at), step), out);
    smtp_dkim_body_finish(&body, out);
}

static void check_body(struct slice content, size_t step)
{
    struct buffer out, again, simple;
    buffer_init(&out, 2 * content.length + 16);
    buffer_init(&again, 2 * content.length + 16);
    buffer_init(&simple, 2 * content.length + 16);
    relax(content, step, &out);
    relax(buffer_slice(&out), 7, &again);
    relax_simply(content, &simple);
    assert(slice_equal(buffer_slice(&out), buffer_slice(&simple)));
    assert(slice_equal(buffer_slice(&out), buffer_slice(&again)));
    buffer_free(&out);
    buffer_free(&again);
    buffer_free(&simple);
}

static void check_header(struct slice section)
{
    struct smtp_dkim_signature signature = {.domain = SLICE("d.example"), .selector = SLICE("s"), .body_hash = SLICE("hash")};
    struct buffer data, field;
    buffer_init(&data, 1 << 22);
    buffer_init(&field, 1 << 20);
    smtp_dkim_header(&signature, section, &data);
    smtp_dkim_field(&signature, section, SLICE("value"), &field);
    assert(!buffer_failed(&data) && !buffer_failed(&field));
    struct slice rest = buffer_slice(&field), line;
    while (rest.length > 0 && slice_cut(&rest, '\n', &line))
        assert(line.length < 100 && slice_ends(line, SLICE("\r")));
    assert(slice_ends(buffer_slice(&data), SLICE("; bh=aGFzaA==; b=")));
    buffer_free(&data);
    buffer_free(&field);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buffer content;
    int state = 0;
    if (size == 0)
        return 0;
    buffer_init(&content, 2 * size + 16);
    smtp_content_normalise(&state, slice_make(data + 1, size - 1), true, &content);
    check_body(buffer_slice(&content), data[0] + 1u);
    check_header(buffer_slice(&content));
    buffer_free(&content);
    return 0;
}
