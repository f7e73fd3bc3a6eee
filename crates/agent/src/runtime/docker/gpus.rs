//! A container's GPUs as Docker is asked for them.

use bollard::models::DeviceRequest;

/// A container sees these, and no other, whatever its image says (ECS developer guide: GPU workloads).
const VISIBLE: &str = "NVIDIA_VISIBLE_DEVICES";

/// Whether an id is a name of the Container Device Interface, such as `amd.com/gpu=0`. All others are NVIDIA's.
fn is_cdi(id: &str) -> bool {
    id.contains('=')
}

/// What Docker is to give; `None` for a container without GPUs.
pub(super) fn requests(ids: &[String]) -> Option<Vec<DeviceRequest>> {
    let (named, nvidia): (Vec<String>, Vec<String>) = ids.iter().cloned().partition(|id| is_cdi(id));
    let request = |driver: &str, ids: Vec<String>, capabilities: Option<Vec<Vec<String>>>| {
        (!ids.is_empty()).then(|| DeviceRequest {
            driver: Some(driver.to_owned()),
            device_ids: Some(ids),
            capabilities,
            ..DeviceRequest::default()
        })
    };
    let all = [request("nvidia", nvidia, Some(vec![vec!["gpu".to_owned()]])), request("cdi", named, None)];
    let all: Vec<DeviceRequest> = all.into_iter().flatten().collect();
    (!all.is_empty()).then_some(all)
}

/// The variable by which NVIDIA's runtime knows what a container may see.
pub(super) fn variable(ids: &[String]) -> Option<String> {
    let nvidia: Vec<&str> = ids.iter().map(String::as_str).filter(|id| !is_cdi(id)).collect();
    (!nvidia.is_empty()).then(|| format!("{VISIBLE}={}", nvidia.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_is_asked_for_the_containers_own_gpus() {
        let ids = ["GPU-1", "GPU-0", "amd.com/gpu=3"].map(str::to_owned);
        let [nvidia, cdi] = &requests(&ids).unwrap()[..] else { unreachable!("two drivers") };
        assert_eq!(nvidia.driver.as_deref(), Some("nvidia"));
        assert_eq!(nvidia.device_ids.as_deref(), Some(&["GPU-1", "GPU-0"].map(str::to_owned)[..]));
        assert_eq!(nvidia.capabilities, Some(vec![vec!["gpu".to_owned()]]));
        assert_eq!(nvidia.count, None, "these, not so many");
        assert_eq!((cdi.driver.as_deref(), cdi.device_ids.as_deref()), (Some("cdi"), Some(&ids[2..])));
        assert_eq!(variable(&ids).unwrap(), "NVIDIA_VISIBLE_DEVICES=GPU-1,GPU-0");
    }

    #[test]
    fn who_asks_for_none_is_given_none() {
        assert_eq!((requests(&[]), variable(&[])), (None, None));
    }
}
