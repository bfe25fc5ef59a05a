/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The back ends' side of xenbus: a device's two folders in the store, and the state machine that
 * front and back end go through (io/xenbus.h, and docs/misc/xenstore-paths of Xen).
 */
#ifndef WIRT_PV_XEN_XENBUS_H
#define WIRT_PV_XEN_XENBUS_H

#include "pv/xen/xenstore.h"

enum {
    XenbusStateInitialising = 1,
    XenbusStateInitWait = 2,
    XenbusStateInitialised = 3,
    XenbusStateConnected = 4,
    XenbusStateClosing = 5,
    XenbusStateClosed = 6,
};

struct xenbus_dev;

/* Called with the store's lock held. */
struct xenbus_ops {
    /* Writes what the front end may read before it connects. */
    void (*announce)(struct xenbus_dev *d);
    /* The front end has written its rings and ports: -errno, and the device stays closed. */
    int (*connect)(struct xenbus_dev *d);
    /* May be called when nothing is connected; afterwards no memory of the guest is touched. */
    void (*disconnect)(struct xenbus_dev *d);
};

struct xenbus_dev {
    struct xen *x;
    const struct xenbus_ops *ops;
    const char *type; /* "vbd", "vif" */
    unsigned id;
    char front[64], back[64]; /* their folders */
    char state_path[80];      /* of the front end */
    bool connected;
    struct xs_watcher watcher;
    struct xenbus_dev *next;
};

/* Once, before the first reset. */
void xenbus_add(struct xen *x, struct xenbus_dev *d, const char *type, unsigned id,
                const struct xenbus_ops *ops);
/* Makes the tree anew, devices included; the store is empty. */
void xenbus_reset(struct xen *x);
/* Lets go of the guest's memory. */
void xenbus_disconnect_all(struct xen *x);

/* A node of the front end's folder: a number up to max, or a word. */
bool xenbus_front_number(struct xenbus_dev *d, const char *name, u64 max, u64 *v);
bool xenbus_front_is(struct xenbus_dev *d, const char *name, const char *value);
void xenbus_back_write(struct xenbus_dev *d, const char *name, const char *fmt, ...)
    printf_like(3, 4);

/* A ring in 1 to RING_PAGES_MAX granted pages, which lie anywhere: each access goes by page. */
enum { RING_PAGES_MAX = 16 };
struct xenbus_ring {
    u8 *page[RING_PAGES_MAX];
    u32 ref[RING_PAGES_MAX];
    unsigned npages;
};
/* Maps the rings named NAME (one page) or NAME0, NAME1, ... (2^order pages). -errno. */
int xenbus_map_ring(struct xenbus_dev *d, const char *dir, const char *name, unsigned npages,
                    struct xenbus_ring *r);
void xenbus_unmap_ring(struct xenbus_dev *d, struct xenbus_ring *r);
/* Copies between a ring's bytes and ours; off+len lies inside the ring. */
void xenbus_ring_get(const struct xenbus_ring *r, u32 off, void *buf, u32 len);
void xenbus_ring_put(struct xen *x, const struct xenbus_ring *r, u32 off, const void *buf, u32 len);

/* The four indices at a ring's head (io/ring.h). */
struct xen_sring {
    u32 req_prod, req_event, rsp_prod, rsp_event;
};
enum { SRING_HEAD = 64 };

#endif
