/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Loading ELF kernels.  System V ABI, chapters 4 and 5.  Section headers are not looked at: a
 * kernel is what its program headers say.  Files may be hostile: every offset is checked against
 * the file and every address against guest memory before a byte moves.
 */
#include "board/elf.h"
#include "base/endian.h"

#include <errno.h>
#include <string.h>

enum { EM_386 = 3, EM_X86_64 = 62 };

bool elf_probe(const u8 *head, u64 n)
{
    return n >= 52 && !memcmp(head, "\177ELF", 4);
}

static void phdr_get(struct elf_phdr *p, const u8 *b, bool is64)
{
    p->type = le32_get(b);
    if (is64) {
        p->offset = le64_get(b + 8);
        p->vaddr = le64_get(b + 16);
        p->paddr = le64_get(b + 24);
        p->filesz = le64_get(b + 32);
        p->memsz = le64_get(b + 40);
    } else {
        p->offset = le32_get(b + 4);
        p->vaddr = le32_get(b + 8);
        p->paddr = le32_get(b + 12);
        p->filesz = le32_get(b + 16);
        p->memsz = le32_get(b + 20);
    }
}

int elf_read(const struct image *k, struct elf *elf, struct err *e)
{
    u8 h[64] = {0}, ph[56];
    int r = image_read(k, 0, h, min(k->size, (u64)sizeof(h)), e);
    if (r)
        return r;
    elf->is64 = h[4] == 2;
    if (h[4] != 1 && h[4] != 2)
        return err_set(e, EINVAL, "%s: ELF file of unknown class %u", k->path, h[4]);
    u16 machine = le16_get(h + 18);
    if (h[5] != 1 || (machine != EM_386 && machine != EM_X86_64))
        return err_set(e, EINVAL, "%s: ELF file for another processor (machine %u)", k->path,
                       machine);
    elf->entry = elf->is64 ? le64_get(h + 24) : le32_get(h + 24);
    u64 phoff = elf->is64 ? le64_get(h + 32) : le32_get(h + 28);
    u16 phentsize = le16_get(h + (elf->is64 ? 54 : 42));
    u16 phnum = le16_get(h + (elf->is64 ? 56 : 44));
    u64 want = elf->is64 ? 56 : 32;
    if (phentsize != want || !phnum || phnum > ELF_PHDRS_MAX)
        return err_set(e, EINVAL, "%s: ELF file with %u program headers of %u bytes", k->path,
                       phnum, phentsize);
    elf->nphdrs = phnum;
    for (unsigned i = 0; i < phnum; i++) {
        if (phoff > k->size)
            return err_set(e, EINVAL, "%s: truncated: program headers lie behind the file's end",
                           k->path);
        r = image_read(k, phoff + i * want, ph, want, e);
        if (r)
            return r;
        struct elf_phdr *p = &elf->ph[i];
        phdr_get(p, ph, elf->is64);
        if (p->type != ELF_PT_LOAD && p->type != ELF_PT_NOTE)
            continue;
        if (!range_within(p->offset, p->filesz, 0, k->size))
            return err_set(e, EINVAL,
                           "%s: truncated: segment %u goes to byte %llu, the file has %llu",
                           k->path, i, (unsigned long long)(p->offset + p->filesz),
                           (unsigned long long)k->size);
    }
    return 0;
}

int elf_load(const struct image *k, const struct elf *elf, const struct boot_mem *m, u64 *end,
             struct err *e)
{
    *end = 0;
    for (unsigned i = 0; i < elf->nphdrs; i++) {
        const struct elf_phdr *p = &elf->ph[i];
        if (p->type != ELF_PT_LOAD || !p->memsz)
            continue;
        if (p->filesz > p->memsz)
            return err_set(e, EINVAL, "%s: segment %u is larger in the file than in memory",
                           k->path, i);
        if (p->paddr < BOOT_KERNEL)
            return err_set(e, EINVAL,
                           "%s: segment %u wants address 0x%llx, below 1 MiB nothing is loaded",
                           k->path, i, (unsigned long long)p->paddr);
        if (!range_within(p->paddr, p->memsz, 0, m->top))
            return err_set(e, ENOMEM,
                           "%s: segment %u wants 0x%llx bytes at 0x%llx, memory ends at 0x%llx",
                           k->path, i, (unsigned long long)p->memsz, (unsigned long long)p->paddr,
                           (unsigned long long)m->top);
        int r = image_read(k, p->offset, m->hva + p->paddr, p->filesz, e);
        if (r)
            return r;
        memset(m->hva + p->paddr + p->filesz, 0, p->memsz - p->filesz);
        *end = max(*end, p->paddr + p->memsz);
    }
    if (!*end)
        return err_set(e, EINVAL, "%s: ELF file with nothing to load", k->path);
    return 0;
}

u64 elf_entry_paddr(const struct elf *elf)
{
    for (unsigned i = 0; i < elf->nphdrs; i++) {
        const struct elf_phdr *p = &elf->ph[i];
        if (p->type == ELF_PT_LOAD && range_within(elf->entry, 1, p->vaddr, p->memsz))
            return elf->entry - p->vaddr + p->paddr;
    }
    return elf->entry;
}
