//! How verbs print: tables for people, JSON for programs.

use std::io::Write;

use comfy_table::{ContentArrangement, Table, presets};

use crate::Error;

/// A table without lines, its columns as wide as what is in them.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|name| name.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Prints text and a line end.
pub fn line(text: impl AsRef<str>) -> Result<(), Error> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush()).map_err(Error::Output)
}

/// Prints a remark to standard error: what a program that reads the output is not to see.
pub fn notice(text: impl AsRef<str>) {
    let _reader_gone = writeln!(std::io::stderr(), "{}", text.as_ref());
}

/// Prints a value as JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Output(error.into()))?;
    line(text)
}

/// The time of day in UTC; the JSON has the date.
pub fn clock(millis: u64) -> String {
    let seconds = millis / 1000;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{:03}Z", millis % 1000)
}

/// The day and the time of day in UTC, to the second.
pub fn date(millis: u64) -> String {
    let at = i64::try_from(millis).ok().and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    at.map_or_else(|| millis.to_string(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// A table of which only so many rows are shown, and how many more there are.
pub fn rows(header: &[&str], mut rows: Vec<Vec<String>>, most: usize, what: &str) -> String {
    let all = rows.len();
    rows.truncate(most);
    let table = table(header, rows);
    if all > most { format!("{table}\n… and {} more {what} (--json has all)", all - most) } else { table }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_clock_is_utc() {
        assert_eq!(super::clock(1_700_000_000_123), "22:13:20.123Z");
        assert_eq!(super::date(1_700_000_000_123), "2023-11-14T22:13:20Z");
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["long name".to_owned(), "2".to_owned()]];
        let text = super::table(&["name", "n"], rows);
        assert_eq!(text, "NAME       N\na          1\nlong name  2");
    }
}
