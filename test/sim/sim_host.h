/* The host's side of the simulator: timers, jobs and lanes of host.h, as events on one thread. A job's work and the telling
 * of its end are events of their own, so that a crash can come between them. */
#ifndef TEST_SIM_SIM_HOST_H
#define TEST_SIM_SIM_HOST_H

#include "relay/host.h"

void sim_host_start(void);
void sim_host_end(void);   /* drops what is left of anybody */
void sim_host_crash(void); /* drops what is the relay's */
size_t sim_host_count(void); /* timers, jobs and lanes of the relay */
/* Called after the work of a lane: the disk may have changed. */
void sim_host_watch_lanes(void (*worked)(void));
/* How long work on a lane takes from now on, at most. */
void sim_host_set_lane_delay(int64_t delay_max_ms);

#endif
