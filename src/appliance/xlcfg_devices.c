/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disks and network cards of a domain configuration.
 *
 * A disk is `target, format, vdev, access` by position, or key=value, or both; `target=` takes the
 * rest of the string.  The older form is `phy:/dev/x,xvda,w` with the words protocol:target, vdev
 * and access.  A network card is a list of key=value.
 */
#include "appliance/appliance_int.h"
#include "appliance/xlcfg_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_MAX = 4096 };

struct disk {
    char target[WORD_MAX], vdev[32];
    bool readonly, cdrom;
    const char *format; /* NULL: found out by looking */
};

/* The next word of a comma-separated list, without blanks around it; false: none left. */
static bool next_word(const char **p, char *out, size_t size)
{
    size_t n;

    if (!*p)
        return false;
    *p += strspn(*p, " \t");
    n = strcspn(*p, ",");
    size_t len = n;
    while (len && ((*p)[len - 1] == ' ' || (*p)[len - 1] == '\t'))
        len--;
    snprintf(out, size, "%.*s", (int)min(len, size - 1), *p);
    *p = (*p)[n] ? *p + n + 1 : NULL;
    return true;
}

static bool has_prefix(const char **s, const char *prefix)
{
    size_t n = strlen(prefix);

    if (strncmp(*s, prefix, n))
        return false;
    *s += n;
    return true;
}

/* xvda, sdb, hdc: 1, 2, 3; 0 = none of these. */
static unsigned place_of(const char *vdev)
{
    const char *p = vdev;
    unsigned most = has_prefix(&p, "xvd")  ? 24
                    : has_prefix(&p, "sd") ? 24
                    : has_prefix(&p, "hd") ? 4
                                           : 0;

    if (*p < 'a' || *p > 'z' || p[1])
        return 0;
    unsigned n = (unsigned)(*p - 'a') + 1;
    return n <= most ? n : 0;
}

static int set_access(struct xlcfg *x, struct disk *d, const char *w, struct err *e)
{
    if (!strcmp(w, "r") || !strcmp(w, "ro"))
        d->readonly = true;
    else if (strcmp(w, "w") && strcmp(w, "rw") && *w)
        return xl_bad(x, e, "\"%s\" is no access of a disk: r, ro, w or rw", w);
    return 0;
}

static int set_format(struct xlcfg *x, struct disk *d, const char *w, struct err *e)
{
    /* what is there besides raw says by its first bytes what it is */
    static const char *const formats[] = {"", "qcow", "qcow2", "qed", "vhd", "vmdk"};

    if (!strcmp(w, "raw")) {
        d->format = "raw";
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
        if (!strcmp(w, formats[i]))
            return 0;
    return xl_bad(x, e, "\"%s\" is no format of a disk", w);
}

/* phy:, file:, tap:aio: and the like: target, vdev, access by position.  False: not this form. */
static bool old_form(struct xlcfg *x, struct disk *d, const char *s, int *r, struct err *e)
{
    char access[16] = "", *colon;
    bool old = has_prefix(&s, "phy:") || has_prefix(&s, "file:");

    if (!old && (has_prefix(&s, "tap2:") || has_prefix(&s, "tap:"))) {
        has_prefix(&s, "tapdisk:");
        if (!has_prefix(&s, "aio:") && !has_prefix(&s, "qcow2:") && !has_prefix(&s, "qcow:"))
            has_prefix(&s, "vhd:");
        old = true;
    }
    if (!old)
        return false;
    const char *p = s;
    next_word(&p, d->target, sizeof(d->target));
    next_word(&p, d->vdev, sizeof(d->vdev));
    next_word(&p, access, sizeof(access));
    colon = strchr(d->vdev, ':'); /* hdc:cdrom */
    if (colon) {
        d->cdrom = !strcmp(colon, ":cdrom");
        *colon = 0;
    }
    *r = set_access(x, d, access, e);
    return true;
}

static int disk_word(struct xlcfg *x, struct disk *d, const char *w, unsigned *position,
                     struct err *e)
{
    static const char *const flags[] = {"discard", "no-discard", "direct-io-safe", "trusted",
                                        "untrusted"};
    static const char *const ignored[] = {"script=", "backend=", "backendtype=", "type="};
    const char *v = w;

    if (has_prefix(&v, "vdev=")) {
        snprintf(d->vdev, sizeof(d->vdev), "%s", v);
        return 0;
    }
    if (has_prefix(&v, "format="))
        return set_format(x, d, v, e);
    if (has_prefix(&v, "access="))
        return set_access(x, d, v, e);
    if (has_prefix(&v, "devtype=") || !strcmp(w, "cdrom")) {
        d->cdrom |= !strcmp(w, "cdrom") || !strcmp(v, "cdrom");
        return 0;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(flags); i++)
        if (!strcmp(w, flags[i]))
            return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(ignored); i++)
        if (has_prefix(&v, ignored[i])) {
            xl_note(x, "disk: \"%s\" has no effect here", w);
            return 0;
        }
    if (strchr(w, '=') && *position)
        return xl_bad(x, e, "disk: \"%s\" is not known", w);
    switch ((*position)++) {
    case 0:
        snprintf(d->target, sizeof(d->target), "%s", w);
        return 0;
    case 1:
        return set_format(x, d, w, e);
    case 2:
        snprintf(d->vdev, sizeof(d->vdev), "%s", w);
        return 0;
    case 3:
        return set_access(x, d, w, e);
    default:
        return xl_bad(x, e, "disk: \"%s\" is one word too many", w);
    }
}

