/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Multiboot 1 (GNU Multiboot Specification 0.6.96): ELF kernels and those that give their
 * addresses in the header (the "a.out kludge"), with modules.  `--initrd a,b` names the modules;
 * "a arg arg" gives one a string of its own.  Left out: the video mode that a kernel may ask for
 * (the flag is a wish, the information then says that there is no table) and drive and APM
 * tables, which need a BIOS.
 */
#include "base/endian.h"
#include "board/elf.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MB_SEARCH = 8192,
    MB_HEADER = 12, /* without the address fields */
    MB_ADDRS = 32,  /* with them */

    MB_WANTS_KNOWN = 0x7,  /* page-aligned modules, memory, video */
    MB_WANTS_ALL = 0xffff, /* of these a loader must know each */
    MB_HAS_ADDRS = 1 << 16,

    MB_INFO_MEM = 1 << 0,
    MB_INFO_CMDLINE = 1 << 2,
    MB_INFO_MODS = 1 << 3,
    MB_INFO_MMAP = 1 << 6,
    MB_INFO_NAME = 1 << 9,
    MB_INFO_SIZE = 116,
};

#define MB_HEADER_MAGIC 0x1badb002u
#define MB_LOADER_MAGIC 0x2badb002u

s64 multiboot_probe(const u8 *head, u64 n)
{
    n = min(n, (u64)MB_SEARCH);
    for (u64 i = 0; i + MB_HEADER <= n; i += 4)
        if (le32_get(head + i) == MB_HEADER_MAGIC &&
            !(u32)(MB_HEADER_MAGIC + le32_get(head + i + 4) + le32_get(head + i + 8)))
            return (s64)i;
    return -1;
}

static int load_addrs(const struct image *k, const struct boot_mem *m, u64 header, u64 *end,
                      u64 *entry, struct err *e)
{
    u8 h[MB_ADDRS];
    int r = image_read(k, header, h, sizeof(h), e);
    if (r)
        return r;
    u64 header_addr = le32_get(h + 12), load = le32_get(h + 16);
    u64 load_end = le32_get(h + 20), bss_end = le32_get(h + 24);
    *entry = le32_get(h + 28);
    if (header_addr < load || header_addr - load > header)
        return err_set(e, EINVAL, "%s: Multiboot header with load address 0x%llx behind itself",
                       k->path, (unsigned long long)load);
    u64 off = header - (header_addr - load);
    u64 len = load_end ? load_end - load : k->size - off;
    if (load_end && load_end < load)
        return err_set(e, EINVAL, "%s: Multiboot header that ends before it begins", k->path);
    if (len > k->size - off)
        return err_set(e, EINVAL, "%s: truncated: %llu bytes to load, the file has %llu", k->path,
                       (unsigned long long)len, (unsigned long long)(k->size - off));
    *end = max(load + len, bss_end);
    if (load < BOOT_KERNEL || *end > m->top)
        return err_set(e, ENOMEM, "%s: wants memory from 0x%llx to 0x%llx, there is 0x%x to 0x%llx",
                       k->path, (unsigned long long)load, (unsigned long long)*end, BOOT_KERNEL,
                       (unsigned long long)m->top);
    r = image_read(k, off, m->hva + load, len, e);
    if (!r)
        memset(m->hva + load + len, 0, *end - load - len);
    return r;
}

static int load_elf(const struct image *k, const struct boot_mem *m, u64 *end, u64 *entry,
                    struct err *e)
{
    u8 head[64] = {0};
    struct elf elf;
    int r = image_read(k, 0, head, min(k->size, (u64)sizeof(head)), e);
    if (r)
        return r;
    if (!elf_probe(head, min(k->size, (u64)sizeof(head))))
        return err_set(e, EINVAL, "%s: Multiboot kernel that is no ELF file and gives no addresses",
                       k->path);
    r = elf_read(k, &elf, e);
    if (!r)
        r = elf_load(k, &elf, m, end, e);
    if (!r)
        *entry = elf_entry_paddr(&elf);
    return r;
}

