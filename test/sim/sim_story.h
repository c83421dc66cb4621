/* The story of a run: what happens to the relay, its disk, its clock and the policies of others, when. */
#ifndef TEST_SIM_SIM_STORY_H
#define TEST_SIM_SIM_STORY_H

#include <stdbool.h>

void sim_story_start(void); /* plans all of it */
void sim_story_end(void);

#endif
