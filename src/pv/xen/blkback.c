/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The block back end (io/blkif.h): several rings of several pages, indirect descriptors, persistent
 * grants, flush, discard.  Only the 64-bit ABI.
 *
 * A request is copied out of the ring once.  Its segments become one struct blk_req straight on the
 * guest's granted pages.  There are as many request records as ring entries, so the guest cannot
 * make us allocate.  Requests are prepared under the queue's lock and submitted without it;
 * completions come on I/O threads and take it.
 *
 * Persistent grants: a page stays mapped once it was used, for as long as the device is connected
 * and up to PERSISTENT_MAX of them; then, as the protocol allows, each page is given back at once.
 */
#include "pv/xen/blkback.h"

#include "base/endian.h"
#include "pv/xen/grant.h"
#include "pv/xen/internal.h"
#include "pv/xen/xenbus.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLKIF_OP_READ = 0,
    BLKIF_OP_WRITE = 1,
    BLKIF_OP_FLUSH_DISKCACHE = 3,
    BLKIF_OP_DISCARD = 5,
    BLKIF_OP_INDIRECT = 6,
    BLKIF_RSP_OKAY = 0,
    BLKIF_RSP_ERROR = -1,
    BLKIF_RSP_EOPNOTSUPP = -2,
    VDISK_CDROM = 1,
    VDISK_READONLY = 4,
};
enum { ENTRY = 112, RESPONSE = 16, SECTOR = 512, SEG_MAX = 11, INDIRECT_MAX = 256, SEG = 8 };
enum { QUEUES_MAX = 4, RING_ORDER_MAX = 4, ENTRIES_MAX = 512, PERSISTENT_MAX = 1056 };
enum { REFS_MAX = 32768 };

struct vbd_req {
    struct blk_req blk; /* first */
    struct vbd_queue *q;
    u64 id;
    u8 op;
    u16 nsegs;
    u32 ref[INDIRECT_MAX];
    bool keep[INDIRECT_MAX]; /* mapped for good */
    struct iovec iov[INDIRECT_MAX];
    struct vbd_req *next; /* free, or to be submitted */
};

struct vbd_queue {
    struct blkback *b;
    pthread_mutex_t lock; /* before the grants' and evt_lock */
    pthread_cond_t idle;
    struct xenbus_ring ring;
    bool live;
    u32 entries, req_cons, rsp_prod;
    u16 port;
    unsigned in_flight;
    struct vbd_req *req, *free;
};

struct blkback {
    struct xenbus_dev dev;
    struct blk *blk;
    bool cdrom;
    bool persistent;
    unsigned nqueues;
    struct vbd_queue q[QUEUES_MAX];
    /* Persistent pages: guarded by the lock below (after a queue's). */
    pthread_mutex_t pages_lock;
    u8 *page[REFS_MAX]; /* by reference */
    unsigned npages;
    struct blkback *next;
};

static struct blkback *of(struct xenbus_dev *d)
{
    return container_of(d, struct blkback, dev);
}

/* ----------------------------------------------------------------- pages -- */

static u8 *map_page(struct blkback *b, u32 ref, bool write, bool *keep)
{
    u8 *hva = NULL;

    *keep = false;
    if (!b->persistent || ref >= REFS_MAX)
        return grant_map(b->dev.x, ref, write, &hva) ? NULL : hva;
    pthread_mutex_lock(&b->pages_lock);
    if (b->page[ref]) {
        hva = b->page[ref];
        *keep = true;
    } else if (b->npages < PERSISTENT_MAX && !grant_map(b->dev.x, ref, true, &hva)) {
        b->page[ref] = hva;
        b->npages++;
        *keep = true;
    }
    pthread_mutex_unlock(&b->pages_lock);
    if (!hva && grant_map(b->dev.x, ref, write, &hva))
        return NULL;
    return hva;
}

