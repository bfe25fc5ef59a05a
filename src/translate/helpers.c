/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What translated code calls.  This file is built for general registers only: guest vector and x87
 * state may be in the host's units all the while.  Before anything is called that is not built so,
 * vec_save() puts it away; a block that uses vectors brings it back when it next needs it.
 *
 * A helper gives the address where to go on, or NULL: back to the run loop, with s.rip right.
 */
#include "base/endian.h"
#include "cpu/interp.h"
#include "cpu/ops.h"
#include "cpu/ring3.h"
#include "cpu/stops.h"
#include "translate/soft.h"

/* ------------------------------------------------------------ state -- */

void flags_out(struct soft *sc)
{
    u64 f = sc->flags >> 8 & (FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF | FLAG_CF);

    if (sc->flags & 0xff)
        f |= FLAG_OF;
    sc->c.s.rflags = (sc->c.s.rflags & ~(u64)FLAGS_ARITH) | f;
}

void flags_in(struct soft *sc)
{
    u64 f = sc->c.s.rflags;
    sc->flags = (u32)((f & 0xff) << 8 | (f & FLAG_OF ? 1 : 0));
}

void vec_save(struct soft *sc)
{
    struct xsave_area *x = &sc->c.s.x;
    static const u32 mxcsr = 0x1f80;

    if (!sc->vec_live)
        return;
    sc->vec_live = false;
    sc->stats.vec_saves++;
    u64 bv = x->xstate_bv;
    asm volatile("xsave64 %0" : "+m"(*x) : "a"(sc->vec_avx ? 7 : 3), "d"(0) : "memory");
    x->xstate_bv |= bv;
    x->fop = 0;
    x->fip = x->fdp = 0;
    if (sc->vec_avx)
        asm volatile("vzeroupper");
    asm volatile("fninit; ldmxcsr %0" : : "m"(mxcsr));
}

/* False: the guest has exceptions unmasked, which must not reach the host. */
static bool vec_load(struct soft *sc)
{
    struct xsave_area *x = &sc->c.s.x;
    u64 bv = x->xstate_bv, xcomp = x->xcomp_bv;

    if ((x->fcw & 0x3f) != 0x3f || (x->mxcsr & 0x1f80) != 0x1f80)
        return false;
    x->xstate_bv = sc->vec_avx ? 7 : 3;
    x->xcomp_bv = 0;
    asm volatile("xrstor64 %0" : : "m"(*x), "a"(sc->vec_avx ? 7 : 3), "d"(0));
    x->xstate_bv = bv;
    x->xcomp_bv = xcomp;
    sc->vec_live = true;
    sc->stats.vec_loads++;
    return true;
}

static bool segment_flat(const struct cpu *c, unsigned s, u8 rights, bool base0)
{
    const struct segment *g = &c->s.seg[s];
    return (!base0 || !g->base) && g->limit == UINT32_MAX && (c->seg_ok[s] & rights) == rights;
}

static u16 current_key(const struct soft *sc)
{
    const struct cpu *c = &sc->c;
    u16 key = 0;

    if (c->real || c->vm86 || c->cpl == 1 || c->cpl == 2 || c->code == CODE16 ||
        c->tlb == &c->tlbs[MMU_SLOW])
        return KEY_BAD;
    if (c->code == CODE64) {
        key |= KEY_64;
    } else {
        if (c->s.seg[CS].base || c->s.seg[CS].limit != UINT32_MAX || c->stack_size != 4 ||
            !segment_flat(c, DS, 3, true) || !segment_flat(c, ES, 3, true) ||
            !segment_flat(c, SS, 3, true) || !(c->seg_ok[CS] & 1))
            return KEY_BAD;
    }
    if (c->user)
        key |= KEY_USER;
    if (c->mmu_idx == MMU_KERNEL_AC)
        key |= KEY_AC;
    if (!(c->s.cr0 & (CR0_EM | CR0_TS)) && (c->s.cr4 & CR4_OSFXSR)) {
        key |= KEY_VEC;
        if (sc->vec_avx && (c->s.cr4 & CR4_OSXSAVE) && (c->s.xcr0 & 6) == 6)
            key |= KEY_AVX;
    }
    return key;
}

