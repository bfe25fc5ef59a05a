/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain configuration is a list of `key = value`, a value a number, a string in quotes or a list
 * of strings in brackets; `#` starts a comment.  The file's words are split here; what they mean is
 * the table of keys at the end.  xlcfg_devices.c takes disk and vif lists apart.
 */
#include "appliance/appliance_int.h"
#include "appliance/xlcfg_int.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_MAX = 64 };

/* ---------------------------------------------------------------- memory -- */

char *xl_keep(struct xlcfg *x, const char *s, size_t len)
{
    return kept_add(&x->strings, s, len);
}

void xl_note(struct xlcfg *x, const char *fmt, ...)
{
    char line[400];
    va_list ap;
    int n = snprintf(line, sizeof(line), "%s:%u: ", x->path, x->line);

    va_start(ap, fmt);
    if (n < (int)sizeof(line))
        vsnprintf(line + n, sizeof(line) - (size_t)n, fmt, ap);
    va_end(ap);
    err_plain(line);
    if (x->say)
        x->say(x->opaque, line);
}

int xl_bad(struct xlcfg *x, struct err *e, const char *fmt, ...)
{
    char why[300];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    return err_set(e, EINVAL, "%s:%u: %s", x->path, x->line, why);
}

/* ----------------------------------------------------------------- words -- */

/* Past blanks, comments and, inside brackets, line ends. */
static void skip(struct xlcfg *x, bool lines)
{
    while (x->p < x->end) {
        char c = *x->p;
        if (c == '#') {
            while (x->p < x->end && *x->p != '\n')
                x->p++;
            continue;
        }
        if (c == '\n' && lines)
            x->line++;
        else if (c != ' ' && c != '\t' && c != '\r')
            return;
        x->p++;
    }
}

/* A quoted string, with \-escapes of quotes and itself. */
static int quoted(struct xlcfg *x, const char **out, struct err *e)
{
    char buf[4096], q = *x->p++;
    size_t n = 0;

    while (x->p < x->end && *x->p != q && *x->p != '\n') {
        if (*x->p == '\\' && x->end - x->p > 1 && (x->p[1] == q || x->p[1] == '\\'))
            x->p++;
        if (n == sizeof(buf) - 1)
            return xl_bad(x, e, "a string longer than %zu bytes", sizeof(buf) - 1);
        if (!*x->p)
            return xl_bad(x, e, "a zero byte in a string");
        buf[n++] = *x->p++;
    }
    if (x->p == x->end || *x->p != q)
        return xl_bad(x, e, "a string without its closing quote");
    x->p++;
    *out = xl_keep(x, buf, n);
    return *out ? 0 : err_set(e, ENOMEM, "%s: out of memory", x->path);
}

static int atom(struct xlcfg *x, const char **out, struct err *e)
{
    const char *start;

    if (x->p == x->end)
        return xl_bad(x, e, "a value is missing");
    if (*x->p == '"' || *x->p == '\'')
        return quoted(x, out, e);
    start = x->p;
    while (x->p < x->end && (isalnum((unsigned char)*x->p) || *x->p == '-' || *x->p == '.'))
        x->p++;
    if (x->p == start)
        return xl_bad(x, e, "\"%c\" starts no value",
                      isprint((unsigned char)*start) ? *start : '?');
    *out = xl_keep(x, start, (size_t)(x->p - start));
    return *out ? 0 : err_set(e, ENOMEM, "%s: out of memory", x->path);
}

static int list(struct xlcfg *x, struct xl_value *v, struct err *e)
{
    v->is_list = true;
    for (x->p++;;) {
        skip(x, true);
        if (x->p < x->end && *x->p == ']') {
            x->p++;
            return 0;
        }
        if (v->n == XL_LIST_MAX)
            return xl_bad(x, e, "more than %d entries in a list", XL_LIST_MAX);
        int r = atom(x, &v->item[v->n], e);
        if (r)
            return r;
        v->n++;
        skip(x, true);
        if (x->p < x->end && *x->p == ',')
            x->p++;
        else if (x->p == x->end || *x->p != ']')
            return xl_bad(x, e, "a list without its closing bracket");
    }
}

/* ------------------------------------------------------------------ keys -- */

static int number(struct xlcfg *x, const struct xl_value *v, u64 lo, u64 hi, u64 *out,
                  struct err *e)
{
    char *end;

    errno = 0;
    *out = isdigit((unsigned char)*v->s) ? strtoull(v->s, &end, 0) : 0;
    if (!isdigit((unsigned char)*v->s) || *end || errno || *out < lo || *out > hi)
        return xl_bad(x, e, "%s = \"%s\" is no number from %llu to %llu", x->key, v->s,
                      (unsigned long long)lo, (unsigned long long)hi);
    return 0;
}

