/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The interpreter's run loop.
 *
 * Decoded instructions are kept in blocks: straight code up to the first instruction that writes
 * RIP or changes a mode, up to the end of its page, or as many as fit.  A block is found by where
 * its first byte lies in the memfd and the code mode, so it serves every address space.  It is good
 * while its page's page_gen stands; after a write to the page its bytes are compared with the copy
 * it was decoded from, so data beside code costs a memcmp and not a new decode.
 *
 * Instructions that cross a page, lie outside the memfd, or run under TF, RF, code breakpoints or
 * an interrupt shadow go one by one through step(); so do those of a page with a debugger's stop.
 *
 * Events and `leave` are looked at between blocks, `leave` after each instruction.
 */
#include "cpu/interp.h"

#include "cpu/exception.h"
#include "cpu/mmu.h"
#include "cpu/ops.h"
#include "cpu/ring3.h"
#include "cpu/segment.h"
#include "cpu/stops.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_INSNS = 24,
    BLOCK_BYTES = 64,
    BLOCKS = 1 << 14,
    ARENA = 1 << 16, /* instructions; when used up, all blocks go */
};

struct cached_insn {
    insn_fn *fn;
    struct insn i;
};

struct block {
    u64 ram_off; /* UINT64_MAX: free */
    u32 gen;     /* of the page, when the bytes were last known to be right */
    u32 first;   /* index into the arena */
    u8 mode;
    u8 count;
    u8 len; /* bytes */
    u8 bytes[BLOCK_BYTES];
};

struct icache {
    u32 used; /* of the arena */
    struct block block[BLOCKS];
    struct cached_insn arena[ARENA];
};

enum { DR6_BS = 1 << 14 };
enum { EV_LEAVE = VCPU_LEAVE };

static void icache_flush(struct icache *ic)
{
    ic->used = 0;
    for (unsigned i = 0; i < BLOCKS; i++)
        ic->block[i].ram_off = UINT64_MAX;
}

struct icache *icache_new(void)
{
    struct icache *ic = malloc(sizeof(*ic));

    if (ic)
        icache_flush(ic);
    return ic;
}

void icache_free(struct icache *ic)
{
    free(ic);
}

/* ------------------------------------------------ fetching -- */

static bool offered(const struct cpu *c, const struct insn *i)
{
    u16 f = op_rows[i->row].feature;

    if (i->vex && (c->real || c->vm86)) /* there is no VEX there */
        return false;
    return f == OP_ANY_CPU || cpuid_has(c->model, f);
}

/* The bytes of the instruction at s.rip, as far as it may be fetched without crossing what it does
 * not need; wanted: how many.  Raises what a fetch raises. */
static unsigned fetch_bytes(struct cpu *c, u8 *buf, unsigned have, unsigned wanted)
{
    for (; have < wanted; have++) {
        u64 lin = cpu_code_linear(c) + have, off;
        if (c->code != CODE64) {
            if (c->s.rip + have > c->s.seg[CS].limit)
                cpu_gp(c, 0);
            lin = (u32)lin;
        } else if (!canonical(lin)) {
            cpu_gp(c, 0);
        }
        const u8 *p = mmu_code(c, lin, &off);
        buf[have] = p ? *p : mmu_fetch_byte(c, lin);
    }
    return have;
}

/* Decodes the instruction at s.rip wherever it lies; raises #PF, #GP, #UD. */
static void fetch(struct cpu *c, struct insn *i)
{
    u8 buf[INSN_MAX + 1];
    unsigned have = 0;

    for (;;) {
        /* up to the page's end at once; then byte by byte, since each may fault */
        u64 lin = cpu_code_linear(c);
        unsigned in_page = PAGE_SIZE - (unsigned)(lin & PAGE_MASK);
        unsigned wanted = have < in_page ? min(in_page, (unsigned)INSN_MAX) : have + 1;
        if (c->code != CODE64 && c->s.rip <= c->s.seg[CS].limit)
            wanted =
                (unsigned)max(min((u64)wanted, c->s.seg[CS].limit - c->s.rip + 1), have + 1ull);
        have = fetch_bytes(c, buf, have, wanted);
        switch (decode(i, buf, have, c->code)) {
        case DECODE_OK:
            if (!offered(c, i))
                cpu_ud(c);
            return;
        case DECODE_UD:
            cpu_ud(c);
        case DECODE_TOO_LONG:
            cpu_gp(c, 0);
        case DECODE_MORE:
            if (have >= INSN_MAX)
                cpu_gp(c, 0);
            break;
        }
    }
}

