/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's drives.  On IDE, disks take the places primary master, primary slave, secondary master,
 * secondary slave in this order, CD-ROMs the first that is then free of secondary master, secondary
 * slave, primary slave, primary master.
 */
#include "board/pc.h"
#include "board/pc_map.h"
#include "disk/disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int pc_open_image(struct pc *pc, struct blk **b, const struct disk_config *d, struct err *e)
{
    struct disk_options o = {.readonly = d->readonly,
                             .snapshot = d->snapshot,
                             .clone = d->clone,
                             .cache = d->cache,
                             .format = d->format,
                             .allow_external = d->allow_external,
                             .root = d->root,
                             .vhd_size = d->vhd_size,
                             .any_sector = d->bus == DISK_BUS_VIRTIO && !pc->cfg.xen,
                             .trace = &pc->vm->trace};
    return disk_open(b, d->path, &o, e);
}

static int place_ide(struct pc *pc, struct ata_drive_config drives[4], struct err *e)
{
    static const u8 cd_places[4] = {2, 3, 1, 0};
    unsigned place = 0;
    int r = 0;
    for (unsigned i = 0; !r && i < pc->cfg.ndisks; i++) {
        const struct disk_config *d = &pc->cfg.disk[i];
        if (d->bus != DISK_BUS_IDE)
            continue;
        if (place == 4)
            return err_set(e, E2BIG, "%s: IDE has room for four drives; use bus=virtio", d->path);
        r = pc_open_image(pc, &pc->ide_blk[place], d, e);
        drives[place].kind = ATA_DISK;
        drives[place].blk = pc->ide_blk[place];
        place++;
    }
    for (unsigned i = 0; !r && i < pc->cfg.ncdroms; i++) {
        const char *path = pc->cfg.cdrom[i];
        unsigned k = 0;
        while (k < 4 && drives[cd_places[k]].kind != ATA_EMPTY)
            k++;
        if (k == 4)
            return err_set(e, E2BIG, "%s: IDE has room for four drives", path ? path : "--cdrom");
        place = cd_places[k];
        if (path)
            r = pc_open_image(pc, &pc->ide_blk[place],
                              &(struct disk_config){.path = path, .readonly = true}, e);
        drives[place].kind = ATA_CDROM;
        drives[place].blk = pc->ide_blk[place];
    }
    return r;
}

int pc_open_ide(struct pc *pc, const struct irq irq[2], struct err *e)
{
    static const u16 ports[4] = {0x1f0, 0x3f6, 0x170, 0x376};
    struct ata_drive_config drives[4] = {0};
    int r = place_ide(pc, drives, e);
    if (r)
        return r;
    r = piix3_ide_init(&pc->ide, &pc->pci, 1 << 3 | 1, drives, irq);
    for (unsigned i = 0; !r && i < 2; i++) {
        r = bus_map(&pc->vm->pio, &pc->ide.ch[i].cmd, ports[i * 2]);
        if (!r)
            r = bus_map(&pc->vm->pio, &pc->ide.ch[i].ctl, ports[i * 2 + 1]);
    }
    return r ? err_set(e, -r, "IDE: %s", strerror(-r)) : 0;
}

int pc_open_floppy(struct pc *pc, struct irq irq, struct err *e)
{
    struct i82078_config c = {.irq = irq, .dma = &pc->dma, .dma_ch = 2};
    if (!pc->cfg.nfloppies)
        return 0;
    for (unsigned i = 0; i < pc->cfg.nfloppies; i++) {
        c.type[i] = I82078_1440K;
        if (!pc->cfg.floppy[i])
            continue;
        struct disk_config d = {.path = pc->cfg.floppy[i]};
        int r = pc_open_image(pc, &pc->floppy_blk[i], &d, e);
        if (r == -EACCES || r == -EROFS) { /* write-protected: so is the disk in the drive */
            d.readonly = true;
            r = pc_open_image(pc, &pc->floppy_blk[i], &d, e);
        }
        if (r)
            return r;
        c.blk[i] = pc->floppy_blk[i];
        c.type[i] = i82078_type_for(c.blk[i]->size);
        if (c.type[i] == I82078_NONE)
            return err_set(e, EINVAL, "%s: %llu bytes are no size of a floppy disk",
                           pc->cfg.floppy[i], (unsigned long long)c.blk[i]->size);
    }
    i82078_init(&pc->fdc, &c, pc->vm->clock, &pc->vm->trace);
    int r = bus_map(&pc->vm->pio, &pc->fdc.io, 0x3f0);
    if (!r)
        r = bus_map(&pc->vm->pio, &pc->fdc.dir, 0x3f7);
    return r ? err_set(e, -r, "floppy: %s", strerror(-r)) : 0;
}

int pc_open_virtio_disks(struct pc *pc, struct err *e)
{
    for (unsigned i = 0; i < pc->cfg.ndisks; i++) {
        const struct disk_config *d = &pc->cfg.disk[i];
        struct virtio_blk_options o = {.queues = min(pc->cfg.cpus, 4u)};
        if (d->bus != DISK_BUS_VIRTIO)
            continue;
        struct pc_vblk *v = &pc->vblk[pc->nvblks++];
        int r = pc_open_image(pc, &v->blk, d, e);
        if (r)
            return r;
        snprintf(o.serial, sizeof(o.serial), "wirt-%u", i);
        v->slot = pc->next_slot++;
        v->dev = calloc(1, sizeof(*v->dev));
        if (!v->dev)
            return err_set(e, ENOMEM, "%s: out of memory", d->path);
        r = virtio_blk_init(v->dev, &pc->pci, v->slot << 3, v->blk, &o, e);
        if (!r)
            r = pc_add_bells(pc, &v->dev->vp, e);
        if (r)
            return r;
    }
    return 0;
}

static void close_blk(struct blk *b)
{
    if (b)
        b->ops->close(b);
}

void pc_close_disks(struct pc *pc)
{
    for (unsigned i = 0; i < pc->nvblks; i++) {
        struct pc_vblk *v = &pc->vblk[i];
        if (v->dev && v->dev->vp.pci.bus) {
            virtio_pci_free_bells(&v->dev->vp);
            virtio_blk_destroy(v->dev);
        }
        close_blk(v->blk);
        free(v->dev);
    }
    for (unsigned i = 0; i < 4; i++)
        close_blk(pc->ide_blk[i]);
    for (unsigned i = 0; i < MACHINE_FLOPPY_MAX; i++)
        close_blk(pc->floppy_blk[i]);
}
