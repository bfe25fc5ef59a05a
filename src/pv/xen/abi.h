/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers and layouts of Xen's interface to 64-bit x86 guests.  Names are those of Xen's public
 * headers (xen/include/public), which is where each group below is specified.
 */
#ifndef WIRT_PV_XEN_ABI_H
#define WIRT_PV_XEN_ABI_H

#include "base/types.h"

/* errno.h */
enum {
    XEN_EPERM = 1,
    XEN_ENOENT = 2,
    XEN_ESRCH = 3,
    XEN_E2BIG = 7,
    XEN_ENOMEM = 12,
    XEN_EFAULT = 14,
    XEN_EBUSY = 16,
    XEN_EEXIST = 17,
    XEN_EINVAL = 22,
    XEN_ENOSPC = 28,
    XEN_ENOSYS = 38,
    XEN_ENOBUFS = 105,
    XEN_EOPNOTSUPP = 95,
    XEN_ETIME = 62,
    XEN_ENXIO = 6,
};

/* xen.h: hypercalls */
enum {
    HYPERVISOR_set_trap_table = 0,
    HYPERVISOR_platform_op = 7,
    HYPERVISOR_memory_op = 12,
    HYPERVISOR_multicall = 13,
    HYPERVISOR_set_timer_op = 15,
    HYPERVISOR_xen_version = 17,
    HYPERVISOR_console_io = 18,
    HYPERVISOR_grant_table_op = 20,
    HYPERVISOR_vm_assist = 21,
    HYPERVISOR_vcpu_op = 24,
    HYPERVISOR_xsm_op = 27,
    HYPERVISOR_nmi_op = 28,
    HYPERVISOR_sched_op = 29,
    HYPERVISOR_callback_op = 30,
    HYPERVISOR_xenoprof_op = 31,
    HYPERVISOR_event_channel_op = 32,
    HYPERVISOR_physdev_op = 33,
    HYPERVISOR_hvm_op = 34,
    HYPERVISOR_sysctl = 35,
    HYPERVISOR_domctl = 36,
    HYPERVISOR_kexec_op = 37,
    HYPERVISOR_tmem_op = 38,
    HYPERVISOR_argo_op = 39,
    HYPERVISOR_xenpmu_op = 40,
    HYPERVISOR_dm_op = 41,
    HYPERCALLS = 64,
};

#define DOMID_SELF 0x7ff0u

/* version.h, features.h */
enum {
    XENVER_version = 0,
    XENVER_extraversion = 1,
    XENVER_compile_info = 2,
    XENVER_capabilities = 3,
    XENVER_changeset = 4,
    XENVER_platform_parameters = 5,
    XENVER_get_features = 6,
    XENVER_pagesize = 7,
    XENVER_guest_handle = 8,
    XENVER_commandline = 9,
    XENVER_build_id = 10,
};
enum {
    XENFEAT_writable_page_tables = 0,
    XENFEAT_auto_translated_physmap = 2,
    XENFEAT_hvm_callback_vector = 8,
    XENFEAT_hvm_safe_pvclock = 9,
    XENFEAT_memory_op_vnode_supported = 13,
    XENFEAT_not_direct_mapped = 16,
};

/* memory.h */
enum {
    XENMEM_increase_reservation = 0,
    XENMEM_decrease_reservation = 1,
    XENMEM_maximum_ram_page = 2,
    XENMEM_current_reservation = 3,
    XENMEM_maximum_reservation = 4,
    XENMEM_populate_physmap = 6,
    XENMEM_add_to_physmap = 7,
    XENMEM_memory_map = 9,
    XENMEM_exchange = 11,
    XENMEM_maximum_gpfn = 14,
    XENMEM_remove_from_physmap = 15,
    XENMEM_add_to_physmap_batch = 23,
};
enum { XENMAPSPACE_shared_info = 0, XENMAPSPACE_grant_table = 1 };
#define XENMAPIDX_grant_table_status (1ull << 31)

/* vcpu.h */
enum {
    VCPUOP_is_up = 3,
    VCPUOP_get_runstate_info = 4,
    VCPUOP_register_runstate_memory_area = 5,
    VCPUOP_set_periodic_timer = 6,
    VCPUOP_stop_periodic_timer = 7,
    VCPUOP_set_singleshot_timer = 8,
    VCPUOP_stop_singleshot_timer = 9,
    VCPUOP_register_vcpu_info = 10,
    VCPUOP_send_nmi = 11,
    VCPUOP_get_physid = 12,
    VCPUOP_register_vcpu_time_memory_area = 13,
    VCPU_SSHOTTMR_future = 1,
    RUNSTATE_running = 0,
};

/* sched.h */
enum {
    SCHEDOP_yield = 0,
    SCHEDOP_block = 1,
    SCHEDOP_shutdown = 2,
    SCHEDOP_poll = 3,
    SCHEDOP_shutdown_code = 5,
    SCHEDOP_watchdog = 6,
};
enum {
    SHUTDOWN_poweroff = 0,
    SHUTDOWN_reboot = 1,
    SHUTDOWN_suspend = 2,
    SHUTDOWN_crash = 3,
    SHUTDOWN_watchdog = 4,
    SHUTDOWN_soft_reset = 5,
};

