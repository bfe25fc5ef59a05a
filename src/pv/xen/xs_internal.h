/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xenstore.c (the store) and xs_wire.c (the guest's connection to it) know of each other.  All
 * with the store's lock held.
 */
#ifndef WIRT_PV_XEN_XS_INTERNAL_H
#define WIRT_PV_XEN_XS_INTERNAL_H

#include "pv/xen/internal.h"
#include "pv/xen/xs_tree.h"

enum { XS_WATCHES_MAX = 128, XS_TX_MAX = 10, XS_TX_CHANGES = 256, XS_TOKEN_MAX = 256 };
enum { XS_OUT_SIZE = 64 << 10, XS_MESSAGE_MAX = 16 + XS_PAYLOAD_MAX };

struct xs_guest_watch {
    char *path; /* absolute; NULL = free */
    char *token;
    bool relative; /* was given, and is told, relative to the guest's home */
};

struct xs_tx {
    u32 id; /* 0 = free */
    u64 generation;
    struct xs_tree tree;
    unsigned nchanges;
    struct {
        char *path;
        bool removed;
    } change[XS_TX_CHANGES];
};

/* The guest's connection. */
struct xs_conn {
    u16 port;
    u8 in[XS_MESSAGE_MAX];
    u32 nin;
    u8 out[XS_OUT_SIZE]; /* a ring */
    u32 out_head, out_len;
    struct xs_guest_watch watch[XS_WATCHES_MAX];
    unsigned nwatches; /* in use */
    struct xs_tx tx[XS_TX_MAX];
    u32 next_tx;
};

struct xenstore {
    struct xen *x;
    pthread_mutex_t lock; /* before back ends' locks */
    struct xs_tree tree;
    u64 generation; /* counts changes of the tree */
    struct xs_watcher *watchers;
    struct xs_conn conn;
};

/* Something at path has changed (or, with all below it, gone): tells watchers and the guest. */
/* Does a watch on `watched` see this change? */
bool xs_concerns(const char *watched, const char *path, bool removed);
void xs_fire(struct xenstore *s, const char *path, bool removed);
/* The guest's own watches: queues events. */
void wire_fire(struct xenstore *s, const char *path, bool removed);
/* Puts what is queued into the guest's ring. */
void wire_flush(struct xenstore *s);
void wire_reset(struct xenstore *s);
void wire_free(struct xenstore *s);

/* "n0,r1" as the wire has it, one after the other with zeros between; 0 = malformed. */
unsigned xs_parse_perm(const char *s, struct xs_perm *p);

#endif
