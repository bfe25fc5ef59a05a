/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models and what the CPUID instruction answers.  SDM volume 2, CPUID; AMD APM volume 3,
 * appendix E.
 *
 * The processor shows itself as a plain AMD one without the hazards of speculation that make a
 * kernel unmap itself from user space or make its indirect branches detours (autoibrs says that
 * they are safe): that costs a translated guest dearly and guards nothing here.  The host's vendor,
 * brand, family and hypervisor never show.  Leaf 4 and 0xB (Intel's topology) are answered as well;
 * guests that look there find the same cores.
 */
#include "cpu/cpuid.h"

#include "cpu/cpu.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>

enum cpuid_reg { eax, ebx, ecx, edx };

static const struct {
    u32 leaf;
    u8 sub, reg, bit;
    const char *name;
} features[FEAT_COUNT] = {
#define FEATURE(n, l, s, r, b) [FEAT_##n] = {l, s, r, b, #n},
#include "cpu/cpuid.tab"
#undef FEATURE
};

/* Features whose instructions the host's own units carry out. */
static const u8 host_features[] = {
    FEAT_mmx,    FEAT_sse,    FEAT_sse2,   FEAT_sse3,  FEAT_pclmul, FEAT_ssse3,
    FEAT_fma,    FEAT_sse4_1, FEAT_sse4_2, FEAT_movbe, FEAT_popcnt, FEAT_aes,
    FEAT_avx,    FEAT_f16c,   FEAT_rdrand, FEAT_bmi1,  FEAT_avx2,   FEAT_bmi2,
    FEAT_rdseed, FEAT_adx,    FEAT_sha,    FEAT_abm,
};

/* What `max` leaves out: given by the machine's state, or not offered. */
static const u8 not_in_max[] = {FEAT_ss,         FEAT_ht,    FEAT_monitor, FEAT_osxsave,
                                FEAT_hypervisor, FEAT_sse4a, FEAT_fxsr_opt};

static const u8 in_qemu64[] = {
    FEAT_fpu,     FEAT_vme,    FEAT_de,           FEAT_pse,        FEAT_tsc,     FEAT_msr,
    FEAT_pae,     FEAT_mce,    FEAT_cx8,          FEAT_apic,       FEAT_sep,     FEAT_mtrr,
    FEAT_pge,     FEAT_mca,    FEAT_cmov,         FEAT_pat,        FEAT_pse36,   FEAT_clfsh,
    FEAT_mmx,     FEAT_fxsr,   FEAT_sse,          FEAT_sse2,       FEAT_sse3,    FEAT_cx16,
    FEAT_x2apic,  FEAT_popcnt, FEAT_tsc_deadline, FEAT_arat,       FEAT_lahf_lm, FEAT_prefetchw,
    FEAT_syscall, FEAT_nx,     FEAT_lm,           FEAT_tsc_adjust, FEAT_umip,
};

static bool host_has(enum feature f)
{
    u32 r[4];

    if ((u32)__get_cpuid_max(features[f].leaf & 0x80000000u, NULL) < features[f].leaf)
        return false;
    __cpuid_count(features[f].leaf, features[f].sub, r[0], r[1], r[2], r[3]);
    return r[features[f].reg] >> features[f].bit & 1;
}

int cpuid_model_find(struct cpuid_model *m, const char *name, struct err *e)
{
    *m = (struct cpuid_model){.vendor = "AuthenticAMD",
                              .family = 15,
                              .model = 107,
                              .stepping = 1,
                              .phys_bits = 40,
                              .virt_bits = 48};
    if (!strcmp(name, "max")) {
        m->name = "max";
        m->brand = "Wirt Virtual Processor";
        for (unsigned i = 0; i < FEAT_COUNT; i++)
            m->has[i] = true;
        for (unsigned i = 0; i < ARRAY_SIZE(not_in_max); i++)
            m->has[not_in_max[i]] = false;
    } else if (!strcmp(name, "qemu64")) {
        m->name = "qemu64";
        m->brand = "Wirt Virtual Processor, baseline";
        for (unsigned i = 0; i < ARRAY_SIZE(in_qemu64); i++)
            m->has[in_qemu64[i]] = true;
    } else {
        return err_set(e, EINVAL, "CPU model '%s': there are max and qemu64", name);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(host_features); i++)
        m->has[host_features[i]] &= host_has(host_features[i]);
    return 0;
}

void cpuid_model_ring3(struct cpuid_model *m)
{
    static const u8 hidden[] = {FEAT_vme,        FEAT_pse,     FEAT_apic,   FEAT_mtrr,
                                FEAT_pge,        FEAT_pse36,   FEAT_pcid,   FEAT_x2apic,
                                FEAT_smep,       FEAT_invpcid, FEAT_smap,   FEAT_tsc_deadline,
                                FEAT_tsc_adjust, FEAT_umip,    FEAT_pdpe1gb};

    for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++)
        m->has[hidden[i]] = false;
}

