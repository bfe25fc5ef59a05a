/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who we are (TLFS, "Feature and Interface Discovery"): leaves 0x40000000 to 0x40000005.  What is
 * said here is there, and works on every engine that offers the interface.
 */
#include "pv/hyperv/internal.h"

#include "base/endian.h"

#include <string.h>

/* Windows Server 2016, the oldest with all that is offered here: version 10.0, build 14393 */
enum { BUILD = 14393, MAJOR = 10, MINOR = 0 };
/* Guests give a busy lock this many tries before they say so: HvCallNotifyLongSpinWait. */
enum { SPINS = 0xfff };

static u32 text(const char *s)
{
    return le32_get(s);
}

/* The leaf of the interface below, which shows that it has been moved. */
static bool cpuid_below(struct hyperv *hv, struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    leaf -= HV_BELOW_LEAVES;
    if (!hv->below.ops || !hv->below.ops->cpuid(hv->below.opaque, v, leaf, sub, r))
        return false;
    if (leaf == HV_CPUID_BASE)
        r[0] += HV_BELOW_LEAVES;
    else if (leaf == HV_CPUID_BASE + 2)
        r[1] += HV_BELOW_MSRS; /* Xen's, the only one there is: its MSR's number */
    return true;
}

bool hv_cpuid(void *opaque, struct vcpu *v, u32 leaf, u32 sub, u32 r[4])
{
    struct hyperv *hv = opaque;

    memset(r, 0, 4 * sizeof(*r));
    if (leaf - HV_CPUID_BASE >= HV_BELOW_LEAVES)
        return cpuid_below(hv, v, leaf, sub, r);
    switch (leaf - HV_CPUID_BASE) {
    case HV_CPUID_VENDOR:
        r[0] = HV_CPUID_BASE + HV_CPUID_MAX;
        r[1] = text("Micr");
        r[2] = text("osof");
        r[3] = text("t Hv");
        return true;
    case HV_CPUID_INTERFACE:
        r[0] = text("Hv#1");
        return true;
    case HV_CPUID_VERSION:
        r[0] = BUILD;
        r[1] = MAJOR << 16 | MINOR;
        return true;
    case HV_CPUID_FEATURES:
        r[0] = AccessPartitionReferenceCounter | AccessSynicRegs | AccessSyntheticTimerRegs |
               AccessIntrCtrlRegs | AccessHypercallMsrs | AccessVpIndex | AccessResetReg |
               AccessPartitionReferenceTsc | AccessFrequencyRegs | AccessTscInvariantControls;
        r[1] = PostMessages | SignalEvents;
        r[3] = FrequencyRegsAvailable | CrashRegsAvailable | DirectSyntheticTimers;
        return true;
    case HV_CPUID_RECOMMENDATIONS:
        r[0] = UseMsrForApicAccess | UseRelaxedTiming | DeprecateAutoEoi;
        if (hv->nvcpus > 1)
            r[0] |= UseHypercallForRemoteFlush | UseHypercallForIpi;
        r[1] = SPINS;
        return true;
    case HV_CPUID_LIMITS:
        r[0] = VM_CPUS_MAX;
        r[1] = VM_CPUS_MAX;
        return true;
    default:
        return false;
    }
}
