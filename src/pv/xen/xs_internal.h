/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What xenstore.c (the store) and the guest's connection to it know of each other: xs_wire.c (the
 * ring), xs_request.c, xs_watch.c (watches, transactions).  All with the store's lock held.
 */
#ifndef WIRT_PV_XEN_XS_INTERNAL_H
#define WIRT_PV_XEN_XS_INTERNAL_H

#include "pv/xen/internal.h"
#include "pv/xen/xs_tree.h"

enum { XS_WATCHES_MAX = 128, XS_TX_MAX = 10, XS_TX_CHANGES = 256, XS_TOKEN_MAX = 256 };
enum { XS_OUT_SIZE = 64 << 10, XS_MESSAGE_MAX = 16 + XS_PAYLOAD_MAX };

#define XS_HOME "/local/domain/1" /* the guest's */

/* io/xs_wire.h */
enum {
    XS_CONTROL = 0,
    XS_DIRECTORY = 1,
    XS_READ = 2,
    XS_GET_PERMS = 3,
    XS_WATCH = 4,
    XS_UNWATCH = 5,
    XS_TRANSACTION_START = 6,
    XS_TRANSACTION_END = 7,
    XS_GET_DOMAIN_PATH = 10,
    XS_WRITE = 11,
    XS_MKDIR = 12,
    XS_RM = 13,
    XS_SET_PERMS = 14,
    XS_WATCH_EVENT = 15,
    XS_ERROR = 16,
    XS_IS_DOMAIN_INTRODUCED = 17,
    XS_RESET_WATCHES = 21,
    XS_DIRECTORY_PART = 22,
};

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

/* Does a watch on `watched` see this change? */
bool xs_concerns(const char *watched, const char *path, bool removed);
/* Something at path has changed (or, with all below it, gone): tells watchers and the guest. */
void xs_fire(struct xenstore *s, const char *path, bool removed);
/* The guest's own watches: queues events. */
void wire_fire(struct xenstore *s, const char *path, bool removed);
/* Puts what is queued into the guest's ring. */
void wire_flush(struct xenstore *s);
/* A message for it; false: there is no room. */
bool wire_queue(struct xenstore *s, u32 type, u32 id, u32 tx, const void *p, u32 len);
void wire_reset(struct xenstore *s);
void wire_free(struct xenstore *s);

/* A request in hand; the payload has a zero behind it. */
struct xs_request {
    u32 type, id, tx_id, len;
    char *p;
    struct xs_tree *tree; /* the transaction's, or the store's */
    struct xs_tx *tx;
};

void wire_reply(struct xenstore *s, const struct xs_request *r, const void *p, u32 len);
void wire_ok(struct xenstore *s, const struct xs_request *r);

/* ---- xs_request.c: 1 = replied; 0 = to be replied to with "OK"; else an error ---- */

int xs_serve(struct xenstore *s, struct xs_request *r);
/* The absolute path of a guest's path, in buf of XS_PATH_MAX; false: malformed. */
bool xs_absolute(const char *p, char *buf);

/* ---- xs_watch.c: as above ---- */

int xs_watch_request(struct xenstore *s, struct xs_request *r);
int xs_unwatch_request(struct xenstore *s, struct xs_request *r);
void xs_watches_drop(struct xs_conn *c);
int xs_tx_start(struct xenstore *s, struct xs_request *r);
int xs_tx_end(struct xenstore *s, struct xs_request *r);
void xs_txs_drop(struct xs_conn *c);

/* "n0,r1" as the wire has it, one after the other with zeros between; 0 = malformed. */
unsigned xs_parse_perm(const char *s, struct xs_perm *p);

#endif