static const char *const names[FEAT_COUNT] = {
#define FEATURE(name, leaf, sub, reg, bit) #name,
#include "cpu/cpuid.tab"
#undef FEATURE
};

const char *cpuid_feature_name(enum feature f)
{
    return names[f];
}

void cpuid_model_limit(struct cpuid_model *m, const char *list, size_t len)
{
    const char *end = list + len, *at;

    for (unsigned f = 0; f < FEAT_COUNT; f++) {
        for (at = list; at < end && strcmp(at, names[f]); at += strlen(at) + 1)
            ;
        m->has[f] &= at < end;
    }
}

/* The model's bits of one register. */
static u32 feature_bits(const struct cpuid_model *m, u32 leaf, u32 sub, enum cpuid_reg reg)
{
    u32 v = 0;

    for (unsigned i = 0; i < FEAT_COUNT; i++) {
        if (m->has[i] && features[i].leaf == leaf && features[i].sub == sub &&
            features[i].reg == reg)
            v |= BIT(features[i].bit);
    }
    return v;
}

static u32 signature(const struct cpuid_model *m)
{
    u32 fam = min(m->family, 15u), ext = m->family - fam;

    return ext << 20 | (m->model >> 4 & 0xf) << 16 | fam << 8 | (m->model & 0xf) << 4 | m->stepping;
}

/* Bits of an APIC ID that number the cores of the one package. */
static u32 core_bits(u32 n)
{
    return n > 1 ? 32 - (u32)__builtin_clz(n - 1) : 0;
}

static bool pv_shows(const struct cpu *c)
{
    return c->vm->pv.ops && (!c->vm->pv.paged || c->s.cr0 & CR0_PG);
}

static struct cpuid_regs leaf_1(const struct cpu *c)
{
    const struct cpuid_model *m = c->model;
    u32 n = max(c->vm->ncpus, 1u);
    struct cpuid_regs r = {
        .eax = signature(m),
        .ebx = c->vcpu->index << 24 | min(n, 255u) << 16 | 8 << 8,
        .ecx = feature_bits(m, 1, 0, ecx),
        .edx = feature_bits(m, 1, 0, edx),
    };

    if (c->s.cr4 & CR4_OSXSAVE)
        r.ecx |= BIT(features[FEAT_osxsave].bit);
    if (pv_shows(c))
        r.ecx |= BIT(features[FEAT_hypervisor].bit);
    if (n > 1)
        r.edx |= BIT(features[FEAT_ht].bit);
    if (c->vcpu->intc.get_base && !(c->vcpu->intc.get_base(c->vcpu->intc.opaque) & BIT(11)))
        r.edx &= ~BIT(features[FEAT_apic].bit);
    return r;
}

/* Deterministic cache parameters: 32 KiB L1 data and code, 1 MiB L2, 64-byte lines. */
static struct cpuid_regs leaf_4(u32 n, u32 sub)
{
    static const struct {
        u8 type, level;
        u16 ways, sets;
    } cache[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 1024}};

    if (sub >= ARRAY_SIZE(cache))
        return (struct cpuid_regs){0};
    return (struct cpuid_regs){
        .eax = cache[sub].type | cache[sub].level << 5 | BIT(8) | ((1u << core_bits(n)) - 1) << 26,
        .ebx = 63 | (u32)(cache[sub].ways - 1) << 22,
        .ecx = cache[sub].sets - 1u,
    };
}

static struct cpuid_regs leaf_b(const struct cpu *c, u32 sub)
{
    u32 n = max(c->vm->ncpus, 1u);
    struct cpuid_regs r = {.ecx = sub & 0xff, .edx = c->vcpu->index};

    if (sub == 0) {
        r.ebx = 1;
        r.ecx |= 1 << 8;
    } else if (sub == 1) {
        r.eax = core_bits(n);
        r.ebx = n;
        r.ecx |= 2 << 8;
    }
    return r;
}

static struct cpuid_regs leaf_d(const struct cpu *c, u32 sub)
{
    const struct cpuid_model *m = c->model;
    bool avx = cpuid_has(m, FEAT_avx);