/* ------------------------------------------------ blocks -- */

static struct block *block_slot(struct icache *ic, u64 off, u8 mode)
{
    return &ic->block[(off ^ off >> 14 ^ (u64)mode << 7) & (BLOCKS - 1)];
}

/* Fills the slot from the bytes at hva; false when not even one instruction fits. */
static bool block_build(struct cpu *c, struct block *b, u64 off, const u8 *hva)
{
    struct icache *ic = c->icache;
    const struct mem *m = &c->vm->mem;
    unsigned avail = min(PAGE_SIZE - (unsigned)(off & PAGE_MASK), (unsigned)BLOCK_BYTES), pos = 0,
             n = 0;

    if (ic->used + BLOCK_INSNS > ARENA)
        icache_flush(ic);
    mmu_protect_code(c, off);
    b->ram_off = UINT64_MAX;
    b->gen = __atomic_load_n(&m->page_gen[off >> PAGE_SHIFT], __ATOMIC_ACQUIRE);
    memcpy(b->bytes, hva, avail);
    while (n < BLOCK_INSNS) {
        struct cached_insn *ci = &ic->arena[ic->used + n];
        if (decode(&ci->i, b->bytes + pos, avail - pos, c->code) != DECODE_OK ||
            !offered(c, &ci->i))
            break;
        if (ci->i.vex && c->code == CODE16) /* other modes may find this block */
            break;
        ci->fn = op_exec[ci->i.op];
        pos += ci->i.len;
        n++;
        if (op_rows[ci->i.row].attr & OPA_END)
            break;
    }
    if (!n)
        return false;
    b->ram_off = off;
    b->mode = c->code;
    b->first = ic->used;
    b->count = (u8)n;
    b->len = (u8)pos;
    ic->used += n;
    return true;
}

/* The block at s.rip, or NULL when the instruction there must go by itself.  Raises #PF. */
static const struct block *block_find(struct cpu *c)
{
    const struct mem *m = &c->vm->mem;
    u64 lin = cpu_code_linear(c), off;
    const u8 *hva = tlb_lookup(&c->tlbs[c->mmu_idx], lin, 1, TLB_EXEC);

    if (likely(hva)) {
        off = (u64)(hva - m->hva);
    } else {
        if (c->code == CODE64 ? !canonical(lin) : c->s.rip > c->s.seg[CS].limit)
            cpu_gp(c, 0);
        hva = mmu_code(c, lin, &off);
    }
    if (unlikely(!hva || off >= m->size) || stops_in_page(c, lin))
        return NULL;
    struct block *b = block_slot(c->icache, off, c->code);
    if (likely(b->ram_off == off && b->mode == c->code)) {
        u32 gen = __atomic_load_n(&m->page_gen[off >> PAGE_SHIFT], __ATOMIC_ACQUIRE);
        if (unlikely(b->gen != gen)) {
            /* whoever dropped the page's last other code may have made it plain */
            mmu_protect_code(c, off);
            gen = __atomic_load_n(&m->page_gen[off >> PAGE_SHIFT], __ATOMIC_ACQUIRE);
            if (memcmp(b->bytes, hva, b->len)) {
                if (!block_build(c, b, off, hva))
                    return NULL;
            } else {
                b->gen = gen;
            }
        }
    } else if (!block_build(c, b, off, hva)) {
        return NULL;
    }
    if (c->code != CODE64 && unlikely(c->s.rip + b->len - 1 > c->s.seg[CS].limit))
        return NULL;
    return b;
}

static void block_run(struct cpu *c, const struct block *b)
{
    const struct cached_insn *p = &c->icache->arena[b->first], *end = p + b->count;
    u64 mask = c->code == CODE64 ? UINT64_MAX : UINT32_MAX;

    do {
        c->next_rip = (c->s.rip + p->i.len) & mask;
        c->insn_count++;
        p->fn(c, &p->i);
        c->s.rip = c->next_rip;
    } while (likely(!c->leave) && ++p != end);
}

/* ------------------------------------------------ one by one -- */

