/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio block device.  Virtio 1.1, 5.2.
 *
 * A request is a header (type, sector), data, and a status byte.  Requests live in a table with a
 * row for each entry of their queue, so a guest cannot make us allocate.  Each goes to the image as
 * one struct blk_req; discard and write-zeroes carry up to 16 ranges and go out one range after
 * the other.
 *
 * Completions come on I/O threads and go straight into the used ring, under the device's lock.
 * A request that is done before submitting it has returned is finished by the submitter, who holds
 * the lock already: `phase` passes it from one to the other.
 */
#include "dev/virtio_blk.h"

#include "base/endian.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define F_SEG_MAX      BIT64(2)
#define F_RO           BIT64(5)
#define F_BLK_SIZE     BIT64(6)
#define F_FLUSH        BIT64(9)
#define F_TOPOLOGY     BIT64(10)
#define F_CONFIG_WCE   BIT64(11)
#define F_MQ           BIT64(12)
#define F_DISCARD      BIT64(13)
#define F_WRITE_ZEROES BIT64(14)

enum { T_IN = 0, T_OUT = 1, T_FLUSH = 4, T_GET_ID = 8, T_DISCARD = 11, T_WRITE_ZEROES = 13 };
enum { S_OK = 0, S_IOERR = 1, S_UNSUPP = 2 };
enum { QUEUE_SIZE = 256, SEG_MAX = 254, RANGES_MAX = 16, RANGE_SIZE = 16, CONFIG_LEN = 60 };
enum { RANGE_SECTORS_MAX = 1 << 21 }; /* 1 GiB */
enum { HEADER_SIZE = 16, ID_LEN = 20, RANGE_UNMAP = 1, SECTOR = 512 };

enum phase { SUBMITTING, PENDING, DONE };

struct vblk_req {
    struct blk_req blk; /* first */
    struct virtio_blk *v;
    unsigned qi;
    u32 phase; /* atomic, enum phase */
    int result;
    unsigned range, nranges;
    u8 ranges[RANGES_MAX * RANGE_SIZE]; /* as the guest gave them */
    struct vblk_req *next;              /* in the free list */
    struct virtq_chain chain;
    struct iovec data[VIRTQ_IOV_MAX];
};

static struct virtio_blk *of(struct virtio_dev *d)
{
    return container_of(d, struct virtio_blk, vp.dev);
}

/* ---------------------------------------------------------------- configuration -- */

static u32 config_read(struct virtio_dev *d, unsigned off, unsigned size)
{
    struct virtio_blk *v = of(d);
    u8 c[CONFIG_LEN] = {0};
    u32 bs = max(v->disk->sector, (u32)SECTOR);
    u32 out = 0;

    le64_put(c, v->disk->size / SECTOR);
    le32_put(c + 12, SEG_MAX);
    le32_put(c + 20, bs);
    c[24] = v->disk->block_size / bs == 8 ? 3 : 0;     /* physical block: 2^n logical ones */
    le16_put(c + 26, (u16)(v->disk->block_size / bs)); /* smallest sensible I/O */
    le32_put(c + 28, 0);
    c[32] = v->writeback;
    le16_put(c + 34, (u16)v->nqueues);
    le32_put(c + 36, RANGE_SECTORS_MAX);
    le32_put(c + 40, RANGES_MAX);
    le32_put(c + 44, v->disk->block_size / SECTOR); /* discard alignment */
    le32_put(c + 48, RANGE_SECTORS_MAX);
    le32_put(c + 52, RANGES_MAX);
    c[56] = 1; /* write-zeroes may unmap */
    memcpy(&out, c + off, size);
    return out;
}

static void config_write(struct virtio_dev *d, unsigned off, unsigned size, u32 val)
{
    if (off == 32 && size == 1 && virtio_has(d, F_CONFIG_WCE))
        of(d)->writeback = val & 1;
}

