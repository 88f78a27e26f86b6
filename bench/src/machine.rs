//! What this machine is, and how busy it is with other things. Linux: everything is in /proc.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Clock ticks a second in /proc/stat: USER_HZ, 100 on every architecture that Rust supports.
const TICKS_PER_S: f64 = 100.0;

/// One line about a machine.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory_bytes: u64,
    kernel: String,
    scratch_filesystem: String,
    load_before: String,
}

impl Machine {
    /// This one, with measurements in the folder `scratch`.
    pub(crate) fn here(scratch: &Path) -> Self {
        let mounts = read("/proc/mounts");
        let scratch = scratch.canonicalize().unwrap_or_else(|_| scratch.to_owned());
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or("unknown CPU").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory_bytes(&read("/proc/meminfo"), "MemTotal").unwrap_or(0),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            scratch_filesystem: filesystem(&mounts, &scratch).unwrap_or("unknown").to_owned(),
            load_before: load(),
        }
    }

    /// As one line.
    pub(crate) fn text(&self) -> String {
        format!(
            "{}, {} cores, {:.0} GB memory, Linux {}, scratch on {}, load before {}",
            self.cpu,
            self.cores,
            self.memory_bytes as f64 / 1e9,
            self.kernel,
            self.scratch_filesystem,
            self.load_before,
        )
    }
}

/// Processes that ran or waited in the last minute, five and fifteen, on average.
pub(crate) fn load() -> String {
    read("/proc/loadavg").split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// CPU seconds that all processes and the kernel used since the machine started.
pub(crate) fn busy_s() -> f64 {
    busy_ticks(&read("/proc/stat")).unwrap_or(0) as f64 / TICKS_PER_S
}

/// Memory that is touched before a measurement, at most: what a command takes, and what it writes.
const TOUCHED_BYTES_MAX: usize = 1 << 30;

/// Touches free memory, which the next command then gets. A virtual machine gets a page from its host when
/// it first touches it, which takes longer than most of what is done with it: whoever runs behind one that
/// freed as much has it easier than who runs behind one that kept it.
pub(crate) fn touch_free_memory() {
    let meminfo = read("/proc/meminfo");
    let available = memory_bytes(&meminfo, "MemAvailable").unwrap_or(0) as usize;
    let mut memory = vec![0u8; TOUCHED_BYTES_MAX.min(available / 4)];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(memory);
}

/// What a process used since it was started.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct ProcessFigures {
    /// User and system time.
    pub(crate) cpu_s: f64,
    /// Resident set now.
    pub(crate) resident_bytes: u64,
    /// Largest resident set so far.
    pub(crate) peak_bytes: u64,
    /// Threads now.
    pub(crate) threads: u64,
}

/// The figures of a process of this user; `None` if it is gone.
pub(crate) fn process(pid: u32) -> Option<ProcessFigures> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = read(&format!("/proc/{pid}/status"));
    let kib =
        |name| -> Option<u64> { field(&status, name)?.strip_suffix("kB")?.trim().parse().ok() };
    Some(ProcessFigures {
        cpu_s: cpu_ticks(&stat)? as f64 / TICKS_PER_S,
        resident_bytes: kib("VmRSS")? * 1024,
        peak_bytes: kib("VmHWM")? * 1024,
        threads: field(&status, "Threads").and_then(|threads| threads.parse().ok())?,
    })
}

/// CPU seconds of a process and of its children that ended and that it waited for.
pub(crate) fn family_cpu_s(pid: u32) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(ticks(&stat, 4)? as f64 / TICKS_PER_S)
}

/// utime and stime of /proc/PID/stat.
fn cpu_ticks(stat: &str) -> Option<u64> {
    ticks(stat, 2)
}

/// The sum of so many of utime, stime, cutime and cstime in /proc/PID/stat (proc(5)): fields 14 to 17,
/// counted behind the name in parentheses, which may hold anything.
fn ticks(stat: &str, count: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<u64> =
        rest.split_whitespace().skip(11).take(count).flat_map(str::parse).collect();
    (fields.len() == count).then(|| fields.iter().sum())
}

/// A file of /proc; empty where it is not there, since nothing that is measured depends on it.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

fn memory_bytes(meminfo: &str, name: &str) -> Option<u64> {
    let kib = field(meminfo, name)?.strip_suffix("kB")?.trim();
    Some(kib.parse::<u64>().ok()? * 1024)
}

/// Type of the file system that holds `path`: of the mount with the longest prefix, the last of
/// them where several are stacked.
fn filesystem<'a>(mounts: &'a str, path: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((Path::new(words.next()?), words.next()?))
    });
    let around = mounts.filter(|(mount, _)| path.starts_with(mount));
    around.max_by_key(|(mount, _)| mount.components().count()).map(|(_, kind)| kind)
}

/// Ticks of the line `cpu user nice system idle iowait irq softirq steal …` that are not idle.
fn busy_ticks(stat: &str) -> Option<u64> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).flat_map(str::parse).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some(ticks.iter().sum::<u64>() - idle)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_of_proc() {
        let cpu = "processor\t: 0\nmodel name\t: A CPU @ 2.5GHz: x\nprocessor\t: 1\n";
        assert_eq!(field(cpu, "model name"), Some("A CPU @ 2.5GHz: x"));
        assert_eq!(field(cpu, "flags"), None);
        assert_eq!(memory_bytes("MemTotal:     24000 kB\n", "MemTotal"), Some(24_576_000));
        assert_eq!(memory_bytes("MemTotal: many\n", "MemTotal"), None);
    }

    #[test]
    fn busy_is_what_is_not_idle() {
        let stat = "cpu  10 1 20 1000 500 3 4 5 77 0\ncpu0 1 2 3 4\n";
        assert_eq!(busy_ticks(stat), Some(43));
        assert_eq!(busy_ticks("intr 5\n"), None);
        assert!(busy_s() > 0.0);
    }

    #[test]
    fn processes() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 10 0 0 0 123 45 0 0 20 0 1 0";
        assert_eq!(cpu_ticks(stat), Some(168));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
        let own = process(std::process::id()).unwrap();
        assert!(own.peak_bytes >= own.resident_bytes && own.resident_bytes > 100_000);
        assert!(own.threads >= 1);
    }

    #[test]
    fn filesystems_by_longest_prefix() {
        let mounts = "/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /tm xfs rw 0 0\n";
        assert_eq!(filesystem(mounts, Path::new("/tmp/x")), Some("tmpfs"));
        assert_eq!(filesystem(mounts, Path::new("/work")), Some("ext4"));
        assert_eq!(filesystem("", Path::new("/work")), None);
    }
}
