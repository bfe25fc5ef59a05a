/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The domain builder for classic Xen PV guests.  Xen's public headers say what a kernel finds
 * (xen.h: "start-of-day memory layout", elfnote.h: its wishes); the order is that of Xen's own
 * builder:
 *
 *     kernel    where its program headers want it, seen at VIRT_BASE + address
 *     RAM disk  behind it, unless the kernel wants it unmapped (MOD_START_PFN)
 *     start_info, xenstore's page, the console's page
 *     page tables, then the boot stack; all of it mapped, with half a MiB of room, to a multiple of
 *               4 MiB
 *     phys-to-machine list: at INIT_P2M, followed by the tables that map it, or before start_info
 *     RAM disk  unmapped
 *
 * Frames are addresses, so the list says n for n.  Page tables are mapped read-only, as the checks
 * of Xen's that they pass afterwards demand.
 */
#include "board/xen_pv.h"

#include "base/endian.h"
#include "board/bzimage.h"
#include "board/elf.h"
#include "core/mem.h"
#include "pv/xen/pv_abi.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    NOTE_ENTRY = 1,
    NOTE_HYPERCALL_PAGE = 2,
    NOTE_VIRT_BASE = 3,
    NOTE_PADDR_OFFSET = 4,
    NOTE_XEN_VERSION = 5,
    NOTE_INIT_P2M = 15,
    NOTE_MOD_START_PFN = 16,
    NOTES = 32,
    NOTES_BYTES = 64 << 10,
    ROOM = 512 << 10, /* mapped behind the boot stack, at least */
    MAPPED_MAX = 512 << 20,
};

struct build {
    const struct boot_files *f;
    struct image k;
    u8 *hva;
    u64 ram;
    u64 note[NOTES];
    u32 has; /* bits of notes */
    struct elf elf;
    u64 virt_base, paddr_offset;
    u64 next; /* the first address that is not taken */
    u64 initrd, initrd_size, p2m, p2m_va, p2m_size, p2m_tables;
    u64 start_info, store, console, tables, stack, mapped_end;
    u64 table_next, table_end; /* what table() gives out */
};

static bool has(const struct build *b, unsigned note)
{
    return b->has >> note & 1;
}

/* ------------------------------------------------------------------ notes -- */

static void note(struct build *b, u32 type, const u8 *desc, u64 n)
{
    if (type >= NOTES || (n != 8 && n != 4 && type != NOTE_XEN_VERSION))
        return;
    b->note[type] = n == 8 ? le64_get(desc) : n == 4 ? le32_get(desc) : 0;
    b->has |= BIT(type);
}

static void notes(struct build *b, const u8 *p, u64 n)
{
    while (n >= 12) {
        u64 namesz = le32_get(p), descsz = le32_get(p + 4);
        u64 desc = 12 + align_up(namesz, 4), next = desc + align_up(descsz, 4);
        if (desc + descsz > n)
            return;
        if (namesz == 4 && !memcmp(p + 12, "Xen", 4))
            note(b, le32_get(p + 8), p + desc, descsz);
        if (next >= n)
            return;
        p += next;
        n -= next;
    }
}

static int read_notes(struct build *b, struct err *e)
{
    u8 *buf = malloc(NOTES_BYTES);
    int r = buf ? 0 : err_set(e, ENOMEM, "%s: out of memory", b->f->kernel);
    for (unsigned i = 0; !r && i < b->elf.nphdrs; i++) {
        const struct elf_phdr *p = &b->elf.ph[i];
        u64 n = min(p->filesz, (u64)NOTES_BYTES);
        if (p->type != ELF_PT_NOTE)
            continue;
        r = image_read(&b->k, p->offset, buf, n, e);
        if (!r)
            notes(b, buf, n);
    }
    free(buf);
    if (r)
        return r;
    if (!b->elf.is64 || !has(b, NOTE_ENTRY) || !has(b, NOTE_VIRT_BASE))
        return err_set(e, EINVAL, "%s: no 64-bit kernel for classic Xen PV: it has no such notes",
                       b->f->kernel);
    b->virt_base = b->note[NOTE_VIRT_BASE];
    b->paddr_offset = has(b, NOTE_PADDR_OFFSET) ? b->note[NOTE_PADDR_OFFSET] : 0;
    if (b->virt_base & (2 * MIB - 1) || b->virt_base < PV_M2P_END)
        return err_set(e, EINVAL, "%s: wants to be mapped at 0x%llx", b->f->kernel,
                       (unsigned long long)b->virt_base);
    return 0;
}

