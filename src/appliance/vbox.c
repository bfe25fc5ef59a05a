/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VirtualBox's machines (.vbox): the settings file of versions 4 to 7, as VirtualBox-settings.xsd
 * has it.  Disks are named by UUID and listed in the file's own registry, a snapshot's difference
 * inside the disk that it is to; the machine's current state is what its controllers name.  They
 * are written in place.
 *
 * Left out: encrypted machines and disks, saved states, disks registered elsewhere.
 */
#include "appliance/appliance_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct vbox {
    struct appliance *a;
    const struct xml *machine, *hardware;
};

static int vbox_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "VirtualBox");
}

/* ---------------------------------------------------------------------- media -- */

/* In the registry: a HardDisk at any depth, or an Image. */
static const struct xml *medium(const struct vbox *v, const char *list, const char *element,
                                const char *uuid)
{
    const struct xml *top = xml_at(v->machine, "MediaRegistry"), *x = NULL;

    top = xml_child(top, list);
    while (top && (x = xml_find(top, x, element)))
        if (ap_same(xml_get(x, "uuid"), uuid))
            return x;
    return NULL;
}

static int check_plain(struct vbox *v, const struct xml *disk, struct err *e)
{
    for (const struct xml *x = disk; x && !strcmp(x->name, "HardDisk"); x = x->parent)
        for (const struct xml *p = xml_child(x, "Property"); p; p = xml_next(p))
            if (xml_get(p, "name") && !strncmp(xml_get(p, "name"), "CRYPT/", 6)) {
                v->a->line = p->line;
                return ap_bad(v->a, e, "the disk is encrypted, which Wirt does not read");
            }
    return 0;
}

static int add_disk(struct vbox *v, struct ap_drive *d, const char *uuid, struct err *e)
{
    struct appliance *a = v->a;
    const struct xml *x = uuid ? medium(v, "HardDisks", "HardDisk", uuid) : NULL;

    if (!uuid)
        return 0; /* a place with nothing in it */
    if (!x)
        return ap_bad(a, e, "%s: the disk %.60s is not in this file's registry", d->where, uuid);
    int r = check_plain(v, x, e);
    if (r)
        return r;
    a->line = x->line;
    const char *location = xml_get(x, "location");
    if (!location)
        return ap_bad(a, e, "a HardDisk without location");
    if (ap_same(xml_get(x, "format"), "iSCSI"))
        return ap_bad(a, e, "%s: a disk on iSCSI, which Wirt does not read", d->where);
    r = ap_file(a, location, &d->file, e);
    return r ? r : ap_drive(a, d, e);
}

static int add_device(struct vbox *v, const struct xml *device, struct ap_drive d, struct err *e)
{
    const char *type = xml_get(device, "type"), *uuid = xml_get(xml_child(device, "Image"), "uuid");
    const struct xml *x;
    u64 port = 0, slave = 0;

    v->a->line = device->line;
    ap_number(xml_get(device, "port"), &port);
    ap_number(xml_get(device, "device"), &slave);
    d.place += (unsigned)min(port, (u64)99) * 2 + (unsigned)min(slave, (u64)1);
    d.where =
        ap_print(v->a, "%s port %llu%s", d.where, (unsigned long long)port, slave ? " slave" : "");
    if (!d.where)
        return ap_nomem(v->a, e);
    if (ap_same(type, "HardDisk"))
        return add_disk(v, &d, uuid, e);
    if (ap_same(type, "DVD")) {
        d.kind = AP_CDROM;
        x = uuid ? medium(v, "DVDImages", "Image", uuid) : NULL;
    } else if (ap_same(type, "Floppy")) {
        d.kind = AP_FLOPPY;
        d.bus = AP_FDC;
        x = uuid ? medium(v, "FloppyImages", "Image", uuid) : NULL;
    } else {
        ap_note(v->a, "%s: a device of the type \"%.40s\" is left out", d.where, type ? type : "");
        return 0;
    }
    return ap_removable(v->a, &d, xml_get(x, "location"), e);
}

static int add_controllers(struct vbox *v, const struct xml *list, struct err *e)
{
    static const struct {
        const char *type;
        enum ap_bus bus;
    } types[] = {{"PIIX3", AP_IDE},        {"PIIX4", AP_IDE},     {"ICH6", AP_IDE},
                 {"AHCI", AP_SATA},        {"LsiLogic", AP_SCSI}, {"BusLogic", AP_SCSI},
                 {"LsiLogicSas", AP_SCSI}, {"NVMe", AP_NVME},     {"VirtioSCSI", AP_SCSI},
                 {"virtio-scsi", AP_SCSI}, {"I82078", AP_FDC},    {"USB", AP_USB}};
    unsigned n = 0;
    int r = 0;

    for (const struct xml *c = xml_child(list, "StorageController"); c && !r;
         c = xml_next(c), n++) {
        const char *type = xml_get(c, "type"), *name = xml_get(c, "name");
        struct ap_drive d = {.kind = AP_DISK, .bus = AP_SCSI, .place = n * 256};
        v->a->line = c->line;
        for (unsigned i = 0; i < ARRAY_SIZE(types); i++)
            if (ap_same(type, types[i].type))
                d.bus = types[i].bus;
        d.where = ap_print(v->a, "%.40s (%.40s)", name ? name : "controller", type ? type : "?");
        if (!d.where)
            return ap_nomem(v->a, e);
        for (const struct xml *x = xml_child(c, "AttachedDevice"); x && !r; x = xml_next(x))
            r = add_device(v, x, d, e);
    }
    return r;
}

