/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings of a description that live as long as what was made of it. */
#ifndef WIRT_APPLIANCE_KEPT_H
#define WIRT_APPLIANCE_KEPT_H

#include <stddef.h>

struct kept; /* a list of them; NULL = none */

/* A copy of len bytes with a zero behind them; NULL: no memory. */
char *kept_add(struct kept **list, const char *s, size_t len);
void kept_free(struct kept *list); /* NULL is allowed */

#endif
