/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page tables by hypercall: mmu_update, mmuext_op, update_va_mapping (xen.h).
 *
 * Lists are taken entry by entry, each copied once; after a bounded turn a call comes back to its
 * vCPU's events with what is left in its arguments.  There is one domain: names of others are
 * -ESRCH.
 */
#include "pv/xen/pv.h"

#include "cpu/mmu.h"

#include <string.h>

enum { UPDATES_TURN = 256, EXT_TURN = 32 };

static struct pv_vcpu *caller(const struct xen_call *k)
{
    return &k->x->pv->vcpu[k->v->id];
}

/* How many operations have been done: added to what the guest's counter has.  One that cannot be
 * written is the guest's loss, as in Xen. */
static void count_done(struct xen_call *k, u64 at, u32 n)
{
    u32 done = 0;

    if (!at || !n || !guest_read(k, at, &done, sizeof(done)))
        return;
    done += n;
    guest_write(k, at, &done, sizeof(done));
}

/* A list of `size`-byte operations at a[0], a[1] of them, the counter at a[2].  The counter starts
 * at 0; MMU_UPDATE_PREEMPTED in a[1] says that it has. */
static s64 list(struct xen_call *k, unsigned size, unsigned turn,
                s64 (*one)(struct xen_call *k, const void *op))
{
    u32 n = (u32)k->a[1] & ~MMU_UPDATE_PREEMPTED, done = 0;
    u64 op[3];
    s64 r = 0;

    if (!((u32)k->a[1] & MMU_UPDATE_PREEMPTED) && k->a[2])
        guest_write(k, k->a[2], &(u32){0}, sizeof(u32));
    while (done < n && !r) {
        if (done == turn) {
            count_done(k, k->a[2], done);
            k->a[0] += (u64)done * size;
            k->a[1] = (n - done) | MMU_UPDATE_PREEMPTED;
            k->result = PV_AGAIN;
            return 0;
        }
        r = guest_read(k, k->a[0] + (u64)done * size, op, size) ? one(k, op) : -XEN_EFAULT;
        done += !r;
    }
    count_done(k, k->a[2], done);
    return r;
}

/* ------------------------------------------------------------ mmu_update -- */

static s64 update_frame(struct xen_pv *pv, u64 at, u64 val, bool keep_ad)
{
    u64 mfn = at >> PAGE_SHIFT;
    const struct pv_page *p = pv_page(pv, mfn);

    if (!p)
        return -XEN_EINVAL;
    if (p->uses && p->type >= PT_L1 && p->type <= PT_L4)
        return pv_entry_set(pv, mfn, (unsigned)(at & PAGE_MASK) / 8, val, keep_ad, NULL);
    if (pv_type_get(pv, mfn, PT_WRITABLE))
        return -XEN_EINVAL;
    u64 *to = (u64 *)(pv_frame(pv, mfn) + (at & PAGE_MASK));
    __atomic_store_n(to, val, __ATOMIC_SEQ_CST);
    guest_wrote(pv->x, to, sizeof(*to));
    pv_type_put(pv, mfn);
    return 0;
}

static s64 one_update(struct xen_call *k, const void *op)
{
    struct mmu_update u;
    struct xen_pv *pv = k->x->pv;
    s64 r = 0;

    memcpy(&u, op, sizeof(u));
    u64 at = u.ptr & ~7ull;
    pv_lock(pv);
    switch (u.ptr & 7) {
    case MMU_NORMAL_PT_UPDATE:
    case MMU_PT_UPDATE_PRESERVE_AD:
    case MMU_PT_UPDATE_NO_TRANSLATE:
        r = update_frame(pv, at, u.val, (u.ptr & 7) == MMU_PT_UPDATE_PRESERVE_AD);
        break;
    case MMU_MACHPHYS_UPDATE:
        if (pv_page(pv, at >> PAGE_SHIFT))
            pv->m2p[at >> PAGE_SHIFT] = u.val;
        else
            r = -XEN_EINVAL;
        break;
    default:
        r = -XEN_ENOSYS;
    }
    pv_unlock(pv);
    return r;
}

s64 pv_mmu_update(struct xen_call *k)
{
    u16 table_dom = (u16)(k->a[3] >> 16);

    if ((table_dom && !is_self((u16)(table_dom - 1))) || !is_self((u16)k->a[3]))
        return -XEN_ESRCH;
    return list(k, sizeof(struct mmu_update), UPDATES_TURN, one_update);
}

/* ------------------------------------------------------------- mmuext_op -- */

static int pin(struct xen_pv *pv, u64 mfn, enum pv_type type)
{
    struct pv_page *p = pv_page(pv, mfn);
    int r = p ? pv_type_get(pv, mfn, type) : -XEN_EINVAL;

    if (r)
        return r;
    if (p->pinned) {
        pv_type_put(pv, mfn);
        return -XEN_EINVAL;
    }
    p->pinned = true;
    return 0;
}

