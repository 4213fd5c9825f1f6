//! Figures of this process, read from `/proc` when somebody asks. What cannot be read is left out: no figure is
//! better than a wrong one.

use std::fs;

/// The unit of times in `/proc/self/stat`, per second: `USER_HZ`, fixed at 100 towards programs on the architectures
/// that this one is built for.
const TICKS: f64 = 100.0;

/// Each figure, where it could be read.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Process {
    pub(super) cpu_seconds: Option<f64>,
    pub(super) start_time_seconds: Option<f64>,
    pub(super) resident_memory_bytes: Option<u64>,
    pub(super) open_fds: Option<u64>,
    pub(super) max_fds: Option<u64>,
}

pub(super) fn read() -> Process {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let entries = fs::read_dir("/proc/self/fd").ok().map(Iterator::count);
    // The directory that is being listed is open itself.
    let open_fds = entries.and_then(|count| u64::try_from(count).ok()?.checked_sub(1));
    Process {
        open_fds,
        ..parse(
            &text("/proc/self/stat"),
            &text("/proc/stat"),
            &text("/proc/self/status"),
            &text("/proc/self/limits"),
        )
    }
}

fn parse(own_stat: &str, stat: &str, status: &str, limits: &str) -> Process {
    // The name in parentheses may hold spaces and parentheses.
    let fields: Vec<&str> = own_stat
        .rsplit_once(')')
        .map(|(_, rest)| rest.split_ascii_whitespace().collect())
        .unwrap_or_default();
    // Numbered as in proc(5), where the field after the name is the third.
    let ticks = |number: usize| Some(fields.get(number - 3)?.parse::<f64>().ok()? / TICKS);
    let boot = after(stat, "btime").and_then(|text| text.parse::<f64>().ok());
    Process {
        cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
        start_time_seconds: boot.zip(ticks(22)).map(|(boot, start)| boot + start),
        resident_memory_bytes: after(status, "VmRSS:")
            .and_then(|text| text.parse::<u64>().ok())
            .map(|kib| kib * 1024),
        open_fds: None,
        max_fds: after(limits, "Max open files").and_then(|text| text.parse().ok()),
    }
}

/// The first word after `label` on the line that begins with it.
fn after<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_ascii_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_taken_from_the_right_fields_whatever_the_process_is_called() {
        let own = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 3 0 1000 2000 300 18446744073709551615";
        let found = parse(
            own,
            "cpu 1 2 3\nbtime 1700000000\n",
            "Name:\tx\nVmRSS:\t    2048 kB\n",
            "Limit  Soft  Hard\nMax open files            1024                 4096                 files\n",
        );
        let expected = Process {
            cpu_seconds: Some(2.0),
            start_time_seconds: Some(1_700_000_010.0),
            resident_memory_bytes: Some(2_097_152),
            open_fds: None,
            max_fds: Some(1024),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        assert_eq!(parse("", "", "", "Max open files unlimited"), Process::default());
    }
}
