/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PC's devices as ACPI names them: i440FX with PIIX3/PIIX4.  PMIN and FLGS are patched by
 * acpi.c before the guest sees them; processors are in an SSDT that acpi.c writes.  Revision 1 (32-
 * bit integers), since the oldest guests read no other.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 1, "WIRT  ", "WIRTPC  ", 1)
{
    Name (PMIN, 0x12345678) // first address of PCI memory below 4 GiB
    Name (FLGS, 0x12345679) // bit 0: floppy controller, bits 1-4: COM1-COM4

    Name (\_S5, Package () { 0, 0, 0, 0 })

    Scope (\_GPE)
    {
        Name (_HID, "ACPI0006")
    }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)

            Name (CRES, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0xff, 0, 0x100)
                IO (Decode16, 0xcf8, 0xcf8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0, 0xcf7, 0, 0xcf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0xd00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                    0, 0xa0000, 0xbffff, 0, 0x20000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite, 0, 0xe0000000, 0xfebfffff, 0, 0x1ec00000, , , PMEM)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRES, \_SB.PCI0.PMEM._MIN, PMN)
                CreateDWordField (CRES, \_SB.PCI0.PMEM._MAX, PMX)
                CreateDWordField (CRES, \_SB.PCI0.PMEM._LEN, PLN)
                Store (PMIN, PMN)
                Add (Subtract (PMX, PMIN), 1, PLN)
                Return (CRES)
            }

            // PIRQ of pin p (0-3) at slot s: (s - 1 + p) & 3.
            Name (_PRT, Package ()
            {
                Package () { 0x0000ffff, 0, LNKD, 0 }, Package () { 0x0000ffff, 1, LNKA, 0 },
                Package () { 0x0000ffff, 2, LNKB, 0 }, Package () { 0x0000ffff, 3, LNKC, 0 },
                Package () { 0x0001ffff, 0, LNKA, 0 }, Package () { 0x0001ffff, 1, LNKB, 0 },
                Package () { 0x0001ffff, 2, LNKC, 0 }, Package () { 0x0001ffff, 3, LNKD, 0 },
                Package () { 0x0002ffff, 0, LNKB, 0 }, Package () { 0x0002ffff, 1, LNKC, 0 },
                Package () { 0x0002ffff, 2, LNKD, 0 }, Package () { 0x0002ffff, 3, LNKA, 0 },
                Package () { 0x0003ffff, 0, LNKC, 0 }, Package () { 0x0003ffff, 1, LNKD, 0 },
                Package () { 0x0003ffff, 2, LNKA, 0 }, Package () { 0x0003ffff, 3, LNKB, 0 },
                Package () { 0x0004ffff, 0, LNKD, 0 }, Package () { 0x0004ffff, 1, LNKA, 0 },
                Package () { 0x0004ffff, 2, LNKB, 0 }, Package () { 0x0004ffff, 3, LNKC, 0 },
                Package () { 0x0005ffff, 0, LNKA, 0 }, Package () { 0x0005ffff, 1, LNKB, 0 },
                Package () { 0x0005ffff, 2, LNKC, 0 }, Package () { 0x0005ffff, 3, LNKD, 0 },
                Package () { 0x0006ffff, 0, LNKB, 0 }, Package () { 0x0006ffff, 1, LNKC, 0 },
                Package () { 0x0006ffff, 2, LNKD, 0 }, Package () { 0x0006ffff, 3, LNKA, 0 },
                Package () { 0x0007ffff, 0, LNKC, 0 }, Package () { 0x0007ffff, 1, LNKD, 0 },
                Package () { 0x0007ffff, 2, LNKA, 0 }, Package () { 0x0007ffff, 3, LNKB, 0 },
                Package () { 0x0008ffff, 0, LNKD, 0 }, Package () { 0x0008ffff, 1, LNKA, 0 },
                Package () { 0x0008ffff, 2, LNKB, 0 }, Package () { 0x0008ffff, 3, LNKC, 0 },
                Package () { 0x0009ffff, 0, LNKA, 0 }, Package () { 0x0009ffff, 1, LNKB, 0 },
                Package () { 0x0009ffff, 2, LNKC, 0 }, Package () { 0x0009ffff, 3, LNKD, 0 },
                Package () { 0x000affff, 0, LNKB, 0 }, Package () { 0x000affff, 1, LNKC, 0 },
                Package () { 0x000affff, 2, LNKD, 0 }, Package () { 0x000affff, 3, LNKA, 0 },
                Package () { 0x000bffff, 0, LNKC, 0 }, Package () { 0x000bffff, 1, LNKD, 0 },
                Package () { 0x000bffff, 2, LNKA, 0 }, Package () { 0x000bffff, 3, LNKB, 0 },
                Package () { 0x000cffff, 0, LNKD, 0 }, Package () { 0x000cffff, 1, LNKA, 0 },
                Package () { 0x000cffff, 2, LNKB, 0 }, Package () { 0x000cffff, 3, LNKC, 0 },
                Package () { 0x000dffff, 0, LNKA, 0 }, Package () { 0x000dffff, 1, LNKB, 0 },
                Package () { 0x000dffff, 2, LNKC, 0 }, Package () { 0x000dffff, 3, LNKD, 0 },
                Package () { 0x000effff, 0, LNKB, 0 }, Package () { 0x000effff, 1, LNKC, 0 },
                Package () { 0x000effff, 2, LNKD, 0 }, Package () { 0x000effff, 3, LNKA, 0 },
                Package () { 0x000fffff, 0, LNKC, 0 }, Package () { 0x000fffff, 1, LNKD, 0 },
                Package () { 0x000fffff, 2, LNKA, 0 }, Package () { 0x000fffff, 3, LNKB, 0 },
                Package () { 0x0010ffff, 0, LNKD, 0 }, Package () { 0x0010ffff, 1, LNKA, 0 },
                Package () { 0x0010ffff, 2, LNKB, 0 }, Package () { 0x0010ffff, 3, LNKC, 0 },
                Package () { 0x0011ffff, 0, LNKA, 0 }, Package () { 0x0011ffff, 1, LNKB, 0 },
                Package () { 0x0011ffff, 2, LNKC, 0 }, Package () { 0x0011ffff, 3, LNKD, 0 },
                Package () { 0x0012ffff, 0, LNKB, 0 }, Package () { 0x0012ffff, 1, LNKC, 0 },
                Package () { 0x0012ffff, 2, LNKD, 0 }, Package () { 0x0012ffff, 3, LNKA, 0 },
                Package () { 0x0013ffff, 0, LNKC, 0 }, Package () { 0x0013ffff, 1, LNKD, 0 },
                Package () { 0x0013ffff, 2, LNKA, 0 }, Package () { 0x0013ffff, 3, LNKB, 0 },
                Package () { 0x0014ffff, 0, LNKD, 0 }, Package () { 0x0014ffff, 1, LNKA, 0 },
                Package () { 0x0014ffff, 2, LNKB, 0 }, Package () { 0x0014ffff, 3, LNKC, 0 },
                Package () { 0x0015ffff, 0, LNKA, 0 }, Package () { 0x0015ffff, 1, LNKB, 0 },
                Package () { 0x0015ffff, 2, LNKC, 0 }, Package () { 0x0015ffff, 3, LNKD, 0 },
                Package () { 0x0016ffff, 0, LNKB, 0 }, Package () { 0x0016ffff, 1, LNKC, 0 },
                Package () { 0x0016ffff, 2, LNKD, 0 }, Package () { 0x0016ffff, 3, LNKA, 0 },
                Package () { 0x0017ffff, 0, LNKC, 0 }, Package () { 0x0017ffff, 1, LNKD, 0 },
                Package () { 0x0017ffff, 2, LNKA, 0 }, Package () { 0x0017ffff, 3, LNKB, 0 },
                Package () { 0x0018ffff, 0, LNKD, 0 }, Package () { 0x0018ffff, 1, LNKA, 0 },
                Package () { 0x0018ffff, 2, LNKB, 0 }, Package () { 0x0018ffff, 3, LNKC, 0 },
                Package () { 0x0019ffff, 0, LNKA, 0 }, Package () { 0x0019ffff, 1, LNKB, 0 },
                Package () { 0x0019ffff, 2, LNKC, 0 }, Package () { 0x0019ffff, 3, LNKD, 0 },
                Package () { 0x001affff, 0, LNKB, 0 }, Package () { 0x001affff, 1, LNKC, 0 },
                Package () { 0x001affff, 2, LNKD, 0 }, Package () { 0x001affff, 3, LNKA, 0 },
                Package () { 0x001bffff, 0, LNKC, 0 }, Package () { 0x001bffff, 1, LNKD, 0 },
                Package () { 0x001bffff, 2, LNKA, 0 }, Package () { 0x001bffff, 3, LNKB, 0 },
                Package () { 0x001cffff, 0, LNKD, 0 }, Package () { 0x001cffff, 1, LNKA, 0 },
                Package () { 0x001cffff, 2, LNKB, 0 }, Package () { 0x001cffff, 3, LNKC, 0 },
                Package () { 0x001dffff, 0, LNKA, 0 }, Package () { 0x001dffff, 1, LNKB, 0 },
                Package () { 0x001dffff, 2, LNKC, 0 }, Package () { 0x001dffff, 3, LNKD, 0 },
                Package () { 0x001effff, 0, LNKB, 0 }, Package () { 0x001effff, 1, LNKC, 0 },
                Package () { 0x001effff, 2, LNKD, 0 }, Package () { 0x001effff, 3, LNKA, 0 },
                Package () { 0x001fffff, 0, LNKC, 0 }, Package () { 0x001fffff, 1, LNKD, 0 },
                Package () { 0x001fffff, 2, LNKA, 0 }, Package () { 0x001fffff, 3, LNKB, 0 }
            })

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (P40C, PCI_Config, 0x60, 4)
                Field (P40C, ByteAcc, NoLock, Preserve)
                {
                    PRQ0, 8, PRQ1, 8, PRQ2, 8, PRQ3, 8
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x70, 0x70, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x60, 0x60, 1, 1)
                        IO (Decode16, 0x64, 0x64, 1, 1)
                        IRQNoFlags () { 1 }
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
                }
                Device (FDC0)
                {
                    Name (_HID, EisaId ("PNP0700"))
                    Method (_STA) { If (FLGS & 1) { Return (0x0f) } Return (0) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3f0, 0x3f0, 0, 6)
                        IO (Decode16, 0x3f7, 0x3f7, 0, 1)
                        IRQNoFlags () { 6 }
                        DMA (Compatibility, NotBusMaster, Transfer8) { 2 }
                    })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Method (_STA) { If (FLGS & 2) { Return (0x0f) } Return (0) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3f8, 0x3f8, 0, 8)
                        IRQNoFlags () { 4 }
                    })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Method (_STA) { If (FLGS & 4) { Return (0x0f) } Return (0) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x2f8, 0x2f8, 0, 8)
                        IRQNoFlags () { 3 }
                    })
                }
                Device (COM3)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 3)
                    Method (_STA) { If (FLGS & 8) { Return (0x0f) } Return (0) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3e8, 0x3e8, 0, 8)
                        IRQNoFlags () { 4 }
                    })
                }
                Device (COM4)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 4)
                    Method (_STA) { If (FLGS & 16) { Return (0x0f) } Return (0) }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x2e8, 0x2e8, 0, 8)
                        IRQNoFlags () { 3 }
                    })
                }
                Device (MBRD) // ports of the board that nothing else may take
                {
                    Name (_HID, EisaId ("PNP0C02"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x4d0, 0x4d0, 1, 2)
                        IO (Decode16, 0xb2, 0xb2, 1, 2)
                        IO (Decode16, 0x92, 0x92, 1, 1)
                        IO (Decode16, 0x510, 0x510, 1, 12)
                        IO (Decode16, 0x600, 0x600, 1, 0x40)
                        IO (Decode16, 0x700, 0x700, 1, 0x10)
                    })
                }
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xfed00000, 0x400) })
        }

        // The PIIX3's interrupt routing: 0x80 in a route register means off.
        Method (IQST, 1) { If (Arg0 & 0x80) { Return (0x09) } Return (0x0b) }
        Name (PRSB, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 }
        })
        Name (CRSB, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 0 }
        })
        Method (IQCR, 1, Serialized)
        {
            CreateDWordField (CRSB, 5, IRQW)
            Store (0, IRQW)
            If ((Arg0 & 0x80) == 0) { Store (Arg0 & 0x0f, IRQW) }
            Return (CRSB)
        }
        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0)
            Method (_STA) { Return (IQST (\_SB.PCI0.ISA.PRQ0)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQ0 |= 0x80 }
            Method (_PRS) { Return (PRSB) }
            Method (_CRS) { Return (IQCR (\_SB.PCI0.ISA.PRQ0)) }
            Method (_SRS, 1, Serialized)
            {
                CreateDWordField (Arg0, 5, PRRI)
                \_SB.PCI0.ISA.PRQ0 = PRRI
            }
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_STA) { Return (IQST (\_SB.PCI0.ISA.PRQ1)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQ1 |= 0x80 }
            Method (_PRS) { Return (PRSB) }
            Method (_CRS) { Return (IQCR (\_SB.PCI0.ISA.PRQ1)) }
            Method (_SRS, 1, Serialized)
            {
                CreateDWordField (Arg0, 5, PRRI)
                \_SB.PCI0.ISA.PRQ1 = PRRI
            }
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_STA) { Return (IQST (\_SB.PCI0.ISA.PRQ2)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQ2 |= 0x80 }
            Method (_PRS) { Return (PRSB) }
            Method (_CRS) { Return (IQCR (\_SB.PCI0.ISA.PRQ2)) }
            Method (_SRS, 1, Serialized)
            {
                CreateDWordField (Arg0, 5, PRRI)
                \_SB.PCI0.ISA.PRQ2 = PRRI
            }
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_STA) { Return (IQST (\_SB.PCI0.ISA.PRQ3)) }
            Method (_DIS) { \_SB.PCI0.ISA.PRQ3 |= 0x80 }
            Method (_PRS) { Return (PRSB) }
            Method (_CRS) { Return (IQCR (\_SB.PCI0.ISA.PRQ3)) }
            Method (_SRS, 1, Serialized)
            {
                CreateDWordField (Arg0, 5, PRRI)
                \_SB.PCI0.ISA.PRQ3 = PRRI
            }
        }
    }
}
