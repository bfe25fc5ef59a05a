/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys and pointer events on their way to the guest: pc.input is what the user interface has, and
 * here it is decided which device gets them.  An absolute pointer that the guest has no device for
 * becomes the movement of a mouse.
 */
#include "board/pc.h"

/* A relative mouse gets this many steps for the whole width and height of the screen. */
enum { STEPS_X = 1024, STEPS_Y = 768 };

/* The keyboard: a virtio or USB one whose driver listens, else the PS/2 one. */
static void key(void *opaque, unsigned code, bool down)
{
    struct pc *pc = opaque;
    const struct input_sink *to = &pc->kbd.input;
    const struct usb_hid *usb = pc->usb.keyboard;
    if (pc->vinput[0] && pc->vinput[0]->vp.dev.status & VIRTIO_S_DRIVER_OK)
        to = &pc->vinput[0]->input;
    else if (usb && usb->input.has_pointer(usb->input.opaque))
        to = &usb->input;
    to->key(to->opaque, code, down);
}

static void mouse(void *opaque, int dx, int dy, int dz, unsigned buttons)
{
    struct pc *pc = opaque;
    pc->kbd.input.mouse(pc->kbd.input.opaque, dx, dy, dz, buttons);
}

/* An absolute pointer that a driver listens to, or NULL. */
static const struct input_sink *find_pointer(const struct pc *pc)
{
    const struct input_sink *to[] = {pc->vinput[1] ? &pc->vinput[1]->input : NULL,
                                     pc->usb.tablet ? &pc->usb.tablet->input : NULL};
    for (unsigned i = 0; i < ARRAY_SIZE(to); i++)
        if (to[i] && to[i]->has_pointer(to[i]->opaque))
            return to[i];
    return NULL;
}

static int steps(unsigned from, unsigned to, unsigned all)
{
    return (int)(to * all / INPUT_ABS_MAX) - (int)(from * all / INPUT_ABS_MAX);
}

static void pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    struct pc *pc = opaque;
    const struct input_sink *to = find_pointer(pc);
    struct pc_pointer *p = &pc->pointer;
    int dx = 0, dy = 0;
    if (to) {
        to->pointer(to->opaque, x, y, dz, buttons);
        return;
    }
    x = min(x, (unsigned)INPUT_ABS_MAX);
    y = min(y, (unsigned)INPUT_ABS_MAX);
    pthread_mutex_lock(&p->lock);
    if (p->known) {
        dx = steps(p->x, x, STEPS_X);
        dy = steps(p->y, y, STEPS_Y);
    }
    p->x = x;
    p->y = y;
    p->known = true;
    pthread_mutex_unlock(&p->lock);
    mouse(pc, dx, dy, dz, buttons);
}

static bool has_pointer(void *opaque)
{
    return find_pointer(opaque);
}

void pc_open_input(struct pc *pc)
{
    pthread_mutex_init(&pc->pointer.lock, NULL);
    pc->input = (struct input_sink){
        .key = key, .mouse = mouse, .pointer = pointer, .has_pointer = has_pointer, .opaque = pc};
}