    if (!cpuid_has(m, FEAT_xsave))
        return (struct cpuid_regs){0};
    u32 now = c->s.xcr0 & 4 ? 832 : 576;
    switch (sub) {
    case 0:
        return (struct cpuid_regs){.eax = avx ? 7 : 3, .ebx = now, .ecx = avx ? 832 : 576};
    case 1:
        return (struct cpuid_regs){.eax = feature_bits(m, 0xd, 1, eax), .ebx = now};
    case 2:
        return (struct cpuid_regs){.eax = avx ? 256 : 0, .ebx = avx ? 576 : 0};
    default:
        return (struct cpuid_regs){0};
    }
}

static struct cpuid_regs text16(const char *s)
{
    struct cpuid_regs r;

    memcpy(&r, s, sizeof(r));
    return r;
}

static struct cpuid_regs leaf_extended(const struct cpu *c, u32 leaf)
{
    const struct cpuid_model *m = c->model;
    u32 n = max(c->vm->ncpus, 1u);
    struct cpuid_regs r = {0};

    switch (leaf) {
    case 0x80000000:
        r.eax = cpuid_has(m, FEAT_autoibrs) ? 0x80000021 : 0x80000008;
        memcpy(&r.ebx, m->vendor, 4);
        memcpy(&r.edx, m->vendor + 4, 4);
        memcpy(&r.ecx, m->vendor + 8, 4);
        break;
    case 0x80000001:
        r.eax = signature(m);
        r.ecx = feature_bits(m, leaf, 0, ecx) | (n > 1 ? BIT(1) : 0);
        /* AMD repeats leaf 1's low features here */
        r.edx = feature_bits(m, leaf, 0, edx) | (feature_bits(m, 1, 0, edx) & 0x0183f3ff);
        break;
    case 0x80000002:
    case 0x80000003:
    case 0x80000004: {
        char brand[48] = {0};
        memcpy(brand, m->brand, min(strlen(m->brand), sizeof(brand) - 1));
        return text16(brand + 16 * (leaf - 0x80000002));
    }
    case 0x80000005:
        r.eax = 0x01ff01ff; /* TLBs */
        r.ebx = 0x01ff01ff;
        r.ecx = r.edx = 32 << 24 | 8 << 16 | 1 << 8 | 64; /* L1: 32 KiB, 8 ways, 64-byte lines */
        break;
    case 0x80000006:
        r.ecx = 1024 << 16 | 8 << 12 | 1 << 8 | 64; /* L2: 1 MiB, 16 ways */
        break;
    case 0x80000007:
        r.edx = BIT(8); /* the TSC runs at one rate in every state */
        break;
    case 0x80000008:
        r.eax = m->virt_bits << 8 | m->phys_bits;
        r.ecx = core_bits(n) << 12 | (n - 1);
        break;
    case 0x80000021:
        r.eax = feature_bits(m, leaf, 0, eax);
        break;
    default:
        break;
    }
    return r;
}

struct cpuid_regs cpuid_query(const struct cpu *c, u32 leaf, u32 sub)
{
    const struct cpuid_model *m = c->model;
    struct cpuid_regs r = {0};

    if (leaf >= 0x80000000u && leaf <= 0x80000021u)
        return leaf_extended(c, leaf);
    if (leaf >> 16 == 0x4000 && pv_shows(c)) {
        u32 v[4] = {0};

        if (c->vm->pv.ops->cpuid(c->vm->pv.opaque, c->vcpu, leaf, sub, v))
            r = (struct cpuid_regs){v[0], v[1], v[2], v[3]};
        return r;
    }
    switch (leaf) {
    case 0:
        r.eax = cpuid_has(m, FEAT_xsave) ? 0x15 : 7;
        memcpy(&r.ebx, m->vendor, 4);
        memcpy(&r.edx, m->vendor + 4, 4);
        memcpy(&r.ecx, m->vendor + 8, 4);
        break;
    case 1:
        return leaf_1(c);
    case 4:
        return leaf_4(max(c->vm->ncpus, 1u), sub);
    case 6:
        r.eax = feature_bits(m, 6, 0, eax);
        break;
    case 7:
        if (sub == 0) {
            r.ebx = feature_bits(m, 7, 0, ebx);
            r.ecx = feature_bits(m, 7, 0, ecx);
            r.edx = feature_bits(m, 7, 0, edx);
        }
        break;
    case 0xb:
        return leaf_b(c, sub);
    case 0xd:
        return leaf_d(c, sub);
    case 0x15: {
        u64 hz = clock_tsc_hz(c->vm->clock), crystal = 1000000;
        r.eax = 1;
        r.ebx = (u32)(hz / crystal);
        r.ecx = (u32)crystal;
        break;
    }
    default:
        break;
    }
    return r;
}