/* Modules go up from *at, page by page; list is cut in place. */
static int load_modules(char *list, const struct boot_mem *m, u64 *at, u32 *count, struct err *e)
{
    char *save, *item;
    u64 str = BOOT_STRINGS;
    for (item = strtok_r(list, ",", &save); item; item = strtok_r(NULL, ",", &save)) {
        struct image im;
        size_t n = strlen(item) + 1;
        if (*count >= BOOT_MODULES_MAX || str + n > BOOT_STRINGS + BOOT_STRINGS_MAX)
            return err_set(e, E2BIG, "--initrd: more than %u modules, or too much text",
                           BOOT_MODULES_MAX);
        memcpy(m->hva + str, item, n);
        item[strcspn(item, " ")] = 0;
        int r = image_open(&im, item, e);
        if (r)
            return r;
        *at = align_up(*at, PAGE_SIZE);
        if (!range_within(*at, im.size, 0, m->top))
            r = err_set(e, ENOMEM, "%s: %llu KiB do not fit into memory beside the kernel", item,
                        (unsigned long long)(im.size >> 10));
        else
            r = image_read(&im, 0, m->hva + *at, im.size, e);
        image_close(&im);
        if (r)
            return r;
        u8 *ml = m->hva + BOOT_MODLIST + *count * 16;
        le32_put(ml, (u32)*at);
        le32_put(ml + 4, (u32)(*at + im.size));
        le32_put(ml + 8, (u32)str);
        le32_put(ml + 12, 0);
        *at += im.size;
        str += n;
        ++*count;
    }
    return 0;
}

static void fill_info(const struct boot_mem *m, u32 nmods)
{
    u8 *mi = m->hva + BOOT_INFO, *mm = m->hva + BOOT_MEMMAP;
    static const char name[] = "Wirt";
    memset(mi, 0, MB_INFO_SIZE);
    memcpy(mi + MB_INFO_SIZE, name, sizeof(name));
    le32_put(mi, MB_INFO_MEM | MB_INFO_CMDLINE | MB_INFO_MODS | MB_INFO_MMAP | MB_INFO_NAME);
    for (unsigned i = 0; i < m->map->n; i++, mm += 24) {
        const struct e820_entry *r = &m->map->e[i];
        le32_put(mm, 20); /* the size field does not count itself */
        le64_put(mm + 4, r->base);
        le64_put(mm + 12, r->len);
        le32_put(mm + 20, r->type);
        if (r->type == E820_RAM && r->base == 0)
            le32_put(mi + 4, (u32)(r->len >> 10));
        if (r->type == E820_RAM && r->base == MIB)
            le32_put(mi + 8, (u32)(r->len >> 10));
    }
    le32_put(mi + 16, BOOT_CMDLINE);
    le32_put(mi + 20, nmods);
    le32_put(mi + 24, BOOT_MODLIST);
    le32_put(mi + 44, m->map->n * 24);
    le32_put(mi + 48, BOOT_MEMMAP);
    le32_put(mi + 64, BOOT_INFO + MB_INFO_SIZE);
}

int multiboot_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
                   s64 header, struct boot_entry *entry, struct err *e)
{
    u8 h[MB_HEADER];
    u64 end = 0, at;
    u32 nmods = 0;
    int r = image_read(k, (u64)header, h, sizeof(h), e);
    if (r)
        return r;
    u32 flags = le32_get(h + 4), unknown = flags & MB_WANTS_ALL & ~MB_WANTS_KNOWN;
    if (unknown)
        return err_set(e, EINVAL, "%s: Multiboot kernel that requires unknown features (0x%x)",
                       k->path, unknown);
    if (flags & MB_HAS_ADDRS)
        r = load_addrs(k, m, (u64)header, &end, &at, e);
    else
        r = load_elf(k, m, &end, &at, e);
    if (!r && (at < BOOT_KERNEL || at >= end))
        r = err_set(e, EINVAL, "%s: its entry point 0x%llx lies outside of it", k->path,
                    (unsigned long long)at);
    if (r)
        return r;

    /* The command line begins with the kernel's name, as boot loaders have it. */
    const char *append = f->append ? f->append : "";
    size_t n = strlen(k->path) + strlen(append) + 2;
    char *line = malloc(n), *mods = f->initrd ? strdup(f->initrd) : NULL;
    if (!line || (f->initrd && !mods)) {
        r = err_set(e, ENOMEM, "%s: out of memory", k->path);
    } else {
        const char *base = strrchr(k->path, '/');
        strcpy(line, base ? base + 1 : k->path);
        if (*append)
            strcat(strcat(line, " "), append);
        struct boot_files lf = {k->path, NULL, line};
        r = loader_cmdline(&lf, m, BOOT_CMDLINE_MAX, e);
    }
    if (!r && mods)
        r = load_modules(mods, m, &end, &nmods, e);
    free(line);
    free(mods);
    if (r)
        return r;
    fill_info(m, nmods);
    entry->rip = at;
    entry->rax = MB_LOADER_MAGIC;
    entry->rbx = BOOT_INFO;
    return 0;
}
