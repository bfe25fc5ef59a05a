/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine: memory, buses, clock, processors, and its life (run, pause, reset, stop).  What the
 * machine is made of is the board's business (src/board).
 *
 * Lock order: device locks < pci < i8259, ioapic < lapic < bus.lock < leaves (vm.lock, vcpu.lock,
 * trace.lock, the clock's and the loop's): the later one may be taken while the earlier is held.
 */
#ifndef WIRT_CORE_VM_H
#define WIRT_CORE_VM_H

#include "base/clock.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/trace.h"
#include "base/types.h"
#include "core/bus.h"
#include "core/debug.h"
#include "core/engine.h"
#include "core/mem.h"
#include "core/pv.h"
#include "core/vcpu.h"

enum { VM_CPUS_MAX = 64 };

/* Why a machine ended. */
enum vm_end {
    VM_RUNNING,
    VM_POWEROFF, /* the guest powered itself off */
    VM_RESET,    /* the guest reset itself and --no-reboot was given */
    VM_QUIT,     /* the user ended it */
    VM_DEBUG,    /* isa-debug-exit; code in vm.exit_code */
    VM_FAILED,   /* engine error */
};

/* What happens to a machine, for those who watch it. */
enum vm_event {
    VM_EVENT_RESET,  /* everything is in its reset state again; not for the first reset */
    VM_EVENT_PAUSE,  /* vm_pause() is through */
    VM_EVENT_RESUME, /* vm_resume() */
    VM_EVENT_END,    /* vm->end says why; the vCPUs still run */
};

/* One who watches; lives in its owner. */
struct vm_watcher {
    void (*fn)(void *opaque, enum vm_event ev); /* on the loop's thread, no lock held */
    void *opaque;
    struct vm_watcher *next; /* the machine's own */
};

enum irqchip {
    IRQCHIP_USER,  /* local APICs are Wirt's under every engine */
    IRQCHIP_SPLIT, /* under kvm they are the kernel's; an error where it cannot */
    IRQCHIP_AUTO,  /* the kernel's where that works */
};

/* The engine soft: 64-bit programs on the host's processor (src/direct). */
enum direct_use {
    DIRECT_AUTO, /* those that stay out of their kernel for long */
    DIRECT_OFF,
    DIRECT_ALWAYS, /* all, all the time: slow, for tests */
};

struct cpu_config {
    unsigned count;
    const char *model; /* "max", "qemu64", ...: src/cpu/cpuid.c knows them */
    /* What the guest has seen already, as names each with a final zero: no feature but these.
     * NULL = all of the model's. */
    const char *features;
    size_t features_len;
    enum irqchip irqchip;
    enum direct_use direct;
    bool kvm_pv;   /* the guest is told of KVM's interface */
    bool check;    /* lockstep: --check */
    bool perf_map; /* write /tmp/perf-PID.map */
    bool ring3;    /* CPUID without what a kernel in ring 3 cannot use */
};

struct vm {
    const char *name;
    struct trace trace;
    struct loop *loop;
    struct clock *clock;
    struct mem mem;
    struct bus pio, mmio;
    struct dma dma; /* mmio and mem, for devices */
    u64 a20_mask;   /* what CPUs AND physical addresses with; atomic; vm_set_a20() */
    struct cpu_config cpu;
    unsigned ncpus;
    struct vcpu *vcpu; /* ncpus of them */
    struct pv pv;      /* set before the vCPUs run */
    const struct engine_ops *engine;
    struct engine *e;
    pthread_mutex_t split_lock; /* LOCK on what is not one host access; taken before device locks */

    /* The board's: puts all devices into their reset state; vCPUs are parked.  Then the vCPUs get
     * cpu_state_reset(), and boot_state() if set (direct kernel boot) for vCPU 0. */
    void (*reset)(void *opaque);
    void (*boot_state)(void *opaque, struct cpu_state *s);
    /* The board's, may be NULL: the machine stood still for so many ns of the host's time, and is
     * about to go on. */
    void (*stood)(void *opaque, u64 ns);
    void *board;
    bool no_reboot;

    struct vm_watcher *watchers; /* vm_watch() */
    struct debug debug;          /* what a debugger wants */

    struct loop_job reset_job;
    bool reset_wanted; /* atomic */
    enum vm_end end;   /* atomic */
    int exit_code;     /* valid once end != VM_RUNNING */

    pthread_mutex_t lock; /* guards what follows; a leaf lock */
    pthread_cond_t changed;
    unsigned running;  /* vCPU threads inside run() */
    bool hold;         /* vCPUs stay outside run() */
    bool stopping;     /* vCPU threads end */
    bool paused;       /* the loop's thread only */
    s64 paused_at;     /* ns since 1970 UTC, valid while paused */
    bool restored;     /* vm_run() goes on from a loaded state instead of a reset */
    bool start_paused; /* vm_run() waits for vm_resume() */
};

/* Memory, buses, clock, loop; no processors yet.  ram_size: bytes, a multiple of 1 MiB. */
int vm_init(struct vm *vm, const char *name, u64 ram_size, struct err *e);
/* Opens the engine and its vCPUs; ncpus from 1 to VM_CPUS_MAX. */
int vm_open_cpus(struct vm *vm, const struct engine_ops *engine, const struct cpu_config *cfg,
                 struct err *e);
/* On the loop's thread while the machine is paused or not yet run: its processors go on on another
 * engine.  After an error (-errno) the machine has no engine and can only be destroyed. */
int vm_switch_engine(struct vm *vm, const struct engine_ops *engine, struct err *e);
/* Resets, starts the vCPU threads and runs the event loop until the machine has ended. */
enum vm_end vm_run(struct vm *vm);
/* vm_run() ended because memory of a saved machine is damaged (lazy_error()): threads may wait for
 * it for ever, so the machine cannot be closed; the process is to end. */
bool vm_memory_damaged(const struct vm *vm);
/* Stops threads, closes everything that vm_init() and vm_open_cpus() opened. */
void vm_destroy(struct vm *vm);

/* On the loop's thread, or before it runs. */
void vm_watch(struct vm *vm, struct vm_watcher *w);
void vm_unwatch(struct vm *vm, struct vm_watcher *w);

/* From any thread, also a vCPU's inside a device callback: takes effect soon, does not wait. */
void vm_request_reset(struct vm *vm);
void vm_request_end(struct vm *vm, enum vm_end why, int exit_code);

/* The A20 gate: off masks address bit 20 for every CPU.  From any thread. */
void vm_set_a20(struct vm *vm, bool on);

/* Everything into its reset state, while all vCPUs are parked or not yet started; a reset that the
 * guest has asked for is done with it. */
void vm_reset_now(struct vm *vm);

/* On the loop's thread: waits until all vCPUs are parked and the clock stands; and back. */
void vm_pause(struct vm *vm);
void vm_resume(struct vm *vm);

#endif
