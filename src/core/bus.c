/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bus: two copies of a sorted table of regions.  A writer changes the copy that readers do not
 * use and then raises `seq`; a reader that sees `seq` change while it looked looks again.
 *
 * Whoever found a region may still call it after it was unmapped or moved: that is what a bus
 * cycle under way on another processor does on a real machine too.
 */
#include "core/bus.h"

#include <errno.h>
#include <string.h>

void bus_init(struct bus *b, const char *name, unsigned addr_bits, struct trace *t)
{
    memset(b, 0, sizeof(*b));
    b->name = name;
    b->trace = t;
    b->limit = BIT64(addr_bits);
    pthread_mutex_init(&b->lock, NULL);
}

void bus_destroy(struct bus *b)
{
    pthread_mutex_destroy(&b->lock);
}

/* The number of ranges whose base is at or below addr. */
static u32 upper_bound(const struct bus_table *t, u64 addr)
{
    u32 lo = 0, hi = min(t->count, (u32)BUS_REGIONS_MAX);

    while (lo < hi) {
        u32 mid = (lo + hi) / 2;
        if (t->range[mid].base <= addr)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

struct region *bus_find(struct bus *b, u64 addr)
{
    for (;;) {
        u32 seq = __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE);
        const struct bus_table *t = &b->table[seq & 1];
        u32 n = upper_bound(t, addr);
        struct region *r = n && addr <= t->range[n - 1].last ? t->range[n - 1].region : NULL;

        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (likely(__atomic_load_n(&b->seq, __ATOMIC_RELAXED) == seq))
            return r;
    }
}

/* Publishes a table that b->lock's holder has made in the copy not in use. */
static void publish(struct bus *b)
{
    __atomic_store_n(&b->seq, b->seq + 1, __ATOMIC_RELEASE);
}

int bus_map(struct bus *b, struct region *r, u64 base)
{
    int ret = 0;

    if (!r->size || base >= b->limit || r->size > b->limit - base)
        return -ERANGE;
    pthread_mutex_lock(&b->lock);
    const struct bus_table *now = &b->table[b->seq & 1];
    struct bus_table *next = &b->table[~b->seq & 1];
    u64 last = base + r->size - 1;
    u32 n = upper_bound(now, base);

    BUG_ON(r->mapped);
    if (now->count == BUS_REGIONS_MAX) {
        ret = -ENOSPC;
    } else if ((n && now->range[n - 1].last >= base) ||
               (n < now->count && now->range[n].base <= last)) {
        ret = -EBUSY;
    } else {
        memcpy(next->range, now->range, n * sizeof(now->range[0]));
        next->range[n] = (struct bus_range){base, last, r};
        memcpy(&next->range[n + 1], &now->range[n], (now->count - n) * sizeof(now->range[0]));
        next->count = now->count + 1;
        r->base = base;
        r->mapped = true;
        publish(b);
    }
    pthread_mutex_unlock(&b->lock);
    if (ret)
        trace(b->trace, bus, "%s: %s at %#llx+%#llx rejected: %s", b->name, r->name,
              (unsigned long long)base, (unsigned long long)r->size, strerror(-ret));
    else if (b->changed)
        b->changed(b->changed_opaque, base, r->size);
    return ret;
}

void bus_unmap(struct bus *b, struct region *r)
{
    u64 base = r->base;

    pthread_mutex_lock(&b->lock);
    bool was = r->mapped;
    if (was) {
        const struct bus_table *now = &b->table[b->seq & 1];
        struct bus_table *next = &b->table[~b->seq & 1];
        u32 n = upper_bound(now, base);

        BUG_ON(!n || now->range[n - 1].region != r);
        memcpy(next->range, now->range, (n - 1) * sizeof(now->range[0]));
        memcpy(&next->range[n - 1], &now->range[n], (now->count - n) * sizeof(now->range[0]));
        next->count = now->count - 1;
        r->mapped = false;
        publish(b);
    }
    pthread_mutex_unlock(&b->lock);
    if (was && b->changed)
        b->changed(b->changed_opaque, base, r->size);
}

/* ------------------------------------------------------------ accesses -- */

static u64 ones(unsigned size)
{
    return size == 8 ? UINT64_MAX : BIT64(size * 8) - 1;
}

/* One access that lies inside the region and has a width that its ops take. */
static u64 io_read(struct region *r, u64 off, unsigned size)
{
    u64 v;

    if (r->lock)
        pthread_mutex_lock(r->lock);
    v = r->ops->read ? r->ops->read(r->opaque, off, size) : ones(size);
    if (r->lock)
        pthread_mutex_unlock(r->lock);
    return v & ones(size);
}

static void io_write(struct region *r, u64 off, unsigned size, u64 v)
{
    if (!r->ops->write)
        return;
    if (r->lock)
        pthread_mutex_lock(r->lock);
    r->ops->write(r->opaque, off, size, v & ones(size));
    if (r->lock)
        pthread_mutex_unlock(r->lock);
}

/*
 * How many of `left` bytes at off go out in the next access to the region: the whole if its width
 * is taken, else the largest part.  Widths below the region's smallest read that smallest and keep
 * what was asked for (see narrow_*).
 */
static unsigned part(const struct region *r, u64 off, unsigned left)
{
    unsigned most = r->ops->max_width ? r->ops->max_width : 4;
    unsigned n = left > most ? most : left;

    while (!is_pow2(n))
        n &= n - 1;
    if (r->ops->aligned)
        while (off & (n - 1))
            n /= 2;
    while (off + n > r->size)
        n /= 2;
    return n;
}

/* An access narrower than the region takes: reads the word around it. */
static u64 narrow_read(struct region *r, u64 off)
{
    unsigned w = r->ops->min_width;
    u64 at = align_down(off, w);

    return io_read(r, at, w) >> (off - at) * 8;
}

/* Written as the low part of a word with the other bytes zero, as a 32-bit device on a bus without
 * byte enables sees it. */
static void narrow_write(struct region *r, u64 off, unsigned n, u64 v)
{
    unsigned w = r->ops->min_width;
    u64 at = align_down(off, w);

    io_write(r, at, w, (v & ones(n)) << (off - at) * 8);
}

static u64 memory_read(const u8 *p, unsigned size)
{
    u64 v = 0;

    switch (size) {
    case 1:
        return *p;
    case 2:
    case 4:
    case 8:
        memcpy(&v, p, size);
        return v;
    default:
        for (unsigned i = 0; i < size; i++)
            v |= (u64)p[i] << i * 8;
        return v;
    }
}

u64 bus_read(struct bus *b, u64 addr, unsigned size)
{
    u64 v = 0;

    for (unsigned done = 0; done < size;) {
        struct region *r = bus_find(b, addr + done);
        u64 off = addr + done - (r ? r->base : 0);
        unsigned n = 1;
        u64 x = 0xff;

        if (!r || off >= r->size) {
            trace(b->trace, bus, "%s: unclaimed read of %u at %#llx", b->name, size,
                  (unsigned long long)addr);
        } else if (!r->ops) {
            n = (unsigned)min((u64)(size - done), r->size - off);
            x = r->hva ? memory_read(r->hva + off, n) : ones(n);
        } else {
            n = part(r, off, size - done);
            x = n < r->ops->min_width ? narrow_read(r, off) : io_read(r, off, n);
        }
        v |= (x & ones(n)) << done * 8;
        done += n;
    }
    return v;
}

void bus_write(struct bus *b, u64 addr, unsigned size, u64 val)
{
    for (unsigned done = 0; done < size;) {
        struct region *r = bus_find(b, addr + done);
        u64 off = addr + done - (r ? r->base : 0);
        unsigned n = 1;
        u64 x = val >> done * 8;

        if (!r || off >= r->size) {
            trace(b->trace, bus, "%s: unclaimed write of %u at %#llx: %#llx", b->name, size,
                  (unsigned long long)addr, (unsigned long long)val);
        } else if (!r->ops) {
            n = (unsigned)min((u64)(size - done), r->size - off);
            if (r->whva)
                memcpy(r->whva + off, &x, n);
        } else {
            n = part(r, off, size - done);
            if (n < r->ops->min_width)
                narrow_write(r, off, n, x);
            else
                io_write(r, off, n, x);
        }
        done += n;
    }
}
