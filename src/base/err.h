/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Three kinds of error, three forms:
 *
 * - The host or the user is wrong: the function returns -errno and fills a struct err with one line
 *   that names the file and the reason; callers add context in front with err_prefix().
 * - The guest is wrong: the architectural result and a trace, never an exit.
 * - Wirt is wrong: BUG_ON(), which stays in release builds.
 */
#ifndef WIRT_BASE_ERR_H
#define WIRT_BASE_ERR_H

#include "base/types.h"

struct err {
    int code;      /* a positive errno, 0 = no error */
    char msg[500]; /* one line without a final newline; control characters are shown as ? */
};

/* Fills *e (may be NULL) and returns -code. */
int err_set(struct err *e, int code, const char *fmt, ...) printf_like(3, 4);

/* Puts "context: " in front of the message of *e (may be NULL); returns -e->code. */
int err_prefix(struct err *e, const char *fmt, ...) printf_like(2, 3);

/* Names and texts come from files of strangers: line breaks and what a terminal would obey become
 * ?, in place.  Returns text. */
char *err_plain(char *text);

/*
 * An invariant of Wirt itself is broken: prints what, where, and the last trace events of each
 * machine of this process (base/trace.h), then aborts.
 */
_Noreturn void bug(const char *file, int line, const char *what);

#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(cond))                                                                        \
            bug(__FILE__, __LINE__, #cond);                                                        \
    } while (0)

#endif
