/* An arena hands out memory that lives until the arena is freed, up to a limit. Whoever makes it frees it.
 * Allocation beyond the limit (or when the machine has none) gives NULL; nothing is aborted. Each piece counts as whole
 * units of the largest alignment (16 bytes on the usual machines). */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/slice.h"

struct arena;

struct arena *arena_new(size_t limit); /* limit in bytes handed out; NULL when out of memory */
void arena_free(struct arena **arena); /* accepts NULL inside; leaves NULL */
void arena_reset(struct arena *arena); /* frees all that was handed out, keeps the arena */
size_t arena_used(const struct arena *arena);

void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type */
void *arena_array(struct arena *arena, size_t count, size_t size); /* overflow checked */
bool arena_slice(struct arena *arena, struct slice from, struct slice *copy); /* copy is also NUL-terminated */
bool arena_print(struct arena *arena, struct slice *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