static void driver_ok(struct virtio_dev *d)
{
    /* 5.2.5.2: without CONFIG_WCE, a driver that knows FLUSH gets a write-back cache. */
    if (!virtio_has(d, F_CONFIG_WCE))
        of(d)->writeback = virtio_has(d, F_FLUSH);
}

/* ---------------------------------------------------------------- requests -- */

static struct vblk_req *acquire(struct virtio_blk *v, unsigned qi)
{
    struct vblk_queue *q = &v->q[qi];
    struct vblk_req *r = q->free;

    if (r)
        q->free = r->next;
    else if (q->fresh < QUEUE_SIZE)
        r = &q->req[q->fresh++];
    else
        return NULL;
    r->v = v;
    r->qi = qi;
    v->in_flight++;
    return r;
}

static void release(struct vblk_req *r)
{
    struct virtio_blk *v = r->v;

    r->next = v->q[r->qi].free;
    v->q[r->qi].free = r;
    if (--v->in_flight == 0)
        pthread_cond_broadcast(&v->idle);
}

/* The status byte is the last one of the chain. */
static void complete(struct vblk_req *r, u8 status)
{
    struct virtio_blk *v = r->v;
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[r->qi];
    struct virtq_chain *c = &r->chain;

    if (!d->resetting) {
        const struct iovec *last = &virtq_in(c)[c->nin - 1];
        u8 *p = (u8 *)last->iov_base + last->iov_len - 1;

        *p = status;
        mem_wrote(d->dma.mem, p, 1);
        virtq_push(d, q, c, (u32)c->in_len);
        if (!v->batch)
            virtq_signal(d, q);
    }
    release(r);
}

/* Prepares the next range of discard or write-zeroes. */
static bool next_range(struct vblk_req *r)
{
    const u8 *p;

    if (r->range == r->nranges)
        return false;
    p = r->ranges + RANGE_SIZE * r->range++;
    r->blk.offset = le64_get(p) * SECTOR;
    r->blk.len = (u64)le32_get(p + 8) * SECTOR;
    r->blk.unmap = le32_get(p + 12) & RANGE_UNMAP;
    return true;
}

static void go_on(struct vblk_req *r);

static void blk_done(struct blk_req *b, int result)
{
    struct vblk_req *r = container_of(b, struct vblk_req, blk);
    struct virtio_blk *v = r->v;

    r->result = result;
    if (__atomic_exchange_n(&r->phase, DONE, __ATOMIC_ACQ_REL) == SUBMITTING)
        return;
    pthread_mutex_lock(v->vp.dev.lock);
    go_on(r);
    pthread_mutex_unlock(v->vp.dev.lock);
}

/* True: it is done already. */
static bool submit(struct vblk_req *r)
{
    u32 phase = SUBMITTING;
    struct blk *b = r->v->disk;

    __atomic_store_n(&r->phase, phase, __ATOMIC_RELAXED);
    b->ops->submit(b, &r->blk);
    return !__atomic_compare_exchange_n(&r->phase, &phase, PENDING, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE);
}

/* A step is done: the next range, or the end. */
static void go_on(struct vblk_req *r)
{
    while (!r->result && next_range(r))
        if (!submit(r))
            return;
    complete(r, r->result ? S_IOERR : S_OK);
}

/* A status to complete with at once, or -1: the request is ready to be submitted. */
static int prepare_ranges(struct vblk_req *r, u32 type)
{
    struct virtio_blk *v = r->v;
    struct virtq_chain *c = &r->chain;
    u64 len = c->out_len - HEADER_SIZE;

    if (!virtio_has(&v->vp.dev, type == T_DISCARD ? F_DISCARD : F_WRITE_ZEROES))
        return S_UNSUPP;
    if (!len || len % RANGE_SIZE || len > sizeof(r->ranges))
        return S_UNSUPP;
    if (v->disk->readonly)
        return S_IOERR;
    iov_get(c->iov, c->nout, HEADER_SIZE, r->ranges, len);
    r->nranges = (unsigned)(len / RANGE_SIZE);
    for (unsigned i = 0; i < r->nranges; i++) {
        const u8 *p = r->ranges + RANGE_SIZE * i;
        u64 sector = le64_get(p), n = le32_get(p + 8);
        u32 flags = le32_get(p + 12);

        if (flags & ~(type == T_DISCARD ? 0u : (u32)RANGE_UNMAP))
            return S_UNSUPP;
        if (n > RANGE_SECTORS_MAX || !range_within(sector, n, 0, v->disk->size / SECTOR))
            return S_IOERR;
    }
    r->blk.op = type == T_DISCARD ? BLK_DISCARD : BLK_WRITE_ZEROES;
    r->blk.fua = !v->writeback;
    next_range(r);
    return -1;
}

