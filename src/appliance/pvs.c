/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Parallels' machines: the config.pvs of a .pvm bundle, as Parallels Desktop and Server write it.
 * The numbers are the Parallels SDK's.  Disks are .hdd bundles beside it, written in place.
 *
 * Left out: partitions of the host (Boot Camp), encrypted bundles.
 */
#include "appliance/appliance_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EMULATED_REAL = 0, EMULATED_IMAGE = 1, NET_SHARED = 1, OS_WINDOWS = 8 };

static int pvs_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "ParallelsVirtualMachine");
}

static u64 number(const struct xml *x, const char *name, u64 otherwise)
{
    u64 v;

    return ap_number(xml_text(x, name), &v) ? v : otherwise;
}

static int add_drive(struct appliance *a, const struct xml *x, enum ap_kind kind, struct err *e)
{
    static const enum ap_bus buses[] = {AP_IDE, AP_SCSI, AP_SATA, AP_USB, AP_VIRTIO};
    static const char *const names[] = {"hard disk", "CD-ROM", "floppy"};
    u64 interface = number(x, "InterfaceType", 0), index = number(x, "Index", 0);
    const char *file = xml_text(x, "SystemName");
    struct ap_drive d = {.kind = kind, .bus = AP_SCSI};

    a->line = x->line;
    if (number(x, "Enabled", 1) == 0)
        return 0;
    if (kind == AP_FLOPPY)
        d.bus = AP_FDC;
    else if (interface < ARRAY_SIZE(buses))
        d.bus = buses[interface];
    d.place = (unsigned)min(number(x, "StackIndex", index), (u64)1000);
    d.where = ap_print(a, "%s %llu", names[kind], (unsigned long long)index);
    if (!d.where)
        return ap_nomem(a, e);
    if (kind != AP_DISK) {
        bool there = number(x, "EmulatedType", EMULATED_IMAGE) == EMULATED_IMAGE &&
                     number(x, "Connected", 1);
        return ap_removable(a, &d, there ? file : NULL, e);
    }
    if (number(x, "EmulatedType", EMULATED_IMAGE) == EMULATED_REAL)
        return ap_bad(a, e, "%s: a disk of its host", d.where);
    if (!file || !*file)
        return ap_bad(a, e, "%s: a Hdd without SystemName", d.where);
    int r = ap_file(a, file, &d.file, e);
    return r ? r : ap_drive(a, &d, e);
}

static int add_nic(struct appliance *a, const struct xml *x, struct err *e)
{
    static const char *const models[] = {"", "RTL8029", "e1000", "virtio", "e1000e"};
    static const char *const networks[] = {"a host-only network", NULL, "a bridged network",
                                           "a routed network"};
    u64 type = number(x, "AdapterType", 2), net = number(x, "EmulatedType", NET_SHARED);
    char where[40];

    a->line = x->line;
    if (number(x, "Enabled", 1) == 0)
        return 0;
    snprintf(where, sizeof(where), "network adapter %llu",
             (unsigned long long)number(x, "Index", 0));
    return ap_nic(a, where, models[type < ARRAY_SIZE(models) ? type : 0], xml_text(x, "MAC"),
                  net < ARRAY_SIZE(networks) ? networks[net] : "another network", e);
}

static int add_devices(struct appliance *a, const struct xml *h, struct err *e)
{
    static const char *const drives[] = {"Hdd", "CdRom", "Fdd"};
    int r = 0;

    for (unsigned kind = 0; kind < ARRAY_SIZE(drives); kind++)
        for (const struct xml *x = xml_child(h, drives[kind]); x && !r; x = xml_next(x))
            r = add_drive(a, x, (enum ap_kind)kind, e);
    for (const struct xml *x = xml_child(h, "NetworkAdapter"); x && !r; x = xml_next(x))
        r = add_nic(a, x, e);
    for (const struct xml *x = xml_child(h, "Serial"); x && !r; x = xml_next(x))
        a->serials += a->serials < MACHINE_SERIALS_MAX && number(x, "Enabled", 1);
    const struct xml *sound = xml_child(h, "Sound");
    if (sound && number(sound, "Enabled", 1)) {
        a->line = sound->line;
        ap_note(a, "there is no sound card here");
    }
    return r;
}

/* Devices to boot from by their place in the order: 5 is a floppy, 6 a disk, 7 a CD, 8 a network.
 */
static void set_boot(struct appliance *a, const struct xml *settings)
{
    static const char *const devices[] = {"fd", "hd", "cd", "net"};
    const struct xml *order = xml_at(settings, "Startup/BootingOrder");

    for (unsigned turn = 0; turn < 16; turn++)
        for (const struct xml *x = xml_child(order, "BootDevice"); x; x = xml_next(x)) {
            u64 type = number(x, "Type", 0);
            if (number(x, "BootingNumber", 99) == turn && number(x, "InUse", 0) && type >= 5 &&
                type <= 8)
                ap_boot(a, devices[type - 5]);
        }
}

static int take(struct appliance *a, const struct xml *root, struct err *e)
{
    const struct xml *h = xml_child(root, "Hardware"), *settings = xml_child(root, "Settings");
    const struct xml *id = xml_child(root, "Identification"), *ram = xml_at(h, "Memory/RAM");
    const struct xml *cpus = xml_at(h, "Cpu/Number");
    int r = 0;

    if (!h)
        return ap_bad(a, e, "describes no machine (no Hardware)");
    ap_name(a, xml_text(id, "VmName"));
    if (number(xml_at(settings, "General"), "OsType", 0) == OS_WINDOWS)
        ap_system(a, "Windows");
    const char *uuid = xml_text(id, "VmUuid");
    if (uuid && *uuid)
        r = ap_uuid(a, uuid, e);
    if (!r && ram) {
        a->line = ram->line;
        r = ap_memory_mib(a, "RAM", ram->text, e);
    }
    if (!r && cpus) {
        a->line = cpus->line;
        r = ap_cpus_text(a, "Number", cpus->text, e);
    }
    a->efi = number(xml_at(settings, "Startup/Bios"), "EfiEnabled", 0) != 0;
    set_boot(a, settings);
    return r ? r : add_devices(a, h, e);
}

static int pvs_read(struct appliance *a, struct err *e)
{
    return ap_xml(a, take, e);
}

const struct appliance_format appliance_pvs = {
    .title = "Parallels machine", .probe = pvs_probe, .read = pvs_read};
