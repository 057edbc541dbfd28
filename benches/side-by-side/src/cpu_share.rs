//! The share of a processor that Lambda gives a function by its memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// The memory in MB with which Lambda gives a function a whole processor. The share is proportional.
const MEGABYTES_OF_A_PROCESSOR: f64 = 1_769.0;

/// The period of the control group's limit, in microseconds.
const PERIOD: f64 = 20_000.0;

/// A control group whose processes get a share of one processor. Dropping it removes it.
#[derive(Debug)]
pub(crate) struct CpuShare {
    group: PathBuf,
    /// The share, between 0 and 1.
    pub(crate) part: f64,
}

impl CpuShare {
    /// Returns the share of a function with this memory. `None`: this process may not create control groups.
    pub(crate) fn of(megabytes: f64) -> Option<Self> {
        let part = megabytes / MEGABYTES_OF_A_PROCESSOR;
        let name = format!("genesys-bench-{}", std::process::id());
        let quota = (PERIOD * part).round();
        let first = Path::new("/sys/fs/cgroup/cpu").join(&name);
        let second = Path::new("/sys/fs/cgroup").join(&name);
        [
            (
                first,
                vec![
                    ("cpu.cfs_period_us", PERIOD.to_string()),
                    ("cpu.cfs_quota_us", quota.to_string()),
                ],
            ),
            (second, vec![("cpu.max", format!("{quota} {PERIOD}"))]),
        ]
        .into_iter()
        .find_map(|(group, limits)| {
            fs::create_dir(&group).ok()?;
            let share = Self { group, part };
            let mut limits = limits.into_iter();
            limits
                .all(|(file, limit)| fs::write(share.group.join(file), limit).is_ok())
                .then_some(share)
        })
    }

    /// Limits a process to this share.
    pub(crate) fn take_in(&self, process: Pid) -> io::Result<()> {
        fs::write(self.group.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // A group that remains costs nothing, and its name shows its origin.
        fs::remove_dir(&self.group).ok();
    }
}
