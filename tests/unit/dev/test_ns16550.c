/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "core/state.h"
#include "dev/ns16550.h"
#include "fake.h"

enum { IRQ = 4, BASE = 0x3f8 };

struct uart_test {
    struct chardev chr; /* first: the back end is the test */
    struct fake *f;
    struct ns16550 uart;
    char out[256];
    size_t len;
    unsigned ready;
};

static void chr_write(struct chardev *c, const u8 *buf, size_t len)
{
    struct uart_test *t = (struct uart_test *)c;

    assert_true(t->len + len < sizeof(t->out));
    memcpy(t->out + t->len, buf, len);
    t->len += len;
}

static void chr_ready(struct chardev *c)
{
    ((struct uart_test *)c)->ready++;
}

static const struct chardev_ops chr_ops = {.write = chr_write, .ready = chr_ready};

static int setup(void **state)
{
    struct uart_test *t = calloc(1, sizeof(*t));

    t->f = fake_new();
    t->chr.ops = &chr_ops;
    ns16550_init(&t->uart, &t->chr, t->f->clock, fake_line(t->f, IRQ), &t->f->trace);
    bus_map(&t->f->pio, &t->uart.region, BASE);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct uart_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static u8 get(struct uart_test *t, unsigned reg)
{
    return in8(t->f, BASE + reg);
}

static void put(struct uart_test *t, unsigned reg, u8 val)
{
    out8(t->f, BASE + reg, val);
}

static size_t type(struct uart_test *t, const char *s)
{
    return t->chr.input(t->chr.opaque, (const u8 *)s, strlen(s));
}

static void sends(void **state)
{
    struct uart_test *t = *state;

    assert_int_equal(get(t, 5), 0x60);
    put(t, 0, 'h');
    put(t, 0, 'i');
    assert_int_equal(get(t, 5), 0x60);
    assert_string_equal(t->out, "hi");
    put(t, 3, 0x83);
    put(t, 0, 1);
    put(t, 1, 0);
    assert_int_equal(get(t, 0), 1);
    put(t, 3, 0x03);
    assert_int_equal(t->len, 2);
}

/* What serial8250_do_startup() tests for. */
static void transmitter_interrupt(void **state)
{
    struct uart_test *t = *state;

    put(t, 4, 0x0b);
    assert_int_equal(get(t, 2), 0x01);
    put(t, 1, 0x02);
    assert_true(t->f->line[IRQ].level);
    assert_int_equal(get(t, 2), 0x02);
    assert_int_equal(get(t, 2), 0x01); /* reading takes it back */
    assert_false(t->f->line[IRQ].level);
    put(t, 1, 0x00);
    put(t, 1, 0x02);
    assert_int_equal(get(t, 2), 0x02); /* enabling brings it again */
    put(t, 0, 'x');
    assert_true(t->f->line[IRQ].level);
    assert_int_equal(get(t, 2), 0x02);
    put(t, 1, 0x00);
    assert_false(t->f->line[IRQ].level);
}

static void receives_without_fifo(void **state)
{
    struct uart_test *t = *state;

    put(t, 4, 0x0b);
    put(t, 1, 0x01);
    assert_int_equal(type(t, "abc"), 1);
    assert_true(t->f->line[IRQ].level);
    assert_int_equal(get(t, 2), 0x04);
    assert_int_equal(get(t, 5) & 1, 1);
    assert_int_equal(t->ready, 0);
    assert_int_equal(get(t, 0), 'a');
    assert_int_equal(t->ready, 1);
    assert_false(t->f->line[IRQ].level);
    assert_int_equal(get(t, 5) & 1, 0);
}

static void fifo_trigger_and_timeout(void **state)
{
    struct uart_test *t = *state;

    put(t, 3, 0x83);
    put(t, 0, 1); /* 115200 */
    put(t, 3, 0x03);
    put(t, 4, 0x0b);
    put(t, 2, 0x81); /* trigger at 8 */
    put(t, 1, 0x01);
    assert_int_equal(get(t, 2), 0xc1);
    assert_int_equal(type(t, "1234567"), 7);
    assert_false(t->f->line[IRQ].level);
    clock_advance(t->f->clock, 300000);
    assert_false(t->f->line[IRQ].level);
    clock_advance(t->f->clock, 100000);
    assert_int_equal(get(t, 2), 0xcc);
    assert_int_equal(get(t, 0), '1');
    assert_int_equal(get(t, 2), 0xc1);
    assert_int_equal(type(t, "89"), 2);
    assert_int_equal(get(t, 2), 0xc4);
    assert_int_equal(type(t, "0123456789abcdef"), 8);
    for (int i = 0; i < 16; i++)
        assert_int_equal(get(t, 0), "2345678901234567"[i]);
    assert_int_equal(t->ready, 1);
    type(t, "zz");
    put(t, 2, 0x83);
    assert_int_equal(get(t, 5) & 1, 0);
}

/* What autoconfig() tests for. */
static void looks_like_a_16550a(void **state)
{
    struct uart_test *t = *state;

    put(t, 1, 0xff);
    assert_int_equal(get(t, 1), 0x0f);
    put(t, 1, 0);
    put(t, 4, 0x1a);
    assert_int_equal(get(t, 6) & 0xf0, 0x90);
    put(t, 4, 0x00);
    put(t, 2, 0x01);
    assert_int_equal(get(t, 2) >> 6, 3);
    put(t, 2, 0x00);
    assert_int_equal(get(t, 2) >> 6, 0);
    put(t, 7, 0xa5);
    assert_int_equal(get(t, 7), 0xa5);
}

static void loopback(void **state)
{
    struct uart_test *t = *state;

    put(t, 2, 0x01);
    put(t, 1, 0x0f);
    put(t, 4, 0x18);
    put(t, 0, 'L');
    assert_int_equal(t->len, 0);
    assert_int_equal(type(t, "x"), 0);
    assert_false(t->f->line[IRQ].level); /* OUT2 is off the pin */
    assert_int_equal(get(t, 0), 'L');
    put(t, 3, 0x40);
    assert_int_equal(get(t, 5) & 0x11, 0x11); /* break */
    assert_int_equal(get(t, 5) & 0x10, 0);
    for (int i = 0; i < 17; i++)
        put(t, 0, i);
    assert_int_equal(get(t, 5) & 0x02, 0x02); /* overrun */
    put(t, 4, 0x08);
    assert_int_equal(get(t, 6), 0xb3); /* CTS, DSR came; DCD stayed */
    assert_int_equal(get(t, 6), 0xb0);
}

static void state_keeps_the_fifo(void **state)
{
    struct uart_test *t = *state;
    u8 buf[128];

    put(t, 2, 0x01);
    type(t, "keep");
    state_save(&ns16550_state, &t->uart, buf);
    ns16550_reset(&t->uart);
    assert_int_equal(get(t, 5) & 1, 0);
    assert_int_equal(state_load(&ns16550_state, &t->uart, buf, state_size(&ns16550_state), NULL),
                     0);
    assert_int_equal(get(t, 0), 'k');
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(sends),
        TEST(transmitter_interrupt),
        TEST(receives_without_fifo),
        TEST(fifo_trigger_and_timeout),
        TEST(looks_like_a_16550a),
        TEST(loopback),
        TEST(state_keeps_the_fifo),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
