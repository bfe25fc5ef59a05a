/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "appliance/kept.h"

#include <stdlib.h>
#include <string.h>

struct kept {
    struct kept *next;
    char s[];
};

char *kept_add(struct kept **list, const char *s, size_t len)
{
    struct kept *n = malloc(sizeof(*n) + len + 1);

    if (!n)
        return NULL;
    memcpy(n->s, s, len);
    n->s[len] = 0;
    n->next = *list;
    *list = n;
    return n->s;
}

void kept_free(struct kept *list)
{
    while (list) {
        struct kept *next = list->next;
        free(list);
        list = next;
    }
}
