/* The MIME structure of a message (RFC 2045, 2046, 5322), walked line by line while the content streams, in bounded
 * memory. It says of each line what it is: of a header section, the empty line behind that, of a body, or what stands
 * between parts. Together the lines are the content, byte for byte. Call it so:
 *
 *   while (smtp_mime_next(&mime, &input, &line)) ...        for all input, in any pieces
 *   while (smtp_mime_finish(&mime, &line)) ...              at the end of the content
 *
 * A delimiter must be a line of its own ("--", the boundary, blanks), as the common parsers have it; to take any line
 * that only begins so (RFC 2046 5.1.1) would mistake a boundary that begins with another one. */
#ifndef SMTP_MIME_H
#define SMTP_MIME_H

#include "base/slice.h"

#define SMTP_FIELD_NAME_MAX 900    /* of a header field: room is left for a fold behind it */
#define SMTP_LINE_MAX 998          /* bytes without CRLF, RFC 5321 4.5.3.1.6, RFC 5322 2.1.1 */
#define SMTP_MIME_DEPTH_MAX 16     /* multiparts inside each other; deeper ones are opaque */
#define SMTP_MIME_BOUNDARY_MAX 200 /* RFC 2046 allows 70 */

enum smtp_mime_encoding {
    SMTP_MIME_7BIT, /* also where nothing is said */
    SMTP_MIME_8BIT,
    SMTP_MIME_BINARY,
    SMTP_MIME_QUOTED_PRINTABLE,
    SMTP_MIME_BASE64,
    SMTP_MIME_OTHER,
};
/* What the body of a part is. OPAQUE: nothing in it may be changed: a signature covers it (multipart/signed, RFC
 * 1847 2.1), no encoding is allowed for it (RFC 2045 6.4), its encoding is not known, or its structure cannot be made
 * out. */
enum smtp_mime_nature { SMTP_MIME_LEAF, SMTP_MIME_MULTIPART, SMTP_MIME_MESSAGE, SMTP_MIME_OPAQUE };
enum smtp_mime_field { SMTP_MIME_FIELD_OTHER, SMTP_MIME_FIELD_TYPE, SMTP_MIME_FIELD_ENCODING, SMTP_MIME_FIELD_VERSION };

/* Of the header section that is being read, or of the body behind it. nature and encoding are known from its BLANK on.
 */
struct smtp_mime_part {
    unsigned number; /* in the order of the content: 0 is the message itself */
    enum smtp_mime_nature nature;
    enum smtp_mime_encoding encoding;
    bool has_type, has_encoding, has_version;
};

enum smtp_mime_kind {
    SMTP_MIME_FIELD, /* a line of a header section */
    SMTP_MIME_BLANK, /* the end of a header section; no bytes where the empty line is missing and the body begins all
                        the same */
    SMTP_MIME_BODY,  /* of a leaf or an opaque part */
    SMTP_MIME_FRAME, /* a delimiter, or text before and behind the parts of a multipart */
};
/* A line with its line end. One of over SMTP_LINE_MAX bytes comes in pieces, of which the first has SMTP_LINE_MAX + 2
 * bytes. */
struct smtp_mime_line {
    enum smtp_mime_kind kind;
    enum smtp_mime_field field; /* of FIELD: the same for all lines of a folded one */
    bool is_delimiter;          /* of FRAME */
    bool is_long;               /* of all pieces of such a line */
    bool starts, ends;
    struct slice bytes; /* valid until the next call */
};

struct smtp_mime_level {
    char boundary[SMTP_MIME_BOUNDARY_MAX];
    size_t length;
    bool is_digest; /* its parts are messages unless they say something else (RFC 2046 5.1.5) */
};
/* The members are the machine's; part may be read. */
struct smtp_mime {
    struct smtp_mime_part part;
    int state;
    struct smtp_mime_level levels[SMTP_MIME_DEPTH_MAX];
    size_t depth;
    struct smtp_mime_line line; /* the last one: a long line goes on as it began */
    char held[SMTP_LINE_MAX + 2];
    size_t held_length;
    char type[1024], encoding[128]; /* the values of these fields, as far as read */
    size_t type_length, encoding_length;
    bool is_message_by_default;
    bool is_repeated; /* the last field: of two with the same name the first counts */
};
void smtp_mime_init(struct smtp_mime *mime);
/* Takes the next line, or piece of a line, off the front of *input. False: all of it is taken; a piece may be held
 * back. */
bool smtp_mime_next(struct smtp_mime *mime, struct slice *input, struct smtp_mime_line *line);
bool smtp_mime_finish(struct smtp_mime *mime,
                      struct smtp_mime_line *line); /* what was held back; false: nothing more */

/* The value of a Content-Type field (RFC 2045 5.1). Views into the value, but boundary, whose quoted pairs are
 * resolved. */
struct smtp_mime_type {
    struct slice type, subtype;
    char boundary[SMTP_MIME_BOUNDARY_MAX];
    size_t boundary_length; /* 0: none, or one that is too long */
};
bool smtp_mime_type_parse(struct slice value, struct smtp_mime_type *type); /* false: there is no type/subtype */

#endif
