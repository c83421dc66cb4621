#include "base/list.h"

#include <assert.h>

static void insert_after(struct list *list, struct list_node *place, struct list_node *node);

void list_init(struct list *list)
{
    list->head.next = list->head.previous = &list->head;
    list->count = 0;
}

bool list_is_empty(const struct list *list)
{
    return list->count == 0;
}

void list_add_last(struct list *list, struct list_node *node)
{
    insert_after(list, list->head.previous, node);
}

void list_add_first(struct list *list, struct list_node *node)
{
    insert_after(list, &list->head, node);
}

void list_remove(struct list *list, struct list_node *node)
{
    assert(list_has(node));
    assert(list->count > 0);
    node->previous->next = node->next;
    node->next->previous = node->previous;
    node->next = node->previous = NULL;
    list->count--;
}

bool list_has(const struct list_node *node)
{
    return node->next != NULL;
}

struct list_node *list_first(const struct list *list)
{
    return list->count == 0 ? NULL : list->head.next;
}

struct list_node *list_last(const struct list *list)
{
    return list->count == 0 ? NULL : list->head.previous;
}

struct list_node *list_next(const struct list *list, const struct list_node *node)
{
    assert(list_has(node));
    return node->next == &list->head ? NULL : node->next;
}

struct list_node *list_take_first(struct list *list)
{
    struct list_node *node = list_first(list);
    if (node != NULL) {
        list_remove(list, node);
    }
    return node;
}

static void insert_after(struct list *list, struct list_node *place, struct list_node *node)
{
    assert(!list_has(node));
    node->previous = place;
    node->next = place->next;
    place->next->previous = node;
    place->next = node;
    list->count++;
}
