//! Room for descriptors. Linux keeps a process's open files in a table that doubles when it is full; with several threads
//! it waits then until every processor has let go of the old one, ten to thirty milliseconds. While ten thousand masters
//! connect at once that happens six times, and behind each stop the queue of new connections may run over: whoever is
//! turned away there tries again only after a second. So the table is made large enough before the first comes.

/// What else a process has open besides its connections.
#[cfg(target_os = "linux")]
const OTHERS: u64 = 256;

/// The most that is kept in advance: a mebibyte of the system's memory.
#[cfg(target_os = "linux")]
const MAX: u64 = 131_072;

/// Makes room for so many connections at once, as far as the process may have them. A table that is large enough is left
/// as it is, and one that cannot be enlarged is no error: it grows when it must.
#[cfg(target_os = "linux")]
pub(super) fn make_room(connections: usize) {
    use rustix::process::{Resource, getrlimit};

    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let last = (connections as u64).saturating_add(OTHERS).min(allowed).min(MAX).saturating_sub(1);
    if let (Ok(any), Ok(last)) = (std::fs::File::open("/dev/null"), i32::try_from(last)) {
        // The highest descriptor that will be needed, for a moment.
        drop(rustix::io::fcntl_dupfd_cloexec(&any, last));
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn make_room(_connections: usize) {}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_large_enough_afterwards_and_nothing_more_is_open() {
        make_room(700);
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("as it has been since 2.4");
        assert!(size.trim().parse::<u32>().expect("a number") >= 700, "{size}");
        // Low ones come and go with other tests of this process.
        let is_open = |descriptor: &u64| std::path::Path::new(&format!("/proc/self/fd/{descriptor}")).exists();
        assert_eq!((700..700 + OTHERS).find(is_open), None);
        make_room(usize::MAX); // no error, whatever is allowed
    }
}
