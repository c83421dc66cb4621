/* An intrusive doubly linked list: put a struct list_node into the element, a struct list into the owner. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *next, *previous;
};
struct list {
    struct list_node head;
    size_t count;
};

/* The element that contains the node: LIST_OF(node, struct thing, node_member). */
#define LIST_OF(pointer, type, member) ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

void list_init(struct list *list);
bool list_is_empty(const struct list *list);
void list_add_last(struct list *list, struct list_node *node);
void list_add_first(struct list *list, struct list_node *node);
void list_remove(struct list *list, struct list_node *node); /* node is in this list; afterwards in none */
bool list_has(const struct list_node *node);                 /* is the (zeroed or removed) node in some list? */
struct list_node *list_first(const struct list *list);       /* NULL when empty */
struct list_node *list_last(const struct list *list);
struct list_node *list_next(const struct list *list, const struct list_node *node); /* NULL after the last */
struct list_node *list_take_first(struct list *list);                               /* removes; NULL when empty */

#endif