static void drop_pages(struct blkback *b)
{
    pthread_mutex_lock(&b->pages_lock);
    for (u32 i = 0; b->npages && i < REFS_MAX; i++) {
        if (!b->page[i])
            continue;
        grant_unmap(b->dev.x, i, true);
        b->page[i] = NULL;
        b->npages--;
    }
    pthread_mutex_unlock(&b->pages_lock);
}

/* Does the data go into the guest's pages? */
static bool into_guest(const struct vbd_req *r)
{
    return r->op == BLKIF_OP_READ;
}

static void unmap_segments(struct vbd_req *r)
{
    struct xen *x = r->q->b->dev.x;

    for (unsigned i = 0; i < r->nsegs; i++) {
        if (into_guest(r))
            guest_wrote(x, r->iov[i].iov_base, r->iov[i].iov_len);
        if (!r->keep[i])
            grant_unmap(x, r->ref[i], into_guest(r));
    }
    r->nsegs = 0;
}

/* ------------------------------------------------------------- responses -- */

static struct xen_sring *sring(struct vbd_queue *q)
{
    return (struct xen_sring *)q->ring.page[0];
}

/* With the queue's lock held. */
static void respond(struct vbd_queue *q, u64 id, u8 op, s16 status)
{
    u8 rsp[RESPONSE] = {0};
    struct xen_sring *s = sring(q);

    le64_put(rsp, id);
    rsp[8] = op;
    le16_put(rsp + 10, (u16)status);
    xenbus_ring_put(q->b->dev.x, &q->ring, SRING_HEAD + q->rsp_prod % q->entries * ENTRY, rsp,
                    sizeof(rsp));
    u32 old = q->rsp_prod++;
    __atomic_store_n(&s->rsp_prod, q->rsp_prod, __ATOMIC_SEQ_CST);
    guest_wrote(q->b->dev.x, s, sizeof(*s));
    u32 event = __atomic_load_n(&s->rsp_event, __ATOMIC_SEQ_CST);
    if (q->rsp_prod - event < q->rsp_prod - old)
        evtchn_notify(q->b->dev.x, q->port);
}

static void release(struct vbd_req *r)
{
    struct vbd_queue *q = r->q;

    r->next = q->free;
    q->free = r;
    if (!--q->in_flight)
        pthread_cond_broadcast(&q->idle);
}

static void finish(struct vbd_req *r, s16 status)
{
    struct vbd_queue *q = r->q;

    pthread_mutex_lock(&q->lock);
    unmap_segments(r);
    if (q->live)
        respond(q, r->id, r->op, status);
    release(r);
    pthread_mutex_unlock(&q->lock);
}

static void blk_done(struct blk_req *b, int result)
{
    struct vbd_req *r = container_of(b, struct vbd_req, blk);
    s16 bad = result == -EOPNOTSUPP ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR;

    finish(r, result ? bad : BLKIF_RSP_OKAY);
}

/* -------------------------------------------------------------- requests -- */

/* One segment: reference, first and last sector of its page. */
static bool add_segment(struct vbd_req *r, const u8 *seg)
{
    u32 ref = le32_get(seg);
    u8 first = seg[4], last = seg[5];
    unsigned n = r->nsegs;

    if (first > last || last >= PAGE_SIZE / SECTOR)
        return false;
    u8 *page = map_page(r->q->b, ref, into_guest(r), &r->keep[n]);
    if (!page)
        return false;
    r->ref[n] = ref;
    r->iov[n].iov_base = page + first * SECTOR;
    r->iov[n].iov_len = (last - first + 1u) * SECTOR;
    r->blk.len += r->iov[n].iov_len;
    r->nsegs++;
    return true;
}

static s16 prepare_data(struct vbd_req *r, u64 sector)
{
    const struct blk *blk = r->q->b->blk;

    if (!range_within(sector, r->blk.len / SECTOR, 0, blk->size / SECTOR))
        return BLKIF_RSP_ERROR;
    if (r->op == BLKIF_OP_WRITE && blk->readonly)
        return BLKIF_RSP_ERROR;
    r->blk.op = r->op == BLKIF_OP_READ ? BLK_READ : BLK_WRITE;
    r->blk.offset = sector * SECTOR;
    r->blk.iov = r->iov;
    r->blk.niov = r->nsegs;
    return BLKIF_RSP_OKAY;
}

