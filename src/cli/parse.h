/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Values on the command line.  All return 0 or -EINVAL with a message that quotes the value.
 */
#ifndef WIRT_CLI_PARSE_H
#define WIRT_CLI_PARSE_H

#include "base/err.h"
#include "base/types.h"
#include "board/config.h"

/* Decimal; lo to hi. */
int parse_number(u64 *v, const char *s, u64 lo, u64 hi, struct err *e);
/* Bytes: "512M", "1.5G", "65536K"; without a suffix in units of `unit` bytes. */
int parse_size(u64 *v, const char *s, u64 unit, struct err *e);
/* 8-4-4-4-12 hexadecimal digits. */
int parse_uuid(u8 uuid[16], const char *s, struct err *e);
/* "xen", "xen,mode=pvh", "xen,mode=pv", "xen,mode=hvm". */
int parse_pv(struct machine_config *m, const char *s, struct err *e);
/* "utc", "localtime" or "2026-01-31T12:00:00". */
int parse_rtc(struct machine_config *m, const char *s, struct err *e);
/* FILE[,bus=ide|virtio][,readonly][,snapshot][,clone=FILE][,cache=MODE][,format=NAME]
 * [,allow-external]; a doubled comma is one of the name.  d->path and d->clone are malloc'ed. */
int parse_disk(struct disk_config *d, const char *s, struct err *e);

/* [uhci,|xhci,]none|tablet|keyboard|storage=FILE..., added to what is there; disk[].path is
 * malloc'ed. */
int parse_usb(struct usb_config *u, const char *s, struct err *e);
/* std|virtio|none[,WIDTHxHEIGHT] */
int parse_vga(struct machine_config *m, const char *s, struct err *e);

#endif
