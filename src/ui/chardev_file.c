/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A serial port whose output goes to a file; and the choice among all kinds.
 */
#include "ui/chardev.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct chardev_file {
    struct chardev c;
    int fd;
};

static void file_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct chardev_file *f = container_of(c, struct chardev_file, c);
    while (len) {
        ssize_t n = write(f->fd, buf, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* a full disk costs the guest's words, not the guest */
        buf += n;
        len -= (size_t)n;
    }
}

static void file_close(struct chardev *c)
{
    struct chardev_file *f = container_of(c, struct chardev_file, c);
    close(f->fd);
    free(f);
}

static const struct chardev_ops file_ops = {file_write, NULL, file_close};

int chardev_file_open(struct chardev **out, const char *path, struct err *e)
{
    struct chardev_file *f = calloc(1, sizeof(*f));
    if (!f)
        return err_set(e, ENOMEM, "%s: out of memory", path);
    f->c.ops = &file_ops;
    f->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        int r = err_set(e, errno, "%s: %s", path, strerror(errno));
        free(f);
        return r;
    }
    *out = &f->c;
    return 0;
}

int chardev_open(struct chardev **out, const char *spec, struct loop *l,
                 const struct stdio_keys *keys, struct err *e)
{
    *out = NULL;
    if (!strcmp(spec, "none"))
        return 0;
    if (!strcmp(spec, "stdio"))
        return chardev_stdio_open(out, l, keys, e);
    if (!strncmp(spec, "file:", 5) && spec[5])
        return chardev_file_open(out, spec + 5, e);
    if (!strncmp(spec, "unix:", 5) && spec[5])
        return chardev_unix_open(out, l, spec + 5, e);
    return err_set(e, EINVAL, "\"%s\" is none of stdio, none, file:PATH, unix:PATH", spec);
}
