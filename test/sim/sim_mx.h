/* Mail hosts: the server machine of smtp/ with everything that mail hosts on the Internet do to a sender, and the attacker
 * who sits in their place. */
#ifndef TEST_SIM_SIM_MX_H
#define TEST_SIM_SIM_MX_H

#include "test/sim/sim_net.h"
#include "test/sim/world.h"

/* What a host with a limit says to MAIL when a connection has carried that many: no reason to put mail off. */
#define SIM_MX_SPENT "too many messages on this connection"

/* A connection to one of the host's addresses. */
enum sim_net_answer sim_mx_accept(struct sim_link *link, const struct world_host *host);

#endif
