/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Machines of Virtual PC 2004 and 2007, Windows Virtual PC and Virtual Server (.vmc): XML, mostly
 * in UTF-16.  Disks are VHD files, written in place.  The machine's name is that of the file.
 */
#include "appliance/appliance_int.h"

#include <errno.h>
#include <string.h>

enum { DRIVE_DISK = 1, DRIVE_CD = 2 };

static int vmc_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "preferences");
}

/* The name relative to the description where it is there, else the other. */
static const char *path_of(struct appliance *a, const struct xml *location)
{
    const char *relative = xml_text(location, "pathname/relative"), *path;
    const char *absolute = xml_text(location, "pathname/absolute");

    if (relative && *relative && !ap_look(a, relative, &path, NULL))
        return relative;
    return absolute && *absolute ? absolute : relative;
}

static u64 id_of(const struct xml *x)
{
    u64 v;

    return ap_number(xml_get(x, "id"), &v) ? min(v, (u64)99) : 0;
}

static int add_drive(struct appliance *a, const struct xml *x, struct ap_drive d, struct err *e)
{
    const char *name;
    u64 type;

    a->line = x->line;
    name = path_of(a, x);
    d.place += (unsigned)id_of(x);
    if (!ap_number(xml_text(x, "drive_type"), &type))
        return 0;
    d.where = ap_print(a, "%s %u:%u", d.where, d.place / 100, d.place % 100);
    if (!d.where)
        return ap_nomem(a, e);
    if (type == DRIVE_CD) {
        d.kind = AP_CDROM;
        return ap_removable(a, &d, name, e);
    }
    if (type != DRIVE_DISK || !name || !*name)
        return 0;
    int r = ap_file(a, name, &d.file, e);
    return r ? r : ap_drive(a, &d, e);
}

static int add_drives(struct appliance *a, const struct xml *bus, const char *controller,
                      struct ap_drive d, struct err *e)
{
    int r = 0;

    for (const struct xml *c = xml_child(bus, controller); c && !r; c = xml_next(c))
        for (const struct xml *x = xml_child(c, "location"); x && !r; x = xml_next(x)) {
            d.place = (unsigned)id_of(c) * 100;
            r = add_drive(a, x, d, e);
        }
    return r;
}

static int take(struct appliance *a, const struct xml *root, struct err *e)
{
    const struct xml *h = xml_child(root, "hardware"), *ram = xml_at(h, "memory/ram_size");
    const struct xml *pci = xml_child(h, "pci_bus");
    unsigned nic = 0;
    int r;

    if (!h)
        return ap_bad(a, e, "describes no machine (no hardware)");
    ap_name(a, ap_stem(a));
    a->m->rtc = RTC_LOCALTIME;
    a->line = ram ? ram->line : 0;
    r = ap_memory_mib(a, "ram_size", ram ? ram->text : "128", e);
    if (!r)
        r = add_drives(a, xml_child(pci, "ide_adapter"), "ide_controller",
                       (struct ap_drive){.kind = AP_DISK, .bus = AP_IDE, .where = "IDE"}, e);
    if (!r)
        r = add_drives(a, xml_child(pci, "scsi_adapter"), "scsi_controller",
                       (struct ap_drive){.kind = AP_DISK, .bus = AP_SCSI, .where = "SCSI"}, e);
    for (const struct xml *x = xml_at(pci, "ethernet_adapter/ethernet_controller"); x && !r;
         x = xml_next(x)) {
        char where[30];
        a->line = x->line;
        snprintf(where, sizeof(where), "ethernet %u", nic++);
        r = ap_nic(a, where, "DEC 21140", xml_text(x, "ethernet_card_address"), NULL, e);
    }
    return r;
}

static int vmc_read(struct appliance *a, struct err *e)
{
    return ap_xml(a, take, e);
}

const struct appliance_format appliance_vmc = {
    .title = "Virtual PC machine (VMC)", .probe = vmc_probe, .read = vmc_read};
