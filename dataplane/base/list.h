/*
 * Intrusive doubly linked list.
 *
 *   head <-> node <-> node <-> head      an empty list's head points at itself
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *next;
	struct list *prev;
};

#define list_entry(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* clang-format off */
#define list_each(node, head) \
	for ((node) = (head)->next; (node) != (head); (node) = (node)->next)
/* clang-format on */
/* Safe against removal of the node at hand. */
#define list_each_safe(node, after, head)                                                          \
	for ((node) = (head)->next, (after) = (node)->next; (node) != (head);                      \
	     (node) = (after), (after) = (node)->next)

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_is_empty(const struct list *head)
{
	return head->next == head;
}

static inline void list_add_before(struct list *node, struct list *at)
{
	node->prev = at->prev;
	node->next = at;
	at->prev->next = node;
	at->prev = node;
}

/* To the end of the list. */
static inline void list_append(struct list *head, struct list *node)
{
	list_add_before(node, head);
}

static inline void list_prepend(struct list *head, struct list *node)
{
	list_add_before(node, head->next);
}

/* Leaves the node pointing at itself, so that a second removal is harmless. */
static inline void list_remove(struct list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	list_init(node);
}
