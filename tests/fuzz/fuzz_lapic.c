/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two local APICs, the I/O APIC and the PIC, wired as on the board.
 */
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "dev/lapic.h"
#include "lone.h"

enum { CPUS = 2 };

struct apics {
    struct vcpu vcpu[CPUS];
    struct lapic_bus bus;
    struct ioapic ioapic;
    struct i8259 pic;
};

static void op(struct lone *l)
{
    struct apics *a = l->opaque;
    u8 b = lone_u8(l);
    struct vcpu *v = &a->vcpu[b >> 7];
    struct vcpu_intc *in = &v->intc;
    u64 val = 0;
    int vector;

    switch (b & 15) {
    case 0:
        vector = in->ack(in->opaque);
        BUG_ON(vector < -1 || vector > 255);
        break;
    case 1:
        in->set_base(in->opaque, lone_u64(l));
        break;
    case 2:
        in->set_base(in->opaque, 0xfee00000 | (lone_u8(l) & 0xf) << 8);
        break;
    case 3:
        in->set_tpr(in->opaque, lone_u8(l));
        BUG_ON(in->get_tpr(in->opaque) > 15);
        break;
    case 4:
        in->rdmsr(in->opaque, 0x800 + lone_u8(l), &val);
        break;
    case 5:
    case 6:
        val = lone_u8(l);
        in->wrmsr(in->opaque, 0x800 + val, lone_u64(l));
        break;
    case 7:
        in->wrmsr(in->opaque, 0x6e0, clock_tsc(l->clock) + lone_u32(l));
        break;
    case 8:
        in->init(in->opaque);
        break;
    case 9:
        val = lone_u32(l);
        lapic_msi(&a->bus, 0xfee00000 | val, lone_u32(l));
        break;
    case 10:
    case 11:
        ioapic_set(&a->ioapic, lone_u8(l) & 31, b & 0x40);
        break;
    case 12:
        i8259_set(&a->pic, lone_u8(l) & 15, b & 0x40);
        break;
    case 13:
        lapic_lint1(&a->bus, 0, b & 0x40);
        break;
    case 14: /* the other processor's turn */
        a->vcpu[0].thread = b & 0x40 ? pthread_self() : 0;
        a->vcpu[1].thread = b & 0x40 ? 0 : pthread_self();
        break;
    default:
        v->events &= VCPU_INTR;
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lone *l = lone_begin(data, size);
    struct apics a;

    memset(&a, 0, sizeof(a));
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_mutex_init(&a.vcpu[i].lock, NULL);
        pthread_cond_init(&a.vcpu[i].wake, NULL);
    }
    i8259_init(&a.pic, (struct irq){lapic_lint0, &a.bus, 0}, &l->trace);
    lapic_bus_init(&a.bus, a.vcpu, CPUS, l->clock, &a.pic, &l->trace);
    ioapic_init(&a.ioapic, 0, (struct msi_sink){lapic_msi, &a.bus}, &l->trace);
    a.bus.eoi = ioapic_eoi;
    a.bus.eoi_opaque = &a.ioapic;
    lone_add(l, &a.bus.region);
    lone_add(l, &a.ioapic.region);
    lone_add(l, &a.pic.region[0]);
    lone_add(l, &a.pic.region[1]);
    l->desc = &lapic_state;
    l->obj = &a.bus.lapic[1];
    l->opaque = &a;
    l->op = op;
    lone_run(l);
    lapic_bus_destroy(&a.bus);
    return 0;
}
