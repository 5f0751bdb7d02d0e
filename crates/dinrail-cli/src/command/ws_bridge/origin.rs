//! Which web pages may connect. A browser lets any page open a WebSocket to any address, the machine's own included, and
//! says only where the page is from.

use std::net::IpAddr;

/// The origins that are allowed.
#[derive(Debug)]
pub(super) struct Origins {
    any: bool,
    named: Vec<String>,
}

impl Origins {
    pub(super) fn new(origins: &[String]) -> Result<Self, String> {
        let mut this = Self { any: false, named: Vec::new() };
        for origin in origins {
            match origin.as_str() {
                "*" => this.any = true,
                "null" => this.named.push("null".to_owned()), // pages from files say so
                _ => match origin.split_once("://") {
                    Some((scheme, host)) if !scheme.is_empty() && !host.is_empty() && !host.contains('/') => {
                        this.named.push(origin.to_ascii_lowercase());
                    }
                    _ => return Err(format!("{origin:?} is no origin: write https://HOST[:PORT], null or *")),
                },
            }
        }
        Ok(this)
    }

    /// Whether a request with these headers is welcome. Programs send no origin.
    ///
    /// A page of the bridge's own host is, when that is an address or `localhost`: a name could be pointed to this machine
    /// by whoever owns it.
    pub(super) fn allow(&self, origin: Option<&[u8]>, host: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return true };
        let Ok(origin) = std::str::from_utf8(origin).map(str::to_ascii_lowercase) else { return self.any };
        if self.any || self.named.contains(&origin) {
            return true;
        }
        let host = host.and_then(|host| std::str::from_utf8(host).ok());
        let of_page = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        match (of_page.map(name), host.map(name)) {
            (Some(page), Some(host)) => page.eq_ignore_ascii_case(host) && is_own(host),
            _ => false,
        }
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_own(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(allowed: &[&str], origin: &str, host: &str) -> bool {
        let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        let origin = (!origin.is_empty()).then_some(origin.as_bytes());
        Origins::new(&allowed).expect("origins").allow(origin, Some(host.as_bytes()))
    }

    #[test]
    fn strangers_pages_are_refused() {
        assert!(allows(&[], "", "127.0.0.1:8765"), "a program");
        assert!(allows(&[], "http://127.0.0.1:3000", "127.0.0.1:8765"), "a page of the same host");
        assert!(allows(&[], "http://localhost", "LOCALHOST:8765"));
        assert!(allows(&[], "https://[::1]:3000", "[::1]:8765"));
        assert!(!allows(&[], "https://evil.example", "127.0.0.1:8765"));
        assert!(!allows(&[], "http://evil.example:8765", "evil.example:8765"), "a name that points here");
        assert!(!allows(&[], "null", "127.0.0.1:8765"), "a file, or a page in a sandbox");
        assert!(!allows(&[], "file://127.0.0.1", "127.0.0.1:8765"));
    }

    #[test]
    fn who_is_named_is_welcome() {
        assert!(allows(&["https://HMI.example"], "https://hmi.example", "plc-bridge:8765"));
        assert!(!allows(&["https://hmi.example"], "http://hmi.example", "plc-bridge:8765"), "another scheme");
        assert!(!allows(&["https://hmi.example"], "https://hmi.example.evil", "plc-bridge:8765"));
        assert!(allows(&["null"], "null", "127.0.0.1:8765"));
        assert!(allows(&["*"], "https://anybody.example", "127.0.0.1:8765"));
    }

    #[test]
    fn what_is_no_origin_is_said() {
        for text in ["hmi.example", "https://hmi.example/page", "https://", ""] {
            let error = Origins::new(&[text.to_owned()]).expect_err(text);
            assert_eq!(error, format!("{text:?} is no origin: write https://HOST[:PORT], null or *"));
        }
    }
}
