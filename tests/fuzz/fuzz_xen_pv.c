/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A hostile classic PV guest: hypercalls on page tables, stores to them, privileged instructions.
 * The input is a list of steps of 8 bytes:
 *
 *     0x00-0x2f  any hypercall of number byte 1; bytes 2-5 choose its arguments
 *     0x30-0x5f  one mmuext_op
 *     0x60-0x8f  one mmu_update
 *     0x90-0xaf  update_va_mapping
 *     0xb0-0xbf  four bytes into a page that the guest may write
 *     0xc0-0xdf  up to seven bytes of code, run for some instructions
 *     0xe0-0xef  one frame out of the guest or back into it
 *     0xf0-0xff  an event, a switch to the other processor, or a reset
 *
 * After each step every frame must have exactly the uses that can be counted (pv_audit()), and no
 * TLB may remember what its page tables do not say (pv_audit_tlb()).
 */
#define DOMAIN_RAM   (256 * KIB) /* all of it is cleared for each input */
#define DOMAIN_TURNS 8
#include "../unit/pv/pv_domain.h"

#include "base/endian.h"
#include "cpu/interp.h"
#include "xen_fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 8, STEPS_MAX = 200, ARGS = 0x10000, CODE = 0x11000, STACK = 0x13000, INSNS = 4 };

struct run {
    struct domain d;
    unsigned cpu;
};

/* Mostly frames of the guest's, some of Xen's, some of nobody's. */
static u64 frame(const struct domain *d, u8 b)
{
    const struct xen_pv *pv = d->x->pv;

    if (b < 0xe0)
        return b % 48;
    switch (b & 15) {
    case 0:
        return pv->heap_frame;
    case 1:
        return pv->table_frame;
    case 2:
        return pv->m2p_frame;
    case 3:
        return UINT64_MAX >> 12;
    case 4:
        return PV_RAM_FRAMES - 1;
    default:
        return PV_RAM_FRAMES + b;
    }
}

static u64 entry(const struct domain *d, u8 f, u8 flags)
{
    u64 low = (flags & 0x7f) | (flags & 0x80 ? 0 : PTE_PRESENT);

    return frame(d, f) << PAGE_SHIFT | low | (flags == 0xff ? PTE_GLOBAL : 0);
}

static u64 argument(const struct domain *d, u8 b)
{
    switch (b >> 6) {
    case 0:
        return b;
    case 1:
        return ARGS + (b & 63) * 8u;
    case 2:
        return frame(d, b & 63) << PAGE_SHIFT | (b & 1) * 8u;
    default:
        return b & 1 ? UINT64_MAX - (b >> 1 & 31) : BIT64(b & 63);
    }
}

static void call(struct run *r, unsigned nr, u64 a, u64 b, u64 c, u64 e)
{
    pv_call_on(&r->d, r->cpu, nr, a, b, c, e);
}

static void one_ext(struct run *r, const u8 *s)
{
    struct mmuext_op op = {s[1] % 22, 0, frame(&r->d, s[2]), frame(&r->d, s[3])};

    if (op.cmd == MMUEXT_INVLPG_LOCAL)
        op.arg1 <<= PAGE_SHIFT;
    if (op.cmd == MMUEXT_TLB_FLUSH_MULTI || op.cmd == MMUEXT_INVLPG_MULTI)
        op.arg2 = argument(&r->d, s[3]);
    if (mmu_debug_translate(pv_cpu_of(&r->d, r->cpu), ARGS, &(u64){0}))
        memcpy(r->d.vm.mem.hva + ARGS, &op, sizeof(op));
    call(r, HYPERVISOR_mmuext_op, ARGS, 1, s[4] & 1 ? ARGS + 64 : 0, DOMID_SELF);
}

static void one_update(struct run *r, const u8 *s)
{
    struct mmu_update u = {frame(&r->d, s[1]) << PAGE_SHIFT | s[2] * 16u | (s[3] & 3),
                           entry(&r->d, s[4], s[5])};

    memcpy(r->d.vm.mem.hva + ARGS, &u, sizeof(u));
    call(r, HYPERVISOR_mmu_update, ARGS, 1, s[6] & 1 ? ARGS + 64 : 0, DOMID_SELF);
}

/* What the processor has of the pages around is in its TLB. */
static void touch(struct cpu *c, u64 lin)
{
    for (unsigned i = 0; i < 64; i++, lin += PAGE_SIZE) {
        mmu_fill(c, lin, TLB_READ);
        mmu_fill(c, lin, TLB_WRITE);
    }
}

