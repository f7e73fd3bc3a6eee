//! Living processes, as the kernel tells of them: what a cluster says of itself is not asked.

use std::path::Path;

/// The processes that were started with a path in this folder.
pub fn naming(folder: &Path) -> Vec<u32> {
    let needle = format!("{}/", folder.display());
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        // Of a dead process that nobody waited for, nothing is left to read here.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&needle)
    })
    .collect()
}
