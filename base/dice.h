/* Randomness. Declared here, defined by the host (the kernel's generator) and by the simulator (its seed). */
#ifndef BASE_DICE_H
#define BASE_DICE_H

#include <stddef.h>
#include <stdint.h>

uint64_t dice_u64(void);
uint64_t dice_below(uint64_t bound); /* uniform in [0, bound); bound > 0 */
void dice_fill(void *bytes, size_t length);

#endif
