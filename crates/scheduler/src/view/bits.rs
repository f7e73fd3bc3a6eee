//! A set of nodes, by their places: one bit for each. What holds for whole clusters is answered by a few machine words.

/// A set of places. Two that are put together are of the same cluster, and so of the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

const WIDTH: usize = 64;

fn split(at: usize) -> (usize, u64) {
    (at.checked_div(WIDTH).unwrap_or(0), 1_u64.checked_shl((at % WIDTH) as u32).unwrap_or(0))
}

impl Bits {
    /// None of `len` places.
    pub fn none(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(WIDTH)], len }
    }

    /// All of `len` places.
    pub fn all(len: usize) -> Self {
        let mut bits = Self { words: vec![u64::MAX; len.div_ceil(WIDTH)], len };
        bits.trim();
        bits
    }

    /// The places for which something holds, of the elements of a list.
    pub fn of<T>(all: &[T], holds: impl Fn(&T) -> bool) -> Self {
        let mut bits = Self::none(all.len());
        for (at, one) in all.iter().enumerate() {
            if holds(one) {
                bits.set(at);
            }
        }
        bits
    }

    /// What is behind the last place is never set.
    fn trim(&mut self) {
        let (last, bit) = split(self.len);
        if let Some(word) = self.words.get_mut(last) {
            *word &= bit.wrapping_sub(1);
        }
    }

    pub fn has(&self, at: usize) -> bool {
        let (word, bit) = split(at);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    pub fn set(&mut self, at: usize) {
        let (word, bit) = split(at);
        if let Some(word) = self.words.get_mut(word).filter(|_| at < self.len) {
            *word |= bit;
        }
    }

    pub fn clear(&mut self, at: usize) {
        let (word, bit) = split(at);
        if let Some(word) = self.words.get_mut(word) {
            *word &= !bit;
        }
    }

    pub fn and(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub fn and_not(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= !other);
    }

    pub fn or(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// All but these.
    pub fn invert(&mut self) {
        self.words.iter_mut().for_each(|word| *word = !*word);
        self.trim();
    }

    pub fn count(&self) -> usize {
        self.words.iter().fold(0, |sum: usize, word| sum.saturating_add(word.count_ones() as usize))
    }

    /// Its places, the lowest first.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then_some(rest.trailing_zeros() as usize)?;
                rest &= rest.wrapping_sub(1);
                Some(at.saturating_mul(WIDTH).saturating_add(bit))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_in_and_no_place_behind_the_last() {
        for len in [0, 1, 63, 64, 65, 130] {
            let mut bits = Bits::none(len);
            bits.invert();
            assert_eq!((bits.count(), &bits), (len, &Bits::all(len)));
            bits.set(len);
            assert!(!bits.has(len));
            let odd = Bits::of(&(0..len).collect::<Vec<usize>>(), |at| at % 2 == 1);
            bits.and_not(&odd);
            assert_eq!(bits.iter().collect::<Vec<_>>(), (0..len).step_by(2).collect::<Vec<_>>());
            bits.or(&odd);
            bits.clear(0);
            bits.and(&odd);
            assert_eq!(bits, odd);
        }
    }
}
