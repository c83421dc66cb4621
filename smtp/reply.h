/* SMTP replies: RFC 5321 4.2 and RFC 2034 enhanced status codes. Parsed from a server's bytes by a machine that is fed,
 * printed for a client from a value. */
#ifndef SMTP_REPLY_H
#define SMTP_REPLY_H

#include "base/buffer.h"
#include "base/slice.h"

struct smtp_status { /* RFC 3463; {0,0,0}: none was given */
    uint8_t class;
    uint16_t subject, detail;
};
struct smtp_reply {
    unsigned code; /* 200..599 */
    struct smtp_status status;
    struct slice text; /* lines joined by "\n", without reply and status codes; else as the peer sent it: clean it before
                        * it is shown */
};

#define SMTP_REPLY_LINES_MAX 100
#define SMTP_REPLY_LINE_MAX 2048
#define SMTP_REPLY_TEXT_MAX 16384

enum smtp_reply_parse { SMTP_REPLY_MORE, SMTP_REPLY_DONE, SMTP_REPLY_MALFORMED };
struct smtp_reply_parser {
    struct buffer line, text;
    unsigned code, line_count;
    struct smtp_status status;
    bool malformed;
};
void smtp_reply_parser_init(struct smtp_reply_parser *parser);
void smtp_reply_parser_free(struct smtp_reply_parser *parser);
/* Takes bytes up to the end of one reply at most; *taken says how many. DONE: *reply is filled, its text a view that
 * lives until the next feed. MALFORMED (codes that differ, no code, over the limits, a bare CR or NUL) is final. A line
 * that ends in LF alone is accepted here: it can only shorten a reply. */
enum smtp_reply_parse smtp_reply_feed(struct smtp_reply_parser *parser, struct slice input, size_t *taken,
                                      struct smtp_reply *reply);

/* "250-first\r\n250 2.1.0 last\r\n": text cut at "\n" into lines, each made harmless (printable ASCII) and at most 512
 * bytes long. The enhanced status code precedes each line when status.class is not 0. */
void smtp_reply_print(struct buffer *out, const struct smtp_reply *reply);
/* A reply of a literal text: smtp_reply_make(550, 7, 1, "relaying denied") has status 5.7.1, its class being that of the
 * code; a 3xx reply has none. The text is not copied. */
struct smtp_reply smtp_reply_make(unsigned code, unsigned subject, unsigned detail, const char *text);
bool smtp_reply_is_positive(const struct smtp_reply *reply); /* 2xx */
bool smtp_reply_is_negative(const struct smtp_reply *reply); /* 4xx, 5xx */
struct slice smtp_status_print(struct smtp_status status, char out[16]); /* "5.7.1"; empty when none */
bool smtp_status_parse(struct slice *text, struct smtp_status *status);  /* takes "5.7.1 " from the front */

#endif
