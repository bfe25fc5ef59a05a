/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A trial of KVM (Linux: Documentation/virt/kvm/api.rst): /dev/kvm may be there and still not work,
 * without permission, under another hypervisor, in a container.  So a guest of three real-mode
 * instructions is run: mov al,42h; out 10h,al; hlt.
 */
#include "kvm/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

enum { TRIAL_PAGE = 4096, TRIAL_RUNS = 8 };

static const u8 trial_code[] = {0xb0, 0x42, 0xe6, 0x10, 0xf4};

static bool failed(struct kvm_probe *p, const char *what)
{
    snprintf(p->why, sizeof(p->why), "%s: %s", what, strerror(errno));
    return false;
}

/* Runs until the OUT is seen. */
static bool run_vcpu(struct kvm_probe *p, int vcpu, const struct kvm_run *run)
{
    struct kvm_sregs sregs;
    struct kvm_regs regs = {.rflags = 2};
    if (ioctl(vcpu, KVM_GET_SREGS, &sregs))
        return failed(p, "KVM_GET_SREGS");
    sregs.cs.base = 0;
    sregs.cs.selector = 0;
    if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs))
        return failed(p, "setting registers");
    for (unsigned i = 0; i < TRIAL_RUNS; i++) {
        if (ioctl(vcpu, KVM_RUN, 0)) {
            if (errno == EINTR)
                continue;
            return failed(p, "KVM_RUN");
        }
        if (run->exit_reason == KVM_EXIT_IO && run->io.port == 0x10) {
            const u8 *data = (const u8 *)run + run->io.data_offset;
            if (*data == 0x42)
                return true;
        }
        snprintf(p->why, sizeof(p->why), "the trial guest left for reason %u", run->exit_reason);
        return false;
    }
    snprintf(p->why, sizeof(p->why), "the trial guest does not come forward");
    return false;
}

static bool trial(struct kvm_probe *p, int kvm, int vm, u8 *mem)
{
    struct kvm_userspace_memory_region slot = {.memory_size = TRIAL_PAGE,
                                               .userspace_addr = (u64)mem};
    memcpy(mem, trial_code, sizeof(trial_code));
    if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot))
        return failed(p, "KVM_SET_USER_MEMORY_REGION");
    int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
    if (vcpu < 0)
        return failed(p, "KVM_CREATE_VCPU");
    bool ok = false;
    int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    void *run = size > 0 ? mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0)
                         : MAP_FAILED;
    if (run == MAP_FAILED) {
        failed(p, "mapping the trial processor");
    } else {
        ok = run_vcpu(p, vcpu, run);
        munmap(run, (size_t)size);
    }
    close(vcpu);
    return ok;
}

void kvm_probe(struct kvm_probe *p)
{
    memset(p, 0, sizeof(*p));
    p->exists = !access("/dev/kvm", F_OK);
    if (!p->exists) {
        snprintf(p->why, sizeof(p->why), "there is no /dev/kvm");
        return;
    }
    int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (kvm < 0) {
        failed(p, "/dev/kvm");
        return;
    }
    p->opens = true;
    p->api_version = ioctl(kvm, KVM_GET_API_VERSION, 0);
    int vm = ioctl(kvm, KVM_CREATE_VM, 0);
    u8 *mem = mmap(NULL, TRIAL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (vm < 0)
        failed(p, "KVM_CREATE_VM");
    else if (mem == MAP_FAILED)
        failed(p, "memory");
    else
        p->runs = trial(p, kvm, vm, mem);
    if (mem != MAP_FAILED)
        munmap(mem, TRIAL_PAGE);
    if (vm >= 0)
        close(vm);
    close(kvm);
}
