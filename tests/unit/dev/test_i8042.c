/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dev/debugcon.h"
#include "dev/i8042.h"
#include "dev/isa_debug_exit.h"
#include "dev/port92.h"
#include "fake.h"

#include <linux/input-event-codes.h>

enum { A20 = 20, RESET = 21 };

struct kbd_test {
    struct fake *f;
    struct i8042 kbd;
    struct port92 port92;
    struct debugcon con;
    struct isa_debug_exit dexit;
    int code;
};

static void on_exit_(void *opaque, int code)
{
    ((struct kbd_test *)opaque)->code = code;
}

static int setup(void **state)
{
    struct kbd_test *t = calloc(1, sizeof(*t));
    struct fake *f = fake_new();

    t->f = f;
    i8042_init(&t->kbd, fake_line(f, 1), fake_line(f, 12), fake_line(f, A20), fake_line(f, RESET),
               &f->trace);
    port92_init(&t->port92, fake_line(f, A20), fake_line(f, RESET), &f->trace);
    debugcon_init(&t->con, NULL, &f->trace);
    isa_debug_exit_init(&t->dexit, on_exit_, t);
    bus_map(&f->pio, &t->kbd.data, 0x60);
    bus_map(&f->pio, &t->kbd.control, 0x64);
    bus_map(&f->pio, &t->port92.region, 0x92);
    bus_map(&f->pio, &t->con.region, 0x402);
    bus_map(&f->pio, &t->dexit.region, 0xf4);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct kbd_test *t = *state;

    fake_free(t->f);
    free(t);
    return 0;
}

static void command(struct kbd_test *t, u8 cmd)
{
    out8(t->f, 0x64, cmd);
}

static void mode(struct kbd_test *t, u8 val)
{
    command(t, 0x60);
    out8(t->f, 0x60, val);
}

/* All bytes that are there, as hex; at most 20. */
static const char *drain(struct kbd_test *t)
{
    static char text[64];
    size_t n = 0;

    text[0] = 0;
    while ((in8(t->f, 0x64) & 1) && n < 60)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%02x ", in8(t->f, 0x60));
    return text;
}

static void key(struct kbd_test *t, unsigned code)
{
    t->kbd.input.key(t->kbd.input.opaque, code, true);
    t->kbd.input.key(t->kbd.input.opaque, code, false);
}

static void controller_tests(void **state)
{
    struct kbd_test *t = *state;

    command(t, 0xaa);
    assert_string_equal(drain(t), "55 ");
    command(t, 0xab);
    assert_string_equal(drain(t), "00 ");
    command(t, 0xa9);
    assert_string_equal(drain(t), "00 ");
    mode(t, 0x47);
    command(t, 0x20);
    assert_string_equal(drain(t), "47 ");
    assert_int_equal(in8(t->f, 0x64) & 0x0c, 0x0c);
    command(t, 0xa7);
    command(t, 0x20);
    assert_string_equal(drain(t), "67 ");
    command(t, 0xd3);
    out8(t->f, 0x60, 0xa5);
    assert_int_equal(in8(t->f, 0x64) & 0x21, 0x21);
    assert_true(t->f->line[12].level);
    assert_string_equal(drain(t), "a5 ");
    assert_false(t->f->line[12].level);
}

static void keyboard_commands(void **state)
{
    struct kbd_test *t = *state;

    mode(t, 0x05);
    out8(t->f, 0x60, 0xff);
    assert_string_equal(drain(t), "fa aa ");
    out8(t->f, 0x60, 0xf2);
    assert_string_equal(drain(t), "fa ab 83 ");
    out8(t->f, 0x60, 0xed);
    assert_string_equal(drain(t), "fa ");
    out8(t->f, 0x60, 0x02);
    assert_string_equal(drain(t), "fa ");
    assert_int_equal(t->kbd.kbd.leds, 2);
    out8(t->f, 0x60, 0xfe);
    assert_string_equal(drain(t), "fa ");
    out8(t->f, 0x60, 0xee);
    assert_string_equal(drain(t), "ee ");
    out8(t->f, 0x60, 0xf0);
    out8(t->f, 0x60, 0x00);
    assert_string_equal(drain(t), "fa fa 02 ");
    out8(t->f, 0x60, 0x01);
    assert_string_equal(drain(t), "fe ");
}

