/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the engine kvm asks of /dev/kvm beside running code: local APICs there and back, messages,
 * doorbells.  Skipped where /dev/kvm is not there or lacks what is asked for.  Code is in real mode
 * and plain, so that a KVM that only emulates will do.
 */
#include "core/vm.h"
#include "cpu/exception.h"
#include "dev/ioapic.h"
#include "dev/lapic.h"
#include "kvm/kvm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cmocka.h>

enum { CPUS = 2, PORT_BELL = 0x100, PORT_END = 0x200, CODE = 0x1000 };

struct machine {
    struct vm vm;
    struct lapic_bus apics;
    struct ioapic ioapic;
    struct region ram, bell_ports, end_port;
    struct doorbell bell;
    unsigned rung; /* writes that the region itself saw */
    u32 last;
};

static u64 read_ones(void *opaque, u64 off, unsigned size)
{
    return UINT64_MAX;
}

static void bell_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct machine *m = opaque;

    m->rung++;
    m->last = (u32)v;
}

static void end_write(void *opaque, u64 off, unsigned size, u64 v)
{
    struct machine *m = opaque;

    vcpu_raise(&m->vm.vcpu[0], VCPU_PAUSE);
}

static const struct region_ops bell_ops = {.read = read_ones, .write = bell_write};
static const struct region_ops end_ops = {.read = read_ones, .write = end_write};

/* Real mode at CODE. */
static void start_state(struct cpu_state *s, bool bsp)
{
    cpu_state_reset(s, bsp);
    s->seg[CS].base = s->seg[CS].sel = 0;
    s->rip = CODE;
}

static int setup_with(void **state, enum irqchip irqchip)
{
    struct machine *m = calloc(1, sizeof(*m));
    const struct cpu_config cpu = {.count = CPUS, .model = "qemu64", .irqchip = irqchip};
    struct cpu_state *s = aligned_alloc(64, align_up(sizeof(*s), 64));
    struct err e = {0};

    assert_non_null(m);
    assert_non_null(s);
    assert_int_equal(vm_init(&m->vm, "test", 2 * MIB, &e), 0);
    if (vm_open_cpus(&m->vm, &engine_kvm, &cpu, &e)) {
        print_message("%s\n", e.msg);
        vm_destroy(&m->vm);
        free(m);
        free(s);
        *state = NULL;
        return 0;
    }
    lapic_bus_init(&m->apics, m->vm.vcpu, CPUS, m->vm.clock, NULL, &m->vm.trace);
    ioapic_init(&m->ioapic, 0, (struct msi_sink){lapic_msi, &m->apics}, &m->vm.trace);
    m->apics.eoi = ioapic_eoi;
    m->apics.eoi_opaque = &m->ioapic;
    m->ioapic.route = lapic_route;
    m->ioapic.route_opaque = &m->apics;
    m->ram =
        (struct region){.name = "ram", .size = MIB, .hva = m->vm.mem.hva, .whva = m->vm.mem.hva};
    assert_int_equal(bus_map(&m->vm.mmio, &m->ram, 0), 0);
    m->bell = (struct doorbell){0, 7, true, eventfd(0, EFD_NONBLOCK)};
    m->bell_ports = (struct region){
        .name = "bell", .size = 2, .ops = &bell_ops, .opaque = m, .bell = &m->bell, .nbells = 1};
    m->end_port = (struct region){.name = "end", .size = 1, .ops = &end_ops, .opaque = m};
    assert_int_equal(bus_map(&m->vm.pio, &m->bell_ports, PORT_BELL), 0);
    assert_int_equal(bus_map(&m->vm.pio, &m->end_port, PORT_END), 0);
    for (unsigned i = 0; i < CPUS; i++) {
        start_state(s, i == 0);
        m->vm.engine->set_state(&m->vm.vcpu[i], s);
    }
    free(s);
    *state = m;
    return 0;
}

static int setup_split(void **state)
{
    return setup_with(state, IRQCHIP_SPLIT);
}

static int setup_user(void **state)
{
    return setup_with(state, IRQCHIP_USER);
}

static int teardown(void **state)
{
    struct machine *m = *state;

    if (!m)
        return 0;
    close(m->bell.fd);
    lapic_bus_destroy(&m->apics);
    vm_destroy(&m->vm);
    free(m);
    return 0;
}

static struct machine *machine_of(void **state)
{
    if (!*state)
        skip();
    return *state;
}

/* Runs code on the first processor until it writes to PORT_END. */
static void run(struct machine *m, const u8 *code, size_t len)
{
    struct vcpu *v = &m->vm.vcpu[0];
    struct cpu_state *s = aligned_alloc(64, align_up(sizeof(*s), 64));

    assert_non_null(s);
    m->vm.engine->get_state(v, s);
    s->rip = CODE;
    m->vm.engine->set_state(v, s);
    free(s);
    memcpy(m->vm.mem.hva + CODE, code, len);
    assert_int_equal(m->vm.engine->run(v), RUN_EVENT);
    vcpu_lower(v, VCPU_PAUSE);
    m->vm.engine->park(m->vm.e);
}

/* mov dx,PORT_END; out dx,al; jmp $ */
#define END 0xba, PORT_END & 0xff, PORT_END >> 8, 0xee, 0xeb, 0xfe

