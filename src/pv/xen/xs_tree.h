/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The store's tree: nodes by path, with permissions.  No locks, no watches, no wire.
 */
#ifndef WIRT_PV_XEN_XS_TREE_H
#define WIRT_PV_XEN_XS_TREE_H

#include "pv/xen/xenstore.h"

struct xs_node {
    struct xs_node *parent, *child, *next; /* next: in its parent's list, in order of making */
    char *value;
    u32 len;
    u8 nperms;
    struct xs_perm perm[XS_PERMS_MAX];
    char name[];
};

struct xs_tree {
    struct xs_node *root;
    u32 count;  /* nodes */
    u32 guests; /* of them, those that the guest owns */
};

enum { XS_GUEST_NODES_MAX = 1000 };

int xs_tree_init(struct xs_tree *t); /* -ENOMEM */
void xs_tree_free(struct xs_tree *t);
int xs_tree_copy(struct xs_tree *to, const struct xs_tree *from);

/* "/" or "/a/b": letters, digits, "-/_@"; no empty part. */
bool xs_path_ok(const char *path);

/* The node at an absolute path, or NULL. */
struct xs_node *xs_find(const struct xs_tree *t, const char *path);
/* May dom do this (XS_PERM_*)?  Domain 0 may all. */
bool xs_may(const struct xs_node *n, u16 dom, u8 perm);
/* The node at path, made with its missing parents if dom may; 0, -ENOMEM, -EACCES, -ENOSPC.
 * *made: the topmost new one, or NULL. */
int xs_make(struct xs_tree *t, const char *path, u16 dom, struct xs_node **n,
            struct xs_node **made);
int xs_set_value(struct xs_node *n, const void *v, u32 len); /* -ENOMEM */
/* With all below; not the root. */
void xs_remove(struct xs_tree *t, struct xs_node *n);
void xs_set_perms(struct xs_tree *t, struct xs_node *n, const struct xs_perm *p, unsigned np);
/* Its absolute path in buf of XS_PATH_MAX; false: too long. */
bool xs_path_of(const struct xs_node *n, char *buf);

#endif
