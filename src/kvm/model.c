/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The processor that a guest on KVM sees: the CPU model of the software engines (cpu/cpuid.c),
 * less the features that KVM does not offer.  The host's own vendor, brand and family do not show,
 * nor does KVM without --pv kvm.
 *
 * MSRs: KVM keeps those that make code run (kept[]); for all others the guest leaves to us, and
 * cpu/msr.c answers as it does under the software engines.
 */
#include "kvm/kvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* Features that are ours whatever KVM says: APIC, timers and MSRs in user space. */
static const u8 ours[] = {
    FEAT_apic, FEAT_x2apic, FEAT_tsc_deadline,  FEAT_tsc_adjust,      FEAT_mtrr, FEAT_mce, FEAT_mca,
    FEAT_arat, FEAT_msr,    FEAT_lfence_serial, FEAT_null_clears_base};

static const struct {
    u32 leaf;
    u8 sub, reg, bit;
} place[FEAT_COUNT] = {
#define eax                    0
#define ebx                    1
#define ecx                    2
#define edx                    3
#define FEATURE(n, l, s, r, b) [FEAT_##n] = {l, s, r, b},
#include "cpu/cpuid.tab"
#undef FEATURE
#undef eax
#undef ebx
#undef ecx
#undef edx
};

static const struct kvm_cpuid_entry2 *offered(const struct engine *en, u32 leaf, u32 sub)
{
    for (unsigned i = 0; i < en->offered->nent; i++) {
        const struct kvm_cpuid_entry2 *x = &en->offered->entries[i];
        if (x->function == leaf &&
            (!(x->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || x->index == sub))
            return x;
    }
    return NULL;
}

static bool offers(const struct engine *en, unsigned f)
{
    const struct kvm_cpuid_entry2 *x = offered(en, place[f].leaf, place[f].sub);

    if (!x)
        return false;
    const u32 regs[4] = {x->eax, x->ebx, x->ecx, x->edx};
    return regs[place[f].reg] >> place[f].bit & 1;
}

void kvm_model_cut(struct engine *en, struct cpuid_model *m)
{
    const struct kvm_cpuid_entry2 *x = offered(en, 0x80000008, 0);
    bool was[FEAT_COUNT];

    memcpy(was, m->has, sizeof(was));
    for (unsigned f = 0; f < FEAT_COUNT; f++)
        m->has[f] &= offers(en, f);
    for (unsigned i = 0; i < ARRAY_SIZE(ours); i++)
        m->has[ours[i]] = was[ours[i]];
    if (!m->has[FEAT_xsave]) {
        static const u8 of_xsave[] = {FEAT_avx,      FEAT_avx2,   FEAT_fma,    FEAT_f16c,
                                      FEAT_xsaveopt, FEAT_xsavec, FEAT_xgetbv1};
        for (unsigned i = 0; i < ARRAY_SIZE(of_xsave); i++)
            m->has[of_xsave[i]] = false;
    }
    if (x && x->eax & 0xff)
        m->phys_bits = min(m->phys_bits, x->eax & 0xff);
    en->tsc_aux = m->has[FEAT_rdtscp] || m->has[FEAT_rdpid];
}

/* -------------------------------------------------------------- CPUID -- */

enum { LEAVES_MAX = 128 };

struct cpuid_block {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entry[LEAVES_MAX];
};

static void leaf(struct engine_vcpu *k, struct cpuid_block *b, u32 fn, u32 sub, bool indexed)
{
    struct cpuid_regs r = cpuid_query(&k->c, fn, sub);

    if (b->head.nent == LEAVES_MAX)
        return;
    b->entry[b->head.nent++] = (struct kvm_cpuid_entry2){
        .function = fn,
        .index = indexed ? sub : 0,
        .flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
        .eax = r.eax,
        .ebx = r.ebx,
        .ecx = r.ecx,
        .edx = r.edx,
    };
}

/* Sub-leaves of an indexed leaf. */
static u32 subleaves(u32 fn)
{
    return fn == 4 ? 4 : fn == 0xb || fn == 0xd ? 3 : fn == 7 ? 1 : 0;
}

int kvm_model_set(struct engine_vcpu *k, struct err *e)
{
    struct cpuid_block *b = calloc(1, sizeof(*b));
    const struct pv *pv = &k->c.vm->pv;

    if (!b)
        return err_set(e, ENOMEM, "vCPU %u: no memory", k->c.vcpu->index);
    u32 last = cpuid_query(&k->c, 0, 0).eax, last_ext = cpuid_query(&k->c, 0x80000000, 0).eax;
    for (u32 fn = 0; fn <= last; fn++) {
        u32 n = subleaves(fn);
        for (u32 sub = 0; sub < max(n, 1u); sub++)
            leaf(k, b, fn, sub, n > 0);
    }
    for (u32 fn = 0x80000000; fn <= last_ext; fn++)
        leaf(k, b, fn, 0, false);
    if (pv->ops) {
        u32 top = cpuid_query(&k->c, 0x40000000, 0).eax;
        for (u32 fn = 0x40000000; fn <= top && fn < 0x40000010; fn++)
            leaf(k, b, fn, 0, false);
    }
    for (unsigned i = 0; i < b->head.nent && k->en->pv; i++)
        if (b->entry[i].function == 1)
            b->entry[i].ecx |= BIT(31); /* a hypervisor */
    if (b->head.nent + 2 <= LEAVES_MAX)
        b->head.nent += kvm_pv_leaves(k->en, &b->entry[b->head.nent]);
    int r = ioctl(k->fd, KVM_SET_CPUID2, b) ? -errno : 0;
    free(b);
    if (r)
        return err_set(e, -r, "KVM_SET_CPUID2: %s", strerror(-r));
    k->cpuid_set = true;
    return 0;
}

/* --------------------------------------------------------------- MSRs -- */

enum when { ALWAYS, SPLIT, PV };

/* The MSRs that the guest reaches without leaving to us: base and which of 32 from there.  KVM lets
 * x2APIC's through of itself while it has the local APICs. */
static const struct {
    u32 base, bits;
    enum when when;
} kept[] = {
    {0x160, 7u << 20, ALWAYS},   /* SYSENTER_CS, ESP, EIP: 174h-176h */
    {0x260, 1u << 23, ALWAYS},   /* PAT: 277h */
    {0xc0000080, 0x1fu, ALWAYS}, /* EFER, STAR, LSTAR, CSTAR, SFMASK */
    {0xc0000100, 0xfu, ALWAYS},  /* FS, GS and kernel GS base, TSC_AUX */
    {0x1b, 1, SPLIT},            /* APIC_BASE */
    {0x6e0, 1, SPLIT},           /* TSC_DEADLINE */
    {0, 3u << 17, PV},           /* 11h, 12h: KVM's clock as it was first */
    {0x4b564d00, 0xdf, PV},      /* KVM's own but 5, polling */
};

static bool is_kept(const struct engine *en, enum when when)
{
    return when == ALWAYS || (when == SPLIT && en->split) || (when == PV && en->pv);
}

int kvm_filter_msrs(struct engine *en, struct err *e)
{
    struct kvm_msr_filter f = {.flags = KVM_MSR_FILTER_DEFAULT_DENY};
    u32 bits[ARRAY_SIZE(kept)];

    for (unsigned i = 0, n = 0; i < ARRAY_SIZE(kept); i++) {
        if (!is_kept(en, kept[i].when))
            continue;
        bits[n] = kept[i].bits;
        f.ranges[n] = (struct kvm_msr_filter_range){
            .flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
            .base = kept[i].base,
            .nmsrs = 32,
            .bitmap = (u8 *)&bits[n],
        };
        n++;
    }
    if (ioctl(en->fd, KVM_X86_SET_MSR_FILTER, &f))
        return err_set(e, errno, "/dev/kvm: KVM_X86_SET_MSR_FILTER: %s", strerror(errno));
    return 0;
}
