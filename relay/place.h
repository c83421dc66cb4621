/* The places of deliveries: [delivery] connections-max. A delivery that waits for a policy has no connection, and whom it waits for is
 * for strangers to choose: so it lends its place to others meanwhile and claims one again when it goes on. So many that wait may do so;
 * those beyond keep their places. */
#ifndef RELAY_PLACE_H
#define RELAY_PLACE_H

#include "base/list.h"

struct schedule;

#define PLACES_LENT_MAX 1000

enum place_state {
    PLACE_HELD,
    PLACE_LENT,
    PLACE_WANTED, /* to be had back, when one is free */
};
struct place {
    struct list_node node; /* in the schedule, while it is wanted */
    enum place_state state;
};

/* False: too many are lent already, and the place is kept. */
bool place_lend(struct schedule *schedule, struct place *place);
/* True: it is held. False: delivery_has_place() follows, in another turn. */
bool place_claim(struct schedule *schedule, struct place *place);
void place_drop(struct schedule *schedule, struct place *place); /* its delivery ends */
/* The next one that waits for a place has it now; NULL: nobody does. */
struct place *place_give(struct schedule *schedule);

#endif
