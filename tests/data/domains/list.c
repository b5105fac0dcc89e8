#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct node {
    int          key;
    struct node *next;
};

static struct node *insert(struct node *head, int key)
{
    struct node *node = malloc(sizeof *node);
    if (node == NULL) return head;
    node->key  = key;
    node->next = head;
    return node;
}

static bool contains(const struct node *head, int key)
{
    for (const struct node *at = head; at != NULL; at = at->next)
        if (at->key == key) return true;
    return false;
}

static void release(struct node **head)
{
    while (*head != NULL) {
        struct node *next = (*head)->next;
        free(*head);
        *head = next;
    }
}

int main(int argc, char **argv)
{
    struct node *list = NULL;
    for (int i = 1; i < argc; i++) list = insert(list, (int)strtol(argv[i], NULL, 10));
    printf("%s\n", contains(list, 42) ? "found" : "not found");
    release(&list);
    return 0;
}
