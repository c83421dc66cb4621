/* The digest of double bounces: what failed without a sender who could be told goes to [bounce] postmaster in one message, at most once
 * an hour. What it will say is stored in the transaction that records the failure, so that no restart loses it. */
#ifndef RELAY_DIGEST_H
#define RELAY_DIGEST_H

#include "queue/queue.h"
#include "relay/digest_list.h"

struct relay;
struct digest;

#define DIGEST_ORIGIN "digest" /* of the digest's own message: when that fails it is only logged */

struct digest *digest_new(struct relay *relay); /* with what the queue has stored; NULL: out of memory */
void digest_free(struct digest **digest);       /* nothing of it may be on its way to the journal */
/* Adds what failed; *change stores it and must be part of the transaction that records the failure. Its bytes are the arena's.
 * False: out of memory. */
MUST_CHECK bool digest_add(struct digest *digest, const struct digest_item *item, struct arena *arena, struct queue_change *change);
void digest_wake(struct digest *digest); /* something was added and is stored, or the configuration is another one */
void digest_stop(struct digest *digest);

#endif
