/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The local APICs of a machine's processors, in xAPIC and x2APIC mode, and the bus among them that
 * carries IPIs, the I/O APIC's messages and MSIs.  Intel SDM volume 3, chapter 11.
 */
#ifndef WIRT_DEV_LAPIC_H
#define WIRT_DEV_LAPIC_H

#include "base/clock.h"
#include "base/trace.h"
#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "core/vcpu.h"

struct i8259;
struct lapic_bus;

enum { LAPIC_MAX = 64 };
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

struct lapic {
    struct lapic_bus *bus;
    struct vcpu *vcpu;
    u32 index; /* initial APIC ID */
    u64 base;  /* IA32_APIC_BASE */
    u32 id;    /* xAPIC: bits 7-0 */
    u32 irr[8], isr[8], tmr[8];
    u32 tpr, ldr, dfr, svr, esr, esr_pending;
    u32 icr_low, icr_high;
    u32 lvt[LVT_COUNT];
    u32 timer_initial, timer_divide;
    u64 timer_start;    /* virtual ns at which the initial count was written */
    u64 timer_deadline; /* virtual ns of the next expiry that matters, 0 = none */
    u64 tsc_deadline;   /* IA32_TSC_DEADLINE, 0 = disarmed */
    u32 timer_left;     /* the current count while the registers move, lapic_give() */
    bool lint0;         /* level of the PIC's INTR */
    u8 direct;          /* a vector on its way to the processor past IRR, 0 = none */
    u32 auto_eoi[8];    /* vectors that end as they are delivered: lapic_auto_eoi() */
    struct timer timer;
    pthread_mutex_t lock; /* one APIC's lock at a time; after the PIC's and the I/O APIC's */
};

/* An engine that runs the APICs itself (KVM, in the kernel).  The bus's lock is held. */
struct lapic_host_ops {
    void (*send)(void *opaque, u64 addr, u32 data); /* a message */
    void (*routed)(void *opaque);                   /* lapic_bus.route[] has changed */
};

/* What an input of the I/O APIC sends. */
struct lapic_route {
    u64 addr;
    u32 data;
};
enum { LAPIC_ROUTES = 24 };

struct lapic_bus {
    struct lapic lapic[LAPIC_MAX];
    unsigned count;
    struct region region; /* 4 KiB (0xfee00000); finds the APIC by the calling thread */
    struct clock *clock;
    struct trace *trace;
    struct i8259 *pic; /* may be NULL: no ExtINT */
    /* A level-triggered vector was ended; NULL = no I/O APIC.  No APIC lock is held. */
    void (*eoi)(void *opaque, u8 vector);
    void *eoi_opaque;
    u32 lowest_turn; /* atomic: round robin of lowest-priority delivery */

    pthread_mutex_t lock;              /* before every APIC's: messages, while the APICs may move */
    const struct lapic_host_ops *host; /* not NULL: an engine has the APICs; see lapic_give() */
    void *host_opaque;
    struct lapic_route route[LAPIC_ROUTES];

    /* INIT has emptied APIC `index`; NULL = nobody wants to know.  No lock is held. */
    void (*after_init)(void *opaque, unsigned index);
    void *after_init_opaque;
};

/* For count processors (1 to LAPIC_MAX); connects itself to each vcpu[i].intc. */
void lapic_bus_init(struct lapic_bus *b, struct vcpu *vcpu, unsigned count, struct clock *c,
                    struct i8259 *pic, struct trace *t);
void lapic_bus_reset(struct lapic_bus *b);
void lapic_bus_destroy(struct lapic_bus *b); /* stops timers */

/* Delivers a message, for struct msi_sink (opaque: the bus): address and data as SDM 11.11 has
 * them; address bits 11-5 hold bits 14-8 of the destination (extended destination ID). */
void lapic_msi(void *opaque, u64 addr, u32 data);
/* Whether a fixed or lowest-priority message like this one waits in IRR wherever it can go. */
bool lapic_msi_pending(void *opaque, u64 addr, u32 data);
/* LINT0 of all processors, for struct irq (opaque: the bus): the PIC's INTR. */
void lapic_lint0(void *opaque, unsigned n, bool level);
/* LINT1 of the boot processor, for struct irq: NMI. */
void lapic_lint1(void *opaque, unsigned n, bool level);

/*
 * An interrupt that another hypervisor's interface gives to one processor: into IRR as an edge,
 * even while software keeps the APIC disabled; or `direct`, past priorities and without an end of
 * interrupt.  vector: 16 to 255.  From any thread, with any lock before the APIC's held.
 */
void lapic_inject(struct lapic *l, u8 vector, bool direct);
/* From now on a vector that is set here (bit v % 32 of word v / 32) ends as it is delivered. */
void lapic_auto_eoi(struct lapic *l, const u32 vectors[8]);

/* Registers as another hypervisor's interface has them read and written, whatever the APIC's mode:
 * TPR of 8 bits, EOI, and ICR of 64 bits.  On the vCPU's own thread. */
enum lapic_reg { LAPIC_TPR, LAPIC_EOI, LAPIC_ICR };
u64 lapic_read(struct lapic *l, enum lapic_reg r);
void lapic_write(struct lapic *l, enum lapic_reg r, u64 val);

/* ---- lapic_host.c: APICs that an engine runs itself ---- */

/* While lapic_bus.host is set, registers in struct lapic are old but for `base` and `tpr` as
 * lapic_mirror() has put them; messages, and nothing else, go to the host.  Registers move while
 * the bus's lock is held and no vCPU runs.  lapic_give(): stops the timer; struct lapic is what it
 * is now, timer_left too; gives IA32_TSC_DEADLINE.  lapic_take(): all fields but timer_start are
 * set anew.  lapic_taken(): once `host` is NULL again. */
u64 lapic_give(struct lapic *l);
void lapic_take(struct lapic *l, u64 tsc_deadline);
void lapic_taken(struct lapic *l);
/* The processor's view while the host has the APIC. */
void lapic_mirror(struct lapic *l, u64 base, u8 tpr);
/* Tells what input n of the I/O APIC sends, masked or not; fits ioapic.route.  n < LAPIC_ROUTES. */
void lapic_route(void *opaque, unsigned n, u64 addr, u32 data);

extern const struct state_desc lapic_state; /* of struct lapic */

#endif