/* Addresses in such a segment are made to miss every TLB entry, which are below 2^32 here. */
static void find_far_segments(struct soft *sc)
{
    for (unsigned s = FS; s <= GS; s++)
        sc->far_seg[s - FS] = segment_flat(&sc->c, s, 3, false) ? 0 : 1ull << 63;
}

void jumps_clear(struct soft *sc, unsigned idx)
{
    for (u32 k = 0; k < sc->njumps[idx]; k++) {
        unsigned i = sc->jumps_list[idx][k];
        sc->jumps[idx][i].rip = JUMPS_NONE(i);
    }
    sc->njumps[idx] = 0;
}

void soft_refresh(struct soft *sc)
{
    struct cpu *c = &sc->c;

    sc->key = current_key(sc);
    if (!(sc->key & KEY_64))
        find_far_segments(sc);
    if (unlikely(sc->jumps_key[c->mmu_idx] != sc->key) && !(sc->key & KEY_BAD)) {
        sc->jumps_key[c->mmu_idx] = sc->key;
        jumps_clear(sc, c->mmu_idx);
    }
}

/* ------------------------------------------------------------ finding blocks -- */

u32 soft_cpage(struct soft *sc, u64 rip)
{
    struct cpu *c = &sc->c;
    u32 x = c->code_map.page[code_map_index(rip)];

    if (likely(x && sc->cpages[x].vpage == rip >> PAGE_SHIFT && sc->cpages[x].key == sc->key))
        return x;
    if (!canonical(rip) || stops_in_page(c, rip))
        return 0;
    struct tlb *tlb = &c->tlbs[c->mmu_idx];
    const u8 *p = tlb_lookup(tlb, rip, 1, TLB_EXEC);
    if (!p) {
        if (!mmu_fill(c, rip, TLB_EXEC))
            return 0;
        p = tlb_lookup(tlb, rip, 1, TLB_EXEC);
    }
    if (!p || !mem_owns(&c->vm->mem, p))
        return 0;
    vec_save(sc);
    u64 ram_page = (u64)(p - c->vm->mem.hva) >> PAGE_SHIFT;
    u32 id = cpage_get(sc, rip >> PAGE_SHIFT, ram_page, sc->key);
    if (likely(!ring3_unmapped(c, rip)))
        code_map_enter(&c->code_map, rip, id, mmu_global(c, rip));
    return id;
}

struct block *soft_block(struct soft *sc, u64 rip)
{
    u32 id = soft_cpage(sc, rip);

    if (unlikely(!id))
        return NULL;
    struct block *b = block_find(sc, id, rip & PAGE_MASK);
    if (likely(b))
        return b;
    vec_save(sc);
    if (sc->e.end - sc->e.p < CACHE_SLACK || sc->nblocks == BLOCKS_MAX) {
        cache_flush(sc);
        id = soft_cpage(sc, rip);
    }
    const struct cpage *p = &sc->cpages[id];
    cache_hold(sc, p->ram_page);
    return translate_block(sc, id, rip,
                           sc->c.vm->mem.hva + (p->ram_page << PAGE_SHIFT) + (rip & PAGE_MASK));
}

/* ------------------------------------------------------------ the ways out -- */

static const void *leave(struct soft *sc, u64 rip)
{
    sc->c.s.rip = rip;
    flags_out(sc);
    vec_save(sc);
    return NULL;
}

static bool kicked(const struct soft *sc)
{
    return __atomic_load_n(&sc->kick, __ATOMIC_RELAXED);
}

/* A kick comes at any time: it finds the blocks that run most. */
static void found_running(struct soft *sc, u32 block)
{
    struct block *b = &sc->blocks[block];

    if (b->hot || !b->body || sc->lockstep || sc->nudged || sc->cpages[b->cpage].key & KEY_PLAIN)
        return;
    b->hot = true;
    vec_save(sc);
    block_drop(sc, b);
}

const void *help_leave(struct soft *sc, struct site *st, u64 unused)
{
    found_running(sc, st->block);
    return leave(sc, st->rip);
}

