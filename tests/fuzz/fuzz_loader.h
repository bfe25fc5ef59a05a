/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the three loaders' fuzz targets share: the input as a file, a guest memory of 4 MiB, and
 * the direct way into one format, past the choice by content.
 */
#ifndef WIRT_TESTS_FUZZ_LOADER_H
#define WIRT_TESTS_FUZZ_LOADER_H

#include "base/err.h"
#include "board/loader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum fuzz_kind { FUZZ_LINUX, FUZZ_PVH, FUZZ_MULTIBOOT };
enum { FUZZ_RAM = 4 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline int fuzz_loader(enum fuzz_kind kind, const uint8_t *data, size_t size)
{
    int fd = memfd_create("kernel", 0);
    u8 *ram = malloc(FUZZ_RAM); /* exactly, so that a byte behind it is a finding */
    struct e820 map = {.n = 0};
    e820_add(&map, 0, 0x9fc00, E820_RAM);
    e820_add(&map, MIB, FUZZ_RAM - MIB, E820_RAM);
    struct image k = {"kernel", fd, size};
    struct boot_mem m = {ram, FUZZ_RAM, &map, 0xf0000};
    struct boot_files f = {"kernel", NULL, "quiet"};
    struct boot_entry entry = {0};
    struct err e = {0};
    u64 at;
    int r = -1;
    BUG_ON(fd < 0 || !ram || write(fd, data, size) != (ssize_t)size);
    if (kind == FUZZ_LINUX && linux_probe(data, size)) {
        r = linux_load(&k, &f, &m, &entry, &e);
    } else if (kind == FUZZ_PVH && !pvh_find_entry(&k, &at, &e)) {
        r = pvh_load(&k, &f, &m, at, &entry, &e);
    } else if (kind == FUZZ_MULTIBOOT) {
        s64 header = multiboot_probe(data, min(size, (size_t)(64 << 10)));
        if (header >= 0)
            r = multiboot_load(&k, &f, &m, header, &entry, &e);
    }
    if (!r)
        BUG_ON(entry.rip >= FUZZ_RAM);
    else if (e.code)
        BUG_ON(!e.msg[0] || strchr(e.msg, '\n'));
    free(ram);
    close(fd);
    return 0;
}

#endif
