/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A classic PV domain: what the pv_*.c files know of each other.
 *
 * Machine frames are frames of the machine's memory: the guest's RAM from 0 on (so a frame number
 * is what it is in the PVH guest), and behind it, from heap_frame on, what belongs to Xen and is
 * shared with the guest: shared_info and the grant table.  Last come the machine-to-physical table
 * and the page tables that show it, which the guest may read at PV_M2P_START and map nowhere else.
 *
 * Page tables in use are the guest's own frames, which the processor walks as they are; so every
 * entry that gets into one has been checked (pv_pages.c).  One lock, pv.lock, guards types, counts
 * and all writes to frames that are page tables or descriptor tables.  It is recursive, and a leaf
 * (but for vcpu.lock): it may be taken with any lock of the domain held.
 */
#ifndef WIRT_PV_XEN_PV_H
#define WIRT_PV_XEN_PV_H

#include "pv/xen/internal.h"
#include "pv/xen/pv_abi.h"

#include "cpu/ring3.h"

/* Frames from xen_pv.heap_frame on: shared_info, grant table, status of grants. */
enum { PV_HEAP_SHARED, PV_HEAP_GRANTS, PV_HEAP_STATUS = 1 + 64, PV_HEAP_FRAMES = 1 + 64 + 8 };
enum { PV_TABLE_FRAMES = 2 };

enum pv_type { PT_NONE, PT_L1, PT_L2, PT_L3, PT_L4, PT_DESC, PT_WRITABLE };

/* A frame of the guest's RAM. */
struct pv_page {
    u32 refs;    /* entries of page tables and others that lead here */
    u32 uses;    /* of its type; at 0 any type may come */
    u8 type;     /* enum pv_type */
    bool pinned; /* MMUEXT_PIN: holds one ref and one use */
    bool given;  /* back to Xen: goes when refs are 0 */
    u64 stamp;   /* pv.clock when the last use went */
};

struct pv_trap {
    u64 ip;
    u16 cs;
    u8 dpl;
    bool masks; /* events, on entry */
};

enum pv_entry { PV_EVENT, PV_FAILSAFE, PV_SYSCALL, PV_SYSCALL32, PV_SYSENTER, PV_ENTRIES };

/* The segments that iret loaded last, good while xen_pv.descriptors is gen. */
struct pv_return {
    struct segment cs, ss;
    u32 gen;
};

/* A decoded instruction. */
struct pv_fetched {
    u8 bytes[INSN_MAX];
    struct insn i; /* len 0: none */
};

enum { PV_STALE_MAX = 32, PV_FETCHED = 16 };

struct pv_vcpu {
    struct xen_vcpu *xv;
    struct cpu *c;          /* once it has run */
    u64 kernel_l4, user_l4; /* frames, each with a ref and a use; 0 = none */
    u64 kernel_sp;
    struct pv_trap trap[256];
    u64 entry[PV_ENTRIES]; /* addresses of callbacks, 0 = none */
    bool entry_masks[PV_ENTRIES];
    u64 gdt[PV_GDT_FRAMES]; /* frames, each with a ref and a use */
    u32 gdt_entries;
    u64 ldt_base;
    u32 ldt_entries;
    struct pv_return last;
    u64 cr4; /* as the guest sees it */
    u8 iopl; /* its kernel's */
    bool up; /* atomic */
    bool initialised;
    struct pv_context *context; /* VCPUOP_initialise: taken when it starts */
    u64 flushed;                /* pv.clock when it last caught up with all changes */
    u32 nstale;                 /* > PV_STALE_MAX: all may be */
    u64 stale[PV_STALE_MAX];    /* what others changed that its TLB may have (pv_tlb.c) */
    bool diverted;              /* pv_write.c: an instruction is being tried */
    u64 copy[PAGE_SIZE / 8];    /* what it writes to */
    struct pv_fetched fetched[PV_FETCHED];
    u64 same[2], same_gen; /* roots that had the same upper half when xen_pv.uppers was this */
};

struct xen_pv {
    struct xen *x;
    pthread_mutex_t lock;
    u64 frames;      /* of RAM */
    u64 heap_frame;  /* PV_HEAP_FRAMES from here */
    u64 table_frame; /* PV_TABLE_FRAMES, then the table itself */
    u64 m2p_frame, m2p_frames;
    u64 *m2p;
    u64 m2p_size; /* bytes */
    u8 *tables;
    struct region m2p_region, tables_region;
    struct pv_page *page; /* frames of them */
    u64 *walked;          /* by frame: cpu/ring3.h */
    u64 clock;            /* of TLB flushes */
    u64 uppers;           /* counts changes of the upper halves of roots */
    u64 next_free;        /* where to look for a frame that nobody has */
    u32 descriptors;      /* atomic: counts changes of descriptor tables */
    u32 assist;           /* HYPERVISOR_vm_assist */
    struct pv_vcpu *vcpu; /* nvcpus */
};

