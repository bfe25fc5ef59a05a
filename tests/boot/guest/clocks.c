/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clocks SECONDS: runs as root inside a guest and reads every time source of the PC twice, SECONDS
 * apart, straight from the hardware: TSC, HPET, ACPI PM timer, RTC, and the kernel's clock, which
 * ticks by the local APIC's timer.  Prints how long each says it was, one "name seconds" a line.
 *
 * The TSC's rate comes from the HPET over the first tenth; the PIT's rate is counted on channel 2
 * over one of its wraps.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/io.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

enum {
    HPET_BASE = 0xfed00000,
    HPET_CAP = 0,
    HPET_CONFIG = 0x10,
    HPET_COUNTER = 0xf0,
    PIT_HZ = 1193182,
    PM_HZ = 3579545
};

static volatile uint8_t *hpet;
static unsigned pm_port;

static uint64_t hpet_now(void)
{
    return *(volatile uint64_t *)(hpet + HPET_COUNTER);
}

static double hpet_period(void)
{
    return (double)(*(volatile uint64_t *)(hpet + HPET_CAP) >> 32) * 1e-15;
}

static double monotonic(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC_RAW, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static unsigned cmos(unsigned reg)
{
    outb((unsigned char)reg, 0x70);
    return inb(0x71);
}

/* A CMOS number as status register B says it is coded. */
static unsigned decode(unsigned v)
{
    return cmos(11) & 4 ? v : (v >> 4) * 10 + (v & 15);
}

static unsigned rtc_seconds(void)
{
    while (cmos(10) & 0x80)
        ;
    return decode(cmos(0)) + 60 * decode(cmos(2));
}

/* Waits for the RTC's next second, so that it counts whole ones. */
static unsigned rtc_edge(void)
{
    unsigned s = rtc_seconds(), n;

    while ((n = rtc_seconds()) == s)
        usleep(500);
    return n;
}

/*
 * How long PIT channel 2 takes for 65535 of its ticks by its own rate, against what the HPET says.
 * Whoever takes the processor away in between makes a try worthless: the one with the least doubt
 * about when it started and ended counts.
 */
static double pit_against_hpet(void)
{
    double best = 1e9, ratio = 0;

    for (int try = 0; try < 12; try++) {
        uint64_t a, b, before, after;

        outb((unsigned char)((inb(0x61) & ~3u) | 1), 0x61);
        outb(0xb0, 0x43); /* channel 2, low and high byte, mode 0 */
        outb(0xff, 0x42);
        a = hpet_now();
        outb(0xff, 0x42);
        b = before = after = hpet_now();
        for (unsigned n = 0; n < 100000000; n++) {
            before = after;
            if (inb(0x61) & 0x20)
                break;
            after = hpet_now();
        }
        after = hpet_now();
        double doubt = (double)((b - a) + (after - before));
        if (doubt < best) {
            best = doubt;
            ratio = 65535.0 / PIT_HZ / ((double)(before + after - a - b) / 2 * hpet_period());
        }
    }
    return ratio;
}

int main(int argc, char **argv)
{
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
    int fd = open("/dev/mem", O_RDWR | O_SYNC);
    double pit;

    pm_port = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : 0x608;
    if (iopl(3) || fd < 0) {
        perror("iopl, /dev/mem");
        return 1;
    }
    hpet = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, HPET_BASE);
    if (hpet == MAP_FAILED) {
        perror("HPET");
        return 1;
    }
    *(volatile uint64_t *)(hpet + HPET_CONFIG) |= 1;
    pit = pit_against_hpet();

    unsigned r0 = rtc_edge();
    double m0 = monotonic();
    uint64_t t0 = __rdtsc(), h0 = hpet_now();
    uint32_t p0 = inl((unsigned short)pm_port), p = p0;
    uint64_t pm = 0;
    struct timespec nap = {0, 100 * 1000 * 1000};
    double tsc_hz = 0;

    while (monotonic() - m0 < seconds - 0.5) {
        nanosleep(&nap, NULL);
        uint32_t now = inl((unsigned short)pm_port);
        pm += (now - p) & 0xffffff;
        p = now;
        if (!tsc_hz && monotonic() - m0 > seconds / 10.0)
            tsc_hz = (double)(__rdtsc() - t0) / ((double)(hpet_now() - h0) * hpet_period());
    }
    unsigned r1 = rtc_edge();
    double m1 = monotonic();
    uint64_t t1 = __rdtsc(), h1 = hpet_now();
    uint32_t now = inl((unsigned short)pm_port);

    pm += (now - p) & 0xffffff;
    printf("clock hpet %.6f\n", (double)(h1 - h0) * hpet_period());
    printf("clock tsc %.6f\n", (double)(t1 - t0) / tsc_hz);
    printf("clock pm %.6f\n", (double)pm / PM_HZ);
    printf("clock kernel %.6f\n", m1 - m0);
    printf("clock rtc %.6f\n", (double)((r1 + 3600 - r0) % 3600));
    printf("clock pit %.6f\n", (double)(h1 - h0) * hpet_period() * pit);
    return 0;
}
