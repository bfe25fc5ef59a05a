/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Virtio split queues.  Virtio 1.1, 2.6 (the rings), 2.1 and 3.1 (status, features).
 *
 * In the guest's memory a queue is three tables: descriptors (16 bytes: address, length, flags,
 * next), the available ring (flags, idx, heads, used_event) that the driver fills, and the used
 * ring (flags, idx, {head, length}, avail_event) that we fill.
 *
 * Left out: packed rings and in-order use, which drivers negotiate away; they gain little where one
 * side is software on the same processor.
 */
#include "dev/virtio.h"

#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum { DESC_NEXT = 1, DESC_WRITE = 2, DESC_INDIRECT = 4, DESC_SIZE = 16 };
enum { AVAIL_NO_INTERRUPT = 1, USED_NO_NOTIFY = 1 };

bool virtio_ready(const struct virtio_dev *d)
{
    if (d->resetting || !d->bus_master || d->status & VIRTIO_S_NEEDS_RESET)
        return false;
    /* Drivers from before 1.0 may use their queues while they still set up (Linux to 3.17 reads
     * the partition table before DRIVER_OK). */
    return d->status & VIRTIO_S_DRIVER_OK || !virtio_has(d, VIRTIO_F_VERSION_1);
}

static void queue_reset(struct virtq *q)
{
    *q = (struct virtq){.size_max = q->size_max, .size = q->size_max, .vector = VIRTIO_NO_VECTOR};
}

void virtio_reset(struct virtio_dev *d)
{
    if (d->resetting)
        return;
    d->resetting = true;
    if (d->ops->reset)
        d->ops->reset(d);
    for (unsigned i = 0; i < d->nqueues; i++)
        queue_reset(&d->queue[i]);
    d->status = 0;
    d->features = 0;
    d->isr = 0;
    d->config_vector = VIRTIO_NO_VECTOR;
    d->resetting = false;
}

void virtio_set_status(struct virtio_dev *d, u8 status)
{
    u8 old = d->status;

    if (d->resetting)
        return;
    trace(d->trace, virtio, "%s: status %02x, features %llx", d->name, status,
          (unsigned long long)d->features);
    if (!status) {
        virtio_reset(d);
        return;
    }
    /* NEEDS_RESET is the device's own. */
    d->status = (u8)((status & ~VIRTIO_S_NEEDS_RESET) | (old & VIRTIO_S_NEEDS_RESET));
    if (status & VIRTIO_S_DRIVER_OK && !(old & VIRTIO_S_DRIVER_OK) && d->ops->driver_ok)
        d->ops->driver_ok(d);
}

void virtio_config_changed(struct virtio_dev *d)
{
    d->config_gen++;
    if (!(d->status & VIRTIO_S_DRIVER_OK))
        return;
    d->isr |= 2;
    d->interrupt(d, d->config_vector);
}

void virtio_broken(struct virtio_dev *d, struct virtq *q, const char *why)
{
    trace(d->trace, virtio, "%s: queue %d broken: %s", d->name, q ? (int)(q - d->queue) : -1, why);
    if (q)
        q->broken = true;
    d->status |= VIRTIO_S_NEEDS_RESET;
    if (virtio_has(d, VIRTIO_F_VERSION_1))
        virtio_config_changed(d);
}

/* ---------------------------------------------------------------- taking chains -- */

static u16 avail_idx(struct virtio_dev *d, const struct virtq *q)
{
    return mem_read16(&d->dma, q->avail + 2);
}

static bool queue_on(const struct virtio_dev *d, const struct virtq *q)
{
    return q->enabled && !q->broken && virtio_ready(d);
}

bool virtq_avail(struct virtio_dev *d, struct virtq *q)
{
    return queue_on(d, q) && avail_idx(d, q) != q->last_avail;
}

struct desc {
    u64 addr;
    u32 len;
    u16 flags, next;
};

static bool desc_read(struct virtio_dev *d, u64 table, unsigned i, struct desc *out)
{
    u8 raw[DESC_SIZE];

    if (!mem_read(&d->dma, table + i * (u64)DESC_SIZE, raw, sizeof(raw)))
        return false;
    *out = (struct desc){.addr = le64_get(raw),
                         .len = le32_get(raw + 8),
                         .flags = le16_get(raw + 12),
                         .next = le16_get(raw + 14)};
    return true;
}

/* Adds a buffer to the chain; what is wrong with it, or NULL. */
static const char *chain_add(struct virtio_dev *d, struct virtq_chain *c, const struct desc *e)
{
    bool in = e->flags & DESC_WRITE;
    u64 addr = e->addr, left = e->len;

    if (c->nin && !in)
        return "a buffer to read after one to write";
    while (left) {
        unsigned n = c->nout + c->nin;
        u64 len = left;
        void *p = mem_map(&d->dma, addr, &len, in);

        if (!p)
            return "a buffer outside memory";
        if (n == VIRTQ_IOV_MAX)
            return "too many buffers";
        c->iov[n] = (struct iovec){p, len};
        if (in) {
            c->nin++;
            c->in_len += len;
        } else {
            c->nout++;
            c->out_len += len;
        }
        addr += len;
        left -= len;
    }
    return c->in_len + c->out_len > UINT32_MAX ? "more than 4 GiB" : NULL;
}

