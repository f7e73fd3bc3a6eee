//! A moment as people write it: from when on lines are wanted, or as of when something is asked.

use std::time::{SystemTime, UNIX_EPOCH};

/// `10m` ago or a moment, in nanoseconds since 1970.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
    of(text, u64::try_from(now.as_nanos()).unwrap_or(u64::MAX))
}

fn of(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(at) = text.parse::<jiff::Timestamp>() {
        return u64::try_from(at.as_nanosecond()).map_err(|_| format!("{text} is before 1970"));
    }
    let wrong = || format!("{text} is neither a time such as 10m nor a moment such as 2026-11-28T20:47:00Z");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    Ok(now.saturating_sub(number.saturating_mul(seconds).saturating_mul(1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_moments() {
        let hour = 3_600_000_000_000;
        assert_eq!(of("90s", hour), Ok(hour - 90_000_000_000));
        assert_eq!(of("2h", hour), Ok(0));
        assert_eq!(of("1970-01-01T00:00:01.5Z", hour), Ok(1_500_000_000));
        assert_eq!(of("1970-01-01T01:00:01+01:00", hour), Ok(1_000_000_000));
        for wrong in ["", "m", "10", "10 m", "yesterday", "1é"] {
            assert!(of(wrong, hour).is_err(), "{wrong}");
        }
    }
}
