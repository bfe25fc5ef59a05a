/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/i8259.h"
#include "dev/ioapic.h"
#include "dev/lapic.h"
#include "fake.h"

enum { CPUS = 4, PAGE = 0xfee00000, X2 = 0x800, BASE_X2 = 0xc00 };

struct apic_test {
    struct fake *f;
    struct vcpu vcpu[CPUS];
    struct lapic_bus bus;
    struct ioapic ioapic;
    struct i8259 pic;
};

static int setup(void **state)
{
    struct apic_test *t = calloc(1, sizeof(*t));

    t->f = fake_new();
    for (unsigned i = 0; i < CPUS; i++) {
        pthread_mutex_init(&t->vcpu[i].lock, NULL);
        pthread_cond_init(&t->vcpu[i].wake, NULL);
    }
    i8259_init(&t->pic, (struct irq){lapic_lint0, &t->bus, 0}, &t->f->trace);
    lapic_bus_init(&t->bus, t->vcpu, CPUS, t->f->clock, &t->pic, &t->f->trace);
    ioapic_init(&t->ioapic, 1, (struct msi_sink){lapic_msi, &t->bus, lapic_msi_pending},
                &t->f->trace);
    t->bus.eoi = ioapic_eoi;
    t->bus.eoi_opaque = &t->ioapic;
    bus_map(&t->f->mmio, &t->bus.region, PAGE);
    bus_map(&t->f->mmio, &t->ioapic.region, 0xfec00000);
    bus_map(&t->f->pio, &t->pic.region[0], 0x20);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct apic_test *t = *state;

    lapic_bus_destroy(&t->bus);
    fake_free(t->f);
    free(t);
    return 0;
}

/* Registers of CPU n's APIC. */
static void put(struct apic_test *t, unsigned n, u32 reg, u32 val)
{
    for (unsigned i = 0; i < CPUS; i++)
        t->vcpu[i].thread = i == n ? pthread_self() : 0;
    bus_write(&t->f->mmio, PAGE + reg, 4, val);
}

static u32 get(struct apic_test *t, unsigned n, u32 reg)
{
    for (unsigned i = 0; i < CPUS; i++)
        t->vcpu[i].thread = i == n ? pthread_self() : 0;
    return bus_read(&t->f->mmio, PAGE + reg, 4);
}

static bool wrmsr(struct apic_test *t, unsigned n, u32 msr, u64 val)
{
    return t->vcpu[n].intc.wrmsr(t->vcpu[n].intc.opaque, msr, val);
}

static u64 rdmsr(struct apic_test *t, unsigned n, u32 msr)
{
    u64 v = 0;

    assert_true(t->vcpu[n].intc.rdmsr(t->vcpu[n].intc.opaque, msr, &v));
    return v;
}

static int ack(struct apic_test *t, unsigned n)
{
    return t->vcpu[n].intc.ack(t->vcpu[n].intc.opaque);
}

static bool raised(struct apic_test *t, unsigned n)
{
    return t->vcpu[n].events & VCPU_INTR;
}

static void enable(struct apic_test *t)
{
    for (unsigned i = 0; i < CPUS; i++)
        put(t, i, 0xf0, 0x1ff);
}

static void enable_x2apic(struct apic_test *t)
{
    for (unsigned i = 0; i < CPUS; i++) {
        void *o = t->vcpu[i].intc.opaque;
        assert_true(t->vcpu[i].intc.set_base(o, t->vcpu[i].intc.get_base(o) | BASE_X2));
        assert_true(wrmsr(t, i, X2 + 0xf, 0x1ff));
    }
}

