/* Message content between the wire and the store: dot-stuffing and line discipline in one place, for both directions.
 * Inside, content is stored as lines that end in CRLF, without dot-stuffing. Only CRLF "." CRLF ends DATA (RFC 5321
 * 4.1.1.4, 4.5.2); a bare CR, bare LF or NUL marks the content as refused, and reading goes on to the true end. From those who are
 * trusted with it a bare CR or LF is made a CRLF instead, which the same rule keeps from ending anything. */
#ifndef SMTP_CONTENT_H
#define SMTP_CONTENT_H

#include "base/buffer.h"

enum smtp_content_fault {
    SMTP_CONTENT_OK,
    SMTP_CONTENT_BARE_CR,
    SMTP_CONTENT_BARE_LF,
    SMTP_CONTENT_NUL,
};
const char *smtp_content_fault_text(enum smtp_content_fault fault); /* "bare LF", ...; "" for OK */

struct smtp_content_decoder {
    int state;
    bool lenient; /* to be set after init: a bare LF or CR ends a line too, but never the content: a dot behind it is content */
    enum smtp_content_fault fault; /* the first one seen; sticky */
    uint64_t length;               /* bytes decoded, whether or not they were kept */
    size_t line_length, line_length_max; /* without the CRLF */
    bool eight_bit; /* a byte over 0x7f was seen */
};
void smtp_content_decoder_init(struct smtp_content_decoder *decoder);
/* Decodes input into out (which has room for input.length + 2 bytes, lenient for twice as many) until the end mark; *taken says how much was used.
 * True when the end mark was reached: the bytes behind it are not taken. out may be NULL: nothing is kept. When out has
 * no memory left, out has failed and nothing is taken. */
bool smtp_content_decode(struct smtp_content_decoder *decoder, struct slice input, struct buffer *out, size_t *taken);

struct smtp_content_encoder {
    int state;
    bool counted; /* for BDAT, whose length says where it ends: dots are not stuffed and there is no end mark */
};
void smtp_content_encoder_init(struct smtp_content_encoder *encoder);
/* Stuffs dots. The content must be CRLF lines; a bare CR or LF or a NUL in it (which the decoder never lets in) becomes a
 * blank, so that no stored byte can ever end DATA early. */
void smtp_content_encode(struct smtp_content_encoder *encoder, struct slice content, struct buffer *out);
/* The end mark, with the CRLF that an unfinished last line lacks. Counted: only that CRLF. */
void smtp_content_encode_end(struct smtp_content_encoder *encoder, struct buffer *out);

/* For content from a file or a pipe (sendmail): any of LF, CRLF becomes CRLF, a lone CR a blank, NUL is dropped. Streams:
 * state starts at 0; call with an empty slice and last = true at the end, which completes an unfinished line. */
void smtp_content_normalise(int *state, struct slice input, bool last, struct buffer *out);

#endif
