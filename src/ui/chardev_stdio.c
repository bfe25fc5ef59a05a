/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The terminal as a serial console.  In raw mode every key goes to the guest, Ctrl-C too; Ctrl-A
 * is the one key that Wirt keeps, for a second key that says what to do.  Standard input may also
 * be a pipe or a file, whose bytes go to the guest as fast as it takes them, or closed.
 */
#include "ui/chardev.h"
#include "ui/outq.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <termios.h>
#include <unistd.h>

enum { CTRL_A = 1 };

struct chardev_stdio {
    struct chardev c;
    struct loop *loop;
    struct stdio_keys keys;
    struct outq out;
    struct loop_fd in;
    struct loop_job pump;
    bool plain; /* input is a file: epoll does not take it */
    bool eof, raw, prefix;
    u8 buf[4096];
    size_t pos, len; /* what the guest has not taken yet */
};

/*
 * The terminal's modes for the handler of fatal signals, which can find them nowhere else: the one
 * terminal of the process is global by nature.
 */
static struct termios saved_modes;
static volatile sig_atomic_t modes_changed;

static void restore_modes(void)
{
    if (modes_changed) {
        modes_changed = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &saved_modes);
    }
}

static void on_fatal(int sig)
{
    restore_modes();
    raise(sig); /* SA_RESETHAND: this time for good */
}

static void catch_fatal(void)
{
    static const int sigs[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGQUIT};
    for (unsigned i = 0; i < ARRAY_SIZE(sigs); i++) {
        struct sigaction old, sa = {.sa_handler = on_fatal, .sa_flags = (int)SA_RESETHAND};
        /* An engine's own handler stays. */
        if (!sigaction(sigs[i], NULL, &old) && old.sa_handler == SIG_DFL)
            sigaction(sigs[i], &sa, NULL);
    }
}

static void set_raw(struct chardev_stdio *s)
{
    struct termios t;
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &saved_modes))
        return;
    t = saved_modes;
    cfmakeraw(&t);
    t.c_oflag = saved_modes.c_oflag; /* messages of ours still begin at the left */
    modes_changed = 1;
    catch_fatal();
    tcsetattr(STDIN_FILENO, TCSANOW, &t);
    s->raw = true;
}

static void say(struct chardev_stdio *s, const char *text)
{
    outq_write(&s->out, (const u8 *)text, strlen(text));
}

static void call(const struct stdio_keys *k, void (*fn)(void *opaque))
{
    if (fn)
        fn(k->opaque);
}

/* The key behind Ctrl-A; true when a Ctrl-A is to go to the guest. */
static bool command_key(struct chardev_stdio *s, u8 key)
{
    switch (key) {
    case CTRL_A:
        return true;
    case 'x':
    case 'X':
        call(&s->keys, s->keys.quit);
        break;
    case 'r':
        call(&s->keys, s->keys.reset);
        break;
    case 'p':
        call(&s->keys, s->keys.power_button);
        break;
    case 'h':
    case '?':
        say(s, "\r\nCtrl-A x       end the machine, as if its power were cut\r\n"
               "Ctrl-A p       push its power button\r\n"
               "Ctrl-A r       reset it\r\n"
               "Ctrl-A Ctrl-A  send Ctrl-A to the guest\r\n"
               "Ctrl-A h       this list\r\n");
        break;
    default:
        break;
    }
    return false;
}

/* Takes our own keys out of n bytes at p; returns how many are left for the guest. */
static size_t filter(struct chardev_stdio *s, u8 *p, size_t n)
{
    size_t kept = 0;
    if (!s->raw)
        return n;
    for (size_t i = 0; i < n; i++) {
        u8 c = p[i];
        if (s->prefix) {
            s->prefix = false;
            if (command_key(s, c))
                p[kept++] = c;
        } else if (c == CTRL_A) {
            s->prefix = true;
        } else {
            p[kept++] = c;
        }
    }
    return kept;
}

