/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A new image is made in a folder of its own beside the place where it shall be, under its final
 * name: images of several files name each other.  When it is whole, all of them are moved, the main
 * one last.  So a program that is killed leaves a folder .wirt-XXXXXX, and nothing under the
 * image's name.
 *
 * An overlay names its backing file relative to its directory, and is made right there under
 * another name.  Devices and network disks are written in place.
 */
#include "cli/disk/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The folder of path, with its slash; "" = here. */
static int folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path) + 1 : 0;
}

/* What is there already? */
static int look(struct stage *s, const char *target, struct err *e)
{
    struct stat st;
    char real[PATH_MAX];
    const struct disk_options o = {0};
    int r;
    if (stat(target, &st) < 0) {
        if (errno != ENOENT)
            return err_set(e, errno, "%s: %s", target, strerror(errno));
        if (lstat(target, &st) == 0)
            return err_set(e, ENOENT, "%s: a symbolic link that leads nowhere", target);
        return 0;
    }
    if (S_ISDIR(st.st_mode))
        return err_set(e, EISDIR, "%s: is a directory", target);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return err_set(e, EINVAL, "%s: neither a regular file nor a block device", target);
    if (!s->force)
        return err_set(e, EEXIST, "%s: exists already (--force would replace what it holds)",
                       target);
    if (S_ISBLK(st.st_mode)) {
        s->in_place = true;
        return 0;
    }
    r = file_open(&s->guard, target, FILE_WRITE | FILE_EMPTY_OK, &o, e);
    if (r)
        return err_prefix(e, "%s", target);
    if (realpath(target, real)) { /* the file is replaced, not a link to it */
        free(s->final);
        s->final = strdup(real);
    }
    return s->final ? 0 : err_set(e, ENOMEM, "out of memory");
}

int stage_open(struct stage *s, const char *target, bool named, bool force, struct err *e)
{
    int n, r;
    *s = (struct stage){.final = strdup(target), .force = force};
    if (!s->final)
        return err_set(e, ENOMEM, "out of memory");
    if (!*target)
        return err_set(e, ENOENT, "an empty file name");
    s->in_place = strstr(target, "://");
    r = s->in_place ? 0 : look(s, target, e);
    if (r)
        return r;
    n = folder_len(s->final);
    if (!s->final[n])
        return err_set(e, EISDIR, "%s: names a directory", target);
    if (s->in_place) {
        s->path = strdup(s->final);
    } else if (named) {
        if (asprintf(&s->path, "%.*s.%s.wirt-%d", n, s->final, s->final + n, (int)getpid()) < 0)
            s->path = NULL;
    } else {
        if (asprintf(&s->dir, "%.*s.wirt-XXXXXX", n, s->final) < 0)
            s->dir = NULL;
        if (s->dir && !mkdtemp(s->dir)) {
            r = err_set(e, errno, "%s: cannot make it: %s", target, strerror(errno));
            free(s->dir);
            s->dir = NULL;
            return r;
        }
        if (s->dir && asprintf(&s->path, "%s/%s", s->dir, s->final + n) < 0)
            s->path = NULL;
    }
    return s->path ? 0 : err_set(e, ENOMEM, "out of memory");
}

/* One of the folder's files to where it belongs. */
static int move(struct stage *s, const char *name, bool only_look, struct err *e)
{
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof(from), "%s/%s", s->dir, name);
    snprintf(to, sizeof(to), "%.*s%s", folder_len(s->final), s->final, name);
    if (only_look)
        return !s->force && access(to, F_OK) == 0 ? err_set(e, EEXIST, "%s: exists already", to)
                                                  : 0;
    return rename(from, to) < 0 ? err_set(e, errno, "%s: %s", to, strerror(errno)) : 0;
}

static int move_all(struct stage *s, bool only_look, struct err *e)
{
    const char *main_file = s->final + folder_len(s->final);
    DIR *d = opendir(s->dir);
    int r = 0;
    if (!d)
        return err_set(e, errno, "%s: %s", s->dir, strerror(errno));
    for (struct dirent *x; !r && (x = readdir(d));)
        if (strcmp(x->d_name, ".") && strcmp(x->d_name, "..") && strcmp(x->d_name, main_file))
            r = move(s, x->d_name, only_look, e);
    closedir(d);
    return r ? r : move(s, main_file, only_look, e);
}

int stage_commit(struct stage *s, bool sync, struct err *e)
{
    char folder[PATH_MAX];
    int r = 0, n = folder_len(s->final);
    if (s->in_place)
        return 0;
    if (s->dir) {
        r = move_all(s, true, e);
        if (!r)
            r = move_all(s, false, e);
    } else if (!s->force && access(s->final, F_OK) == 0) {
        r = err_set(e, EEXIST, "%s: exists already", s->final);
    } else if (rename(s->path, s->final) < 0) {
        r = err_set(e, errno, "%s: %s", s->final, strerror(errno));
    }
    if (r || !sync)
        return r;
    snprintf(folder, sizeof(folder), "%.*s", n ? n : 1, n ? s->final : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        r = err_set(e, errno, "%s: %s", folder, strerror(errno));
    if (fd >= 0)
        close(fd);
    return r;
}

/* A folder of files, one level of folders in it. */
static void remove_all(const char *path, bool deeper)
{
    DIR *d = opendir(path);
    for (struct dirent *x; d && (x = readdir(d));) {
        char name[PATH_MAX];
        snprintf(name, sizeof(name), "%s/%s", path, x->d_name);
        if (strcmp(x->d_name, ".") && strcmp(x->d_name, "..") && unlink(name) < 0 && deeper)
            remove_all(name, false);
    }
    if (d)
        closedir(d);
    rmdir(path);
}

void stage_close(struct stage *s)
{
    if (s->dir)
        remove_all(s->dir, true);
    else if (!s->in_place && s->path)
        unlink(s->path);
    file_close(s->guard);
    free(s->final);
    free(s->path);
    free(s->dir);
    *s = (struct stage){0};
}

void stage_fix(const struct stage *s, struct err *e)
{
    char msg[sizeof(e->msg)];
    char *path = s->path && !s->in_place ? strdup(s->path) : NULL; /* as a message has it */
    char *at = path ? strstr(e->msg, err_plain(path)) : NULL;
    if (at) {
        snprintf(msg, sizeof(msg), "%.*s%s%s", (int)(at - e->msg), e->msg, s->final,
                 at + strlen(path));
        memcpy(e->msg, err_plain(msg), sizeof(msg));
    }
    free(path);
}
