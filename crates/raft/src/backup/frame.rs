//! The frames of a backup, written and read.

use std::io::{self, Read};

use bytes::{BufMut, Bytes, BytesMut};
use sha2::{Digest, Sha256};

use super::TITLE;
use crate::error::corrupt;

/// The longest content of a frame: the largest event fits with room to spare.
const LIMIT: usize = 8 * 1024 * 1024;
/// What a frame has beside its content.
const AROUND: usize = 9;

/// What is in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Header,
    State,
    Checkpoint,
    Records,
    End,
}

impl What {
    const fn number(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::State => 2,
            Self::Checkpoint => 3,
            Self::Records => 4,
            Self::End => 5,
        }
    }

    fn of(number: u8) -> Option<Self> {
        [Self::Header, Self::State, Self::Checkpoint, Self::Records, Self::End]
            .into_iter()
            .find(|what| what.number() == number)
    }
}

/// The bytes of a frame.
pub(crate) fn frame(what: What, content: &[u8]) -> io::Result<Bytes> {
    let length = u32::try_from(content.len()).ok().filter(|_| content.len() <= LIMIT);
    let length =
        length.ok_or_else(|| corrupt(format!("{} bytes are too many for a frame", content.len())))?;
    let mut bytes = BytesMut::with_capacity(content.len().saturating_add(AROUND));
    bytes.put_u8(what.number());
    bytes.put_u32(length);
    bytes.put_slice(content);
    bytes.put_u32(crc32c::crc32c(&bytes));
    Ok(bytes.freeze())
}

/// Reads the frames of a backup one by one, and the hash of all before each.
pub(crate) struct Frames<R> {
    source: R,
    hash: Sha256,
    offset: u64,
}

impl<R: Read> Frames<R> {
    /// Reads the title.
    pub(crate) fn open(source: R) -> io::Result<Self> {
        let mut frames = Self { source, hash: Sha256::new(), offset: 0 };
        let mut title = vec![0u8; TITLE.len()];
        frames.fill(&mut title, "it is not a backup of trireme")?;
        if title != TITLE {
            let newer = title.starts_with(b"TRIREME BACKUP ");
            return Err(corrupt(if newer {
                "it is a backup in a format that this version of trireme does not know: use a newer one"
            } else {
                "it is not a backup of trireme"
            }));
        }
        frames.hash.update(&title);
        Ok(frames)
    }

    fn fill(&mut self, bytes: &mut [u8], otherwise: &str) -> io::Result<()> {
        self.source.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(otherwise),
            _ => error,
        })?;
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok(())
    }

    /// The next frame, and the hash of every byte before it.
    pub(crate) fn next(&mut self) -> io::Result<(What, Bytes, [u8; 32])> {
        let (at, before) = (self.offset, self.hash.clone().finalize().into());
        let mut head = [0u8; 5];
        let short = format!("it is cut short at byte {at}");
        self.fill(&mut head, &short)?;
        let [number, length @ ..] = head;
        let length = u32::from_be_bytes(length) as usize;
        let damaged = || corrupt(format!("the frame at byte {at} is damaged"));
        if length > LIMIT {
            return Err(damaged());
        }
        let mut content = vec![0u8; length];
        self.fill(&mut content, &short)?;
        let mut sum = [0u8; 4];
        self.fill(&mut sum, &short)?;
        if crc32c::crc32c_append(crc32c::crc32c(&head), &content).to_be_bytes() != sum {
            return Err(damaged());
        }
        let what = What::of(number);
        let what =
            what.ok_or_else(|| corrupt(format!("the frame at byte {at} is of an unknown kind, {number}")))?;
        for part in [&head[..], &content, &sum] {
            self.hash.update(part);
        }
        Ok((what, content.into(), before))
    }

    /// Refuses anything that follows.
    pub(crate) fn ended(mut self) -> io::Result<u64> {
        let mut one = [0u8; 1];
        match self.source.read(&mut one)? {
            0 => Ok(self.offset),
            _ => Err(corrupt(format!("something follows its end at byte {}", self.offset))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Vec<u8> {
        let mut bytes = TITLE.to_vec();
        bytes.extend(frame(What::State, b"one").unwrap());
        bytes.extend(frame(What::End, b"").unwrap());
        bytes
    }

    fn read_all(bytes: &[u8]) -> io::Result<u64> {
        let mut frames = Frames::open(bytes)?;
        while frames.next()?.0 != What::End {}
        frames.ended()
    }

    #[test]
    fn every_byte_counts() {
        let bytes = whole();
        assert_eq!(read_all(&bytes).unwrap(), bytes.len() as u64);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(read_all(&damaged).is_err(), "byte {at}");
            assert!(read_all(&bytes[..at]).is_err(), "cut at {at}");
        }
        let longer = [&bytes[..], b"x"].concat();
        assert!(read_all(&longer).unwrap_err().to_string().contains("follows its end"));
    }

    #[test]
    fn a_later_format_is_told_from_something_else() {
        let said = |bytes: &[u8]| Frames::open(bytes).err().unwrap().to_string();
        assert!(said(b"TRIREME BACKUP 2\nrest of it").contains("newer"));
        assert!(said(b"TRISNAP1 and so on and so on").contains("not a backup"));
        assert!(said(b"").contains("not a backup"));
    }
}