static int unpin(struct xen_pv *pv, u64 mfn)
{
    struct pv_page *p = pv_page(pv, mfn);

    if (!p || !p->pinned)
        return -XEN_EINVAL;
    p->pinned = false;
    pv_type_put(pv, mfn);
    return 0;
}

static bool same_upper(struct pv_vcpu *v, u64 a, u64 b)
{
    const struct xen_pv *pv = v->xv->x->pv;
    const u64 *x = (const u64 *)pv_frame(pv, a), *y = (const u64 *)pv_frame(pv, b);
    u64 differ = 0;

    if (v->same_gen == pv->uppers &&
        ((v->same[0] == a && v->same[1] == b) || (v->same[0] == b && v->same[1] == a)))
        return true;
    for (unsigned i = 256; i < 512; i++)
        differ |= x[i] ^ y[i];
    if (differ & ~(u64)(PTE_ACCESSED | PTE_DIRTY))
        return false;
    v->same[0] = a;
    v->same[1] = b;
    v->same_gen = pv->uppers;
    return true;
}

int pv_new_base(struct pv_vcpu *v, struct cpu *c, u64 mfn)
{
    struct xen_pv *pv = v->xv->x->pv;
    u64 old = v->kernel_l4;

    pv_flush_own(v); /* before anything is put aside, or comes back */
    if (mfn != old) {
        int r = pv_type_get(pv, mfn, PT_L4);
        if (r)
            return r;
        v->kernel_l4 = mfn;
        c->s.cr3 = mfn << PAGE_SHIFT;
        ring3_new_root(c, true, old && same_upper(v, old, mfn), old, mfn);
        if (old)
            pv_type_put(pv, old);
    }
    return 0;
}

static int new_user_base(struct pv_vcpu *v, struct cpu *c, u64 mfn)
{
    struct xen_pv *pv = v->xv->x->pv;
    u64 old = v->user_l4;
    int r = mfn && mfn != old ? pv_type_get(pv, mfn, PT_L4) : 0;

    if (r)
        return r;
    pv_flush_own(v);
    if (mfn != old) {
        v->user_l4 = mfn;
        ring3_new_root(c, false, false, old, mfn);
        if (old)
            pv_type_put(pv, old);
    }
    return 0;
}

/* Whole pages, by frame: CLEAR_PAGE, COPY_PAGE. */
static int whole_page(struct xen_pv *pv, u64 mfn, u64 from, bool copy)
{
    if (copy && pv_ref_get(pv, from))
        return -XEN_EINVAL;
    int r = pv_type_get(pv, mfn, PT_WRITABLE) ? -XEN_EINVAL : 0;
    if (!r) {
        u8 *to = pv_frame(pv, mfn);
        if (copy)
            memmove(to, pv_frame(pv, from), PAGE_SIZE);
        else
            memset(to, 0, PAGE_SIZE);
        guest_wrote(pv->x, to, PAGE_SIZE);
        pv_type_put(pv, mfn);
    }
    if (copy)
        pv_ref_put(pv, from);
    return r;
}

/* A bitmap of vCPUs in guest memory. */
static bool vcpu_mask(struct xen_call *k, u64 at, u64 *mask)
{
    u8 bytes[8] = {0};

    /* no more of it is read than there are vCPUs for, in words */
    if (!guest_read(k, at, bytes, sizeof(bytes)))
        return false;
    memcpy(mask, bytes, sizeof(bytes));
    return true;
}

static u64 all_vcpus(const struct xen *x)
{
    return x->nvcpus == 64 ? UINT64_MAX : BIT64(x->nvcpus) - 1;
}

static s64 set_ldt(struct pv_vcpu *v, u64 base, u64 entries)
{
    if (entries > PV_LDT_ENTRIES || (entries && (base & PAGE_MASK || !canonical(base))))
        return -XEN_EINVAL;
    v->ldt_base = base;
    v->ldt_entries = (u32)entries;
    return 0;
}

