//! sts on the same port: `GetCallerIdentity`, in the Query protocol (a form comes in, XML goes out).

use bytes::Bytes;
use http::request::Parts;
use percent_encoding::percent_decode_str;
use trireme_types::RequestId;

use crate::Api;
use crate::auth;
use crate::error::{Code, Error, Result};

const VERSION: &str = "2011-06-15";

/// Answers one call.
pub(crate) async fn answer(api: &Api, parts: &Parts, body: &[u8], request_id: RequestId) -> Result<Bytes> {
    let caller = auth::authenticate(api, parts, body, "sts").await?;
    let action = parameter(body, "Action").unwrap_or_default();
    if action != "GetCallerIdentity" {
        let message = format!("Could not find operation {} for version {VERSION}", action.escape_debug());
        return Err(Error::new(Code::Common("InvalidAction", 400), message));
    }
    let principal = &caller.principal;
    Ok(Bytes::from(format!(
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\n  \
           <GetCallerIdentityResult>\n    \
             <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    <Account>{}</Account>\n  \
           </GetCallerIdentityResult>\n  \
           <ResponseMetadata>\n    <RequestId>{request_id}</RequestId>\n  </ResponseMetadata>\n\
         </GetCallerIdentityResponse>\n",
        escape(&principal.arn),
        escape(principal.user_id()),
        principal.account
    )))
}

/// An error in the Query protocol's XML.
pub(crate) fn error_body(error: &Error, request_id: &str) -> Bytes {
    let fault = if error.code.status() >= 500 { "Receiver" } else { "Sender" };
    Bytes::from(format!(
        "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/{VERSION}/\">\n  \
           <Error>\n    <Type>{fault}</Type>\n    <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  \
           <RequestId>{request_id}</RequestId>\n\
         </ErrorResponse>\n",
        error.code.query_name(),
        escape(&error.message)
    ))
}

fn parameter(form: &[u8], name: &str) -> Option<String> {
    let form = std::str::from_utf8(form).ok()?;
    let (_, value) = form.split('&').filter_map(|part| part.split_once('=')).find(|(n, _)| *n == name)?;
    Some(percent_decode_str(&value.replace('+', " ")).decode_utf8_lossy().into_owned())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_xml() {
        assert_eq!(parameter(b"Version=1&Action=Get%43aller", "Action").as_deref(), Some("GetCaller"));
        assert_eq!(parameter(b"Version=1", "Action"), None);
        assert_eq!(escape("<a & \"b\">"), "&lt;a &amp; &quot;b&quot;&gt;");
    }
}
