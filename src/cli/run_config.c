/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From options to a machine's configuration.
 */
#include "cli/run_config.h"
#include "board/pc_state.h"
#include "cli/options.h"
#include "cli/parse.h"
#include "control/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MEMORY_MIN = 2 << 20 };
#define MEMORY_MAX (1ull << 40)

static int add_disk(struct run_config *c, const char *arg, bool whole, struct err *e)
{
    struct machine_config *m = &c->m;
    if (m->ndisks == MACHINE_DISKS_MAX)
        return err_set(e, E2BIG, "%s: more than %d disks", arg, MACHINE_DISKS_MAX);
    struct disk_config *d = &m->disk[m->ndisks];
    int r = 0;
    if (whole) { /* the argument is a file name and nothing else */
        *d = (struct disk_config){.path = strdup(arg)};
        if (!d->path)
            r = err_set(e, ENOMEM, "out of memory");
    } else {
        r = parse_disk(d, arg, e);
    }
    if (!r)
        m->ndisks++;
    return r;
}

/* The first that is given takes the place of the first that is there from an appliance, and so on:
 * *given counts them. */
static int add_file(const char **list, unsigned *n, unsigned most, unsigned *given, const char *arg,
                    struct err *e)
{
    if (*given == most)
        return err_set(e, E2BIG, "more than %u are not possible", most);
    if (!*arg)
        return err_set(e, EINVAL, "an empty file name");
    list[(*given)++] = strcmp(arg, "none") ? arg : NULL;
    *n = max(*n, *given);
    return 0;
}

static int set_memory(struct machine_config *m, const char *arg, struct err *e)
{
    int r = parse_size(&m->memory, arg, MIB, e);
    if (r)
        return r;
    if (m->memory < MEMORY_MIN || m->memory > MEMORY_MAX)
        return err_set(e, EINVAL, "\"%s\" is too %s: 2M to 1T are possible", arg,
                       m->memory < MEMORY_MIN ? "little" : "much");
    if (m->memory % MIB)
        return err_set(e, EINVAL, "\"%s\" is not a multiple of 1 MiB", arg);
    return 0;
}

static int add_serial(struct run_config *c, const char *arg, struct err *e)
{
    unsigned n = 0;
    while (n < MACHINE_SERIALS_MAX && c->serial[n])
        n++;
    if (n == MACHINE_SERIALS_MAX)
        return err_set(e, E2BIG, "more than %d serial ports", MACHINE_SERIALS_MAX);
    c->serial[n] = arg;
    c->m.nserials = max(c->m.nserials, n + 1);
    return 0;
}

/* One that an appliance has stays the card that it is, but for what is given. */
static int add_nic(struct run_config *c, const char *arg, struct err *e)
{
    struct machine_config *m = &c->m;
    struct net_config n, *old = &m->nic[c->nets];
    if (c->nets == MACHINE_NICS_MAX)
        return err_set(e, E2BIG, "more than %d network cards", MACHINE_NICS_MAX);
    int r = net_parse(&n, arg, e);
    if (r)
        return r;
    if (c->nets < m->nnics && old->mode != NET_NONE) {
        static const u8 none[6];
        if (!*n.model)
            strcpy(n.model, old->model);
        if (!memcmp(n.mac, none, sizeof(none)))
            memcpy(n.mac, old->mac, sizeof(n.mac));
    }
    *old = n;
    m->nnics = max(m->nnics, ++c->nets);
    return 0;
}

/* unix:PATH, with words of QEMU's behind it that say what is so here anyway. */
static int add_qmp(struct run_config *c, const char *arg, struct err *e)
{
    static const char *const words[] = {"server",   "server=on", "nowait",
                                        "wait=off", "wait=no",   NULL};
    if (c->nqmps == RUN_QMP_MAX)
        return err_set(e, E2BIG, "more than %d control sockets", RUN_QMP_MAX);
    if (strncmp(arg, "unix:", 5) || !arg[5] || arg[5] == ',')
        return err_set(e, EINVAL, "\"%s\" is not unix:PATH", arg);
    char *path = strdup(arg + 5), *save = NULL;
    if (!path)
        return err_set(e, ENOMEM, "out of memory");
    c->qmp[c->nqmps++] = path;
    strtok_r(path, ",", &save);
    for (char *w; (w = strtok_r(NULL, ",", &save));) {
        unsigned i = 0;
        while (words[i] && strcmp(w, words[i]))
            i++;
        if (!words[i])
            return err_set(e, EINVAL, "\"%s\" behind the path is not known", w);
    }
    return 0;
}

