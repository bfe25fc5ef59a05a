/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How far long work is: a bar on a terminal, lines elsewhere when asked for.  And the end that a
 * user makes: signals are looked for here, so that half-made files are removed first.
 */
#include "cli/disk/disk.h"

#include <math.h>
#include <unistd.h>

enum { BAR = 30 };

static double seconds(const struct progress *p)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)(t.tv_sec - p->start.tv_sec) + 1e-9 * (double)(t.tv_nsec - p->start.tv_nsec);
}

void progress_open(struct progress *p, const struct disk_args *a, const char *what)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    bool tty = isatty(STDERR_FILENO);
    *p = (struct progress){.what = what};
    p->bar = tty && !a->quiet;
    p->lines = !tty && a->progress;
    clock_gettime(CLOCK_MONOTONIC, &p->start);
    sigemptyset(&p->signals);
    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++)
        sigaddset(&p->signals, ends[i]);
    pthread_sigmask(SIG_BLOCK, &p->signals, &p->old);
}

static void draw(const struct progress *p, u64 done, double t)
{
    char a[32], b[32], c[32], bar[BAR + 1];
    double part = p->total ? (double)done / (double)p->total : 1,
           left = part > 0 ? t / part - t : 0;
    for (int i = 0; i < BAR; i++)
        bar[i] = (double)i < part * BAR ? '#' : '.';
    bar[BAR] = 0;
    fprintf(stderr, "\r%s [%s] %3.0f%%  %s of %s, %s/s, %u:%02u left \033[K", p->what, bar,
            floor(part * 100), disk_human(a, done), disk_human(b, p->total),
            disk_human(c, (u64)((double)done / t)), (unsigned)left / 60, (unsigned)left % 60);
}

bool progress_tick(void *opaque, u64 done)
{
    struct progress *p = opaque;
    struct timespec now = {0};
    unsigned percent = p->total ? (unsigned)(done * 100.0 / (double)p->total) : 100;
    double t = seconds(p);
    int sig = sigtimedwait(&p->signals, NULL, &now);
    if (sig > 0) {
        p->signal = sig;
        return false;
    }
    if (p->bar && t > 0.5) {
        draw(p, done, t);
        p->shown = true;
    }
    if (p->lines && percent > p->percent) {
        fprintf(stderr, "%u%% %llu/%llu\n", percent, (unsigned long long)done,
                (unsigned long long)p->total);
        p->percent = percent;
    }
    return true;
}

void progress_close(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    if (p->lines && !p->signal && p->percent < 100)
        fprintf(stderr, "100%% %llu/%llu\n", (unsigned long long)p->total,
                (unsigned long long)p->total);
    pthread_sigmask(SIG_SETMASK, &p->old, NULL);
    if (p->signal)
        raise(p->signal); /* at its default it ends us, and the shell sees by what */
}
