/* Listeners of host.h: connections wait in a backlog until the owner accepts them. */
#ifndef TEST_SIM_SIM_LISTENER_H
#define TEST_SIM_SIM_LISTENER_H

#include "test/sim/sim_net.h"

void sim_listeners_start(void);
void sim_listeners_crash(void); /* the relay's close, and what waits there is turned away */
size_t sim_listeners_relay_count(void);
/* A connection to the link's second address; true: somebody listens there and has it in the backlog. */
bool sim_listener_offer(struct sim_link *link);

#endif
