#include "smtp/content.h"

#include <string.h>

/* Where the next byte stands. Only CRLF begins a line: after a bare LF or CR the line goes on, so that no dot behind it
 * can end the content or be taken for a stuffed one. */
enum decoder_state {
    LINE_START,
    DOT,    /* a dot began the line */
    DOT_CR, /* and a CR followed it: with LF this is the end mark */
    TEXT,
    CR,
    SOFT_START, /* lenient: a line begins behind a bare LF or CR. A dot here was not stuffed, and ends nothing */
};
enum encoder_state { ENCODER_LINE_START, ENCODER_TEXT, ENCODER_CR };
enum normaliser_state { NORMALISER_LINE_START, NORMALISER_TEXT, NORMALISER_CR };

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

struct output {
    char *next; /* NULL: nothing is kept */
    uint64_t length;
};

static bool decode_byte(struct smtp_content_decoder *decoder, char byte, struct output *output);
static void decode_text(struct smtp_content_decoder *decoder, char byte, struct output *output);
static size_t decode_run(struct smtp_content_decoder *decoder, struct slice input, struct output *output);
static void end_bare(struct smtp_content_decoder *decoder, enum smtp_content_fault fault, struct output *output);
static void keep_dot(struct smtp_content_decoder *decoder, struct output *output);
static void end_line(struct smtp_content_decoder *decoder, struct output *output);
static void keep(struct output *output, const char *bytes, size_t length);
static void note_fault(struct smtp_content_decoder *decoder, enum smtp_content_fault fault);
static bool is_plain(char byte);
static size_t encode_run(struct smtp_content_encoder *encoder, struct slice content, struct buffer *out);
static void encode_byte(struct smtp_content_encoder *encoder, char byte, struct buffer *out);
static void normalise_byte(int *state, char byte, struct buffer *out);
static size_t plain_length(struct slice bytes, bool *eight_bit);
static uint64_t zeros_of(uint64_t word);

const char *smtp_content_fault_text(enum smtp_content_fault fault)
{
    switch (fault) {
        case SMTP_CONTENT_BARE_CR:
            return "bare CR";
        case SMTP_CONTENT_BARE_LF:
            return "bare LF";
        case SMTP_CONTENT_NUL:
            return "NUL";
        case SMTP_CONTENT_OK:
            break;
    }
    return "";
}

void smtp_content_decoder_init(struct smtp_content_decoder *decoder)
{
    *decoder = (struct smtp_content_decoder){.state = LINE_START};
}

bool smtp_content_decode(struct smtp_content_decoder *decoder, struct slice input, struct buffer *out, size_t *taken)
{
    char *space = out == NULL ? NULL : buffer_space(out, (decoder->lenient ? 2 : 1) * input.length + 2);
    struct output output = {.next = space};
    bool ended = false;
    *taken = 0;
    if (out != NULL && space == NULL) {
        return false;
    }
    while (*taken < input.length && !ended) {
        *taken += decode_run(decoder, slice_from(input, *taken), &output);
        if (*taken < input.length) {
            ended = decode_byte(decoder, input.data[(*taken)++], &output);
        }
    }
    if (out != NULL) {
        buffer_added(out, (size_t)output.length);
    }
    decoder->length += output.length;
    return ended;
}

/* What a line's middle is made of, in one piece. */
static size_t decode_run(struct smtp_content_decoder *decoder, struct slice input, struct output *output)
{
    if (decoder->state != TEXT) {
        return 0;
    }
    bool eight_bit;
    size_t length = plain_length(input, &eight_bit);
    decoder->eight_bit |= eight_bit;
    decoder->line_length += length;
    keep(output, input.data, length);
    return length;
}

