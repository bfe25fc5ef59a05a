/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parallels: making, resizing, checking.
 */
#include "disk/parallels.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { HEADS = 16, SECTORS_PER_TRACK = 32, COPY_STEP = 1 << 20 };

const struct create_option prl_options[] = {
    {"cluster_size", "a power of two from 4K to 1G (default 1M)"},
    {"bundle", "a folder with a DiskDescriptor.xml (default off)"},
    {0},
};

/* ------------------------------------------------------------------- create -- */

static int make_hds(struct file *f, u64 size, u64 cluster, struct err *e)
{
    u64 entries = (size + cluster - 1) / cluster;
    u64 bytes = align_up(HH_BAT + entries * 4, HDS_SECTOR), data = align_up(bytes, cluster);
    u8 *p = calloc(bytes, 1);
    int r;

    if (!p)
        return err_set(e, ENOMEM, "out of memory");
    memcpy(p, HDS_MAGIC_NEW, 16);
    le32_put(p + HH_VERSION, 2);
    le32_put(p + HH_HEADS, HEADS);
    le32_put(p + HH_CYLINDERS, (u32)(size / HDS_SECTOR / HEADS / SECTORS_PER_TRACK));
    le32_put(p + HH_TRACKS, (u32)(cluster / HDS_SECTOR));
    le32_put(p + HH_ENTRIES, (u32)entries);
    le64_put(p + HH_SECTORS, size / HDS_SECTOR);
    le32_put(p + HH_DATA, (u32)(data / HDS_SECTOR));
    r = file_truncate(f, data);
    if (!r)
        r = file_write(f, 0, p, bytes);
    if (!r)
        r = file_flush(f);
    free(p);
    return r ? err_set(e, -r, "cannot write it: %s", strerror(-r)) : 0;
}

static int make_file(const struct disk_create *c, const char *path, u64 size, u64 cluster,
                     struct err *e)
{
    struct file *f;
    int r = file_open(&f, path, FILE_CREATE, &c->io, e);

    if (r)
        return r;
    r = make_hds(f, size, cluster, e);
    file_close(f);
    return r;
}

#define TOP "{5fbaabe3-6958-40ff-92a7-860e329aab41}"

/* The name of a new disk's one file must be plain: it stands in XML as it is. */
static int check_name(const char *name, struct err *e)
{
    if (!*name || strlen(name) > 200 || strpbrk(name, "<>&\"'"))
        return err_set(e, EINVAL, "a name that a descriptor cannot hold");
    return 0;
}

static int write_descriptor(const struct disk_create *c, const char *name, u64 size, u64 cluster,
                            struct err *e)
{
    unsigned long long sectors = size / HDS_SECTOR, cylinders = sectors / HEADS / SECTORS_PER_TRACK;
    char path[PATH_MAX], text[4096];
    struct file *f;
    int n, r;

    n = snprintf(text, sizeof(text),
                 "<?xml version='1.0' encoding='UTF-8'?>\n"
                 "<Parallels_disk_image Version=\"1.0\">\n"
                 "    <Disk_Parameters>\n"
                 "        <Disk_size>%llu</Disk_size>\n"
                 "        <Cylinders>%llu</Cylinders>\n"
                 "        <Heads>%u</Heads>\n"
                 "        <Sectors>%u</Sectors>\n"
                 "        <Padding>0</Padding>\n"
                 "    </Disk_Parameters>\n"
                 "    <StorageData>\n"
                 "        <Storage>\n"
                 "            <Start>0</Start>\n"
                 "            <End>%llu</End>\n"
                 "            <Blocksize>%llu</Blocksize>\n"
                 "            <Image>\n"
                 "                <GUID>" TOP "</GUID>\n"
                 "                <Type>Compressed</Type>\n"
                 "                <File>%s</File>\n"
                 "            </Image>\n"
                 "        </Storage>\n"
                 "    </StorageData>\n"
                 "    <Snapshots>\n"
                 "        <Shot>\n"
                 "            <GUID>" TOP "</GUID>\n"
                 "            <ParentGUID>{00000000-0000-0000-0000-000000000000}</ParentGUID>\n"
                 "        </Shot>\n"
                 "    </Snapshots>\n"
                 "</Parallels_disk_image>\n",
                 sectors, cylinders, HEADS, SECTORS_PER_TRACK, sectors,
                 (unsigned long long)cluster / HDS_SECTOR, name);
    snprintf(path, sizeof(path), "%s/DiskDescriptor.xml", c->path);
    r = file_open(&f, path, FILE_CREATE, &c->io, e);
    if (r)
        return r;
    r = file_write(f, 0, text, (u64)n);
    if (!r)
        r = file_flush(f);
    file_close(f);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}

