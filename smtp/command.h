/* SMTP commands as values: one line in, a verb with its argument, path and parameters out. */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "base/slice.h"
#include <stdint.h>

#define SMTP_VERB_LIST(X)                                                                                              \
    X(EHLO) X(HELO) X(MAIL) X(RCPT) X(DATA) X(BDAT) X(RSET) X(NOOP) X(QUIT) X(VRFY) X(EXPN) X(HELP) X(ETRN) X(TURN)    \
    X(STARTTLS) X(AUTH)

enum smtp_verb {
    SMTP_UNKNOWN,
#define X(name) SMTP_##name,
    SMTP_VERB_LIST(X)
#undef X
};

#define SMTP_PARAMETER_MAX 16
struct smtp_parameter {
    struct slice keyword, value; /* value is empty when there is no "=" */
};

/* Why a line is no command that can be obeyed; each has its reply (smtp_command_fault_reply in the server). */
enum smtp_command_fault {
    SMTP_COMMAND_OK,
    SMTP_COMMAND_UNKNOWN,       /* 500 */
    SMTP_COMMAND_SYNTAX,        /* 501: an argument where none belongs, none where one does, a bad path */
    SMTP_COMMAND_BYTES,         /* 501: NUL, controls, or 8-bit bytes without SMTPUTF8 */
    SMTP_COMMAND_PARAMETER,     /* 555: a parameter we do not know, 501: one twice or with a bad value */
    SMTP_COMMAND_PARAMETER_BAD,
};

struct smtp_command {
    enum smtp_verb verb;
    struct slice argument; /* EHLO, HELO: the name; AUTH: mechanism and the rest; VRFY...: as written; of an unknown
                            * command the whole line */
    struct slice address;  /* MAIL, RCPT, as written; empty for <> */
    bool is_name;          /* it is one without a domain, which only some may use */
    struct smtp_parameter parameters[SMTP_PARAMETER_MAX];
    size_t parameter_count;
    bool utf8; /* MAIL ... SMTPUTF8 */
};

/* The line is without its CRLF; the verb is set whatever the fault. VRFY and EXPN may carry SMTPUTF8 too. All slices of the command are views into it. utf8: the transaction (or, for MAIL, its
 * own SMTPUTF8 parameter) allows RFC 6531 addresses. */
enum smtp_command_fault smtp_command_parse(struct slice line, bool utf8, struct smtp_command *command);
const char *smtp_verb_name(enum smtp_verb verb);

#endif
