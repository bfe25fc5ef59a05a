/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target over the files of one or more folders, without libFuzzer: the corpus as a
 * plain test.  Also runs it on some thousand made-up inputs from a fixed seed, so that a target
 * whose corpus is empty is not a test that cannot fail.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#ifndef RANDOM_RUNS
#define RANDOM_RUNS 2000 /* fewer where each takes long */
#endif

enum { INPUT_MAX = 1 << 20 };

static int run_file(const char *path, uint8_t *buf)
{
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f) {
        perror(path);
        return 1;
    }
    n = fread(buf, 1, INPUT_MAX, f);
    fclose(f);
    LLVMFuzzerTestOneInput(buf, n);
    return 0;
}

static unsigned run_folder(const char *folder, uint8_t *buf)
{
    DIR *d = opendir(folder);
    struct dirent *de;
    char path[4096];
    unsigned n = 0;

    if (!d)
        return 0;
    while ((de = readdir(d))) {
        if (de->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", folder, de->d_name);
        if (run_file(path, buf))
            exit(1);
        n++;
    }
    closedir(d);
    return n;
}

int main(int argc, char **argv)
{
    uint8_t *buf = malloc(INPUT_MAX);
    unsigned files = 0;
    uint64_t s = 88172645463325252ull;

    if (!buf)
        return 1;
    for (int i = 1; i < argc; i++)
        files += run_folder(argv[i], buf);
    for (int run = 0; run < RANDOM_RUNS; run++) {
        size_t n = (size_t)run % 512;
        for (size_t k = 0; k < n; k++) {
            s ^= s << 13;
            s ^= s >> 7;
            s ^= s << 17;
            buf[k] = (uint8_t)(s >> 32);
        }
        LLVMFuzzerTestOneInput(buf, n);
    }
    printf("%u corpus files, %d random inputs\n", files, RANDOM_RUNS);
    free(buf);
    return 0;
}