static const char *chain_walk(struct virtio_dev *d, struct virtq *q, struct virtq_chain *c)
{
    u64 table = q->desc;
    unsigned count = q->size, at = c->head, seen = 0;
    bool indirect = false;
    const char *why = NULL;
    struct desc e;

    for (;;) {
        if (at >= count)
            return "descriptor index out of range";
        if (++seen > VIRTQ_CHAIN_MAX)
            return "a chain too long, or a loop";
        if (!desc_read(d, table, at, &e))
            return "descriptors outside memory";
        if (e.flags & DESC_INDIRECT) {
            if (indirect || e.flags & DESC_NEXT || !virtio_has(d, VIRTIO_F_INDIRECT_DESC))
                return "an indirect table in the wrong place";
            if (!e.len || e.len % DESC_SIZE || e.len / DESC_SIZE > UINT16_MAX)
                return "an indirect table of a wrong length";
            indirect = true;
            table = e.addr;
            count = e.len / DESC_SIZE;
            at = seen = 0;
            continue;
        }
        why = chain_add(d, c, &e);
        if (why || !(e.flags & DESC_NEXT))
            return why;
        at = e.next;
    }
}

bool virtq_pop(struct virtio_dev *d, struct virtq *q, struct virtq_chain *c)
{
    const char *why;
    u16 idx;

    if (!queue_on(d, q))
        return false;
    idx = avail_idx(d, q);
    if (idx == q->last_avail)
        return false;
    if ((u16)(idx - q->last_avail) > q->size) {
        virtio_broken(d, q, "available index jumped");
        return false;
    }
    c->head = mem_read16(&d->dma, q->avail + 4 + 2 * (u64)(q->last_avail & (q->size - 1)));
    c->nout = c->nin = 0;
    c->out_len = c->in_len = 0;
    why = chain_walk(d, q, c);
    if (why) {
        virtio_broken(d, q, why);
        return false;
    }
    q->last_avail++;
    return true;
}

void virtq_unpop(struct virtq *q)
{
    q->last_avail--;
}

/* -------------------------------------------------------------- giving them back -- */

void virtq_fill(struct virtio_dev *d, struct virtq *q, const struct virtq_chain *c, u32 len,
                unsigned ahead)
{
    const struct iovec *in = virtq_in(c);
    u16 at = (u16)(q->used_idx + ahead) & (q->size - 1);
    u64 left = len;
    u8 elem[8];

    for (unsigned i = 0; i < c->nin && left; i++) {
        u64 n = min((u64)in[i].iov_len, left);

        mem_wrote(d->dma.mem, in[i].iov_base, n);
        left -= n;
    }
    if (!queue_on(d, q))
        return;
    le32_put(elem, c->head);
    le32_put(elem + 4, len);
    mem_write(&d->dma, q->used + 4 + 8 * (u64)at, elem, sizeof(elem));
}

void virtq_flush(struct virtio_dev *d, struct virtq *q, unsigned count)
{
    u16 old = q->used_idx;

    if (!queue_on(d, q))
        return;
    q->used_idx = (u16)(q->used_idx + count);
    mem_write16(&d->dma, q->used + 2, q->used_idx);
    /* The distance to the last interrupt no longer fits: the next one is due in any case. */
    if ((u16)(q->used_idx - q->signalled_used) < (u16)(q->used_idx - old))
        q->signalled_valid = false;
}

void virtq_push(struct virtio_dev *d, struct virtq *q, const struct virtq_chain *c, u32 len)
{
    virtq_fill(d, q, c, len, 0);
    virtq_flush(d, q, 1);
}

static bool wants_interrupt(struct virtio_dev *d, struct virtq *q)
{
    u16 old = q->signalled_used, now = q->used_idx;
    bool valid = q->signalled_valid;
    u16 event;

    /* Our index must be out before we look at what the driver wants (2.6.7.2). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!virtio_has(d, VIRTIO_F_EVENT_IDX))
        return !(mem_read16(&d->dma, q->avail) & AVAIL_NO_INTERRUPT);
    q->signalled_used = now;
    q->signalled_valid = true;
    event = mem_read16(&d->dma, q->avail + 4 + 2 * (u64)q->size);
    return !valid || (u16)(now - event - 1) < (u16)(now - old);
}

void virtq_signal(struct virtio_dev *d, struct virtq *q)
{
    if (!queue_on(d, q) || !wants_interrupt(d, q))
        return;
    d->isr |= 1;
    d->interrupt(d, q->vector);
}

bool virtq_kick(struct virtio_dev *d, struct virtq *q, bool on)
{
    if (!queue_on(d, q))
        return false;
    if (virtio_has(d, VIRTIO_F_EVENT_IDX)) {
        /* Against: the old event index, which the driver has passed, says it already. */
        if (on)
            mem_write16(&d->dma, q->used + 4 + 8 * (u64)q->size, q->last_avail);
    } else if (q->kick_off == on) {
        mem_write16(&d->dma, q->used, on ? 0 : USED_NO_NOTIFY);
    }
    q->kick_off = !on;
    if (!on)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return avail_idx(d, q) != q->last_avail;
}

