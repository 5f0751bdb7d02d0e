//! What a console is about: the servers of a manager, and what stands behind each. It may be changed while a console is
//! open.

use std::collections::HashMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use dinrail::server::{Manager, Status};

use super::Station;

/// The servers of a [`Manager`] with what stands behind them. A clone is another handle. It does not keep the manager:
/// when that is dropped there are no servers.
#[derive(Clone)]
pub struct Desk {
    manager: Weak<Manager>,
    stations: Arc<RwLock<Stations>>,
}

type Stations = HashMap<Arc<str>, Station>;

/// How many names an error says.
const NAMES: usize = 8;

impl Desk {
    /// The servers of this manager, whose values nobody can see yet.
    pub fn new(manager: &Arc<Manager>) -> Self {
        Self { manager: Arc::downgrade(manager), stations: Arc::default() }
    }

    /// Shows what stands behind the server of this name, in place of what was shown for it.
    pub fn put(&self, name: impl Into<Arc<str>>, station: Station) {
        self.write().insert(name.into(), station);
    }

    /// Shows these, and nothing else, from now on.
    pub fn replace(&self, stations: impl IntoIterator<Item = (Arc<str>, Station)>) {
        let stations = stations.into_iter().collect();
        *self.write() = stations;
    }

    fn status(&self) -> Vec<Status> {
        self.manager.upgrade().map(|manager| manager.status()).unwrap_or_default()
    }

    /// The name of the server that is meant by this text.
    pub(super) fn find(&self, name: &str) -> Result<Status, String> {
        let all = self.status();
        let found = all.iter().find(|server| &*server.name == name || shown(&server.name) == name);
        found.cloned().ok_or_else(|| format!("there is no server {name:?}: there {}", names(&all)))
    }

    /// The server that was chosen, or the only one.
    pub(super) fn station(&self, chosen: Option<&str>) -> Result<(Arc<str>, Station), String> {
        let all = self.status();
        let server = match (chosen, all.as_slice()) {
            (Some(name), _) => all.iter().find(|server| &*server.name == name).ok_or_else(|| {
                format!("the server {name:?} is gone: choose another with use NAME; there {}", names(&all))
            })?,
            (None, [only]) => only,
            (None, _) => return Err(format!("choose a server first, with use NAME: there {}", names(&all))),
        };
        let station = self.read().get(&server.name).cloned();
        let station = station.ok_or_else(|| format!("the values of {:?} cannot be seen here", &*server.name))?;
        Ok((server.name.clone(), station))
    }

    /// A line a server; the chosen one is marked.
    pub(super) fn list(&self, chosen: Option<&str>) -> String {
        let all = self.status();
        let width = all.iter().map(|server| shown(&server.name).chars().count()).max().unwrap_or(0);
        let mut lines = String::new();
        for server in &all {
            let is_chosen = chosen.map_or(all.len() == 1, |name| name == &*server.name);
            let mark = if is_chosen { '*' } else { ' ' };
            let _ = writeln!(lines, "{mark} {:width$}  {}", shown(&server.name), server.address);
        }
        lines
    }

    /// A table of what each server has done.
    pub(super) fn stats(&self) -> String {
        let all = self.status();
        let mut table = vec![["STATE", "UPTIME", "REQUESTS", "EXCEPTIONS", "CONNECTIONS", "URL"].map(str::to_owned)];
        table.extend(all.iter().map(|server| {
            let state = match (server.running, &server.error) {
                (true, _) => "running",
                (false, Some(_)) => "failed",
                (false, None) => "stopped",
            };
            [
                state.to_owned(),
                server.uptime.map_or_else(|| "-".to_owned(), uptime),
                server.requests.to_string(),
                server.exceptions.to_string(),
                server.active_connections.to_string(),
                server.address.clone(),
            ]
        }));
        let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<_> = (0..table[0].len()).map(width).collect();
        let heading = std::iter::once("NAME".to_owned());
        let mut lines = String::new();
        for (row, name) in table.iter().zip(heading.chain(all.iter().map(|server| shown(&server.name)))) {
            for (index, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let _ = match index {
                    0 | 5 => write!(lines, "{cell:<width$}  "),
                    _ => write!(lines, "{cell:>width$}  "),
                };
            }
            lines.push_str(&name);
            lines.push('\n');
        }
        for (server, error) in all.iter().filter_map(|server| Some((server, server.error.as_ref()?))) {
            let _ = writeln!(lines, "{} does not run: {}", shown(&server.name), error.to_string().replace('\n', " "));
        }
        lines
    }

    /// A map is whole at every moment, so a panic while the lock was held leaves it sound.
    fn read(&self) -> RwLockReadGuard<'_, Stations> {
        self.stations.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Stations> {
        self.stations.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.read().keys()).finish()
    }
}

/// A name in one line; it may hold anything.
fn shown(name: &str) -> String {
    name.escape_debug().to_string()
}

/// "are a, b, c", for errors.
fn names(all: &[Status]) -> String {
    let some: Vec<_> = all.iter().take(NAMES).map(|server| shown(&server.name)).collect();
    match all.len() {
        0 => "are none".to_owned(),
        1 => format!("is {}", some[0]),
        count if count > NAMES => format!("are {} and {} more, see servers", some.join(", "), count - NAMES),
        _ => format!("are {}", some.join(", ")),
    }
}

/// `1d2h`, `3h4m`, `5m6s`, `7s`.
fn uptime(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, ..) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use dinrail::Server;
    use dinrail::service::Memory;

    use super::*;

    #[test]
    fn times_are_short() {
        let table = [(7, "7s"), (306, "5m6s"), (3 * 3600 + 240, "3h4m"), (26 * 3600 + 59, "1d2h"), (86400, "1d0h")];
        for (seconds, text) in table {
            assert_eq!(uptime(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn names_cannot_end_a_reply_and_are_found_as_they_are_shown() {
        let manager = Arc::new(Manager::new());
        let desk = Desk::new(&manager);
        assert_eq!(desk.station(None).expect_err("none"), "choose a server first, with use NAME: there are none");
        manager.add("a\n.\n", Server::tcp("127.0.0.1:0", Memory::new())).expect("new");
        manager.add("b c", Server::tcp("127.0.0.1:0", Memory::new())).expect("new");
        assert_eq!(desk.list(Some("b c")), "  a\\n.\\n  tcp://127.0.0.1:0\n* b c     tcp://127.0.0.1:0\n");
        assert_eq!(&*desk.find("a\\n.\\n").expect("as shown").name, "a\n.\n");
        assert!(desk.stats().lines().all(|line| line != "."), "{}", desk.stats());
        assert_eq!(desk.find("x").expect_err("none"), "there is no server \"x\": there are a\\n.\\n, b c");
        assert_eq!(desk.station(Some("b c")).expect_err("none"), "the values of \"b c\" cannot be seen here");
        desk.put("b c", Station::new(Memory::new()));
        assert_eq!(&*desk.station(Some("b c")).expect("there").0, "b c");
        drop(manager);
        assert_eq!(desk.list(None), "");
    }
}
