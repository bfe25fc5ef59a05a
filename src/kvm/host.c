/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Opening /dev/kvm: what the engine cannot do without (all of it in Linux 5.10 and later), and what
 * it uses when it is there.
 */
#include "dev/lapic.h"
#include "kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Three pages that KVM uses on Intel processors that cannot run real mode by themselves, and one
 * more: where no guest looks, between HPET and local APICs. */
#define IDENTITY_MAP 0xfed20000ull
#define TSS_PAGES    0xfed21000ull

enum { CPUID_ROOM = 256 };

static const struct {
    int cap;
    const char *name;
} needed[] = {
    {KVM_CAP_USER_MEMORY, "user memory"},
    {KVM_CAP_READONLY_MEM, "read-only memory slots"},
    {KVM_CAP_EXT_CPUID, "CPUID"},
    {KVM_CAP_XSAVE, "XSAVE state"},
    {KVM_CAP_VCPU_EVENTS, "vCPU events"},
    {KVM_CAP_DEBUGREGS, "debug registers"},
    {KVM_CAP_IMMEDIATE_EXIT, "immediate exit"},
    {KVM_CAP_X86_USER_SPACE_MSR, "MSRs in user space"},
    {KVM_CAP_X86_MSR_FILTER, "the MSR filter"},
};

/* malloc'ed; NULL: errno */
static struct kvm_cpuid2 *supported_cpuid(int kvm)
{
    struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + CPUID_ROOM * sizeof(c->entries[0]));

    if (!c)
        return NULL;
    c->nent = CPUID_ROOM;
    if (ioctl(kvm, KVM_GET_SUPPORTED_CPUID, c)) {
        free(c);
        return NULL;
    }
    return c;
}

bool kvm_give_all_cpuid(int kvm, int vcpu)
{
    struct kvm_cpuid2 *c = supported_cpuid(kvm);
    bool ok = c && !ioctl(vcpu, KVM_SET_CPUID2, c);

    free(c);
    return ok;
}

void kvm_place_tss(int vm)
{
    u64 identity = IDENTITY_MAP;

    ioctl(vm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
    ioctl(vm, KVM_SET_TSS_ADDR, TSS_PAGES);
}

static int offered_cpuid(struct engine *en, struct err *e)
{
    const struct kvm_cpuid2 *c = en->offered = supported_cpuid(en->kvm);

    if (!c)
        return err_set(e, errno, "/dev/kvm: KVM_GET_SUPPORTED_CPUID: %s", strerror(errno));
    en->xcr0 = 3;
    for (unsigned i = 0; i < c->nent; i++)
        if (c->entries[i].function == 0xd && c->entries[i].index == 0 && c->entries[i].eax)
            en->xcr0 = c->entries[i].eax;
    return 0;
}

static int enable(struct engine *en, u32 cap, u64 arg)
{
    struct kvm_enable_cap c = {.cap = cap, .args = {arg}};

    return ioctl(en->fd, KVM_ENABLE_CAP, &c) ? -errno : 0;
}

/* Local APICs in the kernel; where they were only a wish, Wirt's own do. */
static int open_apics(struct engine *en, struct err *e)
{
    static const int caps[] = {KVM_CAP_SPLIT_IRQCHIP, KVM_CAP_SIGNAL_MSI, KVM_CAP_MP_STATE,
                               KVM_CAP_TSC_DEADLINE_TIMER};
    int r = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(caps) && !r; i++)
        if (ioctl(en->kvm, KVM_CHECK_EXTENSION, caps[i]) <= 0)
            r = -ENOTSUP;
    if (!r)
        r = enable(en, KVM_CAP_SPLIT_IRQCHIP, LAPIC_ROUTES);
    if (!r)
        return 0;
    en->split = false;
    return en->vm->cpu.irqchip == IRQCHIP_AUTO
               ? 0
               : err_set(e, -r, "--irqchip split: the kernel offers no local APICs");
}

static int open_machine(struct engine *en, struct err *e)
{
    u64 reasons =
        KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_FILTER;
    do
        en->fd = ioctl(en->kvm, KVM_CREATE_VM, 0);
    while (en->fd < 0 && errno == EINTR);
    if (en->fd < 0)
        return err_set(e, errno, "/dev/kvm: KVM_CREATE_VM: %s", strerror(errno));
    kvm_place_tss(en->fd);
    int r = enable(en, KVM_CAP_X86_USER_SPACE_MSR, reasons);
    if (r)
        return err_set(e, -r, "/dev/kvm: MSRs in user space: %s", strerror(-r));
    if (en->split && (r = open_apics(en, e)))
        return r;
    r = kvm_pv_open(en, e);
    if (r)
        return r;
#ifdef KVM_CAP_EXIT_ON_EMULATION_FAILURE
    enable(en, KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1); /* as good without: then it is #UD */
#endif
    en->block_irq =
        ioctl(en->kvm, KVM_CHECK_EXTENSION, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ;
    return kvm_filter_msrs(en, e);
}

int kvm_host_open(struct engine *en, struct err *e)
{
    en->fd = -1;
    en->kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (en->kvm < 0)
        return err_set(e, errno, "/dev/kvm: %s", strerror(errno));
    int version = ioctl(en->kvm, KVM_GET_API_VERSION, 0);
    if (version != KVM_API_VERSION)
        return err_set(e, ENOTSUP, "/dev/kvm: version %d of its interface, %d is known", version,
                       KVM_API_VERSION);
    for (unsigned i = 0; i < ARRAY_SIZE(needed); i++)
        if (ioctl(en->kvm, KVM_CHECK_EXTENSION, needed[i].cap) <= 0)
            return err_set(e, ENOTSUP, "/dev/kvm: the kernel does not offer %s", needed[i].name);
    int size = ioctl(en->kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (size < (int)sizeof(struct kvm_run))
        return err_set(e, ENOTSUP, "/dev/kvm: KVM_GET_VCPU_MMAP_SIZE gives %d", size);
    en->run_size = (size_t)size;
    int r = offered_cpuid(en, e);
    return r ? r : open_machine(en, e);
}

void kvm_host_close(struct engine *en)
{
    if (en->fd >= 0)
        close(en->fd);
    if (en->kvm >= 0)
        close(en->kvm);
    free(en->offered);
    en->fd = en->kvm = -1;
    en->offered = NULL;
}
