/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK: new images.
 */
#include "disk/vmdk.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

enum { NAME_ROOM = 1100, TEXT_ROOM = 1 << 16 };

#define SPARSE_MAX (2ull << 40)    /* bytes that 32-bit sector numbers reach */
#define SPLIT      (2047ull << 20) /* of the twoGbMaxExtent formats, as VMware cuts */

const struct create_option vmdk_options[] = {
    {"subformat", "monolithicSparse (default), monolithicFlat, twoGbMaxExtentSparse, "
                  "twoGbMaxExtentFlat or streamOptimized"},
    {"adapter_type", "ide (default), lsilogic, buslogic or legacyESX"},
    {"hwversion", "of the virtual hardware (default 4)"},
    {"toolsversion", "of the guest tools (default 2147483647)"},
    {"compat6", "the same as hwversion=6 (default off)"},
    {"zeroed_grain", "grains may be marked as zeros (default off)"},
    {0},
};

static const char digits[] = "0123456789";

struct plan {
    const struct disk_create *c;
    u64 size;
    const char *subformat, *adapter;
    char hw[16], tools[16];
    bool flat, split, stream, zeroed;
    u32 cid, parent_cid;
    char *text;
    size_t len;
};

static int read_options(struct plan *p, struct err *e)
{
    static const char *const formats[] = {"monolithicSparse",     "monolithicFlat",
                                          "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                                          "streamOptimized",      NULL};
    static const char *const adapters[] = {"ide", "lsilogic", "buslogic", "legacyESX", NULL};
    const struct disk_create *c = p->c;
    unsigned subformat = 0, adapter = 0;
    bool compat6 = false;
    int r = create_bool(c, "zeroed_grain", &p->zeroed, e);

    if (!r)
        r = create_bool(c, "compat6", &compat6, e);
    strcpy(p->hw, compat6 ? "6" : "4");
    strcpy(p->tools, "2147483647");
    if (!r)
        r = create_choice(c, "subformat", formats, &subformat, e);
    if (!r)
        r = create_choice(c, "adapter_type", adapters, &adapter, e);
    if (!r)
        r = create_text(c, "hwversion", p->hw, sizeof(p->hw), e);
    if (!r)
        r = create_text(c, "toolsversion", p->tools, sizeof(p->tools), e);
    if (r)
        return r;
    p->subformat = formats[subformat];
    p->adapter = adapters[adapter];
    p->flat = subformat == 1 || subformat == 3;
    p->split = subformat == 2 || subformat == 3;
    p->stream = subformat == 4;
    if (p->hw[strspn(p->hw, digits)] || p->tools[strspn(p->tools, digits)])
        return err_set(e, EINVAL, "hwversion or toolsversion: not a number");
    if (c->backing && (p->flat || p->stream))
        return err_set(e, EINVAL, "subformat=%s does not go with a backing file", p->subformat);
    if (p->zeroed && (p->flat || p->stream))
        return err_set(e, EINVAL, "subformat=%s does not go with zeroed_grain", p->subformat);
    p->size = align_up(c->size, DISK_SECTOR);
    if (!p->flat && !p->split && p->size > SPARSE_MAX)
        return err_set(e, EFBIG, "subformat=%s ends at 2 TiB", p->subformat);
    if (p->split && p->size > SPLIT * IMG_FILES_MAX)
        return err_set(e, EFBIG, "subformat=%s ends at %u files", p->subformat, IMG_FILES_MAX);
    return 0;
}

static int folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash - path + 1) : 0;
}

static int take_parent(struct plan *p, struct err *e)
{
    const struct disk_create *c = p->c;
    struct disk_options o = c->io;
    char path[PATH_MAX];
    struct img *im;
    int r;

    p->parent_cid = VMDK_NO_PARENT;
    if (!c->backing)
        return 0;
    if (c->backing_format && strcmp(c->backing_format, "vmdk"))
        return err_set(e, EINVAL, "the backing file of a VMDK image must be a VMDK image");
    if (strpbrk(c->backing, "\"\r\n"))
        return err_set(e, EINVAL, "backing file: a name that a descriptor cannot hold");
    snprintf(path, sizeof(path), "%.*s%s", c->backing[0] == '/' ? 0 : folder_len(c->path), c->path,
             c->backing);
    o.readonly = o.no_parent = true;
    o.format = "vmdk";
    r = img_open(&im, path, &o, e);
    if (r)
        return err_prefix(e, "backing file");
    p->parent_cid = ((struct vmdk *)im->s)->cid;
    img_close(im);
    return 0;
}

/* ---------------------------------------------------------------- descriptor -- */

