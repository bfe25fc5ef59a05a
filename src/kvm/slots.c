/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * KVM's memory slots, made of the machine's map of memory (core/bus.h), and their dirty logs.
 *
 * A region whose reads and writes go to one place is a slot; one whose writes go elsewhere or
 * nowhere (ROM, shadow RAM on its way) is a read-only slot, and its writes come to the bus.  What
 * cannot be read has no slot.  While the A20 gate is shut, the second MiB shows the first.
 *
 * The log of a slot begins when mem_watch() first asks for it; what came before counts as written.
 */
#include "kvm/kvm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

struct wanted {
    struct kvm_slot slot[KVM_SLOTS_MAX];
    unsigned count;
};

static void want(struct wanted *w, u64 gpa, u64 size, u8 *hva, bool readonly)
{
    u64 skip = align_up(gpa, PAGE_SIZE) - gpa;

    if (size < skip + PAGE_SIZE || w->count == KVM_SLOTS_MAX)
        return;
    gpa += skip;
    hva += skip;
    size = align_down(size - skip, PAGE_SIZE);
    if ((u64)hva & PAGE_MASK)
        return; /* in pages of their own only */
    w->slot[w->count++] =
        (struct kvm_slot){.gpa = gpa, .size = size, .hva = hva, .readonly = readonly};
}

/* The part of a region in [from, to), shown `shift` higher than it is. */
static void want_part(struct wanted *w, const struct bus_range *b, u64 from, u64 to, u64 shift)
{
    const struct region *r = b->region;
    u64 base = max(b->base, from), end = min(b->last + 1, to);

    if (!r->ops && r->hva && base < end)
        want(w, base + shift, end - base, r->hva + (base - b->base), r->whva != r->hva);
}

static void want_map(struct wanted *w, struct vm *vm)
{
    struct bus *b = &vm->mmio;
    bool a20 = __atomic_load_n(&vm->a20_mask, __ATOMIC_ACQUIRE) == UINT64_MAX;

    w->count = 0;
    pthread_mutex_lock(&b->lock);
    const struct bus_table *t = &b->table[b->seq & 1];
    for (unsigned i = 0; i < t->count; i++) {
        const struct bus_range *r = &t->range[i];
        if (a20) {
            want_part(w, r, 0, UINT64_MAX, 0);
        } else {
            want_part(w, r, 0, MIB, 0);
            want_part(w, r, 0, MIB, MIB);
            want_part(w, r, 2 * MIB, UINT64_MAX, 0);
        }
    }
    pthread_mutex_unlock(&b->lock);
}

static bool same(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->gpa == b->gpa && a->size == b->size && a->hva == b->hva && a->readonly == b->readonly;
}

static int give(struct engine *en, unsigned id, const struct kvm_slot *s, u64 size)
{
    struct kvm_userspace_memory_region r = {
        .slot = id,
        .flags = (s->readonly ? KVM_MEM_READONLY : 0) | (s->logging ? KVM_MEM_LOG_DIRTY_PAGES : 0),
        .guest_phys_addr = s->gpa,
        .memory_size = size,
        .userspace_addr = (u64)s->hva,
    };
    if (!ioctl(en->fd, KVM_SET_USER_MEMORY_REGION, &r))
        return 0;
    int code = errno;
    fprintf(stderr, "wirt: KVM takes no memory slot of %#llx bytes at %#llx: %s\n",
            (unsigned long long)size, (unsigned long long)s->gpa, strerror(code));
    return -code;
}

static void written(struct mem *m, const u8 *hva)
{
    u64 page = (u64)(hva - m->hva) >> PAGE_SHIFT;

    __atomic_fetch_and(&m->page_flags[page], (u8)~PAGE_WATCH, __ATOMIC_SEQ_CST);
}

/* Takes what the slot's log holds over into mem.page_flags. */
static void harvest(struct engine *en, unsigned id)
{
    const struct kvm_slot *s = &en->slot[id];
    u64 pages = s->size >> PAGE_SHIFT;
    u64 *bits = calloc(align_up(pages, 64) / 64, sizeof(u64));
    struct kvm_dirty_log log = {.slot = id, .dirty_bitmap = bits};
    bool known = bits && !ioctl(en->fd, KVM_GET_DIRTY_LOG, &log);

    for (u64 n = 0; n < pages; n++)
        if (!known || bits[n / 64] >> (n % 64) & 1)
            written(&en->vm->mem, s->hva + (n << PAGE_SHIFT));
    free(bits);
}

static int drop(struct engine *en, unsigned id)
{
    struct kvm_slot *s = &en->slot[id];

    if (s->logging)
        harvest(en, id);
    int r = give(en, id, s, 0);
    s->size = 0;
    s->logging = false;
    return r;
}

static bool find(const struct wanted *w, const struct kvm_slot *s)
{
    for (unsigned i = 0; i < w->count; i++)
        if (same(&w->slot[i], s))
            return true;
    return false;
}

static int add(struct engine *en, const struct kvm_slot *s)
{
    unsigned id = 0;

    for (unsigned i = 0; i < en->nslots; i++)
        if (en->slot[i].size && same(&en->slot[i], s))
            return 0;
    while (id < en->nslots && en->slot[id].size)
        id++;
    if (id == KVM_SLOTS_MAX)
        return -ENOSPC;
    en->slot[id] = *s;
    en->nslots = max(en->nslots, id + 1);
    int r = give(en, id, s, s->size);
    if (r)
        en->slot[id].size = 0;
    return r;
}

int kvm_slots_sync(struct engine *en)
{
    struct wanted *w = malloc(sizeof(*w));
    int r = w ? 0 : -ENOMEM;

    if (w)
        want_map(w, en->vm);
    for (unsigned i = 0; !r && i < en->nslots; i++)
        if (en->slot[i].size && !find(w, &en->slot[i]))
            r = drop(en, i);
    for (unsigned i = 0; !r && i < w->count; i++)
        r = add(en, &w->slot[i]);
    free(w);
    kvm_late_sync(en);
    kvm_bells_sync(en);
    return r;
}

void kvm_dirty_log(struct engine *en, u64 ram_off, u64 len)
{
    struct mem *m = &en->vm->mem;

    pthread_mutex_lock(&en->lock);
    for (unsigned i = 0; i < en->nslots; i++) {
        struct kvm_slot *s = &en->slot[i];
        u64 off = (u64)(s->hva - m->hva);
        if (!s->size || s->readonly || off >= ram_off + len || ram_off >= off + s->size)
            continue;
        if (s->logging) {
            harvest(en, i);
            continue;
        }
        s->logging = true;
        if (give(en, i, s, s->size))
            s->logging = false;
        for (u64 n = 0; n < s->size; n += PAGE_SIZE)
            written(m, s->hva + n);
    }
    pthread_mutex_unlock(&en->lock);
}
