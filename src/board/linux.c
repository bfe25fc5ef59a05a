/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Linux bzImage, boot protocol 2.06 and later (Linux: Documentation/x86/boot.rst and
 * zero-page.rst), by its 64-bit entry where the kernel has one, else by its 32-bit entry.  The
 * real-mode set-up code is not run, so what it would have asked the BIOS for is filled in here:
 * the memory map, the ACPI root, the command line.  Left out: zImage (loaded low) and protocols
 * before 2.06, which cannot tell how long a command line they take; both end before Linux 2.6.22.
 */
#include "base/endian.h"
#include "board/loader.h"
#include "core/mem.h"

#include <errno.h>
#include <string.h>

/* Offsets in the first sectors of the file, and in boot_params. */
enum {
    HDR_START = 0x1f1,
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4, /* of the protected-mode part, in 16 bytes */
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP_LEN = 0x201,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_ALIGNMENT = 0x230,
    HDR_RELOCATABLE = 0x234,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_MAX = 0x280, /* all that a header of any version has */

    BP_EXT_MEM_K = 0x002,
    BP_VIDEO_MODE = 0x006,
    BP_VIDEO_COLS = 0x007,
    BP_VIDEO_LINES = 0x00e,
    BP_VIDEO_IS_VGA = 0x00f,
    BP_VIDEO_POINTS = 0x010,
    BP_ACPI_RSDP = 0x070,
    BP_ALT_MEM_K = 0x1e0,
    BP_E820_ENTRIES = 0x1e8,
    BP_E820_TABLE = 0x2d0,

    LOADED_HIGH = 1 << 0,
    XLF_KERNEL_64 = 1 << 0,
};

#define LINUX_MAGIC 0x53726448u /* "HdrS" */

bool linux_probe(const u8 *head, u64 n)
{
    return n >= 0x210 && le16_get(head + HDR_BOOT_FLAG) == 0xaa55 &&
           le32_get(head + HDR_MAGIC) == LINUX_MAGIC;
}

/* Fields of the header that newer protocols added read as 0 in older ones. */
static int read_header(const struct image *k, u8 *h, struct err *e)
{
    memset(h, 0, HDR_MAX);
    int r = image_read(k, 0, h, min(k->size, (u64)HDR_MAX), e);
    if (r)
        return r;
    unsigned version = le16_get(h + HDR_VERSION);
    if (version < 0x206)
        return err_set(e, EINVAL, "%s: Linux boot protocol %u.%02u, 2.06 or later is needed",
                       k->path, version >> 8, version & 0xff);
    if (!(h[HDR_LOADFLAGS] & LOADED_HIGH))
        return err_set(e, EINVAL, "%s: a zImage that loads low is not supported", k->path);
    u32 end = HDR_MAGIC + h[HDR_JUMP_LEN];
    if (end > HDR_MAX)
        end = HDR_MAX;
    memset(h + end, 0, HDR_MAX - end);
    return 0;
}

/* Where the protected-mode part goes, and how much memory it needs from there on. */
static int place_kernel(const struct image *k, const u8 *h, const struct boot_mem *m, u64 len,
                        u64 *load, u64 *need, struct err *e)
{
    unsigned version = le16_get(h + HDR_VERSION);
    u64 pref = le64_get(h + HDR_PREF_ADDRESS), init = le32_get(h + HDR_INIT_SIZE);
    if (version < 0x20a) {
        *load = BOOT_KERNEL;
        *need = max(len * 3, len + 8 * MIB); /* it does not say: allow for unpacking */
    } else {
        /* A kernel unpacks itself where it is loaded, or where it prefers if that is higher. */
        *load = pref;
        *need = max(init, len);
    }
    if (*load < BOOT_KERNEL)
        return err_set(e, EINVAL, "%s: wants to be loaded at 0x%llx, below 1 MiB", k->path,
                       (unsigned long long)*load);
    if (!range_within(*load, *need, 0, m->top))
        return err_set(
            e, ENOMEM, "%s: needs %llu MiB of memory to start, the machine has %llu", k->path,
            *load > UINT64_MAX - *need ? UINT64_MAX >> 20
                                       : (unsigned long long)((*load + *need + MIB - 1) >> 20),
            (unsigned long long)((m->top + MIB - 1) >> 20));
    return 0;
}

