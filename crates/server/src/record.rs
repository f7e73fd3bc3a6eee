//! An event of the history as JSON, for people and their tools.

use std::io;

use serde::Serialize;
use serde_json::ser::Formatter;
use trireme_rpc::operator::EventRecord;
use trireme_state::Event;
use trireme_state::store::Record;

/// Ids are 128 bits wide, which no JSON number holds: they are written as the rest of Trireme writes them.
struct Ids;

impl Formatter for Ids {
    fn write_u128<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: u128) -> io::Result<()> {
        write!(writer, "\"{value:032x}\"")
    }
}

/// A record, to be sent to an operator.
pub(crate) fn to_wire(record: &Record) -> EventRecord {
    let (kind, body) = describe(&record.event);
    EventRecord {
        sequence: record.sequence.get(),
        at_millis: record.at.millis(),
        actor: record.actor.to_string(),
        request_id: record.request_id.to_string(),
        kind,
        body,
    }
}

/// The event's name, and what it says.
fn describe(event: &Event) -> (String, String) {
    if let Event::AccessKeyCreated { key } = event {
        // Not even the ciphertext of a secret is shown.
        let body = serde_json::json!({ "id": key.id.as_str(), "account": key.account.as_str(), "principal": key.principal });
        return ("AccessKeyCreated".to_owned(), body.to_string());
    }
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Ids);
    let written = event.serialize(&mut serializer);
    let text = String::from_utf8(text).unwrap_or_default();
    if written.is_err() {
        // Kept readable rather than left out: the kind is the first word of either form.
        let text = format!("{event:?}");
        let end = text.find(|c: char| !c.is_alphanumeric()).unwrap_or(text.len());
        return (text[..end].to_owned(), serde_json::Value::String(text).to_string());
    }
    split(&text)
}

/// `{"Kind":body}` or `"Kind"` taken apart.
fn split(text: &str) -> (String, String) {
    let inner = text.strip_prefix("{\"").and_then(|rest| rest.strip_suffix('}'));
    match inner.and_then(|inner| inner.split_once("\":")) {
        Some((kind, body)) => (kind.to_owned(), body.to_owned()),
        None => (text.trim_matches('"').to_owned(), "{}".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use trireme_types::TaskId;

    use super::*;

    #[test]
    fn ids_are_written_as_everywhere() {
        let (kind, body) = describe(&Event::TaskReaped { task: TaskId::from_bits(0xabc) });
        assert_eq!(kind, "TaskReaped");
        assert_eq!(body, "{\"task\":\"00000000000000000000000000000abc\"}");
        assert_eq!(describe(&Event::Reset {}), ("Reset".to_owned(), "{}".to_owned()));
    }
}
