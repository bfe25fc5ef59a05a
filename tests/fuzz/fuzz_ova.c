/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Appliances in a tar: OVA and XVA.  The archive is made of the input, so that its checksums fit: a
 * piece for each member (1 byte: its type and name; 2 bytes: its length; the bytes), but for an
 * input that begins with 0xff, which is an archive as it stands.
 */
#include "appliance.h"
#include "disk/img.h"
#include "disk/tar.h"

static void add(u8 **p, size_t *n, u8 kind, const u8 *data, size_t len)
{
    static const char *const names[] = {
        "box.ovf",        "box.mf",         "disk.img",       "ova.xml",
        "Ref:1/00000000", "Ref:1/00000001", "Ref:1/00000002", "long"};
    static const char types[] = "00000xL5";
    size_t room = align_up(len, TAR_BLOCK);
    unsigned sum = 0;
    u8 *h;

    *p = realloc(*p, *n + TAR_BLOCK + room);
    BUG_ON(!*p);
    h = *p + *n;
    memset(h, 0, TAR_BLOCK + room);
    strcpy((char *)h, names[kind & 7]);
    sprintf((char *)h + 124, "%011zo", len);
    h[156] = (u8)types[kind >> 4 & 7];
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8);
    for (unsigned i = 0; i < TAR_BLOCK; i++)
        sum += h[i];
    sprintf((char *)h + 148, "%06o", sum);
    memcpy(h + TAR_BLOCK, data, len);
    *n += TAR_BLOCK + room;
}

/* The disk of an XVA, whatever the description says. */
static void look_at_disk(void)
{
    struct disk_options o = {.readonly = true, .no_lock = true, .no_uring = true};
    char *url = tar_url(fuzz_path, "Ref:1/", 4 * MIB);
    static u8 buf[64 << 10];
    struct img *im;

    BUG_ON(!url);
    if (!img_open(&im, url, &o, NULL)) {
        for (u64 at = 0; at < im->b.size; at += MIB)
            img_read(im, at, buf, min((u64)sizeof(buf), im->b.size - at));
        img_close(im);
    }
    free(url);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u8 *archive = NULL;
    size_t n = 0;

    if (size && data[0] == 0xff) {
        fuzz_appliance(data + 1, size - 1);
        look_at_disk();
        return 0;
    }
    while (size >= 3) {
        size_t len = min((size_t)(data[1] | data[2] << 8), size - 3);
        add(&archive, &n, data[0], data + 3, len);
        data += 3 + len;
        size -= 3 + len;
    }
    fuzz_appliance(archive, n);
    look_at_disk();
    free(archive);
    return 0;
}
