/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new image from the options of `wirt disk create` and `convert`.
 */
#ifndef WIRT_CLI_DISK_NEW_H
#define WIRT_CLI_DISK_NEW_H

#include "cli/disk/disk.h"

struct new_image {
    const char *format;
    char *backing, *backing_format, *size; /* that stood among -o */
    struct disk_create create;
    struct stage stage;
};

/* Makes it at stage.path; stage_commit() gives it its name.  size 0 = as -o (which may
 * then say one) or the backing file says.  new_image_close() also after an error. */
int new_image_open(struct new_image *n, struct disk_args *a, const char *target, const char *format,
                   u64 size, struct err *e);
void new_image_close(struct new_image *n);

#endif
