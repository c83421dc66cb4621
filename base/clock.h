/* The two clocks. Declared here, defined by the host (the real ones) and by the simulator (its own). */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* milliseconds since 1970-01-01 UTC; may step */
int64_t clock_monotonic_ms(void); /* milliseconds since some start; never steps back */
int64_t clock_monotonic_us(void); /* the same in microseconds: to measure with */

#define CLOCK_BOOT_ID_SIZE 40
int64_t clock_boot_ms(void); /* milliseconds since the machine's boot, also those of a suspend; never steps */
void clock_boot_id(char id[CLOCK_BOOT_ID_SIZE]); /* another one after each boot; empty: unknown */

#endif