static s64 one_ext(struct xen_call *k, const void *raw)
{
    struct mmuext_op op;
    struct xen_pv *pv = k->x->pv;
    struct pv_vcpu *v = caller(k);
    struct cpu *c = pv_cpu(k);
    u64 mask = all_vcpus(k->x);
    s64 r = 0;

    memcpy(&op, raw, sizeof(op));
    if ((op.cmd == MMUEXT_TLB_FLUSH_MULTI || op.cmd == MMUEXT_INVLPG_MULTI)) {
        if (!vcpu_mask(k, op.arg2, &mask))
            return -XEN_EFAULT;
        mask &= all_vcpus(k->x);
    }
    pv_lock(pv);
    switch (op.cmd) {
    case MMUEXT_PIN_L1_TABLE ... MMUEXT_PIN_L4_TABLE:
        r = pin(pv, op.arg1, PT_L1 + op.cmd);
        break;
    case MMUEXT_UNPIN_TABLE:
        r = unpin(pv, op.arg1);
        break;
    case MMUEXT_NEW_BASEPTR:
        r = pv_new_base(v, c, op.arg1);
        break;
    case MMUEXT_NEW_USER_BASEPTR:
        r = new_user_base(v, c, op.arg1);
        break;
    case MMUEXT_TLB_FLUSH_LOCAL:
    case MMUEXT_INVLPG_LOCAL:
        pv_flush_own(v);
        break;
    case MMUEXT_TLB_FLUSH_MULTI:
    case MMUEXT_INVLPG_MULTI:
    case MMUEXT_TLB_FLUSH_ALL:
    case MMUEXT_INVLPG_ALL:
        pv_flush(pv, mask);
        break;
    case MMUEXT_FLUSH_CACHE:
    case MMUEXT_FLUSH_CACHE_GLOBAL:
        r = -XEN_EPERM; /* for those with devices */
        break;
    case MMUEXT_SET_LDT:
        r = set_ldt(v, op.arg1, op.arg2);
        break;
    case MMUEXT_CLEAR_PAGE:
    case MMUEXT_COPY_PAGE:
        r = whole_page(pv, op.arg1, op.arg2, op.cmd == MMUEXT_COPY_PAGE);
        break;
    case MMUEXT_MARK_SUPER:
    case MMUEXT_UNMARK_SUPER:
        r = -XEN_EOPNOTSUPP;
        break;
    default:
        r = -XEN_ENOSYS;
    }
    pv_unlock(pv);
    return r;
}

s64 pv_mmuext_op(struct xen_call *k)
{
    if (!is_self((u16)k->a[3]))
        return -XEN_ESRCH;
    return list(k, sizeof(struct mmuext_op), EXT_TURN, one_ext);
}

/* ------------------------------------------------------ update_va_mapping -- */

/* Bits 3 and above of the flags: the address of a bitmap of vCPUs, or UVMF_ALL, or the caller. */
static s64 flush_after(struct xen_call *k, u64 flags)
{
    struct xen_pv *pv = k->x->pv;
    u64 mask = BIT64(k->v->id);

    if (!(flags & UVMF_FLUSHTYPE_MASK))
        return 0;
    if ((flags & UVMF_FLUSHTYPE_MASK) == UVMF_FLUSHTYPE_MASK)
        return -XEN_ENOSYS;
    if ((flags & ~(u64)UVMF_FLUSHTYPE_MASK) == UVMF_ALL)
        mask = all_vcpus(k->x);
    else if (flags & ~(u64)UVMF_FLUSHTYPE_MASK &&
             !vcpu_mask(k, flags & ~(u64)UVMF_FLUSHTYPE_MASK, &mask))
        return -XEN_EFAULT;
    mask &= all_vcpus(k->x);
    pv_lock(pv);
    pv_flush(pv, mask);
    pv_unlock(pv);
    return 0;
}

/* The entry of level 1 that maps va in the caller's page tables; false: there is none. */
static bool find_l1(struct xen_pv *pv, const struct pv_vcpu *v, u64 va, u64 *mfn)
{
    u64 table = v->kernel_l4;

    for (unsigned shift = 39; shift > 12; shift -= 9) {
        const u64 *t = (const u64 *)pv_frame(pv, table);
        u64 e = __atomic_load_n(&t[va >> shift & 511], __ATOMIC_RELAXED);
        if (!(e & PTE_PRESENT) || e & PTE_PSE)
            return false;
        table = (e & PTE_FRAME) >> PAGE_SHIFT;
        if (table >= pv->frames)
            return false; /* Xen's part */
    }
    *mfn = table;
    return true;
}

static s64 update_va(struct xen_call *k, u64 va, u64 e, u64 flags)
{
    struct xen_pv *pv = k->x->pv;
    u64 mfn;
    s64 r = -XEN_EINVAL;

    if (!canonical(va))
        return -XEN_EINVAL;
    pv_lock(pv);
    if (caller(k)->kernel_l4 && find_l1(pv, caller(k), va, &mfn))
        r = pv_entry_set(pv, mfn, va >> 12 & 511, e, false, NULL);
    pv_unlock(pv);
    s64 f = flush_after(k, flags);
    return r ? r : f;
}

s64 pv_update_va_mapping(struct xen_call *k)
{
    return update_va(k, k->a[0], k->a[1], k->a[2]);
}

s64 pv_update_va_mapping_otherdomain(struct xen_call *k)
{
    return is_self((u16)k->a[3]) ? update_va(k, k->a[0], k->a[1], k->a[2]) : -XEN_ESRCH;
}
