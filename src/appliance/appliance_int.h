/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Between a format's reader and what all of them share.  A reader looks at one description and says
 * what it found by ap_...(); hardware.c makes the machine of it.
 */
#ifndef WIRT_APPLIANCE_APPLIANCE_INT_H
#define WIRT_APPLIANCE_APPLIANCE_INT_H

#include "appliance/appliance.h"
#include "appliance/kept.h"
#include "base/xml.h"

enum {
    AP_DRIVES_MAX = 64,
    AP_NOTES_MAX = 1000,
    AP_TEXT_MAX = 16 << 20, /* bytes of a description */
    AP_HEAD = 64 << 10,     /* of them that probing sees */
};

enum ap_kind { AP_DISK, AP_CDROM, AP_FLOPPY };

/* Where the description plugs it in; in the order in which firmware looks for something to boot. */
enum ap_bus { AP_IDE, AP_SATA, AP_SCSI, AP_NVME, AP_VIRTIO, AP_XEN, AP_USB, AP_FDC };

struct ap_drive {
    enum ap_kind kind;
    enum ap_bus bus;
    unsigned place;     /* on it */
    const char *where;  /* what the description calls it: "scsi0:0" */
    const char *file;   /* as a path or tar:// here; NULL = no medium */
    const char *format; /* a constant name of disk_format_name(); NULL = look */
    u64 fresh;          /* bytes: an empty disk of this size instead of a file */
    bool readonly;
    bool discard;     /* what is written is thrown away at the end */
    bool overlay;     /* the file is only read, and what is written kept beside */
    unsigned xvd;     /* for Xen's guests: 1 = xvda; 0 = the next free */
    unsigned line;    /* in the description */
    const char *here; /* hardware.c: what it is on here */
    unsigned index;   /* hardware.c: in m->disk */
    bool in_disks;    /* that is set */
};

struct appliance {
    const struct appliance_format *format;
    const char *path; /* as given */
    char *label;      /* for messages: the description, "box.ova: box.ovf" */
    char *folder;     /* where files that it names lie */
    unsigned line;    /* in hand, 0 = none */
    struct appliance_options o;
    struct machine_config *m;
    struct appliance_run *run;
    struct kept *strings;
    const char *system; /* the guest's, as the description says; NULL = does not */
    bool efi;
    char boot[5]; /* letters as machine_config.boot has them */
    struct ap_drive drive[AP_DRIVES_MAX];
    unsigned ndrives;
    unsigned serials; /* ports; 0 = not said */
    const char *nic[MACHINE_NICS_MAX];
    int fresh_fd[AP_DRIVES_MAX]; /* disks that are thrown away, -1 = none */
    char *notes;                 /* lines, each with its newline */
    size_t notes_len;
    unsigned nnotes;
    struct ap_manifest *manifest; /* manifest.c; NULL = none */
    struct xlcfg *xl;             /* xlcfg.h's, NULL = none */
};

/* What probing sees. */
struct ap_probe {
    const char *path;
    const u8 *head; /* zero-padded by at least a tar header */
    size_t len;
    bool text;        /* no zero byte in it */
    char root[64];    /* the local name of the XML root element, "" = no XML */
    struct file *tar; /* open, NULL = no archive */
};

struct appliance_format {
    const char *title;
    /* 1 = it is one, 0, or -errno: it is, and cannot be read, with a line that does not name it. */
    int (*probe)(const struct ap_probe *p, struct err *e);
    int (*read)(struct appliance *a, struct err *e);
};
extern const struct appliance_format *const appliance_formats[]; /* ends with NULL */

/* ---- probe.c ---- */

/* A bundle is a folder with its description in it: PATH_MAX bytes to out. */
bool ap_in_folder(const char *folder, char *out);

/* ---- appliance.c ---- */

