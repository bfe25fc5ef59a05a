/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Snapshots of a whole machine.  The saved machine is written last and removed first, so that what
 * is listed is whole.
 */
#include "board/snapshots.h"
#include "board/pc_state.h"
#include "core/lazymem.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".wirt"

static int check_word(const char *what, const char *w, struct err *e)
{
    size_t n = strlen(w);
    bool ok = n && n < 64 && *w != '.';

    for (const char *p = w; *p; p++)
        ok &= *p > ' ' && *p != 0x7f && *p != '/';
    return ok ? 0
              : err_set(e, EINVAL,
                        "\"%.70s\" is no %s: 1 to 63 characters without blanks and '/', no '.' in "
                        "front",
                        w, what);
}

static int folder_of(char path[PATH_MAX], const char *name, bool make, struct err *e)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    int n, r = check_word("name of a machine with snapshots", name, e);

    if (r)
        return r;
    if (state && *state == '/')
        n = snprintf(path, PATH_MAX, "%s/wirt/%s", state, name);
    else if (home && *home == '/')
        n = snprintf(path, PATH_MAX, "%s/.local/state/wirt/%s", home, name);
    else
        return err_set(e, ENOENT, "no folder for snapshots: HOME is not set");
    if (n >= PATH_MAX - 80)
        return err_set(e, ENAMETOOLONG, "%.60s...: the name is too long", path);
    for (char *p = path + 1; make && p; p = strchr(p + 1, '/')) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(path, 0700) && errno != EEXIST)
            r = err_set(e, errno, "%s: %s", path, strerror(errno));
        *p = '/';
        if (r)
            return r;
    }
    if (make && mkdir(path, 0700) && errno != EEXIST)
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    return 0;
}

/* The file of a snapshot, and in `copies` what copies of disks begin with. */
static int paths_of(struct pc *pc, const char *tag, char file[PATH_MAX], char copies[PATH_MAX],
                    bool make, struct err *e)
{
    char folder[PATH_MAX];
    int r = check_word("tag", tag, e);

    if (!r)
        r = folder_of(folder, pc->vm->name, make, e);
    if (!r) {
        snprintf(file, PATH_MAX, "%s/%s" SUFFIX, folder, tag);
        snprintf(copies, PATH_MAX, "%s/%s.disk-", folder, tag);
    }
    return r;
}

/* One step for each disk that can be written, up to the first that fails; *done counts them. */
static int each_disk(struct pc *pc, enum blk_snapshot what, const char *tag, const char *copies,
                     unsigned *done, struct err *e)
{
    char copy[PATH_MAX + 16];
    struct blk *b;
    int r = 0;

    for (unsigned i = 0; !r && pc_disk(pc, i, &b); i++) {
        if (!b || b->readonly)
            continue;
        if (done && *done == 0)
            break;
        snprintf(copy, sizeof(copy), "%s%u", copies, i);
        if (!b->ops->snapshot)
            r = err_set(e, ENOTSUP, "%s: this kind of disk has no snapshots", b->path);
        else
            r = b->ops->snapshot(b, what, tag, copy, e);
        if (done && !r)
            --*done;
    }
    return r;
}

static unsigned count_disks(struct pc *pc)
{
    unsigned n = 0;
    struct blk *b;

    for (unsigned i = 0; pc_disk(pc, i, &b); i++)
        n += b && !b->readonly;
    return n;
}

static int take(struct pc *pc, const char *tag, const char *file, const char *copies, struct err *e)
{
    unsigned all = count_disks(pc), left = all;
    int r = pc_settle(pc, e);

    if (r)
        return r;
    r = each_disk(pc, BLK_SNAPSHOT_TAKE, tag, copies, &left, e);
    if (!r)
        r = pc_save(pc, file, e);
    if (r) {
        unsigned taken = all - left;
        each_disk(pc, BLK_SNAPSHOT_DROP, tag, copies, &taken, NULL);
    }
    return r;
}

int snapshot_take(struct pc *pc, const char *tag, struct err *e)
{
    char file[PATH_MAX], copies[PATH_MAX];
    bool was_paused = pc->vm->paused;
    int r = paths_of(pc, tag, file, copies, true, e);

    if (!r && !access(file, F_OK))
        r = err_set(e, EEXIST, "%s has a snapshot \"%s\" already", pc->vm->name, tag);
    if (r)
        return r;
    vm_pause(pc->vm);
    r = take(pc, tag, file, copies, e);
    if (!was_paused)
        vm_resume(pc->vm);
    return r;
}

