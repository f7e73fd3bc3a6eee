//! Application Auto Scaling on the same port: awsJson1.1 with the target `AnyScaleFrontendService.OPERATION`, signed for
//! `application-autoscaling`. Of all that it can scale there are services' desired counts here.
//!
//! Reading order: `shape` (requests and answers) · `target` · `policy` · `action` · `activity`.

use trireme_state::Rejection;

use crate::companion::{Context, Service, operations};
use crate::error::{Code, Error, Result, sentence};
use crate::http::JSON;

pub(crate) const SERVICE: Service = Service {
    signing_name: "application-autoscaling",
    target: "AnyScaleFrontendService.",
    content_type: JSON,
    of_rejection,
    unavailable,
};

operations! {
    SERVICE;
    GetPredictiveScalingForecast => forecast,
}

fn of_rejection(rejection: Rejection) -> Error {
    match rejection {
        Rejection::Invalid { message } => invalid(message),
        other => unavailable(sentence(&other)),
    }
}

fn common(name: &'static str, message: impl Into<String>) -> Error {
    Error::new(Code::Common(name, 400), message)
}

fn invalid(message: impl Into<String>) -> Error {
    common("ValidationException", message)
}

fn unavailable(message: String) -> Error {
    Error::new(Code::Common("InternalServiceException", 500), message)
}

/// There are no predictive policies, so that none has a forecast.
async fn forecast(_cx: Context, _request: serde_json::Value) -> Result<serde_json::Value> {
    Err(invalid("Predictive scaling is not supported: there is no such policy."))
}
