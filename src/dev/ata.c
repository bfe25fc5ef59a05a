/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ATA channel: registers, selection of the drive, data port, interrupts, resets.  The drives
 * themselves are in ata_disk.c and atapi.c.  ATA/ATAPI-7 volume 1 (T13 1532D).
 *
 * Every transfer goes through the channel's buffer, in chunks; the guest's memory is touched only
 * when a chunk has arrived or before it leaves.  A disk request under way belongs to the I/O
 * thread: a reset that comes meanwhile leaves BSY set and takes effect when the request is done.
 *
 * An absent drive next to a present one reads as zeros; an empty cable reads as 7fh, which is what
 * the pull-down on DD7 makes of it, so that no driver waits for BSY to go away.
 *
 * Left out: overlapped and queued commands, security, host protected area, CFA, media card pass
 * through.  They are not announced, and abort.
 */
#include "base/endian.h"
#include "dev/ata_internal.h"

#include <errno.h>
#include <stdio.h>

enum { REG_DATA, REG_ERROR, REG_NSECTOR, REG_LBAL, REG_LBAM, REG_LBAH, REG_DEVICE, REG_STATUS };

enum { CMD_DEVICE_RESET = 0x08, CMD_DIAGNOSTIC = 0x90 };

static void update_irq(struct ata_channel *c)
{
    irq_set(&c->irq, c->irq_pending && !(c->control & ATA_NIEN));
}

static void clear_irq(struct ata_channel *c)
{
    c->irq_pending = 0;
    update_irq(c);
}

void ata_interrupt(struct ata_channel *c)
{
    c->irq_pending = 1;
    if (!(c->control & ATA_NIEN) && c->dma.interrupt)
        c->dma.interrupt(c->dma.opaque);
    update_irq(c);
}

static void end_dma(struct ata_channel *c, bool error)
{
    if (c->is_dma && c->dma.ended)
        c->dma.ended(c->dma.opaque, error);
    c->is_dma = 0;
}

void ata_finish(struct ata_channel *c)
{
    struct ata_drive *d = ata_actor(c);

    c->phase = ATA_IDLE;
    d->tf.error = 0;
    d->tf.status = ATA_DRDY | ATA_DSC;
    end_dma(c, false);
    ata_interrupt(c);
}

void ata_fail(struct ata_channel *c, u8 error, u8 status)
{
    struct ata_drive *d = ata_actor(c);

    trace(c->trace, ata, "%s.%u command %02x failed, error %02x", c->name, c->actor, c->command,
          error);
    c->phase = ATA_IDLE;
    d->tf.error = error;
    d->tf.status = ATA_DRDY | ATA_DSC | ATA_ERR | status;
    end_dma(c, true);
    ata_interrupt(c);
}

void ata_busy(struct ata_channel *c)
{
    c->phase = ATA_BUSY;
    ata_actor(c)->tf.status = ATA_BSY | ATA_DRDY | ATA_DSC;
}

static void data_phase(struct ata_channel *c, enum ata_phase phase, u32 from, u32 len, bool intr)
{
    BUG_ON(from > ATA_BUF_SIZE || len > ATA_BUF_SIZE - from || !len);
    c->phase = phase;
    c->buf_pos = from;
    c->buf_len = from + len;
    ata_actor(c)->tf.status = ATA_DRDY | ATA_DSC | ATA_DRQ;
    if (intr)
        ata_interrupt(c);
}

void ata_data_in(struct ata_channel *c, u32 from, u32 len, bool interrupt)
{
    data_phase(c, ATA_PIO_IN, from, len, interrupt);
}

void ata_data_out(struct ata_channel *c, u32 from, u32 len, bool interrupt)
{
    data_phase(c, ATA_PIO_OUT, from, len, interrupt);
}

void ata_submit(struct ata_channel *c, enum blk_op op, u64 offset, void *buf, u64 len, bool fua)
{
    ata_busy(c);
    c->io_busy = 1;
    blkio_submit(&c->io, ata_actor(c)->blk, op, offset, buf, len, fua);
}

bool ata_dma_ready(struct ata_channel *c)
{
    ata_busy(c);
    if (c->dma.active && c->dma.active(c->dma.opaque))
        return true;
    c->phase = ATA_DMA_WAIT;
    return false;
}

bool ata_dma_move(struct ata_channel *c, u32 len, bool to_memory)
{
    if (c->dma.move(c->dma.opaque, c->buf, len, to_memory) == len)
        return true;
    /* The table ended before the command: the adapter stops, and no interrupt comes. */
    trace(c->trace, ata, "%s.%u DMA table is too short", c->name, c->actor);
    c->phase = ATA_IDLE;
    ata_actor(c)->tf.status = ATA_DRDY | ATA_DSC;
    end_dma(c, false);
    return false;
}