static s16 prepare_direct(struct vbd_req *r, const u8 *e)
{
    unsigned n = e[1];

    if (!n || n > SEG_MAX)
        return BLKIF_RSP_ERROR;
    for (unsigned i = 0; i < n; i++)
        if (!add_segment(r, e + 24 + i * SEG))
            return BLKIF_RSP_ERROR;
    return prepare_data(r, le64_get(e + 16));
}

/* Segments lie in granted pages, 512 to a page; each page is read once. */
static s16 prepare_indirect(struct vbd_req *r, const u8 *e)
{
    struct blkback *b = r->q->b;
    u8 segs[PAGE_SIZE], *page;
    unsigned n = le16_get(e + 2);

    r->op = e[1];
    if ((r->op != BLKIF_OP_READ && r->op != BLKIF_OP_WRITE) || !n || n > INDIRECT_MAX)
        return BLKIF_RSP_ERROR;
    if (grant_map(b->dev.x, le32_get(e + 28), false, &page))
        return BLKIF_RSP_ERROR;
    memcpy(segs, page, n * SEG);
    grant_unmap(b->dev.x, le32_get(e + 28), false);
    for (unsigned i = 0; i < n; i++)
        if (!add_segment(r, segs + i * SEG))
            return BLKIF_RSP_ERROR;
    return prepare_data(r, le64_get(e + 16));
}
_Static_assert(INDIRECT_MAX *SEG <= PAGE_SIZE, "one page of segments");

static s16 prepare_discard(struct vbd_req *r, const u8 *e)
{
    const struct blk *blk = r->q->b->blk;
    u64 sector = le64_get(e + 16), n = le64_get(e + 24);

    if (e[1]) /* secure */
        return BLKIF_RSP_EOPNOTSUPP;
    if (blk->readonly || !range_within(sector, n, 0, blk->size / SECTOR))
        return BLKIF_RSP_ERROR;
    r->blk.op = BLK_DISCARD;
    r->blk.offset = sector * SECTOR;
    r->blk.len = n * SECTOR;
    return BLKIF_RSP_OKAY;
}

/* Fills r->blk; BLKIF_RSP_OKAY: it may be submitted. */
static s16 prepare(struct vbd_req *r, const u8 *e)
{
    r->blk = (struct blk_req){.done = blk_done};
    r->nsegs = 0;
    r->id = le64_get(e + 8);
    r->op = e[0];
    switch (e[0]) {
    case BLKIF_OP_READ:
    case BLKIF_OP_WRITE:
        return prepare_direct(r, e);
    case BLKIF_OP_INDIRECT:
        return prepare_indirect(r, e);
    case BLKIF_OP_FLUSH_DISKCACHE:
        r->blk.op = BLK_FLUSH;
        return e[1] ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_OKAY;
    case BLKIF_OP_DISCARD:
        return prepare_discard(r, e);
    default:
        return BLKIF_RSP_EOPNOTSUPP;
    }
}

/* Takes what is in the ring; what is to be submitted, in order, is chained to the result.  With the
 * queue's lock held. */
static struct vbd_req *take_requests(struct vbd_queue *q)
{
    struct xen_sring *s = sring(q);
    struct vbd_req *first = NULL, **last = &first;

