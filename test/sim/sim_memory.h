/* Whose code runs now, and the relay's memory. Every block that the relay allocates is known: a crash takes all of them
 * away at once, as the end of a process does, and after an orderly end none may be left. Blocks of the world (peers, disk,
 * network, the simulator itself) are nobody's business.
 *
 * The program is linked with --wrap for malloc() and its relatives, so that the engine needs no change for this. */
#ifndef TEST_SIM_SIM_MEMORY_H
#define TEST_SIM_SIM_MEMORY_H

#include <stddef.h>
#include <stdint.h>

enum sim_party { SIM_WORLD, SIM_RELAY };

/* Calls from one party into the other are bracketed: before = sim_party_enter(...); ...; sim_party_leave(before). */
enum sim_party sim_party_enter(enum sim_party party);
void sim_party_leave(enum sim_party before);

size_t sim_memory_used(void);  /* bytes the relay holds now */
size_t sim_memory_peak(void);  /* ... at most since the last reset */
void sim_memory_reset(void);   /* for a new run; the relay holds nothing */
void sim_memory_crash(void);   /* frees all that the relay holds */
/* From now on every n-th allocation of the relay fails; 0: none does. */
void sim_memory_starve(uint64_t nth);
uint64_t sim_memory_starved_count(void); /* allocations that failed since the last reset */

#endif