void ata_dma_started(struct ata_channel *c)
{
    if (c->phase != ATA_DMA_WAIT)
        return;
    if (ata_actor(c)->kind == ATA_DISK)
        ata_disk_dma_go(c);
    else
        atapi_dma_go(c);
}

void ata_put_string(u8 *identify, unsigned word, unsigned nwords, const char *s)
{
    u8 *p = identify + word * 2;

    for (unsigned i = 0; i < nwords * 2; i++) {
        p[i ^ 1] = *s ? (u8)*s : ' ';
        if (*s)
            s++;
    }
}

bool ata_set_transfer_mode(struct ata_drive *d, u8 mode)
{
    unsigned n = mode & 7;

    switch (mode >> 3) {
    case 0: /* PIO default */
        if (n > 1)
            return false;
        break;
    case 1: /* PIO flow control */
        if (n > 4)
            return false;
        break;
    case 4: /* multiword DMA */
        if (n > 2)
            return false;
        break;
    case 8: /* ultra DMA */
        if (n > 5)
            return false;
        break;
    default:
        return false;
    }
    d->xfer_mode = mode;
    return true;
}

/* ----------------------------------------------------------------- reset -- */

void ata_set_signature(struct ata_drive *d)
{
    struct ata_taskfile *t = &d->tf;

    memset(t->features, 0, sizeof(t->features));
    memset(t->nsector, 0, sizeof(t->nsector));
    memset(t->lbal, 0, sizeof(t->lbal));
    memset(t->lbam, 0, sizeof(t->lbam));
    memset(t->lbah, 0, sizeof(t->lbah));
    t->nsector[0] = 1;
    t->lbal[0] = 1;
    if (d->kind == ATA_CDROM) {
        t->lbam[0] = 0x14;
        t->lbah[0] = 0xeb;
    }
    t->device = 0;
    t->error = 1; /* diagnostic code: passed */
    t->status = d->kind == ATA_DISK ? ATA_DRDY | ATA_DSC : 0;
}

static void reset_drives(struct ata_channel *c, bool power_on)
{
    c->phase = ATA_IDLE;
    c->is_dma = 0;
    c->selected = 0;
    c->reset_wanted = 0;
    clear_irq(c);
    for (unsigned i = 0; i < 2; i++) {
        struct ata_drive *d = &c->drive[i];

        if (d->kind == ATA_EMPTY)
            continue;
        ata_set_signature(d);
        if (d->kind == ATA_DISK)
            ata_disk_reset(d, power_on);
        else
            atapi_reset(d, power_on);
    }
}

/* Both drives show BSY until the reset can take effect. */
static void show_busy(struct ata_channel *c)
{
    for (unsigned i = 0; i < 2; i++)
        if (c->drive[i].kind != ATA_EMPTY)
            c->drive[i].tf.status = ATA_BSY;
}

enum { RESET_NONE, RESET_SOFT, RESET_POWER_ON };

void ata_reset(struct ata_channel *c)
{
    c->control = 0;
    c->resetting = 0;
    clear_irq(c);
    if (!c->io_busy) {
        reset_drives(c, true);
        return;
    }
    show_busy(c);
    c->reset_wanted = RESET_POWER_ON;
}

static void soft_reset(struct ata_channel *c)
{
    trace(c->trace, ata, "%s soft reset", c->name);
    clear_irq(c);
    if (c->reset_wanted != RESET_POWER_ON)
        c->reset_wanted = RESET_SOFT;
    show_busy(c);
    c->phase = ATA_IDLE;
    end_dma(c, false);
}

/* SRST was released, or the last request is done: whichever comes later. */
static void try_reset(struct ata_channel *c)
{
    if (c->reset_wanted && !c->resetting && !c->io_busy)
        reset_drives(c, c->reset_wanted == RESET_POWER_ON);
}

static void io_done(void *opaque, int result)
{
    struct ata_channel *c = opaque;

    c->io_busy = 0;
    if (c->reset_wanted) {
        try_reset(c);
        return;
    }
    if (result)
        trace(c->trace, ata, "%s.%u disk request failed: %d", c->name, c->actor, result);
    if (ata_actor(c)->kind == ATA_DISK)
        ata_disk_io_done(c, result);
    else
        atapi_io_done(c, result);
}

/* ------------------------------------------------------------- registers -- */

