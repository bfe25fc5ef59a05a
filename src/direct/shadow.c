/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "direct/shadow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { AROUND = 16, REGION = 512 }; /* pages */

/* Ways to find an entry: linear probing.  An entry that went keeps its place until the next flush.
 */
static struct shadow_page *probe(const struct shadow *s, u64 vpage)
{
    u32 h = (u32)(vpage * 0x9e3779b97f4a7c15ull >> (64 - SHADOW_BITS));

    for (;; h = (h + 1) & (SHADOW_SIZE - 1)) {
        struct shadow_page *p = &s->page[h];
        if (p->gen != s->gen || (p->vpage_low == (u32)vpage && p->vpage_high == vpage >> 32))
            return p;
    }
}

static struct shadow_page *find(const struct shadow *s, u64 vpage)
{
    struct shadow_page *p = probe(s, vpage);

    return p->gen == s->gen && p->rights & MAPPED ? p : NULL;
}

bool shadow_refuses(const struct shadow *s, u64 lin)
{
    const struct shadow_page *p = probe(s, lin >> PAGE_SHIFT);

    return p->gen == s->gen && p->rights & REFUSED;
}

static u64 page_number(const struct shadow_page *p)
{
    return (u64)p->vpage_high << 32 | p->vpage_low;
}

int shadow_open(struct shadow *s)
{
    *s = (struct shadow){.child.pidfd = -1, .gen = 1};
    s->page = calloc(SHADOW_SIZE, sizeof(*s->page));
    s->list = calloc(SHADOW_MAX, sizeof(*s->list));
    if (s->page && s->list)
        return 0;
    shadow_close(s);
    return -ENOMEM;
}

void shadow_close(struct shadow *s)
{
    child_end(&s->child);
    free(s->page);
    free(s->list);
    s->page = NULL;
    s->list = NULL;
}

/* ------------------------------------------------------------ the list of calls -- */

static void op(struct shadow *s, struct child_op call)
{
    if (s->drop_all || !s->child.pid)
        return; /* it will be empty, or is */
    if (s->child.nops == CHILD_OPS)
        shadow_flush(s);
    else
        s->child.ops[s->child.nops++] = call;
}

static void op_unmap(struct shadow *s, u64 vpage, u64 pages)
{
    op(s, (struct child_op){SYS_munmap, {vpage << PAGE_SHIFT, pages << PAGE_SHIFT}});
}

void shadow_is_mixed(struct shadow *s)
{
    if (s->mixed)
        return;
    shadow_flush(s);
    s->mixed = true;
}

void shadow_flush(struct shadow *s)
{
    if (!s->used && !s->child.nops)
        return;
    s->drop_all = true;
    s->child.nops = 0;
    s->used = s->runs = s->page_ins = s->nregions = 0;
    s->large = false;
    memset(s->regions, 0, sizeof(s->regions));
    memset(s->site, 0, sizeof(s->site));
    memset(s->copy, 0, sizeof(s->copy));
    if (!++s->gen) {
        memset(s->page, 0, SHADOW_SIZE * sizeof(*s->page));
        s->gen = 1;
    }
}

bool shadow_apply(struct shadow *s)
{
    struct child *ch = &s->child;

    if (s->drop_all) {
        u64 end = ch->stub + ch->stub_len;
        s->drop_all = false;
        op_unmap(s, 0, ch->stub >> PAGE_SHIFT);
        op_unmap(s, end >> PAGE_SHIFT, (CHILD_TOP - end) >> PAGE_SHIFT);
    }
    return child_apply(ch) && child_stop_at(ch, s->site);
}

/* ------------------------------------------------------------ taking away -- */

static void forget(struct shadow *s, struct shadow_page *p)
{
    u64 vpage = page_number(p);

    for (unsigned i = 0; i < SCREEN_SITES && p->rights & MAPPED_X; i++)
        if (s->site[i] >> PAGE_SHIFT == vpage)
            s->site[i] = 0;
    for (unsigned i = 0; i < CHILD_COPIES && p->rights & MAPPED_X; i++)
        if (s->copy[i] == vpage)
            s->copy[i] = 0;
    p->rights = 0;
}

