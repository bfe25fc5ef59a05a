/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor as a PV kernel sets it up by hypercalls instead of privileged instructions: trap
 * table, callbacks, stack, descriptor tables, segment bases, debug registers, timer (xen.h,
 * callback.h, physdev.h).
 */
#include "pv/xen/pv.h"

#include "cpu/mmu.h"
#include "cpu/segment.h"

#include <string.h>

enum { TRAPS_TURN = 64 };

static struct pv_vcpu *caller(const struct xen_call *k)
{
    return &k->x->pv->vcpu[k->v->id];
}

/* -------------------------------------------------------- traps, callbacks -- */

s64 pv_set_trap_table(struct xen_call *k)
{
    struct pv_vcpu *v = caller(k);
    struct trap_info t;

    if (!k->a[0]) {
        memset(v->trap, 0, sizeof(v->trap));
        return 0;
    }
    for (unsigned turn = 0;; turn++, k->a[0] += sizeof(t)) {
        if (turn == TRAPS_TURN) {
            k->result = PV_AGAIN;
            return 0;
        }
        if (!guest_read(k, k->a[0], &t, sizeof(t)))
            return -XEN_EFAULT;
        if (!t.address)
            return 0;
        if (!canonical(t.address))
            return -XEN_EINVAL;
        v->trap[t.vector] = (struct pv_trap){t.address, t.cs, t.flags & 3, t.flags & 4};
    }
}

static s64 set_entry(struct pv_vcpu *v, enum pv_entry which, u64 ip, bool masks)
{
    if (!canonical(ip))
        return -XEN_EINVAL;
    v->entry[which] = ip;
    v->entry_masks[which] = masks;
    return 0;
}

s64 pv_set_callbacks(struct xen_call *k)
{
    static const u8 order[] = {PV_EVENT, PV_FAILSAFE, PV_SYSCALL};

    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        if (!canonical(k->a[i]))
            return -XEN_EINVAL;
    for (unsigned i = 0; i < ARRAY_SIZE(order); i++)
        set_entry(caller(k), order[i], k->a[i], i == 0);
    return 0;
}

static int entry_of(u16 type)
{
    switch (type) {
    case CALLBACKTYPE_event:
        return PV_EVENT;
    case CALLBACKTYPE_failsafe:
        return PV_FAILSAFE;
    case CALLBACKTYPE_syscall:
        return PV_SYSCALL;
    case CALLBACKTYPE_syscall32:
        return PV_SYSCALL32;
    case CALLBACKTYPE_sysenter:
        return PV_SYSENTER;
    default:
        return -1;
    }
}

static s64 set_nmi(struct pv_vcpu *v, u64 ip)
{
    if (v->xv->id)
        return -XEN_EINVAL;
    if (!canonical(ip))
        return -XEN_EINVAL;
    v->trap[EXC_NMI] = (struct pv_trap){ip, FLAT_RING3_CS64, 0, true};
    return 0;
}

/* register: type u16, flags u16, address u64; unregister: type u16 */
s64 pv_callback_op(struct xen_call *k)
{
    struct {
        u16 type, flags, pad[2];
        u64 address;
    } a = {0};
    u32 op = (u32)k->a[0];
    bool set = op == CALLBACKOP_register;

    if (!set && op != CALLBACKOP_unregister)
        return -XEN_ENOSYS;
    if (!guest_read(k, k->a[1], &a, set ? sizeof(a) : sizeof(a.type)))
        return -XEN_EFAULT;
    if (a.type == CALLBACKTYPE_nmi)
        return set_nmi(caller(k), set ? a.address : 0);
    int which = entry_of(a.type);
    if (which < 0)
        return -XEN_ENOSYS;
    if (!set && which <= PV_SYSCALL)
        return -XEN_EINVAL;
    return set_entry(caller(k), which, set ? a.address : 0,
                     which == PV_EVENT || a.flags & CALLBACKF_mask_events);
}

