/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * CPU models: which CPUID leaves a guest sees.  SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#ifndef WIRT_CPU_CPUID_H
#define WIRT_CPU_CPUID_H

#include "base/err.h"
#include "base/types.h"

/* Features that rows of the op table name (column cpuid) and that a model switches on; see
 * cpuid.tab: FEATURE(name, leaf, subleaf, register, bit). */
enum feature {
#define FEATURE(name, leaf, sub, reg, bit) FEAT_##name,
#include "cpu/cpuid.tab"
#undef FEATURE
    FEAT_COUNT
};

struct cpuid_regs {
    u32 eax, ebx, ecx, edx;
};

struct cpuid_model {
    const char *name;
    const char *vendor; /* 12 characters */
    const char *brand;  /* up to 47 characters; never the host's */
    u32 family, model, stepping;
    u32 phys_bits, virt_bits;
    bool has[FEAT_COUNT]; /* cut to what the host's units can run */
};

struct cpu;

/* -EINVAL with the names that there are. */
int cpuid_model_find(struct cpuid_model *m, const char *name, struct err *e);
/* Takes away what a kernel in ring 3 (cpu/ring3.h) has no use for. */
void cpuid_model_ring3(struct cpuid_model *m);
/* Takes away all features but those named, each name with a final zero: len bytes of them. */
void cpuid_model_limit(struct cpuid_model *m, const char *names, size_t len);
const char *cpuid_feature_name(enum feature f);
/* What CPUID gives this vCPU now (OSXSAVE, APIC, topology). */
struct cpuid_regs cpuid_query(const struct cpu *c, u32 leaf, u32 subleaf);

static inline bool cpuid_has(const struct cpuid_model *m, enum feature f)
{
    return m->has[f];
}

#endif
