/* SPDX-License-Identifier: Apache-2.0
 *
 * A doubly linked list whose links live inside the listed objects. A node is in at
 * most one list; a node that is in none points to itself.
 */
#ifndef GATEPOST_BASE_LIST_H
#define GATEPOST_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list_node {
    struct list_node *prev;
    struct list_node *next;
};

struct list {
    struct list_node head;
    size_t count;
};

static inline void list_init(struct list *list)
{
    list->head.prev = list->head.next = &list->head;
    list->count = 0;
}

static inline void list_node_init(struct list_node *node) { node->prev = node->next = node; }

static inline bool list_is_empty(const struct list *list) { return list->head.next == &list->head; }

static inline bool list_has(const struct list_node *node) { return node->next && node->next != node; }

static inline void list_insert_before(struct list *list, struct list_node *at, struct list_node *node)
{
    node->next = at;
    node->prev = at->prev;
    at->prev->next = node;
    at->prev = node;
    list->count++;
}

static inline void list_push_back(struct list *list, struct list_node *node)
{
    list_insert_before(list, &list->head, node);
}

static inline void list_push_front(struct list *list, struct list_node *node)
{
    list_insert_before(list, list->head.next, node);
}

static inline void list_remove(struct list *list, struct list_node *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_node_init(node);
    list->count--;
}

static inline struct list_node *list_first(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.next;
}

static inline struct list_node *list_last(const struct list *list)
{
    return list_is_empty(list) ? NULL : list->head.prev;
}

/* NULL at the end. */
static inline struct list_node *list_next(const struct list *list, const struct list_node *node)
{
    return node->next == &list->head ? NULL : node->next;
}

static inline struct list_node *list_take_first(struct list *list)
{
    struct list_node *node = list_first(list);

    if (node)
        list_remove(list, node);
    return node;
}

/* Moves all of `from` behind the end of `to`; `from` is empty after. */
static inline void list_splice(struct list *to, struct list *from)
{
    if (list_is_empty(from))
        return;
    from->head.next->prev = to->head.prev;
    to->head.prev->next = from->head.next;
    from->head.prev->next = &to->head;
    to->head.prev = from->head.prev;
    to->count += from->count;
    list_init(from);
}

#endif
