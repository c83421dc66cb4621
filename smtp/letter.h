/* A letter: a message as programs write it to the standard input of sendmail, made fit for the queue. Fed with what was read, in any
 * cut, it holds the message as CRLF lines: the "From " line of a mailbox file dropped, the header section apart from the body by
 * an empty line whether there was one or not, and without the fields that are nobody's business (Bcc, Resent-Bcc) or not the
 * sender's (Return-Path, Content-Length). On the way it gathers the recipients that the header names (sendmail -t).
 *
 *     smtp_letter_init(&letter, &options);
 *     smtp_letter_feed(&letter, input) ... until the end of the input, or smtp_letter_is_over()
 *     smtp_letter_finish(&letter);
 */
#ifndef SMTP_LETTER_H
#define SMTP_LETTER_H

#include "base/buffer.h"

#define SMTP_LETTER_RECIPIENTS_MAX (1u << 20) /* bytes */

struct smtp_letter_options {
    bool dot_ends;         /* a line of a dot alone ends the message */
    bool wants_recipients; /* of the header */
    size_t size_max;       /* bytes of the message; more are counted, not kept */
};
enum smtp_letter_fault {
    SMTP_LETTER_OK,
    SMTP_LETTER_TOO_BIG,
    SMTP_LETTER_ADDRESS, /* a field of recipients has what is no address; smtp_letter_wrong() has it */
    SMTP_LETTER_TOO_MANY, /* more recipients than SMTP_LETTER_RECIPIENTS_MAX */
};
struct smtp_letter_list { /* of recipients, and the first thing that is none */
    struct buffer addresses;  /* each ends in a newline */
    char wrong[128];
};
/* The members are the machine's. */
struct smtp_letter {
    struct smtp_letter_options options;
    int state, normaliser;
    bool is_too_big;
    struct buffer text;
    struct buffer held; /* the field that is being read, with the line that is being read */
    size_t line;        /* where that line begins: in `held`, or in the text when it is of the body */
    bool has_from;
    unsigned resent_seen; /* fields of the newest block of Resent- fields, a bit each */
    bool resent_is_over;
    bool is_resent; /* that block names recipients */
    struct smtp_letter_list lists[2]; /* of To and its like, of Resent-To and its like */
};
void smtp_letter_init(struct smtp_letter *letter, const struct smtp_letter_options *options);
void smtp_letter_free(struct smtp_letter *letter);
void smtp_letter_feed(struct smtp_letter *letter, struct slice input);
bool smtp_letter_is_over(const struct smtp_letter *letter); /* the lone dot was seen; what follows is passed over */
/* Completes the last line and the header section. ADDRESS and TOO_MANY only with wants_recipients. */
enum smtp_letter_fault smtp_letter_finish(struct smtp_letter *letter);
struct slice smtp_letter_wrong(const struct smtp_letter *letter); /* "To: Ann Other", cleaned */

/* After smtp_letter_finish(). */
struct slice smtp_letter_text(const struct smtp_letter *letter);
/* The recipients that the header names, a line each ("local@domain" or a bare "local"): of the newest block of Resent-To,
 * Resent-Cc and Resent-Bcc where there is one, else of To, Cc and Bcc (RFC 5322 3.6.6). */
struct slice smtp_letter_recipients(const struct smtp_letter *letter);
bool smtp_letter_has_from(const struct smtp_letter *letter);
/* Fields that a resent message must have and lacks (RFC 5322 3.6.6: Resent-From, Resent-Date; and Resent-Message-ID). */
struct smtp_letter_resent {
    bool lacks_from, lacks_date, lacks_id;
};
struct smtp_letter_resent smtp_letter_resent(const struct smtp_letter *letter);

#endif
