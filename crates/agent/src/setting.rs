//! Settings: ECS's members that only the agent sees to, as they were registered, by name.

use std::collections::HashMap;

use serde::de::DeserializeOwned;

/// A member; its default when it is not there.
///
/// # Errors
/// It is not what it should be, which it says by name.
pub(crate) fn read<T: DeserializeOwned + Default>(
    settings: &HashMap<String, String>,
    member: &str,
) -> Result<T, String> {
    let Some(json) = settings.get(member) else { return Ok(T::default()) };
    serde_json::from_str(json).map_err(|error| format!("{member}: {error}"))
}