/* Set 3: one code a key; types say what repeats and what tells of its release. */
static void scan_code_set_3(void **state)
{
    struct kbd_test *t = *state;

    mode(t, 0x05);
    out8(t->f, 0x60, 0xf0);
    out8(t->f, 0x60, 3);
    assert_string_equal(drain(t), "fa fa ");
    out8(t->f, 0x60, 0xf0);
    out8(t->f, 0x60, 0);
    assert_string_equal(drain(t), "fa fa 03 ");
    t->kbd.input.key(t->kbd.input.opaque, KEY_A, true);
    key(t, KEY_A); /* repeats, and its release is not told */
    assert_string_equal(drain(t), "1c 1c ");
    key(t, KEY_LEFTSHIFT);
    assert_string_equal(drain(t), "12 f0 12 ");
    t->kbd.input.key(t->kbd.input.opaque, KEY_F1, true);
    key(t, KEY_F1); /* comes once */
    key(t, KEY_RIGHTCTRL);
    key(t, KEY_PAUSE);
    key(t, KEY_102ND);
    key(t, KEY_HOME);
    key(t, KEY_SYSRQ);
    assert_string_equal(drain(t), "07 58 62 13 6e 57 ");
    out8(t->f, 0x60, 0xf8); /* all of them make and break, as Linux wants it */
    assert_string_equal(drain(t), "fa ");
    key(t, KEY_A);
    key(t, KEY_KPENTER);
    assert_string_equal(drain(t), "1c f0 1c 79 f0 79 ");
    out8(t->f, 0x60, 0xfd); /* F12: make only; then Enter typematic */
    out8(t->f, 0x60, 0x5e);
    out8(t->f, 0x60, 0xfb);
    out8(t->f, 0x60, 0x5a);
    assert_string_equal(drain(t), "fa fa fa fa ");
    key(t, KEY_F12);
    key(t, KEY_ENTER);
    assert_string_equal(drain(t), "5e 5a ");
    out8(t->f, 0x60, 0xf6);
    key(t, KEY_A);
    assert_string_equal(drain(t), "fa 1c f0 1c "); /* set 2 again */
}

static void scan_codes(void **state)
{
    struct kbd_test *t = *state;

    mode(t, 0x05);
    key(t, KEY_A);
    key(t, KEY_F7);
    assert_string_equal(drain(t), "1c f0 1c 83 f0 83 ");
    key(t, KEY_RIGHT);
    assert_string_equal(drain(t), "e0 74 e0 f0 74 ");
    key(t, KEY_PAUSE);
    assert_string_equal(drain(t), "e1 14 77 e1 f0 14 f0 77 ");
    mode(t, 0x45);
    key(t, KEY_A);
    key(t, KEY_RIGHT);
    key(t, KEY_F7);
    assert_string_equal(drain(t), "1e 9e e0 4d e0 cd 41 c1 ");
    key(t, KEY_SYSRQ);
    assert_string_equal(drain(t), "e0 2a e0 37 e0 b7 e0 aa ");
    key(t, KEY_PAUSE);
    assert_string_equal(drain(t), "e1 1d 45 e1 9d c5 ");
    key(t, 0);
    key(t, 9999);
    assert_string_equal(drain(t), "");
}

static void every_key_survives_the_translation(void **state)
{
    struct kbd_test *t = *state;
    char want[16];

    mode(t, 0x45);
    for (unsigned k = KEY_ESC; k <= KEY_F12; k++) {
        if (k == KEY_ZENKAKUHANKAKU)
            continue;
        key(t, k);
        snprintf(want, sizeof(want), "%02x %02x ", k, k | 0x80);
        if (k != 84)
            assert_string_equal(drain(t), want);
        else
            drain(t);
    }
}

static void interrupts_and_replies_first(void **state)
{
    struct kbd_test *t = *state;
    unsigned rises;

    mode(t, 0x45);
    key(t, KEY_A);
    key(t, KEY_B);
    assert_true(t->f->line[1].level);
    rises = t->f->line[1].rises;
    assert_int_equal(in8(t->f, 0x60), 0x1e);
    assert_int_equal(t->f->line[1].rises, rises + 1); /* an edge for each byte */
    out8(t->f, 0x60, 0xee);
    assert_int_equal(in8(t->f, 0x60), 0x9e); /* was in the output buffer */
    assert_int_equal(in8(t->f, 0x60), 0xee);
    assert_string_equal(drain(t), "30 b0 ");
    command(t, 0xad);
    key(t, KEY_C);
    assert_string_equal(drain(t), "");
    command(t, 0xae);
    assert_string_equal(drain(t), "2e ae ");
}

static void a_stuffed_queue_keeps_whole_keys(void **state)
{
    struct kbd_test *t = *state;

    mode(t, 0x05);
    for (int i = 0; i < 100; i++)
        key(t, KEY_RIGHT);
    out8(t->f, 0x60, 0xf4);
    unsigned n = 0;
    while (in8(t->f, 0x64) & 1) {
        in8(t->f, 0x60);
        n++;
    }
    assert_in_range(n, 10, 40);
}

