//! The peers that are not Rust: where their programs are, and what to install where they are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

/// A peer that can't be measured here, and what would change that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// What is not there.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Missing {
    fn new(what: impl Into<String>, install: &str) -> Self {
        Self { what: what.into(), remedy: format!("install it with benches/setup.sh, or {install}") }
    }

    /// A peer that is there and does not work.
    pub fn broken(error: &anyhow::Error) -> Self {
        Self { what: format!("it does not start: {error:#}"), remedy: "run benches/setup.sh again".to_owned() }
    }
}

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

/// The folder of the benchmarks, as it was when they were built.
fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where everything goes that is not committed.
pub fn work_folder() -> PathBuf {
    home().join(".work")
}

/// libmodbus: our C program, compiled against the system's library when it is older than its source.
pub fn libmodbus() -> Result<Command, Missing> {
    const INSTALL: &str = "apt-get install libmodbus-dev pkg-config build-essential";
    let (source, program) = (home().join("peers/libmodbus.c"), work_folder().join("libmodbus-peer"));
    let changed = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if changed(&program).is_none_or(|built| changed(&source).is_some_and(|written| written > built)) {
        let flags = Command::new("pkg-config").args(["--cflags", "--libs", "libmodbus"]).stderr(Stdio::null()).output();
        let flags = flags.ok().filter(|o| o.status.success()).and_then(|o| String::from_utf8(o.stdout).ok());
        let flags = flags.ok_or_else(|| Missing::new("libmodbus's headers are not installed", INSTALL))?;
        // The folder exists where setup.sh ran; where it can't be made, the compiler says so.
        let _ = std::fs::create_dir_all(work_folder());
        let built = Command::new("cc")
            .args(["-O2", "-pthread", "-o"])
            .arg(&program)
            .arg(&source)
            .args(flags.split_whitespace())
            .status();
        if !built.is_ok_and(|status| status.success()) {
            return Err(Missing::new("the C compiler failed on peers/libmodbus.c", INSTALL));
        }
    }
    Ok(Command::new(program))
}

/// pymodbus, in the virtual environment that setup.sh makes.
pub fn pymodbus() -> Result<Command, Missing> {
    let venv = work_folder().join("venv");
    let mut lib = venv.join("lib").read_dir().into_iter().flatten().flatten();
    if !lib.any(|python| python.path().join("site-packages/pymodbus").exists()) {
        let install = "python3 -m venv benches/.work/venv && benches/.work/venv/bin/pip install pymodbus";
        return Err(Missing::new("pymodbus is not in benches/.work/venv", install));
    }
    let mut command = Command::new(venv.join("bin/python"));
    command.arg(home().join("peers/pymodbus_peer.py"));
    Ok(command)
}

/// modbus-serial, in the folder that setup.sh installs into.
pub fn modbus_serial() -> Result<Command, Missing> {
    let module = work_folder().join("node_modules/modbus-serial");
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    if !module.exists() || !node.is_ok_and(|status| status.success()) {
        let install = "apt-get install nodejs npm && npm install --prefix benches/.work modbus-serial";
        return Err(Missing::new("Node or modbus-serial in benches/.work/node_modules is not there", install));
    }
    let mut command = Command::new("node");
    command.arg(home().join("peers/modbus_serial_peer.js"));
    Ok(command)
}
