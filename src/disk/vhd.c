/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VHD (Virtual PC, Hyper-V, Azure, XenServer; "vpc" to QEMU): opening, closing.
 *
 * How big is the disk?  Virtual PC takes cylinders x heads x sectors, everybody later the size
 * field.  As QEMU does, the creator application decides (creators[]), and a geometry at its maximum
 * always means the size field; disk_options.vhd_size overrides.
 *
 * Not here: saved state (the flag is ignored, as everybody does), blocks given back by a discard
 * (they are punched and stay allocated), the time stamp of a parent (copying changes it).
 */
#include "disk/vhd.h"
#include "disk/winpath.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ----------------------------------------------------------------------- probe -- */

static bool vhd_probe(const struct probe *p)
{
    if (!memcmp(p->head, VHD_COOKIE, 8))
        return true;
    /* A guest can write a footer into the last sector of its raw disk; then it loses a sector. */
    return vhd_footer_ok(p->tail) && be32_get(p->tail + VF_TYPE) == VHD_FIXED &&
           be64_get(p->tail + VF_SIZE) == p->size - VHD_FOOTER;
}

/* ------------------------------------------------------------------------ open -- */

static const struct creator {
    char app[4];
    bool chs;
} creators[] = {
    {"vpc ", true},              /* Virtual PC */
    {"vs  ", true},              /* Virtual Server */
    {"qemu", true},              /* QEMU */
    {"qem2", false},             /* QEMU, force_size=on */
    {"win ", false},             /* Hyper-V */
    {"vbox", false},             /* VirtualBox */
    {"d2v ", false},             /* Disk2vhd */
    {{'t', 'a', 'p', 0}, false}, /* XenServer */
    {"CTXS", false},             /* XenConvert */
    {{'w', 'a', 0, 0}, false},   /* Azure */
    {"wirt", false},
};

static u64 disk_size(const struct img *im, const u8 *f)
{
    u64 chs = vhd_chs_size(f), size = align_down(be64_get(f + VF_SIZE), 512);
    const char *want = im->opt.vhd_size;
    bool use_chs = true; /* of creators that nobody knows */

    for (unsigned i = 0; i < ARRAY_SIZE(creators); i++)
        if (!memcmp(f + VF_CREATOR, creators[i].app, 4))
            use_chs = creators[i].chs;
    if (want)
        use_chs = !strcmp(want, "chs");
    /* A geometry at its maximum, or none, or beyond the size says nothing. */
    if (!use_chs || chs >= 65535ull * 16 * 255 * 512 || !chs || chs > size)
        return size;
    return chs;
}

/* The footer is 511 bytes long in files of Virtual PC before 2004. */
static int read_tail(struct img *im, u8 *f)
{
    struct vhd *s = im->s;
    u64 size = im->file->size;
    int r = 0;

    s->tail_bad = true;
    for (u64 n = VHD_FOOTER; n >= VHD_FOOTER - 1 && !r && s->tail_bad && size >= n; n--) {
        memset(f, 0, VHD_FOOTER);
        r = file_read(im->file, size - n, f, n);
        s->tail_bad = r || !vhd_footer_ok(f);
        s->footer_at = size - n;
    }
    return r;
}

static int read_footer(struct img *im, struct err *e)
{
    struct vhd *s = im->s;
    u8 head[VHD_FOOTER];
    int r = file_read(im->file, 0, head, sizeof(head));

    if (!r)
        r = read_tail(im, s->footer);
    if (r)
        return err_set(e, -r, "cannot read the footer: %s", strerror(-r));
    s->head_bad = !vhd_footer_ok(head) || be32_get(head + VF_TYPE) == VHD_FIXED;
    if (s->head_bad && s->tail_bad)
        return err_set(e, EINVAL, "no footer whose cookie, version and checksum are right");
    /* They differ after a crash while it was resized, or when the tail is the guest's data. */
    if (!s->head_bad) {
        if (s->tail_bad || memcmp(head, s->footer, VHD_FOOTER))
            s->tail_bad = true;
        memcpy(s->footer, head, VHD_FOOTER);
    }
    s->type = be32_get(s->footer + VF_TYPE);
    if (s->type < VHD_FIXED || s->type > VHD_DIFFERENCING)
        return err_set(e, EINVAL, "disk type %u is not known", s->type);
    return 0;
}