static int check_word(const char *arg, const char *const *list, struct err *e)
{
    char all[200] = "";
    for (unsigned i = 0; list[i]; i++) {
        if (!strcmp(arg, list[i]))
            return (int)i;
        if (i)
            strcat(all, ", ");
        strcat(all, list[i]);
    }
    const char *meant = nearest(arg, list);
    if (meant)
        return err_set(e, EINVAL, "\"%s\" is none of %s; did you mean %s?", arg, all, meant);
    return err_set(e, EINVAL, "\"%s\" is none of %s", arg, all);
}

static int set_display(struct run_config *c, const char *arg, struct err *e)
{
    static const char *const displays[] = {"none", "text", "vnc=ADDRESS:DISPLAY", NULL};
    if (!strncmp(arg, "vnc=", 4)) {
        if (c->nvncs == RUN_VNC_MAX)
            return err_set(e, E2BIG, "more than %d places for VNC", RUN_VNC_MAX);
        return vnc_parse(&c->vnc[c->nvncs++], arg + 4, e);
    }
    int r = check_word(arg, displays, e);
    if (r == 1)
        c->display = DISPLAY_TEXT;
    return min(r, 0);
}

static int set_boot(struct machine_config *m, const char *arg, struct err *e)
{
    bool seen[128] = {false};
    for (const char *p = arg; *p; p++) {
        if (!strchr("acdn", *p) || seen[(unsigned char)*p])
            return err_set(e, EINVAL, "\"%s\" is no order of the letters a, c, d and n", arg);
        seen[(unsigned char)*p] = true;
    }
    m->boot = arg;
    return *arg ? 0 : err_set(e, EINVAL, "names no device");
}

static int take_machine(struct run_config *c, int id, const char *arg, struct err *e)
{
    struct machine_config *m = &c->m;
    u64 v = 0;
    int r = 0;
    switch (id) {
    case OPT_NAME:
        m->name = arg;
        c->have_name = true;
        return place_check_name(arg, e);
    case OPT_CPUS:
        r = parse_number(&v, arg, 1, 64, e);
        m->cpus = (unsigned)v;
        return r;
    case OPT_MEMORY:
        return set_memory(m, arg, e);
    case OPT_PV:
        return parse_pv(m, arg, e);
    case OPT_CPU:
        c->cpu = arg;
        return 0;
    case OPT_UUID:
        c->have_uuid = true;
        return parse_uuid(m->uuid, arg, e);
    case OPT_RTC:
        return parse_rtc(m, arg, e);
    case OPT_COUNT:
        return add_disk(c, arg, true, e);
    case OPT_DISK:
        return add_disk(c, arg, false, e);
    case OPT_CDROM:
        return add_file(m->cdrom, &m->ncdroms, MACHINE_CDROMS_MAX, &c->cdroms, arg, e);
    case OPT_FLOPPY:
        return add_file(m->floppy, &m->nfloppies, MACHINE_FLOPPY_MAX, &c->floppies, arg, e);
    case OPT_NET:
        return add_nic(c, arg, e);
    case OPT_BOOT:
        return set_boot(m, arg, e);
    case OPT_FIRMWARE:
        m->firmware = arg;
        return 0;
    case OPT_EFI_VARS:
        m->efi_vars = arg;
        return 0;
    case OPT_KERNEL:
        m->kernel = arg;
        if (c->appliance) /* its own is for its disks */
            m->firmware = NULL;
        return 0;
    case OPT_APPLIANCE:
        return 0; /* take_appliance() has taken it */
    case OPT_INITRD:
        m->initrd = arg;
        return 0;
    case OPT_APPEND:
        m->append = arg;
        return 0;
    case OPT_DEBUG_EXIT:
        m->debug_exit = true;
        return 0;
    case OPT_DEBUGCON:
        m->debugcon = arg;
        return 0;
    case OPT_USB:
        return parse_usb(&m->usb, arg, e);
    case OPT_VGA:
        c->have_vga = true;
        return parse_vga(m, arg, e);
    case OPT_INPUT:
        m->virtio_input = !strcmp(arg, "virtio");
        return m->virtio_input || !strcmp(arg, "ps2")
                   ? 0
                   : err_set(e, EINVAL, "\"%s\" is none of ps2, virtio", arg);
    case OPT_NO_VGA:
        m->vga = VIDEO_NONE;
        return 0;
    case OPT_SNAPSHOT:
        c->snapshot = true;
        return 0;
    case OPT_SERIAL:
        return add_serial(c, arg, e);
    case OPT_CONSOLE:
        c->console = arg;
        return 0;
    case OPT_NO_REBOOT:
        c->no_reboot = true;
        return 0;
    default:
        return err_set(e, EINVAL, "no machine is made of it");
    }
}