/* Any address of a large page stands for all of it, also one that is not mapped here. */
static bool has_large(const struct shadow *s, u64 region)
{
    for (u64 i = 0; s->large && i < REGION; i++) {
        const struct shadow_page *p = find(s, region + i);
        if (p && p->rights & MAPPED_LARGE)
            return true;
    }
    return false;
}

void shadow_flush_page(struct shadow *s, u64 lin)
{
    u64 vpage = lin >> PAGE_SHIFT, region = align_down(vpage, REGION), n = 1;
    struct shadow_page *p;

    if (lin >= CHILD_TOP)
        return;
    if (has_large(s, region)) {
        vpage = region;
        n = REGION;
    } else if (!find(s, vpage)) {
        return;
    }
    op_unmap(s, vpage, n);
    for (u64 i = 0; i < n; i++)
        if ((p = find(s, vpage + i)))
            forget(s, p);
}

void shadow_code_gone(struct shadow *s, u64 ram_page)
{
    for (u32 i = 0; i < s->used; i++) {
        struct shadow_page *p = &s->page[s->list[i]];
        if (!(p->rights & (MAPPED_X | REFUSED)) || p->ram_page != ram_page)
            continue;
        if (p->rights & MAPPED)
            op_unmap(s, page_number(p), 1);
        forget(s, p);
    }
}

static bool is_told(const struct mem *m, u64 ram_page)
{
    return __atomic_load_n(&m->page_flags[ram_page], __ATOMIC_SEQ_CST) & (PAGE_CODE | PAGE_WATCH);
}

void shadow_sync(struct shadow_owner *o, struct shadow *s, u64 ram_page)
{
    struct mem *m = &o->c->vm->mem;

    for (u32 i = 0; i < s->used; i++) {
        struct shadow_page *p = &s->page[s->list[i]];
        if (!(p->rights & MAPPED_W))
            continue;
        if (ram_page != UINT64_MAX ? p->ram_page != ram_page : !is_told(m, p->ram_page))
            continue;
        u64 at = page_number(p);
        p->rights &= ~(u32)MAPPED_W;
        op(s, (struct child_op){SYS_mprotect, {at << PAGE_SHIFT, PAGE_SIZE, PROT_READ}});
        if (ram_page == UINT64_MAX)
            mem_wrote(m, m->hva + ((u64)p->ram_page << PAGE_SHIFT), PAGE_SIZE);
    }
}

/* ------------------------------------------------------------ mapping -- */

/* Pages that lie one behind the other, in the program and in the memfd, with the same rights. */
struct run {
    u64 vpage, ram_page, n;
    u32 rights;
};

static void run_end(struct shadow *s, struct run *r)
{
    int prot = PROT_READ | (r->rights & MAPPED_W ? PROT_WRITE : 0) |
               (r->rights & MAPPED_X ? PROT_EXEC : 0);

    if (!r->n)
        return;
    op(s, (struct child_op){SYS_mmap,
                            {r->vpage << PAGE_SHIFT, r->n << PAGE_SHIFT, (u64)prot,
                             MAP_SHARED | MAP_FIXED | MAP_POPULATE, (u64)s->child.ram_fd,
                             r->ram_page << PAGE_SHIFT}});
    s->runs++;
    r->n = 0;
}

static void run_add(struct shadow *s, struct run *r, u64 vpage, u64 ram_page, u32 rights)
{
    if (r->n && vpage == r->vpage + r->n && ram_page == r->ram_page + r->n && rights == r->rights) {
        r->n++;
        return;
    }
    run_end(s, r);
    *r = (struct run){vpage, ram_page, 1, rights};
}

static void enter(struct shadow_owner *o, struct shadow *s, u64 vpage, u64 ram_page, u32 rights)
{
    struct shadow_page *p = probe(s, vpage);

    if (p->gen != s->gen)
        s->list[s->used++] = (u32)(p - s->page);
    *p = (struct shadow_page){
        .gen = s->gen,
        .rights = rights,
        .vpage_low = (u32)vpage,
        .vpage_high = (u32)(vpage >> 32) & 7,
        .ram_page = (u32)ram_page & ((1u << 29) - 1),
    };
    s->large |= rights & MAPPED_LARGE;
    o->ram_bits[ram_page] |= (u8)rights & (MAPPED_W | MAPPED_X | REFUSED);
}

