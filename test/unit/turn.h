/* A host for tests of the engine's parts without a loop: time stands still until the test moves it, and timers, jobs
 * and lanes run only in the calls below, in the order of their time. Of host.h only these; the clocks and the dice too.
 */
#ifndef TEST_UNIT_TURN_H
#define TEST_UNIT_TURN_H

#include "relay/host.h"

#define TURN_START_MS INT64_C(1700000000000) /* of the wall clock */

void turn_start(void); /* a new world: nothing runs, the clocks are set back */
/* What can run now, also what that starts for now, until nothing is left. Ends the program when there is no end. */
void turn_settle(void);
/* The same while time passes, from one timer to the next. */
void turn_for(int64_t duration_ms);
void turn_step_wall(int64_t step_ms); /* somebody sets the wall clock */
void turn_hold_lanes(bool holds);     /* work on lanes waits from now on, or goes on */
size_t turn_running(void);            /* timers, jobs and lanes that are under way or open */
/* The next numbers of the dice, for those that must choose; 0: a fixed row of numbers again. */
void turn_load_dice(uint64_t number);

#endif
