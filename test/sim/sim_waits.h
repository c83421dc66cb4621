/* Mail does not go on waiting for a policy that another has replaced: a while after the new one is on the disk nothing that was put off
 * for the sake of the old one is still to wait. Judged from what is on the disk, where neither the machine nor the clock came between. */
#ifndef TEST_SIM_SIM_WAITS_H
#define TEST_SIM_SIM_WAITS_H

#include "test/sim/sim_story.h"
#include "test/sim/world.h"

struct queue;

void sim_waits_start(void);
void sim_waits_end(void);
void sim_waits_watch(struct queue *queue); /* the relay has this one open; NULL: it is down */
void sim_waits_scene(enum scene_kind kind); /* something happens to the machine */
/* Another policy took the place of an enforced one on the disk. */
void sim_waits_replaced(const struct world_domain *domain);

#endif
