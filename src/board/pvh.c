/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PVH: an ELF kernel (Linux vmlinux, Xen, unikernels) with a note that gives a 32-bit entry point.
 * Xen: docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "base/endian.h"
#include "board/elf.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NOTE_PHYS32_ENTRY = 18, START_INFO = 56, MODLIST_ENTRY = 32 };

#define START_MAGIC 0x336ec578u

/* Walks the notes of one segment; 4-byte alignment.  True when found. */
static bool find_note(const u8 *p, u64 n, u64 *entry)
{
    while (n >= 12) {
        u64 namesz = le32_get(p), descsz = le32_get(p + 4);
        u32 type = le32_get(p + 8);
        u64 desc = 12 + align_up(namesz, 4), next = desc + align_up(descsz, 4);
        if (desc + descsz > n)
            return false;
        if (type == NOTE_PHYS32_ENTRY && namesz == 4 && !memcmp(p + 12, "Xen", 4) && descsz >= 4) {
            *entry = descsz >= 8 ? le64_get(p + desc) : le32_get(p + desc);
            return true;
        }
        if (next >= n)
            return false;
        p += next;
        n -= next;
    }
    return false;
}

int pvh_find_entry(const struct image *k, u64 *entry_point, struct err *e)
{
    struct elf elf;
    int r = elf_read(k, &elf, e);
    if (r)
        return r;
    u8 notes[4096];
    for (unsigned i = 0; i < elf.nphdrs; i++) {
        const struct elf_phdr *p = &elf.ph[i];
        if (p->type != ELF_PT_NOTE)
            continue;
        u64 n = min(p->filesz, (u64)sizeof(notes));
        r = image_read(k, p->offset, notes, n, e);
        if (r)
            return r;
        if (find_note(notes, n, entry_point))
            return 0;
    }
    return -ENOENT;
}

/* One module, "file" or "file its command line", as high as possible below *limit; its text goes to
 * *str. */
static int load_module(const char *item, const struct boot_mem *m, u64 floor, u64 *limit, u64 *str,
                       u8 *ml, struct err *e)
{
    size_t n = strlen(item) + 1, name = strcspn(item, " ");
    u64 addr, size;
    char *path = strndup(item, name);

    if (!path)
        return err_set(e, ENOMEM, "%s: out of memory", item);
    int r = loader_file_high(path, m, floor, *limit, &addr, &size, e);
    free(path);
    if (r)
        return r;
    memset(ml, 0, MODLIST_ENTRY);
    le64_put(ml, addr);
    le64_put(ml + 8, size);
    *limit = addr;
    if (!item[name])
        return 0;
    n -= name + 1;
    if (n > BOOT_STRINGS + BOOT_STRINGS_MAX - *str)
        return err_set(e, E2BIG, "--initrd: too much text");
    memcpy(m->hva + *str, item + name + 1, n);
    le64_put(ml + 16, *str);
    *str += n;
    return 0;
}

/* The modules of a comma-separated list, above the kernel's end. */
static int load_modules(const char *initrd, const struct boot_mem *m, u64 end, u32 *count,
                        struct err *e)
{
    u64 limit = UINT32_MAX, str = BOOT_STRINGS;
    char *list = strdup(initrd), *save;
    int r = list ? 0 : err_set(e, ENOMEM, "--initrd: out of memory");

    for (char *item = list ? strtok_r(list, ",", &save) : NULL; item && !r;
         item = strtok_r(NULL, ",", &save)) {
        if (*count == BOOT_MODULES_MAX)
            r = err_set(e, E2BIG, "--initrd: more than %u modules", BOOT_MODULES_MAX);
        else
            r = load_module(item, m, end, &limit, &str,
                            m->hva + BOOT_MODLIST + *count * MODLIST_ENTRY, e);
        ++*count;
    }
    free(list);
    return r;
}
_Static_assert(BOOT_MODLIST + BOOT_MODULES_MAX * MODLIST_ENTRY <= BOOT_PAGES, "modules");

int pvh_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
             u64 entry_point, struct boot_entry *entry, struct err *e)
{
    struct elf elf;
    u64 end;
    u32 nmods = 0;
    int r = elf_read(k, &elf, e);
    if (!r)
        r = elf_load(k, &elf, m, &end, e);
    if (!r)
        r = loader_cmdline(f, m, BOOT_CMDLINE_MAX, e);
    if (!r && (entry_point < BOOT_KERNEL || entry_point >= end))
        r = err_set(e, EINVAL, "%s: its PVH entry point 0x%llx lies outside of it", k->path,
                    (unsigned long long)entry_point);
    if (!r && f->initrd)
        r = load_modules(f->initrd, m, end, &nmods, e);
    if (r)
        return r;

    u8 *si = m->hva + BOOT_INFO, *mm = m->hva + BOOT_MEMMAP;
    memset(si, 0, START_INFO);
    le32_put(si, START_MAGIC);
    le32_put(si + 4, 1);
    le32_put(si + 12, nmods);
    le64_put(si + 16, nmods ? BOOT_MODLIST : 0);
    le64_put(si + 24, BOOT_CMDLINE);
    le64_put(si + 32, m->rsdp);
    le64_put(si + 40, BOOT_MEMMAP);
    le32_put(si + 48, m->map->n);
    for (unsigned i = 0; i < m->map->n; i++, mm += 24) {
        le64_put(mm, m->map->e[i].base);
        le64_put(mm + 8, m->map->e[i].len);
        le32_put(mm + 16, m->map->e[i].type);
        le32_put(mm + 20, 0);
    }
    entry->rip = entry_point;
    entry->rbx = BOOT_INFO;
    return 0;
}
