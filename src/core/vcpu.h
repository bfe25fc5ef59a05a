/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A virtual processor: its thread, what it is asked to notice, and its interrupt controller as the
 * processor sees it.  How instructions run is the engine's business (core/engine.h).
 */
#ifndef WIRT_CORE_VCPU_H
#define WIRT_CORE_VCPU_H

#include "base/err.h"
#include "base/types.h"
#include "core/debug.h"

#include <pthread.h>

struct vm;
struct engine_vcpu;

/* What a running vCPU must notice; bits of vcpu.events, set by any thread, looked at by the engine
 * at the latest before the next taken branch backwards or page of code.  What an instruction of
 * the vCPU's own raises (a port write that moves memory, INVLPG's like) counts before its next
 * instruction. */
enum {
    VCPU_INTR = 1 << 0,  /* level: the local APIC (or PIC) has an interrupt; intc->ack() gives it */
    VCPU_NMI = 1 << 1,   /* edge, cleared when taken */
    VCPU_INIT = 1 << 2,  /* edge */
    VCPU_SIPI = 1 << 3,  /* edge; vector in vcpu.sipi_vector */
    VCPU_FLUSH = 1 << 4, /* the physical memory map changed: drop cached translations */
    VCPU_CODE = 1 << 5,  /* pages got PAGE_CODE or PAGE_WATCH: mmu_sync_code() */
    VCPU_PAUSE = 1 << 6, /* leave run() and wait until vm_resume() */
    VCPU_STOP = 1 << 7,  /* leave run() for good */
    VCPU_RESET = 1 << 8, /* leave run(): the machine is being reset */
    VCPU_CALL = 1 << 9,  /* an engine's own cross-CPU request */
    VCPU_POLL = 1 << 10, /* wakes a hypercall that waits; raised and lowered by src/pv alone */
    VCPU_HELD = 1 << 11, /* leave run() and wait for vcpu_hold(v, false) */
    VCPU_LEAVE = VCPU_PAUSE | VCPU_STOP | VCPU_RESET | VCPU_HELD,
};

/* The local APIC as its processor sees it; the board connects one to each vCPU.  All may be called
 * on the vCPU's thread only; each takes the APIC's lock itself. */
struct vcpu_intc {
    /* The vector to deliver now, taken out of IRR (or from the PIC for ExtINT); -1 = none after
     * all (spurious). */
    int (*ack)(void *opaque);
    u64 (*get_base)(void *opaque);         /* IA32_APIC_BASE */
    bool (*set_base)(void *opaque, u64 v); /* false = #GP */
    u8 (*get_tpr)(void *opaque);           /* CR8, 0-15 */
    void (*set_tpr)(void *opaque, u8 v);
    bool (*rdmsr)(void *opaque, u32 msr, u64 *v); /* x2APIC 0x800-0x8ff, TSC_DEADLINE 0x6e0 */
    bool (*wrmsr)(void *opaque, u32 msr, u64 v);  /* false = #GP */
    void (*init)(void *opaque);                   /* the INIT signal reached this processor */
    void *opaque;
};

struct vcpu {
    struct vm *vm;
    unsigned index; /* also its initial APIC ID */
    u32 events;     /* atomic, VCPU_* */
    u8 sipi_vector;
    struct vcpu_intc intc;
    struct engine_vcpu *e; /* the engine's */

    pthread_t thread;
    s32 tid; /* the kernel's number of the thread, 0 = not started; atomic */
    bool started;
    pthread_mutex_t lock; /* guards `asleep` against wake-ups; a leaf lock */
    pthread_cond_t wake;
    bool asleep; /* in vcpu_wait() */
    u32 inside;  /* atomic: runs code of src/pv, and looks at its events before the guest's next */
    bool held;   /* vcpu_hold(); vm.lock */
    struct vcpu_debug debug;
};

static inline u32 vcpu_events(const struct vcpu *v)
{
    return __atomic_load_n(&v->events, __ATOMIC_ACQUIRE);
}

/* Sets bits, wakes a halted vCPU, kicks a running one.  From any thread, any lock held. */
void vcpu_raise(struct vcpu *v, u32 events);
static inline void vcpu_lower(struct vcpu *v, u32 events)
{
    __atomic_and_fetch(&v->events, ~events, __ATOMIC_ACQ_REL);
}

static inline void vcpu_set_inside(struct vcpu *v, bool inside)
{
    __atomic_store_n(&v->inside, inside, __ATOMIC_SEQ_CST);
}

/* Waits until each vCPU of the set (a bit an index) that VCPU_FLUSH was raised for has taken it, or
 * takes it before the guest's next instruction.  From a vCPU that is `inside`: two that wait for
 * each other do not wait.  No lock of theirs may be held. */
void vcpu_await_flush(struct vm *vm, u64 vcpus);

/* Keeps one vCPU outside run(), beside others that go on; a reset lets go of it.  From any thread;
 * it takes effect soon, and at once where the vCPU holds itself. */
void vcpu_hold(struct vcpu *v, bool held);

/* Sleeps on the vCPU's thread until one of `wanted` is raised (HLT, wait for SIPI). */
void vcpu_wait(struct vcpu *v, u32 wanted);

#endif
