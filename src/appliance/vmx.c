/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMware's machines (.vmx): lines of `key = "value"`, of Workstation, Player, Fusion and ESXi.
 * There is no specification; the keys are those that VMware's knowledge base and its own files
 * have. Disks are written in place, as VMware does: a snapshot's delta is the disk that the file
 * names.
 *
 * Left out: encrypted machines, raw devices of the host, suspended state (.vmss).
 */
#include "appliance/appliance_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ENTRIES_MAX = 4096, KEY_MAX = 128, UNITS = 64, CONTROLLERS = 4 };

struct entry {
    const char *key, *value;
    unsigned line;
};

struct vmx {
    struct appliance *a;
    bool latin; /* .encoding is none of UTF-8's names */
    struct entry entry[ENTRIES_MAX];
    unsigned n;
};

/* ----------------------------------------------------------------------- lines -- */

/* |22 is a quote; bytes of Latin-1 become UTF-8. */
static const char *keep_value(struct vmx *v, const char *s, size_t n)
{
    char *out = malloc(2 * n + 1), *q = out;
    const char *kept;
    unsigned c;

    if (!out)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        c = (unsigned char)s[i];
        if (c == '|' && i + 2 < n && isxdigit((unsigned char)s[i + 1]) &&
            isxdigit((unsigned char)s[i + 2])) {
            char digits[3] = {s[i + 1], s[i + 2], 0};
            c = (unsigned)strtoul(digits, NULL, 16);
            i += 2;
        }
        if (!c)
            continue;
        if (c >= 0x80 && v->latin) {
            *q++ = (char)(0xc0 | c >> 6);
            c = 0x80 | (c & 0x3f);
        }
        *q++ = (char)c;
    }
    kept = ap_keep(v->a, out, (size_t)(q - out));
    free(out);
    return kept;
}

static bool is_key(const char *key, size_t n, const char *name)
{
    return n == strlen(name) && !strncasecmp(key, name, n);
}

static int take_line(struct vmx *v, const char *s, size_t n, struct err *e)
{
    struct appliance *a = v->a;
    const char *end = s + n, *key, *value;
    size_t k = 0;

    while (s < end && isspace((unsigned char)*s))
        s++;
    if (s == end || *s == '#')
        return 0;
    for (key = s; s < end && *s != '=' && !isspace((unsigned char)*s); s++)
        k++;
    while (s < end && isspace((unsigned char)*s))
        s++;
    if (!k || k > KEY_MAX || s == end || *s != '=')
        return ap_bad(a, e, "is no key = \"value\"");
    for (s++; s < end && isspace((unsigned char)*s);)
        s++;
    while (end > s && isspace((unsigned char)end[-1]))
        end--;
    if (s < end && *s == '"') {
        value = ++s;
        s = memchr(s, '"', (size_t)(end - s));
        if (!s)
            return ap_bad(a, e, "a value without its closing quote");
        end = s;
    } else {
        value = s;
    }
    if (is_key(key, k, ".encoding"))
        v->latin = strncasecmp(value, "UTF-8", 5) != 0;
    if (v->n == ENTRIES_MAX)
        return ap_bad(a, e, "more than %d keys", ENTRIES_MAX);
    struct entry *x = &v->entry[v->n];
    *x = (struct entry){ap_keep(a, key, k), keep_value(v, value, (size_t)(end - value)), a->line};
    if (!x->key || !x->value)
        return ap_nomem(a, e);
    v->n++;
    return 0;
}

/* The value of a key; NULL = not there, or empty.  Sets the line for messages. */
static const char *get(struct vmx *v, const char *fmt, ...) printf_like(2, 3);
static const char *get(struct vmx *v, const char *fmt, ...)
{
    char key[KEY_MAX];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(key, sizeof(key), fmt, ap);
    va_end(ap);
    for (unsigned i = 0; i < v->n; i++)
        if (!strcasecmp(v->entry[i].key, key)) {
            v->a->line = v->entry[i].line;
            return *v->entry[i].value ? v->entry[i].value : NULL;
        }
    return NULL;
}

/* --------------------------------------------------------------------- drives -- */

static bool ends_in(const char *name, const char *with)
{
    size_t n = strlen(name), k = strlen(with);

    return n >= k && !strcasecmp(name + n - k, with);
}

