/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers and layouts of the TLFS (version 6.0b), with its names.  Its chapters are cited by title:
 * editions number them differently.
 */
#ifndef WIRT_PV_HYPERV_TLFS_H
#define WIRT_PV_HYPERV_TLFS_H

#include "base/types.h"

/* ----------------------------------------------------------------- CPUID -- */

#define HV_CPUID_BASE 0x40000000u

enum {
    HV_CPUID_VENDOR = 0,
    HV_CPUID_INTERFACE = 1,
    HV_CPUID_VERSION = 2,
    HV_CPUID_FEATURES = 3,
    HV_CPUID_RECOMMENDATIONS = 4,
    HV_CPUID_LIMITS = 5,
    HV_CPUID_MAX = 5,
};

/* Features, EAX: what the partition may use */
enum {
    AccessPartitionReferenceCounter = 1 << 1,
    AccessSynicRegs = 1 << 2,
    AccessSyntheticTimerRegs = 1 << 3,
    AccessIntrCtrlRegs = 1 << 4,
    AccessHypercallMsrs = 1 << 5,
    AccessVpIndex = 1 << 6,
    AccessResetReg = 1 << 7,
    AccessPartitionReferenceTsc = 1 << 9,
    AccessFrequencyRegs = 1 << 11,
    AccessTscInvariantControls = 1 << 15,
};
/* EBX */
enum { PostMessages = 1 << 4, SignalEvents = 1 << 5 };
/* EDX */
enum {
    FrequencyRegsAvailable = 1 << 8,
    CrashRegsAvailable = 1 << 10,
    DirectSyntheticTimers = 1 << 19,
};
/* Recommendations, EAX */
enum {
    UseHypercallForRemoteFlush = 1 << 2,
    UseMsrForApicAccess = 1 << 3,
    UseRelaxedTiming = 1 << 5,
    DeprecateAutoEoi = 1 << 9,
    UseHypercallForIpi = 1 << 10,
};

/* ------------------------------------------------------------------ MSRs -- */

enum {
    HV_X64_MSR_GUEST_OS_ID = 0x40000000,
    HV_X64_MSR_HYPERCALL = 0x40000001,
    HV_X64_MSR_VP_INDEX = 0x40000002,
    HV_X64_MSR_RESET = 0x40000003,
    HV_X64_MSR_TIME_REF_COUNT = 0x40000020,
    HV_X64_MSR_REFERENCE_TSC = 0x40000021,
    HV_X64_MSR_TSC_FREQUENCY = 0x40000022,
    HV_X64_MSR_APIC_FREQUENCY = 0x40000023,
    HV_X64_MSR_EOI = 0x40000070,
    HV_X64_MSR_ICR = 0x40000071,
    HV_X64_MSR_TPR = 0x40000072,
    HV_X64_MSR_VP_ASSIST_PAGE = 0x40000073,
    HV_X64_MSR_SCONTROL = 0x40000080,
    HV_X64_MSR_SVERSION = 0x40000081,
    HV_X64_MSR_SIEFP = 0x40000082,
    HV_X64_MSR_SIMP = 0x40000083,
    HV_X64_MSR_EOM = 0x40000084,
    HV_X64_MSR_SINT0 = 0x40000090,
    HV_X64_MSR_SINT15 = 0x4000009f,
    HV_X64_MSR_STIMER0_CONFIG = 0x400000b0, /* and COUNT behind each */
    HV_X64_MSR_STIMER3_COUNT = 0x400000b7,
    HV_X64_MSR_CRASH_P0 = 0x40000100,
    HV_X64_MSR_CRASH_P4 = 0x40000104,
    HV_X64_MSR_CRASH_CTL = 0x40000105,
    HV_X64_MSR_TSC_INVARIANT_CONTROL = 0x40000118,
};

/* Pages that an MSR names: bit 0 enables, bits 12 and above are the address. */
enum { HV_PAGE_ENABLE = 1 << 0, HV_HYPERCALL_LOCKED = 1 << 1 };

enum { SYNIC_VERSION = 1, SCONTROL_ENABLE = 1 << 0 };
enum { SINT_VECTOR = 0xff, SINT_MASKED = 1 << 16, SINT_AUTO_EOI = 1 << 17, SINT_POLLING = 1 << 18 };

enum {
    STIMER_ENABLE = 1 << 0,
    STIMER_PERIODIC = 1 << 1,
    STIMER_AUTO_ENABLE = 1 << 3,
    STIMER_VECTOR_SHIFT = 4,
    STIMER_DIRECT = 1 << 12,
    STIMER_SINT_SHIFT = 16,
    STIMER_BITS = 0xf1fff,
};

#define HV_CRASH_NOTIFY BIT64(63)

/* The page of HV_X64_MSR_REFERENCE_TSC: time = (tsc * scale >> 64) + offset, in 100 ns. */
struct hv_reference_tsc_page {
    u32 sequence; /* 0: the page is of no use */
    u32 reserved;
    u64 scale;
    s64 offset;
};

struct hv_message {
    u32 type; /* 0: the slot is empty */
    u8 payload_size;
    u8 flags;
    u16 reserved;
    u64 sender;
    u64 payload[30];
};
#define HV_MESSAGE_TIMER_EXPIRED 0x80000010u
enum { HV_MESSAGE_PENDING = 1 << 0 };

struct hv_timer_message {
    u32 index, reserved;
    u64 expiration_time, delivery_time;
};

/* ------------------------------------------------------------ hypercalls -- */

enum {
    HvCallFlushVirtualAddressSpace = 0x0002,
    HvCallFlushVirtualAddressList = 0x0003,
    HvCallNotifyLongSpinWait = 0x0008,
    HvCallSendSyntheticClusterIpi = 0x000b,
    HvCallPostMessage = 0x005c,
    HvCallSignalEvent = 0x005d,
};

enum {
    HV_STATUS_SUCCESS = 0,
    HV_STATUS_INVALID_HYPERCALL_CODE = 2,
    HV_STATUS_INVALID_HYPERCALL_INPUT = 3,
    HV_STATUS_INVALID_ALIGNMENT = 4,
    HV_STATUS_INVALID_PARAMETER = 5,
    HV_STATUS_INVALID_CONNECTION_ID = 18,
};

/* The input value: call code in bits 15-0, */
enum {
    HV_HYPERCALL_FAST = 1 << 16, /* the input is in registers */
    HV_HYPERCALL_REP_SHIFT = 32,
    HV_HYPERCALL_START_SHIFT = 48,
    HV_HYPERCALL_REP_MASK = 0xfff,
};
/* and bits that are zero: none of the calls here has a header of no fixed size (bits 26-17), none
 * is of a nested hypervisor (bit 31) */
#define HV_HYPERCALL_RESERVED 0xf000f000fffe0000ull

enum { HV_FLUSH_ALL_PROCESSORS = 1 << 0 };

#endif
