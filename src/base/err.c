/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Names and texts come from files of strangers: no line breaks, no terminal's control sequences. */
static void one_line(char *msg)
{
    for (; *msg; msg++)
        if ((unsigned char)*msg < ' ' || *msg == 0x7f)
            *msg = '?';
}

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e) {
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
        va_end(ap);
        one_line(e->msg);
    }
    return -code;
}

int err_prefix(struct err *e, const char *fmt, ...)
{
    char whole[sizeof(((struct err *)0)->msg)];
    va_list ap;
    int n;

    if (!e)
        return -1;
    va_start(ap, fmt);
    n = vsnprintf(whole, sizeof(whole), fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof(whole))
        snprintf(whole + n, sizeof(whole) - n, ": %s", e->msg);
    one_line(whole);
    memcpy(e->msg, whole, sizeof(whole));
    return -e->code;
}