/* What a page may be mapped with; 0 = it may not. */
static u32 rights_of(struct shadow_owner *o, u64 vpage, struct mmu_page *page)
{
    if (!mmu_look(o->c, vpage << PAGE_SHIFT, page))
        return 0;
    bool told = is_told(&o->c->vm->mem, page->ram_page);
    return MAPPED | (page->large ? MAPPED_LARGE : 0) | (page->write && !told ? MAPPED_W : 0);
}

/* Was there a fault in this 2 MiB region lately?  Then the next ones will be there too. */
static bool seen_region(struct shadow *s, u64 vpage)
{
    u64 region = vpage / REGION + 1;

    for (unsigned i = 0; i < ARRAY_SIZE(s->regions); i++)
        if (s->regions[i] == region)
            return true;
    s->regions[s->nregions++ % ARRAY_SIZE(s->regions)] = region;
    return false;
}

static void map_around(struct shadow_owner *o, struct shadow *s, u64 vpage, bool large)
{
    u64 n = large || seen_region(s, vpage) ? REGION : AROUND, first = align_down(vpage, n);
    u64 stub = s->child.stub >> PAGE_SHIFT, stub_n = s->child.stub_len >> PAGE_SHIFT;
    struct run run = {0};

    for (u64 v = first; v < first + n && s->child.nops < CHILD_OPS - 2; v++) {
        struct shadow_page *p = find(s, v);
        struct mmu_page page;
        u32 rights;

        if (v - stub < stub_n || (p && (p->rights & (MAPPED_W | MAPPED_X) || v != vpage)) ||
            !(rights = rights_of(o, v, &page)))
            continue;
        enter(o, s, v, page.ram_page, rights);
        run_add(s, &run, v, page.ram_page, rights);
    }
    run_end(s, &run);
}

/* Its data may be mapped all the same, some time; then the program will ask for it once more. */
static enum page_in refuse(struct shadow_owner *o, struct shadow *s, u64 vpage, u64 ram_page)
{
    for (unsigned i = 0; i < CHILD_COPIES; i++)
        if (s->copy[i] == vpage)
            s->copy[i] = 0;
    op_unmap(s, vpage, 1);
    enter(o, s, vpage, ram_page, REFUSED);
    return PAGE_IN_CODE;
}

/* In 32-bit code, which a few programs get to by a far jump, the host's SYSCALL does not come back
 * to where it was called: it goes to an address that is the host's. */
static bool calls_from_32bit(const struct shadow *s, u64 vpage, const u8 *code)
{
    return s->mixed && vpage >> (32 - PAGE_SHIFT) == 0 &&
           (code[0] == 0x05 || memmem(code, PAGE_SIZE, "\x0f\x05", 2));
}

/* Places where the page must stop get what is free of the processor's breakpoints. */
static bool place_sites(struct shadow *s, u64 vpage, const struct screened *code)
{
    unsigned n = code->nsites;

    for (unsigned i = 0; i < SCREEN_SITES && n; i++)
        if (!s->site[i])
            s->site[i] = vpage << PAGE_SHIFT | code->site[--n];
    if (!n)
        return true;
    for (unsigned i = 0; i < SCREEN_SITES; i++)
        if (s->site[i] >> PAGE_SHIFT == vpage)
            s->site[i] = 0;
    return false;
}

/* A copy of the page with what must not run taken out of it; CHILD_COPIES: none is free. */
static unsigned make_copy(struct shadow *s, u64 vpage, const u8 *page, const struct screened *code)
{
    unsigned i = 0;

    while (i < CHILD_COPIES && s->copy[i])
        i++;
    if (i == CHILD_COPIES)
        return i;
    u8 *copy = s->child.copies + i * PAGE_SIZE;
    memcpy(copy, page, PAGE_SIZE);
    screen_patch(copy, code);
    s->copy[i] = vpage;
    return i;
}

