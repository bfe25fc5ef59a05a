/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Subcommands that act on a running machine through its control socket.
 */
#include "board/snapshots.h"
#include "cli/cli.h"
#include "cli/options.h"
#include "control/client.h"
#include "control/place.h"
#include "ui/keys.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CALL_MS = 30000, KEYS_MAX = 16 };

static int failed(const struct err *e)
{
    fprintf(stderr, "wirt: %s\n", e->msg);
    return CLI_ERROR;
}

static const struct cli_command *command_of(const char *name)
{
    const struct cli_command *c = cli_commands;
    while (strcmp(c->name, name))
        c++;
    return c;
}

/* min to max arguments behind the subcommand's name; usage otherwise. */
static bool check_count(int argc, char **argv, int least, int most)
{
    const struct cli_command *c = command_of(argv[0]);
    bool help = argc > 1 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"));
    if (!help && argc - 1 >= least && argc - 1 <= most)
        return true;
    fprintf(help ? stdout : stderr, "usage: wirt %s %s\n\n%s.%s%s\n", c->name, c->args, c->help,
            *c->more ? "\n" : "", c->more);
    return false;
}

/* One command to one machine. */
static int call(const char *machine, const char *command, json_t *args, json_t **ret, int timeout,
                struct err *e)
{
    struct qmp_client *c;
    int r = qmp_connect(&c, machine, e);
    if (r) {
        json_decref(args);
        return r;
    }
    r = qmp_call(c, command, args, ret, timeout, e);
    qmp_disconnect(c);
    return r;
}

static void list_name(void *opaque, const char *name)
{
    puts(name);
}

static void list_machine(void *opaque, const char *name)
{
    struct err e = {0};
    json_t *ret = NULL;
    const char *status = "does not answer";
    if (!call(name, "query-status", NULL, &ret, 3000, &e))
        status = json_string_value(json_object_get(ret, "status"));
    printf("%-32s %s\n", name, status ? status : "?");
    json_decref(ret);
}

int cli_list(int argc, char **argv)
{
    struct err e = {0};
    bool names = argc == 2 && !strcmp(argv[1], "--names");
    if (!check_count(argc, argv, 0, names))
        return CLI_ERROR;
    return place_list(names ? list_name : list_machine, NULL, &e) ? failed(&e) : CLI_OK;
}

/* Subcommands that are a command of QMP without arguments. */
int cli_life(int argc, char **argv)
{
    static const struct {
        const char *name, *command;
    } names[] = {{"stop", "stop"},
                 {"cont", "cont"},
                 {"reset", "system_reset"},
                 {"powerdown", "system_powerdown"},
                 {"quit", "quit"}};
    struct err e = {0};
    struct qmp_client *c;
    unsigned i = 0;
    if (!check_count(argc, argv, 1, 1))
        return CLI_ERROR;
    while (strcmp(names[i].name, argv[0]))
        i++;
    int r = qmp_connect(&c, argv[1], &e);
    if (r)
        return failed(&e);
    r = qmp_call(c, names[i].command, NULL, NULL, CALL_MS, &e);
    if (!r && !strcmp(argv[0], "quit"))
        r = qmp_wait_end(c, CALL_MS, &e); /* its disks are free again then */
    qmp_disconnect(c);
    return r ? failed(&e) : CLI_OK;
}

/* A path as the machine's process needs it, which may live in another folder. */
static void absolute(const char *path, char *out, size_t size)
{
    char here[PATH_MAX];
    if (*path == '/' || !getcwd(here, sizeof(here)))
        *here = 0;
    snprintf(out, size, "%s%s%s", here, *here ? "/" : "", path);
}

int cli_save(int argc, char **argv)
{
    struct err e = {0};
    struct qmp_client *c;
    char path[PATH_MAX * 2];
    bool keep = argc == 4 && !strcmp(argv[3], "--keep-running");
    if (!check_count(argc, argv, 2, keep ? 3 : 2))
        return CLI_ERROR;
    absolute(argv[2], path, sizeof(path));
    int r = qmp_connect(&c, argv[1], &e);
    if (r)
        return failed(&e);
    r = qmp_call(c, "x-save", json_pack("{s:s, s:b}", "filename", path, "keep-running", keep), NULL,
                 -1, &e);
    if (!r && !keep)
        r = qmp_wait_end(c, CALL_MS, &e); /* its disks are free again then */
    qmp_disconnect(c);
    return r ? failed(&e) : CLI_OK;
}