const void *help_link(struct soft *sc, struct site *st, u64 unused)
{
    u64 rip = st->rip, changes = sc->changes;
    u32 patch = st->patch, check = st->check;

    sc->stats.exits++;
    if (kicked(sc))
        return leave(sc, rip);
    struct block *b = soft_block(sc, rip);
    if (!b)
        return leave(sc, rip);
    if (changes == sc->changes) {
        sc->stats.links++;
        if (check)
            le32_put(sc->rw + check, b->cpage);
        emit_patch(sc->rw + patch, sc->rw + b->entry);
    }
    return sc->rx + b->entry;
}

const void *help_stale(struct soft *sc, struct site *st, u64 unused)
{
    u64 rip = st->rip;

    if (kicked(sc))
        return leave(sc, rip);
    struct block *b = soft_block(sc, rip);
    return b ? sc->rx + b->entry : leave(sc, rip);
}

/* A block whose instruction goes on in another page than the one it was made for, perhaps. */
const void *help_cross(struct soft *sc, struct site *st, u64 unused)
{
    u64 rip = st->rip;
    struct block *b = &sc->blocks[st->block];
    u32 want = le32_get(sc->rw + st->check);
    u32 id = soft_cpage(sc, (rip & ~(u64)PAGE_MASK) + PAGE_SIZE);

    if (id == want)
        return sc->rx + st->patch;
    leave(sc, rip);
    if (id)
        block_drop(sc, b);
    else if (!sc->lockstep)
        interp_step(&sc->c);
    return NULL;
}

const void *help_jump(struct soft *sc, struct site *st, u64 target)
{
    sc->stats.jump_misses++;
    if (kicked(sc)) {
        found_running(sc, st->block);
        return leave(sc, target);
    }
    struct block *b = soft_block(sc, target);
    if (!b)
        return leave(sc, target);
    unsigned idx = sc->c.mmu_idx, i = target & (JUMPS_SIZE - 1);
    struct jump_entry *j = &sc->jumps[idx][i];
    if (j->rip == JUMPS_NONE(i))
        sc->jumps_list[idx][sc->njumps[idx]++] = (u16)i;
    *j = (struct jump_entry){.rip = target, .host = sc->rx + b->entry - CHECK_BYTES};
    return sc->rx + b->entry;
}

/* Came to a block by an indirect jump, but its page may not be mapped so any more. */
const void *help_moved(struct soft *sc, struct site *st, u64 unused)
{
    return help_jump(sc, st, st->rip);
}

/* At s.rip, in another block of 64-bit code; key is right. */
static const void *go_to(struct soft *sc, const struct site *st)
{
    struct cpu *c = &sc->c;
    u64 rip = c->s.rip;

    if (unlikely(kicked(sc) || vcpu_events(c->vcpu))) {
        vec_save(sc);
        return NULL;
    }
    flags_in(sc);
    const struct jump_entry *j = &sc->jumps[c->mmu_idx][rip & (JUMPS_SIZE - 1)];
    return likely(j->rip == rip) ? j->host : help_jump(sc, (struct site *)st, rip);
}

/* The same after something that may have changed modes and mappings. */
static const void *go_on(struct soft *sc, const struct site *st)
{
    const struct cpu *c = &sc->c;

    soft_refresh(sc);
    if (unlikely((sc->key & (KEY_64 | KEY_BAD)) != KEY_64 || c->s.halted || c->s.wait_sipi ||
                 c->triple_fault || cpu_must_step(c))) {
        vec_save(sc);
        return NULL;
    }
    return go_to(sc, st);
}

/* The same after a quick way between kernel and program (cpu/ring3.h), which changes no more than
 * the side. */
static const void *go_across(struct soft *sc, const struct site *st)
{
    struct cpu *c = &sc->c;
    u16 key = (u16)((sc->key & ~KEY_USER) | (c->user ? KEY_USER : 0));

    if (unlikely(sc->jumps_key[c->mmu_idx] != key))
        return go_on(sc, st);
    sc->key = key;
    return go_to(sc, st);
}