    for (;;) {
        u32 prod = __atomic_load_n(&s->req_prod, __ATOMIC_ACQUIRE);
        if (prod - q->req_cons > q->entries - q->in_flight) {
            trace(q->b->dev.x->trace, xen, "vbd %u: request index %u behind %u", q->b->dev.id, prod,
                  q->req_cons);
            q->live = false; /* no sense in this ring any more */
            break;
        }
        while (q->req_cons != prod) {
            struct vbd_req *r = q->free;
            u8 e[ENTRY];

            BUG_ON(!r);
            q->free = r->next;
            q->in_flight++;
            xenbus_ring_get(&q->ring, SRING_HEAD + q->req_cons++ % q->entries * ENTRY, e,
                            sizeof(e));
            s16 status = prepare(r, e);
            if (status == BLKIF_RSP_OKAY) {
                r->next = NULL;
                *last = r;
                last = &r->next;
                continue;
            }
            unmap_segments(r);
            respond(q, r->id, r->op, status);
            release(r);
        }
        __atomic_store_n(&s->req_event, q->req_cons + 1, __ATOMIC_SEQ_CST);
        if (__atomic_load_n(&s->req_prod, __ATOMIC_SEQ_CST) == q->req_cons)
            break;
    }
    guest_wrote(q->b->dev.x, s, sizeof(*s));
    return first;
}

/* The front end's event, on its vCPU's thread. */
static void on_event(void *opaque)
{
    struct vbd_queue *q = opaque;
    struct vbd_req *r = NULL;

    pthread_mutex_lock(&q->lock);
    if (q->live)
        r = take_requests(q);
    pthread_mutex_unlock(&q->lock);
    while (r) {
        struct vbd_req *next = r->next;
        q->b->blk->ops->submit(q->b->blk, &r->blk);
        r = next;
    }
}

/* ----------------------------------------------------------- connection -- */

static void announce(struct xenbus_dev *d)
{
    struct blkback *b = of(d);
    u32 info = (b->blk->readonly ? VDISK_READONLY : 0) | (b->cdrom ? VDISK_CDROM : 0);
    char path[XS_PATH_MAX];

    xenbus_back_write(d, "mode", b->blk->readonly ? "r" : "w");
    xenbus_back_write(d, "type", "wirt");
    xenbus_back_write(d, "feature-flush-cache", "1");
    xenbus_back_write(d, "feature-persistent", "1");
    xenbus_back_write(d, "feature-max-indirect-segments", "%d", INDIRECT_MAX);
    xenbus_back_write(d, "max-ring-page-order", "%d", RING_ORDER_MAX);
    xenbus_back_write(d, "multi-queue-max-queues", "%d", QUEUES_MAX);
    if (!b->blk->readonly) {
        xenbus_back_write(d, "feature-discard", "1");
        xenbus_back_write(d, "discard-granularity", "%u", b->blk->block_size);
        xenbus_back_write(d, "discard-alignment", "0");
        xenbus_back_write(d, "discard-secure", "0");
    }
    xenbus_back_write(d, "sectors", "%llu", (unsigned long long)b->blk->size / SECTOR);
    xenbus_back_write(d, "sector-size", "%d", SECTOR);
    xenbus_back_write(d, "physical-sector-size", "%u", b->blk->block_size);
    xenbus_back_write(d, "info", "%u", info);
    snprintf(path, sizeof(path), "%s/virtual-device", d->front);
    xs_write(d->x->store, path, "%u", d->id);
    snprintf(path, sizeof(path), "%s/device-type", d->front);
    xs_write(d->x->store, path, b->cdrom ? "cdrom" : "disk");
}

static int connect_queue(struct blkback *b, unsigned n, const char *dir, unsigned npages)
{
    struct vbd_queue *q = &b->q[n];
    char node[64];
    u64 port;
    u32 fit = (npages * PAGE_SIZE - SRING_HEAD) / ENTRY;

    snprintf(node, sizeof(node), "%sevent-channel", dir);
    if (!xenbus_front_number(&b->dev, node, XEN_PORTS_MAX - 1, &port))
        return -ENOENT;
    int r = xenbus_map_ring(&b->dev, dir, "ring-ref", npages, &q->ring);
    if (r)
        return r;
    q->entries = 1u << (31 - __builtin_clz(fit));
    q->req = calloc(q->entries, sizeof(*q->req));
    if (!q->req)
        return -ENOMEM;
    q->free = NULL;
    for (u32 i = q->entries; i-- > 0;) {
        q->req[i].q = q;
        q->req[i].next = q->free;
        q->free = &q->req[i];
    }
    /* a front end that comes back goes on where its rings stand */
    struct xen_sring *s = sring(q);
    q->rsp_prod = q->req_cons = __atomic_load_n(&s->rsp_prod, __ATOMIC_ACQUIRE);
    q->port = (u16)port;
    q->live = true;
    if (!evtchn_bind(b->dev.x, q->port, on_event, q)) {
        q->port = 0;
        return -EINVAL;
    }
    return 0;
}

