/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF files as far as loading a kernel by physical addresses needs them; 32 and 64 bits, x86.
 */
#ifndef WIRT_BOARD_ELF_H
#define WIRT_BOARD_ELF_H

#include "board/loader.h"

enum { ELF_PHDRS_MAX = 64, ELF_PT_LOAD = 1, ELF_PT_NOTE = 4 };

struct elf_phdr {
    u32 type;
    u64 offset, vaddr, paddr, filesz, memsz;
};

struct elf {
    bool is64;
    u64 entry; /* virtual */
    unsigned nphdrs;
    struct elf_phdr ph[ELF_PHDRS_MAX];
};

bool elf_probe(const u8 *head, u64 n);
/* Headers only; everything in *elf then lies inside the file. */
int elf_read(const struct image *k, struct elf *elf, struct err *e);
/* All PT_LOAD segments to their physical addresses, from BOOT_KERNEL up; *end: the first address
 * behind them. */
int elf_load(const struct image *k, const struct elf *elf, const struct boot_mem *m, u64 *end,
             struct err *e);
/* The entry point as a physical address. */
u64 elf_entry_paddr(const struct elf *elf);

#endif
