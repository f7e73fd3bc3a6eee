//! Networks of tasks: ranges of IPv4 addresses, and the names of what lies in them.

use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::IdError;

/// A subnet's id: `subnet-` and 17 hexadecimal digits, as EC2 writes it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubnetId(u128);

impl SubnetId {
    /// What its text begins with.
    pub const PREFIX: &str = "subnet-";

    /// From random bits, of which 68 are taken.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits >> 60)
    }
}

impl std::fmt::Display for SubnetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{:017x}", Self::PREFIX, self.0)
    }
}

impl std::fmt::Debug for SubnetId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl FromStr for SubnetId {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let error = IdError::new("subnet id", "`subnet-` and 17 lower-case hexadecimal digits");
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let digits = text.strip_prefix(Self::PREFIX);
        let digits = digits.filter(|digits| digits.len() == 17 && digits.bytes().all(digit));
        digits.and_then(|digits| u128::from_str_radix(digits, 16).ok()).map(Self).ok_or(error)
    }
}

/// Why a text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CidrError {
    /// It is not an address, a slash and a number of bits.
    #[error("{text} is not a range of IPv4 addresses such as 10.0.1.0/24")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// It names an address within the range instead of the first one.
    #[error("{text} does not begin at its first address; that is {first}")]
    NotFirst {
        /// What was given.
        text: String,
        /// What was meant.
        first: Cidr,
    },
}

/// A range of IPv4 addresses: those that share so many first bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Cidr {
    first: Ipv4Addr,
    bits: u8,
}

impl Cidr {
    /// The range of `bits` first bits, at most 32, that `address` lies in.
    pub fn around(address: Ipv4Addr, bits: u8) -> Self {
        let bits = bits.min(32);
        Self { first: Ipv4Addr::from(u32::from(address) & mask(bits)), bits }
    }

    /// Its first address.
    pub const fn first(self) -> Ipv4Addr {
        self.first
    }

    /// Its last address.
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first) | !mask(self.bits))
    }

    /// How many first bits its addresses share.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// Whether an address lies in it.
    pub fn holds(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.bits) == u32::from(self.first)
    }

    /// Whether all of `other` lies in it.
    pub fn contains(self, other: Self) -> bool {
        self.bits <= other.bits && self.holds(other.first)
    }

    /// Whether any address lies in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other) || other.contains(self)
    }
}

/// The bits that addresses share.
const fn mask(bits: u8) -> u32 {
    match bits {
        0 => 0,
        bits => u32::MAX << (32 - bits as u32),
    }
}

impl std::fmt::Display for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.first, self.bits)
    }
}

impl std::fmt::Debug for Cidr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cidr {
    type Err = CidrError;
    fn from_str(text: &str) -> Result<Self, CidrError> {
        let malformed = || CidrError::Malformed { text: text.to_owned() };
        let (address, bits) = text.split_once('/').ok_or_else(malformed)?;
        let address: Ipv4Addr = address.parse().map_err(|_| malformed())?;
        let bits: u8 = bits.parse().ok().filter(|bits| *bits <= 32).ok_or_else(malformed)?;
        let range = Self::around(address, bits);
        match range.first == address {
            true => Ok(range),
            false => Err(CidrError::NotFirst { text: text.to_owned(), first: range }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnet_ids_are_read_as_they_are_written() {
        let id = SubnetId::from_random(u128::MAX);
        assert_eq!(id.to_string(), "subnet-fffffffffffffffff");
        assert_eq!("subnet-fffffffffffffffff".parse(), Ok(id));
        for wrong in ["subnet-1", "fffffffffffffffff", "subnet-FFFFFFFFFFFFFFFFF", "subnet-0123456789abcdefg"]
        {
            assert!(wrong.parse::<SubnetId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_know_their_addresses() {
        let range: Cidr = "10.1.2.128/25".parse().unwrap();
        assert_eq!(range.to_string(), "10.1.2.128/25");
        assert_eq!(range.last(), Ipv4Addr::new(10, 1, 2, 255));
        assert!(range.holds(Ipv4Addr::new(10, 1, 2, 200)) && !range.holds(Ipv4Addr::new(10, 1, 2, 127)));
        let wide: Cidr = "10.1.0.0/16".parse().unwrap();
        assert!(
            wide.contains(range) && !range.contains(wide) && range.overlaps(wide) && wide.overlaps(range)
        );
        let beside: Cidr = "10.1.2.0/25".parse().unwrap();
        assert!(!beside.overlaps(range));
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert_eq!(all.last(), Ipv4Addr::new(255, 255, 255, 255));
        assert_eq!("10.1.2.3/32".parse::<Cidr>().unwrap().last(), Ipv4Addr::new(10, 1, 2, 3));
    }

    #[test]
    fn what_is_no_range_says_what_one_is() {
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/x", "10.0.0/8", "::/0"] {
            assert!(wrong.parse::<Cidr>().unwrap_err().to_string().contains("such as"), "{wrong}");
        }
        let inside = "10.0.1.7/24".parse::<Cidr>().unwrap_err().to_string();
        assert!(inside.ends_with("that is 10.0.1.0/24"), "{inside}");
    }
}
