/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ACPI tables of a PC, for firmware to place (by fw_cfg) or placed at once (direct boot).
 */
#ifndef WIRT_BOARD_ACPI_H
#define WIRT_BOARD_ACPI_H

#include "base/err.h"
#include "base/types.h"

struct acpi_config {
    unsigned cpus;
    u64 pci_hole; /* first address of PCI memory below 4 GiB */
    bool floppy;
    unsigned serials; /* serial ports that exist */
};

/* ACPI_REDUCED: the machine without chips has these ports (8 bits each). */
enum { ACPI_SLEEP_CONTROL = 0, ACPI_SLEEP_STATUS = 1, ACPI_RESET = 2, ACPI_PORTS = 4 };
enum { ACPI_SLEEP_OFF = 5 << 2 | 1 << 5, ACPI_RESET_VALUE = 6 };

enum { ACPI_RSDP_SIZE = 36, ACPI_FIXUPS_MAX = 32, ACPI_LOADER_ENTRY = 128 };

/* A pointer at offset `at` (of size bytes) inside the tables or the RSDP: it holds an offset into
 * the tables, which the tables' address is added to. */
struct acpi_fixup {
    u32 at;
    u8 size;
    bool in_rsdp;
};

/* A checksum byte at `at` over [start, start+len). */
struct acpi_checksum {
    u32 at, start, len;
    bool in_rsdp;
};

struct acpi_tables {
    u8 *data; /* malloc'ed */
    u32 len;
    u8 rsdp[ACPI_RSDP_SIZE];
    struct acpi_fixup fixup[ACPI_FIXUPS_MAX];
    struct acpi_checksum sum[ACPI_FIXUPS_MAX];
    unsigned nfixups, nsums;
};

int acpi_build(struct acpi_tables *t, const struct acpi_config *c, struct err *e);
/* For a machine that is processors and memory and nothing else: hardware-reduced ACPI with the
 * ports above from `ports` on, and a MADT without an I/O APIC. */
int acpi_build_reduced(struct acpi_tables *t, unsigned cpus, u16 ports, struct err *e);
void acpi_free(struct acpi_tables *t);

/* The script of fw_cfg's etc/table-loader: malloc'ed, *len bytes; the tables are then
 * etc/acpi/tables, the RSDP etc/acpi/rsdp.  NULL: out of memory. */
u8 *acpi_loader_script(const struct acpi_tables *t, u32 *len);
/* Does what that script would: the tables will lie at guest address gpa. */
void acpi_relocate(struct acpi_tables *t, u64 gpa);

#endif
