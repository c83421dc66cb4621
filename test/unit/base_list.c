#include "base/list.h"
#include "test/unit/check.h"

struct thing {
    int number;
    struct list_node node;
};

static void check_order(const struct list *list, const char *expected)
{
    char got[16];
    size_t length = 0;
    for (struct list_node *n = list_first(list); n != NULL; n = list_next(list, n))
        got[length++] = (char)('0' + LIST_OF(n, struct thing, node)->number);
    check_slice("order", slice_make(got, length), slice_of(expected));
    assert_int_equal(list->count, length);
}

static void test_order_and_removal(void **state)
{
    (void)state;
    struct thing a = {.number = 1}, b = {.number = 2}, c = {.number = 3};
    struct list list;
    list_init(&list);
    assert_true(list_is_empty(&list));
    assert_null(list_first(&list));
    assert_null(list_last(&list));
    assert_null(list_take_first(&list));
    assert_false(list_has(&a.node));

    list_add_last(&list, &b.node);
    list_add_last(&list, &c.node);
    list_add_first(&list, &a.node);
    check_order(&list, "123");
    assert_ptr_equal(list_last(&list), &c.node);
    assert_true(list_has(&b.node));

    list_remove(&list, &b.node);
    assert_false(list_has(&b.node));
    check_order(&list, "13");
    list_add_last(&list, &b.node);
    check_order(&list, "132");
    assert_ptr_equal(list_take_first(&list), &a.node);
    assert_false(list_has(&a.node));
    list_remove(&list, &b.node);
    list_remove(&list, &c.node);
    assert_true(list_is_empty(&list));
    check_order(&list, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order_and_removal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