static int read_header(struct img *im, struct err *e)
{
    struct vhd *s = im->s;
    u64 at = be64_get(s->footer + VF_DATA_OFFSET), size = im->b.size;
    u32 max_entries;
    int r;

    if (at % 512 || at < VHD_FOOTER || !range_within(at, VHD_HEADER, 0, im->file->size))
        return err_set(e, EINVAL, "data offset %llu", (unsigned long long)at);
    r = file_read(im->file, at, s->header, VHD_HEADER);
    if (r)
        return err_set(e, -r, "cannot read the header: %s", strerror(-r));
    if (!vhd_header_ok(s->header))
        return err_set(e, EINVAL, "the header's cookie, version or checksum is wrong");
    s->block = be32_get(s->header + VD_BLOCK);
    if (!is_pow2(s->block) || s->block < 512 || s->block > VHD_BLOCK_MAX)
        return err_set(e, EINVAL, "block size %u", s->block);
    s->bitmap = vhd_bitmap_size(s->block);
    s->bat_offset = be64_get(s->header + VD_TABLE);
    max_entries = be32_get(s->header + VD_ENTRIES);
    if ((size + s->block - 1) / s->block > min(max_entries, (u32)VHD_BAT_MAX))
        return err_set(e, EINVAL, "max table entries %u: too few for %llu bytes, or too many",
                       max_entries, (unsigned long long)size);
    s->entries = (u32)((size + s->block - 1) / s->block);
    if (s->bat_offset % 512 || s->bat_offset < at + VHD_HEADER ||
        !range_within(s->bat_offset, (u64)s->entries * 4, 0, im->file->size))
        return err_set(e, EINVAL, "table offset %llu", (unsigned long long)s->bat_offset);
    return 0;
}

static int read_bat(struct img *im, struct err *e)
{
    struct vhd *s = im->s;
    u64 bytes = (u64)s->entries * 4, sectors = (bytes + 511) / 512, end;
    u64 size = im->file->size;
    int r;

    s->bat = calloc(sectors, 512);
    s->bat_dirty = calloc(sectors, 1);
    s->full = calloc(s->entries / 8 + 1, 1);
    /* 16 MiB of bitmaps are those of 64 GiB in blocks of 2 MiB. */
    s->bits = tcache_new(im->file, 512,
                         (unsigned)min((u64)s->entries * (s->bitmap / 512) + 64, (u64)32768));
    if (!s->bat || !s->bat_dirty || !s->full || !s->bits)
        return err_set(e, ENOMEM, "out of memory");
    /* Whole sectors: what is behind our entries is written back as it is. */
    r = file_read(im->file, s->bat_offset, s->bat, sectors * 512);
    if (r)
        return err_set(e, -r, "cannot read the table: %s", strerror(-r));
    s->start = be64_get(s->footer + VF_DATA_OFFSET) + VHD_HEADER;
    end = align_up(s->bat_offset + (u64)be32_get(s->header + VD_ENTRIES) * 4, 512);
    for (u32 i = 0; i < sectors * 128; i++) {
        u64 at;

        s->bat[i] = be32_get(&s->bat[i]);
        at = (u64)s->bat[i] * 512;
        if (i >= s->entries || s->bat[i] == (u32)VHD_UNUSED || at >= size)
            continue;
        end = max(end, at + s->bitmap + s->block);
    }
    s->next = end;
    /* What a crash left behind the last block: room that check --repair takes back. */
    if (!im->file->is_device)
        s->next = max(end, align_up(s->tail_bad ? size : s->footer_at, 512));
    s->trusted = max(size, s->next);
    s->touched = im->file->is_device ? UINT64_MAX : size;
    return 0;
}