static void registers_at_reset(void **state)
{
    struct apic_test *t = *state;

    assert_int_equal(get(t, 2, 0x20), 2u << 24);
    assert_int_equal(get(t, 0, 0x30), 0x50014);
    assert_int_equal(get(t, 0, 0xf0), 0xff);
    assert_int_equal(get(t, 0, 0xe0), 0xffffffff);
    assert_int_equal(get(t, 0, 0x350), 0x700);
    assert_int_equal(get(t, 1, 0x350), 0x10000);
    assert_int_equal(t->vcpu[0].intc.get_base(t->vcpu[0].intc.opaque), 0xfee00900);
    assert_int_equal(t->vcpu[1].intc.get_base(t->vcpu[1].intc.opaque), 0xfee00800);
}

static void priorities(void **state)
{
    struct apic_test *t = *state;

    enable(t);
    lapic_msi(&t->bus, PAGE | 1 << 12, 0x45);
    lapic_msi(&t->bus, PAGE | 1 << 12, 0x81);
    assert_true(raised(t, 1));
    assert_false(raised(t, 0));
    assert_int_equal(ack(t, 1), 0x81);
    assert_false(raised(t, 1));
    assert_int_equal(get(t, 1, 0xa0), 0x80);
    put(t, 1, 0xb0, 0);
    assert_true(raised(t, 1));
    t->vcpu[1].intc.set_tpr(t->vcpu[1].intc.opaque, 4);
    assert_false(raised(t, 1));
    assert_int_equal(ack(t, 1), -1);
    put(t, 1, 0x80, 0x3f);
    assert_int_equal(ack(t, 1), 0x45);
}

static void disabled_takes_nothing(void **state)
{
    struct apic_test *t = *state;

    lapic_msi(&t->bus, PAGE | 1 << 12, 0x45);
    assert_false(raised(t, 1));
    put(t, 1, 0xf0, 0x1ff);
    put(t, 1, 0x320, 0x45);
    put(t, 1, 0xf0, 0xff);
    assert_int_equal(get(t, 1, 0x320), 0x10045); /* masked by the way */
}

static void ipis(void **state)
{
    struct apic_test *t = *state;

    enable(t);
    put(t, 0, 0x310, 2u << 24);
    put(t, 0, 0x300, 0x4050);
    assert_int_equal(ack(t, 2), 0x50);
    put(t, 2, 0xb0, 0);
    put(t, 0, 0x300, 0xc4051); /* all but self */
    assert_false(raised(t, 0));
    for (unsigned i = 1; i < CPUS; i++)
        assert_true(raised(t, i));
    put(t, 0, 0x300, 0x44052); /* self */
    assert_int_equal(ack(t, 0), 0x52);
    put(t, 0, 0x300, 0x4400 | 0x80000);
    assert_true(t->vcpu[0].events & VCPU_NMI);
    assert_true(t->vcpu[3].events & VCPU_NMI);
    put(t, 0, 0x310, 3u << 24);
    put(t, 0, 0x300, 0xc500);
    assert_true(t->vcpu[3].events & VCPU_INIT);
    t->vcpu[3].events = 0;
    put(t, 0, 0x300, 0x8500); /* deassert */
    assert_false(t->vcpu[3].events & VCPU_INIT);
    put(t, 0, 0x300, 0x4699);
    assert_true(t->vcpu[3].events & VCPU_SIPI);
    assert_int_equal(t->vcpu[3].sipi_vector, 0x99);
}

static void logical_destinations(void **state)
{
    struct apic_test *t = *state;

    enable(t);
    for (unsigned i = 0; i < CPUS; i++)
        put(t, i, 0xd0, BIT(24 + i));
    put(t, 0, 0x310, 0x0au << 24);
    put(t, 0, 0x300, 0x4860); /* flat: CPUs 1 and 3 */
    assert_false(raised(t, 0) || raised(t, 2));
    assert_int_equal(ack(t, 1), 0x60);
    assert_int_equal(ack(t, 3), 0x60);
    for (unsigned i = 0; i < CPUS; i++) {
        put(t, i, 0xb0, 0);
        put(t, i, 0xe0, 0x0fffffff);
        put(t, i, 0xd0, (i / 2) << 28 | BIT(24 + i % 2));
    }
    put(t, 0, 0x310, 0x12u << 24);
    put(t, 0, 0x300, 0x4861); /* cluster 1, member 1: CPU 3 */
    assert_false(raised(t, 0) || raised(t, 1) || raised(t, 2));
    assert_int_equal(ack(t, 3), 0x61);
}

