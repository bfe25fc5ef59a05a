/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guest memory that is still in a file: userfaultfd(2), ioctl_userfaultfd(2).
 *
 * One thread does everything: it answers faults first, and between them fetches chunk after chunk;
 * when all are here it stops watching, and memory is what it always was.  A chunk is put in place
 * with one UFFDIO_COPY, so nobody sees half of it.  Pages of zeros are given one by one.
 *
 * An unprivileged process may watch only what it touches itself, not what the kernel touches for it
 * (UFFD_USER_MODE_ONLY): hence lazy_touch() in mem_map(), through which all DMA goes.
 */
#include "core/lazymem_int.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CHECK_FIRST_MS = 30 };

int lazy_check_size(const struct mem *m, const struct save_in *in, struct err *e)
{
    if (save_memory_size(in) == m->used)
        return 0;
    return err_set(e, EINVAL,
                   "%s: memory: %llu KiB were saved, this machine has %llu (RAM, ROMs and video "
                   "memory together; is its firmware of another size?)",
                   save_path(in), (unsigned long long)(save_memory_size(in) / KIB),
                   (unsigned long long)(m->used / KIB));
}

/* ------------------------------------------------------------- all at once -- */

int mem_restore(struct mem *m, const struct save_in *in, struct err *e)
{
    int r = lazy_check_size(m, in, e);
    struct save_decoder *d = r ? NULL : save_decoder_new(in);
    u64 chunk = save_chunk_size(in);

    if (!r && !d)
        r = err_set(e, ENOMEM, "%s: out of memory", save_path(in));
    for (u64 i = 0; !r && i < save_chunk_count(in); i++) {
        u8 *p = m->hva + i * chunk;
        if (!save_chunk_zero(in, i))
            r = save_chunk_read(in, d, i, p, e);
        else if (!m->shared || madvise(p, save_chunk_len(in, i), MADV_REMOVE))
            memset(p, 0, save_chunk_len(in, i));
    }
    save_decoder_free(d);
    if (!r)
        mem_wrote(m, m->hva, m->used);
    return r;
}

/* ---------------------------------------------------------- page by page -- */

void lazy_give_up(struct lazy *l, const struct err *why)
{
    if (l->refused)
        return;
    l->refused = true;
    pthread_mutex_lock(&l->lock);
    l->err = *why;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    l->failed(l->opaque);
}

/* Pages that somebody has already (a page that was given back, say) keep what they hold. */
static void put(struct lazy *l, u64 off, const u8 *from, u64 len)
{
    while (len) {
        struct uffdio_copy c = {
            .dst = (u64)(l->m->hva + off), .src = (u64)from, .len = len, .mode = 0};
        if (!ioctl(l->uffd, UFFDIO_COPY, &c))
            return;
        u64 n = c.copy > 0 ? (u64)c.copy : 0;
        if (errno == EEXIST && !n) {
            struct uffdio_range page = {c.dst, PAGE_SIZE};
            ioctl(l->uffd, UFFDIO_WAKE, &page);
            n = PAGE_SIZE;
        } else if (errno != EAGAIN && errno != EEXIST) {
            struct err e;
            err_set(&e, errno, "guest memory at 0x%llx: %s", (unsigned long long)off,
                    strerror(errno));
            lazy_give_up(l, &e);
            return;
        }
        off += n;
        from += n;
        len -= n;
    }
}

static void put_zeros(struct lazy *l, u64 off)
{
    struct uffdio_zeropage z = {.range = {(u64)(l->m->hva + off), PAGE_SIZE}};

    while (ioctl(l->uffd, UFFDIO_ZEROPAGE, &z) && errno == EAGAIN)
        ;
    if (z.zeropage < 0)
        ioctl(l->uffd, UFFDIO_WAKE, &z.range);
}

static void fetch(struct lazy *l, u64 i)
{
    struct err e;

    if (save_chunk_read(l->in, l->d, i, l->buf, &e)) {
        lazy_give_up(l, &e);
        return;
    }
    put(l, i * save_chunk_size(l->in), l->buf, save_chunk_len(l->in, i));
    l->here[i] = true;
}

/* Everything that waits now. */
static void answer(struct lazy *l)
{
    struct uffd_msg msg;

    while (read(l->uffd, &msg, sizeof(msg)) == sizeof(msg)) {
        if (msg.event != UFFD_EVENT_PAGEFAULT)
            continue;
        u64 off = align_down(msg.arg.pagefault.address - (u64)l->m->hva, PAGE_SIZE);
        u64 i = off / save_chunk_size(l->in);
        if (l->here[i] || save_chunk_zero(l->in, i))
            put_zeros(l, off);
        else
            fetch(l, i);
    }
}

/* One chunk more; false = that was all. */
static bool fill(struct lazy *l)
{
    u64 n = save_chunk_count(l->in);

    while (l->next < n && (l->here[l->next] || save_chunk_zero(l->in, l->next)))
        l->next++;
    if (l->next == n)
        return false;
    fetch(l, l->next);
    return true;
}

static void unwatch(struct lazy *l)
{
    struct uffdio_range all = {(u64)l->m->hva, l->m->used};

    ioctl(l->uffd, UFFDIO_UNREGISTER, &all); /* wakes who waits */
}

