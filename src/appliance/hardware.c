/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a description has as hardware, in terms of the PC that Wirt has.  An unmodified guest boots
 * only from a controller that it has a driver for: so disks that are on a controller which is not
 * here are on IDE, for which every system has one, and those beyond its four places on virtio.
 */
#include "appliance/appliance_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_LEAST (2 * MIB)
#define MEMORY_MOST  (1ull << 40)
enum { CPUS_MAX = 64, NAME_MAX_LEN = 63, IDE_PLACES = 4, SERIALS_MAX = MACHINE_SERIALS_MAX };

static const char *const bus_name[] = {
    [AP_IDE] = "IDE", [AP_SATA] = "SATA",     [AP_SCSI] = "SCSI", [AP_NVME] = "NVMe",
    [AP_XEN] = "Xen", [AP_VIRTIO] = "virtio", [AP_USB] = "USB",   [AP_FDC] = "floppy",
};

/* Network cards of other hypervisors that are ours, by the driver that a guest needs. */
static const struct {
    const char *name, *here;
    bool same; /* the same driver takes it */
} models[] = {
    {"e1000", "e1000", true},
    {"82540EM", "e1000", true},
    {"82545EM", "e1000", true},
    {"82543GC", "e1000", true},
    {"netfront", "e1000", true}, /* a Xen guest unplugs it and has its own */
    {"virtio", "virtio", true},
    {"virtio-net", "virtio", true},
    {"virtio-net-pci", "virtio", true},
    {"virtio-transitional", "virtio", true},
    {"virtio-non-transitional", "virtio", true},
};

/* -------------------------------------------------------------- what it is called -- */

/* How many of the first `most` bytes of s are whole letters of UTF-8. */
static size_t whole_letters(const char *s, size_t most)
{
    size_t n = strnlen(s, most + 1);

    if (n <= most)
        return n;
    for (n = most; n && (s[n] & 0xc0) == 0x80;)
        n--;
    return n;
}

void ap_name(struct appliance *a, const char *name)
{
    size_t n = name ? whole_letters(name, NAME_MAX_LEN) : 0;
    char *kept = n ? ap_keep(a, name, n) : NULL;

    if (!kept)
        return;
    for (char *p = kept; *p; p++)
        if (*p == '/' || (*p == '.' && p == kept) || iscntrl((unsigned char)*p))
            *p = '-';
    a->m->name = kept;
    a->run->have_name = true;
}

void ap_system(struct appliance *a, const char *system)
{
    if (!system || !*system)
        return;
    a->system = ap_keep(a, system, whole_letters(system, 100));
    if (strcasestr(system, "windows") || !strncasecmp(system, "win", 3))
        a->m->rtc = RTC_LOCALTIME;
}

int ap_uuid(struct appliance *a, const char *text, struct err *e)
{
    u8 uuid[16];

    if (!ap_hex(text, "{}- \t", uuid, sizeof(uuid)))
        return ap_bad(a, e, "\"%.80s\" is no UUID", text);
    memcpy(a->m->uuid, uuid, sizeof(uuid));
    a->run->have_uuid = true;
    return 0;
}

int ap_memory(struct appliance *a, u64 bytes, struct err *e)
{
    if (bytes < MEMORY_LEAST || bytes > MEMORY_MOST)
        return ap_bad(a, e, "%llu bytes of memory: 2 MiB to 1 TiB are possible",
                      (unsigned long long)bytes);
    a->m->memory = align_down(bytes, MIB);
    return 0;
}

void ap_cpus(struct appliance *a, u64 n)
{
    if (n > CPUS_MAX)
        ap_note(a, "%llu processors: it gets %d", (unsigned long long)n, CPUS_MAX);
    a->m->cpus = (unsigned)max(min(n, (u64)CPUS_MAX), (u64)1);
}

int ap_memory_mib(struct appliance *a, const char *field, const char *mib, struct err *e)
{
    u64 n;

    if (!ap_number(mib, &n) || n > MEMORY_MOST / MIB)
        return ap_bad(a, e, "%s \"%.40s\" is no number of MiB", field, mib ? mib : "");
    return ap_memory(a, n * MIB, e);
}

int ap_cpus_text(struct appliance *a, const char *field, const char *number, struct err *e)
{
    u64 n;

    if (!ap_number(number, &n) || !n)
        return ap_bad(a, e, "%s \"%.40s\" is no number of processors", field, number ? number : "");
    ap_cpus(a, n);
    return 0;
}