static int make_bundle(const struct disk_create *c, u64 size, u64 cluster, struct err *e)
{
    const char *slash = strrchr(c->path, '/');
    char name[256], path[PATH_MAX];
    int r = check_name(slash ? slash + 1 : c->path, e);

    if (r)
        return r;
    if (c->io.io)
        return err_set(e, EOPNOTSUPP, "bundle=on: a folder can only be made on this host");
    if (mkdir(c->path, 0777) < 0)
        return err_set(e, errno, "%s", strerror(errno));
    snprintf(name, sizeof(name), "%s.0." TOP ".hds", slash ? slash + 1 : c->path);
    snprintf(path, sizeof(path), "%s/%s", c->path, name);
    r = make_file(c, path, size, cluster, e);
    if (!r)
        r = write_descriptor(c, name, size, cluster, e);
    return r;
}

int prl_create(const struct disk_create *c, struct err *e)
{
    u64 size = align_up(c->size, DISK_SECTOR), cluster = HDS_CLUSTER;
    bool bundle = false;
    int r = create_size(c, "cluster_size", &cluster, e);

    if (!r)
        r = create_bool(c, "bundle", &bundle, e);
    if (r)
        return r;
    if (!is_pow2(cluster) || cluster < 4096 || cluster > HDS_CREATE_MAX)
        return err_set(e, EINVAL, "cluster_size must be a power of two from 4K to 1G");
    if ((size + cluster - 1) / cluster > HDS_ENTRIES_MAX)
        return err_set(e, EFBIG, "clusters of %llu bytes are too small for this size",
                       (unsigned long long)cluster);
    return bundle ? make_bundle(c, size, cluster, e) : make_file(c, c->path, size, cluster, e);
}

/* ------------------------------------------------------------------- helpers -- */

static int move_cluster(struct img *im, struct hds *h, u64 i, u64 to)
{
    u64 from = hds_offset(h, hds_entry(h, i)), step = min(h->cluster, (u64)COPY_STEP);
    u8 *buf = malloc(step);
    int r = buf ? 0 : -ENOMEM;

    for (u64 at = 0; at < h->cluster && !r; at += step) {
        r = file_read(h->file, from + at, buf, step);
        if (!r)
            r = file_write(h->file, to + at, buf, step);
    }
    free(buf);
    if (!r)
        hds_set_entry(im, h, i, (u32)(to / h->factor));
    return r;
}

/* ------------------------------------------------------------------- resize -- */

/* The table needs the room of the first clusters: they move behind the last one. */
static int clear_front(struct img *im, struct hds *h, u64 data)
{
    u64 to = h->data + h->high * h->cluster;
    int r = 0;

    to = max(to, data);
    for (u32 i = 0; i < h->entries && !r; i++) {
        if (!hds_entry(h, i) || hds_offset(h, hds_entry(h, i)) >= data)
            continue;
        if (to / h->factor > UINT32_MAX)
            return -EFBIG;
        r = move_cluster(im, h, i, to);
        to += h->cluster;
    }
    return r ? r : settle(im);
}

/* The last cluster's rest, which may be anything. */
static int clear_tail(struct hds *h)
{
    u64 in = h->size % h->cluster, i = h->size / h->cluster;

    if (!in || !hds_entry(h, i))
        return 0;
    return file_zero(h->file, hds_offset(h, hds_entry(h, i)) + in, h->cluster - in);
}

/* One sector, the header's, then says that the table is longer. */
static int grow(struct img *im, struct hds *h, u64 size)
{
    /* A table may have more entries already than the size needs. */
    u64 entries = max((size + h->cluster - 1) / h->cluster, (u64)h->entries);
    u64 bytes = align_up(HH_BAT + entries * 4, HDS_SECTOR), data = h->data;
    u64 tail = HH_BAT + (u64)h->entries * 4;
    u8 *head = calloc(bytes, 1), *dirty = calloc(bytes / HDS_SECTOR, 1);
    int r = head && dirty ? clear_tail(h) : -ENOMEM;

    if (bytes > data)
        data += (bytes - data + h->cluster - 1) / h->cluster * h->cluster;
    if (!r && data > h->data)
        r = clear_front(im, h, data);
    /* What lies behind the old table's last entry may be anything too. */
    if (!r && tail < h->head_len) {
        memset(h->head + tail, 0, h->head_len - tail);
        if (h->head_len > HDS_SECTOR)
            r = file_zero(h->file, tail, h->head_len - tail);
    }
    if (!r && bytes > h->head_len)
        r = file_zero(h->file, h->head_len, bytes - h->head_len);
    if (!r)
        r = file_flush(h->file);
    if (r) {
        free(head);
        free(dirty);
        return r;
    }
    memcpy(head, h->head, h->head_len);
    free(h->head);
    free(h->head_dirty);
    h->head = head;
    h->head_dirty = dirty;
    h->head_len = bytes;
    h->entries = (u32)entries;
    h->data = data;
    h->size = size;
    le32_put(head + HH_ENTRIES, h->entries);
    le64_put(head + HH_SECTORS, size / HDS_SECTOR);
    le32_put(head + HH_DATA, (u32)(data / HDS_SECTOR));
    r = file_write(h->file, 0, head, HDS_SECTOR);
    if (!r)
        r = file_flush(h->file);
    return r ? r : hds_count(h);
}