static void device_reset(struct ata_channel *c, struct ata_drive *d)
{
    u8 dev = d->tf.device;

    /* Only packet devices know it; it ends a command under way on this drive. */
    if (d->kind != ATA_CDROM)
        return;
    if (c->io_busy) {
        if (!c->reset_wanted)
            c->reset_wanted = RESET_SOFT;
        show_busy(c);
        return;
    }
    c->phase = ATA_IDLE;
    end_dma(c, false);
    atapi_reset(d, false);
    ata_set_signature(d);
    d->tf.device = dev & ATA_DEV_SLAVE;
}

static void diagnostic(struct ata_channel *c)
{
    for (unsigned i = 0; i < 2; i++)
        if (c->drive[i].kind != ATA_EMPTY)
            ata_set_signature(&c->drive[i]);
    c->selected = 0;
    c->phase = ATA_IDLE;
    ata_interrupt(c);
}

static void command(struct ata_channel *c, u8 cmd)
{
    struct ata_drive *d = &c->drive[c->selected];

    trace(c->trace, ata, "%s.%u command %02x features %02x count %02x lba %02x%02x%02x dev %02x",
          c->name, c->selected, cmd, d->tf.features[0], d->tf.nsector[0], d->tf.lbah[0],
          d->tf.lbam[0], d->tf.lbal[0], d->tf.device);
    if (cmd == CMD_DEVICE_RESET && d->kind == ATA_CDROM && !c->resetting) {
        clear_irq(c);
        device_reset(c, d);
        return;
    }
    if (c->phase != ATA_IDLE || c->io_busy || c->reset_wanted)
        return;
    if (d->kind == ATA_EMPTY && cmd != CMD_DIAGNOSTIC)
        return;
    clear_irq(c);
    c->actor = c->selected;
    c->command = cmd;
    c->is_dma = c->is_write = c->is_lba48 = 0;
    d->tf.error = 0;
    if (cmd == CMD_DIAGNOSTIC)
        diagnostic(c);
    else if (d->kind == ATA_DISK)
        ata_disk_command(c, cmd);
    else
        atapi_command(c, cmd);
}

/* The host wrote one of the registers that are two bytes deep. */
static void push(u8 reg[2], u8 v)
{
    reg[1] = reg[0];
    reg[0] = v;
}

static void write_reg(struct ata_channel *c, unsigned reg, u8 v)
{
    if (reg == REG_STATUS) {
        command(c, v);
        return;
    }
    c->control &= ~ATA_HOB;
    if (c->phase != ATA_IDLE || c->reset_wanted)
        return;
    for (unsigned i = 0; i < 2; i++) {
        struct ata_taskfile *t = &c->drive[i].tf;

        switch (reg) {
        case REG_ERROR:
            push(t->features, v);
            break;
        case REG_NSECTOR:
            push(t->nsector, v);
            break;
        case REG_LBAL:
            push(t->lbal, v);
            break;
        case REG_LBAM:
            push(t->lbam, v);
            break;
        case REG_LBAH:
            push(t->lbah, v);
            break;
        case REG_DEVICE:
            t->device = v;
            break;
        }
    }
    if (reg == REG_DEVICE)
        c->selected = v & ATA_DEV_SLAVE ? 1 : 0;
}

/* What the lines show when the selected drive is not there; false = it is. */
static bool absent(const struct ata_channel *c, u8 *v)
{
    if (c->drive[c->selected].kind != ATA_EMPTY)
        return false;
    *v = c->drive[!c->selected].kind == ATA_EMPTY ? 0x7f : 0;
    return true;
}

static u8 read_reg(struct ata_channel *c, unsigned reg)
{
    const struct ata_taskfile *t = &c->drive[c->selected].tf;
    unsigned hob = c->control & ATA_HOB ? 1 : 0;
    u8 v;

    if (absent(c, &v))
        return v;
    switch (reg) {
    case REG_ERROR:
        return t->error;
    case REG_NSECTOR:
        return t->nsector[hob];
    case REG_LBAL:
        return t->lbal[hob];
    case REG_LBAM:
        return t->lbam[hob];
    case REG_LBAH:
        return t->lbah[hob];
    case REG_DEVICE:
        return t->device | 0xa0;
    default:
        clear_irq(c);
        return t->status;
    }
}

static void block_end(struct ata_channel *c)
{
    if (c->phase == ATA_PACKET_OUT)
        atapi_packet(c);
    else if (ata_actor(c)->kind == ATA_DISK)
        ata_disk_data_end(c);
    else
        atapi_data_end(c);
}