static inline struct pv_vcpu *pv_of(const struct cpu *c)
{
    struct xen *x = c->vm->pv.opaque;

    return &x->pv->vcpu[c->vcpu->index];
}

/* The caller of a hypercall. */
static inline struct cpu *pv_cpu(const struct xen_call *k)
{
    return k->p->opaque;
}

static inline void pv_lock(struct xen_pv *pv)
{
    pthread_mutex_lock(&pv->lock);
}

static inline void pv_unlock(struct xen_pv *pv)
{
    pthread_mutex_unlock(&pv->lock);
}

/* The host address of a frame of RAM. */
static inline u8 *pv_frame(const struct xen_pv *pv, u64 mfn)
{
    return pv->x->vm->mem.hva + (mfn << PAGE_SHIFT);
}

/*
 * Where a guest that asks is told to look for the machine-to-physical table.  Linux has its
 * opposite at a multiple of the TLB's reach; frame n is n here, so both tables would always be
 * looked at in the same entry of the TLB.  So there is a second view, half the TLB's reach behind
 * the first (for up to 16 GiB of RAM).
 */
static inline u64 pv_m2p_start(const struct xen_pv *pv)
{
    const u64 half = (u64)TLB_SIZE / 2 * PAGE_SIZE;
    return PV_M2P_START + (pv->m2p_size <= half ? half : 0);
}

/* A frame that the guest has, or NULL. */
static inline struct pv_page *pv_page(const struct xen_pv *pv, u64 mfn)
{
    return mfn < pv->frames && !pv->page[mfn].given ? &pv->page[mfn] : NULL;
}

/* ---- pv_pages.c: types and counts; pv.lock held; 0 or -XEN_E* ---- */

int pv_type_get(struct xen_pv *pv, u64 mfn, enum pv_type type);
void pv_type_put(struct xen_pv *pv, u64 mfn);
/* A plain reference. */
int pv_ref_get(struct xen_pv *pv, u64 mfn);
void pv_ref_put(struct xen_pv *pv, u64 mfn);
/* Puts an entry into table mfn, which is one of type L1 to L4, after checking it.  `seen`: what
 * must be there now (-XEN_EAGAIN if not), or NULL. */
int pv_entry_set(struct xen_pv *pv, u64 mfn, unsigned index, u64 e, bool keep_ad, const u64 *seen);
/* A segment or gate that ring 3 may have in its GDT or LDT; makes it what may be loaded. */
bool pv_descriptor_ok(u64 *d);

/* ---- pv_tlb.c: what TLBs remember of page tables; pv.lock held ---- */

/* The entry was changed, in memory: every TLB that may have it drops it, the caller's at once,
 * others when they are flushed. */
void pv_stale(struct xen_pv *pv, enum pv_type level, u64 mfn, unsigned index, u64 old, u64 now);
/* The frame is no table any more, and none leads to it. */
void pv_unwalked(struct xen_pv *pv, u64 mfn);
/* The vCPUs in the mask have caught up with all changes when this returns, or do so before they run
 * code of the guest; the caller's own: at once. */
void pv_flush(struct xen_pv *pv, u64 vcpus);
void pv_flush_own(struct pv_vcpu *v); /* on its own thread */
/* No TLB remembers what the frame, which has no uses, was used as. */
void pv_forget(struct xen_pv *pv, const struct pv_page *p);

/* ---- guest.c ---- */

/* The kernel's memory, as the kernel reaches it; false: it would fault.  What is written is no page
 * table, whatever old translations say. */
bool pv_copy(struct cpu *c, u64 lin, void *buf, u64 len, bool write);

/* ---- pv_trap.c: entering and leaving the kernel ---- */

extern const struct ring3_ops pv_ring3;
/* pv_quick.c */
bool pv_quick_syscall(struct cpu *c);
bool pv_quick_fault(struct cpu *c, u64 lin, u32 error);

/* Enters the kernel at ip with a frame as for an exception; error: or NO_ERROR_CODE. */
void pv_bounce(struct pv_vcpu *v, struct cpu *c, u64 ip, u32 error, bool masks, bool failsafe);

