/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The xenstore: a small tree of names and values that the guest and the back ends share, with
 * transactions, watches and permissions.  Xen: docs/misc/xenstore.txt and io/xs_wire.h.
 *
 * All functions take and drop the store's lock themselves unless they say otherwise.
 */
#ifndef WIRT_PV_XEN_XENSTORE_H
#define WIRT_PV_XEN_XENSTORE_H

#include "pv/xen/xen.h"

#include <stdio.h>

enum { XS_PATH_MAX = 1024, XS_VALUE_MAX = 2048, XS_PERMS_MAX = 8, XS_PAYLOAD_MAX = 4096 };
enum { XS_PERM_NONE = 0, XS_PERM_READ = 1, XS_PERM_WRITE = 2 };

struct xs_perm {
    u16 dom;
    u8 perm; /* of perm[0]: what everybody may who is not named; its dom owns the node */
};

struct xenstore;

int xenstore_open(struct xen *x, struct err *e);
/* The tree as toolstack and back ends make it before a guest starts is empty then. */
void xenstore_reset(struct xen *x, bool keep_nodes); /* the guest's connection: anew always */
void xenstore_close(struct xen *x);

void xenstore_lock(struct xenstore *s);
void xenstore_unlock(struct xenstore *s);

/* ---- for back ends, as domain 0, with the lock held ---- */

/* Printf-like values; the node and its parents are made if need be.  False: it does not fit. */
bool xs_write(struct xenstore *s, const char *path, const char *fmt, ...) printf_like(3, 4);
/* "n0,r1" and the like: a letter (n, r, w, b) and a domain each. */
void xs_perms(struct xenstore *s, const char *path, const char *perms);
void xs_rm(struct xenstore *s, const char *path);
/* The value as a string of at most size-1 bytes; false: no such node, or it is longer. */
bool xs_read(struct xenstore *s, const char *path, char *buf, size_t size);
/* A decimal number up to max; false: no such node, or it is something else. */
bool xs_read_number(struct xenstore *s, const char *path, u64 max, u64 *v);

/* Told, with the lock held, of each change at or below path. */
struct xs_watcher {
    const char *path;
    void (*changed)(void *opaque, const char *path);
    void *opaque;
    struct xs_watcher *next; /* the store's own */
};
void xs_watch(struct xenstore *s, struct xs_watcher *w);

/* The whole tree, "path = "value"" lines. */
void xs_dump(struct xenstore *s, FILE *f);

#endif
