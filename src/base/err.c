/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list ap;

    if (e) {
        e->code = code;
        va_start(ap, fmt);
        vsnprintf(e->msg, sizeof(e->msg), fmt, ap);
        va_end(ap);
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
    memcpy(e->msg, whole, sizeof(whole));
    return -e->code;
}
