/* The resolver of the simulated world: answers from world.h, after a while, with what goes wrong at the moment. */
#ifndef TEST_SIM_SIM_DNS_H
#define TEST_SIM_SIM_DNS_H

#include "relay/host.h"
#include "test/sim/world.h"

struct sim_dns_watch {
    void (*asked)(struct slice name);                           /* a query was made */
    void (*denied)(const struct world_domain *domain);          /* it was said that the domain takes no mail */
};
void sim_dns_start(const struct sim_dns_watch *watch);
void sim_dns_end(void);
void sim_dns_crash(void); /* drops the relay's queries */
size_t sim_dns_count(void); /* of the relay, under way */

#endif