int cli_snapshot(int argc, char **argv)
{
    struct err e = {0};
    bool forget = argc == 4 && !strcmp(argv[3], "--delete");
    if (!check_count(argc, argv, 2, forget ? 3 : 2))
        return CLI_ERROR;
    return call(argv[1], forget ? "x-snapshot-delete" : "x-snapshot",
                json_pack("{s:s}", "tag", argv[2]), NULL, -1, &e)
               ? failed(&e)
               : CLI_OK;
}

int cli_restore(int argc, char **argv)
{
    struct err e = {0};
    if (!check_count(argc, argv, 2, 2))
        return CLI_ERROR;
    return call(argv[1], "x-restore", json_pack("{s:s}", "tag", argv[2]), NULL, -1, &e) ? failed(&e)
                                                                                        : CLI_OK;
}

static void print_snapshot(const char *tag, s64 seconds, u64 size)
{
    time_t t = (time_t)seconds;
    char date[40] = "?";
    struct tm tm;
    if (localtime_r(&t, &tm))
        strftime(date, sizeof(date), "%Y-%m-%d %H:%M:%S", &tm);
    printf("%-32s %s %8llu MiB\n", tag, date, (unsigned long long)(size + MIB - 1) / MIB);
}

/* Those of a machine that does not run are in its folder all the same. */
int cli_snapshots(int argc, char **argv)
{
    struct err e = {0};
    struct snapshot *l;
    json_t *ret = NULL, *v;
    unsigned n;
    size_t k;
    if (!check_count(argc, argv, 1, 1))
        return CLI_ERROR;
    int r = call(argv[1], "x-snapshots", NULL, &ret, CALL_MS, &e);
    if (r == -ENOENT && !strchr(argv[1], '/')) {
        if (snapshot_list(argv[1], &l, &n, &e))
            return failed(&e);
        for (unsigned i = 0; i < n; i++)
            print_snapshot(l[i].tag, l[i].seconds, l[i].size);
        free(l);
        return CLI_OK;
    }
    json_array_foreach(ret, k, v)
        print_snapshot(json_string_value(json_object_get(v, "tag")),
                       json_integer_value(json_object_get(v, "date-sec")),
                       (u64)json_integer_value(json_object_get(v, "size")));
    json_decref(ret);
    return r ? failed(&e) : CLI_OK;
}

int cli_screenshot(int argc, char **argv)
{
    struct err e = {0};
    char path[PATH_MAX * 2];
    if (!check_count(argc, argv, 2, 2))
        return CLI_ERROR;
    absolute(argv[2], path, sizeof(path));
    size_t n = strlen(path);
    const char *format = n > 4 && !strcasecmp(path + n - 4, ".ppm") ? "ppm" : "png";
    json_t *args = json_pack("{s:s, s:s}", "filename", path, "format", format);
    return call(argv[1], "screendump", args, NULL, CALL_MS, &e) ? failed(&e) : CLI_OK;
}

int cli_screen_text(int argc, char **argv)
{
    struct err e = {0};
    json_t *ret = NULL;
    if (!check_count(argc, argv, 1, 1))
        return CLI_ERROR;
    if (call(argv[1], "x-screen-text", NULL, &ret, CALL_MS, &e))
        return failed(&e);
    const char *text = json_string_value(json_object_get(ret, "text"));
    fputs(text ? text : "", stdout);
    json_decref(ret);
    return CLI_OK;
}

/* Becomes wirt-view, the one beside this program before others. */
int cli_view(int argc, char **argv)
{
    struct err e = {0};
    char path[PLACE_PATH_MAX], program[PATH_MAX + 16];
    if (!check_count(argc, argv, 1, 1))
        return CLI_ERROR;
    if (strchr(argv[1], '/'))
        snprintf(path, sizeof(path), "%s", argv[1]);
    else if (place_path(path, argv[1], ".vnc", &e))
        return failed(&e);
    if (access(path, F_OK)) {
        err_set(&e, ENOENT,
                "no machine called \"%s\" with a screen runs; \"wirt list\" shows those "
                "that do",
                argv[1]);
        return failed(&e);
    }
    char *const args[] = {"wirt-view", "--title", argv[1], path, NULL};
    ssize_t n = readlink("/proc/self/exe", program, PATH_MAX);
    program[max(n, (ssize_t)0)] = 0;
    char *slash = strrchr(program, '/');
    if (slash) {
        strcpy(slash + 1, "wirt-view");
        execv(program, args);
    }
    execvp("wirt-view", args);
    err_set(&e, errno, "wirt-view: %s (it is built where libsdl2-dev is)", strerror(errno));
    return failed(&e);
}

