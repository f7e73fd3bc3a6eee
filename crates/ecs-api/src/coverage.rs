//! Which operations are served. `coverage.txt` beside this file is the list; `cargo xtask codegen` makes `COVERAGE.md` of it, and a
//! test holds that each operation on it, and no other, is served.

use trireme_ecs_model::Operation;

const LIST: &str = include_str!("coverage.txt");

/// The operations that are served: real ones, which do what ECS does, and stored ones, whose effect is still to come. All others
/// answer `UnsupportedFeatureException`.
pub fn served() -> impl Iterator<Item = Operation> {
    LIST.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        Operation::from_name(line.split_once('=')?.0.trim())
    })
}
