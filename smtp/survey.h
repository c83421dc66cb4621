/* The survey of a message: what of it some next hop cannot take as it is, noted part by part while the content streams
 * in, so that smtp/convert.h can rewrite it on its way out without having seen it whole. What was found is kept with
 * the message as its form. */
#ifndef SMTP_SURVEY_H
#define SMTP_SURVEY_H

#include "smtp/mime.h"

#define SMTP_FORM_PARTS 1024 /* all later parts share the notes of the last one */
#define SMTP_FORM_MAX (1 + SMTP_FORM_PARTS / 4)

/* What is known of each part, two bits. A leaf of which one is set is encoded as a whole. */
enum smtp_form_note {
    SMTP_FORM_LONG = 1,      /* lines of over SMTP_LINE_MAX bytes, in a leaf that is not encoded yet */
    SMTP_FORM_EIGHT_BIT = 2, /* bytes over 0x7f there, or what says that there may be: 8bit, binary */
};
enum smtp_form_charset { SMTP_FORM_US_ASCII, SMTP_FORM_UTF_8, SMTP_FORM_UNKNOWN };

struct smtp_survey {
    /* Facts of the whole. */
    bool has_long_lines, is_eight_bit;
    bool has_eight_bit_header; /* of any part: internationalised (RFC 6532), or raw */
    bool stays_eight_bit;      /* such bytes are where no encoding is allowed */
    uint64_t fixed_line_max; /* bytes of the longest line that no conversion shortens; 0: none is over SMTP_LINE_MAX */
    /* The machine's own. */
    struct smtp_mime mime;
    uint8_t form[SMTP_FORM_MAX];
    uint64_t line_length;
    uint32_t utf8_rest; /* bytes of a character that are still to come, and what the next may be */
    uint8_t utf8_low, utf8_high;
    bool is_undeclared; /* the message itself says nothing of its type */
    enum smtp_form_charset charset;
};
void smtp_survey_init(struct smtp_survey *survey);
void smtp_survey_feed(struct smtp_survey *survey, struct slice content);
void smtp_survey_finish(struct smtp_survey *survey);
/* To be kept with the message; a view into the survey. Empty: there is nothing to convert. */
struct slice smtp_survey_form(const struct smtp_survey *survey);

unsigned smtp_form_notes(struct slice form, unsigned part); /* set of enum smtp_form_note */
const char *smtp_form_charset(struct slice form);           /* of the text of a message that does not say it */
bool smtp_form_stays_eight_bit(struct slice form);

#endif
