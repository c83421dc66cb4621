/* A submission: what a program of this machine hands over with a message. As one JSON line it is the request on the submit socket and
 * the head of a file in the drop directory; the text of the message follows, `size` bytes of it. */
#ifndef RELAY_SUBMISSION_H
#define RELAY_SUBMISSION_H

#include "base/arena.h"
#include "base/err.h"
#include "base/json.h"

#define SUBMISSION_COMMAND "submit"
#define SUBMISSION_VERSION 1
#define SUBMISSION_LINE_MAX (512u << 10) /* bytes of the line with its newline */
#define SUBMISSION_FAULT_MAX 160

struct submission_recipient {
    struct slice address;
    struct slice orcpt; /* as in RCPT (RFC 3461); empty: none */
    unsigned notify;    /* set of enum smtp_notify */
};
/* Addresses without a domain are completed by the relay. */
struct submission {
    struct slice sender; /* empty: the null reverse-path */
    struct slice envid;  /* as in MAIL */
    uint8_t ret;         /* enum smtp_ret */
    bool utf8;           /* SMTPUTF8 is wanted */
    uint64_t size;       /* bytes of the text */
    struct slice name;   /* under which its sender leaves it in the drop directory if he hears no answer; empty: he does not */
    struct submission_recipient *recipients;
    size_t recipient_count;
};

/* What its line may have in it: five values and names for each recipient. */
struct json_bounds submission_bounds(size_t recipient_count_max);
struct json *submission_request(const struct submission *submission);
/* The same as the line with its newline. A buffer that failed: it would be longer than SUBMISSION_LINE_MAX, or memory ran out. */
void submission_print(const struct submission *submission, struct buffer *out);
/* From the parsed line. Views into the request; the recipients in the arena. Everything in it was checked: addresses are valid,
 * parameters too. ERR_SYNTAX, with a sentence; ERR_UNSUPPORTED: made by a newer version; ERR_MEMORY. */
MUST_CHECK enum err submission_parse(const struct json *request, struct arena *arena, struct submission *submission,
                                     char fault[SUBMISSION_FAULT_MAX]);

#endif
