/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The engine `kvm` among its files.  Linux: Documentation/virt/kvm/api.rst; docs/kvm.md says how it
 * is built.
 *
 * A vCPU's state is in one of two places: in KVM, while `here` is false, or in the struct cpu that
 * the software engines use too (`here`).  kvm_fetch() and kvm_put() move it.  What KVM knows
 * nothing of (HLT and wait-for-SIPI, MTRRs, the TSC's offset, counters: `user-owned` in state.c)
 * always is in the struct cpu.
 */
#ifndef WIRT_KVM_KVM_H
#define WIRT_KVM_KVM_H

#include "core/engine.h"
#include "cpu/cpu.h"
#include "kvm/trial.h"

#include <linux/kvm.h>

enum { KVM_SLOTS_MAX = 256, KVM_ZONES_MAX = 8, KVM_BELLS_MAX = 256 };

/* One KVM memory slot; size 0 = not in use. */
struct kvm_slot {
    u64 gpa, size;
    u8 *hva;
    bool readonly;
    bool logging;
};

/* A window whose writes KVM collects. */
struct kvm_zone {
    u64 gpa, size;
};

/* A doorbell where it is now. */
struct kvm_bell {
    u64 addr;
    const struct doorbell *d;
    bool ports;
};

/* What a guest of KVM's own interface has besides its architectural state; pv.c. */
struct kvm_pv {
    u64 clock; /* ns, the same for all vCPUs */
    u64 system_time, steal_time, pv_eoi, async_pf_int, async_pf;
};

struct engine {
    struct vm *vm;
    int kvm, fd; /* /dev/kvm, the machine */
    size_t run_size;
    unsigned modes;  /* MODE_* that KVM runs; the interpreter does the others */
    u64 xcr0;        /* what KVM can keep of XCR0 */
    bool tsc_offset; /* KVM_VCPU_TSC_CTRL is there */
    bool tsc_aux;
    bool block_irq; /* KVM_GUESTDBG_BLOCKIRQ is there */
    bool split;     /* local APICs in the kernel: apic.c */
    struct lapic_bus *apics;
    bool apics_inside; /* changes with the lock held */
    u32 pv;            /* features of KVM's interface that the guest is told of; 0 = none */
    bool running;      /* atomic: not parked; local APICs and clock are KVM's */
    struct kvm_cpuid2 *offered; /* KVM_GET_SUPPORTED_CPUID */

    pthread_mutex_t
        lock;      /* guards what follows; taken before bus.lock, on no vCPU inside KVM_RUN */
    bool closed;   /* atomic: no vCPU may enter KVM_RUN */
    u32 map_gen;   /* atomic: raised when the physical map changes */
    u32 slots_gen; /* atomic: the map_gen that the slots were made of */
    struct kvm_slot slot[KVM_SLOTS_MAX];
    unsigned nslots; /* entries of slot[] that may be in use */
    struct kvm_zone zone[KVM_ZONES_MAX];
    unsigned nzones;
    struct kvm_bell bell[KVM_BELLS_MAX];
    unsigned nbells;

    struct kvm_int3 {
        u8 *at;
        u8 was;
    } int3[DEBUG_EXEC_MAX]; /* a debugger's, in guest memory while the machine runs */
    unsigned nint3;

    struct kvm_coalesced_mmio_ring *ring; /* of all vCPUs; NULL = KVM does not collect writes */
    pthread_mutex_t ring_lock;            /* taking out of it; before device locks */
};

struct kvm_stats {
    u64 eoi;
    u64 runs, pio, mmio, msr, hlt, window, kicks, other;
    u64 failures;    /* what KVM could not run */
    u64 interpreted; /* instructions, for that */
    u64 fetches, puts;
};

struct engine_vcpu {
    struct cpu c;
    struct engine *en;
    int fd;
    struct kvm_run *run;
    bool here;      /* the state is in c.s */
    bool completes; /* KVM_RUN must be called once more to finish the exit in hand */
    bool ready;     /* KVM_INTERRUPT is allowed now */
    bool cpuid_set;
    bool guest_debug; /* KVM_SET_GUEST_DEBUG is on */
    bool pv_new;      /* pv is to be given to KVM before it runs */
    struct kvm_pv pv;
    bool tsc_known;
    u64 tsc;          /* the offset that KVM has been given, if tsc_known */
    u32 inside;       /* atomic: in KVM_RUN or about to be */
    s32 tid;          /* of the thread in run(); atomic */
    unsigned stretch; /* instructions to interpret when KVM fails next */
    struct kvm_stats stats;
};

/* ---- engine_kvm.c ---- */

/* The guest's TSC is the machine's clock. */
void kvm_set_tsc(struct engine_vcpu *k);
/* Signal that makes KVM_RUN come back; blocked outside it. */
int kvm_kick_signal(void);
/* What is to be done after an exit. */
enum kvm_after { GO_ON, INTERPRET, STOPPED, TRIPLE, FAILED };

/* ---- exits.c: why KVM_RUN came back ---- */

/* Does what the guest left for. */
enum kvm_after kvm_after_exit(struct engine_vcpu *k);
/* KVM could not go on; counted and traced. */
enum kvm_after kvm_on_failure(struct engine_vcpu *k);
/* Makes KVM complete an exit in hand, so that its state is one between instructions. */
void kvm_complete(struct engine_vcpu *k);
/* A write of up to 8 bytes, to memory too (read-only slots). */
void kvm_mmio_write(struct vm *vm, u64 gpa, const u8 *data, unsigned len);

/* ---- guestdebug.c: a debugger's points ---- */

/* Puts INT3 into guest memory where a debugger wants stops, before the first vCPU runs (as
 * kvm_apics_give()); and takes them out when all are parked. */
void kvm_int3_place(struct engine *en);
void kvm_int3_remove(struct engine *en);
/* Tells KVM of the points, before KVM_RUN. */
int kvm_debug_set(struct engine_vcpu *k);
/* KVM_RUN came back for one: fills vcpu.debug. */
enum kvm_after kvm_on_debug(struct engine_vcpu *k);

/* ---- apic.c: local APICs in the kernel ---- */

/* Gives them to KVM before the first vCPU runs; the lock is held, every vCPU's CPUID set.  -errno,
 * told on stderr. */
int kvm_apics_give(struct engine *en);
/* Takes them back; all vCPUs are parked. */
void kvm_apics_take(struct engine *en);
/* The guest has ended a level-triggered interrupt. */
void kvm_apics_eoi(struct engine *en, u8 vector);

/* ---- pv.c: KVM's paravirtual interface ---- */

/* Finds what the guest may be told of: en->pv. */
int kvm_pv_open(struct engine *en, struct err *e);
/* The leaves of CPUID from 40000000h on; how many, at most 2. */
unsigned kvm_pv_leaves(const struct engine *en, struct kvm_cpuid_entry2 *to);
/* The clock goes on, and registers that are new are set; and back.  As kvm_apics_give(). */
int kvm_pv_give(struct engine *en);
void kvm_pv_take(struct engine *en);
/* The guest begins anew, or is about to be loaded: nothing is switched on. */
void kvm_pv_reset(struct engine_vcpu *k);
extern const struct state_desc kvm_pv_state; /* of struct kvm_pv */

/* ---- host.c: opening KVM ---- */

/* /dev/kvm and what is needed of it; en->kvm, ->offered and so on.  -errno. */
int kvm_host_open(struct engine *en, struct err *e);
void kvm_host_close(struct engine *en);
/* Gives KVM the pages that it needs on processors that cannot run real mode by themselves. */
void kvm_place_tss(int vm);
/* Shows a vCPU all that KVM offers; for the trial guest. */
bool kvm_give_all_cpuid(int kvm, int vcpu);

/* ---- state.c ---- */

/* Brings the state here, finishing in software an event that KVM was about to deliver.  On the
 * vCPU's thread or while it is parked.  -errno, told on stderr. */
int kvm_fetch(struct engine_vcpu *k);
/* Gives c.s to KVM. */
int kvm_put(struct engine_vcpu *k);
/* The one MODE_ bit of c.s. */
unsigned kvm_mode(const struct cpu_state *s);

/* ---- model.c ---- */

/* Takes from a CPU model what KVM does not offer. */
void kvm_model_cut(struct engine *en, struct cpuid_model *m);
/* Once, before the first KVM_RUN: what CPUID answers, and which MSRs come to us. */
int kvm_model_set(struct engine_vcpu *k, struct err *e);
int kvm_filter_msrs(struct engine *en, struct err *e);

/* ---- slots.c ---- */

/* Makes KVM's memory slots like the machine's map.  lock held, no vCPU inside KVM_RUN. */
int kvm_slots_sync(struct engine *en);
void kvm_dirty_log(struct engine *en, u64 ram_off, u64 len);

/* ---- bells.c ---- */

/* Registers the doorbells of the machine's maps.  en->lock held. */
void kvm_bells_sync(struct engine *en);

/* ---- late.c ---- */

/* Registers the windows of the machine's map.  en->lock held. */
void kvm_late_sync(struct engine *en);
/* Does the writes that KVM has collected; on a vCPU's thread, no lock held. */
void kvm_late_drain(struct engine *en);
bool kvm_late_any(struct engine *en);

#endif
