/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which state a PC consists of: one list for saving, loading and tests.  A device that is put on
 * the machine gets its lines here; pc_save() refuses a machine with a PCI function that has none.
 *
 * The order is that of loading.  A device may move its lines when it is loaded, so what is behind
 * the lines comes later and has the last word: devices, the wiring, PICs and I/O APIC, local APICs.
 */
#include "board/pc_state.h"

static void add(struct pc_parts *l, unsigned instance, const struct state_desc *desc, void *obj)
{
    BUG_ON(l->n == PC_PARTS_MAX);
    l->part[l->n++] = (struct pc_part){desc->name, instance, desc, obj};
}

static void add_virtio(struct pc_parts *l, struct virtio_pci *p, const struct state_desc *desc,
                       void *obj)
{
    unsigned devfn = p->pci.devfn;

    add(l, devfn, &pci_dev_state, &p->pci);
    add(l, devfn, &virtio_state, &p->dev);
    add(l, devfn, &virtio_pci_state, p);
    add(l, devfn, desc, obj);
}

static void add_pci(struct pc *pc, struct pc_parts *l)
{
    add(l, pc->host.pci.devfn, &i440fx_state, &pc->host);
    add(l, pc->isa.pci.devfn, &piix3_state, &pc->isa);
    add(l, pc->pm.pci.devfn, &piix4_pm_state, &pc->pm);
    add(l, pc->ide.pci.devfn, &pci_dev_state, &pc->ide.pci);
    add(l, pc->ide.pci.devfn, &piix3_ide_state, &pc->ide);
    for (unsigned i = 0; i < 2; i++)
        add(l, i, &ata_channel_state, &pc->ide.ch[i]);
    if (pc->stdvga) {
        add(l, pc->stdvga->pci.devfn, &pci_dev_state, &pc->stdvga->pci);
        add(l, pc->stdvga->pci.devfn, &vga_state, &pc->stdvga->vga);
    }
    if (pc->gpu) {
        add_virtio(l, &pc->gpu->vp, &virtio_gpu_state, pc->gpu);
        add(l, pc->gpu->vp.pci.devfn, &vga_state, &pc->gpu->vga);
    }
    for (unsigned i = 0; i < pc->cfg.nnics; i++) {
        struct pc_nic *nic = &pc->nic[i];
        if (nic->virtio) {
            add_virtio(l, &nic->virtio->vp, &virtio_net_state, nic->virtio);
        } else if (nic->e1000) {
            add(l, nic->e1000->pci.devfn, &pci_dev_state, &nic->e1000->pci);
            add(l, nic->e1000->pci.devfn, &e1000_state, nic->e1000);
        }
    }
    for (unsigned i = 0; i < pc->nvblks; i++)
        add_virtio(l, &pc->vblk[i].dev->vp, &virtio_blk_state, pc->vblk[i].dev);
    if (pc->console)
        add_virtio(l, &pc->console->vp, &virtio_console_state, pc->console);
    if (pc->rng)
        add_virtio(l, &pc->rng->vp, &virtio_rng_state, pc->rng);
    if (pc->balloon)
        add_virtio(l, &pc->balloon->vp, &virtio_balloon_state, pc->balloon);
    if (pc->platform)
        add(l, pc->platform->pci.devfn, &pci_dev_state, &pc->platform->pci);
    for (unsigned i = 0; i < ARRAY_SIZE(pc->vinput); i++)
        if (pc->vinput[i])
            add_virtio(l, &pc->vinput[i]->vp, &virtio_input_state, pc->vinput[i]);
}

static void add_usb(const struct pc_usb *u, struct pc_parts *l)
{
    if (u->tablet)
        add(l, USB_HID_TABLET, &usb_hid_state, u->tablet);
    if (u->keyboard)
        add(l, USB_HID_KEYBOARD, &usb_hid_state, u->keyboard);
    for (unsigned i = 0; i < ARRAY_SIZE(u->disk); i++)
        if (u->disk[i])
            add(l, i, &usb_storage_state, u->disk[i]);
    if (u->uhci) {
        add(l, u->uhci->pci.devfn, &pci_dev_state, &u->uhci->pci);
        add(l, u->uhci->pci.devfn, &uhci_state, u->uhci);
    }
    if (u->xhci) {
        add(l, u->xhci->pci.devfn, &pci_dev_state, &u->xhci->pci);
        add(l, u->xhci->pci.devfn, &xhci_state, u->xhci);
    }
}

static void add_isa(struct pc *pc, struct pc_parts *l)
{
    add(l, 0, &i8237_state, &pc->dma);
    add(l, 0, &i8042_state, &pc->kbd);
    add(l, 0, &port92_state, &pc->port92);
    for (unsigned i = 0; i < pc->cfg.nserials; i++)
        add(l, i, &ns16550_state, &pc->serial[i]);
    if (pc->cfg.nfloppies)
        add(l, 0, &i82078_state, &pc->fdc);
    add(l, 0, &fw_cfg_state, &pc->fw_cfg);
    if (pc->flash.size)
        add(l, 0, &i28f_state, &pc->flash);
}

/* ---------------------------------------------------- the board's own wiring -- */

static const struct field wiring_fields[] = {
    FIELD_ARRAY(struct pc, irqs.level),
    FIELD_MAX(struct pc, a20_lines, 3),
};

static int wiring_loaded(void *obj, struct err *e)
{
    struct pc *pc = obj;

    vm_set_a20(pc->vm, pc->a20_lines);
    return 0;
}

static const struct state_desc wiring_state = {
    .name = "wiring",
    .version = 1,
    .fields = wiring_fields,
    .nfields = ARRAY_SIZE(wiring_fields),
    .loaded = wiring_loaded,
};

void pc_list_parts(struct pc *pc, struct pc_parts *l)
{
    l->n = 0;
    add_pci(pc, l);
    add_usb(&pc->usb, l);
    add_isa(pc, l);
    add(l, 0, &i8254_state, &pc->pit);
    add(l, 0, &mc146818_state, &pc->rtc);
    add(l, 0, &hpet_state, &pc->hpet);
    add(l, 0, &wiring_state, pc);
    add(l, 0, &i8259_state, &pc->pic);
    add(l, 0, &ioapic_state, &pc->ioapic);
    for (unsigned i = 0; i < pc->lapics.count; i++)
        add(l, i, &lapic_state, &pc->lapics.lapic[i]);
    if (pc->hyperv) {
        add(l, 0, &hyperv_state, pc->hyperv);
        for (unsigned i = 0; i < pc->hyperv->nvcpus; i++)
            add(l, i, &hyperv_vcpu_state, &pc->hyperv->vcpu[i]);
    }
}
