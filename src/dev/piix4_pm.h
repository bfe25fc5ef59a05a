/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Power management and SMBus of the PIIX4 (8086:7113): ACPI fixed registers, S5, power button,
 * the SMI command port without SMM, an SMBus host with nobody on the bus.
 */
#ifndef WIRT_DEV_PIIX4_PM_H
#define WIRT_DEV_PIIX4_PM_H

#include "base/clock.h"
#include "dev/pci.h"

/* Offsets from PMBASE, for the FADT; SeaBIOS puts PMBASE at 0x600. */
enum {
    PIIX4_PM1A_EVT = 0x00, /* 4 bytes */
    PIIX4_PM1A_CNT = 0x04, /* 2 bytes */
    PIIX4_PM_TMR = 0x08,   /* 4 bytes, 24 bits count */
    PIIX4_GPE0 = 0x0c,     /* 4 bytes: 2 status, 2 enable */
    PIIX4_PM_SIZE = 0x40,
};
/* The FADT's SMI_CMD values, and the _S5 sleep type. */
enum { PIIX4_ACPI_ENABLE = 0xf1, PIIX4_ACPI_DISABLE = 0xf0, PIIX4_S5_TYPE = 0 };

enum { PM_TIMER_HZ = 3579545 };

struct piix4_pm {
    struct pci_dev pci;
    u16 pm1_sts, pm1_en, pm1_cnt;
    u16 gpe_sts, gpe_en;
    u8 apmc, apms;              /* ports 0xb2 and 0xb3 */
    u32 pcntrl, glbctl, devctl; /* keep what is written */
    u16 glben;
    u8 smb_sts, smb_cnt, smb_cmd, smb_add, smb_dat0, smb_dat1;
    u64 tmr_seen; /* PM timer wraps (of bit 23) already shown in TMR_STS */
    bool sci_level;
    struct region pm;    /* PMBASE, 64 ports; mapped by the function itself */
    struct region smbus; /* SMBus base, 16 ports; likewise */
    struct region apm;   /* 2 ports (0xb2) */
    struct irq sci;
    struct irq power_off; /* pulsed when the guest enters S5 */
    struct clock *clock;
    struct timer timer; /* the next TMR_STS, while TMR_EN */
};

int piix4_pm_init(struct piix4_pm *p, struct pci_bus *b, unsigned devfn, struct clock *c,
                  struct irq sci, struct irq power_off);
/* What firmware would write: PMBASE and the SMBus base, both enabled. */
void piix4_pm_set_bases(struct piix4_pm *p, u16 pmbase, u16 smbase);
/* The user pushed the power button; any thread. */
void piix4_pm_power_button(struct piix4_pm *p);

extern const struct state_desc piix4_pm_state;

#endif