static int connect(struct xenbus_dev *d)
{
    struct blkback *b = of(d);
    u64 queues = 1, order = 0, persistent = 0;
    char dir[32];
    int r = 0;

    if (!xenbus_front_is(d, "protocol", "x86_64-abi"))
        return -EPROTONOSUPPORT;
    if (!xenbus_front_number(d, "multi-queue-num-queues", QUEUES_MAX, &queues) || !queues)
        queues = 1;
    if (!xenbus_front_number(d, "ring-page-order", RING_ORDER_MAX, &order))
        order = 0;
    xenbus_front_number(d, "feature-persistent", 1, &persistent);
    b->persistent = persistent;
    b->nqueues = (unsigned)queues;
    for (unsigned i = 0; !r && i < b->nqueues; i++) {
        snprintf(dir, sizeof(dir), queues > 1 ? "queue-%u/" : "%.0u", i);
        pthread_mutex_lock(&b->q[i].lock);
        r = connect_queue(b, i, dir, 1u << order);
        pthread_mutex_unlock(&b->q[i].lock);
    }
    return r;
}

static void disconnect(struct xenbus_dev *d)
{
    struct blkback *b = of(d);

    for (unsigned i = 0; i < b->nqueues; i++) {
        struct vbd_queue *q = &b->q[i];
        pthread_mutex_lock(&q->lock);
        q->live = false;
        evtchn_unbind(d->x, q->port);
        q->port = 0;
        while (q->in_flight)
            pthread_cond_wait(&q->idle, &q->lock);
        xenbus_unmap_ring(d, &q->ring);
        free(q->req);
        q->req = q->free = NULL;
        pthread_mutex_unlock(&q->lock);
    }
    b->nqueues = 0;
    drop_pages(b);
}

static const struct xenbus_ops ops = {announce, connect, disconnect};

/* ------------------------------------------------------------------ life -- */

unsigned blkback_vdev(unsigned n)
{
    return n < 16 ? 202u << 8 | n << 4 : 1u << 28 | n << 8;
}

int blkback_open(struct xen *x, unsigned n, const struct xen_disk *disk, struct err *e)
{
    struct blkback *b = calloc(1, sizeof(*b));

    if (!b)
        return err_set(e, ENOMEM, "Xen disk: no memory");
    b->blk = disk->blk;
    b->cdrom = disk->cdrom;
    pthread_mutex_init(&b->pages_lock, NULL);
    for (unsigned i = 0; i < QUEUES_MAX; i++) {
        b->q[i].b = b;
        pthread_mutex_init(&b->q[i].lock, NULL);
        pthread_cond_init(&b->q[i].idle, NULL);
    }
    b->next = x->disks;
    x->disks = b;
    xenbus_add(x, &b->dev, "vbd", blkback_vdev(n), &ops);
    return 0;
}

void blkback_drain_all(struct xen *x)
{
    for (struct blkback *b = x->disks; b; b = b->next) {
        for (unsigned i = 0; i < b->nqueues; i++) {
            struct vbd_queue *q = &b->q[i];
            pthread_mutex_lock(&q->lock);
            while (q->in_flight)
                pthread_cond_wait(&q->idle, &q->lock);
            pthread_mutex_unlock(&q->lock);
        }
    }
}

void blkback_close_all(struct xen *x)
{
    while (x->disks) {
        struct blkback *b = x->disks;
        x->disks = b->next;
        for (unsigned i = 0; i < QUEUES_MAX; i++) {
            pthread_mutex_destroy(&b->q[i].lock);
            pthread_cond_destroy(&b->q[i].idle);
        }
        pthread_mutex_destroy(&b->pages_lock);
        free(b);
    }
}