/* ----------------------------------------------------------------- memory -- */

static u64 va(const struct build *b, u64 pa)
{
    return b->virt_base + pa;
}

/* n bytes, zeroed, from a page's start on; *at gets where. */
static int take(struct build *b, u64 n, u64 *at, const char *what, struct err *e)
{
    n = align_up(n, PAGE_SIZE);
    if (n > b->ram || b->next > b->ram - n)
        return err_set(e, ENOMEM, "%s: %s does not fit into %llu MiB of memory", b->f->kernel, what,
                       (unsigned long long)(b->ram / MIB));
    *at = b->next;
    memset(b->hva + *at, 0, n);
    b->next += n;
    return 0;
}

static int load_kernel(struct build *b, struct err *e)
{
    for (unsigned i = 0; i < b->elf.nphdrs; i++) {
        const struct elf_phdr *p = &b->elf.ph[i];
        u64 pa = p->paddr - b->paddr_offset;
        if (p->type != ELF_PT_LOAD || !p->memsz)
            continue;
        if (p->filesz > p->memsz || !range_within(pa, p->memsz, 0, b->ram))
            return err_set(e, ENOMEM,
                           "%s: segment %u wants 0x%llx bytes at 0x%llx, memory ends at 0x%llx",
                           b->f->kernel, i, (unsigned long long)p->memsz, (unsigned long long)pa,
                           (unsigned long long)b->ram);
        int r = image_read(&b->k, p->offset, b->hva + pa, p->filesz, e);
        if (r)
            return r;
        memset(b->hva + pa + p->filesz, 0, p->memsz - p->filesz);
        b->next = max(b->next, align_up(pa + p->memsz, PAGE_SIZE));
    }
    if (!b->next)
        return err_set(e, EINVAL, "%s: ELF file with nothing to load", b->f->kernel);
    return 0;
}

static int load_initrd(struct build *b, struct err *e)
{
    struct image im;
    int r = image_open(&im, b->f->initrd, e);
    if (r)
        return r;
    r = take(b, im.size, &b->initrd, "the initial RAM disk", e);
    if (!r)
        r = image_read(&im, 0, b->hva + b->initrd, im.size, e);
    b->initrd_size = im.size;
    image_close(&im);
    return r;
}

static int fill_hypercall_page(struct build *b, struct err *e)
{
    u64 pa = b->note[NOTE_HYPERCALL_PAGE] - b->virt_base;
    if (!has(b, NOTE_HYPERCALL_PAGE))
        return 0;
    if (pa & PAGE_MASK || !range_within(pa, PAGE_SIZE, 0, b->next))
        return err_set(e, EINVAL, "%s: its hypercall page lies outside of it", b->f->kernel);
    xen_pv_hypercall_page(b->hva + pa);
    return 0;
}

/* ------------------------------------------------------------ page tables -- */

/* Tables below the root that a range of linear addresses needs. */
static u64 tables_for(u64 from, u64 to)
{
    u64 n = 0;
    for (unsigned shift = 21; shift <= 39; shift += 9)
        n += ((to - 1) >> shift) - (from >> shift) + 1;
    return n;
}

static u64 *table(struct build *b)
{
    BUG_ON(b->table_next == b->table_end);
    u64 *t = (u64 *)(b->hva + b->table_next);
    b->table_next += PAGE_SIZE;
    return t;
}

static bool is_table(const struct build *b, u64 pa)
{
    return pa >= b->tables && pa < b->stack;
}