static int take_name(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    if (!*v->s || strlen(v->s) > 63 || strchr(v->s, '/'))
        return xl_bad(x, e, "name = \"%s\": 1 to 63 characters without \"/\"", v->s);
    x->m->name = v->s;
    x->run->have_name = true;
    return 0;
}

static int take_uuid(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    u8 uuid[16];

    if (!ap_hex(v->s, "-", uuid, sizeof(uuid)))
        return xl_bad(x, e, "uuid = \"%s\" is none", v->s);
    memcpy(x->m->uuid, uuid, sizeof(uuid));
    x->run->have_uuid = true;
    return 0;
}

static int take_type(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    if (!strcmp(v->s, "hvm")) {
        x->m->xen = XEN_HVM;
    } else if (!strcmp(v->s, "pvh")) {
        x->m->xen = XEN_PVH;
    } else if (!strcmp(v->s, "pv") || !strcmp(v->s, "generic") || !strcmp(v->s, "linux")) {
        x->m->xen = XEN_PV;
    } else {
        return xl_bad(x, e, "%s = \"%s\" is none of pv, pvh, hvm", x->key, v->s);
    }
    x->have_type = true;
    return 0;
}

static int take_memory(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    u64 mib;
    int r = number(x, v, 2, 1 << 20, &mib, e);

    if (!r)
        x->m->memory = mib * MIB;
    return r;
}

static int take_maxmem(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    u64 mib;
    int r = number(x, v, 2, 1 << 20, &mib, e);

    x->maxmem = r ? 0 : mib * MIB;
    return r;
}

static int take_vcpus(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    u64 n;
    int r = number(x, v, 1, 64, &n, e);

    if (!r)
        x->m->cpus = (unsigned)n;
    return r;
}

static int take_kernel(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->m->kernel = v->s;
    return 0;
}

static int take_ramdisk(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->m->initrd = v->s;
    return 0;
}

static int take_cmdline(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->cmdline = v->s;
    return 0;
}

static int take_root(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->root = v->s;
    return 0;
}

static int take_extra(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->extra = v->s;
    return 0;
}

static int take_boot(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    for (const char *p = v->s; *p; p++)
        if (!strchr("acdn", *p) || strchr(p + 1, *p))
            return xl_bad(x, e, "boot = \"%s\" is no order of the letters a, c, d and n", v->s);
    x->m->boot = *v->s ? v->s : NULL;
    return 0;
}

static int take_localtime(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    u64 n;
    int r = number(x, v, 0, 1, &n, e);

    if (!r && n)
        x->m->rtc = RTC_LOCALTIME;
    return r;
}

static int take_on_reboot(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->run->no_reboot = !strcmp(v->s, "destroy");
    if (!x->run->no_reboot && strcmp(v->s, "restart"))
        xl_note(x, "on_reboot = \"%s\": the guest is restarted", v->s);
    return 0;
}

/* What comes anyway. */
static int take_on_end(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    if (strcmp(v->s, "destroy"))
        xl_note(x, "%s = \"%s\" has no effect: the machine ends", x->key, v->s);
    return 0;
}

/* Whole or not at all: its groups depend on each other. */
static int take_viridian(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    u64 n = 1;
    int r = v->is_list ? 0 : number(x, v, 0, 1, &n, e);

    x->m->hyperv = n && !(v->is_list && !v->n);
    for (unsigned i = 0; i < v->n; i++)
        if (v->item[i][0] == '!')
            xl_note(x, "viridian: \"%s\" has no effect, all groups are there", v->item[i]);
    return r;
}

static int no_effect(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    xl_note(x, "%s has no effect here", x->key);
    return 0;
}

static int take_vfb(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    x->run->have_screen = true;
    xl_note(x, "vfb: the guest has a screen; --display says how it is shown");
    return 0;
}

enum { ONE = 1, LIST = 2 };

static const struct {
    const char *key;
    int (*take)(struct xlcfg *x, const struct xl_value *v, struct err *e);
    u8 kinds; /* of values */
} keys[] = {
    {"bios", no_effect, ONE},          {"boot", take_boot, ONE},
    {"builder", take_type, ONE},       {"cmdline", take_cmdline, ONE},
    {"cpus", no_effect, ONE},          {"disk", xl_take_disks, LIST},
    {"extra", take_extra, ONE},        {"kernel", take_kernel, ONE},
    {"keymap", no_effect, ONE},        {"localtime", take_localtime, ONE},
    {"maxmem", take_maxmem, ONE},      {"maxvcpus", no_effect, ONE},
    {"memory", take_memory, ONE},      {"name", take_name, ONE},
    {"nographic", no_effect, ONE},     {"on_crash", take_on_end, ONE},
    {"on_poweroff", take_on_end, ONE}, {"on_reboot", take_on_reboot, ONE},
    {"pae", no_effect, ONE},           {"ramdisk", take_ramdisk, ONE},
    {"root", take_root, ONE},          {"sdl", no_effect, ONE},
    {"serial", no_effect, ONE},        {"type", take_type, ONE},
    {"usb", no_effect, ONE},           {"usbdevice", no_effect, ONE},
    {"uuid", take_uuid, ONE},          {"vcpus", take_vcpus, ONE},
    {"vfb", take_vfb, LIST},           {"videoram", no_effect, ONE},
    {"vif", xl_take_vifs, LIST},       {"viridian", take_viridian, ONE | LIST},
    {"vnc", no_effect, ONE},           {"vnclisten", no_effect, ONE},
};

