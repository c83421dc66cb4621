#include "base/heap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

#define HEAP_CAPACITY_MIN ((size_t)16)

static bool is_before(const struct heap_node *a, const struct heap_node *b);
static void place(struct heap *heap, struct heap_node *node, size_t index);
static void sift_up(struct heap *heap, struct heap_node *node, size_t index);
static void sift_down(struct heap *heap, struct heap_node *node, size_t index);
static enum err grow(struct heap *heap);

void heap_init(struct heap *heap)
{
    *heap = (struct heap){0};
}

void heap_free(struct heap *heap)
{
    free(heap->nodes);
    heap_init(heap);
}

enum err heap_add(struct heap *heap, struct heap_node *node, int64_t key)
{
    assert(node->index == 0);
    if (heap->count + 1 >= heap->capacity) {
        enum err err = grow(heap);
        if (err != ERR_NONE) {
            return err;
        }
    }
    node->key = key;
    node->order = heap->next_order++;
    heap->count++;
    sift_up(heap, node, heap->count);
    return ERR_NONE;
}

void heap_remove(struct heap *heap, struct heap_node *node)
{
    size_t index = node->index;
    if (index == 0) {
        return;
    }
    assert(index <= heap->count);
    assert(heap->nodes[index] == node);
    node->index = 0;
    struct heap_node *moved = heap->nodes[heap->count--];
    if (moved == node) {
        return;
    }
    if (index > 1 && is_before(moved, heap->nodes[index / 2])) {
        sift_up(heap, moved, index);
    } else {
        sift_down(heap, moved, index);
    }
}

struct heap_node *heap_first(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->nodes[1];
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    return a->key != b->key ? a->key < b->key : a->order < b->order;
}

static void place(struct heap *heap, struct heap_node *node, size_t index)
{
    heap->nodes[index] = node;
    node->index = index;
}

static void sift_up(struct heap *heap, struct heap_node *node, size_t index)
{
    while (index > 1 && is_before(node, heap->nodes[index / 2])) {
        place(heap, heap->nodes[index / 2], index);
        index /= 2;
    }
    place(heap, node, index);
}

static void sift_down(struct heap *heap, struct heap_node *node, size_t index)
{
    while (index <= heap->count / 2) {
        size_t child = index * 2;
        if (child < heap->count && is_before(heap->nodes[child + 1], heap->nodes[child])) {
            child++;
        }
        if (!is_before(heap->nodes[child], node)) {
            break;
        }
        place(heap, heap->nodes[child], index);
        index = child;
    }
    place(heap, node, index);
}

static enum err grow(struct heap *heap)
{
    size_t capacity = heap->capacity == 0 ? HEAP_CAPACITY_MIN : heap->capacity * 2;
    struct heap_node **nodes = reallocarray(heap->nodes, capacity, sizeof(struct heap_node *));
    if (nodes == NULL) {
        return ERR_MEMORY;
    }
    heap->nodes = nodes;
    heap->capacity = capacity;
    return ERR_NONE;
}
