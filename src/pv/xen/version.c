/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who we are: CPUID leaves (arch-x86/cpuid.h), the MSR that fills the hypercall page, and the call
 * xen_version (version.h).
 */
#include "pv/xen/pv.h"

#include "base/endian.h"

#include <string.h>

enum { LEAVES = 5, MSR_PAGES = 1, SLOT = 32 };
#define LEAF_BASE     0x40000000u
#define MSR_HYPERCALL 0x40000000u

enum {
    FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1 << 0,
    HVM_CPUID_X2APIC_VIRT = 1 << 1,
    HVM_CPUID_VCPU_ID_PRESENT = 1 << 3,
    HVM_CPUID_DOMID_PRESENT = 1 << 4,
    HVM_CPUID_UPCALL_VECTOR = 1 << 6,
};

static u32 text(const char *s)
{
    return le32_get(s);
}

static void leaf_time(struct xen *x, struct vcpu *v, u32 sub, u32 r[4])
{
    u64 hz = clock_tsc_hz(x->vm->clock);
    s8 shift;

    switch (sub) {
    case 0:
        r[0] = BIT(1) | BIT(2); /* the host's TSC is reliable; there is RDTSCP */
        r[1] = 2;               /* never emulated */
        r[2] = (u32)(hz / 1000);
        r[3] = 0;
        break;
    case 1:
        r[0] = (u32)x->vcpu[v->index].tsc_offset;
        r[1] = (u32)((u64)x->vcpu[v->index].tsc_offset >> 32);
        time_scale(hz, &r[2], &shift);
        r[3] = (u32)shift;
        break;
    case 2:
        r[0] = (u32)(hz / 1000);
        break;
    }
}

bool xen_cpuid(void *opaque, struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    struct xen *x = opaque;

    memset(r, 0, 4 * sizeof(*r));
    switch (leaf - LEAF_BASE) {
    case 0:
        r[0] = LEAF_BASE + LEAVES;
        r[1] = text("XenV");
        r[2] = text("MMXe");
        r[3] = text("nVMM");
        break;
    case 1:
        r[0] = XEN_VERSION_MAJOR << 16 | XEN_VERSION_MINOR;
        break;
    case 2:
        r[0] = MSR_PAGES;
        r[1] = MSR_HYPERCALL;
        r[2] = x->pv ? FEAT1_MMU_PT_UPDATE_PRESERVE_AD : 0;
        break;
    case 3:
        leaf_time(x, v, sub, r);
        break;
    case 4: /* zero for a PV guest, which would ask for an upcall vector else */
        if (x->pv)
            break;
        r[0] = HVM_CPUID_X2APIC_VIRT | HVM_CPUID_VCPU_ID_PRESENT | HVM_CPUID_DOMID_PRESENT |
               HVM_CPUID_UPCALL_VECTOR;
        r[1] = v->index;
        r[2] = XEN_DOMID_GUEST;
        break;
    case 5: /* PV: how wide machine addresses are */
        if (x->pv)
            r[1] = (u32)(64 - __builtin_clzll(x->pv->m2p_frame)) + PAGE_SHIFT;
        break;
    default:
        return false;
    }
    return true;
}

bool xen_rdmsr(void *opaque, struct vcpu *v, u32 msr, u64 *val)
{
    *val = 0;
    return msr == MSR_HYPERCALL;
}

/* One slot a call: mov eax, number; vmmcall; ret; the rest traps. */
bool xen_wrmsr(void *opaque, struct vcpu *v, u32 msr, u64 val)
{
    struct xen *x = opaque;
    u8 *page;

    if (msr != MSR_HYPERCALL || (val & PAGE_MASK) >= MSR_PAGES)
        return false;
    page = guest_page_get(x, val >> PAGE_SHIFT, true);
    if (!page)
        return false;
    if (x->pv) {
        xen_pv_hypercall_page(page);
        guest_wrote(x, page, PAGE_SIZE);
        guest_page_put(x, page, true);
        return true;
    }
    memset(page, 0xcc, PAGE_SIZE);
    for (unsigned n = 0; n < PAGE_SIZE / SLOT; n++) {
        static const u8 code[] = {0xb8, 0, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3};
        u8 *p = page + n * SLOT;

        memcpy(p, code, sizeof(code));
        le32_put(p + 1, n);
    }
    guest_wrote(x, page, PAGE_SIZE);
    trace(x->trace, xen, "hypercall page at %llx", (unsigned long long)val);
    return true;
}

static s64 give(struct xen_call *k, const void *buf, u64 len)
{
    return guest_write(k, k->a[1], buf, len) ? 0 : -XEN_EFAULT;
}

static s64 give_text(struct xen_call *k, const char *s, u64 room)
{
    char buf[1024] = {0};

    memcpy(buf, s, min((u64)strlen(s), room - 1));
    return give(k, buf, room);
}

static s64 features(struct xen_call *k)
{
    /* pae_pgdir_above_4gb, mmu_pt_update_preserve_ad, highmem_assist, gnttab_map_avail_bits,
     * memory_op_vnode_supported, direct_mapped: as Xen 4.17 gives them */
    const u32 pv = 0x220f0;
    const u32 hvm = BIT(XENFEAT_writable_page_tables) | BIT(XENFEAT_auto_translated_physmap) |
                    BIT(XENFEAT_hvm_callback_vector) | BIT(XENFEAT_hvm_safe_pvclock) |
                    BIT(XENFEAT_memory_op_vnode_supported) | BIT(XENFEAT_not_direct_mapped);
    u32 f[2];

    if (!guest_read(k, k->a[1], f, sizeof(f)))
        return -XEN_EFAULT;
    f[1] = f[0] ? 0 : k->x->pv ? pv : hvm;
    return give(k, f, sizeof(f));
}

s64 xen_version_op(struct xen_call *k)
{
    switch ((u32)k->a[0]) {
    case XENVER_version:
        return XEN_VERSION_MAJOR << 16 | XEN_VERSION_MINOR;
    case XENVER_extraversion:
        return give_text(k, ".7", 16);
    case XENVER_compile_info: {
        char info[64 + 16 + 32 + 32] = {0};
        strcpy(info, "Wirt " WIRT_VERSION);
        return give(k, info, sizeof(info));
    }
    case XENVER_capabilities:
        return give_text(k, "xen-3.0-x86_64 hvm-3.0-x86_64 ", 1024);
    case XENVER_changeset:
        return give_text(k, "", 64);
    case XENVER_platform_parameters: {
        u64 virt_start = 0xffff800000000000ull;
        return give(k, &virt_start, sizeof(virt_start));
    }
    case XENVER_get_features:
        return features(k);
    case XENVER_pagesize:
        return PAGE_SIZE;
    case XENVER_guest_handle:
        return give(k, k->x->cfg.uuid, 16);
    case XENVER_commandline:
        return give_text(k, "", 1024);
    case XENVER_build_id:
        return -XEN_ENOENT;
    default:
        return -XEN_ENOSYS;
    }
}