/* ------------------------------------------------------------------- hardware -- */

static int add_nics(struct vbox *v, struct err *e)
{
    static const char *const there[] = {"BridgedInterface", "HostOnlyInterface", "InternalNetwork",
                                        "NATNetwork",       "GenericInterface",  "HostOnlyNetwork",
                                        "CloudNetwork"};
    int r = 0;

    for (const struct xml *x = xml_at(v->hardware, "Network/Adapter"); x && !r; x = xml_next(x)) {
        const char *slot = xml_get(x, "slot"), *type = xml_get(x, "type"), *network = NULL;
        char where[40];
        v->a->line = x->line;
        if (!ap_true(xml_get(x, "enabled")))
            continue;
        for (unsigned i = 0; i < ARRAY_SIZE(there); i++)
            if (xml_child(x, there[i]))
                network = there[i];
        snprintf(where, sizeof(where), "network adapter %.8s", slot ? slot : "?");
        r = ap_nic(v->a, where, type ? type : "Am79C973", xml_get(x, "MACAddress"), network, e);
    }
    return r;
}

static void add_others(struct vbox *v)
{
    struct appliance *a = v->a;
    const struct xml *h = v->hardware, *x;
    const char *rtc = xml_get(xml_child(h, "RTC"), "localOrUTC");
    const char *firmware = xml_get(xml_child(h, "Firmware"), "type");
    const char *pointing = xml_get(xml_child(h, "HID"), "Pointing");
    u64 slot;

    a->m->rtc = ap_same(rtc, "UTC") ? RTC_UTC : RTC_LOCALTIME;
    a->efi = firmware && !strncasecmp(firmware, "EFI", 3);
    if (ap_same(pointing, "USBTablet") || ap_same(pointing, "USBMultiTouch"))
        a->m->usb.on = a->m->usb.tablet = true;
    for (x = xml_at(h, "Boot/Order"); x; x = xml_next(x))
        ap_boot(a, xml_get(x, "device"));
    for (x = xml_at(h, "UART/Port"); x; x = xml_next(x))
        if (ap_true(xml_get(x, "enabled")) && ap_number(xml_get(x, "slot"), &slot) &&
            slot < MACHINE_SERIALS_MAX)
            a->serials = max(a->serials, (unsigned)slot + 1);
    x = xml_child(h, "AudioAdapter");
    if (x && ap_true(xml_get(x, "enabled"))) {
        a->line = x->line;
        ap_note(a, "there is no sound card here");
    }
    if (xml_get(v->machine, "stateFile")) {
        a->line = v->machine->line;
        ap_note(a, "it was saved: what it was doing is lost, and it boots");
    }
}

static int take_machine(struct vbox *v, struct err *e)
{
    struct appliance *a = v->a;
    const struct xml *m = v->machine, *x;
    const char *s;
    int r = 0;

    ap_name(a, xml_get(m, "name"));
    ap_system(a, xml_get(m, "OSType"));
    a->line = m->line;
    s = xml_get(v->hardware, "uuid") ? xml_get(v->hardware, "uuid") : xml_get(m, "uuid");
    if (s)
        r = ap_uuid(a, s, e);
    x = xml_child(v->hardware, "Memory");
    if (!r && x) {
        a->line = x->line;
        r = ap_memory_mib(a, "RAMSize", xml_get(x, "RAMSize"), e);
    }
    x = xml_child(v->hardware, "CPU");
    if (!r && x && (s = xml_get(x, "count"))) {
        a->line = x->line;
        r = ap_cpus_text(a, "CPU count", s, e);
    }
    if (!r)
        add_others(v);
    if (!r)
        r = add_controllers(v, xml_child(v->hardware, "StorageControllers"), e);
    if (!r)
        r = add_controllers(v, xml_child(m, "StorageControllers"), e);
    return r ? r : add_nics(v, e);
}

static int take(struct appliance *a, const struct xml *root, struct err *e)
{
    const struct xml *machine = xml_child(root, "Machine");
    struct vbox v = {.a = a, .machine = machine, .hardware = xml_child(machine, "Hardware")};

    if (xml_child(root, "MachineEncrypted"))
        return ap_bad(a, e, "the machine is encrypted, which Wirt does not read");
    if (!v.hardware)
        return ap_bad(a, e, "describes no machine (no Machine/Hardware)");
    return take_machine(&v, e);
}

static int vbox_read(struct appliance *a, struct err *e)
{
    return ap_xml(a, take, e);
}

const struct appliance_format appliance_vbox = {
    .title = "VirtualBox machine", .probe = vbox_probe, .read = vbox_read};
