/* What MAIL and RCPT say, as values that the server hands out and the client sends: RFC 5321, 1870 (SIZE), 6152 (BODY),
 * 6531 (SMTPUTF8), 3461 (DSN), 8689 (REQUIRETLS). */
#ifndef SMTP_ENVELOPE_H
#define SMTP_ENVELOPE_H

#include "base/buffer.h"
#include "smtp/command.h"

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_ret { SMTP_RET_NONE, SMTP_RET_FULL, SMTP_RET_HDRS };
enum smtp_notify { SMTP_NOTIFY_DEFAULT = 0, SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };
/* What the transaction demands of the connection. REQUIRED makes a plaintext MAIL unreachable in the client. */
enum smtp_tls { SMTP_TLS_OPTIONAL, SMTP_TLS_REQUIRED };

struct smtp_mail {
    struct slice reverse_path; /* empty: the null reverse-path */
    uint64_t size;             /* bytes; 0: not said */
    enum smtp_body body;
    bool utf8;
    enum smtp_ret ret;
    struct slice envid; /* as written (xtext) */
    enum smtp_tls tls;  /* client only */
};
struct smtp_rcpt {
    struct slice address;
    unsigned notify;    /* set of enum smtp_notify */
    struct slice orcpt; /* as written: "rfc822;" and xtext */
};

/* From a parsed MAIL or RCPT command. Views into the command's line. Faults: PARAMETER for an unknown keyword (RFC 5321
 * 4.1.1.11: 555), PARAMETER_BAD for a value that is wrong or given twice. allowed: the set of extensions offered
 * (smtp/extension.h); a parameter of an extension that was not offered is unknown. */
enum smtp_command_fault smtp_mail_parse(const struct smtp_command *command, unsigned allowed, struct smtp_mail *mail);
enum smtp_command_fault smtp_rcpt_parse(const struct smtp_command *command, unsigned allowed, struct smtp_rcpt *rcpt);

/* xtext (RFC 3461 4): printable ASCII with "+XX" for other bytes. The decoder accepts only what decodes to printable ASCII
 * and blanks, so that nothing of it can add a line to a report; out may be NULL. False: not xtext. */
bool smtp_xtext_parse(struct slice text, struct buffer *out);
void smtp_xtext_print(struct buffer *out, struct slice bytes);

#endif