/* x is "scsi0:1": what is plugged in there. */
static int add_drive(struct vmx *v, const char *x, enum ap_bus bus, unsigned place, struct err *e)
{
    struct appliance *a = v->a;
    unsigned controller = place / 256;
    const char *type = get(v, "%s.deviceType", x), *mode = get(v, "%s.mode", x);
    const char *adapter = bus == AP_SCSI ? get(v, "scsi%u.virtualDev", controller) : NULL;
    const char *file = get(v, "%s.fileName", x);
    struct ap_drive d = {.kind = AP_DISK, .bus = bus, .place = place};

    d.where = adapter ? ap_print(a, "%s (%.40s)", x, adapter) : ap_keep(a, x, strlen(x));
    if (!d.where)
        return ap_nomem(a, e);
    if ((type && strcasestr(type, "cdrom")) || (!type && file && ends_in(file, ".iso"))) {
        d.kind = AP_CDROM;
        bool image = !type || strcasestr(type, "image") || (file && ends_in(file, ".iso"));
        if (!image || (file && ap_same(file, "auto detect")) || ap_same(file, "emptyBackingString"))
            file = NULL; /* the host's drive */
        if (get(v, "%s.startConnected", x) && !ap_true(get(v, "%s.startConnected", x)))
            file = NULL;
        return ap_removable(a, &d, file, e);
    }
    if (type && (strcasestr(type, "raw") || strcasestr(type, "passthru")))
        return ap_bad(a, e, "%s: a device of its host (%.40s)", x, type);
    if (!file)
        return ap_bad(a, e, "%s: a disk without fileName", x);
    d.discard = mode && strcasestr(mode, "nonpersistent");
    int r = ap_file(a, file, &d.file, e);
    return r ? r : ap_drive(a, &d, e);
}

static int add_drives(struct vmx *v, struct err *e)
{
    static const struct {
        const char *name;
        enum ap_bus bus;
    } buses[] = {{"ide", AP_IDE}, {"scsi", AP_SCSI}, {"sata", AP_SATA}, {"nvme", AP_NVME}};
    int r = 0;

    for (unsigned i = 0; i < v->n && !r; i++) {
        const struct entry *x = &v->entry[i];
        unsigned c, u;
        int used = 0;
        for (unsigned b = 0; b < ARRAY_SIZE(buses) && !r; b++) {
            size_t n = strlen(buses[b].name);
            char where[40];
            if (strncasecmp(x->key, buses[b].name, n) ||
                sscanf(x->key + n, "%2u:%2u%n", &c, &u, &used) != 2 ||
                strcasecmp(x->key + n + used, ".present") || !ap_true(x->value) ||
                c >= CONTROLLERS || u >= UNITS)
                continue;
            snprintf(where, sizeof(where), "%s%u:%u", buses[b].name, c, u);
            v->a->line = x->line;
            r = add_drive(v, where, buses[b].bus, c * 256 + u, e);
        }
    }
    return r;
}

static int add_floppies(struct vmx *v, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < MACHINE_FLOPPY_MAX && !r; i++) {
        struct ap_drive d = {.kind = AP_FLOPPY, .bus = AP_FDC, .place = i};
        if (!ap_true(get(v, "floppy%u.present", i)))
            continue;
        const char *start = get(v, "floppy%u.startConnected", i),
                   *file = get(v, "floppy%u.fileName", i), *type = get(v, "floppy%u.fileType", i);
        d.where = ap_print(v->a, "floppy%u", i);
        if (!ap_same(type, "file") || (start && !ap_true(start)))
            file = NULL;
        r = d.where ? ap_removable(v->a, &d, file, e) : ap_nomem(v->a, e);
    }
    return r;
}

/* ------------------------------------------------------------------ the rest -- */

static int add_nics(struct vmx *v, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; i < 10 && !r; i++) {
        char where[20];
        const char *network = get(v, "ethernet%u.connectionType", i), *mac, *named;
        if (!ap_true(get(v, "ethernet%u.present", i)))
            continue;
        snprintf(where, sizeof(where), "ethernet%u", i);
        named = get(v, "%s.networkName", where);
        network = network ? network : named ? named : "bridged";
        mac = get(v, "%s.address", where);
        if (ap_same(get(v, "%s.addressType", where), "generated") || !mac)
            mac = get(v, "%s.generatedAddress", where);
        const char *model = get(v, "%s.virtualDev", where);
        get(v, "%s.present", where); /* the line */
        r = ap_nic(v->a, where, model ? model : "vlance", mac,
                   ap_same(network, "nat") ? NULL : network, e);
    }
    return r;
}

