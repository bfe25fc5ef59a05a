/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The items of an OVF's virtual hardware: resources as CIM_ResourceAllocationSettingData (DSP1041)
 * has them, and StorageItem and EthernetPortItem, which OVF 2 adds with the same fields.
 */
#include "appliance/ovf.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* CIM_ResourceAllocationSettingData.ResourceType; 35 is VirtualBox's. */
enum {
    RT_PROCESSOR = 3,
    RT_MEMORY = 4,
    RT_IDE = 5,
    RT_SCSI = 6,
    RT_ETHERNET = 10,
    RT_FLOPPY = 14,
    RT_CD = 15,
    RT_DVD = 16,
    RT_DISK = 17,
    RT_TAPE = 18,
    RT_OTHER_STORAGE = 20,
    RT_SERIAL = 21,
    RT_PARALLEL = 22,
    RT_LOGICAL_DISK = 31,
    RT_SOUND = 35,
};

static const char *field(const struct xml *item, const char *name)
{
    const char *s = xml_text(item, name);

    return s && *s ? s : NULL;
}

static const char *label_of(const struct xml *item)
{
    const char *s = field(item, "ElementName");

    s = s ? s : field(item, "Caption");
    s = s ? s : field(item, "InstanceID");
    return s ? s : "?";
}

static u64 type_of(const struct xml *item)
{
    u64 v;

    return ap_number(field(item, "ResourceType"), &v) ? v : 0;
}

/* One that is there in this configuration, and no bound of another item's value. */
static bool counts(const struct ovf *o, const struct xml *x)
{
    const char *bound = xml_get(x, "bound"), *in = xml_get(x, "configuration");

    if (strcmp(x->name, "Item") && strcmp(x->name, "StorageItem") &&
        strcmp(x->name, "EthernetPortItem"))
        return false;
    if (bound && *bound && strcmp(bound, "normal"))
        return false;
    if (!in || !*in)
        return true;
    size_t n = o->configuration ? strlen(o->configuration) : 0; /* in: names with blanks between */
    for (const char *p = in; n && (p = strstr(p, o->configuration)); p++)
        if ((p == in || p[-1] == ' ') && (!p[n] || p[n] == ' '))
            return true;
    return false;
}

static int add_controller(struct ovf *o, const struct xml *x, struct err *e)
{
    const char *type = field(x, "ResourceSubType"), *id = field(x, "InstanceID");
    struct ovf_controller *c = &o->controller[o->ncontrollers], new = {.type = type};
    u64 address;

    id = id ? id : field(x, "InstanceId"); /* OVF 0.9 */
    if (o->ncontrollers == OVF_CONTROLLERS_MAX)
        return ap_bad(o->a, e, "more than %d controllers", OVF_CONTROLLERS_MAX);
    if (!id)
        return ap_bad(o->a, e, "an item without InstanceID");
    new.id = ap_keep(o->a, id, strlen(id));
    new.type = type ? ap_keep(o->a, type, strlen(type)) : NULL;
    if (!new.id)
        return ap_nomem(o->a, e);
    new.bus = type_of(x) == RT_IDE                ? AP_IDE
              : type_of(x) == RT_SCSI             ? AP_SCSI
              : type &&strcasestr(type, "nvme")   ? AP_NVME
              : type &&strcasestr(type, "virtio") ? AP_SCSI
                                                  : AP_SATA;
    for (unsigned i = 0; i < o->ncontrollers; i++)
        new.number += o->controller[i].bus == new.bus;
    if (ap_number(field(x, "Address"), &address) && address < 16)
        new.number = (unsigned)address;
    *c = new;
    o->ncontrollers++;
    return 0;
}

