/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What images say in words: a VMDK descriptor as a file of its own and within a sparse extent, a
 * DiskDescriptor.xml, and the names and GUIDs of Microsoft's formats.  The first byte chooses, the
 * rest is the text.  Files called "flat", "sparse", "parent", "a.hds" and "b.hds" are there for it
 * to name.
 */
#include "../format/simfile.h"
#include "disk/img.h"
#include "disk/winpath.h"

#include "base/endian.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KINDS = 4, SIZE = 1 << 20, LIMIT = 8 << 20, DESC_OFFSET = 28, DESC_SECTORS = 36 };

static u8 buf[64 << 10];

static void make_one(struct sim *s, const char *path, const char *format, const char *options)
{
    struct disk_create c = {.path = path, .size = SIZE, .options = options, .io = {.io = &s->io}};
    struct disk_options o = {.io = &s->io};
    struct err e = {0};
    struct img *im;

    BUG_ON(disk_create(format, &c, &e));
    BUG_ON(img_open(&im, path, &o, &e));
    BUG_ON(img_write(im, 8192, buf, sizeof(buf)));
    img_close(im);
}

static struct sim *make(void)
{
    struct sim *s = malloc(sizeof(*s));

    BUG_ON(!s);
    sim_init(s);
    memset(buf, 0x5a, sizeof(buf));
    make_one(s, "flat", "raw", NULL);
    make_one(s, "sparse", "vmdk", NULL);
    make_one(s, "parent", "vmdk", NULL);
    make_one(s, "a.hds", "parallels", "cluster_size=64K");
    make_one(s, "b.hds", "parallels", "cluster_size=64K");
    return s;
}

static void put(struct sim *s, const char *name, const uint8_t *data, size_t size)
{
    struct sim_data *d = sim_find(s, name);

    if (!d) {
        sim_put(s, name, data, size);
        return;
    }
    /* Into the room that the extent's header says. */
    u64 at = le64_get(d->now + DESC_OFFSET) * 512, room = le64_get(d->now + DESC_SECTORS) * 512;

    for (u64 k = 0; k < room; k += DISK_SECTOR) {
        u8 sector[DISK_SECTOR] = {0};

        if (k < size)
            memcpy(sector, data + k, min((u64)size - k, (u64)DISK_SECTOR));
        sim_patch(d, at + k, sector, DISK_SECTOR);
    }
}

static void use(struct sim *s, const char *path, const char *format, bool readonly)
{
    struct disk_options o = {.io = &s->io, .format = format, .readonly = readonly};
    struct disk_check c = {0};
    struct err e = {0};
    struct img *im = NULL;

    if (img_open(&im, path, &o, &e)) {
        BUG_ON(!e.msg[0]);
        return;
    }
    for (u64 at = 0; at < im->b.size && at < 4 * MIB; at += MIB)
        img_read(im, at, buf, min(im->b.size - at, (u64)sizeof(buf)));
    if (!readonly)
        img_write(im, min((u64)SIZE / 2, im->b.size - 512), buf, 512);
    else
        disk_check(im, &c, NULL);
    img_close(im);
}

static void names(const uint8_t *data, size_t size)
{
    char text[128], big[GUID_TEXT];
    u8 guid[GUID_LEN], back[sizeof(text) * 2];

    for (int be = 0; be < 2; be++) {
        size_t n;

        if (!utf16_get(data, size, be, text, sizeof(text)))
            continue;
        BUG_ON(!text[0] || !memchr(text, 0, sizeof(text)));
        n = utf16_put(text, be, back, sizeof(back));
        BUG_ON(!n || n > size || memcmp(back, data, n));
        if (guid_parse(text, guid)) {
            guid_text(guid, big);
            BUG_ON(!guid_parse(big, guid));
        }
        winpath_to_host(text);
        winpath_from_host(text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct sim *base;
    unsigned kind;
    const char *path, *format;
    struct sim s;

    if (size < 2)
        return 0;
    kind = data[0] % KINDS;
    if (kind == 3) {
        names(data + 1, size - 1);
        return 0;
    }
    if (!base)
        base = make();
    sim_init(&s);
    sim_clone(base, &s, LIMIT);
    path = kind == 1 ? "sparse" : "text";
    format = kind == 2 ? "parallels" : "vmdk";
    put(&s, path, data + 1, size - 1);
    use(&s, path, format, true);
    use(&s, path, format, false);
    sim_destroy(&s);
    return 0;
}