static int prepare_data(struct vblk_req *r, u32 type, u64 sector)
{
    struct virtio_blk *v = r->v;
    struct virtq_chain *c = &r->chain;
    bool in = type == T_IN;
    u64 len = in ? c->in_len - 1 : c->out_len - HEADER_SIZE;

    if (len % SECTOR || !range_within(sector, len / SECTOR, 0, v->disk->size / SECTOR))
        return S_IOERR;
    if (!in && v->disk->readonly)
        return S_IOERR;
    if (in)
        r->blk.niov = (int)iov_slice(r->data, VIRTQ_IOV_MAX, virtq_in(c), c->nin, 0, len);
    else
        r->blk.niov = (int)iov_slice(r->data, VIRTQ_IOV_MAX, c->iov, c->nout, HEADER_SIZE, len);
    r->blk.op = in ? BLK_READ : BLK_WRITE;
    r->blk.iov = r->data;
    r->blk.offset = sector * SECTOR;
    r->blk.len = len;
    r->blk.fua = !in && !v->writeback;
    return len ? -1 : S_OK;
}

static int prepare(struct vblk_req *r)
{
    struct virtq_chain *c = &r->chain;
    u8 head[HEADER_SIZE];
    u32 type;
    u64 sector;

    iov_get(c->iov, c->nout, 0, head, sizeof(head));
    type = le32_get(head);
    sector = le64_get(head + 8);
    r->blk = (struct blk_req){.done = blk_done, .may_inline = true};
    r->nranges = r->range = 0;
    r->result = 0;
    trace(r->v->vp.dev.trace, virtio, "%s: request %u, sector %llu, %llu out, %llu in",
          r->v->vp.dev.name, type, (unsigned long long)sector, (unsigned long long)c->out_len,
          (unsigned long long)c->in_len);
    switch (type) {
    case T_IN:
    case T_OUT:
        return prepare_data(r, type, sector);
    case T_FLUSH:
        r->blk.op = BLK_FLUSH;
        return -1;
    case T_GET_ID: {
        u8 id[ID_LEN] = {0};

        memcpy(id, r->v->opt.serial, strnlen(r->v->opt.serial, ID_LEN));
        iov_put(virtq_in(c), c->nin, 0, id, min((u64)ID_LEN, c->in_len - 1));
        return S_OK;
    }
    case T_DISCARD:
    case T_WRITE_ZEROES:
        return prepare_ranges(r, type);
    default:
        return S_UNSUPP;
    }
}

static void start(struct vblk_req *r)
{
    int status = prepare(r);

    if (status >= 0)
        complete(r, (u8)status);
    else if (submit(r))
        go_on(r);
}

static void take_all(struct virtio_blk *v, unsigned n)
{
    struct virtio_dev *d = &v->vp.dev;
    struct virtq *q = &d->queue[n];

    while (virtq_avail(d, q)) {
        struct vblk_req *r = acquire(v, n);

        if (!r) {
            virtio_broken(d, q, "more requests than entries");
            return;
        }
        if (!virtq_pop(d, q, &r->chain)) {
            release(r);
            return;
        }
        if (r->chain.out_len < HEADER_SIZE || !r->chain.in_len) {
            release(r);
            virtio_broken(d, q, "a request without header or status");
            return;
        }
        start(r);
    }
}