/* No single-step trap follows these: they clear TF on their way (INTO when it is taken). */
static bool clears_tf(unsigned op, bool taken)
{
    return op == OP_int || op == OP_int3 || (op == OP_into && taken) || op == OP_int1 ||
           op == OP_syscall || op == OP_sysenter;
}

/* One instruction with everything that only matters now and then. */
static void step(struct cpu *c)
{
    bool tf = c->s.rflags & FLAG_TF, rf = c->s.rflags & FLAG_RF;
    struct insn i;

    if ((c->s.dr[7] & 0xff) && !rf)
        debug_check_fetch(c, cpu_code_linear(c));
    fetch(c, &i);
    c->s.int_shadow = false;
    c->dr6_pending = 0;
    c->next_rip = c->s.rip + i.len;
    if (c->code != CODE64)
        c->next_rip = (u32)c->next_rip;
    c->insn_count++;
    op_exec[i.op](c, &i);
    bool again = c->next_rip == c->s.rip; /* a repeated string instruction goes on */
    bool taken = c->next_rip != c->s.rip + i.len;
    c->s.rip = c->next_rip;
    if (rf && !again && i.op != OP_iret)
        c->s.rflags &= ~(u64)FLAG_RF;
    u64 dr6 = c->dr6_pending;
    c->dr6_pending = 0;
    if (tf && !clears_tf(i.op, taken) && !(c->s.int_shadow && i.op != OP_sti))
        dr6 |= DR6_BS;
    if (dr6)
        debug_trap(c, dr6);
}

static void one_block(struct cpu *c)
{
    const struct block *b = cpu_must_step(c) ? NULL : block_find(c);

    if (b)
        block_run(c, b);
    else
        step(c);
}

catches_exceptions static void guarded(struct cpu *c, void (*what)(struct cpu *c))
{
    void *outer[5];

    memcpy(outer, c->unwind, sizeof(outer));
    if (!__builtin_setjmp(c->unwind))
        what(c);
    else
        exception_deliver(c);
    memcpy(c->unwind, outer, sizeof(outer));
}

void interp_step(struct cpu *c)
{
    guarded(c, step);
}

catches_exceptions void interp_exec(struct cpu *c, const struct insn *i)
{
    void *outer[5];

    memcpy(outer, c->unwind, sizeof(outer));
    if (!__builtin_setjmp(c->unwind)) {
        c->next_rip = c->s.rip + i->len;
        if (c->code != CODE64)
            c->next_rip = (u32)c->next_rip;
        c->insn_count++;
        op_exec[i->op](c, i);
        c->s.rip = c->next_rip;
        if (unlikely(c->dr6_pending)) {
            u64 dr6 = c->dr6_pending;
            c->dr6_pending = 0;
            debug_trap(c, dr6);
        }
    } else {
        exception_deliver(c);
    }
    memcpy(c->unwind, outer, sizeof(outer));
}

void interp_block(struct cpu *c)
{
    c->leave = false;
    guarded(c, one_block);
}

/* ------------------------------------------------ events -- */

static void take_init(struct cpu *c)
{
    const struct vcpu_intc *ic = &c->vcpu->intc;

    if (ic->init)
        ic->init(ic->opaque);
    cpu_state_init(&c->s, c->vcpu->index == 0);
    mmu_flush_all(c);
    cpu_derive(c);
    trace(&c->vm->trace, cpu, "cpu%u: INIT", c->vcpu->index);
}

static void take_sipi(struct cpu *c)
{
    u8 vector = __atomic_load_n(&c->vcpu->sipi_vector, __ATOMIC_ACQUIRE);

    c->s.wait_sipi = false;
    c->s.seg[CS].sel = (u16)(vector << 8);
    c->s.seg[CS].base = (u64)vector << 12;
    c->s.rip = 0;
    cpu_derive(c);
    trace(&c->vm->trace, cpu, "cpu%u: SIPI %02x", c->vcpu->index, vector);
}