/* The whole file, before anything is changed. */
static int open_checked(struct save_in **in, const char *file, const char *tag, struct err *e)
{
    int r = access(file, F_OK) ? err_set(e, ENOENT, "there is no snapshot \"%s\"", tag)
                               : save_open(in, file, e);

    if (r)
        return r;
    struct save_decoder *d = save_decoder_new(*in);
    if (!d)
        r = err_set(e, ENOMEM, "%s: out of memory", file);
    for (u64 i = 0; !r && i < save_chunk_count(*in); i++)
        r = save_chunk_check(*in, d, i, e);
    save_decoder_free(d);
    if (r)
        save_close(*in);
    return r;
}

int snapshot_restore(struct pc *pc, const char *tag, struct err *e)
{
    char file[PATH_MAX], copies[PATH_MAX];
    struct vm *vm = pc->vm;
    bool was_paused = vm->paused;
    struct save_in *in;
    int r = paths_of(pc, tag, file, copies, false, e);

    if (!r)
        r = each_disk(pc, BLK_SNAPSHOT_CHECK, tag, copies, NULL, e);
    if (!r)
        r = open_checked(&in, file, tag, e);
    if (r)
        return r;
    vm_pause(vm);
    r = lazy_finish(&vm->mem, e);
    if (!r)
        r = pc_check(pc, in, e);
    if (!r)
        r = pc_settle(pc, e);
    if (!r) {
        r = each_disk(pc, BLK_SNAPSHOT_APPLY, tag, copies, NULL, e);
        if (!r)
            r = pc_load(pc, in, VM_MEMORY_NOW, e);
        if (r) /* disks and memory do not fit together any more */
            vm_request_end(vm, VM_FAILED, 0);
    }
    save_close(in);
    if (!was_paused && vm->end == VM_RUNNING)
        vm_resume(vm);
    return r;
}

int snapshot_delete(struct pc *pc, const char *tag, struct err *e)
{
    char file[PATH_MAX], copies[PATH_MAX];
    bool was_paused = pc->vm->paused;
    int r = paths_of(pc, tag, file, copies, false, e);

    if (!r && unlink(file))
        r = errno == ENOENT ? err_set(e, ENOENT, "there is no snapshot \"%s\"", tag)
                            : err_set(e, errno, "%s: %s", file, strerror(errno));
    if (r)
        return r;
    vm_pause(pc->vm);
    r = pc_settle(pc, e);
    if (!r)
        r = each_disk(pc, BLK_SNAPSHOT_DROP, tag, copies, NULL, e);
    if (!was_paused)
        vm_resume(pc->vm);
    return r;
}

/* -------------------------------------------------------------------- list -- */

static int by_age(const void *a, const void *b)
{
    const struct snapshot *x = a, *y = b;

    return x->seconds < y->seconds ? -1 : x->seconds > y->seconds ? 1 : strcmp(x->tag, y->tag);
}

static bool add_file(struct snapshot **list, unsigned *n, int dir, const char *name)
{
    size_t len = strlen(name), end = strlen(SUFFIX);
    struct stat st;

    if (len <= end || len - end >= sizeof((*list)->tag) || strcmp(name + len - end, SUFFIX) ||
        fstatat(dir, name, &st, 0) || !S_ISREG(st.st_mode))
        return true;
    struct snapshot *more = realloc(*list, (*n + 1) * sizeof(*more));
    if (!more)
        return false;
    *list = more;
    more[*n] = (struct snapshot){.seconds = st.st_mtime, .size = (u64)st.st_size};
    memcpy(more[*n].tag, name, len - end);
    ++*n;
    return true;
}

int snapshot_list(const char *name, struct snapshot **list, unsigned *n, struct err *e)
{
    char folder[PATH_MAX];
    struct dirent *de;
    bool ok = true;
    int r = folder_of(folder, name, false, e);

    *list = NULL;
    *n = 0;
    if (r)
        return r;
    DIR *d = opendir(folder);
    if (!d)
        return errno == ENOENT ? 0 : err_set(e, errno, "%s: %s", folder, strerror(errno));
    while (ok && (de = readdir(d)))
        ok = add_file(list, n, dirfd(d), de->d_name);
    closedir(d);
    if (!ok) {
        free(*list);
        return err_set(e, ENOMEM, "out of memory");
    }
    if (*n)
        qsort(*list, *n, sizeof(**list), by_age);
    return 0;
}