/* One page, in the tree below root. */
static void map_page(struct build *b, u64 *root, u64 lin, u64 pa, bool write)
{
    const u64 flags = PTE_PRESENT | PTE_RW | PTE_USER | PTE_ACCESSED;
    u64 *t = root;
    for (unsigned shift = 39; shift > 12; shift -= 9) {
        u64 *at = &t[lin >> shift & 511];
        if (!*at)
            *at = (u64)((u8 *)table(b) - b->hva) | flags | PTE_DIRTY;
        t = (u64 *)(b->hva + (*at & PTE_FRAME));
    }
    t[lin >> 12 & 511] = pa | (flags & ~(u64)(write ? 0 : PTE_RW)) | PTE_DIRTY;
}

/* Where page tables, stack and the end of what is mapped are: each grows with the others. */
static int place_tables(struct build *b, struct err *e)
{
    u64 n = 1, need;
    u64 first = b->next;
    for (;;) {
        b->mapped_end = align_up(va(b, first + (n + 1) * PAGE_SIZE + ROOM), 4 * MIB);
        if (b->mapped_end - b->virt_base > MAPPED_MAX)
            return err_set(e, EFBIG, "%s: the kernel and what belongs to it take more than %d MiB",
                           b->f->kernel, MAPPED_MAX >> 20);
        need = 1 + tables_for(b->virt_base, b->mapped_end);
        if (need <= n)
            break;
        n = need;
    }
    int r = take(b, n * PAGE_SIZE, &b->tables, "the page tables", e);
    if (!r)
        r = take(b, PAGE_SIZE, &b->stack, "the boot stack", e);
    if (r)
        return r;
    u64 rest;
    return take(b, b->mapped_end - va(b, b->next), &rest, "the room behind the kernel", e);
}

static void make_tables(struct build *b)
{
    u64 *root = (u64 *)(b->hva + b->tables);
    b->table_next = b->tables + PAGE_SIZE;
    b->table_end = b->stack;
    for (u64 pa = 0; va(b, pa) < b->mapped_end; pa += PAGE_SIZE)
        map_page(b, root, va(b, pa), pa, !is_table(b, pa));
    if (!has(b, NOTE_INIT_P2M))
        return;
    b->table_next = b->p2m + b->p2m_size;
    b->table_end = b->table_next + b->p2m_tables * PAGE_SIZE;
    for (u64 off = 0; off < b->p2m_size; off += PAGE_SIZE)
        map_page(b, root, b->p2m_va + off, b->p2m + off, true);
}

/* -------------------------------------------------------------- the list -- */

static int place_p2m(struct build *b, struct err *e)
{
    u64 first = b->note[NOTE_INIT_P2M];
    b->p2m_size = align_up(b->ram / PAGE_SIZE * 8, PAGE_SIZE);
    if (has(b, NOTE_INIT_P2M)) {
        u64 last = first + b->p2m_size - 1;
        bool low = last >= first && last < BIT64(47);
        bool high = first >= PV_M2P_END && last >= first && last < b->virt_base;
        if (first & PAGE_MASK || !(low || high) || (high && first >> 39 == b->virt_base >> 39))
            return err_set(e, EINVAL, "%s: wants its phys-to-machine list at 0x%llx", b->f->kernel,
                           (unsigned long long)first);
        b->p2m_tables = tables_for(first, first + b->p2m_size);
    }
    int r =
        take(b, b->p2m_size + b->p2m_tables * PAGE_SIZE, &b->p2m, "the phys-to-machine list", e);
    if (r)
        return r;
    b->p2m_va = has(b, NOTE_INIT_P2M) ? first : va(b, b->p2m);
    for (u64 i = 0; i < b->ram / PAGE_SIZE; i++)
        le64_put(b->hva + b->p2m + i * 8, i);
    return 0;
}

/* ------------------------------------------------------------- start_info -- */

