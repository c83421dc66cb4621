/* A world of one attacker with hundreds of subdomains, and of a few victims whose own hosts are all well: what the crowd does
 * must neither hold up their mail nor cost them their policies. */
#ifndef TEST_SIM_WORLD_CROWD_H
#define TEST_SIM_WORLD_CROWD_H

#include "test/sim/sim_ledger.h"

void world_crowd_times(void);
void world_crowd_domains(void);
int64_t world_crowd_start_ms(size_t number); /* when the client comes with that message */
void world_crowd_compose(struct sim_message *message); /* its envelope */
/* Do the policy hosts of this domain say nothing? Their addresses are two for the whole crowd then. */
bool world_crowd_is_mute(const struct world_domain *domain);
struct ip world_crowd_mute_address(size_t index);
bool world_crowd_is_mute_address(const struct ip *ip);
/* Has a victim waited for mail that was promised then for longer than the crowd excuses? */
bool world_crowd_is_late(const struct sim_recipient *recipient, int64_t promised_ms);

#endif
