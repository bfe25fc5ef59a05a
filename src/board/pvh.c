/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PVH: an ELF kernel (Linux vmlinux, Xen, unikernels) with a note that gives a 32-bit entry point.
 * Xen: docs/misc/pvh.pandoc and xen/include/public/arch-x86/hvm/start_info.h.
 */
#include "base/endian.h"
#include "board/elf.h"
#include "core/mem.h"

#include <errno.h>
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

int pvh_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
             u64 entry_point, struct boot_entry *entry, struct err *e)
{
    struct elf elf;
    u64 end, mod = 0, mod_len = 0;
    int r = elf_read(k, &elf, e);
    if (!r)
        r = elf_load(k, &elf, m, &end, e);
    if (!r)
        r = loader_cmdline(f, m, BOOT_CMDLINE_MAX, e);
    if (!r && (entry_point < BOOT_KERNEL || entry_point >= end))
        r = err_set(e, EINVAL, "%s: its PVH entry point 0x%llx lies outside of it", k->path,
                    (unsigned long long)entry_point);
    if (!r && f->initrd)
        r = loader_file_high(f->initrd, m, end, UINT32_MAX, &mod, &mod_len, e);
    if (r)
        return r;

    u8 *si = m->hva + BOOT_INFO, *ml = m->hva + BOOT_MODLIST, *mm = m->hva + BOOT_MEMMAP;
    memset(si, 0, START_INFO);
    le32_put(si, START_MAGIC);
    le32_put(si + 4, 1);
    le32_put(si + 12, mod_len ? 1 : 0);
    le64_put(si + 16, mod_len ? BOOT_MODLIST : 0);
    le64_put(si + 24, BOOT_CMDLINE);
    le64_put(si + 32, m->rsdp);
    le64_put(si + 40, BOOT_MEMMAP);
    le32_put(si + 48, m->map->n);
    memset(ml, 0, MODLIST_ENTRY);
    le64_put(ml, mod);
    le64_put(ml + 8, mod_len);
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
