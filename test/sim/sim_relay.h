/* The relay in the simulated world: its start, its orderly end, its death, and what is on its disk meanwhile. */
#ifndef TEST_SIM_SIM_RELAY_H
#define TEST_SIM_SIM_RELAY_H

#include "base/slice.h"
#include "test/sim/queue_memory.h"

#include <stdbool.h>
#include <stdint.h>

void sim_relay_begin(void); /* of a run: an empty disk */
void sim_relay_end(void);   /* after the relay's own end */
struct queue_memory_disk *sim_relay_disk(void);

bool sim_relay_is_up(void);
bool sim_relay_is_stopping(void);
void sim_relay_start(void);
void sim_relay_start_later(int64_t delay_ms);
void sim_relay_stop(void);   /* as by SIGTERM */
void sim_relay_crash(void);  /* as by SIGKILL: at once, whatever it was doing */
void sim_relay_reload(void); /* as by SIGHUP */
/* After an orderly end it shall be started again (that is what a supervisor does), or not. */
void sim_relay_keep_up(bool is_kept_up);

#endif
