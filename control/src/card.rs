//! A card, as a panel of access control knows people, and the bits that a Wiegand reader sends for it, with a parity bit at
//! each end.
//!
//! ```text
//! 26 bits:  P FFFFFFFF NNNNNNNNNNNNNNNN Q      P makes the first half even, Q the last half odd;
//! 34 bits:  P F×16     N×16             Q      each half with its own parity bit
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Fault;

/// Whom a panel knows: what would be printed on a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// The facility, or site, 0 to 255 in 26 bits, 0 to 65,535 in 34.
    pub facility: u16,
    pub number: u16,
}

impl fmt::Display for Card {
    /// As it is printed on cards: facility and number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.facility, self.number)
    }
}

/// How a card becomes bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum CardFormat {
    /// 26 bits, which every panel knows: a facility of 8 bits, a number of 16.
    #[default]
    Bits26,
    /// 34 bits: both of 16.
    Bits34,
}

impl TryFrom<u8> for CardFormat {
    type Error = String;

    fn try_from(bits: u8) -> Result<Self, String> {
        match bits {
            26 => Ok(Self::Bits26),
            34 => Ok(Self::Bits34),
            _ => Err(format!("{bits} bits are not known, only 26 and 34 are")),
        }
    }
}

impl From<CardFormat> for u8 {
    fn from(format: CardFormat) -> Self {
        format.bits()
    }
}

/// Bits as they go over the wire. The first is the highest of `bits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub bits: u64,
    pub format: CardFormat,
}

impl CardFormat {
    /// As many bits a frame has, parity included.
    pub const fn bits(self) -> u8 {
        match self {
            Self::Bits26 => 26,
            Self::Bits34 => 34,
        }
    }

    /// As many of them are half of a frame without its parity bit.
    const fn half(self) -> u32 {
        (self.bits() as u32 - 2) / 2
    }

    /// The greatest facility.
    pub const fn max_facility(self) -> u16 {
        match self {
            Self::Bits26 => 0xff,
            Self::Bits34 => 0xffff,
        }
    }

    /// Whether the card can be sent.
    pub const fn fits(self, card: Card) -> bool {
        card.facility <= self.max_facility()
    }

    /// The card's bits.
    ///
    /// # Errors
    /// A facility that does not fit.
    pub fn encode(self, card: Card) -> Result<Frame, Fault> {
        if !self.fits(card) {
            return Err(Fault::new(
                format!("facility {} does not fit into {} bits", card.facility, self.bits()),
                format!("use 0 to {}, or the format of 34 bits where the panel knows it", self.max_facility()),
            ));
        }
        let data = u64::from(card.facility) << 16 | u64::from(card.number);
        let (even, odd) = self.parity(data);
        Ok(Frame { bits: even << (self.bits() - 1) | data << 1 | odd, format: self })
    }

    /// The parity bits of the data: one that makes the first half even, one that makes the last half odd.
    fn parity(self, data: u64) -> (u64, u64) {
        let first = data >> self.half();
        let last = data & ((1 << self.half()) - 1);
        (u64::from(first.count_ones() % 2), u64::from(last.count_ones().is_multiple_of(2)))
    }
}

impl Frame {
    /// The card.
    ///
    /// # Errors
    /// A parity bit that does not agree.
    pub fn decode(self) -> Result<Card, Fault> {
        let bits = self.format.bits();
        let data = self.bits >> 1 & ((1 << (bits - 2)) - 1);
        let expected = self.format.parity(data);
        if self.bits >> bits != 0 || (self.bits >> (bits - 1), self.bits & 1) != expected {
            return Err(Fault::new(format!("these are no {bits} bits of a card: wrong parity"), "read the card again"));
        }
        let low = |value: u64| u16::try_from(value & 0xffff).unwrap_or_default();
        Ok(Card { facility: low(data >> 16), number: low(data) })
    }

    /// The bits in the order in which they are sent.
    pub fn iter(self) -> impl Iterator<Item = bool> {
        (0..self.format.bits()).rev().map(move |at| self.bits >> at & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn card() -> impl Strategy<Value = (CardFormat, Card)> {
        let formats = prop_oneof![Just(CardFormat::Bits26), Just(CardFormat::Bits34)];
        (formats, any::<u16>(), any::<u16>()).prop_map(|(format, facility, number)| {
            (format, Card { facility: facility & format.max_facility(), number })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn a_card_comes_back((format, card) in card()) {
            prop_assert_eq!(format.encode(card).expect("fits").decode().expect("is right"), card);
        }

        /// Against the plainest statement of parity: count the ones that are sent.
        #[test]
        fn the_first_half_is_even_and_the_last_odd((format, card) in card()) {
            let sent: Vec<bool> = format.encode(card).expect("fits").iter().collect();
            prop_assert_eq!(sent.len(), usize::from(format.bits()));
            let ones = |half: &[bool]| half.iter().filter(|&&bit| bit).count();
            let (first, last) = sent.split_at(sent.len() / 2);
            prop_assert_eq!((ones(first) % 2, ones(last) % 2), (0, 1));
        }

        #[test]
        fn any_flipped_bit_is_noticed((format, card) in card(), at in 0u8..34) {
            let mut frame = format.encode(card).expect("fits");
            frame.bits ^= 1 << (at % format.bits());
            prop_assert!(frame.decode().is_err());
        }
    }

    #[test]
    fn known_cards() {
        let text = |format: CardFormat, facility, number| -> String {
            let frame = format.encode(Card { facility, number }).expect("fits");
            frame.iter().map(|bit| if bit { '1' } else { '0' }).collect()
        };
        assert_eq!(text(CardFormat::Bits26, 1, 1), "10000000100000000000000010");
        assert_eq!(text(CardFormat::Bits26, 0, 0), "00000000000000000000000001");
        assert_eq!(text(CardFormat::Bits26, 255, 65_535), "01111111111111111111111111");
        assert_eq!(text(CardFormat::Bits34, 1, 1), format!("1{:016b}{:016b}0", 1, 1));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let error = CardFormat::Bits26.encode(Card { facility: 256, number: 1 }).expect_err("9 bits");
        assert!(error.message.contains("facility 256") && error.help.contains("0 to 255"), "{error:?}");
        assert!(Frame { bits: 1 << 26 | 1, format: CardFormat::Bits26 }.decode().is_err(), "a bit too many");
        assert!(serde_json::from_str::<Card>(r#"{"facility": 1, "number": 65536}"#).is_err());
    }
}