static int take_option(void *opaque, int id, const char *arg, struct err *e)
{
    static const char *const engines[] = {"auto", "kvm", "soft", "interp", NULL};
    static const char *const irqchips[] = {"user", "split", "auto", NULL}; /* enum irqchip */
    static const char *const direct[] = {"auto", "off", "always", NULL};   /* enum direct_use */
    struct run_config *c = opaque;
    int r;
    switch (id) {
    case OPT_LOAD:
        return 0; /* find_load() has taken it */
    case OPT_CLONE:
        c->clone = true;
        return 0;
    case OPT_HELP:
        c->help = true;
        return -ECANCELED;
    case OPT_CAPTURE:
        c->capture = arg;
        return 0;
    case OPT_DISPLAY:
        return set_display(c, arg, e);
    case OPT_SCREENSHOT:
        c->screenshot = arg;
        return 0;
    case OPT_WEB:
        return web_parse(&c->web, arg, e);
    case OPT_QMP:
        return add_qmp(c, arg, e);
    case OPT_ENGINE:
        c->engine = arg;
        return min(check_word(arg, engines, e), 0);
    case OPT_IRQCHIP:
        r = check_word(arg, irqchips, e);
        c->irqchip = (enum irqchip)max(r, 0);
        return min(r, 0);
    case OPT_DIRECT:
        r = check_word(arg, direct, e);
        c->direct = (enum direct_use)max(r, 0);
        return min(r, 0);
    case OPT_VERBOSE:
        c->verbose = true;
        return 0;
    case OPT_CHECK:
        c->check = true;
        return 0;
    case OPT_GDB:
        c->have_gdb = true;
        return gdb_parse(&c->gdb, arg, e);
    case OPT_STATS:
        c->stats = true;
        return 0;
    case OPT_PERF_MAP:
        c->perf_map = true;
        return 0;
    case OPT_TRACE:
        c->trace = arg;
        return 0;
    default:
        return -ENOENT;
    }
}

/* A name from the file that is booted, and a UUID (version 8) from the name. */
static void fill_identity(struct run_config *c)
{
    struct machine_config *m = &c->m;
    const char *file = m->ndisks    ? m->disk[0].path
                       : m->kernel  ? m->kernel
                       : m->ncdroms ? m->cdrom[0]
                                    : NULL;
    if (!c->have_name && file) {
        const char *slash = strrchr(file, '/');
        m->name = slash && slash[1] ? slash + 1 : file;
    }
    if (!m->identity)
        m->identity = m->name;
    if (c->have_uuid)
        return;
    u64 h[2] = {0xcbf29ce484222325ull, 0x84222325cbf29ce4ull}; /* FNV-1a */
    for (const char *s = m->identity; *s; s++)
        for (unsigned i = 0; i < 2; i++)
            h[i] = (h[i] ^ (u8)*s) * 0x100000001b3ull;
    memcpy(m->uuid, h, 16);
    m->uuid[6] = (m->uuid[6] & 0x0f) | 0x80;
    m->uuid[8] = (m->uuid[8] & 0x3f) | 0x80;
}