void ap_boot(struct appliance *a, const char *device)
{
    static const struct {
        const char *name;
        char letter;
    } devices[] = {{"hd", 'c'},       {"hdd", 'c'},   {"HardDisk", 'c'}, {"disk", 'c'},
                   {"cdrom", 'd'},    {"DVD", 'd'},   {"cd", 'd'},       {"fd", 'a'},
                   {"floppy", 'a'},   {"net", 'n'},   {"network", 'n'},  {"pxe", 'n'},
                   {"harddisk", 'c'}, {"dvdrom", 'd'}};

    for (unsigned i = 0; device && i < ARRAY_SIZE(devices); i++)
        if (ap_same(device, devices[i].name) && !strchr(a->boot, devices[i].letter))
            a->boot[strlen(a->boot)] = devices[i].letter;
    if (*a->boot)
        a->m->boot = a->boot;
}

/* -------------------------------------------------------------------- drives -- */

int ap_drive(struct appliance *a, const struct ap_drive *d, struct err *e)
{
    if (a->ndrives == AP_DRIVES_MAX)
        return ap_bad(a, e, "more than %d drives", AP_DRIVES_MAX);
    struct ap_drive *n = &a->drive[a->ndrives++];
    *n = *d;
    n->line = a->line;
    n->where = d->where ? ap_keep(a, d->where, strlen(d->where)) : bus_name[d->bus];
    n->file = d->file ? ap_keep(a, d->file, strlen(d->file)) : NULL;
    return n->where && (n->file || !d->file) ? 0 : ap_nomem(a, e);
}

int ap_removable(struct appliance *a, const struct ap_drive *d, const char *name, struct err *e)
{
    struct ap_drive own = *d;
    struct err why = {0};

    if (name && *name && ap_look(a, name, &own.file, &why)) {
        own.file = NULL;
        ap_note(a, "%s: the drive is empty: %s", own.where ? own.where : bus_name[own.bus],
                why.msg);
    }
    return ap_drive(a, &own, e);
}

static int by_place(const void *pa, const void *pb)
{
    const struct ap_drive *a = pa, *b = pb;

    if (a->bus != b->bus)
        return a->bus < b->bus ? -1 : 1;
    if (a->place != b->place)
        return a->place < b->place ? -1 : 1;
    return a->line < b->line ? -1 : a->line > b->line;
}

static int add_usb(struct appliance *a, struct ap_drive *d, struct err *e)
{
    struct usb_config *u = &a->m->usb;

    if (u->ndisks == MACHINE_USB_DISKS_MAX)
        return ap_bad(a, e, "more than %d USB disks", MACHINE_USB_DISKS_MAX);
    u->on = true;
    u->disk[u->ndisks] = (struct disk_config){.path = strdup(d->file),
                                              .readonly = d->readonly,
                                              .snapshot = d->discard,
                                              .format = d->format,
                                              .allow_external = a->o.allow_external,
                                              .root = a->folder};
    d->here = "USB";
    return u->disk[u->ndisks++].path ? 0 : ap_nomem(a, e);
}

static int add_disk(struct appliance *a, struct ap_drive *d, unsigned *ide, unsigned for_ide,
                    bool *told, struct err *e)
{
    static const char *const place[] = {"IDE, primary master", "IDE, primary slave",
                                        "IDE, secondary master", "IDE, secondary slave"};
    struct machine_config *m = a->m;
    bool virtio = a->o.virtio || (d->bus == AP_VIRTIO && !m->xen), full = *ide >= for_ide;

    if (m->ndisks == MACHINE_DISKS_MAX)
        return ap_bad(a, e, "more than %d disks", MACHINE_DISKS_MAX);
    d->here = virtio || full ? "virtio" : place[*ide];
    if (!virtio && full && !m->xen)
        ap_note(a, "%s: IDE is full: the disk is on virtio, for which the guest needs a driver",
                d->where);
    else if (!virtio && d->bus != AP_IDE && d->bus != AP_XEN && d->bus != AP_VIRTIO &&
             !told[d->bus])
        ap_note(a, "%s: there is no %s here: disks are on IDE, for which the guest needs a driver",
                d->where, bus_name[d->bus]);
    if (!virtio)
        told[d->bus] = true;
    d->index = m->ndisks;
    d->in_disks = true;
    m->disk[m->ndisks] =
        (struct disk_config){.path = strdup(d->file ? d->file : ""),
                             .bus = virtio || full ? DISK_BUS_VIRTIO : DISK_BUS_IDE,
                             .readonly = d->readonly,
                             .snapshot = d->discard,
                             .format = d->format,
                             .allow_external = a->o.allow_external,
                             .root = d->file && strstr(d->file, "://") ? NULL : a->folder,
                             .xvd = d->xvd};
    if (!virtio && !full)
        (*ide)++;
    return m->disk[m->ndisks++].path ? 0 : ap_nomem(a, e);
}

