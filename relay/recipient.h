/* Recipients on their way into a draft, whoever hands the message in: an address of our own goes through the aliases first, and a
 * domain takes the form under which it is looked up and scheduled. */
#ifndef RELAY_RECIPIENT_H
#define RELAY_RECIPIENT_H

#include "relay/draft.h"
#include "relay/locals.h"
#include "smtp/reply.h"

enum recipient_result {
    RECIPIENT_ADDED,
    RECIPIENT_UNKNOWN,  /* of our own, with neither an alias nor [local] root */
    RECIPIENT_LOOP,     /* the aliases have no end */
    RECIPIENT_LIST,     /* an alias leads to more addresses than one may */
    RECIPIENT_INVALID,  /* no address that mail can be sent to */
    RECIPIENT_TOO_MANY, /* the draft takes no more */
    RECIPIENT_MEMORY,
};
/* given: its domain is not looked at. Nothing that the arena holds is needed afterwards. */
enum recipient_result recipient_add(const struct locals *locals, struct draft *draft, const struct draft_recipient *given,
                                    struct arena *arena);
struct smtp_reply recipient_reply(enum recipient_result result); /* of any but ADDED */

#endif
