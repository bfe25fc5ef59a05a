/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam behind which another hypervisor's interface (src/pv) stands: what it adds to the
 * processors.  An engine asks it when a guest reads a CPUID leaf from 0x40000000 on, touches an MSR
 * that the processor does not have, or executes VMCALL or VMMCALL.  All are called on the vCPU's
 * own thread, with no lock held.
 */
#ifndef WIRT_CORE_PV_H
#define WIRT_CORE_PV_H

#include "base/types.h"

struct vcpu;
struct ring3_ops;

/* What came of a hypercall besides the registers that it wrote. */
enum pv_result {
    PV_DONE,  /* goes on behind the instruction */
    PV_AGAIN, /* the instruction is executed again: what is left of a long call */
    PV_HALT,  /* goes on behind it, asleep until an interrupt */
    PV_UD,    /* there is no such call: #UD */
};

/* A hypercall in hand: the vCPU's registers and the memory that it sees. */
struct pv_call {
    struct vcpu *vcpu;
    u64 *gpr;        /* 16 of them, in the order of core/arch.h */
    u8 cpl;          /* 0-3 */
    bool long_mode;  /* 64-bit code */
    bool interrupts; /* RFLAGS.IF; the call may set it */
    s64 tsc_offset;  /* guest TSC = clock_tsc() + this */
    /* Where a linear address lies, to be read or written by the kernel; false = it would fault. */
    bool (*translate)(struct pv_call *p, u64 lin, bool write, u64 *gpa);
    void *opaque; /* translate's */
};

struct pv_ops {
    /* False: not a leaf of this interface. r: EAX, EBX, ECX, EDX. */
    bool (*cpuid)(void *opaque, struct vcpu *v, u32 leaf, u32 sub, u32 r[4]);
    /* False: not a register of this interface, or a value that it refuses. */
    bool (*rdmsr)(void *opaque, struct vcpu *v, u32 msr, u64 *val);
    bool (*wrmsr)(void *opaque, struct vcpu *v, u32 msr, u64 val);
    enum pv_result (*hypercall)(void *opaque, struct pv_call *p);
};

/* vm.pv: ops NULL = an ordinary PC. */
struct pv {
    const struct pv_ops *ops;
    void *opaque;
    bool paged; /* CPUID tells of it to code that runs with paging only, not to firmware */
    const struct ring3_ops *ring3; /* the guest's kernel runs in ring 3 (cpu/ring3.h); else NULL */
    u64 *walked;                   /* with ring3: where each last-level page table was walked for */
    u64 frames;                    /* of them: pages from guest-physical address 0 on */
};

#endif
