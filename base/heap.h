/* An intrusive binary min-heap keyed by a signed 64-bit number (a time); ties leave in order of insertion. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    int64_t key;
    uint64_t order;
    size_t index; /* 0: in no heap */
};
struct heap {
    struct heap_node **nodes; /* nodes[1..count] */
    size_t count, capacity;
    uint64_t next_order;
};

void heap_init(struct heap *heap);
void heap_free(struct heap *heap); /* the array; the nodes are the owners' */
MUST_CHECK enum err heap_add(struct heap *heap, struct heap_node *node, int64_t key);
void heap_remove(struct heap *heap, struct heap_node *node); /* a node in no heap is left alone */
struct heap_node *heap_first(const struct heap *heap);       /* NULL when empty */

#endif
