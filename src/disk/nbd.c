/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk on a Network Block Device server, through libnbd: a struct file with a URL for a path
 * (nbd://host/export, nbd+unix:///export?socket=path, nbds:// with TLS).  Any format may lie in it.
 *
 * One thread owns the connection.  A request is a chain of commands, one at a time; up to
 * IN_FLIGHT requests are under way side by side.  Where the server takes only whole blocks of more
 * than was asked for, a write reads the block first, and is alone then.
 *
 * When the connection is lost, requests under way are made again on a new one; if there is none
 * within RECONNECT_SECONDS, or they were lost LOST_MAX times (a server that answers nonsense), they
 * fail with EIO, and later requests try again.
 */
#include "disk/nbd_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { CONNECT_SECONDS = 20 };

static void wake(struct nbd_file *n)
{
    u64 one = 1;

    while (write(n->wake, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

static void nbd_submit(struct file *f, struct blk_req *r)
{
    struct nbd_file *n = (struct nbd_file *)f;

    r->next = NULL;
    pthread_mutex_lock(&n->lock);
    *n->tail = r;
    n->tail = &r->next;
    pthread_mutex_unlock(&n->lock);
    wake(n);
}

struct sync_call {
    struct blk_req r;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
    int result;
};

static void sync_done(struct blk_req *r, int result)
{
    struct sync_call *c = container_of(r, struct sync_call, r);

    pthread_mutex_lock(&c->lock);
    c->result = result;
    c->done = true;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->lock);
}

static int nbd_execute(struct file *f, const struct blk_req *r)
{
    struct sync_call c = {.r = *r};

    c.r.done = sync_done;
    pthread_mutex_init(&c.lock, NULL);
    pthread_cond_init(&c.cond, NULL);
    nbd_submit(f, &c.r);
    pthread_mutex_lock(&c.lock);
    while (!c.done)
        pthread_cond_wait(&c.cond, &c.lock);
    pthread_mutex_unlock(&c.lock);
    pthread_cond_destroy(&c.cond);
    pthread_mutex_destroy(&c.lock);
    return c.result;
}

static int nbd_truncate(struct file *f, u64 size)
{
    return size <= f->size ? 0 : -ENOSPC;
}

static void nbd_free(struct nbd_file *n)
{
    nbd_disconnect(n);
    if (n->wake >= 0)
        close(n->wake);
    pthread_mutex_destroy(&n->lock);
    free(n->f.path);
    free(n);
}

static void nbd_file_close(struct file *f)
{
    struct nbd_file *n = (struct nbd_file *)f;

    pthread_mutex_lock(&n->lock);
    n->stop = true;
    pthread_mutex_unlock(&n->lock);
    wake(n);
    pthread_join(n->thread, NULL);
    if (n->h && !nbd_is_dead(n->h))
        nbd_shutdown(n->h, 0);
    nbd_free(n);
}

static const struct file_ops nbd_ops = {.execute = nbd_execute,
                                        .submit = nbd_submit,
                                        .truncate = nbd_truncate,
                                        .close = nbd_file_close};

static int look_at_export(struct nbd_file *n, bool write, struct err *e)
{
    int64_t size = nbd_get_size(n->h);

    nbd_ask_flags(n);
    if (size <= 0)
        return err_set(e, EINVAL, "the server's export has no size");
    if (write && nbd_is_read_only(n->h))
        return err_set(e, EROFS,
                       "the server only lets it be read (\"readonly\" or \"snapshot\" "
                       "would do)");
    if (!nbd_blocks_fit(n))
        return err_set(e, EINVAL, "the server's blocks are of %u bytes", n->block);
    n->f.size = (u64)size;
    n->f.block_size = nbd_get_block_size(n->h, LIBNBD_SIZE_PREFERRED) >= 4096 ? 4096 : 512;
    return 0;
}

bool nbd_is_url(const char *path)
{
    static const char *const schemes[] = {"nbd://", "nbd+unix://", "nbds://", "nbds+unix://"};

    for (unsigned i = 0; i < ARRAY_SIZE(schemes); i++)
        if (!strncmp(path, schemes[i], strlen(schemes[i])))
            return true;
    return false;
}

int nbd_file_open(struct file **f, const char *path, unsigned flags, const struct disk_options *o,
                  struct err *e)
{
    bool write = flags & (FILE_WRITE | FILE_CREATE);
    struct nbd_file *n = calloc(1, sizeof(*n));
    int r = 0;

    if (!n)
        return err_set(e, ENOMEM, "out of memory");
    pthread_mutex_init(&n->lock, NULL);
    n->tail = &n->head;
    n->waiting_tail = &n->waiting;
    n->unsafe = o->cache == DISK_UNSAFE;
    n->wake = eventfd(0, EFD_CLOEXEC);
    n->f = (struct file){.ops = &nbd_ops,
                         .readonly = !write,
                         .is_device = true,
                         .is_remote = true,
                         .path = strdup(path)};
    if (n->wake < 0 || !n->f.path)
        r = err_set(e, ENOMEM, "out of memory");
    else if (!nbd_try_connect(n, nbd_now_ms() + CONNECT_SECONDS * 1000))
        r = err_set(e, ECONNREFUSED, "%s", n->why);
    if (!r)
        r = look_at_export(n, write, e);
    if (!r && pthread_create(&n->thread, NULL, nbd_thread, n))
        r = err_set(e, EAGAIN, "cannot start a thread");
    if (r) {
        nbd_free(n);
        return r;
    }
    *f = &n->f;
    return 0;
}
