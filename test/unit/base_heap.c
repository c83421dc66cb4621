#include "base/heap.h"
#include "test/unit/check.h"

#define NODES 500

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return *seed >> 33;
}

static void test_order(void **state)
{
    (void)state;
    static struct heap_node nodes[NODES];
    struct heap heap;
    uint64_t seed = 1;
    heap_init(&heap);
    assert_null(heap_first(&heap));
    for (size_t i = 0; i < NODES; i++)
        assert_int_equal(heap_add(&heap, &nodes[i], (int64_t)(next_random(&seed) % 50) - 25), ERR_NONE);

    int64_t key = INT64_MIN;
    struct heap_node *previous = NULL;
    for (size_t left = NODES; left > 0; left--) {
        struct heap_node *first = heap_first(&heap);
        assert_true(first->key >= key);
        if (previous != NULL && first->key == key)
            assert_true(first > previous); /* added later */
        key = first->key;
        previous = first;
        heap_remove(&heap, first);
        assert_int_equal(first->index, 0);
        assert_int_equal(heap.count, left - 1);
    }
    assert_null(heap_first(&heap));
    heap_free(&heap);
}

static void check_shape(const struct heap *heap)
{
    for (size_t i = 1; i <= heap->count; i++) {
        assert_int_equal(heap->nodes[i]->index, i);
        assert_true(i == 1 || heap->nodes[i / 2]->key <= heap->nodes[i]->key);
    }
}

static void test_removal_from_anywhere(void **state)
{
    (void)state;
    static struct heap_node nodes[NODES];
    memset(nodes, 0, sizeof nodes);
    struct heap heap;
    uint64_t seed = 7;
    size_t count = 0;
    heap_init(&heap);
    for (size_t round = 0; round < 20000; round++) {
        struct heap_node *node = &nodes[next_random(&seed) % NODES];
        if (node->index == 0) {
            assert_int_equal(heap_add(&heap, node, (int64_t)(next_random(&seed) % 1000)), ERR_NONE);
            count++;
        } else {
            heap_remove(&heap, node);
            heap_remove(&heap, node); /* in no heap any more: left alone */
            count--;
        }
        assert_int_equal(heap.count, count);
        if (round % 100 == 0)
            check_shape(&heap);
    }
    check_shape(&heap);
    heap_free(&heap);
}

static void test_extreme_keys(void **state)
{
    (void)state;
    struct heap_node late = {0}, early = {0};
    struct heap heap;
    heap_init(&heap);
    assert_int_equal(heap_add(&heap, &late, INT64_MAX), ERR_NONE);
    assert_int_equal(heap_add(&heap, &early, INT64_MIN), ERR_NONE);
    assert_ptr_equal(heap_first(&heap), &early);
    heap_free(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_removal_from_anywhere),
        cmocka_unit_test(test_extreme_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
