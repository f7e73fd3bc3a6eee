//! `20150830T123600Z`, read and written.

use trireme_types::Timestamp;

const DAY_MILLIS: u64 = 86_400_000;

/// Reads `YYYYMMDDTHHMMSSZ`.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
    let in_range = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in_month(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    in_range.then(|| {
        let days = days_before_year(year) + days_before_month(year, month) + day - 1;
        Timestamp::from_millis(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000)
    })
}

/// Writes `YYYYMMDDTHHMMSSZ`.
pub(super) fn format(at: Timestamp) -> String {
    let mut days = at.millis() / DAY_MILLIS;
    let mut year = 1970;
    while year < 9999 && days >= days_in_year(year) {
        days -= days_in_year(year);
        year += 1;
    }
    let mut month = 1;
    while month < 12 && days >= days_in_month(year, month) {
        days -= days_in_month(year, month);
        month += 1;
    }
    let seconds = at.millis() % DAY_MILLIS / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{:02}T{hour:02}{minute:02}{second:02}Z", days + 1)
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in_year(year: u64) -> u64 {
    if is_leap(year) { 366 } else { 365 }
}

const fn days_in_month(year: u64, month: u64) -> u64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_before_year(year: u64) -> u64 {
    let leap_days = |year: u64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

fn days_before_month(year: u64, month: u64) -> u64 {
    (1..month).map(|month| days_in_month(year, month)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20000229T235959Z", 951_868_799),
            ("20150830T123600Z", 1_440_938_160),
            ("20240301T000000Z", 1_709_251_200),
        ] {
            assert_eq!(parse(text), Some(Timestamp::from_millis(seconds * 1000)), "{text}");
            assert_eq!(format(Timestamp::from_millis(seconds * 1000)), text);
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "20150830",
            "20150830T123600",
            "20151330T123600Z",
            "20150230T123600Z",
            "+0150830T123600Z",
            "2015083éT12360Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn times_survive_their_text_form(seconds in 0..253_402_300_799_u64) {
            let at = Timestamp::from_millis(seconds * 1000);
            proptest::prop_assert_eq!(parse(&format(at)), Some(at));
        }
    }
}
