/* Lines written anew so that they fit: at most SMTP_LINE_MAX bytes, and bytes up to 0x7f where that is wanted, while a
 * reader still decodes the same. Each function takes the lines that smtp_mime gives, a long one in pieces, and writes
 * whole lines. A bare CR, which content never has (smtp/content.h), is dropped. A line that the content leaves
 * unfinished must be finished with an empty piece that has `ends` set. */
#ifndef SMTP_REWRITE_H
#define SMTP_REWRITE_H

#include "base/buffer.h"
#include "smtp/mime.h"

/* Where the line that is being written stands; begins zeroed. */
struct smtp_rewrite {
    size_t column;
    char held[3]; /* bytes whose form depends on what follows */
    size_t held_length;
    bool after_break; /* nothing was written since a break of ours */
    char last;
};
typedef void smtp_rewrite_line(struct smtp_rewrite *rewrite, const struct smtp_mime_line *line, struct buffer *out);

/* Any line of text as quoted-printable (RFC 2045 6.7). Line ends stay line ends. */
smtp_rewrite_line smtp_rewrite_quote;
/* A line that should be quoted-printable, or base64, already: broken where it is too long, and without bytes over 0x7f
 * (encoded in the one, "*" in the other, whose readers pass over it). */
smtp_rewrite_line smtp_rewrite_quoted, smtp_rewrite_base64;
/* A header field's line, folded where it is too long (RFC 5322 2.2.3): at a blank; late, behind a comma or semicolon;
 * at last anywhere. */
smtp_rewrite_line smtp_rewrite_fold;
/* Text beside the parts of a multipart, which no reader shows: broken where it is too long; bytes over 0x7f become "*".
 */
smtp_rewrite_line smtp_rewrite_frame;
smtp_rewrite_line smtp_rewrite_nothing; /* as it is */

#endif