static enum page_in map_code(struct shadow_owner *o, struct shadow *s, u64 vpage)
{
    const struct mem *m = &o->c->vm->mem;
    struct screened code;
    struct mmu_page page;
    u16 known[SCREEN_PATCHES];

    if (!mmu_fill(o->c, vpage << PAGE_SHIFT, TLB_EXEC) ||
        !mmu_look(o->c, vpage << PAGE_SHIFT, &page) || !page.exec)
        return PAGE_IN_SOFT;
    o->hold_code(o, page.ram_page);
    const u8 *bytes = m->hva + (page.ram_page << PAGE_SHIFT);
    struct child_op map = {SYS_mmap,
                           {vpage << PAGE_SHIFT, PAGE_SIZE, PROT_READ | PROT_EXEC,
                            MAP_SHARED | MAP_FIXED | MAP_POPULATE, (u64)s->child.ram_fd,
                            page.ram_page << PAGE_SHIFT}};
    if (calls_from_32bit(s, vpage, bytes) ||
        !screen_page(bytes, known, o->known(o, page.ram_page, known), &code))
        return refuse(o, s, vpage, page.ram_page);
    if (code.npatches) {
        unsigned i = make_copy(s, vpage, bytes, &code);
        if (i == CHILD_COPIES)
            return refuse(o, s, vpage, page.ram_page);
        map.arg[4] = (u64)s->child.copies_fd;
        map.arg[5] = CHILD_COPIES_AT + i * PAGE_SIZE;
    }
    if (!place_sites(s, vpage, &code))
        return refuse(o, s, vpage, page.ram_page);
    enter(o, s, vpage, page.ram_page, MAPPED | MAPPED_X | (page.large ? MAPPED_LARGE : 0));
    op(s, map);
    s->runs++;
    return PAGE_IN_DONE;
}

static enum page_in map_data(struct shadow_owner *o, struct shadow *s, u64 vpage)
{
    const struct shadow_page *p = find(s, vpage);
    struct mmu_page page;

    /* what can be read, and is not read, is written */
    if ((p && p->rights & MAPPED_W) ||
        !mmu_fill(o->c, vpage << PAGE_SHIFT, p ? TLB_WRITE : TLB_READ) ||
        !mmu_look(o->c, vpage << PAGE_SHIFT, &page))
        return PAGE_IN_SOFT;
    map_around(o, s, vpage, page.large);
    p = find(s, vpage);
    return p ? PAGE_IN_DONE : PAGE_IN_SOFT;
}

/* May the instruction that begins at rip reach over into the page at lin?  Then this is no access
 * of data, as far as anybody knows. */
static bool reaches_over(u64 rip, u64 lin)
{
    return !(lin & PAGE_MASK) && rip < lin && lin - rip < INSN_MAX;
}

enum page_in shadow_page_in(struct shadow_owner *o, struct shadow *s, u64 lin, u64 rip)
{
    u64 vpage = lin >> PAGE_SHIFT, stub = s->child.stub;
    enum { LOWEST = 64 << 10 }; /* vm.mmap_min_addr */

    if (lin >= CHILD_TOP || lin < LOWEST || lin - stub < s->child.stub_len ||
        reaches_over(rip, lin))
        return PAGE_IN_SOFT;
    if (s->used + REGION > SHADOW_MAX || s->runs + REGION > SHADOW_RUNS_MAX ||
        s->page_ins++ == SHADOW_PAGE_INS_MAX)
        shadow_flush(s);
    if ((s->drop_all || s->child.nops > CHILD_OPS / 4) && !shadow_apply(s))
        return PAGE_IN_BROKEN;
    const struct shadow_page *p = find(s, vpage);
    bool code = vpage == rip >> PAGE_SHIFT && !(p && p->rights & MAPPED_X);
    enum page_in r = code ? map_code(o, s, vpage) : map_data(o, s, vpage);
    return r == PAGE_IN_DONE && !shadow_apply(s) ? PAGE_IN_BROKEN : r;
}
