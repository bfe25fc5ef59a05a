/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Floppy disk formats, told by the size of the image: the PC's own, and those that Linux and DOS
 * programs squeeze onto the same media.
 */
#include "dev/i82078.h"

enum { RATE_500K, RATE_300K, RATE_250K, RATE_1M };

static const struct i82078_format formats[] = {
    {1440, I82078_1440K, 80, 2, 18, RATE_500K}, {2880, I82078_2880K, 80, 2, 36, RATE_1M},
    {1200, I82078_1200K, 80, 2, 15, RATE_500K}, {720, I82078_720K, 80, 2, 9, RATE_250K},
    {360, I82078_360K, 40, 2, 9, RATE_250K},    {320, I82078_360K, 40, 2, 8, RATE_250K},
    {180, I82078_360K, 40, 1, 9, RATE_250K},    {160, I82078_360K, 40, 1, 8, RATE_250K},
    {1600, I82078_1440K, 80, 2, 20, RATE_500K}, {1680, I82078_1440K, 80, 2, 21, RATE_500K},
    {1722, I82078_1440K, 82, 2, 21, RATE_500K}, {1743, I82078_1440K, 83, 2, 21, RATE_500K},
    {1760, I82078_1440K, 80, 2, 22, RATE_500K}, {1840, I82078_1440K, 80, 2, 23, RATE_500K},
    {1920, I82078_1440K, 80, 2, 24, RATE_500K}, {800, I82078_720K, 80, 2, 10, RATE_250K},
};

const struct i82078_format *i82078_format_for(u64 size)
{
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++)
        if (size == formats[i].kib * KIB)
            return &formats[i];
    return size <= 1440 * KIB ? &formats[0] : &formats[1];
}

enum i82078_drive_type i82078_type_for(u64 size)
{
    return i82078_format_for(size)->type;
}
