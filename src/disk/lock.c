/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One writer at a time, also across programs.  The scheme is the one QEMU and its tools follow
 * (their block/file-posix.c, "raw lock" bytes), so that qemu-img and a running QEMU see our lock
 * and we see theirs:
 *
 * - byte 100+i of the file is locked for reading by each user that needs permission i,
 * - byte 200+i by each user that does not share permission i with others,
 *
 * and whoever comes asks of each byte whether somebody else holds it.  The permissions are
 * 0 consistent read, 1 write, 2 write unchanged, 3 resize.  A machine's disk needs 0 (and 1, when
 * it writes) and shares neither 1 nor 3.
 *
 * Locks belong to the open file description (OFD), so they hold between two machines of one
 * process too, and go away with the last descriptor, also after kill -9.  The kernel holds one for
 * as long as writes of io_uring are under way, which may be a little longer than the process that
 * was killed: so who finds a file locked waits a moment.
 */
#include "disk/disk_int.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PATIENCE_MS = 1000, LOOK_AGAIN_MS = 20 };
enum { PERM_BASE = 100, SHARED_BASE = 200 };
enum { PERM_READ = 1 << 0, PERM_WRITE = 1 << 1, PERM_RESIZE = 1 << 3, PERM_BITS = 4 };

static int lock_byte(int fd, off_t at)
{
    struct flock fl = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &fl) < 0 ? -errno : 0;
}

/* Does somebody else hold this byte? */
static int byte_held(int fd, off_t at, bool *held)
{
    struct flock fl = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    if (fcntl(fd, F_OFD_GETLK, &fl) < 0)
        return -errno;
    *held = fl.l_type != F_UNLCK;
    return 0;
}

static bool no_locks_here(int r)
{
    return r == -ENOLCK || r == -EOPNOTSUPP || r == -EINVAL || r == -ENOSYS;
}

static void unlock(int fd)
{
    struct flock fl = {.l_type = F_UNLCK,
                       .l_whence = SEEK_SET,
                       .l_start = PERM_BASE,
                       .l_len = SHARED_BASE - PERM_BASE + PERM_BITS};

    fcntl(fd, F_OFD_SETLK, &fl);
}

/* 0, -EBUSY: somebody has permissions that we do not share, or the errno of a call. */
static int try_lock(int fd, bool write)
{
    unsigned perm = PERM_READ | (write ? PERM_WRITE : 0);
    unsigned unshared = PERM_WRITE | PERM_RESIZE;
    int r = 0;

    /* Take first, look then: of two that come at once at least one sees the other. */
    for (unsigned i = 0; i < PERM_BITS && !r; i++) {
        if (perm >> i & 1)
            r = lock_byte(fd, PERM_BASE + i);
        if (!r && unshared >> i & 1)
            r = lock_byte(fd, SHARED_BASE + i);
    }
    for (unsigned i = 0; i < PERM_BITS && !r; i++) {
        bool held = false;

        if (unshared >> i & 1)
            r = byte_held(fd, PERM_BASE + i, &held);
        if (!r && !held && perm >> i & 1)
            r = byte_held(fd, SHARED_BASE + i, &held);
        if (held)
            r = -EBUSY;
    }
    return r;
}

int disk_lock(int fd, bool write, struct err *e)
{
    int r;

    for (unsigned ms = 0;; ms += LOOK_AGAIN_MS) {
        r = try_lock(fd, write);
        if ((r != -EBUSY && r != -EAGAIN && r != -EACCES) || ms >= PATIENCE_MS)
            break;
        unlock(fd); /* two that wait must not see each other only */
        usleep(LOOK_AGAIN_MS * 1000);
    }
    if (no_locks_here(r))
        return 0;
    if (r == -EBUSY)
        return err_set(e, EBUSY, "in use by another machine or program%s",
                       write ? "" : ", which writes to it");
    if (r == -EAGAIN || r == -EACCES)
        return err_set(e, EBUSY, "in use by another program, which has it locked");
    return r ? err_set(e, -r, "cannot lock it: errno %d", -r) : 0;
}