static int take(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++) {
        if (strcmp(keys[i].key, x->key))
            continue;
        if (!(keys[i].kinds & (v->is_list ? LIST : ONE)) && keys[i].take != no_effect)
            return xl_bad(x, e, "%s takes %s", x->key,
                          keys[i].kinds & LIST ? "a list" : "one value");
        return keys[i].take(x, v, e);
    }
    xl_note(x, "the key \"%s\" is not known", x->key);
    return 0;
}

/* ------------------------------------------------------------- the file -- */

static int line(struct xlcfg *x, struct err *e)
{
    struct xl_value v = {0};
    char key[KEY_MAX];
    size_t n = 0;

    while (x->p < x->end && (isalnum((unsigned char)*x->p) || *x->p == '_')) {
        if (n == sizeof(key) - 1)
            return xl_bad(x, e, "a key of more than %zu characters", sizeof(key) - 1);
        key[n++] = *x->p++;
    }
    key[n] = 0;
    if (!n)
        return xl_bad(x, e, "neither a key nor a comment");
    x->key = key;
    skip(x, false);
    if (x->p == x->end || *x->p != '=')
        return xl_bad(x, e, "\"%s\" without \"=\"", key);
    x->p++;
    skip(x, false);
    int r = x->p < x->end && *x->p == '[' ? list(x, &v, e) : atom(x, &v.s, e);
    if (r)
        return r;
    skip(x, false);
    if (x->p < x->end && *x->p == ';')
        x->p++;
    else if (x->p < x->end && *x->p != '\n')
        return xl_bad(x, e, "something behind the value of \"%s\"", key);
    return take(x, &v, e);
}

/* What several keys say together. */
static int finish(struct xlcfg *x, struct err *e)
{
    struct machine_config *m = x->m;

    if (!x->have_type)
        m->xen = m->kernel ? XEN_PVH : XEN_HVM;
    if (xen_alone(m->xen) && !m->kernel)
        return err_set(e, EINVAL, "%s: names no kernel", x->path);
    if (m->hyperv && m->xen != XEN_HVM) {
        xl_note(x, "viridian has no effect: it is for a guest of type hvm");
        m->hyperv = false;
    }
    if (x->maxmem > m->memory)
        xl_note(x, "maxmem: the guest has %llu MiB and no more",
                (unsigned long long)m->memory / MIB);
    if (x->cmdline && (x->root || x->extra))
        xl_note(x, "root and extra have no effect beside cmdline");
    if (x->cmdline) {
        m->append = x->cmdline;
    } else if (x->root || x->extra) {
        char buf[8300];
        int n =
            snprintf(buf, sizeof(buf), "%s%s%s%s", x->root ? "root=" : "", x->root ? x->root : "",
                     x->root && x->extra ? " " : "", x->extra ? x->extra : "");
        m->append = xl_keep(x, buf, (size_t)n);
        if (!m->append)
            return err_set(e, ENOMEM, "%s: out of memory", x->path);
    }
    if (!m->nnics) /* a domain without vif has no network */
        return net_parse(&m->nic[m->nnics++], "none", e);
    return 0;
}

int xlcfg_parse(struct xlcfg **out, const char *path, const char *text, size_t len,
                struct machine_config *m, struct appliance_run *run, appliance_say *say,
                void *opaque, struct err *e)
{
    struct xlcfg *x = *out = calloc(1, sizeof(*x));
    int r = 0;

    if (!x)
        return err_set(e, ENOMEM, "%s: out of memory", path);
    *x = (struct xlcfg){.path = path,
                        .p = text,
                        .end = text + len,
                        .line = 1,
                        .m = m,
                        .run = run,
                        .say = say,
                        .opaque = opaque};
    for (;;) {
        skip(x, true);
        if (x->p == x->end)
            break;
        r = line(x, e);
        if (r)
            return r;
    }
    return finish(x, e);
}

void xlcfg_free(struct xlcfg *x)
{
    if (!x)
        return;
    kept_free(x->strings);
    free(x);
}
