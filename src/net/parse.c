/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What --net takes.
 */
#include "net/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_port(const char *s, u16 *port)
{
    char *end;
    unsigned long v = strtoul(s, &end, 10);

    if (*s < '0' || *s > '9' || *end || v < 1 || v > 65535)
        return false;
    *port = v;
    return true;
}

/* "ADDR:PORT", ":PORT" or "PORT"; an address that is not there is 0. */
static bool parse_addr_port(char *s, u32 *addr, u16 *port)
{
    char *colon = strrchr(s, ':');
    struct in_addr in;

    *addr = 0;
    if (!colon)
        return parse_port(s, port);
    *colon = 0;
    if (*s) {
        if (inet_pton(AF_INET, s, &in) != 1)
            return false;
        *addr = ntohl(in.s_addr);
    }
    return parse_port(colon + 1, port);
}

int net_parse_hostfwd(struct net_hostfwd *f, const char *spec, struct err *e)
{
    char buf[128], *host = buf + 4, *guest;

    memset(f, 0, sizeof(*f));
    if (strlen(spec) < sizeof(buf)) {
        strcpy(buf, spec);
        f->udp = !strncmp(buf, "udp:", 4);
        guest = strchr(buf, '-');
        if ((f->udp || !strncmp(buf, "tcp:", 4)) && guest) {
            *guest++ = 0;
            if (parse_addr_port(host, &f->host_addr, &f->host_port) &&
                parse_addr_port(guest, &f->guest_addr, &f->guest_port))
                return 0;
        }
    }
    return err_set(e, EINVAL,
                   "hostfwd=%s: expected tcp:[ADDRESS:]PORT-[ADDRESS]:PORT, or udp likewise", spec);
}

static int parse_mac(u8 mac[6], const char *s, struct err *e)
{
    unsigned v[6];
    int n = 0;

    if (sscanf(s, "%2x:%2x:%2x:%2x:%2x:%2x%n", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &n) != 6 ||
        s[n] || strlen(s) != 17)
        return err_set(e, EINVAL, "mac=%s: expected six hexadecimal bytes, 52:54:00:12:34:56", s);
    if (v[0] & 1)
        return err_set(e, EINVAL, "mac=%s: is a multicast address", s);
    if (!(v[0] | v[1] | v[2] | v[3] | v[4] | v[5]))
        return err_set(e, EINVAL, "mac=%s: is no address", s);
    for (unsigned i = 0; i < 6; i++)
        mac[i] = v[i];
    return 0;
}

static int set_text(char *to, size_t size, const char *what, const char *v, struct err *e)
{
    if (!*v)
        return err_set(e, EINVAL, "%s=: a value is missing", what);
    if (strlen(v) >= size)
        return err_set(e, EINVAL, "%s=%s: too long", what, v);
    strcpy(to, v);
    return 0;
}

static int parse_option(struct net_config *c, const char *key, const char *v, struct err *e)
{
    if (!strcmp(key, "model")) {
        if (strcmp(v, "virtio") && strcmp(v, "e1000"))
            return err_set(e, EINVAL, "model=%s: virtio and e1000 are known", v);
        return set_text(c->model, sizeof(c->model), key, v, e);
    }
    if (!strcmp(key, "mac"))
        return parse_mac(c->mac, v, e);
    if (!strcmp(key, "capture"))
        return set_text(c->capture, sizeof(c->capture), key, v, e);
    if (!strcmp(key, "hostfwd") && c->mode == NET_USER) {
        if (c->nfwd == NET_HOSTFWD_MAX)
            return err_set(e, EINVAL, "more than %d hostfwd", NET_HOSTFWD_MAX);
        return net_parse_hostfwd(&c->fwd[c->nfwd++], v, e);
    }
    if (!strcmp(key, "restrict") && c->mode == NET_USER) {
        c->restricted = !*v || !strcmp(v, "on") || !strcmp(v, "yes");
        if (!c->restricted && strcmp(v, "off") && strcmp(v, "no"))
            return err_set(e, EINVAL, "restrict=%s: on or off", v);
        return 0;
    }
    return err_set(e, EINVAL, "'%s' is not an option of this kind of network", key);
}

static int parse_mode(struct net_config *c, const char *key, const char *v, struct err *e)
{
    if (!strcmp(key, "user") && !*v) {
        c->mode = NET_USER;
        return 0;
    }
    if (!strcmp(key, "none") && !*v) {
        c->mode = NET_NONE;
        return 0;
    }
    if (!strcmp(key, "tap")) {
        c->mode = NET_TAP;
        return set_text(c->ifname, sizeof(c->ifname), key, v, e);
    }
    return err_set(e, EINVAL, "'%s' is not a kind of network: user, tap=INTERFACE, none", key);
}

int net_parse(struct net_config *c, const char *spec, struct err *e)
{
    char buf[4096], *rest = buf, *part;
    bool first = true;
    int rc = 0;

    memset(c, 0, sizeof(*c));
    if (strlen(spec) >= sizeof(buf))
        return err_set(e, EINVAL, "network options are too long");
    strcpy(buf, spec);
    while (!rc && (part = strsep(&rest, ","))) {
        char *v = strchr(part, '=');

        if (v)
            *v++ = 0;
        else
            v = part + strlen(part);
        rc = first ? parse_mode(c, part, v, e) : parse_option(c, part, v, e);
        first = false;
    }
    return rc;
}
