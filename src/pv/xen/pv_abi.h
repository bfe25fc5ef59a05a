/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers and layouts of the interface that only classic PV guests of 64 bits have.  Names are
 * those of Xen's public headers: xen.h, arch-x86/xen.h, arch-x86/xen-x86_64.h, callback.h,
 * physdev.h, elfnote.h.
 */
#ifndef WIRT_PV_XEN_PV_ABI_H
#define WIRT_PV_XEN_PV_ABI_H

#include "base/types.h"

/* errno.h */
enum { XEN_EAGAIN = 11 };

/* xen.h: hypercalls */
enum {
    HYPERVISOR_mmu_update = 1,
    HYPERVISOR_set_gdt = 2,
    HYPERVISOR_stack_switch = 3,
    HYPERVISOR_set_callbacks = 4,
    HYPERVISOR_fpu_taskswitch = 5,
    HYPERVISOR_set_debugreg = 8,
    HYPERVISOR_get_debugreg = 9,
    HYPERVISOR_update_descriptor = 10,
    HYPERVISOR_update_va_mapping = 14,
    HYPERVISOR_update_va_mapping_otherdomain = 22,
    HYPERVISOR_iret = 23,
    HYPERVISOR_set_segment_base = 25,
    HYPERVISOR_mmuext_op = 26,
};

/* Selectors of the segments that are in every GDT, and where these begin. */
enum {
    FLAT_RING3_CS32 = 0xe023,
    FLAT_RING3_SS64 = 0xe02b,
    FLAT_RING3_CS64 = 0xe033,
    FIRST_RESERVED_GDT_ENTRY = 14 * 512,
    PV_GDT_FRAMES = 14,
    PV_LDT_ENTRIES = 8192,
};

/* The machine-to-physical table, and the entries of a root table that are Xen's. */
#define PV_M2P_START 0xffff800000000000ull
#define PV_M2P_END   0xffff804000000000ull
enum { PV_L4_FIRST_XEN = 256, PV_L4_LAST_XEN = 271 };

/* Flags of page table entries. */
enum {
    PTE_PRESENT = 1 << 0,
    PTE_RW = 1 << 1,
    PTE_USER = 1 << 2,
    PTE_PWT = 1 << 3,
    PTE_PCD = 1 << 4,
    PTE_ACCESSED = 1 << 5,
    PTE_DIRTY = 1 << 6,
    PTE_PSE = 1 << 7, /* in an L1 table: PAT */
    PTE_GLOBAL = 1 << 8,
};
#define PTE_FRAME 0x000ffffffffff000ull
#define PTE_NX    BIT64(63)

/* MMU_UPDATE */
enum {
    MMU_NORMAL_PT_UPDATE = 0,
    MMU_MACHPHYS_UPDATE = 1,
    MMU_PT_UPDATE_PRESERVE_AD = 2,
    MMU_PT_UPDATE_NO_TRANSLATE = 3,
};
#define MMU_UPDATE_PREEMPTED BIT(31)

enum {
    MMUEXT_PIN_L1_TABLE = 0,
    MMUEXT_PIN_L4_TABLE = 3,
    MMUEXT_UNPIN_TABLE = 4,
    MMUEXT_NEW_BASEPTR = 5,
    MMUEXT_TLB_FLUSH_LOCAL = 6,
    MMUEXT_INVLPG_LOCAL = 7,
    MMUEXT_TLB_FLUSH_MULTI = 8,
    MMUEXT_INVLPG_MULTI = 9,
    MMUEXT_TLB_FLUSH_ALL = 10,
    MMUEXT_INVLPG_ALL = 11,
    MMUEXT_FLUSH_CACHE = 12,
    MMUEXT_SET_LDT = 13,
    MMUEXT_NEW_USER_BASEPTR = 15,
    MMUEXT_CLEAR_PAGE = 16,
    MMUEXT_COPY_PAGE = 17,
    MMUEXT_FLUSH_CACHE_GLOBAL = 18,
    MMUEXT_MARK_SUPER = 19,
    MMUEXT_UNMARK_SUPER = 20,
};

struct mmu_update {
    u64 ptr, val;
};

struct mmuext_op {
    u32 cmd, pad;
    u64 arg1; /* mfn, linear_addr */
    u64 arg2; /* nr_ents, vcpumask, src_mfn */
};
_Static_assert(sizeof(struct mmuext_op) == 24, "mmuext_op");

