/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Direct kernel boot: a kernel file goes straight into guest memory and the first processor starts
 * at its entry point, without firmware.  The type is found by content: Linux bzImage, PVH ELF or
 * Multiboot 1.
 *
 * Memory below 1 MiB belongs to the loader (below), a kernel is never loaded there:
 *
 *     0x00500  GDT                       0x09000  page tables, 6 pages (64-bit entry)
 *     0x01000  start information         0x10000  command line, 64 KiB
 *     0x02000  memory map                0x20000  module strings (Multiboot), 64 KiB
 *     0x03000  module list
 */
#ifndef WIRT_BOARD_LOADER_H
#define WIRT_BOARD_LOADER_H

#include "base/err.h"
#include "base/types.h"
#include "board/e820.h"
#include "core/arch.h"

enum {
    BOOT_GDT = 0x500,
    BOOT_INFO = 0x1000,
    BOOT_MEMMAP = 0x2000,
    BOOT_MODLIST = 0x3000,
    BOOT_PAGES = 0x9000,
    BOOT_CMDLINE = 0x10000,
    BOOT_CMDLINE_MAX = 0x10000,
    BOOT_STRINGS = 0x20000,
    BOOT_STRINGS_MAX = 0x10000,
    BOOT_KERNEL = 0x100000, /* the lowest address of a kernel */
    BOOT_MODULES_MAX = 128,
};

/* A file on the host, regular, open for reading. */
struct image {
    const char *path;
    int fd;
    u64 size;
};

int image_open(struct image *im, const char *path, struct err *e);
void image_close(struct image *im);
/* Reads exactly len bytes at off; a file that ends before is an error that says so. */
int image_read(const struct image *im, u64 off, void *buf, u64 len, struct err *e);

/* What a loader has to work with: guest memory from address 0 on. */
struct boot_mem {
    u8 *hva;
    u64 top;                /* bytes of RAM that kernel and modules may fill */
    const struct e820 *map; /* what the kernel is told */
    u64 rsdp;               /* guest address of the ACPI RSDP, 0 = none */
    bool text;              /* the screen is in text mode 3 */
};

struct boot_files {
    const char *kernel;
    const char *initrd; /* may be NULL */
    const char *append; /* may be NULL */
    bool pvh;           /* enter by the PVH note: a bzImage is unpacked for it */
};

/* How the first processor starts: flat segments, interrupts off. */
struct boot_entry {
    bool long_mode; /* with the first 4 GiB identity-mapped at BOOT_PAGES; else paging is off */
    u64 rip;
    u64 rax, rbx, rsi;
    bool linux_selectors; /* CS 0x10, DS 0x18 as Linux wants them; else 8 and 16 */
};

/* Loads all files and fills *entry.  One line in *e names the file and the reason. */
int loader_load(const struct boot_files *f, const struct boot_mem *m, struct boot_entry *entry,
                struct err *e);
/* Writes GDT and page tables into memory. */
void loader_tables(const struct boot_mem *m, const struct boot_entry *entry);
/* *s comes from cpu_state_reset(). */
void loader_state(const struct boot_entry *entry, struct cpu_state *s);

/* ---- one file format each; k is open, the first n bytes of it are at head ---- */

bool linux_probe(const u8 *head, u64 n);
int linux_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
               struct boot_entry *entry, struct err *e);

/* The offset of a Multiboot header in the first 8 KiB, or -1. */
s64 multiboot_probe(const u8 *head, u64 n);
int multiboot_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
                   s64 header, struct boot_entry *entry, struct err *e);

/* ELF: 0 and *entry_point from the PVH note, -ENOENT when it has none, -errno. */
int pvh_find_entry(const struct image *k, u64 *entry_point, struct err *e);
int pvh_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
             u64 entry_point, struct boot_entry *entry, struct err *e);

/* ---- shared ---- */

/* Reads a whole file to the highest page-aligned place that ends at or below limit and starts at
 * or above floor; *addr and *size say where. */
int loader_file_high(const char *path, const struct boot_mem *m, u64 floor, u64 limit, u64 *addr,
                     u64 *size, struct err *e);
/* The command line with its final 0 at BOOT_CMDLINE; max: bytes without the 0. */
int loader_cmdline(const struct boot_files *f, const struct boot_mem *m, u64 max, struct err *e);

#endif
