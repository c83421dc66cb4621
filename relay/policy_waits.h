/* The waits that a policy causes. They are over when another policy takes the place of the one that caused them, however that became
 * known; and new mail for a domain that waits so has the policy looked at anew instead of joining the wait without a word. Nothing here
 * lets mail go: each attempt asks for the policy in force and obeys it. */
#ifndef RELAY_POLICY_WAITS_H
#define RELAY_POLICY_WAITS_H

#include "base/slice.h"
#include "relay/finder.h"
#include "relay/host.h"

struct relay;
struct destination;
struct sts_entry;
struct sts_lookup_result;

/* A destination's look at the policy for the sake of new mail: one at a time, and not again for a while. */
enum policy_look_state { POLICY_LOOK_NONE, POLICY_LOOK_ASKING, POLICY_LOOK_RESTING, POLICY_LOOK_WANTED };
struct policy_look {
    enum policy_look_state state;
    struct finder_request request;
    struct timer timer;
};

/* What was learned of a domain has been stored. before: the entry as it was; NULL: none, or nobody could read it. */
void policy_waits_learned(struct relay *relay, struct slice domain, const struct sts_entry *before,
                          const struct sts_lookup_result *result);
/* The administrator has changed what the domain's policy means. */
void policy_waits_end(struct relay *relay, struct slice domain);
/* New mail has come. */
void policy_waits_arrived(struct destination *destination);
/* The destination is about to be freed. */
void policy_waits_cancel(struct destination *destination);

#endif