bool cpu_take_event(struct cpu *c)
{
    struct vcpu *v = c->vcpu;
    u32 ev = vcpu_events(v);

    if (unlikely(cpu_ring3(c)))
        return cpu_ring3(c)->event(c, ev);
    if (ev & VCPU_INIT) {
        vcpu_lower(v, VCPU_INIT);
        take_init(c);
        return true;
    }
    if (ev & VCPU_SIPI) {
        vcpu_lower(v, VCPU_SIPI);
        if (c->s.wait_sipi) {
            take_sipi(c);
            return true;
        }
    }
    if (c->s.wait_sipi || c->s.int_shadow)
        return false;
    if ((ev & VCPU_NMI) && !c->s.nmi_blocked) {
        vcpu_lower(v, VCPU_NMI);
        c->s.halted = false;
        c->s.nmi_blocked = true;
        interrupt_deliver(c, EXC_NMI, INT_HW);
        return true;
    }
    if ((ev & VCPU_INTR) && (c->s.rflags & FLAG_IF)) {
        int vector = v->intc.ack(v->intc.opaque);
        if (vector < 0)
            return false;
        c->s.halted = false;
        interrupt_deliver(c, (unsigned)vector, INT_HW);
        return true;
    }
    return false;
}

static void serve_requests(struct cpu *c, u32 ev)
{
    if (ev & VCPU_CODE)
        mmu_sync_code(c);
    if (ev & VCPU_FLUSH) {
        vcpu_lower(c->vcpu, VCPU_FLUSH);
        mmu_flush_all(c);
    }
    if (ev & VCPU_CALL)
        vcpu_lower(c->vcpu, VCPU_CALL);
}

/* The debugger's single instruction; events wait unless they are wanted or wake the processor.
 * True when it is done. */
static bool debug_step(struct cpu *c, u32 ev)
{
    if (c->s.halted || c->s.wait_sipi) {
        if (!cpu_sleep(c))
            return false;
        cpu_take_event(c);
    } else if (!c->vcpu->debug.step_irqs || !ev || !cpu_take_event(c)) {
        step(c);
    }
    stops_step_done(c);
    return true;
}

bool cpu_sleep(struct cpu *c)
{
    for (;;) {
        u32 ev = vcpu_events(c->vcpu), wake = VCPU_INIT | VCPU_SIPI;
        if (ev & EV_LEAVE)
            return false;
        serve_requests(c, ev);
        if (!c->s.wait_sipi) {
            if (!c->s.halted)
                return true;
            wake |= (c->s.nmi_blocked ? 0 : VCPU_NMI) | (c->s.rflags & FLAG_IF ? VCPU_INTR : 0);
        }
        if (ev & wake)
            return true;
        vcpu_wait(c->vcpu, wake | EV_LEAVE | VCPU_FLUSH | VCPU_CODE | VCPU_CALL);
    }
}

/* Between instructions, when `leave` or an event asks for it; false: leave run(). */
static bool look_around(struct cpu *c, u32 ev)
{
    c->leave = false;
    c->code_changed = false;
    if (c->triple_fault || (ev & EV_LEAVE) || (c->debug & CPU_STOPPED))
        return false;
    if (unlikely(c->dr6_pending)) {
        u64 dr6 = c->dr6_pending;
        c->dr6_pending = 0;
        debug_trap(c, dr6); /* a task switch to a TSS with its T bit set */
    }
    serve_requests(c, ev);
    if (unlikely(c->debug & CPU_STEP)) {
        c->leave = true;
        return debug_step(c, ev);
    }
    if (c->s.halted || c->s.wait_sipi) {
        if (!cpu_sleep(c))
            return false;
        cpu_take_event(c);
        c->leave = true;
        return true;
    }
    if (ev && cpu_take_event(c))
        return true; /* a mode may have changed: look again */
    if (stops_here(c))
        return false;
    if (cpu_must_step(c)) {
        c->leave = true;
        step(c);
    }
    return true;
}

catches_exceptions enum run_exit interp_run(struct cpu *c)
{
    stops_begin(c);
    if (c->debug & CPU_STEP)
        c->leave = true;
    if (__builtin_setjmp(c->unwind)) {
        exception_deliver(c);
        stops_step_done(c);
        c->leave |= !!c->debug;
    }
    for (;;) {
        u32 ev = vcpu_events(c->vcpu);
        if (unlikely(c->leave || ev)) {
            if (!look_around(c, ev))
                return c->triple_fault          ? RUN_TRIPLE
                       : c->debug & CPU_STOPPED ? RUN_DEBUG
                                                : RUN_EVENT;
            if (c->leave)
                continue;
        }
        const struct block *b = block_find(c);
        if (likely(b))
            block_run(c, b);
        else if (stops_here(c))
            return RUN_DEBUG;
        else
            step(c);
    }
}