/* Ends when the guest stops filling; its processors cannot keep us here for longer than they run
 * themselves. */
static void notify(struct virtio_dev *d, unsigned n)
{
    struct virtio_blk *v = of(d);
    struct virtq *q = &d->queue[n];

    v->batch = true;
    do {
        virtq_kick(d, q, false);
        take_all(v, n);
    } while (virtq_kick(d, q, true));
    v->batch = false;
    virtq_signal(d, q);
}

static void reset(struct virtio_dev *d)
{
    struct virtio_blk *v = of(d);

    while (v->in_flight)
        pthread_cond_wait(&v->idle, d->lock);
    v->writeback = true;
}

static const struct virtio_ops ops = {.config_read = config_read,
                                      .config_write = config_write,
                                      .driver_ok = driver_ok,
                                      .notify = notify,
                                      .reset = reset};

/* ------------------------------------------------------------------- life -- */

int virtio_blk_init(struct virtio_blk *v, struct pci_bus *b, unsigned devfn, struct blk *disk,
                    const struct virtio_blk_options *o, struct err *e)
{
    struct virtio_pci_info info = {.name = "virtio-blk",
                                   .id = VIRTIO_ID_BLOCK,
                                   .class_code = 0x010000,
                                   .config_len = CONFIG_LEN,
                                   .queue_size = QUEUE_SIZE,
                                   .ops = &ops};
    int r;

    memset(v, 0, sizeof(*v));
    if (o)
        v->opt = *o;
    v->nqueues = v->opt.queues ? v->opt.queues : 1;
    if (v->nqueues > VIRTIO_BLK_QUEUES)
        return err_set(e, EINVAL, "virtio-blk: at most %u queues", VIRTIO_BLK_QUEUES);
    v->disk = disk;
    v->writeback = true;
    info.nqueues = (u16)v->nqueues;
    info.modern_only = v->opt.modern_only;
    info.features = F_SEG_MAX | F_BLK_SIZE | F_FLUSH | F_TOPOLOGY | F_CONFIG_WCE;
    if (v->nqueues > 1)
        info.features |= F_MQ;
    if (disk->readonly)
        info.features |= F_RO;
    else if (!v->opt.no_discard)
        info.features |= F_DISCARD | F_WRITE_ZEROES;
    pthread_cond_init(&v->idle, NULL);
    for (unsigned i = 0; i < v->nqueues; i++) {
        v->q[i].req = calloc(QUEUE_SIZE, sizeof(struct vblk_req));
        if (!v->q[i].req) {
            virtio_blk_destroy(v);
            return err_set(e, ENOMEM, "virtio-blk: out of memory");
        }
    }
    r = virtio_pci_init(&v->vp, b, devfn, &info);
    if (r) {
        virtio_blk_destroy(v);
        return err_set(e, -r, "virtio-blk: PCI slot %u.%u is taken", devfn >> 3, devfn & 7);
    }
    return 0;
}

void virtio_blk_drain(struct virtio_blk *v)
{
    pthread_mutex_lock(v->vp.dev.lock);
    while (v->in_flight)
        pthread_cond_wait(&v->idle, v->vp.dev.lock);
    pthread_mutex_unlock(v->vp.dev.lock);
}

void virtio_blk_destroy(struct virtio_blk *v)
{
    if (v->vp.dev.lock)
        virtio_blk_drain(v);
    for (unsigned i = 0; i < v->nqueues; i++)
        free(v->q[i].req);
    memset(v->q, 0, sizeof(v->q));
    pthread_cond_destroy(&v->idle);
}

void virtio_blk_resized(struct virtio_blk *v)
{
    pthread_mutex_lock(v->vp.dev.lock);
    virtio_config_changed(&v->vp.dev);
    pthread_mutex_unlock(v->vp.dev.lock);
}

static const struct field virtio_blk_fields[] = {
    FIELD_MAX(struct virtio_blk, writeback, 1),
};

const struct state_desc virtio_blk_state = STATE_DESC("virtio_blk", 1, virtio_blk_fields);