static void lowest_priority_takes_turns(void **state)
{
    struct apic_test *t = *state;
    unsigned hit = 0;

    enable(t);
    for (unsigned i = 0; i < CPUS; i++)
        put(t, i, 0xd0, BIT(24 + i));
    for (unsigned n = 0; n < 128; n++) {
        unsigned now = 0;
        lapic_msi(&t->bus, PAGE | 0xff << 12 | 0xc, 0x170);
        for (unsigned i = 0; i < CPUS; i++) {
            if (!raised(t, i))
                continue;
            now++;
            hit |= BIT(i);
            assert_int_equal(ack(t, i), 0x70);
            put(t, i, 0xb0, 0);
        }
        assert_int_equal(now, 1);
    }
    assert_int_equal(hit, 0xf);
}

static void errors(void **state)
{
    struct apic_test *t = *state;

    enable(t);
    put(t, 0, 0x370, 0xfe);
    put(t, 0, 0x300, 0x4005); /* illegal vector */
    assert_int_equal(ack(t, 0), 0xfe);
    assert_int_equal(get(t, 0, 0x280), 0);
    put(t, 0, 0x280, 0);
    assert_int_equal(get(t, 0, 0x280), 0x20);
    put(t, 0, 0x280, 0);
    assert_int_equal(get(t, 0, 0x280), 0);
}

static void timer_one_shot_and_periodic(void **state)
{
    struct apic_test *t = *state;
    unsigned n = 0;

    enable(t);
    put(t, 1, 0x3e0, 0x3); /* by 16 */
    put(t, 1, 0x320, 0x40);
    put(t, 1, 0x380, 1000); /* 16 us */
    clock_advance(t->f->clock, 8000);
    assert_int_equal(get(t, 1, 0x390), 500);
    assert_false(raised(t, 1));
    clock_advance(t->f->clock, 8000);
    assert_int_equal(ack(t, 1), 0x40);
    put(t, 1, 0xb0, 0);
    assert_int_equal(get(t, 1, 0x390), 0);
    clock_advance(t->f->clock, NS_PER_SEC);
    assert_false(raised(t, 1));

    put(t, 1, 0x3e0, 0xb); /* by 1 */
    put(t, 1, 0x320, 0x20041);
    put(t, 1, 0x380, 1000000);
    for (unsigned i = 0; i < 100000; i++) {
        clock_advance(t->f->clock, 100000);
        if (raised(t, 1)) {
            assert_int_equal(ack(t, 1), 0x41);
            put(t, 1, 0xb0, 0);
            n++;
        }
    }
    assert_int_equal(n, 10000);
    put(t, 1, 0x320, 0x30041 | 0x10000);
    clock_advance(t->f->clock, NS_PER_SEC);
    assert_false(raised(t, 1));
}

static void timer_tsc_deadline(void **state)
{
    struct apic_test *t = *state;
    u64 deadline;

    enable(t);
    put(t, 0, 0x320, 0x40042);
    deadline = clock_tsc(t->f->clock) + clock_tsc_hz(t->f->clock) / 1000;
    assert_true(wrmsr(t, 0, 0x6e0, deadline));
    assert_int_equal(rdmsr(t, 0, 0x6e0), deadline);
    clock_advance(t->f->clock, 990000);
    assert_false(raised(t, 0));
    clock_advance(t->f->clock, 20000);
    assert_int_equal(ack(t, 0), 0x42);
    put(t, 0, 0xb0, 0);
    assert_int_equal(rdmsr(t, 0, 0x6e0), 0);
    assert_true(wrmsr(t, 0, 0x6e0, 1)); /* long past */
    assert_true(raised(t, 0));
}

