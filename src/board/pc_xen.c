/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC as a Xen HVM guest: Xen's interface and its platform device beside everything else.  Disks
 * and network cards are there twice, emulated and as back ends, until the guest asks for the
 * emulated ones to go; a reset brings those back.
 */
#include "board/pc.h"
#include "board/pc_map.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct ata_drive *ide_drive(struct pc *pc, unsigned n)
{
    return &pc->ide.ch[n / 2].drive[n % 2];
}

static void unplug_ide(struct pc *pc, bool first_too)
{
    for (unsigned n = 0; n < 4; n++) {
        struct ata_channel *c = &pc->ide.ch[n / 2];
        if (ide_drive(pc, n)->kind != ATA_DISK || (!n && !first_too))
            continue;
        ata_drain(c);
        pthread_mutex_lock(c->lock);
        ide_drive(pc, n)->kind = ATA_EMPTY;
        pthread_mutex_unlock(c->lock);
        pc->unplugged |= 1u << n;
    }
}

static void unplug(void *opaque, u16 what)
{
    struct pc *pc = opaque;
    if (what & (XEN_UNPLUG_IDE_DISKS | XEN_UNPLUG_AUX_IDE_DISKS))
        unplug_ide(pc, what & XEN_UNPLUG_IDE_DISKS);
    for (unsigned i = 0; what & XEN_UNPLUG_IDE_DISKS && i < pc->nvblks; i++)
        pci_unplug(&pc->vblk[i].dev->vp.pci);
    for (unsigned i = 0; what & XEN_UNPLUG_NICS && i < pc->cfg.nnics; i++)
        pci_unplug(pc->nic[i].virtio ? &pc->nic[i].virtio->vp.pci : &pc->nic[i].e1000->pci);
}

void pc_reset_xen(struct pc *pc)
{
    if (!pc->xen)
        return;
    for (unsigned n = 0; n < 4; n++)
        if (pc->unplugged & 1u << n)
            ide_drive(pc, n)->kind = ATA_DISK;
    pc->unplugged = 0; /* PCI functions have come back by the bus's reset */
    xen_reset(pc->xen);
    for (unsigned i = 0; i < pc->cfg.nnics; i++) {
        const struct pc_nic *nic = &pc->nic[i];
        if (nic->backend)
            nic->backend->front = nic->virtio ? &nic->virtio->front : &nic->e1000->front;
    }
}

int pc_open_xen(struct pc *pc, unsigned devfn, struct err *e)
{
    struct xen_e820 map[E820_MAX];
    struct xen_config c = {.special_gfn = MAP_XEN_SPECIAL >> PAGE_SHIFT, .map = map, .hvm = true};
    for (unsigned i = 0; i < pc->e820.n; i++)
        map[c.nmap++] =
            (struct xen_e820){pc->e820.e[i].base, pc->e820.e[i].len, pc->e820.e[i].type};
    memcpy(c.uuid, pc->cfg.uuid, 16);
    c.wallclock = pc->cfg.have_rtc_start ? pc->cfg.rtc_start : (s64)time(NULL);
    for (unsigned i = 0, ide = 0, virtio = 0; i < pc->cfg.ndisks; i++) {
        const struct disk_config *d = &pc->cfg.disk[i];
        struct blk *b = d->bus == DISK_BUS_IDE ? pc->ide_blk[ide++] : pc->vblk[virtio++].blk;
        c.disk[c.ndisks++] = (struct xen_disk){.blk = b, .xvd = d->xvd};
    }
    for (unsigned i = 0; i < pc->cfg.nnics; i++) {
        const struct pc_nic *nic = &pc->nic[i];
        c.nic[c.nnics].net = nic->backend;
        memcpy(c.nic[c.nnics++].mac, nic->virtio ? nic->virtio->opt.mac : nic->e1000_mac, 6);
    }
    int r = xen_open(&pc->xen, pc->vm, &pc->lapics, &c, e);
    if (r)
        return r;
    pc->platform = calloc(1, sizeof(*pc->platform));
    r = pc->platform ? xen_platform_init(pc->platform, pc->xen, &pc->pci, devfn, unplug, pc)
                     : -ENOMEM;
    if (!r)
        r = bus_map(&pc->vm->pio, &pc->platform->ports, PORT_XEN);
    return r ? err_set(e, -r, "Xen platform device: %s", strerror(-r)) : 0;
}
