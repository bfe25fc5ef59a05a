/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel StrataFlash memory (28F256J3 data sheet, 290667), eight bits wide: basic command set and
 * CFI query (JEDEC JESD68.01).  Blocks have 4 KiB, where the chips have 128: that is what UEFI
 * firmware for virtual machines is built for (EDK II: OvmfPkg/QemuFlashFvbServicesRuntimeDxe).
 *
 * Programming and erasing take no time.  One thing is not the data sheet's: after "clear status
 * register" the ready bit is clear too, until the next operation, because that firmware takes a
 * status of 0 for the mark of a flash chip.  Blocks have no lock bits; protection and suspension
 * are accepted and do nothing.
 */
#include "dev/i28f.h"

#include <errno.h>
#include <string.h>

enum {
    CMD_PROGRAM_ALT = 0x10,
    CMD_ERASE = 0x20,
    CMD_PROGRAM = 0x40,
    CMD_CLEAR_STATUS = 0x50,
    CMD_PROTECT = 0x60,
    CMD_READ_STATUS = 0x70,
    CMD_READ_ID = 0x90,
    CMD_READ_QUERY = 0x98,
    CMD_SUSPEND = 0xb0,
    CMD_CONFIRM = 0xd0, /* and resume */
    CMD_WRITE_BUFFER = 0xe8,
    CMD_READ_ARRAY = 0xff,

    SR_PROGRAM_ERROR = 1 << 4,
    SR_ERASE_ERROR = 1 << 5,
    SR_SEQUENCE_ERROR = SR_PROGRAM_ERROR | SR_ERASE_ERROR,
    SR_READY = 1 << 7,

    ID_INTEL = 0x89,
    ID_28F256J3 = 0x1d,
};

enum mode {
    MODE_ARRAY,
    MODE_STATUS,
    MODE_ID,
    MODE_QUERY,
    MODE_PROGRAM,        /* the next write is data */
    MODE_ERASE,          /* ... a confirmation */
    MODE_PROTECT,        /* ... what to do */
    MODE_BUFFER_COUNT,   /* ... how many bytes there will be */
    MODE_BUFFER,         /* ... data, for the buffer */
    MODE_BUFFER_CONFIRM, /* ... a confirmation */
    MODES
};

/* ---------------------------------------------------------------- reading -- */

/* CFI 1.1, tables 6 to 9, from 0x10 on. */
static u8 query(const struct i28f *f, u64 off)
{
    u64 blocks = f->size / I28F_BLOCK;
    const u8 table[] = {
        'Q',
        'R',
        'Y',
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        0, /* the basic command set, and no other */
        0x45,
        0x55,
        0,
        0, /* 4.5 to 5.5 V */
        7,
        7,
        10,
        0,
        4,
        4,
        4,
        0,                                       /* typical and longest times */
        (u8)(64 - __builtin_clzll(f->size - 1)), /* size, as a power of 2 */
        0,
        0,
        5,
        0, /* 8 bits wide; a buffer of 32 bytes */
        1,
        (u8)(blocks - 1),
        (u8)((blocks - 1) >> 8),
        I28F_BLOCK >> 8 & 0xff,
        I28F_BLOCK >> 16,
    };

    return off >= 0x10 && off - 0x10 < sizeof(table) ? table[off - 0x10] : 0;
}

static u8 read_byte(const struct i28f *f, u64 off)
{
    switch (f->mode) {
    case MODE_ARRAY:
        return f->data[off];
    case MODE_ID:
        return off == 0 ? ID_INTEL : off == 1 ? ID_28F256J3 : 0; /* and no block is locked */
    case MODE_QUERY:
        return query(f, off);
    default:
        return f->status;
    }
}

static u64 i28f_read(void *opaque, u64 off, unsigned size)
{
    const struct i28f *f = opaque;
    u64 v = 0;

    if (likely(f->mode == MODE_ARRAY)) {
        memcpy(&v, f->data + off, size);
        return v;
    }
    for (unsigned i = 0; i < size; i++)
        v |= (u64)read_byte(f, off + i) << 8 * i;
    return v;
}

/* --------------------------------------------------------------- commands -- */

static void done(struct i28f *f, u64 off, u64 len, u8 error)
{
    f->mode = MODE_STATUS;
    f->status |= SR_READY;
    if (f->changed && !f->changed(f->opaque, off, len))
        f->status |= error;
}

static void bad_sequence(struct i28f *f)
{
    f->mode = MODE_STATUS;
    f->status |= SR_READY | SR_SEQUENCE_ERROR;
}

static void erase(struct i28f *f, u64 off)
{
    off &= ~(u64)(I28F_BLOCK - 1);
    trace(f->trace, board, "flash: block at %llx erased", (unsigned long long)off);
    memset(f->data + off, 0xff, I28F_BLOCK);
    done(f, off, I28F_BLOCK, SR_ERASE_ERROR);
}

static void into_buffer(struct i28f *f, u64 off, u8 val)
{
    f->buffer_at[f->got] = (u32)off;
    f->buffer[f->got++] = val;
    if (f->got == f->expected)
        f->mode = MODE_BUFFER_CONFIRM;
}

