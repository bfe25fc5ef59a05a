/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port with more than one listener: what is behind it anyway, and any number of others who
 * read its last output from memory and may type.
 */
#ifndef WIRT_UI_CHARDEV_TAP_H
#define WIRT_UI_CHARDEV_TAP_H

#include "base/err.h"
#include "base/loop.h"
#include "core/backend.h"

enum { TAP_KEPT = 64 << 10, TAP_TYPED = 16 << 10 };

struct tap;

/* inner (may be NULL) belongs to the tap from now on; it is closed with tap_chardev(), which closes
 * the tap. */
int tap_open(struct tap **out, struct loop *l, struct chardev *inner, struct err *e);
struct chardev *tap_chardev(struct tap *t);

/* notify: called after output, from any thread, with no lock held; NULL = nobody.  When the call
 * that takes it away returns, it is not called any more. */
void tap_listen(struct tap *t, void (*notify)(void *opaque), void *opaque);
/* Output from *pos on (0 = all that is kept), at most n bytes; moves *pos.  Any thread. */
size_t tap_read(struct tap *t, u64 *pos, u8 *buf, size_t n);
/* Types; what the guest does not take is kept up to TAP_TYPED, the rest is lost.  Any thread. */
void tap_type(struct tap *t, const u8 *buf, size_t n);

#endif
