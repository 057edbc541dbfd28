//! The part of a processor that Lambda gives a function, by its memory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::Pid;

/// Lambda gives a whole processor to a function of so many MB, and less in proportion.
const MEGABYTES_OF_A_PROCESSOR: f64 = 1_769.0;

/// The kernel counts the share anew so often, in microseconds.
const PERIOD: f64 = 20_000.0;

/// A control group whose processes together get part of one processor; dropping it removes it.
#[derive(Debug)]
pub(crate) struct CpuShare {
    group: PathBuf,
    /// The part, between 0 and 1.
    pub(crate) part: f64,
}

impl CpuShare {
    /// The share of a function with this much memory; `None` where this process may not make control groups.
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

    /// Gives a process nothing more than this share from now on.
    pub(crate) fn take_in(&self, process: Pid) -> io::Result<()> {
        fs::write(self.group.join("cgroup.procs"), process.to_string())
    }
}

impl Drop for CpuShare {
    fn drop(&mut self) {
        // A group that stays costs nothing, and says by its name whose it was.
        fs::remove_dir(&self.group).ok();
    }
}
