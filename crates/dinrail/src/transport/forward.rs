//! What a transport says of itself must reach client and server through everything that is put around it: a wrapper that
//! keeps one thing to itself makes a line that is subtly wrong. So it is passed on in one place.

/// In an implementation of [`Connect`](super::Connect): everything but connecting, as the connector in this field has it.
macro_rules! forward_connect {
    ($inner:ident) => {
        fn framing(&self) -> crate::proto::Framing {
            self.$inner.framing()
        }

        fn burst(&self) -> crate::transport::Burst {
            self.$inner.burst()
        }

        fn byte_time(&self) -> std::time::Duration {
            self.$inner.byte_time()
        }

        fn is_real_time(&self) -> bool {
            self.$inner.is_real_time()
        }

        fn has_local_echo(&self) -> bool {
            self.$inner.has_local_echo()
        }
    };
}

/// In an implementation of [`Listener`](super::Listener): everything but accepting, as the listener in this field has it.
macro_rules! forward_listener {
    ($inner:ident) => {
        fn burst(&self) -> crate::transport::Burst {
            self.$inner.burst()
        }
    };
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt;
    use std::io;
    use std::time::Duration;

    use tokio::io::DuplexStream;

    use crate::proto::Framing;
    use crate::service::Peer;
    use crate::transport::{Burst, Connect, Faults, Faulty, Listener, Rewrite, Tap, Trace};

    /// Unusual in everything.
    struct Odd;

    impl fmt::Display for Odd {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("odd")
        }
    }

    impl Connect for Odd {
        type Stream = DuplexStream;

        async fn connect(&self) -> io::Result<DuplexStream> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn framing(&self) -> Framing {
            Framing::Binary
        }

        fn burst(&self) -> Burst {
            Burst::Silence(Duration::from_millis(7))
        }

        fn byte_time(&self) -> Duration {
            Duration::from_micros(9)
        }

        fn is_real_time(&self) -> bool {
            true
        }

        fn has_local_echo(&self) -> bool {
            true
        }
    }

    impl Listener for Odd {
        type Stream = DuplexStream;

        async fn accept(&mut self) -> io::Result<(DuplexStream, Peer)> {
            Err(io::ErrorKind::Unsupported.into())
        }

        fn burst(&self) -> Burst {
            Burst::Silence(Duration::from_millis(7))
        }
    }

    fn hold(connect: &impl Connect, listener: &impl Listener) {
        assert_eq!(connect.to_string(), "odd");
        assert_eq!(connect.framing(), Framing::Binary);
        assert_eq!(connect.burst(), Burst::Silence(Duration::from_millis(7)));
        assert_eq!(connect.byte_time(), Duration::from_micros(9));
        assert!(connect.is_real_time() && connect.has_local_echo());
        assert_eq!(listener.burst(), Burst::Silence(Duration::from_millis(7)));
    }

    #[test]
    fn wrappers_pass_on_what_the_transport_says() {
        hold(&Tap::new(Odd, Trace::new()), &Tap::new(Odd, Trace::new()));
        hold(&Faulty::new(Odd, Faults::default()), &Faulty::new(Odd, Faults::default()));
        hold(&Rewrite::new(Odd, |_, _| {}), &Rewrite::new(Odd, |_, _| {}));
        let all = Tap::new(Faulty::new(Rewrite::new(Odd, |_, _| {}), Faults::default()), Trace::new());
        hold(&all, &all);
    }

    /// The methods of `source` from `start` to the brace that closes it, but for those without a body.
    fn methods<'s>(source: &'s str, start: &str) -> BTreeSet<&'s str> {
        let (before, block) = source.split_once(start).unwrap_or_else(|| panic!("there is no {start:?}"));
        let indent = before.rsplit('\n').next().unwrap_or_default();
        let block = block.split_once(&format!("\n{indent}}}")).map_or(block, |(block, _)| block);
        let name = |line: &'s str| line.trim_start().strip_prefix("fn ").filter(|_| line.ends_with('{'));
        block.lines().filter_map(name).filter_map(|rest| rest.split('(').next()).collect()
    }

    /// A method that is added to a trait must be added to what passes it on: nothing else would tell.
    #[test]
    fn every_method_with_a_default_is_passed_on() {
        let (here, traits) = (include_str!("forward.rs"), include_str!("mod.rs"));
        let mut connect = methods(traits, "pub trait Connect:");
        // Connecting is what each wraps in its own way.
        assert!(connect.remove("connect_within"));
        assert!(include_str!("endpoint.rs").contains("transport.connect_within(limit)"));
        assert!(connect.contains("has_local_echo"), "methods were found");
        assert_eq!(methods(here, "macro_rules! forward_connect {"), connect);
        assert_eq!(methods(include_str!("endpoint.rs"), "impl Connect for Endpoint {"), connect);
        assert_eq!(methods(here, "impl Connect for Odd {"), connect);
        let listener = methods(include_str!("listener.rs"), "pub trait Listener:");
        assert!(listener.contains("burst"), "methods were found");
        assert_eq!(methods(here, "macro_rules! forward_listener {"), listener);
        assert_eq!(methods(here, "impl Listener for Odd {"), listener);
        for wrapper in [include_str!("tap/mod.rs"), include_str!("faulty/mod.rs"), include_str!("rewrite.rs")] {
            assert!(wrapper.contains("self.inner.connect_within(limit)"));
            assert!(
                wrapper.contains("    forward_connect!(inner);") && wrapper.contains("    forward_listener!(inner);")
            );
        }
    }
}
