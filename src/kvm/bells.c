/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Doorbells (core/bus.h) by KVM_IOEVENTFD: the guest's write to a virtio queue's notification does
 * not leave KVM.
 */
#include "kvm/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>

struct wanted {
    struct kvm_bell bell[KVM_BELLS_MAX];
    unsigned count;
};

static void want_bus(struct wanted *w, struct bus *b, bool ports)
{
    pthread_mutex_lock(&b->lock);
    const struct bus_table *t = &b->table[b->seq & 1];
    for (unsigned i = 0; i < t->count; i++) {
        const struct bus_range *r = &t->range[i];
        for (unsigned n = 0; n < r->region->nbells && w->count < KVM_BELLS_MAX; n++) {
            const struct doorbell *d = &r->region->bell[n];
            w->bell[w->count++] =
                (struct kvm_bell){.addr = r->base + d->off, .d = d, .ports = ports};
        }
    }
    pthread_mutex_unlock(&b->lock);
}

static bool has(const struct kvm_bell *list, unsigned count, const struct kvm_bell *b)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i].addr == b->addr && list[i].d == b->d)
            return true;
    return false;
}

/* One that KVM does not take makes exits, no harm. */
static void tell(struct engine *en, const struct kvm_bell *b, bool on)
{
    struct kvm_ioeventfd f = {
        .addr = b->addr,
        .len = b->d->match ? 2 : 0,
        .datamatch = b->d->value,
        .fd = b->d->fd,
        .flags = (on ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN) | (b->ports ? KVM_IOEVENTFD_FLAG_PIO : 0) |
                 (b->d->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
    };

    ioctl(en->fd, KVM_IOEVENTFD, &f);
}

void kvm_bells_sync(struct engine *en)
{
    struct wanted w = {.count = 0};

    want_bus(&w, &en->vm->pio, true);
    want_bus(&w, &en->vm->mmio, false);
    for (unsigned i = 0; i < en->nbells; i++)
        if (!has(w.bell, w.count, &en->bell[i]))
            tell(en, &en->bell[i], false);
    for (unsigned i = 0; i < w.count; i++)
        if (!has(en->bell, en->nbells, &w.bell[i]))
            tell(en, &w.bell[i], true);
    for (unsigned i = 0; i < w.count; i++)
        en->bell[i] = w.bell[i];
    en->nbells = w.count;
}
