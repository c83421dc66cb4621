/* Mailboxes as people write them: the address lists of From, To and Cc (RFC 5322 3.4, with the obsolete forms of 4.4), and of
 * sendmail's command line: "Ann <ann@a.example>, bob (the builder), team: c@c.example, d@d.example;". The parser takes one
 * mailbox at a time and says where its address stands, so that a header field can be mended in place. */
#ifndef SMTP_MAILBOX_H
#define SMTP_MAILBOX_H

#include "base/buffer.h"

struct smtp_mailbox_list {
    struct slice rest;
    bool in_group; /* between "name:" and ";" */
};
struct smtp_mailbox_list smtp_mailbox_list_of(struct slice text); /* of a field's body, folding and all */

enum smtp_mailbox_kind {
    SMTP_MAILBOX_END,
    SMTP_MAILBOX_ADDRESS,
    SMTP_MAILBOX_FAULT, /* no mailbox: `element` is skipped, the list goes on behind it */
};
struct smtp_mailbox {
    struct slice element; /* all of it without the separators around: display name, brackets, comments */
    struct slice span;    /* from the first to the last byte of its address; comments may stand in between */
    bool is_bare;         /* the address has no domain */
};
/* The next mailbox; separators without one (",,", empty groups) are passed over. The address is written into `address`, which is
 * cleared first: "local@domain" or a bare "local", without comments and blanks, source routes dropped; its parts are valid (RFC
 * 5321 4.1.2, UTF-8 allowed), by smtp_address_repair() where they were not. Views are into the list's text. FAULT also for "<>" and where `address` had no room. */
enum smtp_mailbox_kind smtp_mailbox_next(struct smtp_mailbox_list *list, struct smtp_mailbox *mailbox, struct buffer *address);

#endif