/* --------------------------------------------------------------------- vectors -- */

size_t iov_get(const struct iovec *iov, unsigned n, u64 off, void *buf, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t part = min(iov[i].iov_len - (size_t)off, len - done);

        memcpy((u8 *)buf + done, (const u8 *)iov[i].iov_base + off, part);
        done += part;
        off = 0;
    }
    return done;
}

size_t iov_put(const struct iovec *iov, unsigned n, u64 off, const void *buf, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < n && done < len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        size_t part = min(iov[i].iov_len - (size_t)off, len - done);

        memcpy((u8 *)iov[i].iov_base + off, (const u8 *)buf + done, part);
        done += part;
        off = 0;
    }
    return done;
}

unsigned iov_slice(struct iovec *out, unsigned nout, const struct iovec *iov, unsigned n, u64 off,
                   u64 len)
{
    unsigned k = 0;

    for (unsigned i = 0; i < n && k < nout && len; i++) {
        if (off >= iov[i].iov_len) {
            off -= iov[i].iov_len;
            continue;
        }
        u64 part = min((u64)iov[i].iov_len - off, len);

        out[k++] = (struct iovec){(u8 *)iov[i].iov_base + off, part};
        len -= part;
        off = 0;
    }
    return k;
}

/* ----------------------------------------------------------------------- state -- */

#define QUEUE_FIELDS(n)                                                                            \
    FIELD_MAX(struct virtio_dev, queue[n].size, VIRTQ_SIZE_MAX),                                   \
        FIELD(struct virtio_dev, queue[n].vector),                                                 \
        FIELD_MAX(struct virtio_dev, queue[n].enabled, 1),                                         \
        FIELD_MAX(struct virtio_dev, queue[n].broken, 1),                                          \
        FIELD_MAX(struct virtio_dev, queue[n].kick_off, 1),                                        \
        FIELD_MAX(struct virtio_dev, queue[n].signalled_valid, 1),                                 \
        FIELD(struct virtio_dev, queue[n].last_avail),                                             \
        FIELD(struct virtio_dev, queue[n].used_idx),                                               \
        FIELD(struct virtio_dev, queue[n].signalled_used),                                         \
        FIELD(struct virtio_dev, queue[n].desc), FIELD(struct virtio_dev, queue[n].avail),         \
        FIELD(struct virtio_dev, queue[n].used)

static const struct field virtio_fields[] = {
    FIELD(struct virtio_dev, features),
    FIELD(struct virtio_dev, status),
    FIELD_MAX(struct virtio_dev, isr, 3),
    FIELD(struct virtio_dev, config_gen),
    FIELD(struct virtio_dev, config_vector),
    QUEUE_FIELDS(0),
    QUEUE_FIELDS(1),
    QUEUE_FIELDS(2),
    QUEUE_FIELDS(3),
    QUEUE_FIELDS(4),
    QUEUE_FIELDS(5),
    QUEUE_FIELDS(6),
    QUEUE_FIELDS(7),
    QUEUE_FIELDS(8),
    QUEUE_FIELDS(9),
    QUEUE_FIELDS(10),
    QUEUE_FIELDS(11),
    QUEUE_FIELDS(12),
    QUEUE_FIELDS(13),
    QUEUE_FIELDS(14),
    QUEUE_FIELDS(15),
    QUEUE_FIELDS(16),
    QUEUE_FIELDS(17),
    QUEUE_FIELDS(18),
    QUEUE_FIELDS(19),
};
_Static_assert(VIRTIO_QUEUES == 20, "a row of QUEUE_FIELDS for each queue");

static int virtio_loaded(void *obj, struct err *e)
{
    struct virtio_dev *d = obj;

    if (d->features & ~d->host_features)
        return err_set(e, EINVAL, "features %llx, of which the device has only %llx",
                       (unsigned long long)d->features, (unsigned long long)d->host_features);
    for (unsigned i = 0; i < VIRTIO_QUEUES; i++) {
        const struct virtq *q = &d->queue[i];

        if (q->size > q->size_max || (q->enabled && !is_pow2(q->size)))
            return err_set(e, EINVAL, "queue %u of size %u", i, q->size);
    }
    return 0;
}

const struct state_desc virtio_state = {.name = "virtio",
                                        .version = 1,
                                        .fields = virtio_fields,
                                        .nfields = ARRAY_SIZE(virtio_fields),
                                        .loaded = virtio_loaded};