/* "\n", "\t", "\e", "\\" as one types them in a shell's quotes. */
static void unescape(char *s)
{
    char *out = s;
    for (; *s; s++) {
        if (*s == '\\' && s[1] && strchr("nte\\", s[1])) {
            s++;
            *out++ = *s == 'n' ? '\n' : *s == 't' ? '\t' : *s == 'e' ? '\033' : '\\';
        } else {
            *out++ = *s;
        }
    }
    *out = 0;
}

int cli_type(int argc, char **argv)
{
    struct err e = {0};
    if (!check_count(argc, argv, 2, 2))
        return CLI_ERROR;
    unescape(argv[2]);
    return call(argv[1], "x-type", json_pack("{s:s}", "text", argv[2]), NULL, -1, &e) ? failed(&e)
                                                                                      : CLI_OK;
}

static json_t *keys_json(char *text, struct err *e)
{
    const char *names[KEYS_MAX], *bad = text;
    int n = keys_parse(names, KEYS_MAX, text, &bad);
    if (n == -E2BIG)
        err_set(e, EINVAL, "more than %d keys at once", KEYS_MAX);
    else if (n < 0)
        err_set(e, EINVAL, "\"%s\" is no key", bad);
    if (n < 0)
        return NULL;
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "type", "qcode", "data", names[i]));
    return json_pack("{s:o}", "keys", list);
}

int cli_key(int argc, char **argv)
{
    struct err e = {0};
    struct qmp_client *c;
    if (!check_count(argc, argv, 2, INT_MAX))
        return CLI_ERROR;
    int r = qmp_connect(&c, argv[1], &e);
    if (r)
        return failed(&e);
    for (int i = 2; !r && i < argc; i++) {
        json_t *args = keys_json(argv[i], &e);
        r = args ? qmp_call(c, "send-key", args, NULL, CALL_MS, &e) : -EINVAL;
    }
    qmp_disconnect(c);
    return r ? failed(&e) : CLI_OK;
}

static bool number(const char *s, json_int_t *v)
{
    char *end;
    *v = strtol(s, &end, 10);
    return *s && !*end;
}

int cli_mouse(int argc, char **argv)
{
    static const struct {
        const char *word, *button;
        int down; /* -1 = down and up */
    } acts[] = {{"move", NULL, -1},           {"click", "left", -1},
                {"right-click", "right", -1}, {"middle-click", "middle", -1},
                {"press", "left", 1},         {"release", "left", 0}};
    struct err e = {0};
    json_int_t x, y;
    unsigned act = 0;
    if (!check_count(argc, argv, 3, 4))
        return CLI_ERROR;
    if (!number(argv[2], &x) || !number(argv[3], &y)) {
        err_set(&e, EINVAL, "%s %s: two numbers of pixels are wanted", argv[2], argv[3]);
        return failed(&e);
    }
    while (argc == 5 && act < ARRAY_SIZE(acts) && strcmp(acts[act].word, argv[4]))
        act++;
    if (act == ARRAY_SIZE(acts)) {
        err_set(&e, EINVAL,
                "\"%s\": click, right-click, middle-click, press, release and move are known",
                argv[4]);
        return failed(&e);
    }
    json_t *args = json_pack("{s:I, s:I}", "x", x, "y", y);
    if (acts[act].button)
        json_object_set_new(args, "button", json_string(acts[act].button));
    if (acts[act].down >= 0)
        json_object_set_new(args, "down", json_boolean(acts[act].down));
    return call(argv[1], "x-mouse", args, NULL, CALL_MS, &e) ? failed(&e) : CLI_OK;
}

/* Any command; the reply as JSON. */
int cli_qmp(int argc, char **argv)
{
    struct err e = {0};
    json_error_t why;
    json_t *args = NULL, *ret = NULL;
    if (!check_count(argc, argv, 2, 3))
        return CLI_ERROR;
    if (argc == 4 && !(args = json_loads(argv[3], 0, &why))) {
        err_set(&e, EINVAL, "%s: %s", argv[3], why.text);
        return failed(&e);
    }
    if (call(argv[1], argv[2], args, &ret, -1, &e))
        return failed(&e);
    json_dumpf(ret, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
    json_decref(ret);
    return CLI_OK;
}
