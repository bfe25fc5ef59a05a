/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the three kernel loaders share: files, the command line, the choice by content, and the
 * processor's state at the entry point.
 */
#include "board/loader.h"
#include "base/endian.h"
#include "board/bzimage.h"
#include "board/elf.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ------------------------------------------------------------------- files -- */

int image_open(struct image *im, const char *path, struct err *e)
{
    struct stat st;
    /* O_NONBLOCK: a FIFO that nobody writes must not hang us. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
        close(fd);
        return err_set(e, EINVAL, "%s: not a regular file", path);
    }
    *im = (struct image){path, fd, (u64)st.st_size};
    return 0;
}

void image_close(struct image *im)
{
    close(im->fd);
    im->fd = -1;
}

int image_read(const struct image *im, u64 off, void *buf, u64 len, struct err *e)
{
    u8 *p = buf;
    u64 at = off;
    while (len) {
        ssize_t n = pread(im->fd, p, min(len, 1024 * MIB), (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(e, errno, "%s: %s", im->path, strerror(errno));
        if (!n)
            return err_set(e, EINVAL, "%s: truncated: ends at byte %llu, %llu more are needed",
                           im->path, (unsigned long long)at, (unsigned long long)len);
        p += n;
        at += (u64)n;
        len -= (u64)n;
    }
    return 0;
}

int loader_file_high(const char *path, const struct boot_mem *m, u64 floor, u64 limit, u64 *addr,
                     u64 *size, struct err *e)
{
    struct image im;
    int r = image_open(&im, path, e);
    if (r)
        return r;
    floor = align_up(floor, PAGE_SIZE);
    limit = align_down(min(limit, m->top), PAGE_SIZE);
    if (!im.size) {
        r = err_set(e, EINVAL, "%s: empty file", path);
    } else if (floor > limit || im.size > limit - floor) {
        r = err_set(e, ENOMEM, "%s: %llu KiB do not fit into memory beside the kernel", path,
                    (unsigned long long)(im.size >> 10));
    } else {
        *addr = align_down(limit - im.size, PAGE_SIZE);
        *size = im.size;
        r = image_read(&im, 0, m->hva + *addr, im.size, e);
    }
    image_close(&im);
    return r;
}

int loader_cmdline(const struct boot_files *f, const struct boot_mem *m, u64 max, struct err *e)
{
    const char *s = f->append ? f->append : "";
    size_t n = strlen(s);
    max = min(max, (u64)BOOT_CMDLINE_MAX - 1);
    if (n > max)
        return err_set(e, EINVAL,
                       "%s: takes a command line of %llu bytes at most, --append has %zu",
                       f->kernel, (unsigned long long)max, n);
    memcpy(m->hva + BOOT_CMDLINE, s, n + 1);
    return 0;
}

/* -------------------------------------------------------- choice by content -- */

static int load_pvh(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
                    struct boot_entry *entry, struct err *e)
{
    u64 pvh = 0;
    int r = pvh_find_entry(k, &pvh, e);
    if (r == -ENOENT)
        return err_set(e, EINVAL, "%s: ELF file with neither a PVH note nor a Multiboot header",
                       f->kernel);
    return r ? r : pvh_load(k, f, m, pvh, entry, e);
}

/* A bzImage by the note of the kernel inside it. */
static int load_packed_pvh(const struct image *k, const struct boot_files *f,
                           const struct boot_mem *m, struct boot_entry *entry, struct err *e)
{
    struct image in;
    int r = bzimage_unpack(k, &in, e);
    if (r)
        return r;
    r = load_pvh(&in, f, m, entry, e);
    image_close(&in);
    return r;
}

static int load_kernel(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
                       struct boot_entry *entry, struct err *e)
{
    u8 *head = malloc(64 * KIB);
    if (!head)
        return err_set(e, ENOMEM, "%s: out of memory", f->kernel);
    u64 n = min(k->size, 64 * KIB);
    int r = image_read(k, 0, head, n, e);
    s64 mb;
    if (r) {
        ;
    } else if (f->pvh && linux_probe(head, n)) {
        r = load_packed_pvh(k, f, m, entry, e);
    } else if (f->pvh && elf_probe(head, n)) {
        r = load_pvh(k, f, m, entry, e);
    } else if (linux_probe(head, n)) {
        r = linux_load(k, f, m, entry, e);
    } else if ((mb = multiboot_probe(head, n)) >= 0) {
        r = multiboot_load(k, f, m, mb, entry, e);
    } else if (elf_probe(head, n)) {
        r = load_pvh(k, f, m, entry, e);
    } else if (!n) {
        r = err_set(e, EINVAL, "%s: empty file", f->kernel);
    } else {
        r = err_set(e, EINVAL, "%s: not a kernel: neither Linux bzImage, PVH ELF nor Multiboot",
                    f->kernel);
    }
    free(head);
    return r;
}

int loader_load(const struct boot_files *f, const struct boot_mem *m, struct boot_entry *entry,
                struct err *e)
{
    struct image k;
    if (m->top < 2 * MIB)
        return err_set(e, EINVAL, "%s: a kernel needs at least 2 MiB of memory", f->kernel);
    int r = image_open(&k, f->kernel, e);
    if (r)
        return r;
    memset(entry, 0, sizeof(*entry));
    memset(m->hva + BOOT_GDT, 0, BOOT_CMDLINE - BOOT_GDT);
    r = load_kernel(&k, f, m, entry, e);
    image_close(&k);
    if (!r)
        loader_tables(m, entry);
    return r;
}

/* --------------------------------------------------------------- the entry -- */

enum { DESC_CODE32 = 0x9b, DESC_DATA = 0x93, DESC_TSS32 = 0x8b };

static u64 flat(unsigned type, unsigned flags)
{
    return 0x000f00000000ffffull | (u64)type << 40 | (u64)flags << 52;
}

void loader_tables(const struct boot_mem *m, const struct boot_entry *entry)
{
    u8 *gdt = m->hva + BOOT_GDT;
    unsigned code = entry->linux_selectors ? 0x10 : 0x08;
    le64_put(gdt + code, flat(DESC_CODE32, entry->long_mode ? 0xa : 0xc));
    le64_put(gdt + code + 8, flat(DESC_DATA, 0xc));
    le64_put(gdt + 0x20, 0x00008b0000000067ull); /* a TSS at 0: never used, must exist */
    if (!entry->long_mode)
        return;
    /* PML4, PDPT, four page directories of 2 MiB pages: present, writable. */
    u8 *pt = m->hva + BOOT_PAGES;
    memset(pt, 0, 6 * PAGE_SIZE);
    le64_put(pt, (BOOT_PAGES + PAGE_SIZE) | 3);
    for (unsigned i = 0; i < 4; i++)
        le64_put(pt + PAGE_SIZE + i * 8, (BOOT_PAGES + (2 + i) * PAGE_SIZE) | 3);
    for (unsigned i = 0; i < 2048; i++)
        le64_put(pt + 2 * PAGE_SIZE + i * 8, (u64)i << 21 | 0x83);
}

void loader_state(const struct boot_entry *entry, struct cpu_state *s)
{
    u16 code = entry->linux_selectors ? 0x10 : 0x08;
    for (unsigned i = 0; i < SEG_COUNT; i++)
        s->seg[i] = (struct segment){0, UINT32_MAX, (u16)(code + 8), DESC_DATA | SEG_DB | SEG_G};
    s->seg[CS] = (struct segment){0, UINT32_MAX, code,
                                  DESC_CODE32 | SEG_G | (entry->long_mode ? SEG_L : SEG_DB)};
    s->tr = (struct segment){0, 0x67, 0x20, DESC_TSS32};
    s->gdtr = (struct desc_table){BOOT_GDT, 0x27};
    s->idtr = (struct desc_table){0, 0};
    s->rflags = FLAG_1;
    s->cr0 = CR0_PE | CR0_ET | CR0_NE;
    if (entry->long_mode) {
        s->cr0 |= CR0_PG;
        s->cr3 = BOOT_PAGES;
        s->cr4 = CR4_PAE;
        s->efer = EFER_LME | EFER_LMA;
    }
    s->rip = entry->rip;
    memset(s->gpr, 0, sizeof(s->gpr));
    s->gpr[RAX] = entry->rax;
    s->gpr[RBX] = entry->rbx;
    s->gpr[RSI] = entry->rsi;
}
