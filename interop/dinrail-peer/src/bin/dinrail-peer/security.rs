//! What each side shows over TLS, and whom it trusts: `SERVER_SHOWS`, `SERVER_TRUSTS`, `CLIENT_SHOWS` and
//! `CLIENT_TRUSTS` of the environment. What is shown is a path without `.pem` and `.key`, what is trusted a CA's file.

use std::error::Error;

use dinrail::service::{Access, Rule, Rules};
use dinrail::transport::{ClientAuth, Endpoint, TlsOptions};

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A client's end, with what it shows if it has it.
pub(crate) fn client(end: Endpoint) -> Endpoint {
    end.map_tls(|mut tls| {
        if let Some(ca) = variable("CLIENT_TRUSTS") {
            tls = tls.with_ca(ca);
        }
        match variable("CLIENT_SHOWS") {
            Some(own) => tls.with_certificate(format!("{own}.pem"), format!("{own}.key")),
            None => tls,
        }
    })
}

/// A server's end. It asks clients for a certificate when it has somebody to trust.
pub(crate) fn server(end: Endpoint) -> Result<Endpoint, Box<dyn Error>> {
    let Endpoint::Tls(..) = end else {
        return Ok(end);
    };
    let own = variable("SERVER_SHOWS").ok_or("SERVER_SHOWS is not set: a TLS server has a certificate to show")?;
    let options = TlsOptions::new(format!("{own}.pem"), format!("{own}.key"));
    let options = match variable("SERVER_TRUSTS") {
        Some(ca) => options.with_client_ca(ca),
        None => options.with_client_auth(ClientAuth::None),
    };
    Ok(end.with_server_tls(options.load()?))
}

/// Operators may do everything and viewers may read; who is not asked for a certificate may do everything.
pub(crate) fn rules() -> Rules {
    match variable("SERVER_TRUSTS") {
        Some(_) => Rules::new().with(Rule::new("operator", Access::All)).with(Rule::new("viewer", Access::Read)),
        None => Rules::new().with(Rule::anyone(Access::All)),
    }
}