static void apics_there_and_back(void **state)
{
    static const u8 code[] = {END};
    struct machine *m = machine_of(state);
    struct lapic *l = &m->apics.lapic[1];

    l->svr = 0x1ff;
    l->tpr = 0x20;
    l->ldr = 2u << 24;
    l->dfr = 0xffffffff;
    l->isr[1] = BIT(2);
    l->irr[2] = BIT(5);
    l->lvt[LVT_ERROR] = 0xfe;
    l->lvt[LVT_TIMER] = 0x20051; /* periodic */
    l->timer_divide = 0xb;
    l->timer_initial = 0x80000000;
    l->timer_start = clock_now(m->vm.clock);
    m->apics.lapic[0].svr = 0x1ff;
    run(m, code, sizeof(code));
    assert_null(m->apics.host);
    assert_int_equal(l->base & 0xfffff900, 0xfee00800);
    assert_int_equal(l->svr, 0x1ff);
    assert_int_equal(l->tpr, 0x20);
    assert_int_equal(l->ldr, 2u << 24);
    assert_int_equal(l->isr[1], BIT(2));
    assert_int_equal(l->irr[2], BIT(5));
    assert_int_equal(l->lvt[LVT_ERROR], 0xfe);
    assert_int_equal(l->lvt[LVT_TIMER], 0x20051);
    assert_int_equal(l->timer_initial, 0x80000000);
    assert_in_range(l->timer_left, 1, 0x7fffffff);
    assert_true(m->apics.lapic[0].base & 1 << 8);
    assert_true(m->vm.vcpu[1].e->c.s.wait_sipi);
    assert_int_equal(m->vm.vcpu[0].e->c.s.rip, CODE + 4);
}

static void messages_arrive_in_either_place(void **state)
{
    static const u8 code[] = {END};
    struct machine *m = machine_of(state);
    struct lapic *l = &m->apics.lapic[1];
    struct cpu_state *s = &m->vm.vcpu[1].e->c.s;

    l->svr = m->apics.lapic[0].svr = 0x1ff;
    lapic_msi(&m->apics, 0xfee00000 | 1 << 12, 0x45); /* before KVM has them */
    run(m, code, sizeof(code));
    assert_int_equal(l->irr[2], BIT(5));

    /* INIT and SIPI that were on their way when the machine stood */
    l->irr[2] = 0;
    lapic_msi(&m->apics, 0xfee00000 | 1 << 12, 0x500);
    lapic_msi(&m->apics, 0xfee00000 | 1 << 12, 0x612);
    assert_true(s->wait_sipi);
    assert_int_equal(m->vm.vcpu[1].events & (VCPU_INIT | VCPU_SIPI), VCPU_INIT | VCPU_SIPI);
    run(m, code, sizeof(code));
    assert_false(m->vm.vcpu[1].events & (VCPU_INIT | VCPU_SIPI));
    assert_false(s->wait_sipi);
    assert_int_equal(s->seg[CS].sel, 0x1200);
    assert_int_equal(s->seg[CS].base, 0x12000);
    assert_int_equal(s->rip, 0);
    assert_int_equal(l->svr, 0xff); /* INIT has emptied it */
}

static void doorbells_ring(void **state)
{
    /* mov dx,PORT_BELL; mov ax,7; out dx,ax; inc ax; out dx,ax; then mov ax,7; out dx,al */
    static const u8 code[] = {
        0xba, PORT_BELL & 0xff, PORT_BELL >> 8, 0xb8, 7, 0, 0xef, 0x40, 0xef, 0xb0, 7, 0xee, END};
    struct machine *m = machine_of(state);
    u64 times = 0;

    run(m, code, sizeof(code));
    assert_int_equal(read(m->bell.fd, &times, sizeof(times)), sizeof(times));
    assert_int_equal(times, 1);
    assert_int_equal(m->rung, 2); /* another value; another width */
    assert_int_equal(m->last, 7);

    bus_unmap(&m->vm.pio, &m->bell_ports);
    assert_int_equal(bus_map(&m->vm.pio, &m->bell_ports, PORT_BELL + 0x40), 0);
    run(m, code, sizeof(code));
    assert_int_equal(read(m->bell.fd, &times, sizeof(times)), -1); /* it is elsewhere */
    assert_int_equal(m->rung, 2);
}

/* KVM's interface: which leaves, and that they do not show unasked. */
static void interface_only_if_asked_for(void **state)
{
    struct machine *m = machine_of(state);
    struct engine *en = m->vm.e;
    struct kvm_cpuid_entry2 leaf[2] = {{0}};
    struct err e = {0};

    assert_int_equal(kvm_pv_leaves(en, leaf), 0);
    assert_null(m->vm.engine->pv(&m->vm.vcpu[0]));
    m->vm.cpu.kvm_pv = true;
    if (kvm_pv_open(en, &e))
        skip();
    assert_int_equal(kvm_pv_leaves(en, leaf), 2);
    assert_memory_equal(&leaf[0].ebx, "KVMKVMKVM\0\0\0", 12);
    assert_int_equal(leaf[0].eax, leaf[1].function);
    assert_int_equal(leaf[1].eax & ~0x100407bu, 0);
    if (!en->split) /* ends of interrupts and page faults: the kernel's local APIC */
        assert_int_equal(leaf[1].eax & 0x4050, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(apics_there_and_back, setup_split, teardown),
        cmocka_unit_test_setup_teardown(messages_arrive_in_either_place, setup_split, teardown),
        cmocka_unit_test_setup_teardown(doorbells_ring, setup_user, teardown),
        cmocka_unit_test_setup_teardown(doorbells_ring, setup_split, teardown),
        cmocka_unit_test_setup_teardown(interface_only_if_asked_for, setup_user, teardown),
        cmocka_unit_test_setup_teardown(interface_only_if_asked_for, setup_split, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