/* Combinations that make no sense, and what follows from others. */
static int finish(struct run_config *c, struct err *e)
{
    struct machine_config *m = &c->m;
    unsigned stdios = 0;
    bool console_stdio = c->console && !strcmp(c->console, "stdio");
    if (!m->kernel && (m->initrd || m->append))
        return err_set(e, EINVAL, "--%s needs --kernel", m->initrd ? "initrd" : "append");
    if (m->kernel && m->firmware)
        return err_set(e, EINVAL, "--kernel boots without firmware: --firmware has no meaning");
    m->efi_vars_readonly = c->clone || c->snapshot;
    if (m->efi_vars && !m->firmware)
        return err_set(e, EINVAL, "--efi-vars is for UEFI firmware: --firmware efi is missing");
    if (xen_alone(m->xen) && !m->kernel)
        return err_set(e, EINVAL, "--pv xen boots a kernel: --kernel is missing");
    if (xen_alone(m->xen) && m->hyperv)
        return err_set(e, EINVAL,
                       "--pv hyperv is for a whole PC: not with a PVH or PV guest of Xen");
    if (m->kvm && (m->xen != XEN_NONE || m->hyperv))
        return err_set(e, EINVAL, "--pv kvm: not beside another hypervisor's interface");
    if (xen_alone(m->xen) && c->display == DISPLAY_TEXT)
        return err_set(e, EINVAL,
                       "--display text shows the text of a PC's screen: not with --pv xen");
    if (xen_alone(m->xen) && !c->have_vga && !c->nvncs && !c->web.at.port && !c->screenshot)
        m->vga = VIDEO_NONE; /* a vfb only for those who look at it */
    if (m->xen)
        m->balloon = false; /* Xen's own is there */
    if (c->display == DISPLAY_TEXT && !m->vga)
        return err_set(e, EINVAL, "--display text needs a video card: not with --no-vga");
    if (c->have_gdb && c->check)
        return err_set(e, EINVAL, "--gdb stops one engine: not with --check");
    if (c->nvncs && !m->vga)
        return err_set(e, EINVAL, "--display vnc needs a video card: not with --no-vga");
    if (c->web.at.port && !m->vga)
        return err_set(e, EINVAL, "--web needs a video card: not with --no-vga");
    if (c->screenshot && !m->vga)
        return err_set(e, EINVAL, "--screenshot-on-exit needs a video card: not with --no-vga");
    if (!c->serial[0])
        c->serial[0] = c->display == DISPLAY_TEXT || console_stdio ? "none" : "stdio";
    for (unsigned i = 0; i < m->nserials; i++) {
        if (!c->serial[i])
            c->serial[i] = "none";
        stdios += !strcmp(c->serial[i], "stdio");
    }
    stdios += console_stdio + (c->display == DISPLAY_TEXT);
    if (stdios > 1)
        return err_set(e, EINVAL, "standard input and output can be used only once");
    if (!m->nnics) {
        int r = net_parse(&m->nic[m->nnics++], "user", e);
        if (r)
            return r;
    }
    if (c->capture && m->nic[0].mode == NET_NONE)
        return err_set(e, EINVAL, "--capture: the machine has no network card");
    if (c->capture && snprintf(m->nic[0].capture, sizeof(m->nic[0].capture), "%s", c->capture) >=
                          (int)sizeof(m->nic[0].capture))
        return err_set(e, ENAMETOOLONG, "--capture: %s: name too long", c->capture);
    unsigned k = 0; /* `none` is no card at all */
    for (unsigned i = 0; i < m->nnics; i++)
        if (m->nic[i].mode != NET_NONE)
            m->nic[k++] = m->nic[i];
    m->nnics = k;
    for (unsigned i = 0; c->snapshot && i < m->ndisks; i++)
        m->disk[i].snapshot = true;
    for (unsigned i = 0; c->snapshot && i < m->usb.ndisks; i++)
        m->usb.disk[i].snapshot = true;
    fill_identity(c);
    return 0;
}

/* ------------------------------------------------- the machine's own options -- */

static int find_load(void *opaque, int id, const char *arg, struct err *e)
{
    struct run_config *c = opaque;
    if (id == OPT_LOAD)
        c->load = arg;
    c->help |= id == OPT_HELP;
    return id == OPT_HELP ? -ECANCELED : 0;
}

static int open_saved(struct run_config *c, struct err *e)
{
    const char *text;
    u64 len;
    int r = save_open(&c->in, c->load, e);
    if (!r)
        r = pc_saved_options(c->in, &text, &len, e);
    if (!r && saved_parse(&c->saved, text, len, &c->m.identity, e))
        r = err_prefix(e, "%s", c->load);
    return r;
}