/* One byte where the state matters. True: it completed the end mark. */
static bool decode_byte(struct smtp_content_decoder *decoder, char byte, struct output *output)
{
    switch ((enum decoder_state)decoder->state) {
        case LINE_START:
            if (byte == '.') {
                decoder->state = DOT;
                return false;
            }
            break;
        case DOT:
            if (byte == '\r') {
                decoder->state = DOT_CR;
                return false;
            }
            if (byte == '\n' && decoder->lenient) {
                keep_dot(decoder, output);
            }
            break; /* RFC 5321 4.5.2: other bytes follow, the dot goes */
        case DOT_CR:
            if (byte == '\n') {
                return true;
            }
            if (decoder->lenient) {
                keep_dot(decoder, output);
            }
            decoder->state = CR;
            return decode_byte(decoder, byte, output);
        case CR:
            if (byte == '\n') {
                end_line(decoder, output);
                return false;
            }
            end_bare(decoder, SMTP_CONTENT_BARE_CR, output);
            break;
        case TEXT:
        case SOFT_START:
            break;
    }
    decode_text(decoder, byte, output);
    return false;
}

static void decode_text(struct smtp_content_decoder *decoder, char byte, struct output *output)
{
    if (byte == '\r') {
        decoder->state = CR;
        return;
    }
    if (byte == '\n') {
        end_bare(decoder, SMTP_CONTENT_BARE_LF, output);
        return;
    }
    if (byte == '\0') {
        note_fault(decoder, SMTP_CONTENT_NUL);
    }
    decoder->state = TEXT;
    decoder->eight_bit |= (uint8_t)byte > 0x7f;
    decoder->line_length++;
    keep(output, &byte, 1);
}

/* A bare LF or CR: a fault and a byte of the line; lenient, its end. */
static void end_bare(struct smtp_content_decoder *decoder, enum smtp_content_fault fault, struct output *output)
{
    if (decoder->lenient) {
        end_line(decoder, output);
        decoder->state = SOFT_START;
        return;
    }
    note_fault(decoder, fault);
    decoder->state = TEXT;
    decoder->line_length++;
    keep(output, fault == SMTP_CONTENT_BARE_LF ? "\n" : "\r", 1);
}

/* A line that is only a dot, and whose end is bare: who stuffs dots would have sent two. */
static void keep_dot(struct smtp_content_decoder *decoder, struct output *output)
{
    decoder->line_length++;
    keep(output, ".", 1);
}

static void end_line(struct smtp_content_decoder *decoder, struct output *output)
{
    if (decoder->line_length > decoder->line_length_max) {
        decoder->line_length_max = decoder->line_length;
    }
    decoder->line_length = 0;
    decoder->state = LINE_START;
    keep(output, "\r\n", 2);
}

static void keep(struct output *output, const char *bytes, size_t length)
{
    if (output->next != NULL && length > 0) {
        memcpy(output->next, bytes, length);
        output->next += length;
    }
    output->length += length;
}

static void note_fault(struct smtp_content_decoder *decoder, enum smtp_content_fault fault)
{
    if (decoder->fault == SMTP_CONTENT_OK) {
        decoder->fault = fault;
    }
}

static bool is_plain(char byte)
{
    return byte != '\r' && byte != '\n' && byte != '\0';
}

void smtp_content_encoder_init(struct smtp_content_encoder *encoder)
{
    *encoder = (struct smtp_content_encoder){.state = ENCODER_LINE_START};
}

void smtp_content_encode(struct smtp_content_encoder *encoder, struct slice content, struct buffer *out)
{
    while (content.length > 0) {
        content = slice_from(content, encode_run(encoder, content, out));
        if (content.length > 0) {
            encode_byte(encoder, content.data[0], out);
            content = slice_from(content, 1);
        }
    }
}

void smtp_content_encode_end(struct smtp_content_encoder *encoder, struct buffer *out)
{
    if (encoder->state == ENCODER_CR) {
        buffer_add_byte(out, ' '); /* it was bare */
    }
    if (encoder->state != ENCODER_LINE_START) {
        buffer_add(out, SLICE("\r\n"));
    }
    if (!encoder->counted) {
        buffer_add(out, SLICE(".\r\n"));
    }
    encoder->state = ENCODER_LINE_START;
}

