/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The code cache of one vCPU, and what finds and drops translations.
 *
 * One memfd is mapped twice, writable and executable, never both in one mapping.  Code is laid down
 * one block after the other; when the cache or a table is full, all of it is forgotten.
 *
 * A block is known by its cpage and its offset in that page.  A cpage says: this virtual page, at
 * this page of the memfd, run in this mode.  Its number also stands in cpu.code_map while the
 * virtual page is mapped so; jumps to other pages compare it there, which is why links between
 * blocks stay good over address-space switches.
 *
 * Other blocks jump to `entry`, which never moves while the cache lives.  A block whose bytes were
 * written becomes stale: a call to a thunk is written over its entry.  When it is translated again
 * the entry becomes a jump to the new body.
 *
 * Each write to a page with code takes the slow path.  So when more writes come after one that hit
 * a block, with nothing translated in between, new code is being made: all blocks of the page are
 * dropped and it is plain memory again.  The same after many writes that hit no block.
 */
#include "base/endian.h"
#include "direct/direct.h"
#include "translate/soft.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MISSES_MAX = 512, WRITES_NEW_CODE = 4 };

static int map_code(struct soft *sc, struct err *e)
{
    int fd = memfd_create("wirt-code", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, CACHE_BYTES) < 0) {
        int rc = err_set(e, errno, "code cache: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return rc;
    }
    sc->rw = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sc->rx = mmap(NULL, CACHE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_32BIT, fd, 0);
    int rc = errno;
    close(fd);
    if (sc->rw == MAP_FAILED || sc->rx == MAP_FAILED)
        return err_set(e, rc, "code cache: mmap of executable memory: %s", strerror(rc));
    return 0;
}

int cache_open(struct soft *sc, struct err *e)
{
    u64 pages = sc->c.vm->mem.size >> PAGE_SHIFT;
    int rc = map_code(sc, e);

    if (rc)
        return rc;
    sc->blocks = calloc(BLOCKS_MAX, sizeof(*sc->blocks));
    sc->block_hash = calloc(BLOCK_HASH, sizeof(*sc->block_hash));
    sc->cpages = calloc(CPAGES_MAX, sizeof(*sc->cpages));
    sc->cpage_hash = calloc(CPAGE_HASH, sizeof(*sc->cpage_hash));
    sc->ram_pages = calloc(pages, sizeof(*sc->ram_pages));
    sc->ram_held = calloc(pages, sizeof(*sc->ram_held));
    sc->page_writes = calloc(pages, sizeof(*sc->page_writes));
    if (!sc->blocks || !sc->block_hash || !sc->cpages || !sc->cpage_hash || !sc->ram_pages ||
        !sc->ram_held || !sc->page_writes)
        return err_set(e, ENOMEM, "translator: no memory for tables");
    sc->e = (struct emit){sc->rw, sc->rw + CACHE_BYTES, sc->rx - sc->rw};
    thunks_make(sc);
    sc->code_start = sc->e.p;
    sc->trimmed = sc->rw;
    sc->nblocks = sc->ncpages = 1;
    for (unsigned i = 0; i < MMU_SLOW; i++)
        for (unsigned k = 0; k < JUMPS_SIZE; k++)
            sc->jumps[i][k].rip = JUMPS_NONE(k);
    return 0;
}

void cache_close(struct soft *sc)
{
    if (sc->rw && sc->rw != MAP_FAILED)
        munmap(sc->rw, CACHE_BYTES);
    if (sc->rx && sc->rx != MAP_FAILED)
        munmap(sc->rx, CACHE_BYTES);
    free(sc->blocks);
    free(sc->block_hash);
    free(sc->cpages);
    free(sc->cpage_hash);
    free(sc->ram_pages);
    free(sc->ram_held);
    free(sc->page_writes);
}

void cache_flush(struct soft *sc)
{
    for (u32 i = 1; i < sc->ncpages; i++)
        sc->ram_pages[sc->cpages[i].ram_page] = 0;
    memset(sc->block_hash, 0, BLOCK_HASH * sizeof(*sc->block_hash));
    memset(sc->cpage_hash, 0, CPAGE_HASH * sizeof(*sc->cpage_hash));
    code_map_flush(&sc->c.code_map, true);
    sc->c.code_map.gen++;
    for (unsigned i = 0; i < MMU_SLOW; i++)
        jumps_clear(sc, i);
    sc->nblocks = sc->ncpages = 1;
    sc->e.p = sc->code_start;
    sc->trimmed = sc->rw;
    sc->changes++;
    sc->stats.flushes++;
}