static void boot_params(const u8 *h, const struct boot_mem *m, u64 load, u64 initrd, u64 initrd_len)
{
    u8 *bp = m->hva + BOOT_INFO;
    memset(bp, 0, PAGE_SIZE);
    memcpy(bp + HDR_START, h + HDR_START, HDR_MAX - HDR_START);
    bp[HDR_TYPE_OF_LOADER] = 0xff;
    le32_put(bp + HDR_CODE32_START, (u32)load);
    le32_put(bp + HDR_RAMDISK_IMAGE, (u32)initrd);
    le32_put(bp + HDR_RAMDISK_SIZE, (u32)initrd_len);
    le32_put(bp + HDR_CMD_LINE_PTR, BOOT_CMDLINE);
    if (m->text) { /* screen_info: mode 3, 80 x 25, VGA, 16 lines a character */
        bp[BP_VIDEO_MODE] = 3;
        bp[BP_VIDEO_COLS] = 80;
        bp[BP_VIDEO_LINES] = 25;
        bp[BP_VIDEO_IS_VGA] = 1;
        le16_put(bp + BP_VIDEO_POINTS, 16);
    }
    le64_put(bp + BP_ACPI_RSDP, m->rsdp);
    u64 ext_k = (m->top - MIB) >> 10;
    le16_put(bp + BP_EXT_MEM_K, (u16)min(ext_k, (u64)0xfc00));
    le32_put(bp + BP_ALT_MEM_K, (u32)ext_k);
    bp[BP_E820_ENTRIES] = (u8)m->map->n;
    e820_wire(m->map, bp + BP_E820_TABLE);
}

int linux_load(const struct image *k, const struct boot_files *f, const struct boot_mem *m,
               struct boot_entry *entry, struct err *e)
{
    u8 h[HDR_MAX];
    u64 load, need, initrd = 0, initrd_len = 0;
    int r = read_header(k, h, e);
    if (r)
        return r;
    u64 setup = ((h[HDR_SETUP_SECTS] ? h[HDR_SETUP_SECTS] : 4) + 1u) * 512;
    if (k->size <= setup)
        return err_set(e, EINVAL, "%s: truncated: nothing behind its %llu bytes of set-up code",
                       k->path, (unsigned long long)setup);
    u64 len = k->size - setup, said = (u64)le32_get(h + HDR_SYSSIZE) * 16;
    if (len + 16 < said)
        return err_set(e, EINVAL, "%s: truncated: the kernel has %llu bytes, the file %llu",
                       k->path, (unsigned long long)(setup + said), (unsigned long long)k->size);
    r = place_kernel(k, h, m, len, &load, &need, e);
    if (!r)
        r = image_read(k, setup, m->hva + load, len, e);
    if (r)
        return r;
    u32 cmdline_max = le32_get(h + HDR_CMDLINE_SIZE);
    r = loader_cmdline(f, m, cmdline_max ? cmdline_max : 255, e);
    if (r)
        return r;
    if (f->initrd) {
        u64 limit = le32_get(h + HDR_INITRD_ADDR_MAX);
        r = loader_file_high(f->initrd, m, load + need, (limit ? limit : 0x37ffffff) + 1, &initrd,
                             &initrd_len, e);
        if (r)
            return r;
    }
    boot_params(h, m, load, initrd, initrd_len);
    entry->linux_selectors = true;
    entry->rsi = BOOT_INFO;
    entry->long_mode = le16_get(h + HDR_VERSION) >= 0x20c &&
                       (le16_get(h + HDR_XLOADFLAGS) & XLF_KERNEL_64) && len > 0x200;
    entry->rip = load + (entry->long_mode ? 0x200 : 0);
    return 0;
}
