/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hyper-V's machines: the configuration of Windows Server 2008 to 2012 R2 (XML), and the tree of
 * the same names that VMCX is since (vmcx.c).  Each device has a section named after its GUID;
 * drives are controllerN/driveN in the one of their controller.  Disks are written in place, a
 * checkpoint's difference (.avhdx) if that is the current state.
 */
#include "appliance/appliance_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The class of the emulated IDE controller, and the instance of it. */
static const char ide_guid[] = "83f8638b-8dca-4152-9eda-2ca8b33039b4";

static int hyperv_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "configuration");
}

int ap_hyperv_folder(struct appliance *a, struct err *e)
{
    static const char *const inner[] = {"Virtual Machines", "Snapshots"};
    char *slash = strrchr(a->folder, '/');
    const char *last = slash ? slash + 1 : a->folder;

    for (unsigned i = 0; i < ARRAY_SIZE(inner); i++)
        if (!strcasecmp(last, inner[i])) {
            char *up = slash ? strndup(a->folder, (size_t)(slash - a->folder)) : strdup(".");
            if (!up)
                return ap_nomem(a, e);
            free(a->folder);
            a->folder = up;
            return 0;
        }
    return 0;
}

int ap_hyperv_drive(struct appliance *a, struct ap_drive *d, const char *name, struct err *e)
{
    const char *last = strrchr(name, '\\') ? strrchr(name, '\\') + 1 : name;
    const char *exported = ap_print(a, "Virtual Hard Disks/%s", last);
    int r;

    if (!exported)
        return ap_nomem(a, e);
    if (d->kind != AP_DISK)
        return ap_removable(a, d, name, e);
    r = !*last || ap_look(a, exported, &d->file, NULL) ? ap_file(a, name, &d->file, e) : 0;
    return r ? r : ap_drive(a, d, e);
}

/* The number behind a name's letters: drive1 is 1. */
static unsigned number_of(const struct xml *x)
{
    const char *p = x->name + strcspn(x->name, "0123456789");

    return (unsigned)min(strtoul(p, NULL, 10), 63ul);
}

static int add_drive(struct appliance *a, const struct xml *pathname, struct err *e)
{
    const struct xml *drive = pathname->parent, *controller = drive ? drive->parent : NULL;
    const char *type = xml_text(drive, "type"), *name = pathname->text;
    struct ap_drive d = {.kind = AP_DISK, .bus = AP_SCSI};

    if (!controller || strncmp(drive->name, "drive", 5) ||
        strncmp(controller->name, "controller", 10) || ap_same(type, "NONE"))
        return 0;
    a->line = pathname->line;
    if (controller->parent && strcasestr(controller->parent->name, ide_guid))
        d.bus = AP_IDE;
    d.place = number_of(controller) * 64 + number_of(drive);
    if (ap_same(type, "ISO"))
        d.kind = AP_CDROM;
    if (ap_same(type, "VFD")) {
        d.kind = AP_FLOPPY;
        d.bus = AP_FDC;
    }
    d.where = ap_print(a, "%s %u:%u",
                       d.bus == AP_IDE   ? "IDE"
                       : d.bus == AP_FDC ? "floppy"
                                         : "SCSI (Hyper-V)",
                       number_of(controller), number_of(drive));
    if (!d.where)
        return ap_nomem(a, e);
    if (d.kind == AP_DISK && type && !ap_same(type, "VHD"))
        return ap_bad(a, e, "%s: a disk of the type \"%.40s\", which Wirt does not read", d.where,
                      type);
    if (!*name && d.kind != AP_CDROM)
        return 0;
    return ap_hyperv_drive(a, &d, name, e);
}

static void set_boot(struct appliance *a, const struct xml *c)
{
    const struct xml *boot = xml_find(c, NULL, "boot");
    char name[20];

    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "device%u", i);
        const char *device = xml_text(boot, name);
        ap_boot(a, ap_same(device, "Optical")     ? "cd"
                   : ap_same(device, "HardDrive") ? "hd"
                                                  : device);
    }
}

int ap_hyperv(struct appliance *a, const struct xml *c, struct err *e)
{
    const struct xml *size = xml_at(c, "settings/memory/bank/size"), *x;
    const char *cpus = xml_text(c, "settings/processors/count");
    const char *subtype = xml_text(c, "properties/subtype"), *guid;
    unsigned nic = 0;
    int r = 0;

    ap_name(a, xml_text(c, "properties/name"));
    if (size) {
        a->line = size->line;
        r = ap_memory_mib(a, "memory/bank/size", size->text, e);
    }
    a->line = 0;
    if (!r && cpus)
        r = ap_cpus_text(a, "processors/count", cpus, e);
    a->efi = subtype && !strcmp(subtype, "1"); /* generation 2 */
    a->m->rtc = RTC_LOCALTIME;
    x = xml_find(c, NULL, "bios_guid");
    guid = x ? x->text : xml_text(c, "properties/global_id");
    if (!r && guid && *guid)
        r = ap_uuid(a, guid, e);
    set_boot(a, c);
    for (x = NULL; !r && (x = xml_find(c, x, "pathname"));)
        r = add_drive(a, x, e);
    for (x = NULL; !r && (x = xml_find(c, x, "MacAddress"));) {
        char where[40];
        a->line = x->line;
        snprintf(where, sizeof(where), "network adapter %u", nic++);
        r = ap_nic(a, where, "Hyper-V adapter",
                   strspn(x->text, "0-:") == strlen(x->text) ? NULL : x->text, NULL, e);
    }
    return r;
}

static int take(struct appliance *a, const struct xml *root, struct err *e)
{
    int r = ap_hyperv_folder(a, e);

    if (r)
        return r;
    if (!xml_child(root, "properties"))
        return ap_bad(a, e, "is no configuration of Hyper-V's (no properties)");
    return ap_hyperv(a, root, e);
}

static int hyperv_read(struct appliance *a, struct err *e)
{
    return ap_xml(a, take, e);
}

const struct appliance_format appliance_hyperv = {
    .title = "Hyper-V machine (XML)", .probe = hyperv_probe, .read = hyperv_read};