/* ------------------------------------------------------------ cpages -- */

static u32 cpage_hash(u64 vpage, u64 ram_page, u16 key)
{
    u64 h = (vpage * 0x9e3779b97f4a7c15ull) ^ (ram_page * 0xff51afd7ed558ccdull) ^ key;
    return (u32)(h >> 40 ^ h) & (CPAGE_HASH - 1);
}

u32 cpage_get(struct soft *sc, u64 vpage, u64 ram_page, u16 key)
{
    u32 h = cpage_hash(vpage, ram_page, key);

    for (u32 i = sc->cpage_hash[h]; i; i = sc->cpages[i].next_hash) {
        const struct cpage *p = &sc->cpages[i];
        if (p->vpage == vpage && p->ram_page == ram_page && p->key == key)
            return i;
    }
    if (sc->ncpages == CPAGES_MAX)
        cache_flush(sc);
    u32 i = sc->ncpages++;
    sc->cpages[i] = (struct cpage){
        .vpage = vpage,
        .ram_page = ram_page,
        .key = key,
        .next_hash = sc->cpage_hash[h],
        .next_ram = sc->ram_pages[ram_page],
    };
    sc->cpage_hash[h] = i;
    sc->ram_pages[ram_page] = i;
    return i;
}

/* ------------------------------------------------------------ blocks -- */

static u32 block_hash(u32 cpage, u16 off)
{
    u32 h = (cpage << 12 | off) * 0x9e3779b1u;
    return h >> 16;
}

static struct block *block_any(struct soft *sc, u32 cpage, u16 off)
{
    for (u32 i = sc->block_hash[block_hash(cpage, off)]; i; i = sc->blocks[i].next_hash)
        if (sc->blocks[i].cpage == cpage && sc->blocks[i].off == off)
            return &sc->blocks[i];
    return NULL;
}

struct block *block_find(struct soft *sc, u32 cpage, u16 off)
{
    struct block *b = block_any(sc, cpage, off);
    return b && b->body ? b : NULL;
}

struct block *block_make(struct soft *sc, u32 cpage, u16 off)
{
    struct block *b = block_any(sc, cpage, off);

    if (b)
        return b;
    if (sc->nblocks == BLOCKS_MAX || sc->e.end - sc->e.p < CACHE_SLACK)
        return NULL;
    u32 i = sc->nblocks++, h = block_hash(cpage, off);
    b = &sc->blocks[i];
    *b = (struct block){
        .cpage = cpage,
        .off = off,
        .next_hash = sc->block_hash[h],
        .next_in_page = sc->cpages[cpage].blocks,
    };
    sc->block_hash[h] = i;
    sc->cpages[cpage].blocks = i;
    return b;
}

void block_commit(struct soft *sc, struct block *b, u8 *body)
{
    b->body = cache_off(sc, body);
    if (!b->entry) {
        b->entry = b->body;
        return;
    }
    u8 *p = sc->rw + b->entry;
    if (p == body)
        return;
    *p = 0xe9;
    emit_patch(p + 1, body);
}

bool block_spans(struct soft *sc, struct block *b, u32 second, unsigned len)
{
    if (sc->nblocks == BLOCKS_MAX)
        return false;
    u32 i = sc->nblocks++;
    sc->blocks[i] = (struct block){
        .cpage = second,
        .len = (u16)len,
        .body = 1,
        .primary = (u32)(b - sc->blocks),
        .next_in_page = sc->cpages[second].blocks,
    };
    sc->cpages[second].blocks = i;
    return true;
}

void cache_trim(struct soft *sc)
{
    if (sc->e.p - sc->trimmed < 2 * CACHE_TRIM)
        return;
    sc->trimmed += CACHE_TRIM;
    madvise(sc->rw, (size_t)(sc->trimmed - sc->rw), MADV_DONTNEED); /* links touched old parts */
}

