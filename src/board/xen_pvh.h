/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine of a Xen PVH guest: processors with local APICs, memory, ACPI tables, and Xen's
 * interface for everything else.  No firmware, no chips, no PCI.  That of a classic PV guest has no
 * local APICs and no tables either.
 */
#ifndef WIRT_BOARD_XEN_PVH_H
#define WIRT_BOARD_XEN_PVH_H

#include "board/acpi.h"
#include "board/config.h"
#include "board/e820.h"
#include "board/loader.h"
#include "board/xen_pv.h"
#include "core/display.h"
#include "core/vm.h"
#include "dev/debugcon.h"
#include "dev/lapic.h"
#include "pv/xen/xen.h"

struct xen_pvh {
    struct vm *vm;
    struct machine_config cfg;
    struct e820 e820;
    u64 ram_below, ram_above; /* bytes below and from 4 GiB */
    struct region ram_low, ram_high, ram_4g, tables, ports;
    u8 *tables_hva;
    struct acpi_tables acpi;
    struct lapic_bus lapics;
    bool lapics_open, ran;
    struct debugcon debugcon; /* port 0xe9: Linux' earlyprintk=xen */
    FILE *debugcon_file;
    struct boot_entry entry;
    struct xen_pv_boot pv; /* instead, for a classic PV guest */
    struct display screen; /* if cfg.vga says that there is one */
    struct input_sink input;
    struct blk *blk[XEN_DISKS_MAX];
    unsigned nblks;
    struct nic_backend *net[MACHINE_NICS_MAX];
    struct xen *xen;
};

/* As pc_open() and pc_close() (board/pc.h); cfg->kernel is set. */
int xen_pvh_open(struct xen_pvh *m, struct vm *vm, const struct machine_config *cfg, struct err *e);
void xen_pvh_close(struct xen_pvh *m);
/* Asks the guest to power itself off.  On the loop's thread. */
void xen_pvh_power_button(struct xen_pvh *m);

#endif