/* All of it lies in one block, that of the confirmation. */
static void program_buffer(struct i28f *f, u64 off)
{
    u64 block = off & ~(u64)(I28F_BLOCK - 1);

    for (unsigned i = 0; i < f->got; i++) {
        if ((f->buffer_at[i] & ~(u64)(I28F_BLOCK - 1)) != block) {
            bad_sequence(f);
            return;
        }
    }
    for (unsigned i = 0; i < f->got; i++)
        f->data[f->buffer_at[i]] &= f->buffer[i];
    done(f, block, I28F_BLOCK, SR_PROGRAM_ERROR);
}

static void command(struct i28f *f, u8 val)
{
    switch (val) {
    case CMD_PROGRAM:
    case CMD_PROGRAM_ALT:
        f->mode = MODE_PROGRAM;
        break;
    case CMD_ERASE:
        f->mode = MODE_ERASE;
        break;
    case CMD_WRITE_BUFFER:
        f->mode = MODE_BUFFER_COUNT;
        f->status |= SR_READY;
        break;
    case CMD_PROTECT:
        f->mode = MODE_PROTECT;
        break;
    case CMD_CLEAR_STATUS:
        f->status = 0;
        break;
    case CMD_READ_STATUS:
        f->mode = MODE_STATUS;
        break;
    case CMD_READ_ID:
        f->mode = MODE_ID;
        break;
    case CMD_READ_QUERY:
        f->mode = MODE_QUERY;
        break;
    case CMD_SUSPEND:
    case CMD_CONFIRM:
        break;
    default:
        f->mode = MODE_ARRAY;
    }
}

static void write_byte(struct i28f *f, u64 off, u8 val)
{
    switch (f->mode) {
    case MODE_PROGRAM:
        f->data[off] &= val;
        done(f, off, 1, SR_PROGRAM_ERROR);
        break;
    case MODE_ERASE:
        if (val == CMD_CONFIRM)
            erase(f, off);
        else
            bad_sequence(f);
        break;
    case MODE_PROTECT:
        f->mode = MODE_STATUS;
        f->status |= SR_READY;
        break;
    case MODE_BUFFER_COUNT:
        f->expected = (val & (I28F_BUFFER - 1)) + 1;
        f->got = 0;
        f->mode = MODE_BUFFER;
        break;
    case MODE_BUFFER:
        into_buffer(f, off, val);
        break;
    case MODE_BUFFER_CONFIRM:
        if (val == CMD_CONFIRM)
            program_buffer(f, off);
        else
            bad_sequence(f);
        break;
    default:
        command(f, val);
    }
}

static void i28f_write(void *opaque, u64 off, unsigned size, u64 val)
{
    for (unsigned i = 0; i < size; i++)
        write_byte(opaque, off + i, (u8)(val >> 8 * i));
}

static const struct region_ops i28f_ops = {
    .read = i28f_read, .write = i28f_write, .min_width = 1, .max_width = 8, .aligned = true};

/* ------------------------------------------------------------------ life -- */

void i28f_reset(struct i28f *f)
{
    pthread_mutex_lock(&f->lock);
    f->mode = MODE_ARRAY;
    f->status = SR_READY;
    f->expected = f->got = 0;
    pthread_mutex_unlock(&f->lock);
}

void i28f_init(struct i28f *f, u8 *data, u64 size, bool (*changed)(void *, u64, u64), void *opaque,
               struct trace *t)
{
    memset(f, 0, sizeof(*f));
    f->data = data;
    f->size = size;
    f->changed = changed;
    f->opaque = opaque;
    f->trace = t;
    pthread_mutex_init(&f->lock, NULL);
    f->region = (struct region){
        .name = "flash", .size = size, .ops = &i28f_ops, .opaque = f, .lock = &f->lock};
    i28f_reset(f);
}

static int i28f_loaded(void *obj, struct err *e)
{
    struct i28f *f = obj;

    if (f->got > f->expected || (f->mode == MODE_BUFFER && f->got == f->expected))
        return err_set(e, EINVAL, "i28f: more bytes in the buffer than were announced");
    for (unsigned i = 0; i < f->got; i++)
        if (f->buffer_at[i] >= f->size)
            return err_set(e, EINVAL, "i28f: an address behind the chip's end");
    if (f->changed && !f->changed(f->opaque, 0, f->size)) /* data came with the machine's memory */
        return err_set(e, EIO, "i28f: its contents cannot be kept");
    return 0;
}

static const struct field i28f_fields[] = {
    FIELD_MAX(struct i28f, mode, MODES - 1),       FIELD(struct i28f, status),
    FIELD_MAX(struct i28f, expected, I28F_BUFFER), FIELD_MAX(struct i28f, got, I28F_BUFFER),
    FIELD_ARRAY(struct i28f, buffer_at),           FIELD_ARRAY(struct i28f, buffer),
};

const struct state_desc i28f_state = {
    .name = "i28f",
    .version = 1,
    .fields = i28f_fields,
    .nfields = ARRAY_SIZE(i28f_fields),
    .loaded = i28f_loaded,
};
