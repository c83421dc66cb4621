/* The story of a run: what happens to the relay, its disk, its clock and the policies of others, when. */
#ifndef TEST_SIM_SIM_STORY_H
#define TEST_SIM_SIM_STORY_H

#include <stdbool.h>

/* Name, and how often in the world at large and in sieges. */
#define SIM_SCENE_LIST(X)                                                                                              \
    X(CRASH, 28, 40) X(STOP, 12, 20) X(RELOAD, 6, 6) X(CLOCK_FORWARD, 3, 0) X(CLOCK_BACK, 3, 2) X(POLICY, 22, 4)       \
    X(POLICY_GONE, 5, 0) X(COMMIT_FULL, 6, 4) X(COMMIT_IO, 5, 4) X(COMMIT_LOST, 5, 4) X(POLICY_WRONG, 16, 0)           \
    X(CLOCK_LEAP, 4, 6)
enum scene_kind {
#define X(name, weight, weight_in_siege) SCENE_##name,
    SIM_SCENE_LIST(X)
#undef X
    SIM_SCENE_KINDS
};

bool sim_story_makes(enum scene_kind kind); /* in a world like this one */
void sim_story_start(void); /* plans all of it */
void sim_story_end(void);

#endif
