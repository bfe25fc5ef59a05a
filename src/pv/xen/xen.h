/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Xen's interface to a guest, offered by Wirt itself: a domain number, hypercalls, shared pages,
 * event channels, a console.  The board opens it after the processors and the local APICs and says
 * where the special pages lie.  docs/xen.md tells what is there.
 */
#ifndef WIRT_PV_XEN_XEN_H
#define WIRT_PV_XEN_XEN_H

#include "core/backend.h"
#include "core/irq.h"
#include "core/state.h"
#include "core/vm.h"
#include "dev/lapic.h"

/* What EVTCHNs, grants and the like belong to; the guest is domain 1, its back ends domain 0. */
enum { XEN_DOMID_BACKEND = 0, XEN_DOMID_GUEST = 1 };

/* Pages from xen_config.special_gfn on, in this order; the board reserves them. */
enum { XEN_SPECIAL_CONSOLE, XEN_SPECIAL_STORE, XEN_SPECIAL_PAGES = 8 };

/* A range of the guest's physical memory map, as XENMEM_memory_map tells it. */
struct xen_e820 {
    u64 base, len;
    u32 type;
};

/* A disk or a network card behind the guest's xenbus; what is behind them stays the caller's. */
struct xen_disk {
    struct blk *blk;
    bool cdrom;
    unsigned xvd; /* 1 = xvda, ...; 0 = the first that is free */
};

struct xen_nic {
    struct nic_backend *net;
    u8 mac[6];
};

enum { XEN_DISKS_MAX = 24, XEN_NICS_MAX = 8 };

struct xen_config {
    u8 uuid[16];
    s64 wallclock;           /* seconds since 1970 UTC at virtual time 0 */
    bool hvm;                /* a full PC with PV drivers: cards change hands at connection */
    bool pv;                 /* classic PV: all RAM is mapped from 0 on, no special pages */
    u64 special_gfn;         /* XEN_SPECIAL_PAGES page frames that nothing else uses */
    u64 ram_pages;           /* of 4 KiB, at the guest's start */
    struct chardev *console; /* stays the caller's; NULL = none */
    struct xen_disk disk[XEN_DISKS_MAX]; /* xvda, xvdb, ... */
    unsigned ndisks;
    struct xen_nic nic[XEN_NICS_MAX]; /* eth0, eth1, ... */
    unsigned nnics;
    struct display *screen;   /* vfb draws on it; stays the caller's; NULL = there is none, */
    struct input_sink *input; /* else it gets keyboard and pointer, */
    u32 width, height;        /* whose places are told in these units; 0 = 800x600 */
    const struct xen_e820 *map;
    unsigned nmap;           /* 16 at most; copied */
    struct irq callback[16]; /* GSIs for guests that want no vector; set NULL = none */
};

struct xen;

/* Hangs itself into vm->pv; vm's processors and lapics are open.  -errno with one line. */
int xen_open(struct xen **out, struct vm *vm, struct lapic_bus *lapics, const struct xen_config *c,
             struct err *e);
/* All vCPUs are parked. */
void xen_reset(struct xen *x);
/* Asks the guest to end itself: "poweroff", "reboot".  From any thread. */
void xen_shutdown_guest(struct xen *x, const char *how);

/* Asks the guest to suspend itself; done() on the loop's thread once it has.  It then waits: for
 * xen_suspend_cancel(), or to be saved.  A guest that does not listen never does: the caller gives
 * up by xen_suspend_cancel().  False: it cannot be asked now.  On the loop's thread. */
bool xen_suspend(struct xen *x, void (*done)(void *opaque), void *opaque);
void xen_suspend_cancel(struct xen *x);
bool xen_is_suspended(const struct xen *x);

/* What is saved of a suspended guest beside memory and processors. */
struct xen_saved {
    s64 wallclock; /* as in struct xen_config */
    u64 target;    /* memory that it is to keep, KiB */
    u64 down;      /* processors that VCPUOP_down keeps, a bit each */
    u64 frames;    /* pages of RAM: a bit each says whether the guest has it */
};
extern const struct state_desc xen_saved_state;
/* With the machine paused and the guest suspended: waits for disk requests under way; the bits of
 * the pages, *len bytes of them, stay x's. */
u8 *xen_save(struct xen *x, struct xen_saved *s, u64 *len);
/* A new domain around a saved guest: with its memory and the clock in place.  -EINVAL: it is of
 * another size. */
int xen_load(struct xen *x, const struct xen_saved *s, const u8 *pages, u64 len);

/* The same of a suspended classic PV guest, beside that. */
enum { XEN_PV_TRAPS = 256, XEN_PV_ENTRIES = 5, XEN_PV_GDT_FRAMES = 14 };
struct xen_pv_saved {
    u64 start_info; /* frame */
    u32 assist;     /* vm_assist */
};
struct xen_pv_saved_vcpu {
    u8 kernel, up, initialised; /* kernel: it, not a program, was running */
    u64 kernel_l4, user_l4;     /* frames, 0 = none */
    u64 kernel_sp, cr4;
    u8 iopl;
    u64 trap_ip[XEN_PV_TRAPS];
    u16 trap_cs[XEN_PV_TRAPS];
    u8 trap_dpl[XEN_PV_TRAPS], trap_masks[XEN_PV_TRAPS];
    u64 entry[XEN_PV_ENTRIES];
    u8 entry_masks[XEN_PV_ENTRIES];
    u64 gdt[XEN_PV_GDT_FRAMES]; /* frames */
    u32 gdt_entries;
    u64 ldt_base;
    u32 ldt_entries;
};
extern const struct state_desc xen_pv_saved_state, xen_pv_saved_vcpu_state;
void xen_pv_save(struct xen *x, struct xen_pv_saved *s);
void xen_pv_save_vcpu(struct xen *x, unsigned i, struct xen_pv_saved_vcpu *s);
/* What the frames are, *len bytes; to be freed; NULL: no memory. */
u8 *xen_pv_save_frames(struct xen *x, u64 *len);
/* After xen_load(), with the processors' state in place; v: one a vCPU.  -EINVAL: the guest's
 * tables do not pass the checks that every table must. */
int xen_pv_load(struct xen *x, const struct xen_pv_saved *s, const struct xen_pv_saved_vcpu *v,
                const u8 *frames, u64 len);

/* The machine stood still for so many ns of the host's time. */
void xen_stood(struct xen *x, u64 ns);

/* Asks the guest to keep this much memory, in KiB.  From any thread. */
void xen_set_memory(struct xen *x, u64 kib);
void xen_close(struct xen *x);

/* ---- classic PV, for the domain builder, after xen_open() or xen_reset() ---- */

struct xen_pv_info {
    u64 shared_info; /* frame */
    u32 store_port, console_port;
};
void xen_pv_info(const struct xen *x, struct xen_pv_info *i);
/* The calls of a kernel in ring 3, for a page of its own. */
void xen_pv_hypercall_page(u8 *page);
/* Frames of the root page table (checked with all below it, and pinned), the store's and the
 * console's page.  -EINVAL with one line. */
int xen_pv_start(struct xen *x, u64 root, u64 store, u64 console, struct err *e);
/* What every processor begins with; *s comes from cpu_state_reset(). */
void xen_pv_state(struct cpu_state *s);

#endif
