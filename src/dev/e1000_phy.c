/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The 82540EM's serial EEPROM (a Microwire 93C46, 64 words; manual 5.3) and its PHY (register
 * compatible with Marvell 88E1011; manual 13.4.7, IEEE 802.3 clause 22).
 *
 * The EEPROM can be read through EECD's pins and through EERD; it is never written.
 * Auto-negotiation is over 5 ms after it was started, and always finds 1000BASE-T, full duplex.
 */
#include "dev/e1000_internal.h"

#include <string.h>

enum { EE_CHECKSUM = 63, EE_SUM = 0xbaba, EE_OPCODE_BITS = 9, EE_READ = 2 };

/* manual 5.6; words that are not here are zero. */
void e1000_eeprom_init(struct e1000 *s)
{
    u16 sum = 0;

    memset(s->eeprom, 0, sizeof(s->eeprom));
    for (unsigned i = 0; i < 3; i++)
        s->eeprom[i] = s->mac[2 * i] | s->mac[2 * i + 1] << 8;
    s->eeprom[0x08] = 0x3000; /* part number */
    s->eeprom[0x09] = 0x1000;
    s->eeprom[0x0a] = 0x4403; /* valid, full duplex, loads the IDs that follow */
    s->eeprom[0x0b] = 0x001e; /* subsystem */
    s->eeprom[0x0c] = 0x8086;
    s->eeprom[0x0d] = 0x100e; /* device */
    s->eeprom[0x0e] = 0x8086;
    s->eeprom[0x0f] = 0x3040;
    for (unsigned i = 0; i < EE_CHECKSUM; i++)
        sum += s->eeprom[i];
    s->eeprom[EE_CHECKSUM] = EE_SUM - sum;
}

/* A rising edge of SK while selected: a bit goes in, or the next one comes out. */
static void eeprom_clock(struct e1000 *s, bool di)
{
    if (s->ee_reading) {
        if (++s->ee_bits_out > 16) {
            s->ee_bits_out = 1;
            s->ee_word = (s->ee_word + 1) % E1000_EEPROM_WORDS;
        }
        return;
    }
    if (!s->ee_bits_in && !di) /* before the start bit */
        return;
    s->ee_in = s->ee_in << 1 | di;
    if (++s->ee_bits_in < EE_OPCODE_BITS)
        return;
    s->ee_bits_in = 0;
    s->ee_bits_out = 0;
    s->ee_reading = (s->ee_in >> 6 & 3) == EE_READ;
    s->ee_word = s->ee_in & (E1000_EEPROM_WORDS - 1);
    s->ee_in = 0;
}

void e1000_write_eecd(struct e1000 *s, u32 v)
{
    u32 old = s->eecd_old;

    s->eecd_old = v;
    if (!(v & EECD_CS) || !(old & EECD_CS)) {
        s->ee_in = s->ee_bits_in = s->ee_bits_out = s->ee_reading = 0;
        if (!(v & EECD_CS))
            return;
    }
    if (v & EECD_SK && !(old & EECD_SK))
        eeprom_clock(s, v & EECD_DI);
}

u32 e1000_read_eecd(const struct e1000 *s)
{
    u32 v = s->eecd_old & (EECD_SK | EECD_CS | EECD_DI | EECD_REQ | 0x30);
    bool out = true; /* ready */

    if (s->ee_reading) /* a zero goes before the first bit */
        out = s->ee_bits_out && s->eeprom[s->ee_word] >> (16 - s->ee_bits_out) & 1;
    return v | EECD_PRES | (v & EECD_REQ ? EECD_GNT : 0) | (out ? EECD_DO : 0);
}

void e1000_write_eerd(struct e1000 *s, u32 v)
{
    u32 addr = v >> 8 & 0xff;
    u16 word = addr < E1000_EEPROM_WORDS ? s->eeprom[addr] : 0xffff;

    if (v & 1)
        *e1000_reg(s, R_EERD) = (u32)word << 16 | addr << 8 | 0x10;
    else
        *e1000_reg(s, R_EERD) = v & 0xff00;
}