/* Copies that live as long as a; NULL: no memory. */
char *ap_keep(struct appliance *a, const char *s, size_t len);
char *ap_print(struct appliance *a, const char *fmt, ...) printf_like(2, 3);
int ap_nomem(struct appliance *a, struct err *e);
/* Something done in another way, or not at all. */
void ap_note(struct appliance *a, const char *fmt, ...) printf_like(2, 3);
void ap_note_line(struct appliance *a, const char *line); /* a whole one, err_plain() already */
/* -EINVAL with file and line. */
int ap_bad(struct appliance *a, struct err *e, const char *fmt, ...) printf_like(3, 4);
/* The whole of a file, at most AP_TEXT_MAX bytes, with a zero behind it; malloc'ed. */
int ap_slurp(struct appliance *a, const char *path, char **text, size_t *len, struct err *e);
/* The description itself as XML: the tree is gone when take() has returned. */
typedef int ap_take(struct appliance *a, const struct xml *root, struct err *e);
int ap_xml(struct appliance *a, ap_take *take, struct err *e);
/*
 * The file that the description calls `name`: relative to its folder; an absolute or foreign name
 * that is not there, or may not be used, is looked for beside the description.  *path is kept.
 */
int ap_file(struct appliance *a, const char *name, const char **path, struct err *e);
int ap_look(struct appliance *a, const char *name, const char **path,
            struct err *e); /* the same; the message names neither the description nor a line */

/* Decimal, all of s; false = is none or too large. */
bool ap_number(const char *s, u64 *v);
/* len bytes of hexadecimal digits, with any of the characters of `between` between them. */
bool ap_hex(const char *s, const char *between, u8 *out, unsigned len);
/* "true", "yes", "on", "1", in any case. */
bool ap_true(const char *s);
bool ap_same(const char *a, const char *b); /* without case; NULL is nothing's equal */

/* The name of the description's file without folder and ending, kept. */
const char *ap_stem(struct appliance *a);

/* ---- hardware.c: strings given to it are copied ---- */

void ap_name(struct appliance *a, const char *name);
void ap_system(struct appliance *a, const char *system); /* the guest's; Windows wants local time */
int ap_uuid(struct appliance *a, const char *text, struct err *e); /* any form of 32 digits */
int ap_memory(struct appliance *a, u64 bytes, struct err *e);
void ap_cpus(struct appliance *a, u64 n);
/* The same from the text of a field, which is named if it is none; NULL is none. */
int ap_memory_mib(struct appliance *a, const char *field, const char *mib, struct err *e);
int ap_cpus_text(struct appliance *a, const char *field, const char *number, struct err *e);
/* One more thing to boot from: "hd", "cdrom", "floppy", "net" and the like; others are ignored. */
void ap_boot(struct appliance *a, const char *device);
int ap_drive(struct appliance *a, const struct ap_drive *d, struct err *e);
/* A drive for a medium of that name; what is not there is an empty drive, and said. */
int ap_removable(struct appliance *a, const struct ap_drive *d, const char *name, struct err *e);
/* A network card.  model: of any hypervisor; mac: any form, NULL = none; network: what it is
 * plugged to there if that is not address translation, else NULL. */
int ap_nic(struct appliance *a, const char *where, const char *model, const char *mac,
           const char *network, struct err *e);
/* What several fields say together: places of drives, firmware. */
int ap_finish(struct appliance *a, struct err *e);

/* ---- hyperv.c ---- */

/* The tree of a Hyper-V configuration, from XML or VMCX. */
int ap_hyperv(struct appliance *a, const struct xml *configuration, struct err *e);
/* Disks lie beside the folder "Virtual Machines" that has the description: a->folder is theirs. */
int ap_hyperv_folder(struct appliance *a, struct err *e);
/* A disk or disc by its path on the exporting host. */
int ap_hyperv_drive(struct appliance *a, struct ap_drive *d, const char *name, struct err *e);

/* ---- manifest.c ---- */

/* Lines `SHA256(name)= digits` of a manifest; name of the file itself for messages. */
int ap_manifest_parse(struct appliance *a, const char *label, const char *text, size_t len,
                      struct err *e);
/* The file `name` has these bytes at path (or tar://). */
void ap_manifest_file(struct appliance *a, const char *name, const char *path);
int ap_manifest_check(struct appliance *a, const char *stamp, appliance_tick *tick, void *opaque,
                      struct err *e);
void ap_manifest_free(struct ap_manifest *m);

#endif
