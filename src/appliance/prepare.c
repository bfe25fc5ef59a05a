/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where a machine's writes go whose description's images are only read: a folder beside it with a
 * qcow2 overlay for each disk, made when it is first run and there again at the next run.
 */
#include "appliance/appliance_int.h"
#include "disk/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool is_kept(const struct ap_drive *d, bool snapshot)
{
    return d->in_disks && (d->overlay || d->fresh) && !d->discard && !snapshot;
}

static bool keeps_variables(const struct machine_config *m, bool snapshot)
{
    return m->firmware && !strcmp(m->firmware, FIRMWARE_EFI) && !m->efi_vars && !snapshot;
}

/* kept: disks, and not only what UEFI remembers. */
static int make_folder(struct appliance *a, const char *folder, bool kept, struct err *e)
{
    struct stat st;

    if (!mkdir(folder, 0777)) {
        ap_note(a, "%s kept in %s (--snapshot keeps nothing)",
                kept ? "disks are only read: what the machine writes is"
                     : "the UEFI's variables are",
                folder);
        return 0;
    }
    if (errno == EEXIST && !stat(folder, &st) && S_ISDIR(st.st_mode))
        return 0;
    return err_set(e, errno,
                   "%s: cannot be made, where what the machine writes would be kept: %s "
                   "(--appliance writes=FOLDER names another, --snapshot does without)",
                   folder, strerror(errno));
}

/* An empty disk that nobody keeps: a file without a name. */
static int throw_away_disk(struct appliance *a, const struct ap_drive *d, struct disk_config *c,
                           struct err *e)
{
    const char *dir = getenv("TMPDIR");
    unsigned i = (unsigned)(d - a->drive);
    int fd = open(dir && *dir ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    char path[64];

    if (fd < 0 || ftruncate(fd, (off_t)d->fresh) < 0) {
        int r = err_set(e, errno, "%s: %s: cannot make an empty disk: %s", a->label, d->where,
                        strerror(errno));
        if (fd >= 0)
            close(fd);
        return r;
    }
    a->fresh_fd[i] = fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    free((char *)c->path);
    c->path = strdup(path);
    c->format = "raw";
    c->snapshot = false; /* it is thrown away as it is */
    return c->path ? 0 : ap_nomem(a, e);
}

static int keep_disk(struct appliance *a, const struct ap_drive *d, const char *folder,
                     struct disk_config *c, struct err *e)
{
    char path[PATH_MAX];
    int r = 0;

    if (snprintf(path, sizeof(path), "%s/disk%u.qcow2", folder, d->index + 1) >= (int)sizeof(path))
        return err_set(e, ENAMETOOLONG, "%s: name too long", folder);
    if (d->overlay && !c->clone) {
        c->clone = strdup(path);
        return c->clone ? 0 : ap_nomem(a, e);
    }
    if (!d->fresh)
        return 0;
    if (access(path, F_OK))
        r = disk_create("qcow2", &(struct disk_create){.path = path, .size = d->fresh}, e);
    if (r) {
        unlink(path); /* a part of one would be taken for the disk next time */
        return r;
    }
    free((char *)c->path);
    c->path = strdup(path);
    c->format = "qcow2";
    return c->path ? 0 : ap_nomem(a, e);
}

int appliance_prepare(struct appliance *a, struct machine_config *m, bool snapshot,
                      appliance_tick *tick, void *opaque, struct err *e)
{
    char folder[PATH_MAX], stamp[PATH_MAX + 16];
    bool kept = false;
    int r = 0;

    if (snprintf(folder, sizeof(folder), "%s%s", a->o.writes ? a->o.writes : a->path,
                 a->o.writes ? "" : ".wirt") >= (int)sizeof(folder))
        return err_set(e, ENAMETOOLONG, "%s: name too long", a->path);
    snprintf(stamp, sizeof(stamp), "%s/verified", folder);
    for (unsigned i = 0; i < a->ndrives; i++)
        kept |= is_kept(&a->drive[i], snapshot);
    if (kept || keeps_variables(m, snapshot))
        r = make_folder(a, folder, kept, e);
    if (!r && keeps_variables(m, snapshot) && !(m->efi_vars = ap_print(a, "%s/efi-vars", folder)))
        r = ap_nomem(a, e);
    if (!r && a->manifest && !a->o.no_verify)
        r = ap_manifest_check(a, stamp, tick, opaque, e);
    for (unsigned i = 0; !r && i < a->ndrives; i++) {
        const struct ap_drive *d = &a->drive[i];
        if (!d->in_disks || d->index >= m->ndisks)
            continue;
        struct disk_config *c = &m->disk[d->index];
        if (is_kept(d, snapshot)) {
            r = keep_disk(a, d, folder, c, e);
        } else if (d->fresh) {
            r = throw_away_disk(a, d, c, e);
        } else if (d->overlay) {
            c->snapshot = true;
        }
    }
    return r;
}
