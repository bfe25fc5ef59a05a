/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clones: guest memory as a private copy-on-write view of FILE.pages, which lies beside the saved
 * machine's FILE and holds its memory uncompressed, with holes for zeros.  Machines that were
 * started from one file share its pages in the host's page cache until they write to them.
 *
 * FILE.pages is made from FILE by the first clone.  It begins with one page: magic, size of memory,
 * the identity of the save that it belongs to, CRC-32C.  It may be deleted at any time: machines
 * that run keep it, and the next clone makes it again.
 */
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/io.h"
#include "core/lazymem_int.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGES_MAGIC = 0, PAGES_MEMORY = 8, PAGES_ID = 16, PAGES_CRC = 32, PAGES_HEAD = 36 };
#define PAGES_MAGIC_TEXT "WIRTPAGE"

static void make_head(u8 *h, const struct save_in *in)
{
    memcpy(h + PAGES_MAGIC, PAGES_MAGIC_TEXT, 8);
    le64_put(h + PAGES_MEMORY, save_memory_size(in));
    memcpy(h + PAGES_ID, save_id(in), SAVE_ID_LEN);
    le32_put(h + PAGES_CRC, crc32c(0, h, PAGES_CRC));
}

/* Is this the file of that save, whole? */
static bool fits(int fd, const struct save_in *in)
{
    u8 want[PAGES_HEAD], got[PAGES_HEAD];
    struct stat st;

    make_head(want, in);
    return pread(fd, got, sizeof(got), 0) == sizeof(got) && !memcmp(got, want, sizeof(got)) &&
           !fstat(fd, &st) && (u64)st.st_size == PAGE_SIZE + save_memory_size(in);
}

static int fill(int fd, struct lazy *l, const char *path, struct err *e)
{
    u64 chunk = save_chunk_size(l->in);
    u8 head[PAGES_HEAD];
    int r = 0, code = ftruncate(fd, 0) ? errno : 0;

    if (!code && ftruncate(fd, (off_t)(PAGE_SIZE + save_memory_size(l->in))))
        code = errno;
    for (u64 i = 0; !r && !code && i < save_chunk_count(l->in); i++) {
        if (save_chunk_zero(l->in, i))
            continue;
        r = save_chunk_read(l->in, l->d, i, l->buf, e);
        /* page by page: those of zeros stay holes */
        for (u64 k = 0; !r && !code && k < save_chunk_len(l->in, i); k += PAGE_SIZE)
            if (l->buf[k] || memcmp(l->buf + k, l->buf + k + 1, PAGE_SIZE - 1))
                code = write_at(fd, l->buf + k, PAGE_SIZE, PAGE_SIZE + i * chunk + k);
    }
    make_head(head, l->in);
    if (!r && !code)
        code = write_at(fd, head, sizeof(head), 0);
    if (!r && !code && fdatasync(fd))
        code = errno;
    return code ? err_set(e, code, "%s: %s", path, strerror(code)) : r;
}

/* Makes the file, or waits for another clone that makes it. */
static int make(struct lazy *l, const char *path, struct err *e)
{
    char part[PATH_MAX];
    int r;

    if (snprintf(part, sizeof(part), "%s.part", path) >= (int)sizeof(part))
        return err_set(e, ENAMETOOLONG, "%.60s...: the name is too long", path);
    int fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set(e, errno, "%s: %s", part, strerror(errno));
    while (flock(fd, LOCK_EX) && errno == EINTR)
        ;
    int other = open(path, O_RDONLY | O_CLOEXEC);
    if (other >= 0 && fits(other, l->in)) { /* it came while we waited */
        close(other);
        unlink(part);
        close(fd);
        return 0;
    }
    if (other >= 0)
        close(other);
    r = fill(fd, l, part, e);
    if (!r && rename(part, path))
        r = err_set(e, errno, "%s: %s", path, strerror(errno));
    if (r)
        unlink(part);
    close(fd);
    return r;
}

static bool stopped(struct lazy *l)
{
    struct pollfd p = {.fd = l->stop, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}

/* Looks through the file once: nobody else checks what the kernel maps. */
static void *check_thread(void *opaque)
{
    struct lazy *l = opaque;
    u64 chunk = save_chunk_size(l->in);
    struct err e;

    for (u64 i = 0; i < save_chunk_count(l->in) && !stopped(l); i++) {
        u64 len = save_chunk_len(l->in, i);
        if (save_chunk_zero(l->in, i))
            continue;
        ssize_t n = pread(l->pages, l->buf, len, (off_t)(PAGE_SIZE + i * chunk));
        if (n == (ssize_t)len && crc32c(0, l->buf, len) == save_chunk_crc(l->in, i))
            continue;
        err_set(&e, EINVAL, "%s.pages: memory at 0x%llx: damaged; delete the file",
                save_path(l->in), (unsigned long long)(i * chunk));
        lazy_give_up(l, &e);
        return NULL;
    }
    pthread_mutex_lock(&l->lock);
    l->done = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

static int open_pages(struct lazy *l, struct err *e)
{
    char path[PATH_MAX];
    int r = 0;

    if (snprintf(path, sizeof(path), "%s.pages", save_path(l->in)) >= (int)sizeof(path))
        return err_set(e, ENAMETOOLONG, "%.60s...: the name is too long", save_path(l->in));
    for (unsigned tries = 0; tries < 2; tries++) {
        l->pages = open(path, O_RDONLY | O_CLOEXEC);
        if (l->pages >= 0 && fits(l->pages, l->in))
            return 0;
        if (l->pages >= 0)
            close(l->pages);
        l->pages = -1;
        r = tries ? err_set(e, EBUSY, "%s: another save is being cloned", path) : make(l, path, e);
        if (r)
            return r;
    }
    return r;
}

int clone_open(struct mem *m, const struct save_in *in, void (*failed)(void *opaque), void *opaque,
               struct err *e)
{
    int r = lazy_check_size(m, in, e);
    if (r)
        return r;
    struct lazy *l = lazy_new(m, in, failed, opaque, e);
    if (!l)
        return -ENOMEM;
    r = open_pages(l, e);
    if (!r && mmap(m->hva, m->used, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE,
                   l->pages, PAGE_SIZE) == MAP_FAILED)
        r = err_set(e, errno, "%s.pages: %s", save_path(in), strerror(errno));
    if (!r) {
        m->shared = false;
        madvise(m->hva, m->used, MADV_DONTDUMP);
        /* The memfd keeps nothing of what building the machine put into it. */
        if (fallocate(m->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)m->used))
            r = err_set(e, errno, "guest memory: %s", strerror(errno));
        mem_wrote(m, m->hva, m->used);
    }
    if (!r)
        r = lazy_start(l, check_thread, e);
    if (r)
        lazy_free(l);
    return r;
}