static u32 read_data(struct ata_channel *c, unsigned size)
{
    u32 v = 0;
    u32 n = min(size, c->buf_len - c->buf_pos);

    if (c->phase != ATA_PIO_IN || c->selected != c->actor)
        return size == 4 ? 0xffffffff : size == 2 ? 0xffff : 0xff;
    memcpy(&v, c->buf + c->buf_pos, n);
    c->buf_pos += n;
    if (c->buf_pos == c->buf_len)
        block_end(c);
    return v;
}

static void write_data(struct ata_channel *c, unsigned size, u32 v)
{
    u32 n = min(size, c->buf_len - c->buf_pos);

    if ((c->phase != ATA_PIO_OUT && c->phase != ATA_PACKET_OUT) || c->selected != c->actor)
        return;
    memcpy(c->phase == ATA_PACKET_OUT ? c->packet + c->buf_pos : c->buf + c->buf_pos, &v, n);
    c->buf_pos += n;
    if (c->buf_pos == c->buf_len)
        block_end(c);
}

static u64 cmd_read(void *opaque, u64 off, unsigned size)
{
    struct ata_channel *c = opaque;
    u64 v = 0;

    if (off == REG_DATA)
        return read_data(c, size);
    for (unsigned i = 0; i < size; i++)
        v |= (u64)read_reg(c, off + i) << (8 * i);
    return v;
}

static void cmd_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct ata_channel *c = opaque;

    if (off == REG_DATA) {
        write_data(c, size, val);
        return;
    }
    for (unsigned i = 0; i < size; i++)
        write_reg(c, off + i, val >> (8 * i));
}

/* Alternate status: as status, but the interrupt stays. */
static u64 ctl_read(void *opaque, u64 off, unsigned size)
{
    struct ata_channel *c = opaque;
    u8 v;

    return absent(c, &v) ? v : c->drive[c->selected].tf.status;
}

static void ctl_write(void *opaque, u64 off, unsigned size, u64 val)
{
    struct ata_channel *c = opaque;

    c->control = val & (ATA_HOB | ATA_SRST | ATA_NIEN);
    if (val & ATA_SRST) {
        if (!c->resetting)
            soft_reset(c);
        c->resetting = 1;
    } else if (c->resetting) {
        c->resetting = 0;
        try_reset(c);
    }
    update_irq(c);
}

static const struct region_ops cmd_ops = {
    .read = cmd_read,
    .write = cmd_write,
    .min_width = 1,
    .max_width = 4,
    .aligned = true,
};

static const struct region_ops ctl_ops = {
    .read = ctl_read,
    .write = ctl_write,
    .min_width = 1,
    .max_width = 1,
};

void ata_init(struct ata_channel *c, const char *name, struct trace *t, pthread_mutex_t *lock,
              const struct ata_drive_config cfg[2])
{
    struct irq irq = c->irq;
    struct ata_dma dma = c->dma;

    memset(c, 0, sizeof(*c));
    c->irq = irq;
    c->dma = dma;
    c->name = name;
    c->trace = t;
    c->lock = lock;
    c->cmd = (struct region){.name = name, .size = 8, .ops = &cmd_ops, .opaque = c, .lock = lock};
    c->ctl = (struct region){.name = name, .size = 1, .ops = &ctl_ops, .opaque = c, .lock = lock};
    blkio_init(&c->io, lock, io_done, c);
    for (unsigned i = 0; i < 2; i++) {
        struct ata_drive *d = &c->drive[i];

        d->kind = cfg[i].kind;
        d->index = i;
        d->blk = cfg[i].blk;
        if (d->kind == ATA_DISK && !d->blk)
            d->kind = ATA_EMPTY;
        if (d->kind == ATA_EMPTY)
            continue;
        snprintf(d->serial, sizeof(d->serial), "%s",
                 cfg[i].serial ? cfg[i].serial
                 : i           ? "WT00000002"
                               : "WT00000001");
        snprintf(d->model, sizeof(d->model), "%s",
                 cfg[i].model          ? cfg[i].model
                 : d->kind == ATA_DISK ? "WIRT HARDDISK"
                                       : "WIRT DVD-ROM");
        if (d->kind == ATA_DISK)
            ata_disk_init(d);
        else
            atapi_init(d);
    }
    reset_drives(c, true);
}

void ata_drain(struct ata_channel *c)
{
    pthread_mutex_lock(c->lock);
    blkio_wait(&c->io);
    pthread_mutex_unlock(c->lock);
}

