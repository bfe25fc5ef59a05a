/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's memory map as firmware reports it by INT 15h, AX=E820h: ACPI 6.4, 15.1.
 */
#ifndef WIRT_BOARD_E820_H
#define WIRT_BOARD_E820_H

#include "base/types.h"

enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3, E820_NVS = 4, E820_MAX = 16 };
enum { E820_WIRE = 20 }; /* bytes of an entry on the wire: base, length, type */

struct e820_entry {
    u64 base, len;
    u32 type;
};

struct e820 {
    struct e820_entry e[E820_MAX]; /* in the order of addresses, without overlap */
    unsigned n;
};

/* Appends; the board adds in the order of addresses.  Empty ranges are left out. */
void e820_add(struct e820 *map, u64 base, u64 len, u32 type);
/* Writes n * E820_WIRE bytes. */
void e820_wire(const struct e820 *map, u8 *buf);

#endif
