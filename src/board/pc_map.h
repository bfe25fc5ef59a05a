/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where things are in a PC: the physical memory map, fixed ports and interrupt numbers.  pc.c
 * builds the machine by it and acpi.c describes it; dsdt.asl repeats what it needs.
 */
#ifndef WIRT_BOARD_PC_MAP_H
#define WIRT_BOARD_PC_MAP_H

#include "base/types.h"

/*
 *     0           low RAM (640 KiB)
 *     0xa0000     VGA window
 *     0xc0000     option ROMs and firmware over RAM, as the host bridge's PAM says
 *     0x100000    RAM, up to 3 GiB
 *     0xc0000000  PCI memory (or, on a small machine, from the end of RAM)
 *     0xfec00000  I/O APIC, HPET (fed00000), local APICs (fee00000)
 *     0xff000000  firmware, ends at 4 GiB
 *     4 GiB       RAM behind the first 3 GiB
 */
#define MAP_LOW_TOP   0xa0000ull
#define MAP_SHADOW    0xc0000ull
#define MAP_HIGH      0x100000ull
#define MAP_RAM_BELOW 0xc0000000ull
#define MAP_PCI_END   0xfebfffffull
#define MAP_IOAPIC    0xfec00000ull
#define MAP_HPET      0xfed00000ull
#define MAP_LAPIC     0xfee00000ull
/* Xen HVM guests: reserved for shared pages, Xen's special pages at its end. */
#define MAP_XEN         0xfef00000ull
#define MAP_XEN_SIZE    0x100000ull
#define MAP_XEN_SPECIAL 0xfeff8000ull
#define MAP_4G          0x100000000ull
#define MAP_EBDA        0x9fc00ull

enum {
    PORT_XEN = 0x10,
    PORT_PM_BASE = 0x600,
    PORT_SMBUS_BASE = 0x700,
    PORT_SMI_CMD = 0xb2,
    PORT_RESET = 0xcf9,
};

enum {
    IRQ_PIT = 0,
    IRQ_KBD = 1,
    IRQ_FDC = 6,
    IRQ_RTC = 8,
    IRQ_SCI = 9,
    IRQ_MOUSE = 12,
    IRQ_IDE0 = 14,
    IRQ_IDE1 = 15
};

static const u16 serial_port[4] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};
static const u8 serial_irq[4] = {4, 3, 4, 3};

#endif