/* Watches standard input or not.  A pipe whose writer has gone is always ready, so it must leave
 * the loop while its last bytes wait for the guest. */
static void watch(struct chardev_stdio *s, bool on)
{
    if (s->plain || s->in.added == on)
        return;
    if (!on)
        loop_fd_del(s->loop, &s->in);
    else if (!s->eof && loop_fd_add(s->loop, &s->in, NULL))
        s->eof = true;
}

static void deliver(struct chardev_stdio *s)
{
    if (s->pos < s->len && s->c.input)
        s->pos += s->c.input(s->c.opaque, s->buf + s->pos, s->len - s->pos);
}

/* Reads what fits behind the bytes that still wait.  The keys behind Ctrl-A must work even when the
 * guest takes nothing: from a terminal more is read, and what is not for us is lost.  False when
 * there is nothing to read now, or never again. */
static bool refill(struct chardev_stdio *s)
{
    u8 spill[256], *to = spill;
    size_t room = sizeof(spill);
    ssize_t n;
    memmove(s->buf, s->buf + s->pos, s->len - s->pos);
    s->len -= s->pos;
    s->pos = 0;
    if (s->len < sizeof(s->buf)) {
        to = s->buf + s->len;
        room = sizeof(s->buf) - s->len;
    } else if (!s->raw) {
        return false;
    }
    do
        n = read(STDIN_FILENO, to, room);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n <= 0) {
        s->eof = true;
        watch(s, false);
        return false;
    }
    n = (ssize_t)filter(s, to, (size_t)n);
    if (to != spill)
        s->len += (size_t)n;
    return true;
}

static void on_input(void *opaque, u32 revents)
{
    struct chardev_stdio *s = opaque;
    refill(s);
    deliver(s);
    if (s->pos < s->len && !s->raw)
        watch(s, false); /* until the guest has room */
}

static void on_pump(void *opaque)
{
    struct chardev_stdio *s = opaque;
    deliver(s);
    if (s->pos < s->len || s->eof)
        return;
    if (!s->plain) {
        watch(s, true);
    } else if (refill(s)) {
        deliver(s);
        if (s->pos == s->len)
            loop_post(s->loop, &s->pump);
    }
}

static void stdio_ready(struct chardev *c)
{
    struct chardev_stdio *s = container_of(c, struct chardev_stdio, c);
    loop_post(s->loop, &s->pump);
}

static void stdio_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct chardev_stdio *s = container_of(c, struct chardev_stdio, c);
    outq_write(&s->out, buf, len);
}

static void stdio_close(struct chardev *c)
{
    struct chardev_stdio *s = container_of(c, struct chardev_stdio, c);
    if (s->in.added)
        loop_fd_del(s->loop, &s->in);
    loop_cancel(s->loop, &s->pump);
    outq_drain(&s->out, 2000);
    outq_destroy(&s->out);
    restore_modes();
    free(s);
}

static const struct chardev_ops stdio_ops = {stdio_write, stdio_ready, stdio_close};

int chardev_stdio_open(struct chardev **out, struct loop *l, const struct stdio_keys *keys,
                       struct err *e)
{
    struct chardev_stdio *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(e, ENOMEM, "stdio: out of memory");
    s->c.ops = &stdio_ops;
    s->loop = l;
    s->keys = *keys;
    s->pump = (struct loop_job){.fn = on_pump, .opaque = s};
    s->in = (struct loop_fd){.fd = STDIN_FILENO, .events = EPOLLIN, .fn = on_input, .opaque = s};
    outq_init(&s->out, l);
    outq_set_fd(&s->out, STDOUT_FILENO);
    set_raw(s);
    struct err why;
    int r = loop_fd_add(l, &s->in, &why);
    if (r == -EPERM) { /* a regular file or /dev/null */
        s->plain = true;
        loop_post(l, &s->pump);
    } else if (r) { /* closed: no input then */
        s->eof = true;
    }
    *out = &s->c;
    return 0;
}