enum { UVMF_NONE = 0, UVMF_TLB_FLUSH = 1, UVMF_INVLPG = 2, UVMF_FLUSHTYPE_MASK = 3, UVMF_ALL = 4 };

enum { SEGBASE_FS = 0, SEGBASE_GS_USER = 1, SEGBASE_GS_KERNEL = 2, SEGBASE_GS_USER_SEL = 3 };

struct trap_info {
    u8 vector, flags; /* 0-3: DPL; 4: events are masked */
    u16 cs;
    u32 pad;
    u64 address;
};
_Static_assert(sizeof(struct trap_info) == 16, "trap_info");

/* What HYPERVISOR_iret finds on the stack. */
struct iret_context {
    u64 rax, r11, rcx, flags, rip, cs, rflags, rsp, ss;
};
enum {
    VGCF_in_kernel = 1 << 2,
    VGCF_failsafe_disables_events = 1 << 3,
    VGCF_syscall_disables_events = 1 << 4,
    VGCF_in_syscall = 1 << 8
};

/* arch-x86/xen-x86_64.h: cpu_user_regs */
struct pv_user_regs {
    u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    u32 error_code, entry_vector;
    u64 rip;
    u16 cs, pad0;
    u8 saved_upcall_mask, pad1[3];
    u64 rflags, rsp;
    u64 ss, es, ds, fs, gs; /* the low 16 bits */
};
_Static_assert(sizeof(struct pv_user_regs) == 200, "cpu_user_regs");

/* vcpu_guest_context */
struct pv_context {
    u8 fpu[512];
    u64 flags;
    struct pv_user_regs regs;
    struct trap_info trap[256];
    u64 ldt_base, ldt_ents;
    u64 gdt_frames[16], gdt_ents;
    u64 kernel_ss, kernel_sp;
    u64 ctrlreg[8];
    u64 debugreg[8];
    u64 event_callback_eip, failsafe_callback_eip, syscall_callback_eip;
    u64 vm_assist;
    u64 fs_base, gs_base_kernel, gs_base_user;
};
_Static_assert(sizeof(struct pv_context) == 5168, "vcpu_guest_context");

/* callback.h */
enum {
    CALLBACKOP_register = 0,
    CALLBACKOP_unregister = 1,
    CALLBACKTYPE_event = 0,
    CALLBACKTYPE_failsafe = 1,
    CALLBACKTYPE_syscall = 2,
    CALLBACKTYPE_nmi = 4,
    CALLBACKTYPE_sysenter = 5,
    CALLBACKTYPE_syscall32 = 7,
    CALLBACKF_mask_events = 1,
};

/* vcpu.h */
enum { VCPUOP_initialise = 0, VCPUOP_up = 1, VCPUOP_down = 2 };

/* memory.h */
enum { XENMEM_machphys_mfn_list = 5, XENMEM_machphys_mapping = 12 };

/* physdev.h */
enum {
    PHYSDEVOP_irq_status_query = 5,
    PHYSDEVOP_set_iopl = 6,
    PHYSDEVOP_set_iobitmap = 7,
    PHYSDEVOP_eoi = 12,
    PHYSDEVOP_pirq_eoi_gmfn_v1 = 17,
    PHYSDEVOP_pirq_eoi_gmfn_v2 = 28,
};

/* xen.h: VMASST_TYPE_*; those that a 64-bit PV guest may choose */
#define VM_ASSIST_VALID                                                                            \
    (BIT64(0) | BIT64(1) | BIT64(2) | BIT64(3) | BIT64(4) | BIT64(5) | BIT64(32))

/* xen.h: start_info */
struct pv_start_info {
    char magic[32];
    u64 nr_pages, shared_info;
    u32 flags, pad0;
    u64 store_mfn;
    u32 store_evtchn, pad1;
    u64 console_mfn;
    u32 console_evtchn, pad2;
    u64 pt_base, nr_pt_frames, mfn_list, mod_start, mod_len;
    char cmd_line[1024];
    u64 first_p2m_pfn, nr_p2m_frames;
};
_Static_assert(sizeof(struct pv_start_info) == 1168, "start_info");
_Static_assert(offsetof(struct pv_start_info, cmd_line) == 128, "start_info");
enum { SIF_MOD_START_PFN = 1 << 3 };

#endif