/* event_channel.h */
enum {
    EVTCHNOP_bind_interdomain = 0,
    EVTCHNOP_bind_virq = 1,
    EVTCHNOP_bind_pirq = 2,
    EVTCHNOP_close = 3,
    EVTCHNOP_send = 4,
    EVTCHNOP_status = 5,
    EVTCHNOP_alloc_unbound = 6,
    EVTCHNOP_bind_ipi = 7,
    EVTCHNOP_bind_vcpu = 8,
    EVTCHNOP_unmask = 9,
    EVTCHNOP_reset = 10,
    EVTCHNOP_init_control = 11,
    EVTCHNOP_expand_array = 12,
    EVTCHNOP_set_priority = 13,
};
enum {
    EVTCHNSTAT_closed = 0,
    EVTCHNSTAT_unbound = 1,
    EVTCHNSTAT_interdomain = 2,
    EVTCHNSTAT_virq = 4,
    EVTCHNSTAT_ipi = 5,
};
enum { VIRQ_TIMER = 0, VIRQ_DEBUG = 1, VIRQ_CONSOLE = 2, VIRQ_DOM_EXC = 3, NR_VIRQS = 24 };
enum { EVTCHN_FIFO_PRIORITY_DEFAULT = 7, EVTCHN_FIFO_PRIORITY_MIN = 15, EVTCHN_FIFO_QUEUES = 16 };
#define EVTCHN_FIFO_PENDING   (1u << 31)
#define EVTCHN_FIFO_MASKED    (1u << 30)
#define EVTCHN_FIFO_LINKED    (1u << 29)
#define EVTCHN_FIFO_BUSY      (1u << 28)
#define EVTCHN_FIFO_LINK_MASK 0x1ffffu

/* hvm/hvm_op.h, hvm/params.h */
enum {
    HVMOP_set_param = 0,
    HVMOP_get_param = 1,
    HVMOP_flush_tlbs = 5,
    HVMOP_pagetable_dying = 9,
    HVMOP_get_time = 10,
    HVMOP_get_mem_type = 15,
    HVMOP_set_evtchn_upcall_vector = 23,
    HVMMEM_ram_rw = 0,
    HVMMEM_mmio_dm = 2,
};
enum {
    HVM_PARAM_CALLBACK_IRQ = 0,
    HVM_PARAM_STORE_PFN = 1,
    HVM_PARAM_STORE_EVTCHN = 2,
    HVM_PARAM_PAE_ENABLED = 4,
    HVM_PARAM_CONSOLE_PFN = 17,
    HVM_PARAM_CONSOLE_EVTCHN = 18,
    HVM_NR_PARAMS = 39,
};

/* grant_table.h */
enum {
    GNTTABOP_map_grant_ref = 0,
    GNTTABOP_unmap_grant_ref = 1,
    GNTTABOP_setup_table = 2,
    GNTTABOP_copy = 5,
    GNTTABOP_query_size = 6,
    GNTTABOP_set_version = 8,
    GNTTABOP_get_status_frames = 9,
    GNTTABOP_get_version = 10,
};
enum {
    GNTST_okay = 0,
    GNTST_general_error = -1,
    GNTST_bad_domain = -2,
    GNTST_bad_gntref = -3,
    GNTST_bad_handle = -4,
    GNTST_permission_denied = -8,
    GNTST_bad_page = -9,
    GNTST_bad_copy_arg = -10,
    GNTST_eagain = -12,
};
enum {
    GTF_permit_access = 1,
    GTF_type_mask = 3,
    GTF_readonly = 1 << 2,
    GTF_reading = 1 << 3,
    GTF_writing = 1 << 4,
    GTF_sub_page = 1 << 8,
    GNTTAB_NR_RESERVED_ENTRIES = 8,
    GNTCOPY_source_gref = 1,
    GNTCOPY_dest_gref = 2,
};
struct xen_grant_v1 {
    u16 flags, domid;
    u32 frame;
};
struct xen_grant_v2 {
    u16 flags, domid;
    u16 page_off, length; /* of a sub-page grant */
    u64 frame;
};
_Static_assert(sizeof(struct xen_grant_v1) == 8 && sizeof(struct xen_grant_v2) == 16, "grants");

/* console.h and io/console.h */
enum { CONSOLEIO_write = 0, CONSOLEIO_read = 1 };
struct xencons_interface {
    u8 in[1024], out[2048];
    u32 in_cons, in_prod, out_cons, out_prod;
};
_Static_assert(sizeof(struct xencons_interface) == 3088, "console ring");

/* xen.h: vcpu_info and shared_info */
struct xen_vcpu_time_info {
    u32 version, pad0;
    u64 tsc_timestamp, system_time;
    u32 tsc_to_system_mul;
    s8 tsc_shift;
    u8 flags, pad1[2];
};
_Static_assert(sizeof(struct xen_vcpu_time_info) == 32, "vcpu_time_info");

enum { XEN_PVCLOCK_TSC_STABLE_BIT = 1 };

struct xen_vcpu_info {
    u8 evtchn_upcall_pending, evtchn_upcall_mask, pad[6];
    u64 evtchn_pending_sel;
    u64 arch_cr2, arch_pad;
    struct xen_vcpu_time_info time;
};
_Static_assert(sizeof(struct xen_vcpu_info) == 64, "vcpu_info");

enum { XEN_LEGACY_MAX_VCPUS = 32, XEN_2L_PORTS = 4096 };

struct xen_shared_info {
    struct xen_vcpu_info vcpu_info[XEN_LEGACY_MAX_VCPUS];
    u64 evtchn_pending[64], evtchn_mask[64];
    u32 wc_version, wc_sec, wc_nsec, wc_sec_hi;
    u64 arch_max_pfn, arch_pfn_to_mfn_frame_list_list, arch_nmi_reason;
};
_Static_assert(offsetof(struct xen_shared_info, wc_version) == 3072, "shared_info");

/* The same area as registered for steal time, vcpu.h: vcpu_runstate_info. */
struct xen_runstate_info {
    u32 state, pad;
    u64 state_entry_time, time[4];
};
_Static_assert(sizeof(struct xen_runstate_info) == 48, "vcpu_runstate_info");

#endif
