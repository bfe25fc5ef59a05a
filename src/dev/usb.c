/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What every USB device answers on endpoint 0.  USB 2.0, 9.4.
 */
#include "dev/usb.h"

#include "base/endian.h"

#include <string.h>

enum { DESC_DEVICE = 1, DESC_CONFIG = 2, DESC_STRING = 3, DESC_ENDPOINT = 5, DESC_QUALIFIER = 6 };
enum { FEATURE_HALT = 0, FEATURE_REMOTE_WAKEUP = 1 };
enum { CONFIG_REMOTE_WAKEUP = 0x20, CONFIG_SELF_POWERED = 0x40 };

struct usb_setup usb_setup(const u8 p[USB_SETUP_LEN])
{
    return (struct usb_setup){.request = (u16)(p[0] << 8 | p[1]),
                              .value = le16_get(p + 2),
                              .index = le16_get(p + 4),
                              .length = le16_get(p + 6)};
}

void usb_reset(struct usb_dev *d)
{
    d->address = d->config = 0;
    d->halted_in = d->halted_out = 0;
    d->remote_wakeup = false;
    d->ops->reset(d);
}

void usb_halt(struct usb_dev *d, u8 ep)
{
    u16 *halted = ep & 0x80 ? &d->halted_in : &d->halted_out;

    *halted |= (u16)BIT(ep & 15);
}

static const u8 *next_endpoint(const struct usb_dev *d, u32 *at)
{
    u32 total = le16_get(d->desc->config + 2);

    while (*at + 2 <= total && d->desc->config[*at]) {
        const u8 *p = d->desc->config + *at;

        *at += p[0];
        if (p[1] == DESC_ENDPOINT)
            return p;
    }
    return NULL;
}

u32 usb_packet_size(const struct usb_dev *d, u8 ep)
{
    const u8 *p;

    for (u32 at = 0; (p = next_endpoint(d, &at));)
        if (p[2] == ep)
            return le16_get(p + 4);
    return 0;
}

/* ------------------------------------------------------- standard requests -- */

static int put_string(const struct usb_dev *d, u8 index, u8 *data)
{
    const char *s;
    u32 n = 0;

    if (!index) { /* languages: US English */
        memcpy(data, "\x04\x03\x09\x04", 4);
        return 4;
    }
    if (index > d->desc->nstrings)
        return USB_STALL;
    s = d->desc->strings[index - 1];
    for (; s[n] && n < 126; n++)
        le16_put(data + 2 + 2 * n, (u8)s[n]);
    data[0] = (u8)(2 + 2 * n);
    data[1] = DESC_STRING;
    return data[0];
}

static int get_descriptor(const struct usb_dev *d, u16 value, u8 *data)
{
    const u8 *dev = d->desc->device;
    u32 len;

    switch (value >> 8) {
    case DESC_DEVICE:
        memcpy(data, dev, 18);
        return 18;
    case DESC_CONFIG:
        len = le16_get(d->desc->config + 2);
        if (value & 0xff)
            return USB_STALL;
        memcpy(data, d->desc->config, len);
        return (int)len;
    case DESC_STRING:
        return put_string(d, (u8)value, data);
    case DESC_QUALIFIER: /* of a device that can be fast and is not, or the reverse */
        if (d->speed != USB_SPEED_HIGH)
            return USB_STALL;
        memcpy(data, (u8[]){10, DESC_QUALIFIER, 0, 2, 0, 0, 0, 64, 1, 0}, 10);
        return 10;
    default:
        return USB_STALL;
    }
}

static int endpoint_feature(struct usb_dev *d, const struct usb_setup *s, bool set)
{
    u8 ep = (u8)s->index;
    u16 *halted = ep & 0x80 ? &d->halted_in : &d->halted_out;

    if (s->value != FEATURE_HALT)
        return USB_STALL;
    if (set) {
        usb_halt(d, ep);
        return 0;
    }
    *halted &= (u16)~BIT(ep & 15);
    if (d->ops->unhalted)
        d->ops->unhalted(d, ep);
    return 0;
}

static int put16(u8 *data, u16 v)
{
    le16_put(data, v);
    return 2;
}

/* USB_NAK: not one of these. */
static int standard(struct usb_dev *d, const struct usb_setup *s, u8 *data)
{
    u8 attributes = d->desc->config[7], ep = (u8)s->index;

    switch (s->request) {
    case USB_GET_STATUS:
        return put16(data,
                     (u16)((attributes & CONFIG_SELF_POWERED ? 1 : 0) | d->remote_wakeup << 1));
    case USB_GET_STATUS | USB_TO_INTERFACE:
        return put16(data, 0);
    case USB_GET_STATUS | USB_TO_ENDPOINT:
        return put16(data, (ep & 0x80 ? d->halted_in : d->halted_out) >> (ep & 15) & 1);
    case USB_CLEAR_FEATURE:
    case USB_SET_FEATURE:
        if (s->value == FEATURE_REMOTE_WAKEUP)
            d->remote_wakeup = s->request == USB_SET_FEATURE;
        return s->value == FEATURE_REMOTE_WAKEUP ? 0 : USB_STALL;
    case USB_CLEAR_FEATURE | USB_TO_ENDPOINT:
    case USB_SET_FEATURE | USB_TO_ENDPOINT:
        return endpoint_feature(d, s, (s->request & 0xff) == USB_SET_FEATURE);
    case USB_SET_ADDRESS:
        d->address = s->value & 0x7f;
        return 0;
    case USB_GET_DESCRIPTOR:
        return get_descriptor(d, s->value, data);
    case USB_GET_CONFIGURATION:
        data[0] = d->config;
        return 1;
    case USB_SET_CONFIGURATION:
        if (s->value > 1)
            return USB_STALL;
        d->config = (u8)s->value;
        d->halted_in = d->halted_out = 0;
        return 0;
    case USB_GET_INTERFACE:
        data[0] = 0;
        return 1;
    case USB_SET_INTERFACE:
        return s->value ? USB_STALL : 0;
    default:
        return USB_NAK;
    }
}

int usb_control(struct usb_dev *d, const u8 setup[USB_SETUP_LEN], u8 *data)
{
    struct usb_setup s = usb_setup(setup);
    int n;

    if (s.length > USB_CONTROL_MAX)
        s.length = USB_CONTROL_MAX;
    n = standard(d, &s, data);
    if (n == USB_NAK)
        n = d->ops->control(d, &s, data);
    trace(d->trace, usb, "%s: request %04x %04x %04x %u: %d", d->name, s.request, s.value, s.index,
          s.length, n);
    return n < 0 ? USB_STALL : min(n, (int)s.length);
}

/* ------------------------------------------------------------ other endpoints -- */

int usb_in(struct usb_dev *d, u8 ep, u8 *buf, u32 len)
{
    int n;

    if (!d->config || d->halted_in & BIT(ep & 15))
        return USB_STALL;
    n = d->ops->in(d, ep, buf, len);
    if (n == USB_STALL)
        usb_halt(d, ep | 0x80);
    return n;
}

int usb_out(struct usb_dev *d, u8 ep, const u8 *buf, u32 len)
{
    int n;

    if (!d->config || d->halted_out & BIT(ep & 15))
        return USB_STALL;
    n = d->ops->out(d, ep, buf, len);
    if (n == USB_STALL)
        usb_halt(d, ep);
    return n;
}
