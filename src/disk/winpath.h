/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Microsoft's formats have in common: file names in UTF-16 with backslashes, and GUIDs.
 */
#ifndef WIRT_DISK_WINPATH_H
#define WIRT_DISK_WINPATH_H

#include "base/types.h"

enum { GUID_LEN = 16, GUID_TEXT = 39 };

/* UTF-16, up to a NUL or `bytes`, to UTF-8 with a final NUL.  False: not UTF-16, empty, or too long
 * for room. */
bool utf16_get(const u8 *p, size_t bytes, bool big_endian, char *out, size_t room);
/* UTF-8 to UTF-16 without a final NUL.  The bytes used, 0 = not UTF-8 or no room. */
size_t utf16_put(const char *s, bool big_endian, u8 *out, size_t room);

/* A Windows path as something to look for here, in place: slashes; of a path with a drive, volume
 * or host only the last name is left. */
void winpath_to_host(char *path);
/* The other way, in place: backslashes. */
void winpath_from_host(char *path);

void guid_random(u8 guid[GUID_LEN]);
/* "{xxxxxxxx-xxxx-...}", as a little-endian GUID is written; lower case. */
void guid_text(const u8 guid[GUID_LEN], char out[GUID_TEXT]);
/* With or without braces, any case. */
bool guid_parse(const char *s, u8 guid[GUID_LEN]);

#endif
