/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this folder know of each other.
 *
 * Locks, in this order: xen.lock (memory, parameters), a back end's own, xen.evt_lock (event
 * channels, vCPU records), the local APICs'.  No lock is held while an event's handler runs.
 */
#ifndef WIRT_PV_XEN_INTERNAL_H
#define WIRT_PV_XEN_INTERNAL_H

#include "pv/xen/abi.h"
#include "pv/xen/xen.h"

#include "base/clock.h"
#include "base/loop.h"
#include "core/pv.h"

enum { XEN_PORTS_MAX = 4096, XEN_FIFO_PAGES = XEN_PORTS_MAX / 1024 };
enum { XEN_VERSION_MAJOR = 4, XEN_VERSION_MINOR = 17 };

static inline bool is_self(u16 dom)
{
    return dom == DOMID_SELF || dom == XEN_DOMID_GUEST;
}

/* ------------------------------------------------------ event channels -- */

enum ecs { ECS_FREE, ECS_RESERVED, ECS_UNBOUND, ECS_INTERDOMAIN, ECS_VIRQ, ECS_IPI };

struct evtchn {
    u8 state;     /* enum ecs */
    u8 priority;  /* FIFO: 0 first */
    bool pending; /* FIFO: pending since before its word was there */
    u8 last_priority;
    u16 vcpu, last_vcpu; /* whom it interrupts, and whose queue it was put on last */
    u16 remote;          /* UNBOUND, INTERDOMAIN: the other domain */
    u8 virq;
    /* INTERDOMAIN: the back end's side. */
    void (*handler)(void *opaque);
    void *opaque;
};

struct fifo_vcpu {
    u8 *control;                  /* evtchn_fifo_control_block: u32 ready, pad, head[16] */
    u16 tail[EVTCHN_FIFO_QUEUES]; /* 0 = empty */
};

struct xen_vcpu {
    struct xen *x;
    struct vcpu *vcpu;
    unsigned id;
    struct xen_vcpu_info *info; /* in guest memory; never NULL */
    bool info_registered;
    u8 upcall_vector; /* HVMOP_set_evtchn_upcall_vector, 0 = none */
    struct fifo_vcpu fifo;
    u16 virq_port[NR_VIRQS]; /* 0 = unbound; global VIRQs at vCPU 0 */

    struct xen_vcpu_time_info *time_area; /* registered beside vcpu_info, NULL = none */
    s64 tsc_offset;                       /* as of the vCPU's last hypercall */
    u64 online_since;                     /* virtual ns */

    struct timer single, periodic, poll;
    u64 single_at, periodic_at, period; /* virtual ns; 0 = not set */
    bool down;                          /* VCPUOP_down; atomic */
    bool polling;
    u32 npoll;
    u16 poll_port[128];
};

struct xen {
    struct vm *vm;
    struct lapic_bus *lapics;
    struct xen_config cfg;
    struct xen_e820 map[16];
    struct trace *trace;

    pthread_mutex_t lock;
    u64 param[HVM_NR_PARAMS];
    u8 *special[XEN_SPECIAL_PAGES]; /* host addresses */
    struct region special_region;
    struct region *hole;         /* BAR 1 of the platform device: shared pages take its place */
    struct region shared_region; /* where the guest put shared_info, if not into RAM */
    u8 *shared_page;             /* ours, until the guest chooses another */
    u64 *populated;              /* a bit a page of RAM: the guest has it */
    u64 ram_frames;              /* bits in it */
    u64 current_pages;

    pthread_mutex_t evt_lock; /* guards what follows */
    struct xen_shared_info *shared;
    struct evtchn *port; /* XEN_PORTS_MAX */
    u32 next_port;       /* no free one below */
    bool fifo;
    u8 *fifo_page[XEN_FIFO_PAGES];
    u8 callback_vector; /* HVM_PARAM_CALLBACK_IRQ of type vector, 0 = none */
    s16 callback_gsi;   /* of type GSI, -1 = none */
    unsigned nvcpus;
    struct xen_vcpu vcpu[VM_CPUS_MAX];

    struct xen_console *console;
    struct grants *grants;
    struct xenstore *store;
    struct xenbus_dev *devices;
    struct blkback *disks; /* lists */
    struct netback *nics;
    struct fbback *fb; /* NULL = no screen */
    struct kbdback *kbd;
    struct xen_pv *pv; /* a classic PV domain (pv.h), or NULL */

    u8 suspend;                 /* suspend.c's; atomic */
    struct vcpu *suspended_cpu; /* which waits in its call */
    u64 suspended_info;         /* PV: the frame of its start_info */
    struct loop_job suspended;
    void (*on_suspended)(void *opaque);
    void *on_suspended_opaque;
};

/* ---------------------------------------------------------- hypercalls -- */

/* One in hand. */
struct xen_call {
    struct xen *x;
    struct pv_call *p;
    struct xen_vcpu *v;
    unsigned nr;
    u64 a[5]; /* arguments; what PV_AGAIN finds when a handler changes them */
    enum pv_result result;
};

/* Handlers give what RAX gets: 0 or more, or -XEN_E*. */
typedef s64 xen_call_fn(struct xen_call *k);

xen_call_fn xen_version_op, xen_memory_op, xen_vcpu_op, xen_sched_op, xen_event_channel_op,
    xen_hvm_op, xen_console_io, xen_grant_table_op;

