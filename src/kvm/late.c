/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Late writes (region.late, core/bus.h) by KVM's coalesced MMIO: KVM puts writes of a window into a
 * ring and does not leave the guest.  What is in the ring is written before anything else that a
 * vCPU left for; a viewer that looks meanwhile has the vCPUs leave.
 */
#include "kvm/kvm.h"

#include <errno.h>
#include <sys/ioctl.h>

static u32 ring_last(const struct kvm_coalesced_mmio_ring *r)
{
    return __atomic_load_n(&r->last, __ATOMIC_ACQUIRE);
}

bool kvm_late_any(struct engine *en)
{
    const struct kvm_coalesced_mmio_ring *r = en->ring;

    return r && __atomic_load_n(&r->first, __ATOMIC_RELAXED) != ring_last(r);
}

void kvm_late_drain(struct engine *en)
{
    struct kvm_coalesced_mmio_ring *r = en->ring;

    if (likely(!kvm_late_any(en)))
        return;
    pthread_mutex_lock(&en->ring_lock);
    for (u32 at = r->first; at != ring_last(r) && at < KVM_COALESCED_MMIO_MAX;) {
        const struct kvm_coalesced_mmio *m = &r->coalesced_mmio[at];
        kvm_mmio_write(en->vm, m->phys_addr, m->data, m->len);
        at = (at + 1) % KVM_COALESCED_MMIO_MAX;
        __atomic_store_n(&r->first, at, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&en->ring_lock);
}

static void tell(struct engine *en, const struct kvm_zone *z, unsigned long what)
{
    struct kvm_coalesced_mmio_zone c = {.addr = z->gpa, .size = (u32)z->size};

    ioctl(en->fd, what, &c); /* a zone that is not there makes exits, no harm */
}

static bool has(const struct kvm_zone *list, unsigned count, const struct kvm_zone *z)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i].gpa == z->gpa && list[i].size == z->size)
            return true;
    return false;
}

void kvm_late_sync(struct engine *en)
{
    struct bus *b = &en->vm->mmio;
    struct kvm_zone next[KVM_ZONES_MAX];
    unsigned count = 0;

    if (!en->ring)
        return;
    pthread_mutex_lock(&b->lock);
    const struct bus_table *t = &b->table[b->seq & 1];
    for (unsigned i = 0; i < t->count && count < KVM_ZONES_MAX; i++)
        if (t->range[i].region->late)
            next[count++] = (struct kvm_zone){t->range[i].base, t->range[i].region->size};
    pthread_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < en->nzones; i++)
        if (!has(next, count, &en->zone[i]))
            tell(en, &en->zone[i], KVM_UNREGISTER_COALESCED_MMIO);
    for (unsigned i = 0; i < count; i++)
        if (!has(en->zone, en->nzones, &next[i]))
            tell(en, &next[i], KVM_REGISTER_COALESCED_MMIO);
    for (unsigned i = 0; i < count; i++)
        en->zone[i] = next[i];
    en->nzones = count;
}
