//! Where the console listens: on this machine, unless the file says that others may come, and where nobody else does.

use super::{Checker, listens};
use crate::config::problem::Problem;
use crate::config::read::At;
use crate::config::{Console, required};
use crate::console::{BadListen, Listen};

impl Checker<'_> {
    pub(super) fn console(&mut self, at: &At<Console>) -> Option<Listen> {
        let mend = "say where it listens: listen = \"127.0.0.1:7020\"";
        let listen = required(at.value.listen.as_ref(), "listen", &at.span, mend, self.problems)?;
        let is_public = at.value.public.as_ref().is_some_and(|public| public.value);
        let read = if is_public { Listen::public(&listen.value) } else { Listen::loopback(&listen.value) };
        let place = match read {
            Ok(place) => place,
            Err(why) => {
                let problem = match why {
                    BadListen::Public(_) => Problem::new(why.to_string(), &listen.span, "others can come here")
                        .with_mend("write public = true below it to let them"),
                    BadListen::NoAddress(_) => Problem::new(why.to_string(), &listen.span, "no address"),
                };
                self.add(problem);
                return None;
            }
        };
        let own = listens(&format!("tcp://{place}").parse().ok()?); // it is an address with a port
        let is_in_the_way = |endpoint| match (&own, &listens(endpoint)) {
            (Some((host, what)), Some((other_host, other))) => what == other && host.collides(other_host),
            _ => false,
        };
        if let Some(server) = self.places.iter().find(|server| is_in_the_way(&server.endpoint)) {
            let title = format!("the console and the server {:?} are in each other's way", server.name);
            let problem = Problem::new(title, &listen.span, "the console listens here")
                .with_other(&server.span, format!("{:?} listens here", server.name));
            self.add(problem.with_mend("give one of them another port"));
        }
        Some(place)
    }
}
