/* Delivery status notifications: RFC 3464 in an RFC 6522 multipart/report, honouring RFC 3461 (NOTIFY, RET, ENVID,
 * ORCPT) and RFC 3834 (Auto-Submitted). Written as content of CRLF lines, ready for the queue. */
#ifndef SMTP_DSN_H
#define SMTP_DSN_H

#include "base/buffer.h"
#include "smtp/envelope.h"
#include "smtp/reply.h"

enum smtp_dsn_action { SMTP_DSN_FAILED, SMTP_DSN_DELAYED, SMTP_DSN_DELIVERED, SMTP_DSN_RELAYED, SMTP_DSN_EXPANDED };

struct smtp_dsn_recipient {
    struct slice address;
    struct slice orcpt; /* as RCPT gave it; may be empty */
    enum smtp_dsn_action action;
    struct smtp_status status;
    struct slice remote_host; /* the MX host that said so; empty: we did */
    struct slice diagnostic;  /* its reply, or our reason */
    struct slice advice;      /* a sentence for the reader; may be empty */
    int64_t last_attempt_ms;  /* 0: none */
    int64_t retry_until_ms;   /* DELAYED */
};
struct smtp_dsn {
    struct slice hostname;     /* the reporting MTA */
    struct slice id;           /* queue id of the report: Message-ID and boundary come from it */
    struct slice reported_id;  /* queue id of the message */
    struct slice sender;       /* its reverse-path: the report's recipient; never empty */
    struct slice envid;        /* as MAIL gave it; may be empty */
    int64_t arrival_ms, date_ms;
    const struct smtp_dsn_recipient *recipients;
    size_t recipient_count;
    struct slice returned;     /* the message's header section, or the whole message (RET=FULL, within limits) */
    bool returned_full;        /* message/rfc822 instead of text/rfc822-headers, if all of it is 7-bit (or utf8) and has no
                                * line over 998 bytes: else its header section only */
    bool utf8;                 /* RFC 6533 types where an address needs them */
};
void smtp_dsn_print(struct buffer *out, const struct smtp_dsn *dsn);

#endif