/* Those with a disc in them first. */
static void add_cdroms(struct appliance *a, unsigned ide)
{
    for (int pass = 0; pass < 2; pass++)
        for (unsigned i = 0; i < a->ndrives; i++) {
            struct ap_drive *d = &a->drive[i];
            if (d->kind != AP_CDROM || (d->file == NULL) != pass)
                continue;
            a->line = d->line;
            if (ide + a->m->ncdroms == IDE_PLACES || a->m->ncdroms == MACHINE_CDROMS_MAX) {
                ap_note(a, "%s: there is no place left for this CD-ROM drive", d->where);
                d->here = "left out";
            } else {
                d->here = "IDE";
                a->m->cdrom[a->m->ncdroms++] = d->file;
            }
        }
}

static void add_floppies(struct appliance *a)
{
    for (unsigned i = 0; i < a->ndrives; i++) {
        struct ap_drive *d = &a->drive[i];
        if (d->kind != AP_FLOPPY)
            continue;
        d->here = a->m->nfloppies < MACHINE_FLOPPY_MAX ? "floppy" : "left out";
        if (a->m->nfloppies < MACHINE_FLOPPY_MAX)
            a->m->floppy[a->m->nfloppies++] = d->file;
    }
}

static int place_drives(struct appliance *a, struct err *e)
{
    unsigned ide = 0, for_ide = IDE_PLACES;
    bool told[AP_FDC + 1] = {false};
    int r = 0;

    qsort(a->drive, a->ndrives, sizeof(a->drive[0]), by_place);
    for (unsigned i = 0; i < a->ndrives; i++)
        if (a->drive[i].kind == AP_CDROM && a->drive[i].file)
            for_ide = IDE_PLACES - 1;
    for (unsigned i = 0; !r && i < a->ndrives; i++) {
        struct ap_drive *d = &a->drive[i];
        a->line = d->line;
        if (d->kind != AP_DISK)
            continue;
        if (d->bus == AP_USB && d->file && !d->overlay)
            r = add_usb(a, d, e);
        else
            r = add_disk(a, d, &ide, for_ide, told, e);
    }
    add_cdroms(a, ide);
    add_floppies(a);
    a->line = 0;
    return r;
}

/* ------------------------------------------------------------------- network -- */

int ap_nic(struct appliance *a, const char *where, const char *model, const char *mac,
           const char *network, struct err *e)
{
    const char *here = "e1000";
    bool same = !model || !*model;
    struct net_config c;
    u8 address[6];

    if (a->m->nnics == MACHINE_NICS_MAX) {
        ap_note(a, "%s: more than %d network cards: this one is left out", where, MACHINE_NICS_MAX);
        return 0;
    }
    int r = net_parse(&c, "user", e);
    if (r)
        return r;
    for (unsigned i = 0; !same && i < ARRAY_SIZE(models); i++)
        if (ap_same(model, models[i].name)) {
            here = models[i].here;
            same = models[i].same;
        }
    if (!same && !xen_alone(a->m->xen))
        ap_note(a, "%s: there is no %.40s here: the card is an e1000", where, model);
    strcpy(c.model, here);
    if (xen_alone(a->m->xen))
        c.model[0] = 0;
    if (mac && *mac) {
        if (!ap_hex(mac, ":-.", address, sizeof(address)) || address[0] & 1)
            return ap_bad(a, e, "%s: \"%.40s\" is no address of a network card", where, mac);
        memcpy(c.mac, address, sizeof(address));
    }
    if (network)
        ap_note(a, "%s: on %.80s there; here it is on the user-mode network (--net gives another)",
                where, network);
    a->nic[a->m->nnics] = ap_print(a, "%s%s%.40s -> %s", where, model && *model ? ", " : "",
                                   model ? model : "", xen_alone(a->m->xen) ? "Xen" : here);
    a->m->nic[a->m->nnics++] = c;
    return 0;
}

/* ---------------------------------------------------------------------- the rest -- */

int ap_finish(struct appliance *a, struct err *e)
{
    int r = place_drives(a, e);

    if (r || a->xl)
        return r;
    if (a->efi && !a->m->kernel)
        a->m->firmware = FIRMWARE_EFI;
    if (a->serials)
        a->m->nserials = min(a->serials, (unsigned)SERIALS_MAX);
    if (!a->m->nnics)
        r = net_parse(&a->m->nic[a->m->nnics++], "none", e);
    return r;
}
