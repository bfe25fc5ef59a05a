/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From guest bytes to a block of host code.
 *
 * A block is straight guest code inside one page, up to a jump that is taken for sure, an
 * instruction that changes modes, or a limit.  Conditional jumps are left in the middle: their
 * other way goes on in the same block.  Instructions that cross a page are the run loop's: the
 * interpreter does them.
 *
 * Registers and flags stay where they are from block to block, so leaving costs nothing but the
 * jump.  In front of a block's code stands a struct site, for when the block becomes stale.
 */
#include "translate/trans.h"

#include <stdlib.h>
#include <string.h>

enum { JCCS_MAX = 8 };

static bool offered(const struct soft *sc, const struct op_row *r)
{
    return r->feature == OP_ANY_CPU || cpuid_has(sc->c.model, r->feature);
}

/* The only instruction of a block, when it goes on in the next page. */
static bool read_crossing(struct trans *t, u64 rip)
{
    struct soft *sc = t->sc;
    struct tinsn *ti = &t->insns[0];
    unsigned off = (unsigned)(rip & PAGE_MASK), have = PAGE_SIZE - off;

    if (have >= INSN_MAX)
        return false;
    u32 flushes = (u32)sc->stats.flushes;
    t->second = soft_cpage(sc, t->page_rip + PAGE_SIZE);
    if (!t->second || flushes != (u32)sc->stats.flushes)
        return false;
    u64 page = sc->cpages[t->second].ram_page;
    cache_hold(sc, page);
    memcpy(t->cross, t->page + off, have);
    memcpy(t->cross + have, sc->c.vm->mem.hva + (page << PAGE_SHIFT), INSN_MAX - have);
    if (decode(&ti->i, t->cross, INSN_MAX, t->code64 ? CODE64 : CODE32) != DECODE_OK ||
        ti->i.len <= have)
        return false;
    ti->row = &op_rows[ti->i.row];
    if (!offered(sc, ti->row))
        return false;
    ti->label = false;
    ti->raw = t->cross;
    ti->rip = rip;
    insn_flags(ti);
    t->n = 1;
    t->insns[1].rip = rip + ti->i.len;
    return true;
}

/* Is the second page still mapped as it was? */
static void check_second_page(struct trans *t, u64 rip)
{
    struct emit *e = t->e;
    u64 next = t->page_rip + PAGE_SIZE;
    u8 *retry = e->p;

    emit_rm(e, 0x81, 7, mem_gs(SOFT_OFF(c.code_map.page) + 4 * code_map_index(next)));
    u8 *check = e->p;
    emit32(e, t->second);
    struct stub *s = stub_add(t, emit_jcc(e, CC_NE), t->thunks->cross);
    s->rip = rip;
    s->patch = retry;
    s->check = check;
}

/* CLI and STI in the kernel are done without leaving. */
static bool ends_block(const struct trans *t, const struct tinsn *ti)
{
    if ((ti->i.op == OP_cli || ti->i.op == OP_sti) && !(t->key & KEY_USER) && !t->sc->lockstep)
        return false;
    return ti->row->attr & OPA_END;
}

/* Decodes into t->insns; t->n = 0: the first one is not for us. */
static void read_block(struct trans *t, u64 rip)
{
    unsigned off = (unsigned)(rip & PAGE_MASK), jccs = 0;

    t->n = 0;
    t->second = 0;
    while (t->n < (t->plain ? PLAIN_INSNS : BLOCK_INSNS)) {
        struct tinsn *ti = &t->insns[t->n];
        if (off >= (t->plain ? t->sc->plain_end : PAGE_SIZE) ||
            decode(&ti->i, t->page + off, PAGE_SIZE - off, t->code64 ? CODE64 : CODE32) !=
                DECODE_OK)
            break;
        ti->row = &op_rows[ti->i.row];
        if (!offered(t->sc, ti->row))
            break;
        ti->label = false;
        ti->raw = t->page + off;
        ti->rip = t->page_rip + off;
        insn_flags(ti);
        off += ti->i.len;
        t->n++;
        if (!ends_block(t, ti))
            continue;
        if (ti->i.op != OP_jcc || ++jccs == JCCS_MAX || off >= PAGE_SIZE ||
            block_find(t->sc, t->cpage, (u16)off))
            break;
    }
    t->insns[t->n].rip = t->page_rip + off;
    if (!t->n)
        read_crossing(t, rip);
}

static bool is_branch(const struct tinsn *ti)
{
    switch (ti->i.op) {
    case OP_jcc:
    case OP_jmp:
    case OP_call:
    case OP_ret:
    case OP_loop:
    case OP_jcxz:
        return true;
    default:
        return false;
    }
}

/* Does control come to the next instruction from the code that was made for this one? */
static bool falls_through(const struct trans *t, const struct tinsn *ti, bool interpreted)
{
    if (!ends_block(t, ti))
        return true;
    return !interpreted && (ti->i.op == OP_jcc || ti->i.op == OP_loop || ti->i.op == OP_jcxz);
}

