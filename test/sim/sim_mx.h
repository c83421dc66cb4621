/* Mail hosts: the server machine of smtp/ with everything that mail hosts on the Internet do to a sender, and the attacker
 * who sits in their place. */
#ifndef TEST_SIM_SIM_MX_H
#define TEST_SIM_SIM_MX_H

#include "test/sim/sim_net.h"
#include "test/sim/world.h"

/* A connection to one of the host's addresses. */
enum sim_net_answer sim_mx_accept(struct sim_link *link, const struct world_host *host);

#endif