/* Writes "lea S1, [block's site]; jmp stale" over the entry; the site stands before it. */
void block_drop(struct soft *sc, struct block *b)
{
    if (b->primary) {
        b->body = 0;
        b = &sc->blocks[b->primary];
        if (!b->body)
            return;
    }
    struct emit e = {sc->rw + b->entry, sc->rw + b->entry + 16, sc->e.rx};
    u8 *lea = emit_lea_rip(&e, S1);

    emit_patch(lea, sc->rw + b->entry - CHECK_BYTES - MOVED_BYTES - EXIT_BYTES);
    emit_jmp_to(&e, sc->thunks[sc->cpages[b->cpage].key & KEY_64 ? 1 : 0].stale);
    b->body = 0;
    sc->changes++;
    sc->stats.stale++;
}

void cache_hold(struct soft *sc, u64 ram_page)
{
    if (sc->ram_held[ram_page])
        return;
    sc->ram_held[ram_page] = 1;
    pthread_mutex_lock(&sc->shared->lock);
    sc->shared->holders[ram_page]++;
    mmu_protect_code(&sc->c, ram_page << PAGE_SHIFT);
    pthread_mutex_unlock(&sc->shared->lock);
}

static void cpage_forget(struct soft *sc, u32 i)
{
    const struct cpage *p = &sc->cpages[i];
    u32 *link = &sc->cpage_hash[cpage_hash(p->vpage, p->ram_page, p->key)];
    u32 *x = &sc->c.code_map.page[code_map_index(p->vpage << PAGE_SHIFT)];

    while (*link != i)
        link = &sc->cpages[*link].next_hash;
    *link = p->next_hash;
    if (*x == i)
        *x = 0;
    sc->c.code_map.gen++;
}

static void block_unhash(struct soft *sc, u32 n)
{
    const struct block *b = &sc->blocks[n];
    u32 *link = &sc->block_hash[block_hash(b->cpage, b->off)];

    while (*link && *link != n)
        link = &sc->blocks[*link].next_hash;
    if (*link)
        *link = b->next_hash;
}

/* Drops all blocks of a page; writes to it need not be told any more. */
static void drop_page(struct soft *sc, u64 ram_page)
{
    for (u32 i = sc->ram_pages[ram_page]; i; i = sc->cpages[i].next_ram) {
        for (u32 n = sc->cpages[i].blocks; n; n = sc->blocks[n].next_in_page) {
            if (sc->blocks[n].body)
                block_drop(sc, &sc->blocks[n]);
            block_unhash(sc, n);
        }
        cpage_forget(sc, i);
    }
    sc->ram_pages[ram_page] = 0;
    sc->page_writes[ram_page] = (struct page_writes){0};
    if (!sc->ram_held[ram_page])
        return;
    sc->ram_held[ram_page] = 0;
    pthread_mutex_lock(&sc->shared->lock);
    if (!--sc->shared->holders[ram_page])
        mmu_unprotect_code(&sc->c, ram_page << PAGE_SHIFT);
    pthread_mutex_unlock(&sc->shared->lock);
}

/* Bytes [lo, hi) of one page. */
static void page_wrote(struct soft *sc, u64 ram_page, unsigned lo, unsigned hi)
{
    bool hit = false, any = false;

    for (u32 i = sc->ram_pages[ram_page]; i; i = sc->cpages[i].next_ram) {
        for (u32 n = sc->cpages[i].blocks; n; n = sc->blocks[n].next_in_page) {
            struct block *b = &sc->blocks[n];
            if (b->primary && !sc->blocks[b->primary].body)
                b->body = 0;
            if (!b->body)
                continue;
            any = true;
            if ((lo < b->off + b->len && hi > b->off) || (lo < b->dep_hi && hi > b->dep_lo)) {
                block_drop(sc, b);
                hit = true;
            }
        }
    }
    struct page_writes *w = &sc->page_writes[ram_page];
    w->hit |= hit;
    w->count++;
    if (!any || w->count >= (w->hit ? WRITES_NEW_CODE : MISSES_MAX))
        drop_page(sc, ram_page);
}

void cache_wrote(struct soft *sc, u64 ram_off, u64 len)
{
    u64 page = ram_off >> PAGE_SHIFT, last = (ram_off + len - 1) >> PAGE_SHIFT;

    for (; page <= last; page++) {
        u64 lo = max(ram_off, page << PAGE_SHIFT),
            hi = min(ram_off + len, (page + 1) << PAGE_SHIFT);
        if (!sc->ram_held[page])
            continue;
        if (sc->direct)
            direct_code_gone(sc->direct, page);
        page_wrote(sc, page, lo & PAGE_MASK, (unsigned)(hi - (page << PAGE_SHIFT)));
    }
}
