/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The outside of src/disk: a machine's disk from a file name and options.
 */
#include "disk/disk_int.h"
#include "disk/img.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

int disk_cache_parse(enum disk_cache *c, const char *name, struct err *e)
{
    static const char *const names[] = {"writeback", "writethrough", "none", "unsafe"};

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        if (!strcmp(name, names[i])) {
            *c = (enum disk_cache)i;
            return 0;
        }
    }
    return err_set(e, EINVAL, "cache=%s: not one of writeback, writethrough, none, unsafe", name);
}

const char *disk_format_name(const char *name, size_t len)
{
    if (len == 3 && !memcmp(name, "vhd", len))
        return "vpc";
    for (unsigned i = 0; disk_formats[i]; i++)
        if (strlen(disk_formats[i]->name) == len && !memcmp(disk_formats[i]->name, name, len))
            return disk_formats[i]->name;
    return NULL;
}

int disk_open(struct blk **b, const char *path, const struct disk_options *o, struct err *e)
{
    struct disk_options own;
    struct img *im;
    int r = 0;

    if (o && o->clone) {
        r = disk_clone(path, o, e);
        own = *o;
        own.format = "qcow2";
        own.parent_anywhere = true; /* the one that the user named */
        path = o->clone;
        o = &own;
    }
    if (!r)
        r = img_open(&im, path, o, e);
    if (r)
        return r;
    if (im->b.sector != DISK_SECTOR && !(o && o->any_sector)) {
        r = err_set(e, EINVAL, "%s: has sectors of %u bytes, which only a virtio disk shows", path,
                    im->b.sector);
        img_close(im);
        return r;
    }
    *b = &im->b;
    if (o && o->snapshot) {
        r = overlay_open(b, *b, o, e);
        if (r)
            return err_prefix(e, "%s", path);
    }
    return 0;
}

/* ------------------------------------------------------------ waiting for one -- */

struct waiter {
    struct blk_req req;
    struct iovec iov;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    int result;
};

static void sync_done(struct blk_req *r, int result)
{
    struct waiter *w = container_of(r, struct waiter, req);

    pthread_mutex_lock(&w->lock);
    w->result = result;
    w->done = true;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

int blk_sync(struct blk *b, enum blk_op op, u64 offset, void *buf, u64 len)
{
    struct waiter w = {.iov = {buf, len}};

    w.req = (struct blk_req){.op = op,
                             .offset = offset,
                             .len = len,
                             .iov = &w.iov,
                             .niov = buf ? 1 : 0,
                             .may_inline = true,
                             .done = sync_done};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.cond, NULL);
    blk_submit(b, &w.req);
    pthread_mutex_lock(&w.lock);
    while (!w.done)
        pthread_cond_wait(&w.cond, &w.lock);
    pthread_mutex_unlock(&w.lock);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.cond);
    return w.result;
}