static void *lazy_thread(void *opaque)
{
    struct lazy *l = opaque;
    struct pollfd p[2] = {{.fd = l->uffd, .events = POLLIN}, {.fd = l->stop, .events = POLLIN}};

    for (;;) {
        if (poll(p, 2, l->refused ? -1 : 0) < 0 && errno != EINTR)
            break;
        if (p[1].revents)
            break;
        if (p[0].revents)
            answer(l);
        else if (!l->refused && !fill(l))
            break;
    }
    if (l->refused || p[1].revents)
        return NULL;
    unwatch(l);
    __atomic_store_n(&l->m->lazy, NULL, __ATOMIC_RELEASE);
    pthread_mutex_lock(&l->lock);
    l->done = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* -1: the host does not let us. */
static int open_uffd(void)
{
    static const int flags[] = {O_CLOEXEC | O_NONBLOCK,
                                O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY};
    struct uffdio_api api = {.api = UFFD_API};
    int fd = -1;

    for (unsigned i = 0; fd < 0 && i < ARRAY_SIZE(flags); i++)
        fd = (int)syscall(SYS_userfaultfd, flags[i]);
    if (fd >= 0 && ioctl(fd, UFFDIO_API, &api)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static u64 now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (u64)ts.tv_sec * 1000 + (u64)ts.tv_nsec / 1000000;
}

/* A small file is checked as a whole before anything runs, a large one as far as time allows. */
static int check_first(struct lazy *l, struct err *e)
{
    u64 end = now_ms() + CHECK_FIRST_MS;
    int r = 0;

    for (u64 i = 0; !r && i < save_chunk_count(l->in) && now_ms() < end; i++)
        r = save_chunk_check(l->in, l->d, i, e);
    return r;
}

void lazy_free(struct lazy *l)
{
    if (l->pages >= 0)
        close(l->pages);
    if (l->uffd >= 0)
        close(l->uffd);
    if (l->stop >= 0)
        close(l->stop);
    save_decoder_free(l->d);
    free(l->here);
    free(l->buf);
    free(l);
}

int lazy_start(struct lazy *l, void *(*thread)(void *opaque), struct err *e)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &old);
    int r = pthread_create(&l->thread, NULL, thread, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return err_set(e, r, "%s: thread: %s", save_path(l->in), strerror(r));
    pthread_setname_np(l->thread, "wirt-memory");
    l->m->lazy_owner = l;
    return 0;
}

struct lazy *lazy_new(struct mem *m, const struct save_in *in, void (*failed)(void *opaque),
                      void *opaque, struct err *e)
{
    struct lazy *l = calloc(1, sizeof(*l));

    if (l) {
        l->m = m;
        l->in = in;
        l->failed = failed;
        l->opaque = opaque;
        l->uffd = l->pages = -1;
        pthread_mutex_init(&l->lock, NULL);
        pthread_cond_init(&l->changed, NULL);
        l->stop = eventfd(0, EFD_CLOEXEC);
        l->buf = aligned_alloc(PAGE_SIZE, save_chunk_size(in));
        l->d = save_decoder_new(in);
        l->here = calloc(save_chunk_count(in), sizeof(*l->here));
        if (l->buf && l->d && l->here && l->stop >= 0)
            return l;
        lazy_free(l);
    }
    err_set(e, ENOMEM, "%s: out of memory", save_path(in));
    return NULL;
}

int lazy_open(struct mem *m, const struct save_in *in, void (*failed)(void *opaque), void *opaque,
              struct err *e)
{
    struct uffdio_register reg = {.range = {(u64)m->hva, m->used},
                                  .mode = UFFDIO_REGISTER_MODE_MISSING};
    int r = lazy_check_size(m, in, e);
    if (r)
        return r;
    struct lazy *l = lazy_new(m, in, failed, opaque, e);
    if (!l)
        return -ENOMEM;
    l->uffd = open_uffd();
    r = check_first(l, e);
    if (r) {
        lazy_free(l);
        return r;
    }
    /* What building the machine put there (firmware, tables) comes from the file now. */
    if (l->uffd < 0 || madvise(m->hva, m->used, MADV_REMOVE) ||
        ioctl(l->uffd, UFFDIO_REGISTER, &reg)) {
        lazy_free(l);
        return mem_restore(m, in, e);
    }
    mem_wrote(m, m->hva, m->used);
    __atomic_store_n(&m->lazy, l, __ATOMIC_RELEASE);
    r = lazy_start(l, lazy_thread, e);
    if (r) {
        m->lazy = NULL;
        lazy_free(l);
    }
    return r;
}

const struct err *lazy_error(const struct mem *m)
{
    return &m->lazy_owner->err;
}

void lazy_touch(const struct mem *m, const u8 *hva, u64 len)
{
    const u8 *end = hva + len;

    (void)m;
    for (; hva < end; hva = (const u8 *)align_up((u64)hva + 1, PAGE_SIZE))
        (void)*(const volatile u8 *)hva;
}

int lazy_finish(struct mem *m, struct err *e)
{
    struct lazy *l = m->lazy_owner;
    int r = 0;

    if (!l)
        return 0;
    pthread_mutex_lock(&l->lock);
    while (!l->done && !l->err.code)
        pthread_cond_wait(&l->changed, &l->lock);
    if (l->err.code) {
        r = -l->err.code;
        if (e)
            *e = l->err;
    }
    pthread_mutex_unlock(&l->lock);
    return r;
}

void lazy_close(struct mem *m)
{
    struct lazy *l = m->lazy_owner;
    u64 one = 1;

    if (!l)
        return;
    if (write(l->stop, &one, sizeof(one)) != sizeof(one))
        return; /* it goes with the process */
    pthread_join(l->thread, NULL);
    m->lazy = NULL;
    m->lazy_owner = NULL;
    lazy_free(l);
}
