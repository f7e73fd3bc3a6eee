//! Times as people write them.

use std::time::Duration;

/// A time such as `5s`, `1.5m`, `2h`, or `500ms`; without a unit it is seconds.
///
/// # Errors
/// It is no such time; the text says what is.
pub fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return Err("its unit is ms, s, m or h".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "it is a time such as 5s, 2m or 1h".to_owned())?;
    Duration::try_from_secs_f64(number * unit).map_err(|_| "it is no time that can be waited for".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_or_are_seconds() {
        for (text, millis) in
            [("5", 5_000), ("5s", 5_000), ("1.5m", 90_000), ("2h", 7_200_000), ("500ms", 500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for wrong in ["", "s", "-1s", "5d", "five", "NaN", "inf", "1e400"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