/* The instruction of a program or kernel in ring 3, if it is one that the interface does; false:
 * it is not, and nothing has happened. */
static bool ring3_insn(struct soft *sc, const struct site *st, const void **next)
{
    struct cpu *c = &sc->c;
    const struct ring3_ops *ops = cpu_ring3(c);
    bool call = st->i.op == OP_syscall, kernel = c->s.ring3_kernel;

    if (kicked(sc) || sc->lockstep || !(call || (kernel && st->i.op == OP_rdmsr)))
        return false;
    flags_out(sc);
    c->s.rip = st->rip;
    c->next_rip = st->rip + st->len;
    if (call && ops->quick_syscall(c)) {
        *next = go_across(sc, st);
        return true;
    }
    if (!kernel || cpu_must_step(c))
        return false;
    vec_save(sc);
    if (call) {
        ops->syscall(c);
        c->s.rip = c->next_rip;
    } else if (!ops->privileged(c)) {
        return false;
    }
    *next = go_on(sc, st);
    return true;
}

/* mmu_fill() would not give the page at lin: the same. */
static bool ring3_access(struct soft *sc, const struct site *st, u64 lin, enum tlb_access a,
                         const void **next)
{
    struct cpu *c = &sc->c;
    const struct ring3_ops *ops = cpu_ring3(c);

    if (kicked(sc) || sc->lockstep || c->fill_error == NO_ERROR_CODE)
        return false;
    flags_out(sc);
    c->s.rip = st->rip;
    if (a != TLB_WRITE || !c->s.ring3_kernel || !(c->fill_error & PF_P)) {
        if (!ops->quick_fault(c, lin, c->fill_error))
            return false;
        *next = go_across(sc, st);
        return true;
    }
    vec_save(sc);
    if (!ops->store(c, lin))
        return false;
    *next = go_on(sc, st);
    return true;
}

/* One instruction by the interpreter; goes on behind it when nothing else came up. */
const void *help_insn(struct soft *sc, struct site *st, u64 unused)
{
    struct cpu *c = &sc->c;
    u64 rip = st->rip, changes = sc->changes, epoch = c->tlb_epoch;
    u64 next_rip = rip + st->len;
    u32 next = st->next;
    u16 key = sc->key;
    bool live = sc->vec_live;
    const void *quick;

    if (st->decoded && cpu_ring3(c) && ring3_insn(sc, st, &quick))
        return quick;
    if (unlikely(sc->lockstep))
        return leave(sc, rip);
    flags_out(sc);
    vec_save(sc);
    c->s.rip = rip;
    c->leave = false;
    sc->stats.interp_insns++;
    if (st->decoded) {
        sc->interp_ops[st->i.op]++;
        struct insn i = st->i;
        interp_exec(c, &i);
    } else {
        interp_step(c);
    }
    flags_in(sc);
    if (!(key & KEY_64))
        next_rip = (u32)next_rip;
    if (!next || c->leave || c->s.rip != next_rip || sc->changes != changes ||
        c->tlb_epoch != epoch || kicked(sc))
        return NULL;
    if (!(key & KEY_64)) {
        if (current_key(sc) != key)
            return NULL;
        find_far_segments(sc);
    }
    if (live && !st->decoded && !vec_load(sc))
        return NULL;
    return sc->rx + next;
}

/* The plain translation of code that is running: see share.c. */
static struct block *plain_block(struct soft *sc, u64 rip, u32 block)
{
    vec_save(sc);
    struct cpage p = sc->cpages[sc->blocks[block].cpage];
    u32 id = cpage_get(sc, p.vpage, p.ram_page, p.key | KEY_PLAIN);
    struct block *b = block_find(sc, id, rip & PAGE_MASK);

    if (b && !sc->lockstep)
        return b;
    if (sc->e.end - sc->e.p < CACHE_SLACK || sc->nblocks == BLOCKS_MAX) {
        cache_flush(sc);
        return NULL;
    }
    if (soft_cpage(sc, rip) != sc->blocks[block].cpage)
        return NULL;
    /* lockstep compares block by block, so this one may not go further than the one it is for */
    sc->plain_end = sc->lockstep ? sc->blocks[block].off + sc->blocks[block].len : PAGE_SIZE;
    return translate_block(sc, id, rip,
                           sc->c.vm->mem.hva + (p.ram_page << PAGE_SHIFT) + (rip & PAGE_MASK));
}

