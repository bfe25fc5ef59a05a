/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The control socket: conversations over a real socket with a machine that has no processors, a
 * screen of one colour and a keyboard that writes down what is pressed.
 */
#include "control/client.h"
#include "control/control.h"
#include "control/place.h"
#include "ui/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/input-event-codes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static struct vm vm;
static struct display display;
static struct input input;
static struct control *c;
static char folder[64], path[100];
static struct {
    unsigned code;
    bool down;
} pressed[200];
static unsigned npressed;
static unsigned at_x, at_y, at_buttons;
static struct control_call *slow;

static void key(void *opaque, unsigned code, bool down)
{
    if (npressed < ARRAY_SIZE(pressed)) {
        pressed[npressed].code = code;
        pressed[npressed++].down = down;
    }
}

static void pointer(void *opaque, unsigned x, unsigned y, int dz, unsigned buttons)
{
    at_x = x;
    at_y = y;
    at_buttons |= buttons;
}

static void update(void *opaque, struct display *d, bool all)
{
    u32 line[8];
    memset(line, 0x55, sizeof(line));
    if (display_size(d, 8, 4) || all)
        for (u32 y = 0; y < 4; y++)
            display_put(d, 0, y, line, 8);
}

static char *text(void *opaque)
{
    return strdup("C:\\>_\n");
}

static int on_slow(struct control_call *call, struct err *e)
{
    slow = call;
    return CONTROL_PENDING;
}

static const struct control_command more[] = {
    {"x-slow", {{"n", CONTROL_INT}, {"why", CONTROL_STR, true}}, on_slow},
};