/* Segments as every entry to the kernel has them. */
static inline struct segment pv_flat_code(u16 sel)
{
    return (struct segment){
        .sel = sel, .limit = UINT32_MAX, .attr = SEG_P | SEG_S | SEG_G | SEG_L | SEG_DPL | 11};
}

static inline struct segment pv_flat_data(u16 sel)
{
    return (struct segment){
        .sel = sel, .limit = UINT32_MAX, .attr = SEG_P | SEG_S | SEG_G | SEG_DB | SEG_DPL | 3};
}

/* What iret takes from the frame. */
#define PV_IRET_FLAGS                                                                              \
    ((u64)(FLAGS_ARITH | FLAG_TF | FLAG_DF | FLAG_NT | FLAG_RF | FLAG_AC | FLAG_ID))

/* The domain is beyond help. */
void pv_crash(struct pv_vcpu *v, struct cpu *c, const char *why);
/* To kernel or program: page tables, and the base of GS. */
void pv_toggle(struct pv_vcpu *v, struct cpu *c);
/* An exception for the guest, at s.rip. */
void pv_inject(struct pv_vcpu *v, struct cpu *c, unsigned vector, u32 error);

/* ---- pv_emulate.c: instructions that ring 3 may not execute; false: it was none ---- */

bool pv_emulate(struct pv_vcpu *v, struct cpu *c);
/* The instruction at s.rip; false: it cannot be read or decoded. */
bool pv_fetch(struct cpu *c, struct insn *i);
bool pv_forced_cpuid(struct cpu *c);
/* MOV to CR3, NEW_BASEPTR: 0 or -XEN_E*; pv.lock held. */
int pv_new_base(struct pv_vcpu *v, struct cpu *c, u64 mfn);

/* ---- pv_write.c: a store to a page table; false: the fault is the guest's ---- */

bool pv_table_write(struct pv_vcpu *v, struct cpu *c);
/* The same for the stores that kernels use, without a fault: MOV and XCHG of a whole entry, AND. */
bool pv_table_store(struct pv_vcpu *v, struct cpu *c, u64 lin);

/* ---- pv_vcpu.c ---- */

/* VCPUOP_initialise and others; -XEN_ENOSYS: none of these. */
s64 pv_vcpu_op(struct xen_call *k, struct xen_vcpu *to);
/* The GDT from these frames; 0 or -XEN_EINVAL. */
int pv_gdt_load(struct pv_vcpu *v, const u64 *frame, u32 entries);
/* What VCPUOP_initialise said of the registers, if it has not been taken yet. */
void pv_vcpu_begin(struct pv_vcpu *v, struct cpu_state *s);
/* On the vCPU's thread: VCPUOP_up has come. */
void pv_vcpu_start(struct pv_vcpu *v, struct cpu *c);

/* ---- pv_state.c ---- */

/* Before processors are saved: what waits for their threads goes into their state. */
void pv_settle(struct xen *x);

/* ---- pv_memory.c ---- */

s64 pv_memory_op(struct xen_call *k); /* -XEN_ENOSYS: not one of PV's own */

/* ---- pv.c ---- */

static inline u64 pv_grant_frame(const struct xen *x, u32 i)
{
    return x->pv->heap_frame + PV_HEAP_GRANTS + i;
}

static inline u64 pv_status_frame(const struct xen *x, u32 i)
{
    return x->pv->heap_frame + PV_HEAP_STATUS + i;
}

/* A page of the guest's (XEN_SPECIAL_*) that Xen's side writes, and that is no table meanwhile;
 * false: it is one. */
bool pv_share_page(struct xen *x, u64 mfn, unsigned which);
int pv_open(struct xen *x, struct err *e);
void pv_reset(struct xen *x);
void pv_close(struct xen *x);
/* Puts shared_info and the grant table at their frames. */
void pv_share(struct xen *x);

xen_call_fn pv_set_trap_table, pv_mmu_update, pv_set_gdt, pv_stack_switch, pv_set_callbacks,
    pv_fpu_taskswitch, pv_set_debugreg, pv_get_debugreg, pv_update_descriptor, pv_update_va_mapping,
    pv_set_timer_op, pv_vm_assist, pv_update_va_mapping_otherdomain, pv_iret, pv_set_segment_base,
    pv_mmuext_op, pv_callback_op, pv_physdev_op, pv_nmi_op;

#endif
