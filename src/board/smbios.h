/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SMBIOS tables: what dmidecode and installers read.  SMBIOS reference specification 2.8.
 */
#ifndef WIRT_BOARD_SMBIOS_H
#define WIRT_BOARD_SMBIOS_H

#include "base/types.h"

enum { SMBIOS_ANCHOR_SIZE = 31, SMBIOS_MAX = 4096 };

struct smbios_config {
    const char *name; /* of the machine: its serial number */
    const u8 *uuid;   /* 16 bytes, big-endian */
    unsigned cpus;
    u64 memory;    /* bytes */
    u64 ram_below; /* of them below 4 GiB */
};

struct smbios_tables {
    u8 anchor[SMBIOS_ANCHOR_SIZE]; /* for address 0: firmware or smbios_relocate() fill it in */
    u8 data[SMBIOS_MAX];
    u32 len;
};

void smbios_build(struct smbios_tables *t, const struct smbios_config *c);
/* The tables will lie at this guest address, below 4 GiB: address and checksums of the anchor. */
void smbios_relocate(struct smbios_tables *t, u32 gpa);

#endif
