/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside VMDK: the open image, its extents, and what its files do for each other.  Source: VMware's
 * "Virtual Disk Format 5.0" technical note.  Numbers on the wire are little-endian, offsets are in
 * sectors of 512 bytes.
 *
 * Locks: as in disk/img.h for the callbacks of the same name.
 */
#ifndef WIRT_DISK_VMDK_H
#define WIRT_DISK_VMDK_H

#include "base/endian.h"
#include "disk/img.h"
#include "disk/tcache.h"

enum {
    VMDK_SECTOR = 512,
    VMDK_MAGIC = 0x564d444b, /* "KDMV" */
    VMDK_GRAIN_MAX = 4 << 20,
    VMDK_GD_MAX = 4 << 20, /* entries of a grain directory */
    VMDK_DESC_MAX = 1 << 20,
    VMDK_GT_PER_SECTOR = VMDK_SECTOR / 4,
    /* Of what we make: */
    VMDK_GRAIN = 64 << 10,
    VMDK_GTES = 512,
    VMDK_DESC_SECTORS = 20,
};

/* SparseExtentHeader: offsets. */
enum {
    VS_VERSION = 4,
    VS_FLAGS = 8,
    VS_CAPACITY = 12,
    VS_GRAIN = 20,
    VS_DESC = 28,
    VS_DESC_SIZE = 36,
    VS_GTES = 44,
    VS_RGD = 48,
    VS_GD = 56,
    VS_OVERHEAD = 64,
    VS_UNCLEAN = 72,
    VS_LINES = 73, /* '\n', ' ', '\r', '\n': shows damage by text-mode copies */
    VS_COMPRESS = 77,
};

#define VF_LINES       BIT(0)
#define VF_REDUNDANT   BIT(1)
#define VF_ZEROED      BIT(2) /* a grain table entry of 1 means zeros */
#define VF_COMPRESSED  BIT(16)
#define VF_MARKERS     BIT(17)
#define VMDK_GD_AT_END UINT64_MAX
#define VMDK_NO_PARENT 0xffffffffu

/* Markers of stream-optimized extents; a grain's has a length instead of 0 and no type. */
enum { VM_LBA = 0, VM_SIZE = 8, VM_DATA = 12, VM_TYPE = 12 };
enum { MARKER_EOS, MARKER_GT, MARKER_GD, MARKER_FOOTER };

enum vmdk_kind { VMDK_FLAT, VMDK_SPARSE, VMDK_ZERO };

struct vmdk_extent {
    enum vmdk_kind kind;
    struct file *file; /* NULL: VMDK_ZERO */
    char *name;        /* as the descriptor has it */
    u64 start, size;   /* bytes of the guest's disk */
    u64 offset;        /* FLAT: bytes in the file */

    /* SPARSE */
    u8 header[VMDK_SECTOR];
    u64 grain;     /* bytes */
    u32 gtes;      /* entries of a grain table */
    u32 gds;       /* entries of the grain directory */
    u32 *gd, *rgd; /* rgd: NULL = no redundant one */
    u8 *gd_dirty;  /* a byte an entry: 1 = not written yet, 2 = written, not synced */
    bool gd_any;
    u64 gd_offset, rgd_offset; /* bytes */
    bool zeroed, compressed;
    struct tcache *gt; /* sectors of grain tables, redundant ones too */
    u64 end;           /* where the next grain goes, bytes */
};

struct vmdk {
    char *desc; /* the descriptor's text */
    size_t desc_len;
    u64 desc_offset;
    bool embedded;
    char type[64]; /* createType */
    u32 cid, parent_cid;
    char parent[1024]; /* parentFileNameHint */
    struct vmdk_extent *ext;
    unsigned exts;
    u64 grain;   /* of the sparse extents, bytes; 0 = none */
    bool broken; /* a resize failed half way: nothing may be written back */

    /* A stream-optimized image that is being made: vmdk_stream.c. */
    bool making;
    u32 **tables; /* a grain table an entry of the directory, NULL = nothing there */
};

/* ---- vmdk_desc.c ---- */
/* Reads what s->desc says but for the extents. */
int vmdk_read_desc(struct img *im, struct err *e);
/* An entry of s->ext a line "RW 63 FLAT ..."; files are not opened. */
int vmdk_read_extents(struct img *im, struct err *e);
/* A new CID, on the disk when it returns. */
int vmdk_new_cid(struct img *im);
/* The value of `key` in text, without quotes; false = not there. */
bool vmdk_desc_value(const char *text, const char *key, char *out, size_t room);

/* ---- vmdk_sparse.c ---- */
/* Reads the header and the directory of x, whose file is open. */
int vmdk_open_sparse(struct img *im, struct vmdk_extent *x, struct err *e);
void vmdk_close_sparse(struct vmdk_extent *x);
int vmdk_sparse_map(struct img *im, struct vmdk_extent *v, u64 off, u64 len, bool nowait,
                    struct extent *x);
int vmdk_sparse_allocate(struct img *im, struct vmdk_extent *v, u64 off, u64 len, struct extent *x);
/* Sets the grain table entry for the guest's off. */
int vmdk_set_grain(struct img *im, struct vmdk_extent *v, u64 off, u32 entry);
int vmdk_get_grain(struct img *im, struct vmdk_extent *v, u64 off, u32 *entry);
int vmdk_sparse_write_back(struct vmdk_extent *v, unsigned stage);
void vmdk_sparse_done(struct vmdk_extent *v, bool ok);
bool vmdk_sparse_dirty(const struct vmdk_extent *v);

static inline u64 vmdk_gt_bytes(const struct vmdk_extent *v)
{
    return align_up((u64)v->gtes * 4, VMDK_SECTOR);
}

/* ---- vmdk_stream.c ---- */
int vmdk_inflate(struct img *im, u64 off, const struct extent *x, u8 *out);
size_t vmdk_deflate(struct img *im, const u8 *in, u8 *out, size_t room);
int vmdk_write_deflated(struct img *im, u64 off, const u8 *data, size_t len);
/* Tables, directory and footer behind the last grain. */
int vmdk_finish_stream(struct img *im);
void vmdk_close_stream(struct vmdk *s);

/* ---- vmdk_create.c ---- */
int vmdk_create(const struct disk_create *c, struct err *e);
extern const struct create_option vmdk_options[];
/* A sparse extent for `size` bytes in an empty file.  text: the descriptor within it, or NULL. */
struct vmdk_layout {
    u64 size;
    const char *text;
    bool zeroed, stream;
};
int vmdk_make_sparse(struct file *f, const struct vmdk_layout *l, struct err *e);

/* ---- vmdk_tools.c ---- */
int vmdk_resize(struct img *im, u64 size, struct err *e);
int vmdk_check(struct img *im, struct disk_check *c, struct err *e);

#endif
