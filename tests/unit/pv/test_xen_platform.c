/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The platform device: the unplug protocol, and grant table frames in its second BAR.
 */
#include "domain.h"

#include "pv/xen/platform_pci.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ARG = 0x1000, DEVFN = 5 << 3, BAR1 = 0xe0000000 };

struct pc {
    struct domain d;
    struct pci_bus pci;
    struct xen_platform p;
    struct pci_dev victim;
    u16 asked;
};

static void unplug(void *opaque, u16 what)
{
    struct pc *pc = opaque;

    pc->asked = what;
    if (what & XEN_UNPLUG_NICS)
        pci_unplug(&pc->victim);
}

static int open_pc(void **state)
{
    struct pc *pc = calloc(1, sizeof(*pc));
    struct xen_config c = {.hvm = true};
    struct vm *vm = &pc->d.vm;

    domain_open(&pc->d, 1, &c);
    pci_bus_init(&pc->pci, &vm->trace, &vm->pio, vm->dma);
    BUG_ON(xen_platform_init(&pc->p, pc->d.x, &pc->pci, DEVFN, unplug, pc));
    BUG_ON(pci_dev_init(&pc->victim, &pc->pci, 8, "victim", 1, 2, 0x020000, 1));
    BUG_ON(bus_map(&vm->pio, &pc->p.ports, 0x10));
    *state = pc;
    return 0;
}

static int close_pc(void **state)
{
    struct pc *pc = *state;

    domain_close(&pc->d);
    free(pc);
    return 0;
}

static void test_unplug(void **state)
{
    struct pc *pc = *state;
    struct bus *io = &pc->d.vm.pio;

    assert_int_equal(pci_config_read(&pc->pci, DEVFN, 0, 4), 0x00015853);
    assert_int_equal(bus_read(io, 0x10, 2), 0x49d2);
    assert_int_equal(bus_read(io, 0x12, 1), 1);
    bus_write(io, 0x12, 2, 3);
    bus_write(io, 0x10, 4, 1);
    assert_int_equal(bus_read(io, 0x10, 2), 0x49d2); /* not refused */
    assert_int_equal(pc->asked, 0);
    bus_write(io, 0x10, 2, XEN_UNPLUG_IDE_DISKS);
    assert_int_equal(pc->asked, XEN_UNPLUG_IDE_DISKS);
    assert_int_equal(pci_config_read(&pc->pci, 8, 0, 4), 0x00020001);
    bus_write(io, 0x10, 2, XEN_UNPLUG_NICS);
    assert_int_equal(pci_config_read(&pc->pci, 8, 0, 4), UINT32_MAX);
    pci_config_write(&pc->pci, 8, 4, 2, 7); /* nobody is there */
    pci_bus_reset(&pc->pci);
    assert_int_equal(pci_config_read(&pc->pci, 8, 0, 4), 0x00020001);
    assert_int_equal(pci_config_read(&pc->pci, 8, 4, 2) & 7, 0);
}

static void test_frames_in_bar(void **state)
{
    struct pc *pc = *state;
    struct domain *d = &pc->d;
    struct {
        u16 domid, size;
        u32 space;
        u64 idx, gpfn;
    } a = {DOMID_SELF, 0, XENMAPSPACE_grant_table, 0, (BAR1 >> PAGE_SHIFT) + 3};

    pci_config_write(&pc->pci, DEVFN, 0x14, 4, BAR1);
    pci_config_write(&pc->pci, DEVFN, 4, 2, 2);
    assert_int_equal(bus_read(&d->vm.mmio, BAR1, 4), UINT32_MAX);
    for (a.idx = 0; a.idx < 4; a.idx++, a.gpfn++) {
        domain_put(d, ARG, &a, sizeof(a));
        assert_int_equal(domain_call(d, HYPERVISOR_memory_op, XENMEM_add_to_physmap, ARG, 0), 0);
        assert_non_null(guest_page(d->x, a.gpfn));
    }
    assert_null(guest_page(d->x, BAR1 >> PAGE_SHIFT));
}

/* What firmware must not see: the leaves are for code with paging. */
static void test_only_with_paging(void **state)
{
    struct pc *pc = *state;

    assert_true(pc->d.vm.pv.paged);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, open_pc, close_pc)
    const struct CMUnitTest tests[] = {TEST(test_unplug), TEST(test_frames_in_bar),
                                       TEST(test_only_with_paging)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