/* By number, for multicall too; k->nr and k->a are set. */
s64 hypercall_dispatch(struct xen_call *k);
enum pv_result xen_hypercall(void *opaque, struct pv_call *p);

/* guest.c: the caller's memory by linear address; false = it would fault somewhere. */
bool guest_read(struct xen_call *k, u64 gva, void *buf, u64 len);
bool guest_write(struct xen_call *k, u64 gva, const void *buf, u64 len);
/* A whole page of RAM by its frame number, or NULL. */
u8 *guest_page(struct xen *x, u64 gfn);
/* The same while somebody uses it: with a PV guest a page that is written cannot become a page
 * table meanwhile.  Held: until the domain is reset. */
u8 *guest_page_get(struct xen *x, u64 gfn, bool write);
void guest_page_put(struct xen *x, const u8 *page, bool write);
u8 *guest_page_hold(struct xen *x, u64 gfn);
/* After a write through a host address. */
static inline void guest_wrote(struct xen *x, const void *hva, u64 len)
{
    mem_wrote(&x->vm->mem, hva, len);
}

/* -------------------------------------------------------------- events -- */

void evtchn_reset(struct xen *x);
/* A port for the back end's side of a channel between the guest and domain 0; 0 = none is free. */
u16 evtchn_alloc(struct xen *x);
/* Connects the back end to a port that the guest (or evtchn_alloc()) left unbound for it; handler
 * runs on the sending vCPU's thread with no lock held.  False: no such port. */
bool evtchn_bind(struct xen *x, u32 port, void (*handler)(void *opaque), void *opaque);
void evtchn_unbind(struct xen *x, u32 port);
/* Raises an event in the guest; any thread, evt_lock not held. */
void evtchn_notify(struct xen *x, u32 port);
void evtchn_virq(struct xen_vcpu *v, unsigned virq);

/* With evt_lock held: */
void evtchn_set_pending(struct xen *x, u32 port);
void evtchn_upcall(struct xen_vcpu *v);  /* evtchn_upcall_pending, and the interrupt with it */
void evtchn_deliver(struct xen_vcpu *v); /* the interrupt, if the upcall is pending */
bool evtchn_is_pending(struct xen *x, u32 port);
void evtchn_wake_polls(struct xen *x, u32 port);
s64 fifo_init_control(struct xen *x, u64 gfn, u32 offset, u32 vcpu);
s64 fifo_expand_array(struct xen *x, u64 gfn);
void fifo_set_pending(struct xen *x, u32 port);
void fifo_unmask(struct xen *x, u32 port);
bool fifo_is_pending(const struct xen *x, u32 port);
void fifo_clear_pending(struct xen *x, u32 port);
bool fifo_is_masked(const struct xen *x, u32 port);
void fifo_reset(struct xen *x);

/* ---------------------------------------------------------------- time -- */

/* Writes the vCPU's clock page(s); evt_lock held. */
void time_update(struct xen_vcpu *v);
void time_wallclock(struct xen *x);
/* The multiplier and shift of pvclock for a TSC of this rate. */
void time_scale(u64 hz, u32 *mul, s8 *shift);

void vcpu_init(struct xen *x);
void vcpu_reset(struct xen *x);
void vcpu_stop(struct xen *x);
void hvm_reset(struct xen *x);
int memory_open(struct xen *x, struct err *e);
/* Shows one of our pages (r, over it) at the guest's frame gfn: where it is from now on, or NULL.
 */
u8 *memory_share(struct xen *x, struct region *r, u8 *page, u64 gfn);

/* memory_op's first argument: the command, and above it how far a long call has come, as in Xen. */
enum { XENMEM_CMD_BITS = 6, XENMEM_CMD_MASK = (1 << XENMEM_CMD_BITS) - 1 };
enum { XENMEM_ORDER_MAX = 9 };
struct xen_reservation {
    u64 extent_start, nr_extents;
    u32 extent_order, mem_flags;
    u16 domid, pad[3];
};
/* One extent of 2^order frames, whose first one's number stands at the guest's address `at`; false:
 * not possible. */
typedef bool memory_extent_fn(struct xen_call *k, u64 at, u64 frame, unsigned order);
/* decrease_reservation and populate_physmap: each extent in turn, until one is not possible.  Gives
 * how many were done. */
s64 memory_each_extent(struct xen_call *k, memory_extent_fn *one);
void memory_reset(struct xen *x);
void memory_close(struct xen *x);

/* xen_reset(); keep_store: its nodes are those of a reset domain already, as whoever resets often
 * may know. */
void xen_reset_but(struct xen *x, bool keep_store);

/* suspend.c: SCHEDOP_shutdown with SHUTDOWN_suspend. */
s64 suspend_call(struct xen_call *k);
void suspend_reset(struct xen *x);

struct xen_console *console_open(struct xen *x, struct chardev *c, struct err *e);
void console_reset(struct xen_console *c); /* the ring is new: connects */
void console_close(struct xen_console *c);

/* version.c: leaves, MSRs, the hypercall page. */
bool xen_cpuid(void *opaque, struct vcpu *v, u32 leaf, u32 sub, u32 r[4]);
bool xen_rdmsr(void *opaque, struct vcpu *v, u32 msr, u64 *val);
bool xen_wrmsr(void *opaque, struct vcpu *v, u32 msr, u64 val);

#endif