static int parse_disk(struct xlcfg *x, struct disk *d, const char *s, struct err *e)
{
    char word[WORD_MAX];
    unsigned position = 0;
    int r = 0;

    memset(d, 0, sizeof(*d));
    if (strlen(s) >= WORD_MAX)
        return xl_bad(x, e, "disk: too long");
    if (old_form(x, d, s, &r, e))
        return r;
    for (const char *p = s; !r && p;) {
        p += strspn(p, " \t");
        if (has_prefix(&p, "target=")) {
            snprintf(d->target, sizeof(d->target), "%s", p);
            break;
        }
        next_word(&p, word, sizeof(word));
        r = disk_word(x, d, word, &position, e);
    }
    return r;
}

static int add_disk(struct xlcfg *x, const char *s, struct err *e)
{
    struct machine_config *m = x->m;
    struct disk d;
    int r = parse_disk(x, &d, s, e);

    if (r)
        return r;
    unsigned place = place_of(d.vdev);
    if (!place)
        return xl_bad(x, e, "disk: \"%s\" is no device name such as xvda, sda or hda", d.vdev);
    const char *target = xl_keep(x, d.target, strlen(d.target));
    if (!target)
        return err_set(e, ENOMEM, "%s: out of memory", x->path);
    if (d.cdrom) {
        if (m->ncdroms == MACHINE_CDROMS_MAX)
            return xl_bad(x, e, "more than %d CD-ROMs", MACHINE_CDROMS_MAX);
        m->cdrom[m->ncdroms++] = *target ? target : NULL;
        return 0;
    }
    if (!*target)
        return xl_bad(x, e, "disk: \"%s\" names no file", s);
    if (m->ndisks == MACHINE_DISKS_MAX)
        return xl_bad(x, e, "more than %d disks", MACHINE_DISKS_MAX);
    for (unsigned i = 0; i < m->ndisks; i++)
        if (m->disk[i].xvd == place)
            return xl_bad(x, e, "disk: \"%s\" is there twice", d.vdev);
    /* run_config_free() frees a disk's path */
    m->disk[m->ndisks] = (struct disk_config){
        .path = strdup(target), .readonly = d.readonly, .format = d.format, .xvd = place};
    if (!m->disk[m->ndisks].path)
        return err_set(e, ENOMEM, "%s: out of memory", x->path);
    m->ndisks++;
    return 0;
}

int xl_take_disks(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; !r && i < v->n; i++)
        r = add_disk(x, v->item[i], e);
    return r;
}

/* --------------------------------------------------------------- network -- */

static int add_vif(struct xlcfg *x, const char *s, struct err *e)
{
    struct machine_config *m = x->m;
    char word[256];
    struct net_config c;
    int r = net_parse(&c, "user", e);

    if (r)
        return r;
    if (m->nnics == MACHINE_NICS_MAX)
        return xl_bad(x, e, "more than %d network cards", MACHINE_NICS_MAX);
    for (const char *p = s; next_word(&p, word, sizeof(word));) {
        const char *v = word;
        if (!*word)
            continue;
        if (has_prefix(&v, "mac=")) {
            if (!ap_hex(v, ":", c.mac, sizeof(c.mac)) || c.mac[0] & 1)
                return xl_bad(x, e, "vif: \"%s\" is no address of a card", v);
        } else if (has_prefix(&v, "model=")) {
            if (!strcmp(v, "e1000"))
                strcpy(c.model, "e1000");
            else
                xl_note(x, "vif: there is no model \"%s\"", v);
        } else if (has_prefix(&v, "bridge=") || has_prefix(&v, "vifname=")) {
            xl_note(x,
                    "vif: \"%s\": the card is on the user-mode network; --net tap=IF gives another",
                    word);
        } else if (has_prefix(&v, "type=") || has_prefix(&v, "ip=") || has_prefix(&v, "script=") ||
                   has_prefix(&v, "rate=") || has_prefix(&v, "backend=") ||
                   has_prefix(&v, "devid=") || has_prefix(&v, "trusted=")) {
            xl_note(x, "vif: \"%s\" has no effect here", word);
        } else {
            xl_note(x, "vif: \"%s\" is not known", word);
        }
    }
    m->nic[m->nnics++] = c;
    return 0;
}

int xl_take_vifs(struct xlcfg *x, const struct xl_value *v, struct err *e)
{
    int r = 0;

    for (unsigned i = 0; !r && i < v->n; i++)
        r = add_vif(x, v->item[i], e);
    return r;
}
