//! How much a container may write (ECS API: EphemeralStorage): only some of Docker's storage drivers can limit it.

use std::collections::HashMap;

use bollard::models::SystemInfo;
use serde::Deserialize;

use crate::setting;

/// ECS API: EphemeralStorage.
#[derive(Debug, Deserialize)]
struct EphemeralStorage {
    #[serde(rename = "sizeInGiB")]
    size: u32,
}

/// Docker's option for a task's limit; it holds for each container.
///
/// # Errors
/// It is not what it should be.
pub(super) fn option(settings: &HashMap<String, String>) -> Result<Option<HashMap<String, String>>, String> {
    let given: Option<EphemeralStorage> = setting::read(settings, "ephemeralStorage")?;
    Ok(given.map(|storage| HashMap::from([("size".to_owned(), format!("{}G", storage.size))])))
}

/// Whether the engine can limit what containers write: by what it says of itself, and by the mounts of its machine
/// (`/proc/mounts`).
pub(super) fn can_be_limited(info: &SystemInfo, mounts: &str) -> bool {
    match info.driver.as_deref() {
        Some("btrfs" | "zfs") => true,
        Some("overlay2") => {
            let backing =
                info.driver_status.iter().flatten().any(|pair| pair == &["Backing Filesystem", "xfs"]);
            let root = info.docker_root_dir.as_deref().unwrap_or("/var/lib/docker");
            backing
                && options_of(root, mounts).is_some_and(|options| {
                    options.split(',').any(|option| matches!(option, "pquota" | "prjquota"))
                })
        }
        _ => false,
    }
}

/// The options of the mount on which a folder is: the deepest, and of those at one place the last.
fn options_of<'a>(folder: &str, mounts: &'a str) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (place, options) = (words.next()?, words.nth(1)?);
        let holds = place == "/" || folder == place || folder.strip_prefix(place)?.starts_with('/');
        holds.then_some((place.len(), options))
    });
    mounts.max_by_key(|(depth, _)| *depth).map(|(_, options)| options)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As engines say it, recorded.
    fn info(driver: &str, backing: &str) -> SystemInfo {
        let status = format!(r#"[["Backing Filesystem","{backing}"],["Supports d_type","true"]]"#);
        let json =
            format!(r#"{{"Driver":"{driver}","DriverStatus":{status},"DockerRootDir":"/var/lib/docker"}}"#);
        serde_json::from_str(&json).unwrap()
    }

    #[test]
    fn overlay_can_on_xfs_with_quotas() {
        let quotas = "/dev/a / ext4 rw,relatime 0 0\n/dev/b /var/lib/docker xfs rw,prjquota 0 0\n";
        let none = "/dev/a / xfs rw,pquota 0 0\n/dev/b /var/lib/docker xfs rw,noquota 0 0\n";
        assert!(can_be_limited(&info("overlay2", "xfs"), quotas));
        assert!(!can_be_limited(&info("overlay2", "xfs"), none));
        assert!(!can_be_limited(&info("overlay2", "extfs"), quotas));
        assert!(can_be_limited(&info("btrfs", "btrfs"), ""));
        assert!(!can_be_limited(&info("vfs", "xfs"), quotas));
        assert!(!can_be_limited(&SystemInfo::default(), quotas));
    }

    #[test]
    fn a_tasks_limit_is_each_containers() {
        let settings = HashMap::from([("ephemeralStorage".to_owned(), r#"{"sizeInGiB":21}"#.to_owned())]);
        assert_eq!(option(&settings).unwrap().unwrap()["size"], "21G");
        assert_eq!(option(&HashMap::new()).unwrap(), None);
    }
}
