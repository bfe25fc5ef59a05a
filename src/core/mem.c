/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory in one memfd, and DMA to it.
 *
 * The mapping is reserved one page longer than the memfd, with no access, so that a stray access
 * past the end faults instead of reaching something else of ours.
 */
#include "core/mem.h"

#include "core/bus.h"
#include "core/lazymem.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *map_or_null(size_t len, int prot, int flags, int fd)
{
    void *p = mmap(NULL, len, prot, flags, fd, 0);

    return p == MAP_FAILED ? NULL : p;
}

int mem_open(struct mem *m, u64 ram_size, struct err *e)
{
    memset(m, 0, sizeof(*m));
    m->ram_size = ram_size;
    m->shared = true;
    m->size = ram_size + MEM_EXTRA;
    m->used = ram_size;
    m->fd = memfd_create("wirt-ram", MFD_CLOEXEC);
    if (m->fd < 0 || ftruncate(m->fd, (off_t)m->size)) {
        err_set(e, errno, "guest memory of %llu MiB: %s", (unsigned long long)(ram_size / MIB),
                strerror(errno));
        goto fail;
    }
    m->hva = map_or_null(m->size + PAGE_SIZE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!m->hva || mmap(m->hva, m->size, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_FIXED | MAP_NORESERVE, m->fd, 0) == MAP_FAILED) {
        err_set(e, errno, "mapping guest memory of %llu MiB: %s",
                (unsigned long long)(ram_size / MIB), strerror(errno));
        goto fail;
    }
    madvise(m->hva, m->size, MADV_DONTDUMP);
    m->page_flags = map_or_null(m->size >> PAGE_SHIFT, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    m->page_gen = map_or_null((m->size >> PAGE_SHIFT) * sizeof(u32), PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
    if (!m->page_flags || !m->page_gen) {
        err_set(e, ENOMEM, "guest memory: no room for page flags");
        goto fail;
    }
    return 0;
fail:;
    int code = errno ? errno : ENOMEM;
    mem_close(m);
    return -code;
}

void mem_close(struct mem *m)
{
    if (m->hva)
        munmap(m->hva, m->size + PAGE_SIZE);
    if (m->page_flags)
        munmap(m->page_flags, m->size >> PAGE_SHIFT);
    if (m->page_gen)
        munmap(m->page_gen, (m->size >> PAGE_SHIFT) * sizeof(u32));
    if (m->fd >= 0)
        close(m->fd);
    *m = (struct mem){.fd = -1};
}

u8 *mem_alloc(struct mem *m, u64 size)
{
    u64 at = m->used;

    size = align_up(size, PAGE_SIZE);
    if (size > m->size - at)
        return NULL;
    m->used += size;
    return m->hva + at;
}

void mem_discard(struct mem *m, u64 ram_off, u64 len)
{
    BUG_ON((ram_off | len) & PAGE_MASK || !range_within(ram_off, len, 0, m->ram_size));
    if (!madvise(m->hva + ram_off, len, m->shared ? MADV_REMOVE : MADV_DONTNEED))
        mem_wrote(m, m->hva + ram_off, len);
}

void mem_code_wrote(struct mem *m, u64 ram_off, u64 len)
{
    for (u64 page = ram_off >> PAGE_SHIFT; page <= (ram_off + len - 1) >> PAGE_SHIFT; page++)
        __atomic_fetch_add(&m->page_gen[page], 1, __ATOMIC_ACQ_REL);
    if (m->code_written)
        m->code_written(m->code_opaque, ram_off, len);
}

void mem_wrote(struct mem *m, const u8 *hva, u64 len)
{
    u64 off = (u64)(hva - m->hva);

    if (!len || off >= m->size)
        return;
    BUG_ON(len > m->size - off);
    for (u64 end = off + len; off < end;) {
        u64 n = min(end - off, PAGE_SIZE - (off & PAGE_MASK));
        u8 *flags = &m->page_flags[off >> PAGE_SHIFT];
        u8 f = __atomic_load_n(flags, __ATOMIC_RELAXED);

        if (unlikely(f & PAGE_WATCH))
            __atomic_fetch_and(flags, (u8)~PAGE_WATCH, __ATOMIC_SEQ_CST);
        if (unlikely(f & PAGE_CODE))
            mem_code_wrote(m, off, n);
        off += n;
    }
}

bool mem_watch(struct mem *m, const u8 *hva, u64 len, u8 *dirty)
{
    u64 off = (u64)(hva - m->hva), first = off >> PAGE_SHIFT;
    bool any = false;

    if (!len)
        return false;
    BUG_ON(!range_within(off, len, 0, m->size));
    if (m->watch_before)
        m->watch_before(m->watch_opaque, off, len);
    for (u64 page = first; page <= (off + len - 1) >> PAGE_SHIFT; page++) {
        u8 *flags = &m->page_flags[page];

        if (__atomic_load_n(flags, __ATOMIC_ACQUIRE) & PAGE_WATCH)
            continue;
        __atomic_fetch_or(flags, PAGE_WATCH, __ATOMIC_SEQ_CST);
        dirty[page - first] = 1;
        any = true;
    }
    if (any && m->watch_armed)
        m->watch_armed(m->watch_opaque);
    return any;
}

/* ------------------------------------------------------------------- DMA -- */

void *mem_map(const struct dma *d, u64 gpa, u64 *len, bool write)
{
    struct region *r = bus_find(d->mmio, gpa);
    u64 off = r ? gpa - r->base : 0;
    u8 *p;

    if (!r || r->ops || off >= r->size)
        return NULL;
    p = write ? r->whva : r->hva;
    if (!p || !mem_owns(d->mem, p + off))
        return NULL;
    *len = min(*len, r->size - off);
    if (unlikely(__atomic_load_n(&d->mem->lazy, __ATOMIC_ACQUIRE)))
        lazy_touch(d->mem, p + off, *len);
    return p + off;
}

bool mem_read(const struct dma *d, u64 gpa, void *buf, u64 len)
{
    bool ok = true;
    u8 *to = buf;

    while (len) {
        u64 n = len;
        const u8 *p = mem_map(d, gpa, &n, false);

        if (p) {
            memcpy(to, p, n);
        } else {
            n = min(len, PAGE_SIZE - (gpa & PAGE_MASK));
            memset(to, 0xff, n);
            ok = false;
        }
        gpa += n;
        to += n;
        len -= n;
    }
    return ok;
}

bool mem_write(const struct dma *d, u64 gpa, const void *buf, u64 len)
{
    bool ok = true;
    const u8 *from = buf;

    while (len) {
        u64 n = len;
        u8 *p = mem_map(d, gpa, &n, true);

        if (p) {
            memcpy(p, from, n);
            mem_wrote(d->mem, p, n);
        } else {
            n = min(len, PAGE_SIZE - (gpa & PAGE_MASK));
            ok = false;
        }
        gpa += n;
        from += n;
        len -= n;
    }
    return ok;
}

#define DMA_ACCESSORS(bits)                                                                        \
    u##bits mem_read##bits(const struct dma *d, u64 gpa)                                           \
    {                                                                                              \
        u64 n = bits / 8;                                                                          \
        u##bits v, *p = mem_map(d, gpa, &n, false);                                                \
                                                                                                   \
        if (likely(p && n == bits / 8))                                                            \
            return __atomic_load_n(p, __ATOMIC_ACQUIRE);                                           \
        mem_read(d, gpa, &v, bits / 8);                                                            \
        return v;                                                                                  \
    }                                                                                              \
    void mem_write##bits(const struct dma *d, u64 gpa, u##bits v)                                  \
    {                                                                                              \
        u64 n = bits / 8;                                                                          \
        u##bits *p = mem_map(d, gpa, &n, true);                                                    \
                                                                                                   \
        if (likely(p && n == bits / 8)) {                                                          \
            __atomic_store_n(p, v, __ATOMIC_RELEASE);                                              \
            mem_wrote(d->mem, (u8 *)p, bits / 8);                                                  \
        } else {                                                                                   \
            mem_write(d, gpa, &v, bits / 8);                                                       \
        }                                                                                          \
    }
DMA_ACCESSORS(16)
DMA_ACCESSORS(32)
DMA_ACCESSORS(64)
