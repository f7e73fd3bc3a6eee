//! The default event bus, which is always there and the only one.

use super::shape::{Bus, Buses, List, OfRule};
use super::{Context, DEFAULT_BUS, check_bus};
use crate::error::Result;

fn shown(cx: &Context) -> Bus {
    let scope = cx.scope();
    let arn = format!("arn:aws:events:{}:{}:event-bus/{DEFAULT_BUS}", scope.region, scope.account);
    Bus { name: Some(DEFAULT_BUS), arn: Some(arn) }
}

pub(super) async fn describe(cx: Context, request: OfRule) -> Result<Bus> {
    check_bus(request.name.as_ref())?;
    Ok(shown(&cx))
}

pub(super) async fn list(cx: Context, request: List) -> Result<Buses> {
    let here = request.name_prefix.is_none_or(|prefix| DEFAULT_BUS.starts_with(&prefix));
    Ok(Buses { event_buses: Some(here.then(|| shown(&cx)).into_iter().collect()) })
}
