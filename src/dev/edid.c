/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EDID 1.4: the base block, with the preferred mode and the largest one as detailed timings and a
 * range of usual modes as established and standard timings.  Detailed timings are those of CVT with
 * reduced blanking (VESA Coordinated Video Timings 1.1): 160 pixels of horizontal blanking, at
 * least 460 us of vertical, 60 Hz.
 */
#include "dev/edid.h"

#include "base/endian.h"

#include <string.h>

enum {
    H_BLANK = 160,
    H_FRONT = 48,
    H_SYNC = 32,
    V_FRONT = 3,
    V_BACK_MIN = 6,
    HZ = 60,
    BLANK_US = 460,
    DPI = 96,

    AT_DETAILED = 54, /* four descriptors of 18 bytes */
    DESCRIPTOR = 18,
};

/* The 4-bit sync width in lines that names the aspect ratio (CVT, table 3-2). */
static u32 v_sync(u32 w, u32 h)
{
    if (h * 4 / 3 == w)
        return 4;
    if (h * 16 / 9 == w)
        return 5;
    if (h * 16 / 10 == w)
        return 6;
    return h * 5 / 4 == w || h * 15 / 9 == w ? 7 : 10;
}

static u32 millimetres(u32 pixels)
{
    return min(pixels * 254 / (DPI * 10), 4095u);
}

static void detailed(u8 *p, u32 w, u32 h)
{
    u32 sync = v_sync(w, h);
    /* Lines in 460 us: the frame's time less 460 us is what h lines have. */
    u32 blank = BLANK_US * HZ * h / (1000000 - BLANK_US * HZ) + 1;
    u32 mm_w = millimetres(w), mm_h = millimetres(h);

    blank = max(blank, V_FRONT + sync + V_BACK_MIN);
    u32 clock = (w + H_BLANK) * (h + blank) * HZ / 10000; /* in 10 kHz, in steps of 250 kHz */
    le16_put(p, (u16)min(clock / 25 * 25, 0xffffu));
    p[2] = (u8)w;
    p[3] = H_BLANK;
    p[4] = (u8)(w >> 8 << 4);
    p[5] = (u8)h;
    p[6] = (u8)blank;
    p[7] = (u8)(h >> 8 << 4 | blank >> 8);
    p[8] = H_FRONT;
    p[9] = H_SYNC;
    p[10] = (u8)(V_FRONT << 4 | (sync & 0xf));
    p[11] = 0;
    p[12] = (u8)mm_w;
    p[13] = (u8)mm_h;
    p[14] = (u8)(mm_w >> 8 << 4 | mm_h >> 8);
    p[17] = 0x1a; /* digital separate sync, horizontal positive, vertical negative */
}

/* Two bytes of a standard timing (3.9) at 60 Hz. */
static void standard(u8 *p, u32 w, u32 h)
{
    u8 aspect = h * 16 == w * 10 ? 0 : h * 4 == w * 3 ? 1 : h * 5 == w * 4 ? 2 : 3;

    p[0] = (u8)(w / 8 - 31);
    p[1] = (u8)(aspect << 6);
}

static void standard_timings(u8 *p, const struct edid_config *c)
{
    static const u16 mode[][2] = {{1920, 1080}, {1920, 1200}, {1680, 1050}, {1600, 1200},
                                  {1440, 900},  {1280, 1024}, {1280, 800},  {1280, 720}};

    for (unsigned i = 0; i < ARRAY_SIZE(mode); i++) {
        p[2 * i] = p[2 * i + 1] = 1; /* unused */
        if (mode[i][0] <= c->max_width && mode[i][1] <= c->max_height)
            standard(p + 2 * i, mode[i][0], mode[i][1]);
    }
}

static void descriptor(u8 *p, u8 tag)
{
    memset(p, 0, DESCRIPTOR);
    p[3] = tag;
}

void edid_make(u8 edid[EDID_SIZE], const struct edid_config *c)
{
    static const u8 header[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
    /* sRGB's primaries and white point (3.7). */
    static const u8 chroma[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    static const char name[] = "Wirt Monitor\n";
    u8 *d = edid + AT_DETAILED, sum = 0;

    memset(edid, 0, EDID_SIZE);
    memcpy(edid, header, sizeof(header));
    /* "WRT": five bits a letter, big-endian. */
    u16 id = ('W' - '@') << 10 | ('R' - '@') << 5 | ('T' - '@');
    edid[8] = (u8)(id >> 8);
    edid[9] = (u8)id;
    le16_put(edid + 10, 1);
    edid[16] = 1;
    edid[17] = 2026 - 1990;
    edid[18] = 1; /* EDID 1.4 */
    edid[19] = 4;
    edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (u8)max(millimetres(c->width) / 10, 1u);
    edid[22] = (u8)max(millimetres(c->height) / 10, 1u);
    edid[23] = 120;  /* gamma 2.2 */
    edid[24] = 0x06; /* sRGB; the first detailed timing is the native one */
    memcpy(edid + 25, chroma, sizeof(chroma));
    edid[35] = 0x21; /* 640x480 and 800x600 at 60 Hz */
    edid[36] = 0x08; /* 1024x768 at 60 Hz */
    standard_timings(edid + 38, c);

    detailed(d, c->width, c->height);
    d += DESCRIPTOR;
    if (c->max_width >= 2560 && c->max_height >= 1600)
        detailed(d, 2560, 1600);
    else
        descriptor(d, 0x10); /* dummy */
    d += DESCRIPTOR;
    descriptor(d, 0xfd); /* range limits */
    d[5] = 50;           /* Hz */
    d[6] = 125;
    d[7] = 30; /* kHz */
    d[8] = 160;
    d[9] = 30;    /* 300 MHz */
    d[10] = 0x01; /* no more than that */
    d[11] = '\n';
    memset(d + 12, ' ', 6);
    d += DESCRIPTOR;
    descriptor(d, 0xfc); /* name */
    memcpy(d + 5, name, 13);

    for (unsigned i = 0; i < EDID_SIZE - 1; i++)
        sum += edid[i];
    edid[EDID_SIZE - 1] = (u8)-sum;
}
