/* How much memory the control group of this process allows. Beyond it the kernel kills, and says nothing to anybody, so what comes in is
 * bounded by it. */
#ifndef RELAY_SERVE_MEMORY_H
#define RELAY_SERVE_MEMORY_H

#include <stdint.h>

struct relay;

/* The least limit of the group and of those above it, in bytes; 0: there is none, or it cannot be read. groups: "/proc/self/cgroup"; root:
 * "/sys/fs/cgroup", where version 2 has memory.max, and version 1 memory/memory.limit_in_bytes. */
uint64_t serve_memory_limit(const char *groups, const char *root);
void serve_memory_apply(struct relay *relay); /* at the start; says so where there is a limit */

#endif
