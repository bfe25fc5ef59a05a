/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Intel 82540EM Gigabit Ethernet controller ("e1000").
 */
#ifndef WIRT_DEV_E1000_H
#define WIRT_DEV_E1000_H

#include "base/clock.h"
#include "core/backend.h"
#include "dev/pci.h"

enum {
    E1000_MMIO_SIZE = 128 * 1024,
    E1000_REGS = E1000_MMIO_SIZE / 4 / 4, /* registers lie in the first 32 KiB */
    E1000_EEPROM_WORDS = 64,
    E1000_PHY_REGS = 32,
    E1000_TX_MAX = 65536 + 256, /* bytes of a frame, or of a segmentation job */
};

/* A context descriptor's offload parameters: one for plain checksums, one for segmentation. */
struct e1000_tx_context {
    u8 ipcss, ipcso, tucss, tucso, hdrlen;
    u16 ipcse, tucse, mss;
    u32 paylen;
    u8 ip, tcp; /* IPv4 (else IPv6), TCP (else UDP) */
};

struct e1000 {
    struct pci_dev pci; /* first */
    struct trace *trace;
    struct clock *clock;
    struct nic_backend *backend;
    struct nic_frontend front;
    struct region mmio; /* BAR 0 */
    struct region io;   /* BAR 2: IOADDR, IODATA */

    u32 reg[E1000_REGS]; /* by offset / 4 */
    u32 io_addr;
    u16 eeprom[E1000_EEPROM_WORDS];
    u16 phy[E1000_PHY_REGS];
    u8 mac[6];
    /* The serial EEPROM's pins. */
    u32 eecd_old;
    u16 ee_in, ee_bits_in, ee_bits_out, ee_word, ee_reading;

    /* The frame being gathered from transmit descriptors. */
    struct e1000_tx_context csum_ctx, tso_ctx;
    u32 tx_len;
    u8 tx_popts, tx_tso, tx_skip;
    u16 tx_vlan;
    u8 tx_vlan_insert, tx_data_desc;
    u8 tx_frame[E1000_TX_MAX];

    /* Interrupts held back by RDTR, RADV, TIDV, TADV and ITR. */
    u32 rx_held, tx_held; /* causes */
    u8 intr_level;
    u64 itr_next; /* virtual ns before which INTx does not rise */
    u64 link_at;  /* virtual ns at which autonegotiation ends, 0 = it is not under way */
    struct timer rx_timer, rx_abs_timer, tx_timer, tx_abs_timer, itr_timer, link_timer, work_timer;
};

struct e1000_config {
    struct nic_backend *backend; /* NULL: cable unplugged */
    u8 mac[6];
};

/* -EBUSY when devfn is taken.  The board may add an option ROM with pci_rom_init(). */
int e1000_init(struct e1000 *s, struct pci_bus *b, unsigned devfn, const struct e1000_config *cfg,
               struct clock *clock);
/* The cable: LSC interrupt when it changes.  From any thread. */
void e1000_set_link(struct e1000 *s, bool up);

extern const struct state_desc e1000_state; /* of struct e1000, without struct pci_dev */

#endif