static void x2apic_mode(void **state)
{
    struct apic_test *t = *state;
    void *o = t->vcpu[1].intc.opaque;
    u64 v;

    assert_false(t->vcpu[1].intc.rdmsr(o, X2 + 2, &v));
    enable_x2apic(t);
    assert_int_equal(get(t, 1, 0x20), 0xffffffff);
    assert_int_equal(rdmsr(t, 1, X2 + 2), 1);
    assert_int_equal(rdmsr(t, 3, X2 + 0xd), 8);
    assert_true(wrmsr(t, 0, X2 + 0x30, 0x300004055ull));
    assert_int_equal(ack(t, 3), 0x55);
    assert_true(wrmsr(t, 0, X2 + 0x30, 0x600004856ull)); /* logical, cluster 0, members 1 and 2 */
    assert_int_equal(ack(t, 1), 0x56);
    assert_int_equal(ack(t, 2), 0x56);
    assert_true(wrmsr(t, 0, X2 + 0x3f, 0x57));
    assert_int_equal(ack(t, 0), 0x57);
    assert_false(wrmsr(t, 0, X2 + 0xb, 1));
    assert_true(wrmsr(t, 0, X2 + 0xb, 0));
    assert_true(wrmsr(t, 0, X2 + 0xf, 0x3ff)); /* Xen's focus bit */
    assert_int_equal(rdmsr(t, 0, X2 + 0xf), 0x3ff);
    assert_false(wrmsr(t, 0, X2 + 0xf, 0x5ff));
    assert_false(wrmsr(t, 0, X2 + 0xe, 0));
    assert_false(wrmsr(t, 0, X2 + 0x31, 0));
    assert_false(wrmsr(t, 0, X2 + 0x8, 0x100));
    assert_false(t->vcpu[1].intc.set_base(o, 0xfee00800)); /* not back without "disabled" */
    assert_true(t->vcpu[1].intc.set_base(o, 0xfee00000));
    assert_false(t->vcpu[1].intc.set_base(o, 0xfee00c00));
    assert_true(t->vcpu[1].intc.set_base(o, 0xfee00800));
}

static void virtual_wire(void **state)
{
    struct apic_test *t = *state;

    out8(t->f, 0x20, 0x11);
    out8(t->f, 0x21, 0x08);
    out8(t->f, 0x21, 0x04);
    out8(t->f, 0x21, 0x01);
    i8259_set(&t->pic, 0, true);
    assert_true(raised(t, 0));
    assert_false(raised(t, 1));
    assert_int_equal(ack(t, 0), 0x08);
    assert_false(raised(t, 0));
    out8(t->f, 0x20, 0x20);
    put(t, 0, 0xf0, 0x1ff);
    put(t, 0, 0x350, 0x10700);
    i8259_set(&t->pic, 0, false);
    i8259_set(&t->pic, 0, true);
    assert_false(raised(t, 0));
    put(t, 0, 0x350, 0x700);
    assert_true(raised(t, 0));
}

static void nmi_by_lint1(void **state)
{
    struct apic_test *t = *state;

    lapic_lint1(&t->bus, 0, true);
    assert_int_equal(t->vcpu[0].events & VCPU_NMI, 0);
    enable(t);
    put(t, 0, 0x360, 0x400);
    lapic_lint1(&t->bus, 0, true);
    assert_true(t->vcpu[0].events & VCPU_NMI);
}

static void io_write(struct apic_test *t, u32 reg, u32 val)
{
    bus_write(&t->f->mmio, 0xfec00000, 4, reg);
    bus_write(&t->f->mmio, 0xfec00010, 4, val);
}

static u32 io_read(struct apic_test *t, u32 reg)
{
    bus_write(&t->f->mmio, 0xfec00000, 4, reg);
    return bus_read(&t->f->mmio, 0xfec00010, 4);
}

