/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The debug console: characters go to a file as they come, and as lines to the trace.
 */
#include "dev/debugcon.h"

#include <string.h>

enum { READBACK = 0xe9 };

static u64 debugcon_read(void *opaque, u64 off, unsigned size)
{
    return READBACK;
}

static void end_line(struct debugcon *d)
{
    trace(d->trace, debugcon, "%.*s", (int)d->len, d->line);
    d->len = 0;
}

static void debugcon_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct debugcon *d = opaque;
    u8 ch = val;

    if (d->out) {
        fputc(ch, d->out);
        if (ch == '\n')
            fflush(d->out);
    }
    if (!trace_on(d->trace, TRACE_debugcon))
        return;
    if (ch == '\n')
        end_line(d);
    else if (ch != '\r')
        d->line[d->len++] = ch < 32 || ch > 126 ? '.' : ch;
    if (d->len == sizeof(d->line))
        end_line(d);
}

static const struct region_ops debugcon_ops = {
    .read = debugcon_read, .write = debugcon_write, .min_width = 1, .max_width = 1};

void debugcon_init(struct debugcon *d, FILE *out, struct trace *t)
{
    memset(d, 0, sizeof(*d));
    d->out = out;
    d->trace = t;
    pthread_mutex_init(&d->lock, NULL);
    d->region = (struct region){
        .name = "debugcon", .size = 1, .ops = &debugcon_ops, .opaque = d, .lock = &d->lock};
}