/* XENNMI_register_callback: the address u64, then another */
s64 pv_nmi_op(struct xen_call *k)
{
    enum { register_callback = 0, unregister_callback = 1 };
    u64 ip = 0;

    if ((u32)k->a[0] > unregister_callback)
        return -XEN_ENOSYS;
    if ((u32)k->a[0] == register_callback && !guest_read(k, k->a[1], &ip, sizeof(ip)))
        return -XEN_EFAULT;
    return set_nmi(caller(k), ip);
}

s64 pv_stack_switch(struct xen_call *k)
{
    caller(k)->kernel_sp = k->a[1];
    return 0;
}

/* ------------------------------------------------------------ descriptors -- */

static void gdt_drop(struct xen_pv *pv, u64 *frame, unsigned n)
{
    while (n--)
        pv_type_put(pv, frame[n]);
}

int pv_gdt_load(struct pv_vcpu *v, const u64 *frame, u32 entries)
{
    struct xen_pv *pv = v->xv->x->pv;
    unsigned n = (entries + 511) / 512, i;
    u64 old[PV_GDT_FRAMES];
    int r = 0;

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return -XEN_EINVAL;
    pv_lock(pv);
    for (i = 0; i < n && !r; i++)
        r = pv_type_get(pv, frame[i], PT_DESC);
    if (r) {
        gdt_drop(pv, (u64 *)frame, i - 1);
        r = -XEN_EINVAL;
    } else {
        unsigned nold = (v->gdt_entries + 511) / 512;
        memcpy(old, v->gdt, sizeof(old));
        memcpy(v->gdt, frame, n * sizeof(*frame));
        v->gdt_entries = entries;
        __atomic_add_fetch(&pv->descriptors, 1, __ATOMIC_RELEASE);
        gdt_drop(pv, old, nold);
    }
    pv_unlock(pv);
    return r;
}

s64 pv_set_gdt(struct xen_call *k)
{
    u64 frame[PV_GDT_FRAMES];
    u32 entries = (u32)k->a[1];

    if (entries > FIRST_RESERVED_GDT_ENTRY)
        return -XEN_EINVAL;
    if (!guest_read(k, k->a[0], frame, (entries + 511) / 512 * sizeof(*frame)))
        return -XEN_EFAULT;
    return pv_gdt_load(caller(k), frame, entries);
}

s64 pv_update_descriptor(struct xen_call *k)
{
    struct xen_pv *pv = k->x->pv;
    u64 at = k->a[0], d = k->a[1], mfn = at >> PAGE_SHIFT;

    if (at & 7 || !pv_descriptor_ok(&d))
        return -XEN_EINVAL;
    pv_lock(pv);
    const struct pv_page *p = pv_page(pv, mfn);
    enum pv_type type = p && p->uses && p->type == PT_DESC ? PT_DESC : PT_WRITABLE;
    int r = pv_type_get(pv, mfn, type);
    if (!r) {
        u64 *to = (u64 *)(pv_frame(pv, mfn) + (at & PAGE_MASK));
        __atomic_store_n(to, d, __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&pv->descriptors, 1, __ATOMIC_RELEASE);
        guest_wrote(k->x, to, sizeof(*to));
        pv_type_put(pv, mfn);
    }
    pv_unlock(pv);
    return r;
}

/* ---------------------------------------------------------------- segments -- */

/* The program's GS, while the kernel runs: its selector, and with it the base. */
static s64 set_user_gs(struct cpu *c, u16 sel)
{
    u64 d, lin;
    struct segment s = {.sel = sel};

    if (sel & ~3u) {
        if (!desc_try(c, sel, &d, &lin) || !(d >> 47 & 1) || !(d >> 44 & 1) || desc_dpl(d) != 3 ||
            (d >> 40 & 0xa) == 8)
            return 0; /* it stays null, as with a selector that faults */
        s = desc_segment(d, sel);
    }
    c->s.kernel_gs_base = s.base;
    s.base = c->s.seg[GS].base;
    c->s.seg[GS] = s;
    return 0;
}

