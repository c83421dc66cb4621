/* Policy hosts: a policy over HTTPS, and what can go wrong with it. */
#ifndef TEST_SIM_SIM_HTTPS_H
#define TEST_SIM_SIM_HTTPS_H

#include "test/sim/sim_net.h"
#include "test/sim/world.h"

enum sim_net_answer sim_https_accept(struct sim_link *link, const struct world_domain *domain);

#endif