static int vhd_open(struct img *im, struct err *e)
{
    struct vhd *s = im->s = calloc(1, sizeof(*s));
    int r;

    if (!s)
        return err_set(e, ENOMEM, "out of memory");
    if (im->opt.vhd_size && strcmp(im->opt.vhd_size, "chs") && strcmp(im->opt.vhd_size, "current"))
        return err_set(e, EINVAL, "vhd-size=%s: neither chs nor current", im->opt.vhd_size);
    r = read_footer(im, e);
    if (r)
        return r;
    im->b.size = disk_size(im, s->footer);
    if (s->type == VHD_FIXED) {
        im->unit = im->granule = 512;
        if (im->b.size > s->footer_at)
            return err_set(e, EINVAL, "current size %llu is more than the file has",
                           (unsigned long long)im->b.size);
        return 0;
    }
    r = read_header(im, e);
    if (!r)
        r = read_bat(im, e);
    if (!r && s->type == VHD_DIFFERENCING)
        r = vhd_open_parent(im, e);
    im->unit = s->block;
    im->granule = 512;
    return r;
}

static void vhd_close(struct img *im)
{
    struct vhd *s = im->s;

    if (!s)
        return;
    tcache_free(s->bits);
    free(s->bat);
    free(s->bat_dirty);
    free(s->full);
    free(s);
}

/* ----------------------------------------------------------------------- footers -- */

int vhd_write_footers(struct img *im)
{
    struct vhd *s = im->s;
    int r;

    vhd_seal_footer(s->footer);
    r = file_write(im->file, s->type == VHD_FIXED ? im->b.size : s->next, s->footer, VHD_FOOTER);
    if (!r)
        r = file_flush(im->file);
    if (!r && s->type != VHD_FIXED)
        r = file_write(im->file, 0, s->footer, VHD_FOOTER);
    if (!r)
        r = file_flush(im->file);
    if (r)
        return r;
    s->footer_at = s->type == VHD_FIXED ? im->b.size : s->next;
    s->head_bad = s->tail_bad = false;
    return 0;
}

/* The first new block overwrites the footer at the end, so the copy at the head must be good. */
static int vhd_begin_write(struct img *im)
{
    struct vhd *s = im->s;
    int r;

    if (s->type == VHD_FIXED || !s->head_bad)
        return 0;
    r = file_write(im->file, 0, s->footer, VHD_FOOTER);
    if (!r)
        r = file_flush(im->file);
    if (!r)
        s->head_bad = false;
    return r;
}

static void vhd_info(struct img *im, struct disk_info *i)
{
    static const char *const types[] = {"fixed", "dynamic", "differencing"};
    const struct vhd *s = im->s;
    char creator[5] = {0}, id[GUID_TEXT];

    for (unsigned k = 0; k < 4; k++) {
        u8 c = s->footer[VF_CREATOR + k];

        creator[k] = (char)(c >= ' ' && c <= '~' ? c : 0);
    }
    guid_text(s->footer + VF_UUID, id);
    i->text(i, "subformat", types[s->type - VHD_FIXED]);
    i->text(i, "creator-application", creator);
    i->text(i, "uuid", id);
    i->number(i, "chs-size", vhd_chs_size(s->footer));
    i->number(i, "current-size", be64_get(s->footer + VF_SIZE));
    if (s->type != VHD_FIXED)
        i->number(i, "cluster-size", s->block);
    if (im->parent)
        i->text(i, "backing-filename", im->parent->path);
}

const struct format format_vpc = {
    .name = "vpc",
    .title = "VHD",
    .caps = DISK_CAN_WRITE | DISK_CAN_CREATE | DISK_CAN_RESIZE | DISK_CAN_CHECK | DISK_CAN_REPAIR |
            DISK_CAN_BACKING,
    .options = vhd_options,
    .probe = vhd_probe,
    .open = vhd_open,
    .close = vhd_close,
    .map = vhd_map,
    .allocate = vhd_allocate,
    .link = vhd_link,
    .cancel = vhd_cancel,
    .write_back = vhd_write_back,
    .write_back_done = vhd_write_back_done,
    .begin_write = vhd_begin_write,
    .create = vhd_create,
    .resize = vhd_resize,
    .check = vhd_check,
    .info = vhd_info,
};
