/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data that a CD-ROM drive answers with.  Each function fills buf (at least 512 bytes) and
 * returns the length of the whole reply, 0 = the request makes no sense.
 */
#ifndef WIRT_DEV_ATAPI_REPLIES_H
#define WIRT_DEV_ATAPI_REPLIES_H

#include "dev/ata.h"

/* Sense keys, SPC-2 table 107. */
enum {
    SENSE_NONE = 0,
    SENSE_NOT_READY = 2,
    SENSE_MEDIUM = 3,
    SENSE_ILLEGAL = 5,
    SENSE_UNIT_ATTENTION = 6,
    SENSE_ABORTED = 11,
};

bool atapi_has_medium(const struct ata_drive *d);
u32 atapi_blocks(const struct ata_drive *d); /* of 2048 bytes; 0 without a medium */

u32 atapi_inquiry(const struct ata_drive *d, u8 *buf);
/* Sense data in fixed format; the sense is then cleared. */
u32 atapi_sense(struct ata_drive *d, u8 *buf);
/* control: 0 current, 1 changeable, 2 default values; page 3fh = all. */
u32 atapi_mode_sense(const struct ata_drive *d, u8 *buf, unsigned control, unsigned page, bool six);
/* rt: 0 all features from `first` on, 1 current ones, 2 only `first`. */
u32 atapi_configuration(const struct ata_drive *d, u8 *buf, unsigned rt, u16 first);
/* Media class only; the event is then cleared. */
u32 atapi_event_status(struct ata_drive *d, u8 *buf, u8 classes);
u32 atapi_mechanism(const struct ata_drive *d, u8 *buf);
u32 atapi_toc(const struct ata_drive *d, u8 *buf, unsigned format, bool msf, u8 track);
u32 atapi_subchannel(u8 *buf, u8 format); /* ff: header only */
u32 atapi_disc_information(u8 *buf);
u32 atapi_track_information(const struct ata_drive *d, u8 *buf, unsigned type, u32 address);
u32 atapi_dvd_structure(const struct ata_drive *d, u8 *buf, u8 format, u8 layer);

#endif
