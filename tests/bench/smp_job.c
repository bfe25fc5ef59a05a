/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A fixed amount of integer work; prints the seconds that it took. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    static uint32_t table[1 << 14];
    long rounds = argc > 1 ? atol(argv[1]) : 40;
    uint32_t x = 1;
    double start = now();

    for (long r = 0; r < rounds; r++) {
        for (unsigned i = 0; i < 1 << 20; i++) {
            x = x * 1664525 + 1013904223;
            table[x >> 18] += x ^ i;
        }
    }
    printf("job %.4f %x\n", now() - start, table[x >> 18]);
    return 0;
}
