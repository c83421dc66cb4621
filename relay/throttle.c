#include "relay/throttle.h"

#include "base/text.h"

#include <assert.h>
#include <stdlib.h>

#define WAYS 4 /* places that a key may have */
#define FIRST_WAIT_MS 1000

struct throttle_slot {
    uint64_t tag; /* of the key; 0: free */
    int64_t last_ms;
    uint32_t failures;
};

static struct throttle_slot *find(const struct throttle *throttle, struct slice key);
static struct throttle_slot *find_place(struct throttle *throttle, uint64_t tag);
static int64_t end_of(const struct throttle_slot *slot);

void throttle_init(struct throttle *throttle, const uint64_t seed[2])
{
    *throttle = (struct throttle){.seed = {seed[0], seed[1]}};
}

void throttle_free(struct throttle *throttle)
{
    free(throttle->slots);
    throttle->slots = NULL;
}

static uint64_t tag_of(const struct throttle *throttle, struct slice key)
{
    return text_siphash(throttle->seed, key) | 1;
}

static struct throttle_slot *set_of(const struct throttle *throttle, uint64_t tag)
{
    return &throttle->slots[(tag >> 1) % (THROTTLE_KEYS / WAYS) * WAYS];
}

int64_t throttle_wait_ms(const struct throttle *throttle, struct slice key, int64_t now_ms)
{
    const struct throttle_slot *slot = find(throttle, key);
    if (slot == NULL || now_ms - slot->last_ms >= THROTTLE_MEMORY_MS || end_of(slot) <= now_ms)
        return 0;
    return end_of(slot) - now_ms;
}

bool throttle_prepare(struct throttle *throttle)
{
    if (throttle->slots == NULL)
        throttle->slots = calloc(THROTTLE_KEYS, sizeof *throttle->slots);
    return throttle->slots != NULL;
}

void throttle_charge(struct throttle *throttle, struct slice key, int64_t now_ms)
{
    assert(throttle->slots != NULL);
    uint64_t tag = tag_of(throttle, key);
    struct throttle_slot *slot = find_place(throttle, tag);
    if (slot->tag != tag || now_ms - slot->last_ms >= THROTTLE_MEMORY_MS)
        *slot = (struct throttle_slot){.tag = tag};
    slot->last_ms = now_ms;
    slot->failures++;
}

static struct throttle_slot *find(const struct throttle *throttle, struct slice key)
{
    if (throttle->slots == NULL)
        return NULL;
    uint64_t tag = tag_of(throttle, key);
    struct throttle_slot *set = set_of(throttle, tag);
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].tag == tag)
            return &set[i];
    }
    return NULL;
}

/* Its own, or a free one, or that whose wait ends first. */
static struct throttle_slot *find_place(struct throttle *throttle, uint64_t tag)
{
    struct throttle_slot *set = set_of(throttle, tag), *best = set;
    for (size_t i = 0; i < WAYS; i++) {
        if (set[i].tag == tag)
            return &set[i];
        if (best->tag != 0 && (set[i].tag == 0 || end_of(&set[i]) < end_of(best)))
            best = &set[i];
    }
    return best;
}

static int64_t end_of(const struct throttle_slot *slot)
{
    if (slot->failures < THROTTLE_FREE)
        return slot->last_ms;
    uint32_t doublings = slot->failures - THROTTLE_FREE;
    int64_t wait_ms = doublings < 20 ? (int64_t)FIRST_WAIT_MS << doublings : THROTTLE_WAIT_MAX_MS;
    return slot->last_ms + (wait_ms < THROTTLE_WAIT_MAX_MS ? wait_ms : THROTTLE_WAIT_MAX_MS);
}
