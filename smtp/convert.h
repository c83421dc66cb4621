/* The conversion of a message for those who cannot take it as it is (RFC 6152 3, RFC 5321 4.5.3.1.6): parts that the
 * survey has noted are encoded as quoted-printable, and their header sections say so. A machine that streams: content
 * in any pieces, bounded memory, and the same output for the same content and form at any time: a DKIM signature may
 * have been made over it. */
#ifndef SMTP_CONVERT_H
#define SMTP_CONVERT_H

#include "smtp/rewrite.h"
#include "smtp/survey.h"

enum smtp_convert_goal {
    SMTP_CONVERT_NOTHING,   /* content passes as it is */
    SMTP_CONVERT_LINES,     /* no line of over SMTP_LINE_MAX bytes, but for what must not be touched */
    SMTP_CONVERT_SEVEN_BIT, /* nor any byte over 0x7f */
};

struct smtp_convert {
    struct smtp_mime mime;
    struct slice form; /* views; must live as long */
    enum smtp_convert_goal goal;
    struct smtp_rewrite rewrite;
    smtp_rewrite_line *function;      /* for the body of the present part */
    smtp_rewrite_line *unfinished;    /* of a line that goes on; NULL: none */
    char encoding[SMTP_LINE_MAX + 2]; /* the encoding field of the present part, until it is known whether it stays */
    size_t encoding_length;
};
/* form: what smtp_survey_form() gave for this very content. */
void smtp_convert_init(struct smtp_convert *convert, enum smtp_convert_goal goal, struct slice form);
void smtp_convert_feed(struct smtp_convert *convert, struct slice content, struct buffer *out);
void smtp_convert_finish(struct smtp_convert *convert, struct buffer *out);

#endif
