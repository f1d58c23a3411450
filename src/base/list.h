// SPDX-License-Identifier: MIT
// An intrusive doubly linked ring. The head is a node of its own; a node that is in no list points to itself.
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *prev, *next;
};

#define LIST_OWNER(node, type, member) ((type *)((char *)(node)-offsetof(type, member)))
#define LIST_EACH(head, node)          for (struct list *node = (head)->next; node != (head); node = node->next)
// Allows removing `node` inside the body.
#define LIST_EACH_SAFE(head, node, after)                                                                    \
    for (struct list *node = (head)->next, *after = node->next; node != (head);                              \
         node = after, after = node->next)

static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}

static inline bool list_is_empty(const struct list *head)
{
    return head->next == head;
}

static inline void list_insert_before(struct list *at, struct list *node)
{
    node->prev = at->prev;
    node->next = at;
    at->prev->next = node;
    at->prev = node;
}

static inline void list_push(struct list *head, struct list *node) // at the end
{
    list_insert_before(head, node);
}

static inline void list_remove(struct list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}
