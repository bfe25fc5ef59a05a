/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processes of one vCPU: an address space each, found by the process-context identifier that is
 * loaded, and told of every flush as the TLB is.
 */
#include "direct/internal.h"

static u16 loaded_pcid(const struct cpu *c)
{
    return c->s.cr4 & CR4_PCIDE ? c->s.cr3 & 0xfff : 0;
}

static struct shadow *find(struct direct *d, u16 pcid)
{
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid && d->space[i].pcid == pcid)
            return &d->space[i];
    return NULL;
}

static void hook_flush(struct mmu_shadow *h, bool others)
{
    struct direct *d = (struct direct *)h;
    struct shadow *s = find(d, loaded_pcid(d->c));

    d->stats.flushes++;
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid && (others || s == &d->space[i]))
            shadow_flush(&d->space[i]);
}

static void hook_flush_page(struct mmu_shadow *h, u64 lin)
{
    struct direct *d = (struct direct *)h;

    for (unsigned i = 0; i < SPACES; i++) /* a global page may be in all */
        if (d->space[i].valid)
            shadow_flush_page(&d->space[i], lin);
}

static void hook_drop_pcid(struct mmu_shadow *h, u16 pcid)
{
    struct direct *d = (struct direct *)h;
    struct shadow *s = find(d, pcid);

    if (s)
        shadow_flush(s);
}

static void hook_turn_to(struct mmu_shadow *h, u16 to, bool keep)
{
    if (!keep)
        hook_drop_pcid(h, to);
}

static void hook_sync(struct mmu_shadow *h, u64 ram_page)
{
    struct direct *d = (struct direct *)h;

    if (ram_page != UINT64_MAX && !(d->owner.ram_bits[ram_page] & MAPPED_W))
        return;
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid)
            shadow_sync(&d->owner, &d->space[i], ram_page);
    if (ram_page != UINT64_MAX)
        d->owner.ram_bits[ram_page] &= (u8)~MAPPED_W;
}

static void hold_code(struct shadow_owner *o, u64 ram_page)
{
    struct direct *d = container_of(o, struct direct, owner);

    d->stats.screened++;
    d->ops->hold_code(d->opaque, ram_page);
}

static void screen_again(struct direct *d, u64 ram_page)
{
    d->owner.ram_bits[ram_page] &= (u8) ~(MAPPED_X | REFUSED);
    for (unsigned i = 0; i < SPACES; i++)
        if (d->space[i].valid)
            shadow_code_gone(&d->space[i], ram_page);
}

void direct_code_gone(struct direct *d, u64 ram_page)
{
    if (likely(!(d->owner.ram_bits[ram_page] & (MAPPED_X | REFUSED | HAS_SEEN))))
        return;
    d->owner.ram_bits[ram_page] &= (u8)~HAS_SEEN;
    for (unsigned i = 0; i < SEEN; i++)
        if (d->seen[i].ram_page == ram_page + 1)
            d->seen[i].ram_page = 0;
    screen_again(d, ram_page);
}

static unsigned known(struct shadow_owner *o, u64 ram_page, u16 *off)
{
    const struct direct *d = container_of(o, struct direct, owner);
    u64 root = d->c->s.cr3 >> PAGE_SHIFT;
    unsigned n = 0;

    for (unsigned i = 0; i < SEEN && n < SCREEN_PATCHES && o->ram_bits[ram_page] & HAS_SEEN; i++)
        if (d->seen[i].ram_page == ram_page + 1 && d->seen[i].root == root)
            off[n++] = d->seen[i].off;
    return n;
}

static void hook_executed(struct mmu_shadow *h, u64 lin)
{
    struct direct *d = (struct direct *)h;
    const struct mem *m = &d->c->vm->mem;
    const u8 *p = tlb_lookup(&d->c->tlbs[MMU_USER], lin, 1, TLB_EXEC);
    u16 off[SCREEN_PATCHES];

    if (!p || !mem_owns(m, p))
        return;
    u64 ram_page = (u64)(p - m->hva) >> PAGE_SHIFT;
    for (unsigned i = known(&d->owner, ram_page, off); i-- > 0;)
        if (off[i] == (lin & PAGE_MASK))
            return;
    hold_code(&d->owner, ram_page);
    d->owner.ram_bits[ram_page] |= HAS_SEEN;
    unsigned at = d->nseen++ % SEEN;
    d->seen[at].ram_page = ram_page + 1;
    d->seen[at].root = d->c->s.cr3 >> PAGE_SHIFT;
    d->seen[at].off = lin & PAGE_MASK;
    screen_again(d, ram_page);
}

/* Processes belong to the thread that made them. */
static void own_processes(struct direct *d)
{
    if (pthread_equal(d->thread, pthread_self()))
        return;
    d->thread = pthread_self();
    for (unsigned i = 0; i < SPACES; i++) {
        child_end(&d->space[i].child);
        d->space[i].valid = false;
    }
}

struct shadow *spaces_loaded(struct direct *d)
{
    own_processes(d);
    u16 pcid = loaded_pcid(d->c);
    struct shadow *s = find(d, pcid);

    for (unsigned i = 0; !s && i < SPACES; i++)
        if (!d->space[i].valid)
            s = &d->space[i];
    if (!s) {
        s = d->space;
        for (unsigned i = 1; i < SPACES; i++)
            if ((s32)(d->space[i].turn - s->turn) < 0)
                s = &d->space[i];
    }
    s->turn = ++d->turn;
    if (!s->page && shadow_open(s))
        return NULL;
    if (!s->valid || s->pcid != pcid)
        shadow_flush(s);
    if (!s->valid || s->pcid != pcid)
        s->mixed = false;
    s->valid = true;
    s->pcid = pcid;
    if (s->child.pid)
        return s;
    shadow_flush(s);
    s->drop_all = false;
    if (child_start(&s->child, d->c->vm->mem.fd))
        return NULL;
    d->stats.processes++;
    return s;
}

/* A host that lets us have no process, or none with so many mappings: a few times is enough. */
void spaces_failed(struct direct *d, struct shadow *s)
{
    enum { TIMES = 8 };

    if (s) {
        child_end(&s->child);
        s->valid = false;
    }
    d->off = ++d->failures == TIMES;
}

void spaces_open(struct direct *d)
{
    d->hooks = (struct mmu_shadow){hook_flush,     hook_flush_page, hook_turn_to,
                                   hook_drop_pcid, hook_sync,       hook_executed};
    d->owner.c = d->c;
    d->owner.hold_code = hold_code;
    d->owner.known = known;
    d->thread = pthread_self();
    for (unsigned i = 0; i < SPACES; i++)
        d->space[i].child.pidfd = -1;
    d->c->shadow = &d->hooks;
}

void spaces_close(struct direct *d)
{
    d->c->shadow = NULL;
    for (unsigned i = 0; i < SPACES; i++)
        shadow_close(&d->space[i]);
}
