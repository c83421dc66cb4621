/* The header section of a message on its way in: collected until it is whole, whatever the cuts, then repaired as a
 * submission server may (RFC 6409 8, RFC 5321 6.4). The fields that we put in front of it (Received) are given first.
 */
#ifndef SMTP_HEAD_H
#define SMTP_HEAD_H

#include "base/buffer.h"

#define SMTP_HEAD_MAX ((size_t)256 << 10) /* bytes; a longer section is given up */

struct smtp_head {
    struct buffer bytes; /* the section; behind its end a line that turned out to be of the body */
    size_t length;       /* of the section, its empty line included, once it is complete */
    size_t own_length;   /* of the fields in front that are ours */
    size_t line;         /* where the line begins that is being read */
    bool is_complete, is_too_long;
};
void smtp_head_init(struct smtp_head *head);
void smtp_head_free(struct smtp_head *head);
void smtp_head_add_own(struct smtp_head *head, struct slice fields); /* whole fields, before anything else */
/* Takes what may belong to the section and returns how much that was: less than all only when it has become complete.
 * Content whose header section is followed by no empty line, or that has none, is body from the first line on that is
 * no field. */
size_t smtp_head_feed(struct smtp_head *head, struct slice content);
void smtp_head_finish(struct smtp_head *head);                /* the content has ended */
struct slice smtp_head_section(const struct smtp_head *head); /* once complete: with its empty line, if there is one */
struct slice smtp_head_body(const struct smtp_head *head);    /* once complete: what was taken of the body */

/* What is missing is added, and addresses without a domain get ours. Texts are clean. */
struct smtp_head_repair {
    struct slice hostname;
    struct slice sender; /* reverse-path, for a missing From; MAILER-DAEMON where it is null */
    struct slice id;     /* queue id, for a missing Message-ID */
    int64_t date_ms;     /* for a missing Date */
};
/* Writes the section with an empty line at its end. Not for what is signed: each repair would break a signature. */
void smtp_head_repair(const struct smtp_head *head, const struct smtp_head_repair *repair, struct buffer *out);

/* The domain of the (first) author, in `out`; false: there is none. Of a section in memory. */
bool smtp_head_author_domain(struct slice section, struct buffer *out);

#endif