int prl_resize(struct img *im, u64 size, struct err *e)
{
    struct parallels *s = im->s;
    struct hds *h = &s->st[0].layer[0];
    int r;

    if (s->bundle)
        return err_set(e, EOPNOTSUPP, "Wirt resizes no Parallels bundles (convert it instead)");
    if (size < h->size)
        return err_set(e, EINVAL, "Wirt makes no Parallels image smaller");
    if (!memcmp(h->head, HDS_MAGIC_OLD, 16) && size / HDS_SECTOR > UINT32_MAX)
        return err_set(e, EFBIG, "a \"%s\" image ends at 2 TiB", HDS_MAGIC_OLD);
    if ((size + h->cluster - 1) / h->cluster > HDS_ENTRIES_MAX)
        return err_set(e, EFBIG, "its clusters are too small for this size");
    r = im->fmt->begin_write(im);
    if (!r)
        r = grow(im, h, size);
    s->broken = r;
    if (r)
        return err_set(e, -r, "%s", strerror(-r));
    s->st[0].size = im->b.size = size;
    return 0;
}

/* -------------------------------------------------------------------- check -- */

static int check_entry(struct img *im, struct hds *h, u8 *seen, u32 i, struct disk_check *c)
{
    u64 at = hds_offset(h, hds_entry(h, i)), n = (at - h->data) / h->cluster, to, one = 1;
    int r;

    if (at < h->data || (at - h->data) % h->cluster || at >= file_size(h->file) || n >= h->limit) {
        check_error(c, c->repair_all, "BAT entry %u: no cluster is at %llu", i,
                    (unsigned long long)at);
        if (c->repair_all)
            hds_set_entry(im, h, i, 0);
        return 0;
    }
    c->allocated++;
    if (!(seen[n / 8] & 1 << n % 8)) {
        seen[n / 8] |= (u8)(1 << n % 8);
        return 0;
    }
    check_error(c, c->repair_all, "BAT entry %u: its cluster has another user", i);
    if (!c->repair_all)
        return 0;
    r = hds_take(h, &one, &to);
    return r ? r : move_cluster(im, h, i, to);
}

static int check_entries(struct img *im, struct hds *h, struct disk_check *c)
{
    u8 *seen = calloc((h->limit + 7) / 8, 1);
    int r = seen ? 0 : -ENOMEM;

    for (u32 i = 0; i < h->entries && !r; i++)
        if (hds_entry(h, i))
            r = check_entry(im, h, seen, i, c);
    free(seen);
    return r;
}

/* The last clusters of the file move to where nobody is. */
static int close_gaps(struct img *im, struct hds *h)
{
    u32 *owner = malloc(max(h->high, 1ull) * sizeof(*owner));
    u64 hole = 0;
    int r = 0;

    if (!owner)
        return -ENOMEM;
    memset(owner, 0xff, h->high * sizeof(*owner));
    for (u32 i = 0; i < h->entries; i++)
        if (hds_entry(h, i))
            owner[(hds_offset(h, hds_entry(h, i)) - h->data) / h->cluster] = i;
    for (u64 last = h->high; last-- > 0 && !r;) {
        if (owner[last] == UINT32_MAX)
            continue;
        while (hole < last && owner[hole] != UINT32_MAX)
            hole++;
        if (hole >= last)
            break;
        r = move_cluster(im, h, owner[last], h->data + hole * h->cluster);
        owner[hole++] = owner[last];
    }
    free(owner);
    if (!r)
        r = settle(im);
    if (!r)
        r = hds_count(h);
    if (!r && !h->file->is_device)
        r = file_truncate(h->file, h->data + h->high * h->cluster);
    return r;
}

static int check_hds(struct img *im, struct hds *h, struct disk_check *c)
{
    bool change = c->repair_all || c->repair_leaks, move;
    u64 leaks = 0, size = file_size(h->file), there;
    int r = change ? hds_mark_in_use(h) : 0;

    if (!r)
        r = check_entries(im, h, c);
    if (!r && change && h->any_dirty)
        r = settle(im);
    if (!r && change)
        r = hds_count(h);
    if (r)
        return r;
    c->total += h->entries;
    there = size > h->data ? (size - h->data + h->cluster - 1) / h->cluster : 0;
    for (u64 i = 0; i < min(there, h->limit); i++)
        leaks += !(h->used[i / 8] & 1 << i % 8);
    move = change && !h->damaged && is_pow2(h->cluster);
    if (h->unclean)
        check_leak(c, change, "was not closed");
    for (u64 i = 0; i < leaks; i++)
        check_leak(c, move, "a cluster that nothing refers to");
    if (leaks && move)
        r = close_gaps(im, h);
    h->unclean &= !change;
    c->end = h->data + h->high * h->cluster;
    return r;
}

int prl_check(struct img *im, struct disk_check *c, struct err *e)
{
    struct parallels *s = im->s;
    int r = 0;

    for (unsigned i = 0; i < s->sts && !r; i++)
        if (s->st[i].layer[0].entries)
            r = check_hds(im, &s->st[i].layer[0], c);
    return r ? err_set(e, -r, "%s", strerror(-r)) : 0;
}