int ata_change_medium(struct ata_channel *c, unsigned drive, struct blk *b)
{
    struct ata_drive *d = &c->drive[drive];
    int rc = 0;

    pthread_mutex_lock(c->lock);
    if (c->io_busy || (c->phase != ATA_IDLE && c->actor == drive)) {
        rc = -EBUSY;
    } else {
        d->blk = b;
        d->tray_open = 0;
        d->unit_attention = b != NULL;
        d->event = b ? 2 : 3; /* new media, media removal */
    }
    pthread_mutex_unlock(c->lock);
    return rc;
}

#define DRIVE_FIELDS(n)                                                                            \
    FIELD_BYTES(struct ata_channel, drive[n].tf), FIELD(struct ata_channel, drive[n].multiple),    \
        FIELD(struct ata_channel, drive[n].xfer_mode),                                             \
        FIELD(struct ata_channel, drive[n].cur_heads),                                             \
        FIELD(struct ata_channel, drive[n].cur_spt),                                               \
        FIELD(struct ata_channel, drive[n].write_cache),                                           \
        FIELD(struct ata_channel, drive[n].read_ahead),                                            \
        FIELD(struct ata_channel, drive[n].standby), FIELD(struct ata_channel, drive[n].smart),    \
        FIELD(struct ata_channel, drive[n].sense_key), FIELD(struct ata_channel, drive[n].asc),    \
        FIELD(struct ata_channel, drive[n].ascq),                                                  \
        FIELD(struct ata_channel, drive[n].unit_attention),                                        \
        FIELD(struct ata_channel, drive[n].locked), FIELD(struct ata_channel, drive[n].tray_open), \
        FIELD(struct ata_channel, drive[n].event), FIELD(struct ata_channel, drive[n].cd_speed)

static const struct field ata_channel_fields[] = {
    DRIVE_FIELDS(0),
    DRIVE_FIELDS(1),
    FIELD_MAX(struct ata_channel, selected, 1),
    FIELD(struct ata_channel, control),
    FIELD_MAX(struct ata_channel, irq_pending, 1),
    FIELD(struct ata_channel, command),
    FIELD_MAX(struct ata_channel, actor, 1),
    FIELD_MAX(struct ata_channel, is_dma, 1),
    FIELD_MAX(struct ata_channel, is_lba48, 1),
    FIELD_MAX(struct ata_channel, is_write, 1),
    FIELD_MAX(struct ata_channel, resetting, 1),
    FIELD_MAX(struct ata_channel, reset_wanted, RESET_POWER_ON),
    FIELD_MAX(struct ata_channel, phase, ATA_BUSY),
    FIELD(struct ata_channel, lba),
    FIELD_MAX(struct ata_channel, left, 0x7fffffff),
    FIELD_MAX(struct ata_channel, chunk, ATA_BUF_SIZE / ATA_SECTOR),
    FIELD_MAX(struct ata_channel, block, 128),
    FIELD_MAX(struct ata_channel, buf_pos, ATA_BUF_SIZE),
    FIELD_MAX(struct ata_channel, buf_len, ATA_BUF_SIZE),
    FIELD_MAX(struct ata_channel, data_len, ATA_BUF_SIZE),
    FIELD_MAX(struct ata_channel, byte_limit, 0xffff),
    FIELD_BYTES(struct ata_channel, packet),
    FIELD_MAX(struct ata_channel, cd_raw, 2352),
    FIELD_MAX(struct ata_channel, cd_fields, 0xff),
    FIELD_BYTES(struct ata_channel, buf),
};

/* What single ranges cannot say. */
static int ata_loaded(void *obj, struct err *e)
{
    struct ata_channel *c = obj;
    u32 room = c->phase == ATA_PACKET_OUT ? sizeof(c->packet) : ATA_BUF_SIZE;

    for (unsigned i = 0; i < 2; i++)
        if (c->drive[i].kind == ATA_DISK && (!c->drive[i].cur_heads || !c->drive[i].cur_spt))
            return err_set(e, EINVAL, "%s: drive %u has no geometry", c->name, i);
    if (c->phase != ATA_IDLE && c->drive[c->actor].kind == ATA_EMPTY)
        return err_set(e, EINVAL, "%s: a command on a drive that is not there", c->name);
    if (c->phase == ATA_BUSY || c->buf_len > room ||
        (c->phase >= ATA_PIO_IN && c->phase <= ATA_PACKET_OUT && c->buf_pos >= c->buf_len))
        return err_set(e, EINVAL, "%s: impossible transfer state", c->name);
    return 0;
}

const struct state_desc ata_channel_state = {
    .name = "ata",
    .version = 1,
    .fields = ata_channel_fields,
    .nfields = ARRAY_SIZE(ata_channel_fields),
    .loaded = ata_loaded,
};