static void ioapic_edge(void **state)
{
    struct apic_test *t = *state;

    enable(t);
    assert_int_equal(io_read(t, 1), 0x170020);
    assert_int_equal(io_read(t, 0), 1u << 24);
    ioapic_set(&t->ioapic, 4, true);
    ioapic_set(&t->ioapic, 4, false);
    io_write(t, 0x19, 2u << 24);
    io_write(t, 0x18, 0x34);
    assert_false(raised(t, 2)); /* an edge on a masked pin is lost */
    assert_false(ioapic_pending(&t->ioapic, 4));
    ioapic_set(&t->ioapic, 4, true);
    assert_true(ioapic_pending(&t->ioapic, 4));
    assert_int_equal(ack(t, 2), 0x34);
    assert_false(ioapic_pending(&t->ioapic, 4)); /* in service: another edge has room in IRR */
    put(t, 2, 0xb0, 0);
    assert_false(raised(t, 2));
}

static void ioapic_level(void **state)
{
    struct apic_test *t = *state;

    enable(t);
    ioapic_set(&t->ioapic, 11, true);
    io_write(t, 0x27, 0);
    io_write(t, 0x26, 0x8035);
    assert_int_equal(ack(t, 0), 0x35);
    assert_int_equal(io_read(t, 0x26), 0xc035); /* remote IRR */
    assert_int_equal(get(t, 0, 0x180 + 0x10), 1u << (0x35 - 32));
    put(t, 0, 0xb0, 0);
    assert_int_equal(ack(t, 0), 0x35); /* still high */
    ioapic_set(&t->ioapic, 11, false);
    put(t, 0, 0xb0, 0);
    assert_false(raised(t, 0));
    assert_int_equal(io_read(t, 0x26), 0x8035);
    ioapic_set(&t->ioapic, 11, true);
    assert_int_equal(ack(t, 0), 0x35);
    ioapic_set(&t->ioapic, 11, false);
    bus_write(&t->f->mmio, 0xfec00040, 4, 0x35); /* the EOI register */
    assert_int_equal(io_read(t, 0x26), 0x8035);
}

static void state_round_trip(void **state)
{
    struct apic_test *t = *state;
    u8 buf[1024];

    enable(t);
    lapic_msi(&t->bus, PAGE | 1 << 12, 0x45);
    assert_true(state_size(&lapic_state) <= sizeof(buf));
    state_save(&lapic_state, &t->bus.lapic[1], buf);
    lapic_bus_reset(&t->bus);
    assert_false(raised(t, 1));
    assert_int_equal(
        state_load(&lapic_state, &t->bus.lapic[1], buf, state_size(&lapic_state), NULL), 0);
    assert_int_equal(ack(t, 1), 0x45);
}

/* ---- an engine that has the APICs itself ---- */

struct host {
    u64 addr;
    u32 data;
    unsigned sent, routed;
};

static void host_send(void *opaque, u64 addr, u32 data)
{
    struct host *h = opaque;

    h->addr = addr;
    h->data = data;
    h->sent++;
}

static void host_routed(void *opaque)
{
    ((struct host *)opaque)->routed++;
}

