/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What Hyper-V of Windows Server 2008 and 2008 R2 exports (.exp): instances of WMI's classes
 * Msvm_... as CIM-XML (DMTF DSP0201), of which the settings of resources are read.
 */
#include "appliance/appliance_int.h"

#include <errno.h>
#include <string.h>

static int cim_probe(const struct ap_probe *p, struct err *e)
{
    return !strcmp(p->root, "DECLARATIONS") || !strcmp(p->root, "CIM");
}

/* The value of a property, or the first of an array's; NULL = has none. */
static const char *property(const struct xml *instance, const char *name)
{
    static const char *const kinds[] = {"PROPERTY", "PROPERTY.ARRAY"};

    for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
        for (const struct xml *x = xml_child(instance, kinds[i]); x; x = xml_next(x))
            if (xml_get(x, "NAME") && !strcmp(xml_get(x, "NAME"), name)) {
                const char *v = xml_text(x, i ? "VALUE.ARRAY/VALUE" : "VALUE");
                return v && *v ? v : NULL;
            }
    return NULL;
}

static int add_drive(struct appliance *a, const struct xml *x, unsigned place, struct err *e)
{
    const char *type = property(x, "ResourceSubType"), *file = property(x, "Connection");
    const char *parent = property(x, "Parent");
    struct ap_drive d = {.kind = AP_DISK, .bus = AP_SCSI, .place = place, .where = "disk"};

    if (!type || !file)
        return 0;
    if (!strcmp(type, "Microsoft Virtual CD/DVD Disk"))
        d.kind = AP_CDROM;
    else if (strcmp(type, "Microsoft Virtual Hard Disk"))
        return 0;
    if (parent && strcasestr(parent, "83F8638B-8DCA-4152-9EDA-2CA8B33039B4"))
        d.bus = AP_IDE;
    d.where = ap_print(a, "%s %s %u", d.bus == AP_IDE ? "IDE" : "SCSI (Hyper-V)",
                       d.kind == AP_DISK ? "disk" : "CD-ROM", place);
    return d.where ? ap_hyperv_drive(a, &d, file, e) : ap_nomem(a, e);
}

static int take_instance(struct appliance *a, const struct xml *x, unsigned *n, struct err *e)
{
    const char *class = xml_get(x, "CLASSNAME"), *quantity = property(x, "VirtualQuantity");
    char where[40];
    u64 v;

    a->line = x->line;
    if (!class)
        return 0;
    if (!strcmp(class, "Msvm_VirtualSystemSettingData") ||
        !strcmp(class, "Msvm_VirtualSystemGlobalSettingData"))
        ap_name(a, property(x, "ElementName"));
    if (!strcmp(class, "Msvm_MemorySettingData"))
        return ap_memory_mib(a, "VirtualQuantity of memory", quantity, e);
    if (!strcmp(class, "Msvm_ProcessorSettingData") && ap_number(quantity, &v) && v)
        ap_cpus(a, v);
    if (!strcmp(class, "Msvm_ResourceAllocationSettingData") ||
        !strcmp(class, "Msvm_StorageAllocationSettingData"))
        return add_drive(a, x, (*n)++, e);
    if (!strcmp(class, "Msvm_SyntheticEthernetPortSettingData") ||
        !strcmp(class, "Msvm_EmulatedEthernetPortSettingData")) {
        const char *mac = property(x, "Address");
        snprintf(where, sizeof(where), "network adapter %u", a->m->nnics);
        return ap_nic(a, where, "Hyper-V adapter",
                      mac && strspn(mac, "0-:") != strlen(mac) ? mac : NULL, NULL, e);
    }
    return 0;
}

static int take(struct appliance *a, const struct xml *root, struct err *e)
{
    unsigned n = 0, found = 0;
    int r = ap_hyperv_folder(a, e);

    a->m->rtc = RTC_LOCALTIME;
    for (const struct xml *x = NULL; !r && (x = xml_find(root, x, "INSTANCE")); found++)
        r = take_instance(a, x, &n, e);
    a->line = 0;
    if (!r && !found)
        return ap_bad(a, e, "describes no machine (no INSTANCE)");
    return r;
}

static int cim_read(struct appliance *a, struct err *e)
{
    return ap_xml(a, take, e);
}

const struct appliance_format appliance_hyperv_cim = {
    .title = "Hyper-V export (WMI)", .probe = cim_probe, .read = cim_read};
