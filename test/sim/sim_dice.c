#include "test/sim/sim_dice.h"

#include "base/dice.h"

#include <assert.h>
#include <string.h>

static uint64_t world_state, engine_state;

/* splitmix64: every state gives another number, and any seed is a good one. */
static uint64_t next(uint64_t *state)
{
    uint64_t number = (*state += UINT64_C(0x9e3779b97f4a7c15));
    number = (number ^ (number >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ (number >> 27)) * UINT64_C(0x94d049bb133111eb);
    return number ^ (number >> 31);
}

/* The rest of a division is a little unfair; that matters to no story. */
static uint64_t below(uint64_t *state, uint64_t bound)
{
    assert(bound > 0);
    return next(state) % bound;
}

void sim_dice_start(uint64_t seed)
{
    world_state = seed * 2;
    (void)next(&world_state);
    engine_state = world_state ^ UINT64_C(0x5851f42d4c957f2d);
}

uint64_t sim_dice_below(uint64_t bound)
{
    return below(&world_state, bound);
}

int64_t sim_dice_between(int64_t low, int64_t high)
{
    assert(low <= high);
    return low + (int64_t)below(&world_state, (uint64_t)(high - low) + 1);
}

bool sim_dice_percent(unsigned percent)
{
    return below(&world_state, 100) < percent;
}

size_t sim_dice_choose(const unsigned *weights)
{
    uint64_t sum = 0;
    for (const unsigned *weight = weights; *weight > 0; weight++)
        sum += *weight;
    uint64_t left = below(&world_state, sum);
    size_t index = 0;
    while (left >= weights[index])
        left -= weights[index++];
    return index;
}

/* ---- the engine's ---- */

uint64_t dice_u64(void)
{
    return next(&engine_state);
}

uint64_t dice_below(uint64_t bound)
{
    return below(&engine_state, bound);
}

void dice_fill(void *bytes, size_t length)
{
    unsigned char *to = bytes;
    while (length > 0) {
        uint64_t number = next(&engine_state);
        size_t part = length < sizeof number ? length : sizeof number;
        memcpy(to, &number, part);
        to += part;
        length -= part;
    }
}