static void add_others(struct vmx *v)
{
    static const struct {
        const char *key, *what;
    } missing[] = {{"sound.present", "sound card"},
                   {"parallel0.present", "parallel port"},
                   {"pciPassthru0.present", "card of its host"},
                   {"vtpm.present", "TPM"},
                   {"managedVM.autoAddVTPM", "TPM"}};

    for (unsigned i = 0; i < MACHINE_SERIALS_MAX; i++)
        if (ap_true(get(v, "serial%u.present", i)))
            v->a->serials = i + 1;
    for (unsigned i = 0; i < ARRAY_SIZE(missing); i++)
        if (ap_true(get(v, "%s", missing[i].key)))
            ap_note(v->a, "there is no %s here", missing[i].what);
    if (get(v, "checkpoint.vmState"))
        ap_note(v->a, "it was suspended: what it was doing is lost, and it boots");
}

static void set_boot(struct vmx *v)
{
    const char *order = get(v, "bios.bootOrder");
    char word[20];

    while (order && *order) {
        order += strspn(order, " ,");
        size_t n = strcspn(order, ",");
        snprintf(word, sizeof(word), "%.*s", (int)min(n, sizeof(word) - 1), order);
        if (!strncasecmp(word, "ethernet", 8))
            strcpy(word, "net");
        ap_boot(v->a, word);
        order += n;
    }
}

static int take_all(struct vmx *v, struct err *e)
{
    struct appliance *a = v->a;
    const char *s;
    int r = 0;

    if (get(v, "encryption.keySafe") || get(v, "encryption.data"))
        return ap_bad(a, e, "the machine is encrypted, which Wirt does not read");
    ap_name(a, get(v, "displayName"));
    ap_system(a, get(v, "guestOS"));
    s = get(v, "memsize");
    r = ap_memory_mib(a, "memsize", s ? s : "256", e);
    if (!r && (s = get(v, "numvcpus")))
        r = ap_cpus_text(a, "numvcpus", s, e);
    if (!r && (s = get(v, "uuid.bios")))
        r = ap_uuid(a, s, e);
    if ((s = get(v, "rtc.diffFromUTC")) && !strcmp(s, "0"))
        a->m->rtc = RTC_UTC;
    a->efi = ap_same(get(v, "firmware"), "efi");
    set_boot(v);
    if (!r)
        r = add_drives(v, e);
    if (!r)
        r = add_floppies(v, e);
    if (!r)
        r = add_nics(v, e);
    if (!r)
        add_others(v);
    return r;
}

/* Keys of which each has some; xl.cfg has none of them, and a disk's descriptor says what it is. */
static int vmx_probe(const struct ap_probe *p, struct err *e)
{
    static const char *const keys[] = {"config.version", "virtualHW.version", ".encoding",
                                       "displayName", "memsize"};
    const char *s = (const char *)p->head;

    if (!p->text || *p->root || strcasestr(s, "# Disk DescriptorFile"))
        return 0;
    for (; *s; s += strcspn(s, "\n"), s += *s == '\n') {
        const char *word = s + strspn(s, " \t\r");
        for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
            size_t n = strlen(keys[i]);
            if (!strncasecmp(word, keys[i], n) && word[n + strspn(word + n, " \t")] == '=')
                return 1;
        }
    }
    return 0;
}

static int vmx_read(struct appliance *a, struct err *e)
{
    struct vmx *v = calloc(1, sizeof(*v));
    char *text = NULL;
    size_t len;
    int r = v ? ap_slurp(a, a->path, &text, &len, e) : ap_nomem(a, e);

    if (v)
        v->a = a;
    for (const char *p = text; !r && p < text + len;) {
        const char *stop = memchr(p, '\n', (size_t)(text + len - p));
        size_t n = (size_t)((stop ? stop : text + len) - p);
        a->line++;
        r = take_line(v, p, n, e);
        p += n + 1;
    }
    if (!r)
        r = take_all(v, e);
    free(text);
    free(v);
    return r;
}

const struct appliance_format appliance_vmx = {
    .title = "VMware machine (VMX)", .probe = vmx_probe, .read = vmx_read};