static int add_drive(struct ovf *o, const struct xml *x, enum ap_kind kind, struct err *e)
{
    struct ap_drive d = {.kind = kind, .bus = kind == AP_FLOPPY ? AP_FDC : AP_IDE};
    const char *parent = field(x, "Parent"), *resource = field(x, "HostResource");
    const struct ovf_controller *c = NULL;
    u64 unit = 0;
    int r = 0;

    for (unsigned i = 0; parent && i < o->ncontrollers; i++)
        if (!strcmp(o->controller[i].id, parent))
            c = &o->controller[i];
    ap_number(field(x, "AddressOnParent"), &unit);
    if (c && kind != AP_FLOPPY)
        d.bus = c->bus;
    d.place = (c ? c->number : 0) * 256 + (unsigned)min(unit, (u64)255);
    d.where = ap_print(o->a, "%.80s%s%.40s%s", label_of(x), c && c->type ? " (" : "",
                       c && c->type ? c->type : "", c && c->type ? ")" : "");
    if (!d.where)
        return ap_nomem(o->a, e);
    if (resource)
        r = ovf_host_resource(o, resource, &d, e);
    else if (kind == AP_DISK)
        return ap_bad(o->a, e, "%.80s: a disk without HostResource", label_of(x));
    if (r)
        return r;
    if (kind != AP_DISK && d.fresh)
        return ap_bad(o->a, e, "%.80s: names an empty disk", label_of(x));
    d.overlay = kind == AP_DISK && d.file;
    o->a->line = x->line;
    return ap_drive(o->a, &d, e);
}

static int add_nic(struct ovf *o, const struct xml *x, struct err *e)
{
    const char *type = field(x, "ResourceSubType");
    char model[64] = "";

    /* of several that would do, the first */
    for (const char *p = type; p && *p; p += strspn(p, " ,")) {
        size_t n = strcspn(p, " ,");
        if (!*model || (!strncasecmp(p, "e1000", n) && n == 5))
            snprintf(model, sizeof(model), "%.*s", (int)min(n, sizeof(model) - 1), p);
        p += n;
    }
    /* Connection is a name that whoever takes the package in maps to a network of his */
    return ap_nic(o->a, label_of(x), model, field(x, "Address"), NULL, e);
}

static int add_item(struct ovf *o, const struct xml *x, struct err *e)
{
    struct appliance *a = o->a;
    const char *quantity = field(x, "VirtualQuantity");
    u64 v;

    switch (type_of(x)) {
    case RT_PROCESSOR:
        return ap_cpus_text(a, "VirtualQuantity", quantity, e);
    case RT_MEMORY:
        if (!ovf_units(quantity, field(x, "AllocationUnits"), &v))
            return ap_bad(a, e, "VirtualQuantity \"%.40s\" of memory in units \"%.40s\"",
                          quantity ? quantity : "",
                          field(x, "AllocationUnits") ? field(x, "AllocationUnits") : "");
        return ap_memory(a, v, e);
    case RT_ETHERNET:
        return add_nic(o, x, e);
    case RT_FLOPPY:
        return add_drive(o, x, AP_FLOPPY, e);
    case RT_CD:
    case RT_DVD:
        return add_drive(o, x, AP_CDROM, e);
    case RT_DISK:
    case RT_LOGICAL_DISK:
        return add_drive(o, x, AP_DISK, e);
    case RT_SERIAL:
        a->serials++;
        return 0;
    case RT_TAPE:
    case RT_PARALLEL:
    case RT_SOUND:
        ap_note(a, "%.80s: there is nothing like it here", label_of(x));
        return 0;
    default:
        return 0;
    }
}

int ovf_read_items(struct ovf *o, struct err *e)
{
    int r = 0;

    for (const struct xml *x = o->hardware->child; x && !r; x = x->next) {
        u64 type = type_of(x);
        o->a->line = x->line;
        if (counts(o, x) && (type == RT_IDE || type == RT_SCSI || type == RT_OTHER_STORAGE))
            r = add_controller(o, x, e);
    }
    for (const struct xml *x = o->hardware->child; x && !r; x = x->next) {
        o->a->line = x->line;
        if (counts(o, x))
            r = add_item(o, x, e);
    }
    o->a->line = 0;
    return r;
}