/* ------------------------------------------------------------------- PHY -- */

enum { PHY_CTRL, PHY_STATUS, PHY_ID1, PHY_ID2, PHY_ANAR, PHY_LPA, PHY_EXPANSION };
enum { PHY_1000T_CTRL = 9, PHY_1000T_STATUS = 10, PHY_EXT_STATUS = 15 };
enum { M88_CTRL = 16, M88_STATUS = 17, M88_INT_STATUS = 19, M88_EXT_CTRL = 20 };
enum { PHY_CTRL_RESET = 0x8000, PHY_CTRL_LOOPBACK = 0x4000, PHY_CTRL_RESTART = 0x0200 };

enum { AUTONEG_NS = 5000000 };

void e1000_phy_reset(struct e1000 *s)
{
    bool up = *e1000_reg(s, R_STATUS) & STATUS_LU;

    memset(s->phy, 0, sizeof(s->phy));
    s->phy[PHY_CTRL] = 0x1140;
    s->phy[PHY_STATUS] = 0x7949;
    s->phy[PHY_ID1] = 0x0141;
    s->phy[PHY_ID2] = 0x0c20;
    s->phy[PHY_ANAR] = 0x0de1;
    s->phy[7] = 0x2001; /* next page */
    s->phy[PHY_1000T_CTRL] = 0x0e00;
    s->phy[PHY_EXT_STATUS] = 0x3000;
    s->phy[M88_CTRL] = 0x0360;
    s->phy[M88_EXT_CTRL] = 0x0d60;
    e1000_phy_link(s, up);
}

/* What the registers show of the cable. */
void e1000_phy_link(struct e1000 *s, bool up)
{
    s->phy[PHY_STATUS] = (s->phy[PHY_STATUS] & ~0x24) | (up ? 0x24 : 0);
    s->phy[PHY_LPA] = up ? 0x4de1 : 0;
    s->phy[PHY_EXPANSION] = up ? 0x0003 : 0;
    s->phy[PHY_1000T_STATUS] = up ? 0x3c00 : 0;
    s->phy[M88_STATUS] = up ? 0xac08 : 0x0008;
}

bool e1000_phy_loopback(const struct e1000 *s)
{
    return s->phy[PHY_CTRL] & PHY_CTRL_LOOPBACK;
}

static void phy_write(struct e1000 *s, unsigned reg, u16 v)
{
    switch (reg) {
    case PHY_CTRL:
        if (v & PHY_CTRL_RESET) {
            e1000_phy_reset(s);
            v = s->phy[PHY_CTRL] | PHY_CTRL_RESTART;
        }
        if (v & PHY_CTRL_RESTART) {
            s->link_at = clock_now(s->clock) + AUTONEG_NS;
            timer_set(s->clock, &s->link_timer, s->link_at);
        }
        s->phy[PHY_CTRL] = v & 0x7d7f & ~PHY_CTRL_RESTART;
        break;
    case PHY_ANAR:
    case 7:
    case PHY_1000T_CTRL:
    case M88_CTRL:
    case 18: /* interrupt enable */
    case M88_EXT_CTRL:
    case 22: /* page and LED control, test registers */
    case 24:
    case 29:
    case 30:
    case 31:
        s->phy[reg] = v;
        break;
    }
}

/* data, register << 16, PHY << 21, operation << 26; ready << 28, interrupt << 29, error << 30. */
void e1000_write_mdic(struct e1000 *s, u32 v)
{
    unsigned reg = v >> 16 & 31, op = v >> 26 & 3;
    u32 out = (v & 0x2fffffff) | BIT(28);

    if ((v >> 21 & 31) != 1 || (op != 1 && op != 2)) {
        out |= BIT(30);
    } else if (op == 1) {
        phy_write(s, reg, v);
    } else {
        out = (out & 0xffff0000) | s->phy[reg];
        if (reg == M88_INT_STATUS)
            s->phy[reg] = 0;
    }
    *e1000_reg(s, R_MDIC) = out;
    if (v & BIT(29))
        e1000_cause(s, ICR_MDAC);
}