/* The check of a group, at the start of its range. */
static const void *shared_miss(struct soft *sc, struct site *st, u64 lin, enum tlb_access a)
{
    u64 rip = st->rip, changes = sc->changes;
    u32 patch = st->next;
    bool crosses = (lin & PAGE_MASK) + st->size > PAGE_SIZE;

    if (!crosses && !(lin & st->align) && mmu_fill(&sc->c, lin, a) &&
        tlb_lookup(sc->c.tlb, lin, st->size, a))
        return sc->rx + st->retry;
    struct block *b = plain_block(sc, rip, st->block);
    if (!b)
        return leave(sc, rip);
    if (crosses && changes == sc->changes)
        emit_patch(sc->rw + patch, sc->rw + b->entry);
    return sc->rx + b->entry;
}

/* How many cycles pass between two moves: the clock is read at some of them only. */
static u64 move_cycles(struct soft *sc)
{
    enum { SOME = 4 };

    if (++sc->stats.moves % SOME == 0) {
        u64 now = __builtin_ia32_rdtsc();
        sc->move_cycles = (now - sc->move_tsc) / SOME;
        sc->move_tsc = now;
    }
    return sc->move_cycles;
}

/* A site's access was not where its last one was.  One that moves often computes the place from now
 * on; a kernel has few loops, and every switch between processes moves most of its sites. */
static bool place_moved(struct soft *sc, const struct site *st, u64 lin)
{
    enum { OFTEN = 4096, OFTEN_KERNEL = 16 * OFTEN /* cycles */, TIMES = 32 };
    struct place *p = &sc->places[st->place];
    u32 at = tlb_index(lin) * (u32)sizeof(struct tlb_entry);

    if (!st->guess || p->at == at)
        return false;
    p->at = at;
    u64 cycles = move_cycles(sc) * (sc->stats.moves - p->when);
    p->when = sc->stats.moves;
    if (cycles < (sc->key & KEY_USER ? OFTEN : OFTEN_KERNEL))
        p->bad += 2;
    else if (p->bad)
        p->bad--;
    if (p->bad >= TIMES) {
        place_code(sc->rw + st->guess);
        p->bad = 0;
    }
    return true;
}

static const void *access_miss(struct soft *sc, struct site *st, u64 lin, enum tlb_access a)
{
    struct cpu *c = &sc->c;
    const void *quick;

    if (place_moved(sc, st, lin) && tlb_lookup(c->tlb, lin, st->size, a) && !(lin & st->align))
        return sc->rx + st->retry;
    sc->stats.fills++;
    if (st->shared)
        return shared_miss(sc, st, lin, a);
    if (lin > UINT32_MAX && !(sc->key & KEY_64)) /* find_far_segments() */
        return help_insn(sc, st, 0);
    if ((lin & PAGE_MASK) + st->size <= PAGE_SIZE && !(lin & st->align)) {
        if (mmu_fill(c, lin, a) && tlb_lookup(c->tlb, lin, st->size, a))
            return sc->rx + st->retry;
        if (cpu_ring3(c) && ring3_access(sc, st, lin, a, &quick))
            return quick;
    }
    return help_insn(sc, st, 0);
}

const void *help_read(struct soft *sc, struct site *st, u64 lin)
{
    return access_miss(sc, st, lin, TLB_READ);
}

const void *help_write(struct soft *sc, struct site *st, u64 lin)
{
    return access_miss(sc, st, lin, TLB_WRITE);
}

const void *help_vec(struct soft *sc, struct site *st, u64 unused)
{
    struct cpu *c = &sc->c;

    if (vec_load(sc))
        return sc->rx + st->retry;
    if (sc->lockstep)
        return leave(sc, st->rip);
    /* one instruction after the other, until the guest masks its exceptions again */
    flags_out(sc);
    c->s.rip = st->rip;
    interp_step(c);
    return NULL;
}
