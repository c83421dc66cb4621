/* A delivery: one connection's worth of work for one destination. It takes an entry, finds policy, hosts and addresses, connects,
 * proves the host, hands over the message, records the outcome, and goes on with the next entry of the same destination over the
 * same connection. States: FINDING_POLICY (-> AWAITING_NAMES, AWAITING_PLACE) -> FINDING_HOSTS -> CHOOSING_HOST -> FINDING_ADDRESSES -> CONNECTING -> TALKING -> (IDLE) ->
 * FINISHED.
 * Callbacks turn what they hear into facts; what a fact means is decided in one place (relay/verdict.h, delivery_conclude). */
#ifndef RELAY_DELIVERY_H
#define RELAY_DELIVERY_H

#include "relay/destination.h"
#include "relay/place.h"

struct delivery;

/* Starts for the destination with the first entry it can take; false: there was none, or no memory. */
bool delivery_start(struct relay *relay, struct destination *destination);
/* New work for an idle delivery. */
void delivery_wake(struct delivery *delivery);
struct hop *delivery_hop(const struct delivery *delivery); /* where it has a place; NULL: nowhere */
bool delivery_is_idle(const struct delivery *delivery);
/* Others wait for its place: a host that has owed a word for half a minute is given up, unless it may have the message. */
void delivery_hurry(struct delivery *delivery);
/* The configuration has changed: a connection by a route that is another one now ends, and so does whatever has no place at the next
 * hop that its message goes by now; the message is taken anew. But not where the host may have it. */
void delivery_reload(struct delivery *delivery);
/* The relay stops: end now, except where the answer to a message that has left as a whole is outstanding. */
void delivery_stop(struct delivery *delivery);
void delivery_abort(struct delivery *delivery);
struct delivery *delivery_of(struct list_node *node);      /* from destination.deliveries */
struct delivery *delivery_of_idle(struct list_node *node); /* from schedule.idles */
struct delivery *delivery_of_place(struct place *place);
/* It lent its place while it waited for a policy, and has one again. */
void delivery_has_place(struct delivery *delivery);

#endif
