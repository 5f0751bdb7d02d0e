//! `dinrail serve --config`: the servers of a file, and another file in its place on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dinrail::server::{Hooks, Status};
use dinrail_gateway::{Plan, Servers};
use tracing::{error, info};

use super::watch::Watch;
use crate::command::signal::{Reload, Stop};
use crate::failure::Failure;
use crate::output;

/// Serves what the file says, until it is told to stop.
pub(super) async fn run(path: PathBuf) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let mut reload = Reload::listen()?;
    let plan = load(&path).map_err(|count| {
        let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
        Failure::Usage(format!("{}: {problems}; nothing was started", path.display()))
    })?;
    let hooks = tracing::enabled!(tracing::Level::INFO).then(|| Arc::new(Watch) as Arc<dyn Hooks>);
    let mut servers = Servers::start_with(plan, hooks)
        .await
        .map_err(|failed| Failure::Unreachable(format!("{failed}; nothing was started")))?;
    let mut told = Vec::new();
    tell(&servers, &mut told)?;
    loop {
        tokio::select! {
            () = stop.requested() => break,
            () = reload.requested() => {}
        }
        change(&mut servers, &path).await;
        tell(&servers, &mut told)?;
    }
    tokio::select! {
        _ = servers.stop() => Ok(()),
        () = stop.requested() => Err(Failure::Interrupted), // somebody does not want to wait for the rest
    }
}

/// The plan of a file; if there is none, all problems are shown, and the error is their number.
pub(crate) fn load(path: &Path) -> Result<Plan, usize> {
    let loaded = dinrail_gateway::load(path);
    let shown = match &loaded {
        Ok(plan) => plan.warnings(),
        Err(invalid) => Some(invalid),
    };
    if let Some(problems) = shown {
        output::show_problems(|colours| problems.render(colours));
    }
    loaded.map_err(|invalid| invalid.count())
}

/// Serves what the file says now; when it cannot be, everything goes on as before.
async fn change(servers: &mut Servers, path: &Path) {
    let loaded = load(path);
    let path = path.display();
    let plan = match loaded {
        Ok(plan) => plan,
        Err(1) => return error!("{path} was not reloaded: it has 1 problem; everything goes on as before"),
        Err(count) => return error!("{path} was not reloaded: it has {count} problems; everything goes on as before"),
    };
    match servers.change(plan).await {
        Ok(changes) => info!("{path} was reloaded: {changes}"),
        Err(failed) => error!("{path} was not reloaded: {failed}; everything goes on as before"),
    }
}

/// Says where servers listen that have not been named yet.
fn tell(servers: &Servers, told: &mut Vec<String>) -> Result<(), Failure> {
    let lines: Vec<_> = servers
        .status()
        .iter()
        .filter(|server| server.running)
        .map(|Status { name, address, .. }| format!("listening on {address} ({name})\n"))
        .collect();
    for line in lines.iter().filter(|line| !told.contains(line)) {
        output::print(line)?;
    }
    *told = lines;
    Ok(())
}
