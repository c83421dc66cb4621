#include "test/sim/sim_memory.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN ((size_t)4096)

/* An open hash table of the relay's blocks. */
struct slot {
    void *block;
    size_t size;
};
static struct {
    enum sim_party party;
    struct slot *slots;
    size_t slot_count, block_count; /* slot_count is a power of two */
    size_t used, peak;
    uint64_t starve_nth, starve_count, starved_count;
} memory;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void __wrap_free(void *block);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t limit);

static void remember(void *block, size_t size);
static bool forget(const void *block, size_t *size);
static struct slot *slot_of(const void *block);
static void grow(void);
static bool starves(void);

enum sim_party sim_party_enter(enum sim_party party)
{
    enum sim_party before = memory.party;
    memory.party = party;
    return before;
}

void sim_party_leave(enum sim_party before)
{
    memory.party = before;
}

size_t sim_memory_used(void)
{
    return memory.used;
}

size_t sim_memory_peak(void)
{
    return memory.peak;
}

void sim_memory_reset(void)
{
    assert(memory.block_count == 0);
    memory.peak = 0;
    memory.starve_nth = memory.starve_count = memory.starved_count = 0;
}

void sim_memory_crash(void)
{
    for (size_t i = 0; i < memory.slot_count; i++) {
        if (memory.slots[i].block != NULL)
            __real_free(memory.slots[i].block);
        memory.slots[i].block = NULL;
    }
    memory.block_count = memory.used = 0;
}

void sim_memory_starve(uint64_t nth)
{
    memory.starve_nth = nth;
    memory.starve_count = 0;
}

uint64_t sim_memory_starved_count(void)
{
    return memory.starved_count;
}

/* ---- what the linker puts in the place of malloc() ---- */

void *__wrap_malloc(size_t size)
{
    if (memory.party == SIM_WORLD)
        return __real_malloc(size);
    void *block = starves() ? NULL : __real_malloc(size);
    if (block != NULL)
        remember(block, size);
    return block;
}

void *__wrap_calloc(size_t count, size_t size)
{
    if (memory.party == SIM_WORLD)
        return __real_calloc(count, size);
    void *block = starves() ? NULL : __real_calloc(count, size);
    if (block != NULL)
        remember(block, count * size);
    return block;
}

/* Who made the block keeps it, whoever makes it larger. */
void *__wrap_realloc(void *block, size_t size)
{
    size_t before;
    if (block == NULL)
        return __wrap_malloc(size);
    if (!forget(block, &before))
        return __real_realloc(block, size);
    void *moved = starves() ? NULL : __real_realloc(block, size);
    if (moved == NULL)
        remember(block, before);
    else
        remember(moved, size);
    return moved;
}

void __wrap_free(void *block)
{
    size_t size;
    if (block != NULL)
        (void)forget(block, &size);
    __real_free(block);
}

char *__wrap_strdup(const char *text)
{
    return __wrap_strndup(text, strlen(text));
}

char *__wrap_strndup(const char *text, size_t limit)
{
    size_t length = strnlen(text, limit);
    char *copy = __wrap_malloc(length + 1);
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static bool starves(void)
{
    if (memory.starve_nth == 0 || ++memory.starve_count % memory.starve_nth != 0)
        return false;
    memory.starved_count++;
    return true;
}

/* ---- the table ---- */

static size_t first_place(const void *block)
{
    return (size_t)(((uint64_t)(uintptr_t)block >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (memory.slot_count - 1);
}

/* Where the block is, or the free place where it would be. */
static struct slot *slot_of(const void *block)
{
    size_t place = first_place(block);
    while (memory.slots[place].block != NULL && memory.slots[place].block != block)
        place = (place + 1) & (memory.slot_count - 1);
    return &memory.slots[place];
}

static void remember(void *block, size_t size)
{
    if (memory.block_count * 2 >= memory.slot_count)
        grow();
    *slot_of(block) = (struct slot){.block = block, .size = size};
    memory.block_count++;
    memory.used += size;
    memory.peak = memory.used > memory.peak ? memory.used : memory.peak;
}

static void grow(void)
{
    struct slot *before = memory.slots;
    size_t count = memory.slot_count;
    memory.slot_count = count == 0 ? SLOTS_MIN : count * 2;
    memory.slots = __real_calloc(memory.slot_count, sizeof *memory.slots);
    if (memory.slots == NULL)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (before[i].block != NULL)
            *slot_of(before[i].block) = before[i];
    }
    __real_free(before);
}

/* The blocks behind the gap that would no longer be found move into it. */
static void close_gap(size_t gap)
{
    size_t mask = memory.slot_count - 1;
    for (size_t place = (gap + 1) & mask; memory.slots[place].block != NULL; place = (place + 1) & mask) {
        size_t home = first_place(memory.slots[place].block);
        if (((place - home) & mask) < ((place - gap) & mask))
            continue;
        memory.slots[gap] = memory.slots[place];
        gap = place;
    }
    memory.slots[gap] = (struct slot){.block = NULL};
}

static bool forget(const void *block, size_t *size)
{
    if (memory.block_count == 0)
        return false;
    struct slot *slot = slot_of(block);
    if (slot->block == NULL)
        return false;
    *size = slot->size;
    memory.used -= slot->size;
    memory.block_count--;
    close_gap((size_t)(slot - memory.slots));
    return true;
}
