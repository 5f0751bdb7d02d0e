//! `dinrail serve --config`: the servers of a file, and another file in its place on SIGHUP.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dinrail::server::{Hooks, Status};
use dinrail_gateway::console::{Console, Listen};
use dinrail_gateway::{Changes, Plan, Servers};
use tracing::{error, info};

use super::console::{self, Next};
use super::watch::Watch;
use crate::command::signal::{Reload, Stop};
use crate::failure::Failure;
use crate::output;

/// Serves what the file says, until it is told to stop. A console and an address for metrics of the command line stand in
/// place of the file's. `skip_failed`: what cannot be started keeps nothing else from being served.
pub(super) async fn run(
    path: PathBuf,
    console: Option<Listen>,
    metrics: Option<String>,
    skip_failed: bool,
) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let mut reload = Reload::listen()?;
    let plan = load(&path).map_err(|count| {
        let problems = if count == 1 { "1 problem".to_owned() } else { format!("{count} problems") };
        Failure::Usage(format!("{}: {problems}; nothing was started", path.display()))
    })?;
    let wanted = console.or(plan.console());
    let plan = match &metrics {
        Some(address) => plan.with_metrics(address),
        None => plan,
    };
    let hooks = tracing::enabled!(tracing::Level::INFO).then(|| Arc::new(Watch) as Arc<dyn Hooks>);
    let started = match skip_failed {
        true => Servers::start_what_can(plan, hooks).await,
        false => Servers::start_with(plan, hooks).await,
    };
    let mut servers = started.map_err(|failed| Failure::Unreachable(format!("{failed}; nothing was started")))?;
    let mut told = Vec::new();
    tell(&servers, &mut told)?;
    let mut open = console::open(wanted, servers.desk()).await?;
    loop {
        tokio::select! {
            () = stop.requested() => break,
            () = reload.requested() => {}
        }
        let next = change(&mut servers, &path, open.as_ref(), console, metrics.as_deref()).await;
        tell(&servers, &mut told)?;
        next.take_place(&mut open, servers.desk()).await?;
    }
    drop(open);
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

/// Serves what the file says now, and returns what is to become of the console; when it cannot be, everything goes on as
/// before.
async fn change(
    servers: &mut Servers,
    path: &Path,
    open: Option<&Console>,
    console: Option<Listen>,
    metrics: Option<&str>,
) -> Next {
    let changed = try_change(servers, path, open, console, metrics).await;
    let path = path.display();
    match changed {
        Ok((changes, next)) => {
            info!("{path} was reloaded: {changes}");
            next
        }
        Err(why) => {
            error!("{path} was not reloaded: {why}; everything goes on as before");
            Next::Same
        }
    }
}

async fn try_change(
    servers: &mut Servers,
    path: &Path,
    open: Option<&Console>,
    console: Option<Listen>,
    metrics: Option<&str>,
) -> Result<(Changes, Next), String> {
    let plan = load(path).map_err(|count| match count {
        1 => "it has 1 problem".to_owned(),
        count => format!("it has {count} problems"),
    })?;
    let wanted = console.or(plan.console());
    let plan = match metrics {
        Some(address) => plan.with_metrics(address),
        None => plan,
    };
    let next = Next::prepare(open, wanted, servers.desk()).await.map_err(|error| format!("the console {error}"))?;
    let changes = servers.change(plan).await.map_err(|failed| failed.to_string())?;
    Ok((changes, next))
}

/// Says where servers listen that have not been named yet.
fn tell(servers: &Servers, told: &mut Vec<String>) -> Result<(), Failure> {
    let lines: Vec<_> = servers
        .status()
        .iter()
        .filter(|server| server.running)
        .map(|Status { name, address, .. }| format!("listening on {address} ({name})\n"))
        .chain(servers.metrics().map(|url| format!("listening on {url} (metrics)\n")))
        .collect();
    for line in lines.iter().filter(|line| !told.contains(line)) {
        output::print(line)?;
    }
    *told = lines;
    Ok(())
}
