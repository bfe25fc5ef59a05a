/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Trace categories, their ring of last events, and bug(), which shows those rings.
 *
 * The list of all traces of this process is the one global of Wirt: bug() has no argument that
 * could lead to the machine, and must work from anywhere.
 */
#include "base/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *help;
} categories[TRACE_COUNT] = {
#define TRACE(name, help) {#name, help},
#include "base/trace.tab"
#undef TRACE
};

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct trace *all;

void trace_init(struct trace *t)
{
    memset(t, 0, sizeof(*t));
    t->out = stderr;
    pthread_mutex_init(&t->lock, NULL);
    pthread_mutex_lock(&all_lock);
    t->next = all;
    all = t;
    pthread_mutex_unlock(&all_lock);
}

void trace_destroy(struct trace *t)
{
    pthread_mutex_lock(&all_lock);
    for (struct trace **p = &all; *p; p = &(*p)->next)
        if (*p == t) {
            *p = t->next;
            break;
        }
    pthread_mutex_unlock(&all_lock);
    pthread_mutex_destroy(&t->lock);
}

static int category_find(const char *name, size_t len)
{
    for (int i = 0; i < TRACE_COUNT; i++)
        if (strlen(categories[i].name) == len && !memcmp(categories[i].name, name, len))
            return i;
    return -1;
}

int trace_enable(struct trace *t, const char *list, struct err *e)
{
    u64 mask = t->mask;

    for (const char *p = list; *p;) {
        size_t len = strcspn(p, ",");
        bool off = *p == '-';
        const char *name = p + off;
        size_t n = len - off;

        if (n == 3 && !memcmp(name, "all", 3)) {
            mask = off ? 0 : BIT64(TRACE_COUNT) - 1;
        } else if (len) {
            int id = category_find(name, n);
            if (id < 0)
                return err_set(e, EINVAL, "no trace category '%.*s' (--trace=help lists them)",
                               (int)n, name);
            mask = off ? mask & ~BIT64(id) : mask | BIT64(id);
        }
        p += len + (p[len] == ',');
    }
    t->mask = mask;
    return 0;
}

void trace_help(FILE *f)
{
    for (int i = 0; i < TRACE_COUNT; i++)
        fprintf(f, "  %-10s %s\n", categories[i].name, categories[i].help);
}

void trace_emit(struct trace *t, enum trace_id id, const char *fmt, ...)
{
    char line[TRACE_LINE];
    va_list ap;
    int n = snprintf(line, sizeof(line), "%s: ", categories[id].name);

    va_start(ap, fmt);
    vsnprintf(line + n, sizeof(line) - n, fmt, ap);
    va_end(ap);
    pthread_mutex_lock(&t->lock);
    memcpy(t->ring[t->count++ % TRACE_RING], line, sizeof(line));
    fprintf(t->out, "%s\n", line);
    pthread_mutex_unlock(&t->lock);
}

/* Takes no lock: the thread that broke may hold it. */
void bug(const char *file, int line, const char *what)
{
    fprintf(stderr, "wirt: bug at %s:%d: %s\n", file, line, what);
    for (struct trace *t = all; t; t = t->next)
        for (u64 n = t->count > TRACE_RING ? t->count - TRACE_RING : 0; n < t->count; n++)
            fprintf(stderr, "  %s\n", t->ring[n % TRACE_RING]);
    abort();
}
