/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Nodes.  The tree is small (the guest may own XS_GUEST_NODES_MAX), so lists do.  Depth is bounded
 * by the length of a path.
 */
#include "pv/xen/xs_tree.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

bool xs_path_ok(const char *path)
{
    size_t n = strlen(path);

    if (!n || n >= XS_PATH_MAX || path[0] != '/')
        return false;
    if (n > 1 && path[n - 1] == '/')
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = path[i];
        if (!isalnum((unsigned char)c) && c != '-' && c != '/' && c != '_' && c != '@')
            return false;
        if (i && path[i] == '/' && path[i - 1] == '/')
            return false;
    }
    return true;
}

static struct xs_node *node_new(const char *name, size_t len)
{
    struct xs_node *n = calloc(1, sizeof(*n) + len + 1);

    if (n)
        memcpy(n->name, name, len);
    return n;
}

static void node_free(struct xs_node *n)
{
    free(n->value);
    free(n);
}

static bool guests(const struct xs_node *n)
{
    return n->perm[0].dom != XEN_DOMID_BACKEND;
}

int xs_tree_init(struct xs_tree *t)
{
    *t = (struct xs_tree){.root = node_new("", 0), .count = 1};
    if (!t->root)
        return -ENOMEM;
    t->root->nperms = 1;
    t->root->perm[0] = (struct xs_perm){XEN_DOMID_BACKEND, XS_PERM_READ};
    return 0;
}

/* The next node in a walk that visits children before their parent; first of all leaves. */
static struct xs_node *deepest(struct xs_node *n)
{
    while (n->child)
        n = n->child;
    return n;
}

static void free_below(struct xs_tree *t, struct xs_node *top)
{
    struct xs_node *n = deepest(top);

    for (;;) {
        struct xs_node *up = n->parent, *next = n->next;
        bool last = n == top;

        t->count--;
        t->guests -= guests(n);
        node_free(n);
        if (last)
            return;
        if (next)
            n = deepest(next);
        else
            n = up;
        /* the parent's children are gone once we come back to it */
    }
}

void xs_tree_free(struct xs_tree *t)
{
    if (t->root)
        free_below(t, t->root);
    t->root = NULL;
}

int xs_tree_copy(struct xs_tree *to, const struct xs_tree *from)
{
    const struct xs_node *f = from->root;
    struct xs_node *parent = NULL, **at = &to->root;

    *to = (struct xs_tree){0};
    for (;;) {
        struct xs_node *n = node_new(f->name, strlen(f->name));
        if (!n || xs_set_value(n, f->value, f->len)) {
            if (n)
                node_free(n);
            xs_tree_free(to);
            return -ENOMEM;
        }
        n->parent = parent;
        n->nperms = f->nperms;
        memcpy(n->perm, f->perm, sizeof(n->perm));
        *at = n;
        to->count++;
        to->guests += guests(n);
        if (f->child) {
            parent = n;
            at = &n->child;
            f = f->child;
            continue;
        }
        while (f != from->root && !f->next) {
            f = f->parent;
            n = n->parent;
        }
        if (f == from->root)
            return 0;
        f = f->next;
        parent = n->parent;
        at = &n->next;
    }
}

static struct xs_node *child(const struct xs_node *n, const char *name, size_t len)
{
    for (struct xs_node *c = n->child; c; c = c->next)
        if (!strncmp(c->name, name, len) && !c->name[len])
            return c;
    return NULL;
}

/* As far down as there are nodes; *rest: what is left of the path, without a slash in front. */
static struct xs_node *descend(const struct xs_tree *t, const char *path, const char **rest)
{
    struct xs_node *n = t->root;

    path += *path == '/';
    while (*path) {
        size_t len = strcspn(path, "/");
        struct xs_node *c = child(n, path, len);
        if (!c)
            break;
        n = c;
        path += len;
        path += *path == '/';
    }
    *rest = path;
    return n;
}

struct xs_node *xs_find(const struct xs_tree *t, const char *path)
{
    const char *rest;
    struct xs_node *n = descend(t, path, &rest);

    return *rest ? NULL : n;
}

bool xs_may(const struct xs_node *n, u16 dom, u8 perm)
{
    if (dom == XEN_DOMID_BACKEND || n->perm[0].dom == dom)
        return true;
    for (unsigned i = 1; i < n->nperms; i++)
        if (n->perm[i].dom == dom)
            return (n->perm[i].perm & perm) == perm;
    return (n->perm[0].perm & perm) == perm;
}

int xs_make(struct xs_tree *t, const char *path, u16 dom, struct xs_node **out,
            struct xs_node **made)
{
    const char *rest;
    struct xs_node *n = descend(t, path, &rest);

    *made = NULL;
    *out = n;
    if (!*rest)
        return xs_may(n, dom, XS_PERM_WRITE) ? 0 : -EACCES;
    if (!xs_may(n, dom, XS_PERM_WRITE))
        return -EACCES;
    while (*rest) {
        size_t len = strcspn(rest, "/");
        struct xs_node *c, **at = &n->child;

        if (dom != XEN_DOMID_BACKEND && t->guests >= XS_GUEST_NODES_MAX)
            return -ENOSPC;
        c = node_new(rest, len);
        if (!c)
            return -ENOMEM;
        while (*at)
            at = &(*at)->next;
        *at = c;
        c->parent = n;
        c->nperms = n->nperms;
        memcpy(c->perm, n->perm, sizeof(c->perm));
        if (dom != XEN_DOMID_BACKEND)
            c->perm[0].dom = dom;
        t->count++;
        t->guests += guests(c);
        if (!*made)
            *made = c;
        *out = n = c;
        rest += len;
        rest += *rest == '/';
    }
    return 0;
}

int xs_set_value(struct xs_node *n, const void *v, u32 len)
{
    char *copy = malloc(len + 1ull);

    if (!copy)
        return -ENOMEM;
    if (len)
        memcpy(copy, v, len);
    copy[len] = 0;
    free(n->value);
    n->value = copy;
    n->len = len;
    return 0;
}

void xs_remove(struct xs_tree *t, struct xs_node *n)
{
    struct xs_node **at = &n->parent->child;

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    n->next = NULL;
    free_below(t, n);
}

void xs_set_perms(struct xs_tree *t, struct xs_node *n, const struct xs_perm *p, unsigned np)
{
    t->guests -= guests(n);
    n->nperms = (u8)np;
    memcpy(n->perm, p, np * sizeof(*p));
    t->guests += guests(n);
}

bool xs_path_of(const struct xs_node *n, char *buf)
{
    char *p = buf + XS_PATH_MAX - 1;

    *p = 0;
    if (!n->parent) {
        strcpy(buf, "/");
        return true;
    }
    for (; n->parent; n = n->parent) {
        size_t len = strlen(n->name);
        if ((size_t)(p - buf) < len + 1)
            return false;
        p -= len;
        memcpy(p, n->name, len);
        *--p = '/';
    }
    memmove(buf, p, strlen(p) + 1);
    return true;
}
