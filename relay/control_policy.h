/* What the commands on policies share. */
#ifndef RELAY_CONTROL_POLICY_H
#define RELAY_CONTROL_POLICY_H

#include "relay/control_internal.h"
#include "relay/finder.h"

/* The request's domain, canonical. False: the request was answered with the fault. */
bool control_policy_domain(struct control_session *session, struct slice *domain);
/* The cache's entry, in the scratch arena. ERR_NOT_FOUND, ERR_CORRUPT, ... */
MUST_CHECK enum err control_policy_get(struct control_session *session, struct slice domain, struct sts_entry *entry);

#endif