static void messages_go_to_the_host(void **state)
{
    static const struct lapic_host_ops ops = {.send = host_send, .routed = host_routed};
    struct apic_test *t = *state;
    struct host h = {0};

    t->ioapic.route = lapic_route;
    t->ioapic.route_opaque = &t->bus;
    enable(t);
    t->bus.host_opaque = &h;
    t->bus.host = &ops;
    lapic_msi(&t->bus, PAGE | 3 << 12, 0x4045);
    assert_int_equal(h.sent, 1);
    assert_int_equal(h.addr, PAGE | 3 << 12);
    assert_int_equal(h.data, 0x4045);
    assert_false(raised(t, 3));
    assert_false(lapic_msi_pending(&t->bus, PAGE | 3 << 12, 0x4045));

    /* Level-triggered input 5 for CPU 2, still masked: the host must know the vector. */
    bus_write(&t->f->mmio, 0xfec00000, 4, 0x1b);
    bus_write(&t->f->mmio, 0xfec00010, 4, 2u << 24);
    bus_write(&t->f->mmio, 0xfec00000, 4, 0x1a);
    bus_write(&t->f->mmio, 0xfec00010, 4, 0x18061);
    assert_int_equal(h.routed, 2);
    assert_int_equal(t->bus.route[5].addr, PAGE | 2 << 12);
    assert_int_equal(t->bus.route[5].data, 0xc061);
    bus_write(&t->f->mmio, 0xfec00010, 4, 0x8061);
    assert_int_equal(h.routed, 2);
    h.sent = 0;
    ioapic_set(&t->ioapic, 5, true);
    assert_int_equal(h.sent, 1);
    ioapic_eoi(&t->ioapic, 0x61);
    assert_int_equal(h.sent, 2);

    /* The PIC's interrupt comes to the boot processor whatever its registers said here. */
    put(t, 0, 0x350, 0x10700);
    lapic_lint0(&t->bus, 0, true);
    assert_true(raised(t, 0));
    assert_false(raised(t, 1));
    lapic_lint0(&t->bus, 0, false);
    assert_false(raised(t, 0));

    t->bus.host = NULL;
    lapic_msi(&t->bus, PAGE | 3 << 12, 0x4045);
    assert_int_equal(ack(t, 3), 0x45);
}

static void timers_move(void **state)
{
    struct apic_test *t = *state;
    struct lapic *l = &t->bus.lapic[1];

    enable(t);
    put(t, 1, 0x3e0, 3); /* by 16 */
    put(t, 1, 0x320, 0x51);
    put(t, 1, 0x380, 1000);
    clock_advance(t->f->clock, 4000);
    assert_int_equal(lapic_give(l), 0);
    assert_int_equal(l->timer_left, 750);
    clock_advance(t->f->clock, 100000); /* it does not run here */
    assert_false(raised(t, 1));
    l->timer_left = 600;
    lapic_take(l, 0);
    lapic_taken(l);
    assert_int_equal(get(t, 1, 0x390), 600);
    clock_advance(t->f->clock, 600 * 16 - 1);
    assert_false(raised(t, 1));
    clock_advance(t->f->clock, 1);
    assert_int_equal(ack(t, 1), 0x51);
    put(t, 1, 0xb0, 0);

    /* Run out in the host: whether the guest saw it is not known. */
    lapic_give(l);
    assert_int_equal(l->timer_left, 0);
    lapic_take(l, 0);
    lapic_taken(l);
    clock_advance(t->f->clock, 16);
    assert_int_equal(ack(t, 1), 0x51);
    put(t, 1, 0xb0, 0);

    put(t, 1, 0x320, 0x40052); /* TSC deadline */
    assert_true(wrmsr(t, 1, 0x6e0, clock_tsc(t->f->clock) + clock_tsc_hz(t->f->clock)));
    u64 deadline = lapic_give(l);
    assert_int_not_equal(deadline, 0);
    clock_advance(t->f->clock, 2 * NS_PER_SEC);
    assert_false(raised(t, 1));
    lapic_take(l, deadline);
    lapic_taken(l);
    clock_advance(t->f->clock, 1);
    assert_int_equal(ack(t, 1), 0x52);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(registers_at_reset),
        TEST(priorities),
        TEST(disabled_takes_nothing),
        TEST(ipis),
        TEST(logical_destinations),
        TEST(lowest_priority_takes_turns),
        TEST(errors),
        TEST(timer_one_shot_and_periodic),
        TEST(timer_tsc_deadline),
        TEST(x2apic_mode),
        TEST(virtual_wire),
        TEST(nmi_by_lint1),
        TEST(ioapic_edge),
        TEST(ioapic_level),
        TEST(state_round_trip),
        TEST(messages_go_to_the_host),
        TEST(timers_move),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