/* True: the code goes on behind it. */
static bool generate(struct trans *t, struct tinsn *ti)
{
    struct emit *e = t->e;
    unsigned nstubs = t->nstubs;
    enum form form = t->form;
    bool vec_ready = t->vec_ready, end = ends_block(t, ti);

    if (ti->label || !sp_defers(t, ti))
        sp_settle(t);
    s32 owed = t->sp_owed;
    u8 *start = e->p;
    t->held_before = ti->label ? 0 : t->held;
    t->held = 0;
    if (ti->label) {
        shares_at_label(t, ti);
        flags_keep(t, live_in(ti));
        t->form = FORM_MEM;
        t->vec_ready = false;
        start = e->p;
        form = t->form;
        vec_ready = false;
    }
    ti->host = e->p;
    if (end ? is_branch(ti) && gen_branch(t, ti) : gen_insn(t, ti))
        return falls_through(t, ti, false);
    for (unsigned k = 1; k <= t->ngroups; k++)
        if (t->groups[k].leader == t->cur)
            t->groups[k].ready = false;
    e->p = start;
    t->nstubs = nstubs;
    t->form = form;
    t->vec_ready = vec_ready;
    t->held = 0;
    t->sp_owed = owed;
    sp_settle(t);
    gen_interp(t, ti, end);
    return falls_through(t, ti, true);
}

/* What stands before the entry: see CHECK_BYTES. */
static void emit_header(struct trans *t, u64 rip)
{
    struct site st = {.rip = rip, .block = t->block};
    struct emit *e = t->e;

    while (((uintptr_t)e->p + EXIT_BYTES + MOVED_BYTES + CHECK_BYTES) & 15)
        emit8(e, 0xcc);
    u8 *site = e->p;
    memcpy(site, &st, EXIT_BYTES);
    e->p += EXIT_BYTES;

    u8 *moved = e->p;
    emit_patch(emit_lea_rip(e, S1), site);
    emit_jmp_to(e, t->thunks->moved);
    BUG_ON(e->p != moved + MOVED_BYTES);

    u8 *check = e->p;
    emit_rm(e, 0x81, 7, mem_gs(code_map_off(rip)));
    emit32(e, t->cpage);
    u8 *ne = emit_jcc8(e, CC_NE);
    *ne = (u8)(moved - e->p);
    BUG_ON(e->p != check + CHECK_BYTES);
}

struct block *translate_block(struct soft *sc, u32 cpage, u64 rip, const u8 *code)
{
    struct trans *t = sc->trans;
    struct emit *e = &sc->e;
    unsigned off = (unsigned)(rip & PAGE_MASK);

    t->sc = sc;
    t->e = e;
    t->page = code - off;
    t->page_rip = rip - off;
    t->plain = sc->cpages[cpage].key & KEY_PLAIN;
    t->cpage = t->plain ? soft_cpage(sc, rip) : cpage;
    t->key = sc->key;
    t->code64 = sc->key & KEY_64;
    t->thunks = &sc->thunks[t->code64];
    t->asize = t->code64 ? 8 : 4;
    t->tlb = (u32)offsetof(struct soft, c.tlbs) + sc->c.mmu_idx * (u32)sizeof(struct tlb);
    t->form = FORM_MEM;
    t->vec_ready = false;
    t->dep_lo = PAGE_SIZE;
    t->dep_hi = 0;
    t->nstubs = 0;
    t->held = 0;
    t->sp_owed = 0;
    read_block(t, rip);
    if (!t->n)
        return NULL;
    struct block *b = block_make(sc, cpage, (u16)off);
    if (!b)
        return NULL;
    t->block = (u32)(b - sc->blocks);
    t->hot = b->hot;
    t->nfixes = 0;
    labels_find(t);
    flags_analyse(t);
    shares_find(t);
    emit_header(t, rip);
    u8 *start = t->entry = e->p;
    bool on = true;
    if (t->second)
        check_second_page(t, rip);
    for (t->cur = 0; t->cur < t->n; t->cur++)
        on = generate(t, &t->insns[t->cur]);
    t->insns[t->n].host = e->p;
    if (on) {
        t->cur = t->n - 1;
        sp_settle(t);
        flags_keep(t, t->insns[t->cur].live_out);
        exit_direct(t, t->code64 ? t->insns[t->n].rip : (u32)t->insns[t->n].rip);
    }
    for (unsigned k = 0; k < t->nfixes; k++)
        emit_patch(t->fixes[k].rel32, t->fixes[k].to->host);
    stubs_emit(t);
    BUG_ON(e->p > e->end);
    b->len = (u16)(t->insns[t->n].rip - rip);
    if (t->second && !block_spans(sc, b, t->second, b->len))
        return NULL;
    b->live = (u16)live_in(&t->insns[0]);
    b->dep_lo = (u16)t->dep_lo;
    b->dep_hi = (u16)t->dep_hi;
    block_commit(sc, b, start);
    sc->page_writes[sc->cpages[cpage].ram_page] = (struct page_writes){0};
    if (sc->perf_map)
        perfmap_block(sc, b, rip, (u64)(e->p - start));
    cache_trim(sc);
    sc->stats.blocks++;
    sc->stats.guest_bytes += b->len;
    sc->stats.host_bytes += (u64)(e->p - start);
    return b;
}
