/* A server's replies: whole and in two parts they must read alike, and read again as they are printed. The first byte
 * says where the input is cut. */
#include <assert.h>

#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void reprint(const struct smtp_reply *reply, struct buffer *out)
{
    struct smtp_reply_parser parser;
    struct smtp_reply again;
    size_t taken;
    size_t start = buffer_length(out);
    smtp_reply_print(out, reply);
    smtp_reply_parser_init(&parser);
    struct slice printed = slice_from(buffer_slice(out), start);
    assert(buffer_failed(out) || smtp_reply_feed(&parser, printed, &taken, &again) == SMTP_REPLY_DONE);
    assert(buffer_failed(out) || (taken == printed.length && again.code == reply->code));
    smtp_reply_parser_free(&parser);
}

static void feed(struct smtp_reply_parser *parser, struct slice part, struct buffer *out)
{
    struct smtp_reply reply;
    size_t taken;
    for (enum smtp_reply_parse parsed = SMTP_REPLY_DONE; parsed == SMTP_REPLY_DONE; part = slice_from(part, taken)) {
        parsed = smtp_reply_feed(parser, part, &taken, &reply);
        if (parsed == SMTP_REPLY_DONE)
            reprint(&reply, out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_from(slice_make(data, size), 1);
    size_t cut = size == 0 ? 0 : input.length * data[0] / 255;
    struct smtp_reply_parser parsers[2];
    struct buffer outs[2];
    for (int i = 0; i < 2; i++) {
        smtp_reply_parser_init(&parsers[i]);
        buffer_init(&outs[i], 1 << 24);
        feed(&parsers[i], i == 0 ? input : slice_to(input, cut), &outs[i]);
        feed(&parsers[i], i == 0 ? SLICE_EMPTY : slice_from(input, cut), &outs[i]);
        smtp_reply_parser_free(&parsers[i]);
    }
    assert(slice_equal(buffer_slice(&outs[0]), buffer_slice(&outs[1])));
    assert(parsers[0].malformed == parsers[1].malformed);
    buffer_free(&outs[0]);
    buffer_free(&outs[1]);
    return 0;
}
