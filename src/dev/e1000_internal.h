/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers of the 82540EM (317453, "PCI/PCI-X Family of Gigabit Ethernet Controllers Software
 * Developer's Manual", chapter 13), and what its files share.  All with the device's lock held.
 */
#ifndef WIRT_DEV_E1000_INTERNAL_H
#define WIRT_DEV_E1000_INTERNAL_H

#include "dev/e1000.h"

enum {
    R_CTRL = 0x0000,
    R_CTRL_DUP = 0x0004,
    R_STATUS = 0x0008,
    R_EECD = 0x0010,
    R_EERD = 0x0014,
    R_CTRL_EXT = 0x0018,
    R_MDIC = 0x0020,
    R_FCAL = 0x0028,
    R_FCAH = 0x002c,
    R_FCT = 0x0030,
    R_VET = 0x0038,
    R_ICR = 0x00c0,
    R_ITR = 0x00c4,
    R_ICS = 0x00c8,
    R_IMS = 0x00d0,
    R_IMC = 0x00d8,
    R_RCTL = 0x0100,
    R_FCTTV = 0x0170,
    R_TXCW = 0x0178,
    R_TCTL = 0x0400,
    R_TIPG = 0x0410,
    R_AIFS = 0x0458,
    R_LEDCTL = 0x0e00,
    R_PBA = 0x1000,
    R_FCRTL = 0x2160,
    R_FCRTH = 0x2168,
    R_RDBAL = 0x2800,
    R_RDBAH = 0x2804,
    R_RDLEN = 0x2808,
    R_RDH = 0x2810,
    R_RDT = 0x2818,
    R_RDTR = 0x2820,
    R_RXDCTL = 0x2828,
    R_RADV = 0x282c,
    R_RSRPD = 0x2c00,
    R_TXDMAC = 0x3000,
    R_TDBAL = 0x3800,
    R_TDBAH = 0x3804,
    R_TDLEN = 0x3808,
    R_TDH = 0x3810,
    R_TDT = 0x3818,
    R_TIDV = 0x3820,
    R_TXDCTL = 0x3828,
    R_TADV = 0x382c,
    R_TSPMT = 0x3830,
    R_STATS = 0x4000, /* to 40fc, all cleared by reading */
    R_MPC = 0x4010,
    R_PRC64 = 0x405c, /* six, by size */
    R_GPRC = 0x4074,
    R_BPRC = 0x4078,
    R_MPRC = 0x407c,
    R_GPTC = 0x4080,
    R_GORC = 0x4088,
    R_GOTC = 0x4090,
    R_RNBC = 0x40a0,
    R_ROC = 0x40ac,
    R_TORC = 0x40c0,
    R_TOTC = 0x40c8,
    R_TPR = 0x40d0,
    R_TPT = 0x40d4,
    R_PTC64 = 0x40d8, /* six, by size */
    R_MPTC = 0x40f0,
    R_BPTC = 0x40f4,
    R_TSCTC = 0x40f8,
    R_STATS_END = 0x4100,
    R_RXCSUM = 0x5000,
    R_MTA = 0x5200,  /* 128 */
    R_RA = 0x5400,   /* 16 pairs */
    R_VFTA = 0x5600, /* 128 */
    R_WUC = 0x5800,
    R_WUFC = 0x5808,
    R_WUS = 0x5810,
    R_MANC = 0x5820,
    R_IPAV = 0x5838,
    R_WAKE_END = 0x5c00,
};

enum { CTRL_FD = BIT(0), CTRL_SLU = BIT(6), CTRL_RST = BIT(26), CTRL_VME = BIT(30) };
#define CTRL_PHY_RST BIT(31)
enum { STATUS_FD = BIT(0), STATUS_LU = BIT(1), STATUS_1000 = 0x280, STATUS_MTXCKOK = BIT(10) };
enum {
    EECD_SK = BIT(0),
    EECD_CS = BIT(1),
    EECD_DI = BIT(2),
    EECD_DO = BIT(3),
    EECD_REQ = BIT(6),
    EECD_GNT = BIT(7),
    EECD_PRES = BIT(8),
};
enum { CTRL_EXT_EE_RST = BIT(13) };

/* Interrupt causes. */
enum {
    ICR_TXDW = BIT(0),
    ICR_TXQE = BIT(1),
    ICR_LSC = BIT(2),
    ICR_RXDMT0 = BIT(4),
    ICR_RXO = BIT(6),
    ICR_RXT0 = BIT(7),
    ICR_MDAC = BIT(9),
    ICR_TXD_LOW = BIT(15),
    ICR_ALL = 0x1f7df,
};

enum {
    RCTL_EN = BIT(1),
    RCTL_UPE = BIT(3),
    RCTL_MPE = BIT(4),
    RCTL_LPE = BIT(5),
    RCTL_LBM_MAC = BIT(6),
    RCTL_BAM = BIT(15),
    RCTL_VFE = BIT(18),
    RCTL_CFIEN = BIT(19),
    RCTL_CFI = BIT(20),
    RCTL_BSEX = BIT(25),
    RCTL_SECRC = BIT(26),
};
enum { TCTL_EN = BIT(1), TCTL_PSP = BIT(3) };
enum { RXCSUM_IPOFL = BIT(8), RXCSUM_TUOFL = BIT(9) };

enum { E1000_DESC = 16, E1000_MIN_FRAME = 60 };

static inline u32 *e1000_reg(struct e1000 *s, u32 off)
{
    return &s->reg[off / 4];
}

/* A statistics register, which sticks at its maximum; the 64-bit ones are two registers. */
void e1000_count(struct e1000 *s, u32 off, u32 n);
void e1000_count64(struct e1000 *s, u32 off, u64 n);
/* Counts a frame of len bytes in the six size classes that begin at `off`. */
void e1000_count_size(struct e1000 *s, u32 off, size_t len);

void e1000_cause(struct e1000 *s, u32 causes); /* sets ICR bits and looks at INTx */

/* e1000_tx.c */
void e1000_tx_kick(struct e1000 *s); /* the tail moved, or transmission was switched on */
void e1000_tx_reset(struct e1000 *s);
void e1000_tx_delayed(struct e1000 *s);

/* e1000_rx.c */
/* False: no descriptors now. */
bool e1000_rx_frame(struct e1000 *s, const struct iovec *iov, int niov);
void e1000_rx_delayed(struct e1000 *s);

/* e1000_phy.c: the serial EEPROM and the PHY behind MDIC. */
void e1000_eeprom_init(struct e1000 *s);
void e1000_write_eecd(struct e1000 *s, u32 v);
u32 e1000_read_eecd(const struct e1000 *s);
void e1000_write_eerd(struct e1000 *s, u32 v);
void e1000_phy_reset(struct e1000 *s);
void e1000_write_mdic(struct e1000 *s, u32 v);
bool e1000_phy_loopback(const struct e1000 *s);
void e1000_phy_link(struct e1000 *s, bool up);

#endif