struct collect {
    struct run_config *c;
    unsigned given[OPT_COUNT + 1];
};

static int collect(void *opaque, int id, const char *arg, struct err *e)
{
    struct collect *l = opaque;
    int r = take_option(l->c, id, arg, e);
    if (r != -ENOENT) /* the way it is run; else it makes the machine */
        return r;
    return l->c->in ? saved_replace(&l->c->saved, l->given, id, arg, e)
                    : saved_add(&l->c->saved, id, arg, e);
}

/* What an appliance says comes first, so that all options win over it. */
static int take_appliance(struct run_config *c, struct err *e)
{
    int found = -1, r = 0;
    for (unsigned i = 0; !r && i < c->saved.n; i++)
        if (c->saved.o[i].id == OPT_APPLIANCE && run_appliance_option(c, c->saved.o[i].arg, e))
            r = err_prefix(e, "--appliance");
    for (unsigned i = 0; !r && i < c->saved.n; i++) {
        const struct appliance_format *f;
        if (c->saved.o[i].id != OPT_COUNT)
            continue;
        r = appliance_find(&f, c->saved.o[i].arg, e);
        if (f && found >= 0)
            return err_set(e, EINVAL, "%s: one appliance is enough", c->saved.o[i].arg);
        if (f) {
            found = (int)i;
            c->appliance_format = f;
        }
    }
    if (!r && found < 0 && c->how_text)
        r = err_set(e, EINVAL, "--appliance: no appliance is given");
    if (!r && found >= 0)
        r = run_appliance_read(c, c->saved.o[found].arg, e);
    c->from_appliance = found;
    return r;
}

static int take_collected(struct run_config *c, struct err *e)
{
    int r = take_appliance(c, e);
    if (r)
        return r;
    for (unsigned i = 0; c->clone && i < c->m.ndisks; i++)
        c->m.disk[i].snapshot = true;
    for (unsigned i = 0; i < c->saved.n; i++) {
        const struct saved_option *o = &c->saved.o[i];
        unsigned disks = c->m.ndisks;
        if (c->clone && o->id == OPT_NAME && !o->anew)
            continue; /* the first of them would have it */
        if ((int)i == c->from_appliance)
            continue;
        r = take_machine(c, o->id, o->arg, e);
        if (r)
            return *opt_name(o->id) ? err_prefix(e, "--%s", opt_name(o->id)) : r;
        if (c->m.ndisks > disks) {
            c->m.disk[disks].anew = o->anew;
            c->m.disk[disks].snapshot |= c->clone && !o->anew;
        }
    }
    return 0;
}

int run_config_parse(struct run_config *c, int argc, char **argv, struct err *e)
{
    struct collect l = {.c = c};
    memset(c, 0, sizeof(*c));
    machine_config_init(&c->m);
    c->engine = "auto";
    c->irqchip = IRQCHIP_AUTO;
    c->cpu = "max";
    int r = opts_parse(&run_options, argc, argv, find_load, c, e);
    if (c->help)
        return 0;
    if (!r && c->load)
        r = open_saved(c, e);
    if (!r)
        r = opts_parse(&run_options, argc, argv, collect, &l, e);
    if (c->help)
        return 0;
    if (!r && c->clone && !c->load)
        r = err_set(e, EINVAL, "--clone needs --load");
    if (!r)
        r = take_collected(c, e);
    if (!r)
        r = finish(c, e);
    if (!r && !(c->text = saved_text(&c->saved, c->m.identity, &c->m.options_len)))
        r = err_set(e, ENOMEM, "out of memory");
    c->m.options = c->text;
    c->m.loading = c->in;
    return r;
}

static void free_disk(struct disk_config *d)
{
    free((char *)d->path);
    free(d->clone);
}

void run_config_free(struct run_config *c)
{
    for (unsigned i = 0; i < c->m.ndisks; i++)
        free_disk(&c->m.disk[i]);
    for (unsigned i = 0; i < c->m.usb.ndisks; i++)
        free_disk(&c->m.usb.disk[i]);
    for (unsigned i = 0; i < c->nqmps; i++)
        free(c->qmp[i]);
    saved_free(&c->saved);
    save_close(c->in);
    free(c->text);
    appliance_free(c->appliance);
    free(c->how_text);
}
