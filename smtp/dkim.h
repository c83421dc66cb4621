/* DKIM signatures (RFC 6376) as text: what is to be hashed, and the field that carries the signature. rsa-sha256,
 * relaxed/relaxed. The hashing and signing are somebody else's (tls/digest.h, tls/sign.h). In this order:
 *
 *   1. smtp_dkim_body_feed() the body, in any pieces, and smtp_dkim_body_finish(): hash what comes out.
 *   2. smtp_dkim_header() with that hash: hash and sign what comes out.
 *   3. smtp_dkim_field() with the signature: put what comes out in front of the message. */
#ifndef SMTP_DKIM_H
#define SMTP_DKIM_H

#include "base/buffer.h"

/* The body in its relaxed form (RFC 6376 3.4.4): blanks at the ends of lines dropped, others made one, empty lines at
 * the end of the body dropped. Begins zeroed. */
struct smtp_dkim_body {
    uint64_t empty_lines; /* held back: they count only when something follows */
    bool has_blank, has_cr, in_line;
};
void smtp_dkim_body_feed(struct smtp_dkim_body *body, struct slice content, struct buffer *out);
void smtp_dkim_body_finish(struct smtp_dkim_body *body, struct buffer *out);

struct smtp_dkim_signature {
    struct slice domain, selector;
    struct slice body_hash; /* SHA-256, 32 bytes */
    int64_t time_ms;
};
/* Why no signature over this header section would protect what a reader sees; NULL: nothing is in the way. For a log line. */
const char *smtp_dkim_obstacle(struct slice section);
/* Whether the section carries a DKIM-Signature whose d= is this domain (an A-label form, without regard to case). */
bool smtp_dkim_is_signed_by(struct slice section, struct slice domain);

/* What the signature is made over: the header fields that matter, each as often as it is there, and the signature's own
 * field. A field that a reader expects once is named once more than it is there, so that nobody can put another on top
 * (RFC 6376 8.15). section: the header section of the message as it leaves, without an obstacle. */
void smtp_dkim_header(const struct smtp_dkim_signature *signature, struct slice section, struct buffer *out);
/* The DKIM-Signature field with its CRLF; value: the signature, bytes. */
void smtp_dkim_field(const struct smtp_dkim_signature *signature, struct slice section, struct slice value,
                     struct buffer *out);

/* A header field in its relaxed form (RFC 6376 3.4.2), without line end. */
void smtp_dkim_relax(struct slice name, struct slice body, struct buffer *out);

#endif
