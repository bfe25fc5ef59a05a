/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of running machines.
 */
#include "control/place.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static bool exists(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int place_folder(char folder[PLACE_PATH_MAX], bool make, struct err *e)
{
    const char *xdg = getenv("XDG_RUNTIME_DIR");
    struct stat st;
    int n;
    if (xdg && *xdg == '/' && exists(xdg))
        n = snprintf(folder, PLACE_PATH_MAX, "%s/wirt", xdg);
    else if (!geteuid() && exists("/run"))
        n = snprintf(folder, PLACE_PATH_MAX, "/run/wirt");
    else
        n = snprintf(folder, PLACE_PATH_MAX, "/tmp/wirt-%u", (unsigned)geteuid());
    if (n >= PLACE_PATH_MAX)
        return err_set(e, ENAMETOOLONG, "%s/wirt: too long for a socket's folder", xdg);
    if (make && mkdir(folder, 0700) && errno != EEXIST)
        return err_set(e, errno, "%s: %s", folder, strerror(errno));
    if (lstat(folder, &st))
        return err_set(e, errno, "%s: %s", folder, strerror(errno));
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return err_set(e, EPERM, "%s: not a folder that belongs to this user alone (mode 0700)",
                       folder);
    return 0;
}

int place_check_name(const char *name, struct err *e)
{
    size_t n = strlen(name);
    bool ok = n >= 1 && n <= 63 && *name != '.';
    for (const char *p = name; *p; p++)
        ok &= *p != '/' && (unsigned char)*p >= 0x20 && *p != 0x7f;
    return ok ? 0
              : err_set(e, EINVAL,
                        "\"%.80s\" is no name: 1 to 63 characters without '/', no '.' in front",
                        name);
}

int place_path(char path[PLACE_PATH_MAX], const char *name, const char *suffix, struct err *e)
{
    char folder[PLACE_PATH_MAX];
    int r = place_check_name(name, e);
    if (!r)
        r = place_folder(folder, false, e);
    if (r)
        return r;
    if (snprintf(path, PLACE_PATH_MAX, "%s/%s%s", folder, name, suffix) >= PLACE_PATH_MAX)
        return err_set(e, ENAMETOOLONG, "%s/%s%s: too long for the name of a socket", folder, name,
                       suffix);
    return 0;
}

int place_take(struct place *p, const char *name, struct err *e)
{
    char folder[PLACE_PATH_MAX];
    struct stat held, there;
    int tries = 3, r = place_folder(folder, true, e);
    if (!r)
        r = place_path(p->lock_path, name, ".lock", e);
    while (!r) {
        int fd = open(p->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return err_set(e, errno, "%s: %s", p->lock_path, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB)) {
            close(fd);
            if (tries--) { /* somebody may just be looking, in place_list() */
                usleep(10000);
                continue;
            }
            return err_set(e, EEXIST, "a machine called \"%s\" is running already", name);
        }
        /* Its last holder may have taken the file away between open() and flock(). */
        if (!fstat(fd, &held) && !lstat(p->lock_path, &there) && held.st_ino == there.st_ino) {
            p->lock_fd = fd;
            return 0;
        }
        close(fd);
    }
    return r;
}

void place_release(struct place *p)
{
    if (p->lock_fd <= 0)
        return;
    unlink(p->lock_path);
    close(p->lock_fd);
    p->lock_fd = 0;
}

static int is_lock(const struct dirent *d)
{
    size_t n = strlen(d->d_name);
    return n > 5 && !strcmp(d->d_name + n - 5, ".lock");
}

int place_list(void (*fn)(void *opaque, const char *name), void *opaque, struct err *e)
{
    char folder[PLACE_PATH_MAX], path[PLACE_PATH_MAX + 256];
    struct dirent **list;
    int r = place_folder(folder, false, e);
    if (r)
        return r == -ENOENT ? 0 : r;
    int n = scandir(folder, &list, is_lock, alphasort);
    if (n < 0)
        return err_set(e, errno, "%s: %s", folder, strerror(errno));
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, list[i]->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        bool live = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK;
        if (fd >= 0)
            close(fd);
        list[i]->d_name[strlen(list[i]->d_name) - 5] = 0;
        if (live)
            fn(opaque, list[i]->d_name);
        free(list[i]);
    }
    free(list);
    return 0;
}
