/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The event loop on epoll.  Jobs and stop requests of other threads come through an eventfd.
 *
 * A callback may delete any watch, its own included: events of one epoll_wait() that belong to a
 * watch deleted meanwhile are dropped, which is why loop_fd_del() looks through the batch in hand.
 */
#include "base/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { BATCH = 32 };

struct loop {
    int epfd, evfd;
    struct epoll_event batch[BATCH]; /* of the turn in hand */
    int nbatch;
    pthread_mutex_t lock; /* guards the job list; a leaf lock */
    struct loop_job *jobs, **jobs_tail;
    bool stop; /* atomic */
};

struct loop *loop_new(struct err *e)
{
    struct loop *l = calloc(1, sizeof(*l));
    struct epoll_event ev = {.events = EPOLLIN};

    if (!l) {
        err_set(e, ENOMEM, "event loop: out of memory");
        return NULL;
    }
    pthread_mutex_init(&l->lock, NULL);
    l->jobs_tail = &l->jobs;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    l->evfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->epfd < 0 || l->evfd < 0 || epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->evfd, &ev)) {
        err_set(e, errno, "event loop: %s", strerror(errno));
        loop_free(l);
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    if (l->epfd >= 0)
        close(l->epfd);
    if (l->evfd >= 0)
        close(l->evfd);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void wake(struct loop *l)
{
    u64 one = 1;
    ssize_t n = write(l->evfd, &one, sizeof(one));
    (void)n; /* EAGAIN: it is awake already */
}

/* One job less, or NULL. */
static struct loop_job *pop_job(struct loop *l)
{
    struct loop_job *j;

    pthread_mutex_lock(&l->lock);
    j = l->jobs;
    if (j) {
        l->jobs = j->next;
        if (!l->jobs)
            l->jobs_tail = &l->jobs;
        j->queued = false;
    }
    pthread_mutex_unlock(&l->lock);
    return j;
}

/* Runs as many jobs as there are now: one that posts itself again does not keep the loop. */
static void run_jobs(struct loop *l)
{
    unsigned n = 0;
    struct loop_job *j;

    pthread_mutex_lock(&l->lock);
    for (j = l->jobs; j; j = j->next)
        n++;
    pthread_mutex_unlock(&l->lock);
    while (n-- && (j = pop_job(l)))
        j->fn(j->opaque);
}

void loop_turn(struct loop *l, int timeout_ms)
{
    bool jobs = false;

    l->nbatch = epoll_wait(l->epfd, l->batch, BATCH, timeout_ms);
    for (int i = 0; i < l->nbatch; i++) {
        struct loop_fd *w = l->batch[i].data.ptr;
        if (w) {
            w->fn(w->opaque, l->batch[i].events);
        } else if (l->batch[i].events) {
            u64 n;
            ssize_t r = read(l->evfd, &n, sizeof(n));
            (void)r;
            jobs = true;
        }
    }
    l->nbatch = 0;
    if (jobs)
        run_jobs(l);
}

void loop_run(struct loop *l)
{
    while (!__atomic_load_n(&l->stop, __ATOMIC_ACQUIRE))
        loop_turn(l, -1);
}

void loop_stop(struct loop *l)
{
    __atomic_store_n(&l->stop, true, __ATOMIC_RELEASE);
    wake(l);
}

int loop_fd_add(struct loop *l, struct loop_fd *w, struct err *e)
{
    struct epoll_event ev = {.events = w->events, .data.ptr = w};

    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, w->fd, &ev))
        return err_set(e, errno, "event loop: cannot watch descriptor %d: %s", w->fd,
                       strerror(errno));
    w->added = true;
    return 0;
}

int loop_fd_mod(struct loop *l, struct loop_fd *w, u32 events)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};

    if (w->events == events)
        return 0;
    w->events = events;
    return w->added && epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev) ? -errno : 0;
}

void loop_fd_del(struct loop *l, struct loop_fd *w)
{
    if (!w->added)
        return;
    epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
    w->added = false;
    for (int i = 0; i < l->nbatch; i++)
        if (l->batch[i].data.ptr == w)
            l->batch[i] = (struct epoll_event){0};
}

void loop_post(struct loop *l, struct loop_job *j)
{
    pthread_mutex_lock(&l->lock);
    if (!j->queued) {
        j->queued = true;
        j->next = NULL;
        *l->jobs_tail = j;
        l->jobs_tail = &j->next;
    }
    pthread_mutex_unlock(&l->lock);
    wake(l);
}

void loop_cancel(struct loop *l, struct loop_job *j)
{
    pthread_mutex_lock(&l->lock);
    for (struct loop_job **p = &l->jobs; *p; p = &(*p)->next)
        if (*p == j) {
            *p = j->next;
            if (l->jobs_tail == &j->next)
                l->jobs_tail = p;
            j->queued = false;
            break;
        }
    pthread_mutex_unlock(&l->lock);
}