static size_t encode_run(struct smtp_content_encoder *encoder, struct slice content, struct buffer *out)
{
    bool eight_bit;
    size_t length = encoder->state == ENCODER_CR ? 0 : plain_length(content, &eight_bit);
    if (length == 0) {
        return 0;
    }
    if (encoder->state == ENCODER_LINE_START && content.data[0] == '.' && !encoder->counted) {
        buffer_add_byte(out, '.');
    }
    encoder->state = ENCODER_TEXT;
    buffer_add(out, slice_to(content, length));
    return length;
}

/* A byte that is CR, LF or NUL, or that follows a CR. */
static void encode_byte(struct smtp_content_encoder *encoder, char byte, struct buffer *out)
{
    if (encoder->state == ENCODER_CR && byte == '\n') {
        encoder->state = ENCODER_LINE_START;
        buffer_add(out, SLICE("\r\n"));
        return;
    }
    if (encoder->state == ENCODER_CR) {
        buffer_add_byte(out, ' ');
    }
    encoder->state = byte == '\r' ? ENCODER_CR : ENCODER_TEXT;
    if (byte != '\r') {
        buffer_add_byte(out, is_plain(byte) ? byte : ' ');
    }
}

void smtp_content_normalise(int *state, struct slice input, bool last, struct buffer *out)
{
    while (input.length > 0) {
        bool eight_bit;
        size_t length = *state == NORMALISER_CR ? 0 : plain_length(input, &eight_bit);
        if (length > 0) {
            *state = NORMALISER_TEXT;
            buffer_add(out, slice_to(input, length));
        } else {
            normalise_byte(state, input.data[0], out);
            length = 1;
        }
        input = slice_from(input, length);
    }
    if (last && *state == NORMALISER_CR) {
        buffer_add_byte(out, ' ');
    }
    if (last && *state != NORMALISER_LINE_START) {
        buffer_add(out, SLICE("\r\n"));
        *state = NORMALISER_LINE_START;
    }
}

/* A byte that is CR, LF or NUL, or that follows a CR. */
static void normalise_byte(int *state, char byte, struct buffer *out)
{
    if (byte == '\0') {
        return;
    }
    if (byte == '\n') {
        *state = NORMALISER_LINE_START;
        buffer_add(out, SLICE("\r\n"));
        return;
    }
    if (*state == NORMALISER_CR) {
        buffer_add_byte(out, ' ');
    }
    *state = byte == '\r' ? NORMALISER_CR : NORMALISER_TEXT;
    if (byte != '\r') {
        buffer_add_byte(out, byte);
    }
}

/* How many bytes at the front are neither CR, LF nor NUL, and whether one of them is over 0x7f. All mail passes here at
 * its coming and its going: eight bytes at a time. */
static size_t plain_length(struct slice bytes, bool *eight_bit)
{
    size_t length = 0;
    uint64_t seen = 0;
    for (; bytes.length - length >= sizeof seen; length += sizeof seen) {
        uint64_t word;
        memcpy(&word, bytes.data + length, sizeof word);
        if ((zeros_of(word) | zeros_of(word ^ EACH_BYTE('\r')) | zeros_of(word ^ EACH_BYTE('\n'))) != 0) {
            break;
        }
        seen |= word;
    }
    for (; length < bytes.length && is_plain(bytes.data[length]); length++) {
        seen |= (uint8_t)bytes.data[length];
    }
    *eight_bit = (seen & EACH_BYTE(0x80)) != 0;
    return length;
}

/* Not 0 if one of the eight bytes is 0. */
static uint64_t zeros_of(uint64_t word)
{
    return (word - EACH_BYTE(1)) & ~word & EACH_BYTE(0x80);
}
