/* Reports: bounces and delay notices as drafts (RFC 3464, 3461, 5321 6.1), to be stored in the same transaction as the outcome that
 * causes them. Never one for the null reverse-path; a failure of a report goes to the postmaster's digest. */
#ifndef RELAY_REPORT_H
#define RELAY_REPORT_H

#include "relay/draft.h"
#include "smtp/dsn.h"

struct report_recipient {
    const struct queue_recipient *recipient;
    enum smtp_dsn_action action;
    struct slice advice;
    int64_t last_attempt_ms;
};
struct report_request {
    const struct queue_message *message;
    const struct report_recipient *recipients;
    size_t recipient_count;
    int64_t retry_until_ms;
};
/* *report: a complete draft for message->sender, or NULL when none can be sent: the sender is null, or is local and unknown (logged).
 * ERR_MEMORY: there is one to be sent, and no memory for it; what it reports must not be recorded without it. */
MUST_CHECK enum err report_new(struct relay *relay, const struct report_request *request, struct draft **report);

/* Makes an address, or what the aliases say of it, the draft's recipients. ERR_SYNTAX: mail can be sent to none of them. ERR_MEMORY. */
MUST_CHECK enum err report_address(struct relay *relay, struct draft *draft, struct slice address);

#endif
