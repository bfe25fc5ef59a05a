/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * tar://: a member of an archive as a file that is only read.  It is a window on the archive's own
 * file, so it costs nothing.  The disks of an XVA are cut into many members: they get the whole
 * archive, and the format "xva" finds its way in it.
 */
#include "disk/disk_int.h"
#include "disk/tar.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool tar_is_url(const char *path)
{
    return !strncmp(path, TAR_SCHEME, strlen(TAR_SCHEME));
}

/* `%` and `#` as they are written in a URL; the bytes written. */
static int encode(char *out, const char *path)
{
    int n = 0;

    for (; *path; path++) {
        if (*path == '#' || *path == '%')
            n += sprintf(out + n, "%%%02x", (unsigned)*path);
        else
            out[n++] = *path;
    }
    out[n] = 0;
    return n;
}

char *tar_url(const char *archive, const char *member, u64 disk_size)
{
    char *url = malloc(sizeof(TAR_SCHEME) + 3 * strlen(archive) + strlen(member) + 30), *p = url;

    if (!url)
        return NULL;
    p += sprintf(p, TAR_SCHEME);
    p += encode(p, archive);
    p += sprintf(p, "#%s", member);
    if (disk_size)
        sprintf(p, "@%llu", (unsigned long long)disk_size);
    return url;
}

int tar_url_in(const char *folder, const char *url, char *out, struct err *e)
{
    char encoded[3 * PATH_MAX];
    int n;

    if (url[strlen(TAR_SCHEME)] == '/' || strlen(folder) >= PATH_MAX) {
        n = snprintf(out, PATH_MAX, "%s", url);
    } else {
        encode(encoded, folder);
        n = snprintf(out, PATH_MAX, TAR_SCHEME "%s/%s", encoded, url + strlen(TAR_SCHEME));
    }
    return n < PATH_MAX ? 0 : err_set(e, ENAMETOOLONG, "its path is too long");
}

int tar_url_parse(const char *url, char *archive, char *member, u64 *disk_size, struct err *e)
{
    const char *p = url + strlen(TAR_SCHEME), *hash = strchr(p, '#'), *at;
    char *end;
    size_t n = 0;

    *disk_size = 0;
    if (!hash || hash == p || !hash[1] || strlen(hash) > TAR_NAME_MAX || hash - p >= PATH_MAX)
        return err_set(e, EINVAL, "is not tar://ARCHIVE#MEMBER");
    for (; p < hash; p++) {
        unsigned c = (unsigned char)*p;
        if (c == '%' && isxdigit((unsigned char)p[1]) && sscanf(p + 1, "%2x", &c) == 1 && c)
            p += 2;
        archive[n++] = (char)c;
    }
    archive[n] = 0;
    strcpy(member, hash + 1);
    at = strrchr(hash, '@');
    if (!at || at[-1] != '/' || at[1] < '1' || at[1] > '9')
        return 0;
    errno = 0;
    *disk_size = strtoull(at + 1, &end, 10);
    if (*end || errno || *disk_size > (u64)INT64_MAX)
        return err_set(e, EINVAL, "\"%s\" is no size of a disk", at + 1);
    member[at - hash - 1] = 0;
    return 0;
}

int tar_file_open(struct file **f, const char *url, unsigned flags, const struct disk_options *o,
                  struct err *e)
{
    char archive[PATH_MAX], member[TAR_NAME_MAX], *name;
    struct disk_options own = *o;
    u64 disk_size, offset, size;
    struct file *whole;

    if (flags & (FILE_WRITE | FILE_CREATE))
        return err_set(e, EROFS,
                       "is in an archive, which is only read (\"readonly\", \"snapshot\" or "
                       "\"clone=FILE\" would do)");
    int r = tar_url_parse(url, archive, member, &disk_size, e);
    if (r)
        return r;
    own.cache =
        DISK_WRITEBACK; /* members begin at multiples of 512 bytes: too little for O_DIRECT */
    r = host_file_open(&whole, archive, 0, &own, e);
    if (r)
        return r;
    name = strdup(url);
    if (!name) {
        file_close(whole);
        return err_set(e, ENOMEM, "out of memory");
    }
    if (!disk_size) {
        r = tar_find(whole, member, &offset, &size, e);
        if (!r && !size && !(flags & FILE_EMPTY_OK))
            r = err_set(e, EINVAL, "is empty");
        if (r) {
            free(name);
            file_close(whole);
            return r;
        }
        host_file_window(whole, offset, size);
    }
    host_file_rename(whole, name);
    *f = whole;
    return 0;
}
