/* The dice of the world. The engine's own (base/dice.h) come from the same seed but are thrown apart from these, so that
 * a change in the engine's use of them leaves the world's story as it is. */
#ifndef TEST_SIM_SIM_DICE_H
#define TEST_SIM_SIM_DICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void sim_dice_start(uint64_t seed);
uint64_t sim_dice_below(uint64_t bound);        /* 0 to bound - 1; bound > 0 */
int64_t sim_dice_between(int64_t low, int64_t high); /* both included */
bool sim_dice_percent(unsigned percent);        /* true that often */
/* An index, chosen by weights; the last weight is 0. */
size_t sim_dice_choose(const unsigned *weights);

#endif
