/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * UUIDs as image formats store them: sixteen bytes, the first three fields little-endian ("GUID",
 * [MS-DTYP] 2.3.4).
 */
#ifndef WIRT_DISK_UUID_H
#define WIRT_DISK_UUID_H

#include "base/types.h"

enum { UUID_BYTES = 16, UUID_TEXT = 37 }; /* UUID_TEXT: with the final zero */

/* A random one (RFC 4122, version 4); 0 or -errno. */
int uuid_make(u8 *u);
/* "12345678-9abc-...", UUID_TEXT bytes. */
void uuid_text(const u8 *u, char *out);
/* With or without braces; nothing may follow.  False = not a UUID. */
bool uuid_parse(const char *text, u8 *u);
bool uuid_is_null(const u8 *u);

#endif
