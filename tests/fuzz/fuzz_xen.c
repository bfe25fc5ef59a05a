/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls of a hostile guest.  The input is a list of steps of 8 bytes: the first says what to
 * do, the rest with what.
 *
 *     0x00-0x7f  hypercall of this number; bytes 1-5 choose its arguments, 6 the processor
 *     0x80-0xbf  four bytes into memory at a place where arguments lie
 *     0xc0-0xdf  console input
 *     0xe0-0xef  a hypercall page
 *     0xf0-0xff  reset
 */
#include "../unit/pv/domain.h"

#include "base/endian.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STEP = 8, STEPS_MAX = 400, WINDOW = 0x10000 };

/* Small numbers, addresses of the window, and far-off values, from one byte. */
static u64 argument(u8 b)
{
    switch (b >> 6) {
    case 0:
        return b;
    case 1:
        return (u64)(b & 63) * 64;
    case 2:
        return WINDOW + (u64)(b & 63) * 8 - 64;
    default:
        return b & 1 ? UINT64_MAX - (b >> 1 & 31) : DOMAIN_RAM - (b & 63);
    }
}

static void step(struct domain *d, const u8 *s)
{
    if (s[0] < 0x80) {
        domain_call_on(d, s[6] & 1, s[0], argument(s[1]), argument(s[2]), argument(s[3]),
                       argument(s[4]));
        if (d->vm.vcpu[0].intc.ack)
            d->vm.vcpu[s[6] & 1].intc.ack(d->vm.vcpu[s[6] & 1].intc.opaque);
    } else if (s[0] < 0xc0) {
        u64 at = (u64)(s[0] & 1) * WINDOW + (le16_get(s + 1) & 0x3fff);
        if (s[0] & 2) /* a shared page of ours */
            memcpy(d->x->special[s[0] >> 2 & 7] + (le16_get(s + 1) & 0xffc), s + 4, 4);
        else
            memcpy(d->vm.mem.hva + at, s + 4, 4);
    } else if (s[0] < 0xe0) {
        d->console.input(d->console.opaque, s + 1, s[0] & 7);
    } else if (s[0] < 0xf0) {
        xen_wrmsr(d->x, d->vm.vcpu, 0x40000000, argument(s[1]) << (s[2] & 31));
    } else {
        xen_reset(d->x);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct domain *d;

    if (!d) {
        d = malloc(sizeof(*d));
        domain_open(d, 2, NULL);
    }
    lapic_bus_reset(&d->lapics);
    xen_reset(d->x);
    memset(d->vm.mem.hva, 0, 0x20000);
    d->vm.end = VM_RUNNING;
    for (unsigned i = 0; i < STEPS_MAX && size >= STEP; i++, data += STEP, size -= STEP)
        step(d, data);
    return 0;
}
