//! The arguments that say which device is meant, the same for every command that asks one.

use std::time::Duration;

use dinrail::client::Options;
use dinrail::transport::Tcp;
use dinrail::{Client, Error};
use tracing::debug;

use super::{Target, parse_duration};

/// Where a device is and how long to wait for it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Device {
    /// Where the device is, as `tcp://HOST[:PORT]` or `HOST[:PORT]`.
    #[arg(value_name = "URL", help = "Where the device is: tcp://HOST[:PORT] or HOST[:PORT]")]
    target: Target,

    /// The unit id, 0 to 255: which device behind the address is meant.
    #[arg(short, long, value_name = "N", default_value_t = 1)]
    pub(crate) unit: u8,

    /// How long to wait for a connection, and for each answer.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_duration)]
    timeout: Duration,
}

impl Device {
    /// Connects, or says why that cannot be.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        debug!(target = %self.target, timeout = ?self.timeout, "connecting");
        let client = Client::connect_with(self.connector(), self.options()).await?;
        debug!(target = %self.target, "connected");
        Ok(client)
    }

    /// What to connect to.
    pub(crate) fn connector(&self) -> Tcp {
        Tcp::from((self.target.host.as_str(), self.target.port))
    }

    /// How to talk to it.
    pub(crate) fn options(&self) -> Options {
        Options::default().with_unit(self.unit).with_timeout(self.timeout).with_connect_timeout(self.timeout)
    }
}