static int set_up(void **state)
{
    static const struct display_source src = {.update = update, .text = text};
    static const struct input_sink sink = {.key = key, .pointer = pointer};
    static const char *const name = "/tmp/wirt-control-XXXXXX";
    strcpy(folder, name);
    if (!mkdtemp(folder))
        return -1;
    setenv("XDG_RUNTIME_DIR", folder, 1);
    snprintf(path, sizeof(path), "%s/q", folder);
    npressed = 0;
    slow = NULL;
    display_init(&display, &src);
    input_init(&input, &sink);
    struct control_machine m = {.vm = &vm, .display = &display, .input = &input};
    assert_int_equal(vm_init(&vm, "box", 2 * MIB, NULL), 0);
    assert_int_equal(control_open(&c, &m, NULL), 0);
    control_add(c, more, ARRAY_SIZE(more));
    assert_int_equal(control_listen(c, path, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    char cmd[100];
    control_close(c);
    vm_destroy(&vm);
    display_destroy(&display);
    input_destroy(&input);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(cmd, sizeof(cmd), "%s/wirt", folder);
    rmdir(cmd);
    return rmdir(folder);
}

static int dial(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    strcpy(a.sun_path, path);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    return fd;
}

/* The next line that the machine says, without its end; "" when it hangs up. */
static const char *hear(int fd)
{
    static char line[70000];
    size_t n = 0;
    for (int turns = 0; turns < 4000;) {
        ssize_t r = recv(fd, line + n, 1, 0);
        if (r == 1) {
            if (line[n++] == '\n')
                break;
            assert_true(n < sizeof(line));
        } else if (!r || (r < 0 && errno != EAGAIN)) {
            break;
        } else {
            loop_turn(vm.loop, 1);
            turns++;
        }
    }
    while (n && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    line[n] = 0;
    return line;
}

static void say(int fd, const char *s)
{
    for (size_t n = strlen(s); n;) {
        ssize_t r = send(fd, s, n, MSG_NOSIGNAL);
        if (r > 0) {
            s += r;
            n -= (size_t)r;
        }
        loop_turn(vm.loop, 0);
    }
}

static void expect(int fd, const char *part)
{
    const char *line = hear(fd);
    if (!strstr(line, part))
        fail_msg("\"%s\" is not in \"%.300s\"", part, line);
}

static int negotiated(void)
{
    int fd = dial();
    expect(fd, "{\"QMP\": {\"version\": {\"qemu\": ");
    say(fd, "{\"execute\": \"qmp_capabilities\"}\n");
    expect(fd, "{\"return\": {}}");
    return fd;
}

static void test_conversation(void **state)
{
    int fd = dial();
    expect(fd, "\"capabilities\": []");
    say(fd, "{\"execute\": \"query-status\", \"id\": 1}");
    expect(fd, "Expecting capabilities negotiation");
    say(fd, "{ \"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": [\"oob\"]} }");
    expect(fd, "No such capability");
    say(fd, "{\"execute\": \"qmp_capabilities\", \"arguments\": {\"enable\": []}}");
    expect(fd, "{\"return\": {}}");
    say(fd, "{\"execute\": \"qmp_capabilities\"}");
    expect(fd, "CommandNotFound");
    say(fd, "{\"execute\": \"query-status\", \"id\": {\"a\": [1]}}");
    expect(fd, "{\"return\": {\"running\": true, \"singlestep\": false, \"status\": \"running\"}, "
               "\"id\": {\"a\": [1]}}");
    /* Two in one piece, one in pieces. */
    say(fd, "{\"execute\":\"query-name\"}{\"execute\":\"query-tar");
    expect(fd, "{\"return\": {\"name\": \"box\"}}");
    say(fd, "get\"}\r\n\r\n");
    expect(fd, "x86_64");
    say(fd, "{\"execute\": \"query-commands\"}");
    expect(fd, "{\"name\": \"x-slow\"}");
    close(fd);
}

static void test_errors(void **state)
{
    int fd = negotiated();
    static const struct {
        const char *say, *hear;
    } wrong[] = {
        {"{\"execute\": \"nonsense\"}", "CommandNotFound"},
        {"nonsense {}\n", "JSON parse error"},
        {"{\"execute\": }", "JSON parse error"},
        {"{]", "JSON parse error"},
        {"[1]", "must be a JSON object"},
        {"{}", "lacks member 'execute'"},
        {"{\"execute\": 1}", "must be a string"},
        {"{\"execute\": \"stop\", \"arguments\": []}", "must be an object"},
        {"{\"execute\": \"stop\", \"foo\": 1}", "'foo' is unexpected"},
        {"{\"execute\": \"stop\", \"execute\": \"cont\"}", "JSON parse error"},
        {"{\"execute\": \"stop\", \"arguments\": {\"a\": 1}}", "'a' is unexpected"},
        {"{\"exec-oob\": \"stop\"}", "out-of-band"},
        {"{\"execute\": \"x-slow\"}", "'n' is missing"},
        {"{\"execute\": \"x-slow\", \"arguments\": {\"n\": \"1\"}}", "expected: integer"},
        {"{\"execute\": \"system_powerdown\"}", "no power button"},
        {"{\"execute\": \"send-key\", \"arguments\": {\"keys\": []}}", "1 to 16"},
        {"{\"execute\": \"x-type\", \"arguments\": {\"text\": \"\\u00e4\"}}", "no key"},
    };
    for (unsigned i = 0; i < ARRAY_SIZE(wrong); i++) {
        say(fd, wrong[i].say);
        expect(fd, wrong[i].hear);
    }
    for (unsigned i = 0; i < 40; i++)
        say(fd, "[");
    expect(fd, "too deeply nested");
    say(fd, "\n");
    char *big = malloc(70001);
    memset(big, 'x', 70000);
    memcpy(big, "{\"", 2);
    big[70000] = 0;
    say(fd, big);
    free(big);
    expect(fd, "too long");
    say(fd, "\n{\"execute\": \"query-name\"}");
    expect(fd, "box");
    close(fd);
}

static void test_events(void **state)
{
    int fd = negotiated(), other = negotiated(), silent = dial();
    expect(silent, "QMP");
    say(fd, "{\"execute\": \"stop\"}");
    expect(fd, "\"event\": \"STOP\"}");
    expect(fd, "return");
    expect(other, "\"STOP\"");
    say(fd, "{\"execute\": \"query-status\"}");
    expect(fd, "\"status\": \"paused\"");
    say(fd, "{\"execute\": \"x-type\", \"arguments\": {\"text\": \"a\"}}");
    expect(fd, "paused");
    say(fd, "{\"execute\": \"system_reset\"}");
    expect(fd, "return");
    expect(fd, "\"data\": {\"guest\": false, \"reason\": \"host-qmp-system-reset\"}");
    assert_true(vm.paused);
    vm_request_reset(&vm);
    expect(fd, "\"data\": {\"guest\": true, \"reason\": \"guest-reset\"}");
    say(fd, "{\"execute\": \"cont\"}");
    expect(fd, "\"RESUME\"");
    expect(fd, "return");
    say(silent, "{\"execute\": \"qmp_capabilities\"}");
    expect(silent, "{\"return\": {}}"); /* nothing came before */
    say(fd, "{\"execute\": \"quit\"}");
    expect(fd, "return");
    assert_int_equal(vm.end, VM_QUIT);
    vm.watchers->fn(vm.watchers->opaque, VM_EVENT_END);
    expect(fd, "{\"guest\": false, \"reason\": \"host-qmp-quit\"}");
    close(fd);
    close(other);
    close(silent);
}

static void test_pending(void **state)
{
    const struct err why = {EIO, "the reason"};
    int fd = negotiated(), other = negotiated();
    say(fd,
        "{\"execute\": \"x-slow\", \"arguments\": {\"n\": 7}, \"id\": 1}{\"execute\": \"stop\"}");
    loop_turn(vm.loop, 5);
    assert_non_null(slow);
    assert_int_equal(control_int(slow, "n", 0), 7);
    assert_string_equal(control_str(slow, "why", "none"), "none");
    say(other, "{\"execute\": \"query-status\"}");
    expect(other, "\"running\"");
    assert_false(vm.paused); /* fd's stop waits */
    control_return(slow, json_pack("{s:i}", "is", 8));
    control_done(slow, NULL);
    expect(fd, "{\"return\": {\"is\": 8}, \"id\": 1}");
    expect(fd, "STOP");
    expect(fd, "return");
    say(fd, "{\"execute\": \"x-slow\", \"arguments\": {\"n\": 7}}");
    loop_turn(vm.loop, 5);
    control_done(slow, &why);
    expect(fd, "\"desc\": \"the reason\"");
    /* The client goes, the command ends after it. */
    say(fd, "{\"execute\": \"x-slow\", \"arguments\": {\"n\": 7}}");
    loop_turn(vm.loop, 5);
    close(fd);
    loop_turn(vm.loop, 5);
    loop_turn(vm.loop, 5);
    control_done(slow, NULL);
    /* One is still under way when the machine ends. */
    say(other, "{\"execute\": \"x-slow\", \"arguments\": {\"n\": 7}}");
    loop_turn(vm.loop, 5);
    close(other);
}

static void test_input(void **state)
{
    static const u16 want[] = {KEY_LEFTSHIFT, KEY_H, KEY_H, KEY_LEFTSHIFT, KEY_I, KEY_I};
    int fd = negotiated();
    say(fd, "{\"execute\": \"x-type\", \"arguments\": {\"text\": \"Hi\"}}");
    expect(fd, "{\"return\": {}}");
    assert_int_equal(npressed, ARRAY_SIZE(want));
    for (unsigned i = 0; i < npressed; i++)
        assert_int_equal(pressed[i].code, want[i]);
    npressed = 0;
    say(fd, "{\"execute\": \"send-key\", \"arguments\": {\"hold-time\": 1, \"keys\": [{\"type\": "
            "\"qcode\", \"data\": \"ctrl\"}, {\"type\": \"number\", \"data\": 211}]}}");
    expect(fd, "{\"return\": {}}");
    assert_int_equal(npressed, 4);
    assert_int_equal(pressed[1].code, KEY_DELETE);
    assert_true(pressed[1].down);
    assert_int_equal(pressed[3].code, KEY_LEFTCTRL);
    assert_false(pressed[3].down);
    say(fd,
        "{\"execute\": \"input-send-event\", \"arguments\": {\"events\": [{\"type\": \"abs\", "
        "\"data\": {\"axis\": \"x\", \"value\": 100}}, {\"type\": \"abs\", \"data\": {\"axis\": "
        "\"y\", \"value\": 32767}}, {\"type\": \"btn\", \"data\": {\"button\": \"left\", "
        "\"down\": true}}]}}");
    expect(fd, "{\"return\": {}}");
    assert_int_equal(at_x, 100);
    assert_int_equal(at_y, 32767);
    assert_int_equal(at_buttons, INPUT_LEFT);
    say(fd, "{\"execute\": \"input-send-event\", \"arguments\": {\"events\": [{\"type\": \"abs\", "
            "\"data\": {\"axis\": \"x\", \"value\": 1}}, {\"type\": \"abs\", \"data\": {\"axis\": "
            "\"y\", \"value\": 32768}}]}}");
    expect(fd, "out of range");
    assert_int_equal(at_x, 100);
    say(fd, "{\"execute\": \"x-mouse\", \"arguments\": {\"x\": 7, \"y\": 0}}");
    expect(fd, "{\"return\": {}}");
    assert_int_equal(at_x * 8 / (INPUT_ABS_MAX + 1), 7);
    assert_int_equal(at_y * 4 / (INPUT_ABS_MAX + 1), 0);
    say(fd, "{\"execute\": \"x-mouse\", \"arguments\": {\"x\": 8, \"y\": 0}}");
    expect(fd, "not on the screen");
    /* A pause in the middle of typing ends it; no key stays down. */
    npressed = 0;
    say(fd, "{\"execute\": \"x-type\", \"arguments\": {\"text\": \"AAAAAAAAAAAAAAAAAAAAAAAAA\"}}");
    for (unsigned i = 0; i < 1000 && npressed < 2; i++)
        loop_turn(vm.loop, 2);
    vm_pause(&vm);
    assert_false(pressed[npressed - 1].down);
    expect(fd, "was paused");
    close(fd);
}

static void test_screen(void **state)
{
    int fd = negotiated();
    char file[100], cmd[300];
    struct stat st;
    snprintf(file, sizeof(file), "%s/shot", folder);
    snprintf(cmd, sizeof(cmd),
             "{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"%s\"}}", file);
    say(fd, cmd);
    expect(fd, "{\"return\": {}}");
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_size, 11 + 8 * 4 * 3); /* PPM */
    unlink(file);
    say(fd, "{\"execute\": \"screendump\", \"arguments\": {\"filename\": \"/no/such\"}}");
    expect(fd, "/no/such");
    say(fd, "{\"execute\": \"x-screen-text\"}");
    expect(fd, "{\"text\": \"C:\\\\>_\\n\"}");
    close(fd);
}

/* A client that asks and never listens is dropped; the others do not notice. */
static void test_deaf(void **state)
{
    static char many[4000];
    int deaf = negotiated(), fd = negotiated();
    for (size_t n = 0; n < sizeof(many) - 40; n = strlen(many))
        strcpy(many + n, "{\"execute\":\"query-commands\"}");
    bool dropped = false;
    for (unsigned i = 0; i < 3000 && !dropped; i++) {
        dropped = send(deaf, many, strlen(many), MSG_NOSIGNAL) < 0 && errno == EPIPE;
        loop_turn(vm.loop, 0);
    }
    say(fd, "{\"execute\": \"query-name\"}");
    expect(fd, "box");
    close(fd);
    close(deaf);
}

static void test_names(void **state)
{
    struct control *twin;
    struct control_machine m = {.vm = &vm};
    struct err e = {0};
    char sock[PLACE_PATH_MAX];
    struct stat st;
    assert_int_equal(control_listen_name(c, "box", &e), 0);
    assert_int_equal(place_path(sock, "box", ".sock", NULL), 0);
    assert_int_equal(stat(sock, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(control_open(&twin, &m, NULL), 0);
    assert_int_equal(control_listen_name(twin, "box", &e), -EEXIST);
    assert_non_null(strstr(e.msg, "\"box\""));
    control_close(twin);
    assert_int_equal(stat(sock, &st), 0); /* the first's is still there */
    assert_int_equal(place_check_name("a/b", &e), -EINVAL);
    assert_int_equal(place_check_name(".hidden", &e), -EINVAL);
    assert_int_equal(place_check_name("", &e), -EINVAL);
    assert_int_equal(place_check_name("caf\xc3\xa9 1", &e), 0);
    struct qmp_client *cl;
    assert_int_equal(qmp_connect(&cl, "nobody", &e), -ENOENT);
}

/* What a machine that died left behind is taken over. */
static void test_stale(void **state)
{
    char sock[PLACE_PATH_MAX], dir[PLACE_PATH_MAX];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    assert_int_equal(place_folder(dir, true, NULL), 0);
    assert_int_equal(place_path(sock, "box", ".sock", NULL), 0);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(a.sun_path, sock);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    close(fd);
    snprintf(dir, sizeof(dir), "%s/wirt/box.lock", folder);
    close(open(dir, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(control_listen_name(c, "box", NULL), 0);
}

static void test_folder(void **state)
{
    char dir[PLACE_PATH_MAX];
    struct err e;
    assert_int_equal(place_folder(dir, true, &e), 0);
    assert_int_equal(chmod(dir, 0755), 0);
    assert_int_equal(place_folder(dir, true, &e), -EPERM);
    assert_non_null(strstr(e.msg, dir));
}

static void test_keys(void **state)
{
    const char *names[8], *bad;
    char combo[] = "Ctrl-alt-F2", dash[] = "shift--", none[] = "ctrl-foo", win[] = "win";
    assert_int_equal(keys_parse(names, 8, combo, &bad), 3);
    assert_string_equal(names[0], "ctrl");
    assert_int_equal(key_by_name(names[2]), KEY_F2);
    assert_int_equal(keys_parse(names, 8, dash, &bad), 2);
    assert_string_equal(names[1], "minus");
    assert_int_equal(keys_parse(names, 8, win, &bad), 1);
    assert_string_equal(names[0], "meta_l");
    assert_int_equal(keys_parse(names, 8, none, &bad), -EINVAL);
    assert_string_equal(bad, "foo");
    assert_int_equal(key_by_xt(0xc8), KEY_UP);
    assert_int_equal(key_by_xt(0x1e), KEY_A);
    assert_int_equal(key_by_keysym('A'), KEY_A);
    assert_int_equal(key_by_keysym('%'), KEY_5);
    assert_int_equal(key_by_keysym(0xff0d), KEY_ENTER);
    assert_int_equal(key_by_keysym(0xffc9), KEY_F12);
    assert_int_equal(key_by_keysym(0x1234567), 0);
    assert_int_equal(key_by_name("nokey"), 0);
}

int main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_conversation),
        TEST(test_errors),
        TEST(test_events),
        TEST(test_pending),
        TEST(test_input),
        TEST(test_screen),
        TEST(test_deaf),
        TEST(test_names),
        TEST(test_stale),
        TEST(test_folder),
        cmocka_unit_test(test_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