s64 pv_set_segment_base(struct xen_call *k)
{
    struct cpu *c = pv_cpu(k);
    u64 base = k->a[1];

    if ((u32)k->a[0] == SEGBASE_GS_USER_SEL)
        return set_user_gs(c, (u16)base);
    if (!canonical(base))
        return -XEN_EINVAL;
    switch ((u32)k->a[0]) {
    case SEGBASE_FS:
        c->s.seg[FS].base = base;
        return 0;
    case SEGBASE_GS_USER:
        c->s.kernel_gs_base = base;
        return 0;
    case SEGBASE_GS_KERNEL:
        c->s.seg[GS].base = base;
        return 0;
    default:
        return -XEN_EINVAL;
    }
}

s64 pv_fpu_taskswitch(struct xen_call *k)
{
    struct cpu *c = pv_cpu(k);

    if (k->a[0])
        c->s.cr0 |= CR0_TS;
    else
        c->s.cr0 &= ~(u64)CR0_TS;
    return 0;
}

/* -------------------------------------------------------- debug registers -- */

s64 pv_set_debugreg(struct xen_call *k)
{
    struct cpu *c = pv_cpu(k);
    u64 v = k->a[1];

    switch ((u32)k->a[0]) {
    case 0 ... 3:
        if (!canonical(v) || (v >= PV_M2P_START && v < PV_M2P_END))
            return -XEN_EPERM;
        c->s.dr[(u32)k->a[0]] = v;
        break;
    case 6:
        c->s.dr[6] = (v & 0xe00f) | 0xffff0ff0;
        break;
    case 7:
        if (v & BIT(13)) /* GD */
            return -XEN_EPERM;
        c->s.dr[7] = (v & 0xffff03ff) | 0x400;
        break;
    default:
        return -XEN_EINVAL;
    }
    cpu_mmu_idx(c);
    return 0;
}

s64 pv_get_debugreg(struct xen_call *k)
{
    u32 n = (u32)k->a[0];

    return n < 4 || n == 6 || n == 7 ? (s64)pv_cpu(k)->s.dr[n] : -XEN_EINVAL;
}

/* -------------------------------------------------------- timer and others -- */

s64 pv_set_timer_op(struct xen_call *k)
{
    struct clock *clock = k->x->vm->clock;
    struct xen_vcpu *v = k->v;

    pthread_mutex_lock(&k->x->evt_lock);
    v->single_at = k->a[0];
    if (v->single_at)
        timer_set(clock, &v->single, v->single_at);
    else
        timer_del(clock, &v->single);
    pthread_mutex_unlock(&k->x->evt_lock);
    return 0;
}

s64 pv_vm_assist(struct xen_call *k)
{
    if (k->a[0] > 1)
        return -XEN_ENOSYS;
    return k->a[1] < 64 && VM_ASSIST_VALID >> k->a[1] & 1 ? 0 : -XEN_EINVAL;
}

/* A page of the guest's for good; its events of physical interrupts, of which there are none. */
static s64 eoi_page(struct xen_call *k)
{
    u64 mfn;

    if (!guest_read(k, k->a[1], &mfn, sizeof(mfn)))
        return -XEN_EFAULT;
    return guest_page_hold(k->x, mfn) ? 0 : -XEN_EINVAL;
}

s64 pv_physdev_op(struct xen_call *k)
{
    u32 a[2];

    switch ((u32)k->a[0]) {
    case PHYSDEVOP_set_iopl:
        if (!guest_read(k, k->a[1], a, sizeof(a[0])))
            return -XEN_EFAULT;
        if (a[0] > 3)
            return -XEN_EINVAL;
        caller(k)->iopl = (u8)a[0];
        return 0;
    case PHYSDEVOP_set_iobitmap: /* no program has ports */
        return 0;
    case PHYSDEVOP_eoi:
    case PHYSDEVOP_irq_status_query:
        return -XEN_EINVAL; /* there are no physical interrupts */
    case PHYSDEVOP_pirq_eoi_gmfn_v1:
    case PHYSDEVOP_pirq_eoi_gmfn_v2:
        return eoi_page(k);
    default:
        return -XEN_ENOSYS;
    }
}