static int fill_start_info(struct build *b, const struct xen_pv_info *info, struct err *e)
{
    struct pv_start_info *s = (struct pv_start_info *)(b->hva + b->start_info);
    const char *append = b->f->append ? b->f->append : "";
    bool unmapped = has(b, NOTE_MOD_START_PFN) && b->note[NOTE_MOD_START_PFN];
    if (strlen(append) >= sizeof(s->cmd_line))
        return err_set(e, EINVAL, "%s: takes a command line of %zu bytes at most, --append has %zu",
                       b->f->kernel, sizeof(s->cmd_line) - 1, strlen(append));
    *s = (struct pv_start_info){
        .magic = "xen-3.0-x86_64",
        .nr_pages = b->ram / PAGE_SIZE,
        .shared_info = info->shared_info << PAGE_SHIFT,
        .flags = b->initrd_size && unmapped ? SIF_MOD_START_PFN : 0,
        .store_mfn = b->store >> PAGE_SHIFT,
        .store_evtchn = info->store_port,
        .console_mfn = b->console >> PAGE_SHIFT,
        .console_evtchn = info->console_port,
        .pt_base = va(b, b->tables),
        .nr_pt_frames = (b->stack - b->tables) / PAGE_SIZE,
        .mfn_list = b->p2m_va,
        .mod_len = b->initrd_size,
    };
    if (b->initrd_size)
        s->mod_start = unmapped ? b->initrd >> PAGE_SHIFT : va(b, b->initrd);
    if (has(b, NOTE_INIT_P2M)) {
        s->first_p2m_pfn = b->p2m >> PAGE_SHIFT;
        s->nr_p2m_frames = b->p2m_size / PAGE_SIZE + b->p2m_tables;
    }
    memcpy(s->cmd_line, append, strlen(append));
    return 0;
}

/* ------------------------------------------------------------------ build -- */

static int build(struct build *b, const struct xen_pv_info *info, struct err *e)
{
    int r = elf_read(&b->k, &b->elf, e);
    if (!r)
        r = read_notes(b, e);
    if (!r)
        r = load_kernel(b, e);
    if (!r)
        r = fill_hypercall_page(b, e);
    bool unmapped = has(b, NOTE_MOD_START_PFN) && b->note[NOTE_MOD_START_PFN];
    if (!r && b->f->initrd && !unmapped)
        r = load_initrd(b, e);
    if (!r && !has(b, NOTE_INIT_P2M))
        r = place_p2m(b, e);
    if (!r)
        r = take(b, PAGE_SIZE, &b->start_info, "start_info", e);
    if (!r)
        r = take(b, PAGE_SIZE, &b->store, "the store's page", e);
    if (!r)
        r = take(b, PAGE_SIZE, &b->console, "the console's page", e);
    if (!r)
        r = place_tables(b, e);
    if (!r && has(b, NOTE_INIT_P2M))
        r = place_p2m(b, e);
    if (!r && b->f->initrd && unmapped)
        r = load_initrd(b, e);
    if (r)
        return r;
    make_tables(b);
    return fill_start_info(b, info, e);
}

/* The kernel as an ELF file: as it is, or out of a bzImage. */
static int open_kernel(struct build *b, struct err *e)
{
    struct image packed;
    u8 head[64] = {0};
    int r = image_open(&packed, b->f->kernel, e);
    if (r)
        return r;
    r = image_read(&packed, 0, head, min(packed.size, (u64)sizeof(head)), e);
    if (!r && elf_probe(head, sizeof(head))) {
        b->k = packed;
        return 0;
    }
    if (!r)
        r = bzimage_unpack(&packed, &b->k, e);
    image_close(&packed);
    return r;
}

int xen_pv_build(const struct boot_files *f, u8 *hva, u64 ram, const struct xen_pv_info *info,
                 struct xen_pv_boot *out, struct err *e)
{
    struct build *b = calloc(1, sizeof(*b));
    if (!b)
        return err_set(e, ENOMEM, "%s: out of memory", f->kernel);
    b->f = f;
    b->hva = hva;
    b->ram = ram;
    int r = open_kernel(b, e);
    if (!r) {
        r = build(b, info, e);
        image_close(&b->k);
    }
    if (!r)
        *out = (struct xen_pv_boot){
            .entry = b->note[NOTE_ENTRY],
            .start_info = va(b, b->start_info),
            .stack = va(b, b->stack) + PAGE_SIZE,
            .root = b->tables >> PAGE_SHIFT,
            .store = b->store >> PAGE_SHIFT,
            .console = b->console >> PAGE_SHIFT,
        };
    free(b);
    return r;
}
