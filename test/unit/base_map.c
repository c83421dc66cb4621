#include "base/map.h"
#include "test/unit/check.h"

#define ITEMS 3000

struct item {
    struct map_node node;
    char key[16];
    bool visited;
};

static const uint64_t seed[2] = {1, 2};
static struct item items[ITEMS];

static void fill(struct map *map)
{
    map_init(map, seed);
    for (size_t i = 0; i < ITEMS; i++) {
        items[i].visited = false;
        snprintf(items[i].key, sizeof items[i].key, "key %zu", i);
        assert_int_equal(map_add(map, &items[i].node, slice_of(items[i].key)), ERR_NONE);
    }
    assert_int_equal(map->count, ITEMS);
}

static void test_adding_and_finding(void **state)
{
    (void)state;
    struct map map;
    map_init(&map, seed);
    assert_null(map_get(&map, SLICE("key 1")));
    assert_null(map_first(&map));
    map_free(&map);

    fill(&map);
    for (size_t i = 0; i < ITEMS; i++)
        assert_ptr_equal(map_get(&map, slice_of(items[i].key)), &items[i].node);
    assert_null(map_get(&map, SLICE("key")));
    assert_null(map_get(&map, SLICE_EMPTY));
    map_free(&map);
    assert_null(map_get(&map, SLICE("key 1")));
}

static void test_removing(void **state)
{
    (void)state;
    struct map map;
    fill(&map);
    for (size_t i = 0; i < ITEMS; i += 2)
        map_remove(&map, &items[i].node);
    for (size_t i = 0; i < ITEMS; i++)
        assert_true((map_get(&map, slice_of(items[i].key)) != NULL) == (i % 2 == 1));
    assert_int_equal(map_add(&map, &items[0].node, slice_of(items[0].key)), ERR_NONE);
    assert_ptr_equal(map_get(&map, SLICE("key 0")), &items[0].node);
    assert_int_equal(map.count, ITEMS / 2 + 1);
    map_free(&map);
}

static void test_visiting_while_removing(void **state)
{
    (void)state;
    struct map map;
    fill(&map);
    size_t visited = 0;
    for (struct map_node *node = map_first(&map), *next; node != NULL; node = next) {
        next = map_after(&map, node);
        struct item *item = (struct item *)(void *)node;
        assert_false(item->visited);
        item->visited = true;
        visited++;
        if (visited % 3 == 0)
            map_remove(&map, node);
    }
    assert_int_equal(visited, ITEMS);
    assert_int_equal(map.count, ITEMS - ITEMS / 3);
    map_free(&map);
}

static void test_keys_are_bytes(void **state)
{
    (void)state;
    struct map map;
    struct map_node a, b, c;
    map_init(&map, seed);
    assert_int_equal(map_add(&map, &a, SLICE("a\0b")), ERR_NONE);
    assert_int_equal(map_add(&map, &b, SLICE("a\0c")), ERR_NONE);
    assert_int_equal(map_add(&map, &c, SLICE_EMPTY), ERR_NONE);
    assert_ptr_equal(map_get(&map, SLICE("a\0b")), &a);
    assert_ptr_equal(map_get(&map, SLICE("a\0c")), &b);
    assert_ptr_equal(map_get(&map, SLICE("")), &c);
    assert_null(map_get(&map, SLICE("a")));
    assert_null(map_get(&map, SLICE("A\0b")));
    map_free(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adding_and_finding),
        cmocka_unit_test(test_removing),
        cmocka_unit_test(test_visiting_while_removing),
        cmocka_unit_test(test_keys_are_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
