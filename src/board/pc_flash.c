/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Flash memory with the variables of UEFI firmware, right below the firmware's code.  The guest
 * works on a copy in the machine's memory, which is saved with it; each change goes to the file at
 * once, so that it outlives the process however that ends.
 */
#include "base/io.h"
#include "board/pc.h"
#include "board/pc_map.h"
#include "disk/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { VARS_MAX = 4 << 20 };
#define EFI_VARS "OVMF_VARS_4M.fd"

static bool keep(void *opaque, u64 off, u64 len)
{
    struct pc *pc = opaque;

    return pc->flash_fd < 0 || !write_at(pc->flash_fd, pc->flash.data + off, len, off);
}

/* A file of variables as the firmware's package has it; whole or not at all. */
static int make_file(const char *path, struct err *e)
{
    char temporary[512];
    u64 size;
    u8 *image = pc_read_rom(EFI_VARS, VARS_MAX, &size, e);
    int fd, r = 0;

    if (!image)
        return -ENOENT;
    if (snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= (int)sizeof(temporary)) {
        free(image);
        return err_set(e, ENAMETOOLONG, "%s: too long a name", path);
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        free(image);
        return err_set(e, errno, "%s: %s", path, strerror(errno));
    }
    errno = write_at(fd, image, size, 0);
    if (errno || fsync(fd))
        r = err_set(e, errno, "%s: %s", path, strerror(errno));
    else if (link(temporary, path) && errno != EEXIST) /* somebody else was faster: as good */
        r = err_set(e, errno, "%s: %s", path, strerror(errno));
    unlink(temporary);
    close(fd);
    free(image);
    return r;
}

/* The file's bytes, malloc'ed; opens and locks it. */
static u8 *read_file(struct pc *pc, const char *path, u64 *size, struct err *e)
{
    bool readonly = pc->cfg.efi_vars_readonly;
    struct stat st;
    int fd = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK);
    u8 *image = NULL;

    if (fd < 0 || fstat(fd, &st)) {
        err_set(e, errno, "%s: %s", path, strerror(errno));
    } else if (!S_ISREG(st.st_mode) || st.st_size < 2 * I28F_BLOCK || st.st_size > VARS_MAX ||
               st.st_size % I28F_BLOCK) {
        err_set(e, EINVAL,
                "%s: no file of UEFI variables: its size is no multiple of 4 KiB up to %u", path,
                (unsigned)VARS_MAX);
    } else if (!readonly && disk_lock(fd, true, e)) {
        err_prefix(e, "%s", path);
    } else if (!(image = malloc((size_t)st.st_size))) {
        err_set(e, ENOMEM, "%s: out of memory", path);
    } else if (pread(fd, image, (size_t)st.st_size, 0) != st.st_size) {
        err_set(e, EIO, "%s: cannot be read", path);
        free(image);
        image = NULL;
    } else {
        *size = (u64)st.st_size;
        if (!readonly) {
            pc->flash_fd = fd;
            return image;
        }
    }
    if (fd >= 0)
        close(fd);
    return image;
}

int pc_open_flash(struct pc *pc, struct err *e)
{
    const char *path = pc->cfg.efi_vars;
    u64 size = 0;
    u8 *image, *data;
    int r = 0;

    if (path && access(path, F_OK) && errno == ENOENT && pc_wants_efi(pc))
        r = make_file(path, e);
    if (r)
        return err_prefix(e, "--efi-vars");
    image = path ? read_file(pc, path, &size, e) : pc_read_rom(EFI_VARS, VARS_MAX, &size, e);
    if (!image)
        return err_prefix(e, path ? "--efi-vars" : "firmware");
    data = mem_alloc(&pc->vm->mem, size);
    if (data)
        memcpy(data, image, size);
    free(image);
    if (!data)
        return err_set(e, ENOMEM, "no memory for UEFI variables");
    i28f_init(&pc->flash, data, size, keep, pc, &pc->vm->trace);
    r = bus_map(&pc->vm->mmio, &pc->flash.region, pc->firmware.base - size);
    return r ? err_set(e, -r, "UEFI variables: %s", strerror(-r)) : 0;
}

void pc_close_flash(struct pc *pc)
{
    if (pc->flash_fd < 0)
        return;
    fdatasync(pc->flash_fd);
    close(pc->flash_fd);
}