static void mouse_say(struct kbd_test *t, u8 val)
{
    command(t, 0xd4);
    out8(t->f, 0x60, val);
}

static void mouse(void **state)
{
    struct kbd_test *t = *state;
    struct input_sink *in = &t->kbd.input;

    mode(t, 0x47);
    mouse_say(t, 0xff);
    assert_true(t->f->line[12].level);
    assert_string_equal(drain(t), "fa aa 00 ");
    in->mouse(in->opaque, 5, 5, 0, 0);
    assert_string_equal(drain(t), ""); /* not enabled */
    mouse_say(t, 0xf4);
    assert_string_equal(drain(t), "fa ");
    in->mouse(in->opaque, 5, 3, 0, 1);
    assert_string_equal(drain(t), "29 05 fd ");
    in->mouse(in->opaque, -300, 0, 0, 0);
    assert_string_equal(drain(t), "18 81 00 18 81 00 18 d2 00 ");
    mouse_say(t, 0xe9);
    assert_string_equal(drain(t), "fa 20 02 64 ");
    mouse_say(t, 0xf2);
    assert_string_equal(drain(t), "fa 00 ");
    for (int i = 0; i < 3; i++) {
        mouse_say(t, 0xf3);
        mouse_say(t, (u8[]){200, 100, 80}[i]);
    }
    drain(t);
    mouse_say(t, 0xf2);
    assert_string_equal(drain(t), "fa 03 ");
    in->mouse(in->opaque, 0, 0, -1, 4);
    assert_string_equal(drain(t), "0c 00 00 ff ");
    for (int i = 0; i < 3; i++) {
        mouse_say(t, 0xf3);
        mouse_say(t, (u8[]){200, 200, 80}[i]);
    }
    drain(t);
    mouse_say(t, 0xf2);
    assert_string_equal(drain(t), "fa 04 ");
    in->mouse(in->opaque, 0, 0, 1, 0x10);
    assert_string_equal(drain(t), "08 00 00 21 ");
    mouse_say(t, 0xee); /* wrap */
    mouse_say(t, 0x5a);
    assert_string_equal(drain(t), "fa 5a ");
    mouse_say(t, 0xec);
    assert_string_equal(drain(t), "fa ");
}

static void a20_and_reset(void **state)
{
    struct kbd_test *t = *state;

    assert_true(t->f->line[A20].level);
    command(t, 0xdd);
    assert_false(t->f->line[A20].level);
    command(t, 0xd1);
    out8(t->f, 0x60, 0xdf);
    assert_true(t->f->line[A20].level);
    command(t, 0xd0);
    assert_int_equal(in8(t->f, 0x60) & 3, 3);
    assert_int_equal(t->f->line[RESET].rises, 0);
    command(t, 0xfe);
    assert_int_equal(t->f->line[RESET].rises, 1);
    command(t, 0xff);
    assert_int_equal(t->f->line[RESET].rises, 1);
    out8(t->f, 0x92, 0x00);
    assert_false(t->f->line[A20].level);
    out8(t->f, 0x92, 0x02);
    assert_true(t->f->line[A20].level);
    assert_int_equal(in8(t->f, 0x92), 0x02);
    out8(t->f, 0x92, 0x03);
    assert_int_equal(t->f->line[RESET].rises, 2);
}

static void debug_ports(void **state)
{
    struct kbd_test *t = *state;
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    t->con.out = out;
    assert_int_equal(in8(t->f, 0x402), 0xe9);
    for (const char *s = "hello\n"; *s; s++)
        out8(t->f, 0x402, *s);
    fclose(out);
    assert_string_equal(text, "hello\n");
    free(text);
    t->con.out = NULL;
    t->f->trace.mask = BIT64(TRACE_debugcon);
    t->f->trace.out = fopen("/dev/null", "w");
    for (int i = 0; i < 1000; i++)
        out8(t->f, 0x402, 'x');
    fclose(t->f->trace.out);
    assert_true(t->f->trace.count >= 8);
    out8(t->f, 0xf4, 0x10);
    assert_int_equal(t->code, 0x21);
    out32(t->f, 0xf4, 0x31);
    assert_int_equal(t->code, 0x63);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(controller_tests),
        TEST(keyboard_commands),
        TEST(scan_codes),
        TEST(scan_code_set_3),
        TEST(every_key_survives_the_translation),
        TEST(interrupts_and_replies_first),
        TEST(a_stuffed_queue_keeps_whole_keys),
        TEST(mouse),
        TEST(a20_and_reset),
        TEST(debug_ports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
