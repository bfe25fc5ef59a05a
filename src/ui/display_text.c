/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * `--display text`.  Twenty times a second the guest's screen is asked for its text, and the lines
 * that changed are drawn with ANSI sequences.  Keys are typed into the guest's keyboard one by one,
 * slowly enough for an old BIOS, so that text may be pasted.  The terminal itself, with the keys
 * behind Ctrl-A, is chardev_stdio's.
 */
#include "ui/display_text.h"
#include "ui/keymap.h"

#include <errno.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DRAW_NS = 50 * 1000 * 1000, TYPE_NS = 8 * 1000 * 1000, QUEUE = 1024, ROWS = 100 };

struct display_text {
    struct clock *clock;
    struct display *screen;
    struct input_sink input;
    struct chardev *term;
    struct timer draw, type;
    char *shown; /* the text on the terminal now */
    u8 queue[QUEUE];
    size_t len;
};

static void put(struct display_text *t, const char *s, size_t n)
{
    t->term->ops->write(t->term, (const u8 *)s, n);
}

/* The line that starts at *s, without its newline; moves *s to the next; NULL at the end. */
static const char *next_line(const char **s, size_t *n)
{
    const char *line = *s;
    if (!line || !*line)
        return NULL;
    *n = strcspn(line, "\n");
    *s = line + *n + (line[*n] == '\n');
    return line;
}

static void draw_changes(struct display_text *t, const char *text)
{
    const char *old = t->shown, *now = text;
    for (unsigned row = 1; row <= ROWS; row++) {
        char at[24];
        size_t n = 0, on = 0;
        const char *line = next_line(&now, &n), *was = next_line(&old, &on);
        if (!line && !was)
            break;
        if (line && was && n == on && !memcmp(line, was, n))
            continue;
        put(t, at, (size_t)snprintf(at, sizeof(at), "\033[%u;1H", row));
        if (line)
            put(t, line, n);
        put(t, "\033[K", 3);
    }
}

static void on_draw(void *opaque)
{
    struct display_text *t = opaque;
    char *text = display_text(t->screen);
    if (!text)
        text = strdup("(the guest's screen is in a graphics mode)\n");
    if (text && (!t->shown || strcmp(text, t->shown))) {
        draw_changes(t, text);
        free(t->shown);
        t->shown = text;
    } else {
        free(text);
    }
    timer_set(t->clock, &t->draw, clock_now(t->clock) + DRAW_NS);
}

static void press(struct display_text *t, const struct key_press *k, bool down)
{
    const struct {
        bool held;
        unsigned code;
    } keys[] = {{k->ctrl, KEY_LEFTCTRL}, {k->alt, KEY_LEFTALT}, {k->shift, KEY_LEFTSHIFT}};
    if (!down)
        t->input.key(t->input.opaque, k->code, false);
    for (unsigned i = 0; i < ARRAY_SIZE(keys); i++)
        if (keys[i].held)
            t->input.key(t->input.opaque, keys[i].code, down);
    if (down)
        t->input.key(t->input.opaque, k->code, true);
}

static void on_type(void *opaque)
{
    struct display_text *t = opaque;
    struct key_press k;
    if (!t->len)
        return;
    size_t n = keymap_take(&k, t->queue, t->len);
    t->len -= n;
    memmove(t->queue, t->queue + n, t->len);
    if (k.code) {
        press(t, &k, true);
        press(t, &k, false);
    }
    if (t->len)
        timer_set(t->clock, &t->type, clock_now(t->clock) + TYPE_NS);
    else if (t->term->ops->ready)
        t->term->ops->ready(t->term);
}

static size_t on_input(void *opaque, const u8 *buf, size_t len)
{
    struct display_text *t = opaque;
    len = min(len, QUEUE - t->len);
    memcpy(t->queue + t->len, buf, len);
    t->len += len;
    if (len && !timer_armed(&t->type))
        timer_set(t->clock, &t->type, clock_now(t->clock) + TYPE_NS);
    return len;
}

int display_text_open(struct display_text **out, struct loop *l, struct clock *c, struct display *d,
                      const struct input_sink *input, const struct stdio_keys *keys, struct err *e)
{
    static const char clear[] = "\033[2J\033[H\033[?25l";
    struct display_text *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(e, ENOMEM, "--display text: out of memory");
    int r = chardev_stdio_open(&t->term, l, keys, e);
    if (r) {
        free(t);
        return r;
    }
    t->clock = c;
    t->screen = d;
    t->input = *input;
    t->draw = (struct timer){.fn = on_draw, .opaque = t};
    t->type = (struct timer){.fn = on_type, .opaque = t};
    t->term->input = on_input;
    t->term->opaque = t;
    put(t, clear, sizeof(clear) - 1);
    timer_set(c, &t->draw, clock_now(c) + DRAW_NS);
    *out = t;
    return 0;
}

void display_text_close(struct display_text *t)
{
    static const char restore[] = "\033[?25h\033[999;1H\r\n";
    if (!t)
        return;
    timer_del(t->clock, &t->draw);
    timer_del(t->clock, &t->type);
    on_draw(t); /* the last words */
    timer_del(t->clock, &t->draw);
    put(t, restore, sizeof(restore) - 1);
    t->term->ops->close(t->term);
    free(t->shown);
    free(t);
}
