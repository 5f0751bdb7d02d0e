//! A console beside the servers: where it listens, and what becomes of it when the file says something else.

use dinrail::Error;
use dinrail_gateway::console::{BadListen, Console, Desk, Listen};
use tracing::{error, info};

use crate::command::console::ADDRESS;
use crate::failure::Failure;
use crate::output;

/// Whether operators may look and set values.
#[derive(Debug, clap::Args)]
pub(super) struct ConsoleArgs {
    /// Let operators read and set values by lines of text: dinrail console, or nc
    ///
    /// It listens on 127.0.0.1:7020 unless an address is given; port 0 takes a free one. Its address is written as
    /// "console on IP:PORT" behind those of the servers. What is set there passes over --read-only and --rules, and
    /// inputs can be set as well. With --config this holds in place of the file's [console].
    #[arg(
        long,
        verbatim_doc_comment,
        value_name = "IP:PORT",
        num_args = 0..=1,
        default_missing_value = ADDRESS
    )]
    console: Option<String>,

    /// Let the console listen where other machines can reach it
    ///
    /// There are no passwords: whoever connects can read and set every value. Without this only addresses of this
    /// machine alone are taken, such as 127.0.0.1.
    #[arg(long, verbatim_doc_comment, requires = "console")]
    console_public: bool,
}

impl ConsoleArgs {
    pub(super) fn listen(&self) -> Result<Option<Listen>, Failure> {
        let Some(text) = &self.console else { return Ok(None) };
        let listen = if self.console_public { Listen::public(text) } else { Listen::loopback(text) };
        listen.map(Some).map_err(|why| {
            let mend = match why {
                BadListen::Public(_) => ", or allow it with --console-public",
                _ => "",
            };
            Failure::Usage(format!("{why}{mend}"))
        })
    }
}

/// Opens a console if one is wanted, and says where.
pub(super) async fn open(listen: Option<Listen>, desk: Desk) -> Result<Option<Console>, Failure> {
    let Some(listen) = listen else { return Ok(None) };
    let failed = |error: Error| Failure::Unreachable(format!("the console {error}"));
    let console = Console::start(listen, desk).await.map_err(failed)?;
    tell(&console)?;
    Ok(Some(console))
}

fn tell(console: &Console) -> Result<(), Failure> {
    output::print(&format!("console on {}\n", console.local_addr()))
}

/// What is to become of a console when a file is changed over to another one.
pub(super) enum Next {
    Same,
    Gone,
    /// This one takes its place.
    Ready(Console),
    /// It needs the port that the present one has.
    Moved(Listen),
}

impl Next {
    /// Makes ready what can be made ready before anything is changed.
    pub(super) async fn prepare(open: Option<&Console>, wanted: Option<Listen>, desk: Desk) -> Result<Self, Error> {
        match (open, wanted) {
            (None, None) => Ok(Self::Same),
            (_, None) => Ok(Self::Gone),
            (Some(open), Some(wanted)) if open.listen() == wanted => Ok(Self::Same),
            (Some(open), Some(wanted)) if open.local_addr().port() == wanted.address().port() => {
                Ok(Self::Moved(wanted))
            }
            (_, Some(wanted)) => Console::start(wanted, desk).await.map(Self::Ready),
        }
    }

    /// Changes over, and says where the console is now if it is somewhere else.
    pub(super) async fn take_place(self, open: &mut Option<Console>, desk: Desk) -> Result<(), Failure> {
        let next = match self {
            Self::Same => return Ok(()),
            Self::Gone => None,
            Self::Ready(console) => Some(console),
            Self::Moved(wanted) => {
                let before = open.as_ref().map(Console::listen);
                if let Some(console) = open.take() {
                    console.stop().await;
                }
                restart(wanted, before, desk).await
            }
        };
        if let Some(console) = std::mem::replace(open, next) {
            console.stop().await;
        }
        match open {
            Some(console) => tell(console),
            None => {
                info!("the console is closed");
                Ok(())
            }
        }
    }
}

/// Listens at the new place, or else at the one before.
async fn restart(wanted: Listen, before: Option<Listen>, desk: Desk) -> Option<Console> {
    for listen in [Some(wanted), before].into_iter().flatten() {
        match Console::start(listen, desk.clone()).await {
            Ok(console) => return Some(console),
            Err(error) => error!("the console {error}"),
        }
    }
    None
}
