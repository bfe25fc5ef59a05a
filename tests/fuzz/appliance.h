/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * For the fuzz targets of appliances: the input is a file, in a folder with a disk and a disc that
 * it may name.  Readers open files by name, so it really is one.
 */
#include "appliance/appliance.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char fuzz_folder[] = "/dev/shm/wirt-fuzz-XXXXXX", fuzz_path[64];

static void fuzz_remove(void)
{
    static const char *const names[] = {"disk.img", "disc.iso", "input"};

    for (unsigned i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(fuzz_path, sizeof(fuzz_path), "%s/%s", fuzz_folder, names[i]);
        unlink(fuzz_path);
    }
    rmdir(fuzz_folder);
}

static void fuzz_write(const char *name, const void *p, size_t n)
{
    snprintf(fuzz_path, sizeof(fuzz_path), "%s/%s", fuzz_folder, name);
    int fd = open(fuzz_path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    BUG_ON(fd < 0 || write(fd, p, n) != (ssize_t)n);
    close(fd);
}

static void fuzz_say(void *opaque, const char *line)
{
    BUG_ON(!line[0] || strchr(line, '\n'));
}

/* Looks at it, reads it as what it is, and has it told. */
static void fuzz_appliance(const uint8_t *data, size_t size)
{
    static const struct appliance_options o = {.say = fuzz_say};
    static struct machine_config m;
    const struct appliance_format *f = NULL;
    struct appliance_run run = {0};
    struct appliance *a = NULL;
    struct err e = {0};

    if (!*fuzz_path) {
        if (!mkdtemp(fuzz_folder)) {
            strcpy(fuzz_folder, "/tmp/wirt-fuzz-XXXXXX");
            BUG_ON(!mkdtemp(fuzz_folder));
        }
        fuzz_write("disk.img", "a disk", 6);
        fuzz_write("disc.iso", "a disc", 6);
        atexit(fuzz_remove);
    }
    fuzz_write("input", data, size);
    int r = appliance_find(&f, fuzz_path, &e);
    BUG_ON(r && (!e.code || strchr(e.msg, '\n')));
    if (r || !f)
        return;
    machine_config_init(&m);
    r = appliance_read(&a, f, fuzz_path, &o, &m, &run, &e);
    BUG_ON(r && (!e.code || strchr(e.msg, '\n')));
    if (!r) {
        FILE *out = fopen("/dev/null", "w");
        BUG_ON(m.memory < 2 * MIB || m.memory % MIB || !m.cpus || m.cpus > 64);
        BUG_ON(strlen(m.name) > 63 || strchr(m.name, '/'));
        appliance_print(a, &m, out);
        fclose(out);
        if (!m.firmware) /* nothing is made with a snapshot */
            appliance_prepare(a, &m, true, NULL, NULL, &e);
    }
    for (unsigned i = 0; i < m.ndisks; i++) {
        const char *p = m.disk[i].path; /* nothing outside the folder */
        BUG_ON(!r && *p && *p == '/' && strncmp(p, fuzz_folder, strlen(fuzz_folder)) &&
               strncmp(p, "/proc/self/fd/", 14));
        free((char *)p);
    }
    for (unsigned i = 0; i < m.usb.ndisks; i++)
        free((char *)m.usb.disk[i].path);
    appliance_free(a);
}
