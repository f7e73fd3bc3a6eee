//! The machine's GPUs: those that its operator names, else those of NVIDIA's driver, as Docker finds them.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use trireme_types::{GpuId, gpu};

/// How often it is looked whether the driver tells of more. It may be there only after the agent, and know a GPU's id only when something
/// has used it.
const INTERVAL: Duration = Duration::from_secs(30);

/// Where NVIDIA's driver has a folder for each GPU, named by its place on the bus.
pub(crate) const NVIDIA: &str = "/proc/driver/nvidia/gpus";

/// The GPUs that a driver tells of below `folder`, in the order of the bus, which is the driver's own. What has no usable id cannot be
/// given to anybody.
pub(crate) fn found(folder: &Path) -> Vec<GpuId> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut places: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    places.sort();
    let mut ids: Vec<GpuId> = Vec::new();
    for place in places {
        let told = std::fs::read_to_string(place.join("information")).unwrap_or_default();
        match told.lines().find_map(uuid).map(GpuId::new) {
            Some(Ok(id)) if !ids.contains(&id) && ids.len() < gpu::GPUS_PER_MACHINE => ids.push(id),
            _ => tracing::debug!(place = %place.display(), "a GPU without a usable id is not offered"),
        }
    }
    ids
}

/// Looks for more of them, until nobody wants to know.
pub(crate) async fn run(known: watch::Sender<Vec<GpuId>>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = known.closed() => return,
        }
        // Reading may wait for the driver.
        let Ok(found) = tokio::task::spawn_blocking(|| found(Path::new(NVIDIA))).await else { continue };
        known.send_if_modified(|known| join(known, found));
    }
}

/// Adds those that are new, behind the others. One that is lost stays: to offer fewer than tasks hold would cost the machine all of its
/// tasks.
fn join(known: &mut Vec<GpuId>, found: Vec<GpuId>) -> bool {
    let before = known.len();
    for id in found {
        if !known.contains(&id) && known.len() < gpu::GPUS_PER_MACHINE {
            known.push(id);
        }
    }
    known.len() > before
}

/// Of a line such as `GPU UUID:    GPU-1d…`.
fn uuid(line: &str) -> Option<&str> {
    Some(line.strip_prefix("GPU UUID:")?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvidias_gpus_are_found_in_the_order_of_the_bus() {
        let folder = tempfile::tempdir().unwrap();
        for (place, id) in
            [("0000:81:00.0", "GPU-a1"), ("0000:3b:00.0", "GPU-f7"), ("0000:c1:00.0", "GPU-??-??")]
        {
            let place = folder.path().join(place);
            std::fs::create_dir(&place).unwrap();
            let told = format!("Model: \t\t Tesla T4\nIRQ:   \t\t 37\nGPU UUID: \t {id}\nVideo BIOS: \t x\n");
            std::fs::write(place.join("information"), told).unwrap();
        }
        assert_eq!(gpu::list(&found(folder.path())), "GPU-f7,GPU-a1");
        assert!(found(&folder.path().join("none")).is_empty(), "a machine without such a driver");
    }

    #[test]
    fn what_is_found_later_is_added_and_what_is_lost_stays() {
        let ids = |ids: &[&str]| ids.iter().map(|id| GpuId::new(id).unwrap()).collect::<Vec<_>>();
        let mut known = ids(&["GPU-b", "GPU-c"]);
        assert!(join(&mut known, ids(&["GPU-a", "GPU-c"])));
        assert_eq!(gpu::list(&known), "GPU-b,GPU-c,GPU-a");
        assert!(!join(&mut known, ids(&["GPU-c"])));
        assert_eq!(known.len(), 3);
    }
}
