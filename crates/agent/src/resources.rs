//! What the machine has, and what of it tasks may have.

use crate::AgentConfig;

/// Cpu units of a processor (ECS API: ContainerDefinition.cpu).
const UNITS_PER_PROCESSOR: u32 = 1_024;
/// Of the memory, this part is kept for the system when nothing is said; at most [`RESERVE_MAX_MIB`].
const RESERVE_PART: u32 = 20;
const RESERVE_MAX_MIB: u32 = 1_024;

/// What the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Machine {
    pub(crate) cpu_units: u32,
    pub(crate) memory_mib: u32,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let processors = u32::try_from(processors).unwrap_or(1);
        Self {
            cpu_units: processors.saturating_mul(UNITS_PER_PROCESSOR),
            memory_mib: memory_mib(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()),
        }
    }
}

/// What tasks may have, and what is kept for the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offer {
    pub(crate) cpu_units: u32,
    pub(crate) memory_mib: u32,
    reserved_cpu: u32,
    reserved_memory: u32,
}

impl Offer {
    /// What `config` offers of `machine`.
    pub(crate) fn of(config: &AgentConfig, machine: &Machine) -> Self {
        let reserved_cpu = config.reserve_cpu_units.unwrap_or(0);
        let usual = || match config.memory_mib {
            Some(_) => 0,
            None => (machine.memory_mib / RESERVE_PART).min(RESERVE_MAX_MIB),
        };
        let reserved_memory = config.reserve_memory_mib.unwrap_or_else(usual);
        Self {
            cpu_units: config.cpu_units.unwrap_or_else(|| machine.cpu_units.saturating_sub(reserved_cpu)),
            memory_mib: config
                .memory_mib
                .unwrap_or_else(|| machine.memory_mib.saturating_sub(reserved_memory)),
            reserved_cpu,
            reserved_memory,
        }
    }

    /// Whether the machine has it. The error says what it has not.
    pub(crate) fn check(&self, machine: &Machine) -> Result<(), String> {
        let parts = [
            ("cpu units", "--cpu", "--reserve-cpu", self.cpu_units, self.reserved_cpu, machine.cpu_units),
            (
                "MiB of memory",
                "--memory",
                "--reserve-memory",
                self.memory_mib,
                self.reserved_memory,
                machine.memory_mib,
            ),
        ];
        for (unit, offered_by, reserved_by, offered, reserved, all) in parts {
            if offered == 0 {
                return Err(format!("nothing is left to offer of {all} {unit}: lower {reserved_by}"));
            }
            if u64::from(offered) + u64::from(reserved) > u64::from(all) {
                return Err(format!(
                    "the machine has {all} {unit}, which is less than the {offered} that are offered and the {reserved} that are \
                     kept for the system: lower {offered_by} or {reserved_by}, or give --oversubscribe"
                ));
            }
        }
        Ok(())
    }
}

/// The memory that the system says it has. 512 MiB when it does not say.
fn memory_mib(meminfo: &str) -> u32 {
    let kibibytes = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.and_then(|kibibytes| u32::try_from(kibibytes / 1024).ok()).unwrap_or(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACHINE: Machine = Machine { cpu_units: 2_048, memory_mib: 8_000 };

    fn offer(change: impl FnOnce(&mut AgentConfig)) -> Result<(u32, u32), String> {
        let mut config = AgentConfig::default();
        change(&mut config);
        let offer = Offer::of(&config, &MACHINE);
        offer.check(&MACHINE).map(|()| (offer.cpu_units, offer.memory_mib))
    }

    #[test]
    fn something_is_kept_for_the_system() {
        assert_eq!(offer(|_| {}), Ok((2_048, 7_600)));
        let kept = offer(|config| {
            config.reserve_cpu_units = Some(48);
            config.reserve_memory_mib = Some(1_000);
        });
        assert_eq!(kept, Ok((2_000, 7_000)));
        assert_eq!(
            offer(|config| config.memory_mib = Some(8_000)),
            Ok((2_048, 8_000)),
            "as it was asked for"
        );
    }

    #[test]
    fn what_is_not_there_is_not_offered() {
        let too_much = offer(|config| config.memory_mib = Some(8_001)).unwrap_err();
        assert!(too_much.contains("8000 MiB") && too_much.contains("--oversubscribe"), "{too_much}");
        let too_much = offer(|config| {
            config.cpu_units = Some(2_000);
            config.reserve_cpu_units = Some(49);
        });
        assert!(too_much.unwrap_err().contains("--reserve-cpu"));
        let nothing = offer(|config| config.reserve_memory_mib = Some(9_000)).unwrap_err();
        assert!(nothing.contains("nothing is left"), "{nothing}");
    }

    #[test]
    fn the_systems_memory_is_read() {
        assert_eq!(memory_mib("MemTotal:        8192000 kB\nMemFree: 1 kB\n"), 8_000);
        assert_eq!(memory_mib("?"), 512);
    }
}
