#include "base/arena.h"

#include <assert.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Under AddressSanitizer every allocation gets a chunk of its own, so that one byte beyond it is seen. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_CHUNK_MIN ((size_t)0)
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define ARENA_CHUNK_MIN ((size_t)0)
#endif
#ifndef ARENA_CHUNK_MIN
#define ARENA_CHUNK_MIN ((size_t)1024)
#endif
#define ARENA_CHUNK_MAX ((size_t)65536)

#define ARENA_UNIT alignof(max_align_t)

struct chunk {
    struct chunk *previous;
    size_t size, used;
    alignas(max_align_t) char bytes[];
};

struct arena {
    size_t limit, used;
    size_t chunk_size; /* of the next chunk; doubles, so that a small arena stays small */
    struct chunk *last;
};

static struct chunk *chunk_new(struct arena *arena, size_t size);
static void *chunk_take(struct chunk *chunk, size_t size);
static size_t counted_size(size_t size);

struct arena *arena_new(size_t limit)
{
    struct arena *arena = calloc(1, sizeof *arena);
    if (arena == NULL) {
        return NULL;
    }
    arena->limit = limit;
    arena->chunk_size = ARENA_CHUNK_MIN;
    return arena;
}

void arena_free(struct arena **arena)
{
    if (*arena == NULL) {
        return;
    }
    arena_reset(*arena);
    free(*arena);
    *arena = NULL;
}

void arena_reset(struct arena *arena)
{
    while (arena->last != NULL) {
        struct chunk *chunk = arena->last;
        arena->last = chunk->previous;
        free(chunk);
    }
    arena->used = 0;
    arena->chunk_size = ARENA_CHUNK_MIN;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size_t counted = counted_size(size);
    if (counted < size || counted > arena->limit - arena->used) {
        return NULL;
    }
    struct chunk *chunk = arena->last;
    if (chunk == NULL || chunk->size - chunk->used < counted) {
        chunk = chunk_new(arena, ARENA_CHUNK_MIN == 0 ? size : counted);
    }
    if (chunk == NULL) {
        return NULL;
    }
    arena->used += counted;
    return chunk_take(chunk, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total)) {
        return NULL;
    }
    return arena_alloc(arena, total);
}

bool arena_slice(struct arena *arena, struct slice from, struct slice *copy)
{
    char *bytes = from.length == SIZE_MAX ? NULL : arena_alloc(arena, from.length + 1);
    if (bytes == NULL) {
        return false;
    }
    if (from.length > 0) {
        memcpy(bytes, from.data, from.length);
    }
    *copy = slice_make(bytes, from.length);
    return true;
}

bool arena_print(struct arena *arena, struct slice *text, const char *format, ...)
{
    va_list measured, printed;
    va_start(measured, format);
    va_copy(printed, measured);
    int length = vsnprintf(NULL, 0, format, measured);
    va_end(measured);
    assert(length >= 0);

    char *bytes = arena_alloc(arena, (size_t)length + 1);
    if (bytes != NULL) {
        vsnprintf(bytes, (size_t)length + 1, format, printed);
        *text = slice_make(bytes, (size_t)length);
    }
    va_end(printed);
    return bytes != NULL;
}

static struct chunk *chunk_new(struct arena *arena, size_t size)
{
    size_t capacity = arena->chunk_size > size ? arena->chunk_size : size;
    struct chunk *chunk = capacity > SIZE_MAX - sizeof *chunk ? NULL : malloc(sizeof *chunk + capacity);
    if (chunk == NULL) {
        return NULL;
    }
    *chunk = (struct chunk){.previous = arena->last, .size = capacity};
    arena->last = chunk;
    if (arena->chunk_size < ARENA_CHUNK_MAX) {
        arena->chunk_size *= 2;
    }
    return chunk;
}

static void *chunk_take(struct chunk *chunk, size_t size)
{
    void *taken = chunk->bytes + chunk->used;
    size_t left = chunk->size - chunk->used;
    size_t counted = counted_size(size);
    chunk->used += counted < left ? counted : left;
    memset(taken, 0, size);
    return taken;
}

/* Whole units, so that the next piece is aligned, and at least one, so that every piece costs; 0 when it wraps. */
static size_t counted_size(size_t size)
{
    size_t units = size / ARENA_UNIT + (size % ARENA_UNIT != 0 || size == 0);
    return units > SIZE_MAX / ARENA_UNIT ? 0 : units * ARENA_UNIT;
}
