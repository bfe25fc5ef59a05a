/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What ata.c offers to the two kinds of drive, and they to it.  All with the channel's lock held.
 */
#ifndef WIRT_DEV_ATA_INTERNAL_H
#define WIRT_DEV_ATA_INTERNAL_H

#include "dev/ata.h"

/* Status register. */
enum {
    ATA_ERR = 0x01,
    ATA_DRQ = 0x08,
    ATA_DSC = 0x10,
    ATA_DF = 0x20,
    ATA_DRDY = 0x40,
    ATA_BSY = 0x80,
};

/* Error register. */
enum { ATA_ABRT = 0x04, ATA_IDNF = 0x10, ATA_UNC = 0x40, ATA_WP = 0x40 };

/* Device register and device control register. */
enum { ATA_DEV_LBA = 0x40, ATA_DEV_SLAVE = 0x10, ATA_NIEN = 0x02, ATA_SRST = 0x04, ATA_HOB = 0x80 };

/* The drive that executes the command under way. */
static inline struct ata_drive *ata_actor(struct ata_channel *c)
{
    return &c->drive[c->actor];
}

void ata_interrupt(struct ata_channel *c);
/* The command is over: without an error, or with these error register and extra status bits. */
void ata_finish(struct ata_channel *c);
void ata_fail(struct ata_channel *c, u8 error, u8 status);
/* Sets BSY while something is under way that nobody waits for but the drive. */
void ata_busy(struct ata_channel *c);
/* Puts DRQ up for buf[from, from+len). */
void ata_data_in(struct ata_channel *c, u32 from, u32 len, bool interrupt);
void ata_data_out(struct ata_channel *c, u32 from, u32 len, bool interrupt);
/* A disk request on the actor's medium; the drive's io_done comes. */
void ata_submit(struct ata_channel *c, enum blk_op op, u64 offset, void *buf, u64 len, bool fua);
/* Is the adapter's DMA engine on?  If not, the drive waits and its dma_go is called later. */
bool ata_dma_ready(struct ata_channel *c);
/* Moves buf[0, len) by DMA.  False: the guest's table was too short, and the command has ended. */
bool ata_dma_move(struct ata_channel *c, u32 len, bool to_memory);
void ata_set_signature(struct ata_drive *d);
/* Words of IDENTIFY that hold text: two characters each, swapped, padded with blanks. */
void ata_put_string(u8 *identify, unsigned word, unsigned nwords, const char *s);
/* SET FEATURES 03h, for both kinds; false = bad mode. */
bool ata_set_transfer_mode(struct ata_drive *d, u8 mode);

/* ata_disk.c */
void ata_disk_init(struct ata_drive *d);
void ata_disk_reset(struct ata_drive *d, bool power_on);
void ata_disk_command(struct ata_channel *c, u8 cmd);
void ata_disk_data_end(struct ata_channel *c); /* the host took or gave the last byte of a block */
void ata_disk_dma_go(struct ata_channel *c);
void ata_disk_io_done(struct ata_channel *c, int result);
/* ata_identify.c */
void ata_disk_identify(const struct ata_drive *d, u8 *buf);
void atapi_identify(const struct ata_drive *d, u8 *buf);

/* atapi.c */
void atapi_init(struct ata_drive *d);
void atapi_reset(struct ata_drive *d, bool power_on);
void atapi_command(struct ata_channel *c, u8 cmd);
void atapi_packet(struct ata_channel *c);
void atapi_data_end(struct ata_channel *c);
void atapi_dma_go(struct ata_channel *c);
void atapi_io_done(struct ata_channel *c, int result);

#endif