static __attribute__((format(printf, 2, 3))) void add(struct plan *p, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(p->text + p->len, TEXT_ROOM - p->len, fmt, ap);
    va_end(ap);
    p->len = min(p->len + (size_t)max(n, 0), (size_t)TEXT_ROOM);
}

/* The name of extent i, without a folder. */
static void extent_name(const struct plan *p, unsigned i, char *out)
{
    const char *base = p->c->path + folder_len(p->c->path);
    const char *dot = strrchr(base, '.');
    int n = dot && !strcasecmp(dot, ".vmdk") ? (int)(dot - base) : (int)strlen(base);

    if (p->split)
        snprintf(out, NAME_ROOM, "%.*s-%c%03u.vmdk", n, base, p->flat ? 'f' : 's', i + 1);
    else if (p->flat)
        snprintf(out, NAME_ROOM, "%.*s-flat.vmdk", n, base);
    else
        snprintf(out, NAME_ROOM, "%s", base);
}

static unsigned extents(const struct plan *p)
{
    return p->split ? (unsigned)((p->size + SPLIT - 1) / SPLIT) : 1;
}

static u64 extent_size(const struct plan *p, unsigned i)
{
    return p->split ? min(p->size - i * SPLIT, SPLIT) : p->size;
}

static int make_text(struct plan *p, struct err *e)
{
    unsigned heads = strcmp(p->adapter, "ide") ? 255 : 16;
    u64 cylinders = p->size / (63ull * heads * VMDK_SECTOR);
    char name[NAME_ROOM];

    p->text = malloc(TEXT_ROOM);
    if (!p->text || getrandom(&p->cid, sizeof(p->cid), 0) != sizeof(p->cid))
        return err_set(e, ENOMEM, "out of memory");
    p->cid |= 0x10000000; /* eight digits */
    p->cid &= 0x7fffffff;
    add(p, "# Disk DescriptorFile\nversion=1\nCID=%08x\nparentCID=%08x\ncreateType=\"%s\"\n",
        p->cid, p->parent_cid, p->subformat);
    if (p->c->backing)
        add(p, "parentFileNameHint=\"%s\"\n", p->c->backing);
    add(p, "\n# Extent description\n");
    for (unsigned i = 0; i < extents(p); i++) {
        extent_name(p, i, name);
        if (strpbrk(name, "\"\r\n"))
            return err_set(e, EINVAL, "a name that a descriptor cannot hold");
        add(p, "RW %llu %s \"%s\"%s\n", (unsigned long long)extent_size(p, i) / VMDK_SECTOR,
            p->flat ? "FLAT" : "SPARSE", name, p->flat ? " 0" : "");
    }
    add(p,
        "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"%s\"\n"
        "ddb.geometry.cylinders = \"%llu\"\nddb.geometry.heads = \"%u\"\n"
        "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"%s\"\nddb.toolsVersion = \"%s\"\n",
        p->hw, (unsigned long long)(heads == 16 ? min(cylinders, 16383ull) : cylinders), heads,
        p->adapter, p->tools);
    if (p->len >= (!p->flat && !p->split ? VMDK_DESC_SECTORS * VMDK_SECTOR : TEXT_ROOM))
        return err_set(e, EINVAL, "its names do not fit into the descriptor");
    return 0;
}

/* ------------------------------------------------------------------- extents -- */

static int write_stream_end(struct file *f, const u8 *header, u64 gd_bytes)
{
    u64 at = le64_get(header + VS_OVERHEAD) * VMDK_SECTOR, n = gd_bytes + 4 * VMDK_SECTOR;
    u8 *buf = calloc(n, 1), *footer = buf + VMDK_SECTOR + gd_bytes;
    int r;

    if (!buf)
        return -ENOMEM;
    le64_put(buf + VM_LBA, gd_bytes / VMDK_SECTOR);
    le32_put(buf + VM_TYPE, MARKER_GD);
    le64_put(footer + VM_LBA, 1);
    le32_put(footer + VM_TYPE, MARKER_FOOTER);
    memcpy(footer + VMDK_SECTOR, header, VMDK_SECTOR);
    le64_put(footer + VMDK_SECTOR + VS_GD, at / VMDK_SECTOR + 1);
    r = file_write(f, at, buf, n);
    free(buf);
    return r;
}

static int write_directory(struct file *f, u64 at, u32 gds, u64 gd_bytes)
{
    u8 *gd = calloc(gd_bytes, 1);
    int r;

    if (!gd)
        return -ENOMEM;
    for (u32 i = 0; i < gds; i++)
        le32_put(gd + 4 * i,
                 (u32)((at + gd_bytes) / VMDK_SECTOR + i * (VMDK_GTES * 4 / VMDK_SECTOR)));
    r = file_write(f, at, gd, gd_bytes);
    free(gd);
    return r;
}