/* As the guest itself could: through its page tables. */
static void store(struct run *r, const u8 *s)
{
    u64 gpa, lin = frame(&r->d, s[1]) << PAGE_SHIFT | s[2] * 16u | (s[3] & 0xc);

    if (s[3] & 1)
        touch(pv_cpu_of(&r->d, r->cpu), lin);
    if (mmu_probe(pv_cpu_of(&r->d, r->cpu), lin, true, &gpa))
        mem_write(&r->d.vm.dma, gpa, s + 4, 4);
}

static void run_code(struct run *r, const u8 *s)
{
    struct cpu *c = pv_cpu_of(&r->d, r->cpu);
    u64 gpa;

    if (!mmu_probe(c, CODE, true, &gpa) || !mem_write(&r->d.vm.dma, gpa, s + 1, 7))
        return;
    c->s.rip = CODE;
    c->s.gpr[RSP] = STACK;
    c->s.gpr[RDI] = frame(&r->d, s[6]) << PAGE_SHIFT;
    c->s.gpr[RAX] = entry(&r->d, s[5], s[4]);
    c->s.gpr[RCX] = s[0] & 1 ? 0xc0000080u + s[7] : s[7];
    for (unsigned i = 0; i < INSNS && !c->s.halted && !c->s.wait_sipi && !c->triple_fault; i++) {
        cpu_take_event(c);
        interp_step(c);
    }
}

static void balloon(struct run *r, const u8 *s)
{
    struct {
        u64 extents, n;
        u32 order, flags;
        u16 domid, pad[3];
        u64 list[2];
    } a = {ARGS + 32,
           s[1] % 3,
           s[4] % 3,
           0,
           DOMID_SELF,
           {0},
           {frame(&r->d, s[2]), frame(&r->d, s[3])}};

    memcpy(r->d.vm.mem.hva + ARGS, &a, sizeof(a));
    call(r, HYPERVISOR_memory_op, s[0] & 1 ? XENMEM_decrease_reservation : XENMEM_populate_physmap,
         ARGS, 0, 0);
}

static void restart(struct run *r)
{
    fuzz_reset(&r->d);
    pv_domain_start(&r->d);
    for (unsigned i = 0; i < r->d.vm.ncpus; i++)
        pv_cpu_of(&r->d, i)->triple_fault = false;
    for (unsigned i = 0; i < r->d.vm.ncpus; i++)
        vcpu_raise(&r->d.vm.vcpu[i], VCPU_PAUSE); /* so that no call sleeps */
    r->cpu = 0;
}

static void other(struct run *r, const u8 *s)
{
    if (s[0] < 0xf4)
        evtchn_virq(&r->d.x->vcpu[r->cpu], s[1] % NR_VIRQS);
    else if (s[0] < 0xfc && r->d.x->pv->vcpu[1].up)
        r->cpu ^= 1;
    else if (s[0] == 0xff)
        restart(r);
}

static void step(struct run *r, const u8 *s)
{
    const struct domain *d = &r->d;

    if (s[0] < 0x30)
        call(r, s[1] & 63, argument(d, s[2]), argument(d, s[3]), argument(d, s[4]),
             s[5] & 1 ? DOMID_SELF : argument(d, s[5]));
    else if (s[0] < 0x60)
        one_ext(r, s);
    else if (s[0] < 0x90)
        one_update(r, s);
    else if (s[0] < 0xb0)
        call(r, HYPERVISOR_update_va_mapping, frame(d, s[1]) << PAGE_SHIFT, entry(d, s[2], s[3]),
             s[4] & 7, 0);
    else if (s[0] < 0xc0)
        store(r, s);
    else if (s[0] < 0xe0)
        run_code(r, s);
    else if (s[0] < 0xf0)
        balloon(r, s);
    else
        other(r, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct run *r;

    if (!r) {
        r = calloc(1, sizeof(*r));
        pv_domain_open(&r->d, 2);
    }
    restart(r);
    r->d.vm.end = VM_RUNNING;
    for (unsigned i = 0; i < STEPS_MAX && size >= STEP; i++, data += STEP, size -= STEP) {
        struct cpu *c = pv_cpu_of(&r->d, r->cpu);
        step(r, data);
        BUG_ON(!pv_audit(&r->d, true));
        BUG_ON(!pv_audit_tlb(&r->d));
        if (c->triple_fault || c->s.wait_sipi || !r->d.x->pv->vcpu[r->cpu].kernel_l4)
            restart(r);
        c->s.halted = false;
    }
    return 0;
}
