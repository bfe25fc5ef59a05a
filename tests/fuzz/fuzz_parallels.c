/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged Parallels images, bare ones and a bundle of two files: see image_patched.h.
 */
#include "image_patched.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 256 << 10 };

#define TOP   "{5fbaabe3-6958-40ff-92a7-860e329aab41}"
#define LOWER "{aaaaaaaa-0000-0000-0000-000000000001}"

static const char descriptor[] =
    "<Parallels_disk_image><Disk_Parameters><Disk_size>512</Disk_size></Disk_Parameters>"
    "<StorageData><Storage><Start>0</Start><End>512</End><Image><GUID>" TOP "</GUID>"
    "<Type>Compressed</Type><File>top</File></Image><Image><GUID>" LOWER "</GUID>"
    "<Type>Compressed</Type><File>lower</File></Image></Storage></StorageData><Snapshots><Shot>"
    "<GUID>" TOP "</GUID><ParentGUID>" LOWER "</ParentGUID></Shot></Snapshots>"
    "</Parallels_disk_image>";

static void make_one(struct sim *s, const char *path, const char *options)
{
    struct disk_create c = {.path = path, .size = SIZE, .options = options, .io = {.io = &s->io}};
    struct disk_options o = {.io = &s->io};
    struct err e = {0};
    struct img *im;

    BUG_ON(disk_create("parallels", &c, &e));
    BUG_ON(img_open(&im, path, &o, &e));
    fuzz_write(im, SIZE / 2, 40960);
    fuzz_write(im, 4096, 1024);
    img_close(im);
}

static void make(struct sim *s, unsigned kind)
{
    if (kind < 2) {
        make_one(s, "disk", kind ? "cluster_size=64K" : "cluster_size=4K");
        return;
    }
    sim_put(s, "disk", descriptor, sizeof(descriptor) - 1);
    make_one(s, "top", "cluster_size=4K");
    make_one(s, "lower", "cluster_size=16K");
}

static const struct fuzz_image images = {
    .format = "parallels", .path = "disk", .size = SIZE, .kinds = 3, .make = make};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    return fuzz_one(&images, data, size);
}