int vmdk_make_sparse(struct file *f, const struct vmdk_layout *l, struct err *e)
{
    u64 covers = (u64)VMDK_GRAIN * VMDK_GTES, gds = (l->size + covers - 1) / covers;
    u64 gd_bytes = align_up(gds * 4, VMDK_SECTOR), all = gd_bytes + gds * VMDK_GTES * 4;
    u64 first = (l->text ? 1 + VMDK_DESC_SECTORS : 1) * (u64)VMDK_SECTOR;
    u64 end = align_up(l->stream ? first : first + 2 * all, VMDK_GRAIN);
    u8 h[VMDK_SECTOR] = {0}, desc[VMDK_DESC_SECTORS * VMDK_SECTOR] = {0};
    int r;

    le32_put(h, VMDK_MAGIC);
    le32_put(h + VS_VERSION, l->stream ? 3 : l->zeroed ? 2 : 1);
    le32_put(h + VS_FLAGS, VF_LINES | (l->stream ? VF_COMPRESSED | VF_MARKERS : VF_REDUNDANT) |
                               (l->zeroed ? VF_ZEROED : 0));
    le64_put(h + VS_CAPACITY, l->size / VMDK_SECTOR);
    le64_put(h + VS_GRAIN, VMDK_GRAIN / VMDK_SECTOR);
    le64_put(h + VS_DESC, l->text ? 1 : 0);
    le64_put(h + VS_DESC_SIZE, l->text ? VMDK_DESC_SECTORS : 0);
    le32_put(h + VS_GTES, VMDK_GTES);
    le64_put(h + VS_RGD, l->stream ? 0 : first / VMDK_SECTOR);
    le64_put(h + VS_GD, l->stream ? VMDK_GD_AT_END : (first + all) / VMDK_SECTOR);
    le64_put(h + VS_OVERHEAD, end / VMDK_SECTOR);
    memcpy(h + VS_LINES, "\n \r\n", 4);
    le16_put(h + VS_COMPRESS, l->stream);
    if (l->text)
        memcpy(desc, l->text, strlen(l->text));
    r = file_truncate(f, end);
    if (!r && f->is_device)
        r = file_zero(f, 0, end);
    if (!r && l->text)
        r = file_write(f, VMDK_SECTOR, desc, sizeof(desc));
    if (!r && l->stream)
        r = write_stream_end(f, h, gd_bytes);
    if (!r && !l->stream)
        r = write_directory(f, first, (u32)gds, gd_bytes);
    if (!r && !l->stream)
        r = write_directory(f, first + all, (u32)gds, gd_bytes);
    if (!r)
        r = file_write(f, 0, h, sizeof(h));
    if (!r)
        r = file_flush(f);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

static int make_extent(const struct plan *p, unsigned i, struct err *e)
{
    struct vmdk_layout l = {.size = extent_size(p, i), .zeroed = p->zeroed};
    char name[NAME_ROOM], path[PATH_MAX];
    struct file *f;
    int r;

    extent_name(p, i, name);
    snprintf(path, sizeof(path), "%.*s%s", folder_len(p->c->path), p->c->path, name);
    r = file_open(&f, path, FILE_CREATE, &p->c->io, e);
    if (!r) {
        if (!p->flat) {
            r = vmdk_make_sparse(f, &l, e);
        } else {
            r = file_truncate(f, l.size);
            if (r)
                err_set(e, -r, "%s", strerror(-r));
        }
        file_close(f);
    }
    return r ? err_prefix(e, "extent %s", name) : 0;
}

static int make_main(const struct plan *p, struct file *f, struct err *e)
{
    struct vmdk_layout l = {
        .size = p->size, .text = p->text, .zeroed = p->zeroed, .stream = p->stream};
    int r = 0;

    if (!p->flat && !p->split)
        return vmdk_make_sparse(f, &l, e);
    for (unsigned i = 0; i < extents(p) && !r; i++)
        r = make_extent(p, i, e);
    if (r)
        return r;
    r = file_truncate(f, 0);
    if (!r)
        r = file_write(f, 0, p->text, p->len);
    if (!r)
        r = file_flush(f);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

int vmdk_create(const struct disk_create *c, struct err *e)
{
    struct plan p = {.c = c};
    struct file *f;
    int r = read_options(&p, e);

    if (!r)
        r = take_parent(&p, e);
    if (!r)
        r = make_text(&p, e);
    if (!r)
        r = file_open(&f, c->path, FILE_CREATE, &c->io, e);
    if (!r) {
        r = make_main(&p, f, e);
        file_close(f);
    }
    free(p.text);
    return r;
}
