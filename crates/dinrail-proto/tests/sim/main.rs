//! A client and a device over a bad line, in virtual time: thousands of seeds, each a story of its own.
//!
//! What must hold in every one of them:
//! 1. Nobody receives another call's data. Each call reads and writes addresses of its own, and what is there follows
//!    from unit and address, so every answer shows whose it is. An answer also means that the device has seen the call.
//! 2. Every call ends, and one that was sent ends by its deadline. None is sent twice.
//! 3. The line heals: when nothing goes wrong any more, a call succeeds within bounded time, and then all do.
//!
//! In half of the stories everything goes wrong that can. The others ask one thing: may a reply that comes after its
//! timeout become the next call's answer? There every second reply comes late, and each would fit the next call.
//!
//! A bus with an RTU server and three others is a story of its own (`bus.rs`).
//!
//! `DINRAIL_SIM_SEEDS=100000` runs so many seeds of each, `DINRAIL_SIM_SEED=4711` that one alone, and
//! `DINRAIL_BUS_FRAMES=1000000` lets so many frames pass on each of four buses. All of it, optimised, in a minute of
//! computing:
//!
//! ```text
//! DINRAIL_SIM_SEEDS=100000 DINRAIL_BUS_FRAMES=1000000 cargo test -p dinrail-proto --test sim \
//!     --config profile.dev.package.dinrail-proto.opt-level=3 -- --nocapture
//! ```

#![allow(clippy::print_stdout, reason = "what the stories were made of, for those who ask with --nocapture")]

mod bus;
mod call;
mod faults;
mod rng;
mod world;

use dinrail_proto::Framing;
use dinrail_proto::client::{Failure, Outcome};

use crate::faults::Trouble;
use crate::world::{FRAMINGS, World};

const CALLS: u16 = 30;
/// No story takes longer, in microseconds: the calls come within 1.2 s, and each takes its timeout and a quarantine at
/// most, 240 ms together.
const HORIZON: u64 = 15_000_000;
/// After faults have ended: two calls that meet leftovers, each with its timeout and a quarantine, and one that succeeds.
const HEALING: u64 = 2 * 240_000 + 120_000;

/// What the stories were made of: faults that never happen prove nothing.
#[derive(Debug, Default)]
struct Tally {
    answers: u64,
    exceptions: u64,
    broadcasts: u64,
    timeouts: u64,
    /// Timeouts that say what came instead.
    mismatches: u64,
    lost: u64,
    late: u64,
    orphans: u64,
    noise: u64,
}

impl Tally {
    fn count(&mut self, world: &World) {
        for number in 0..world.calls.len() {
            match world.outcome(number) {
                None => {}
                Some(Outcome::Response(_)) => self.answers += 1,
                Some(Outcome::Exception(_)) => self.exceptions += 1,
                Some(Outcome::Sent) => self.broadcasts += 1,
                Some(Outcome::Failed(Failure::Timeout { mismatch })) => {
                    self.timeouts += 1;
                    self.mismatches += u64::from(mismatch.is_some());
                }
                Some(Outcome::Failed(Failure::Lost)) => self.lost += 1,
                Some(Outcome::Failed(_)) => {}
            }
        }
        let stats = world.stats();
        self.late += stats.late;
        self.orphans += stats.orphans;
        self.noise += stats.noise;
    }
}

fn run(seed: u64, trouble: Trouble) -> Result<World, String> {
    let mut world = World::new(seed, trouble);
    world.plan(CALLS);
    while !world.is_settled() {
        if !world.step()? || world.now() > HORIZON {
            let left = world.calls.iter().filter(|call| !call.cancelled && call.ended.is_none()).count();
            return Err(format!("{left} calls have not ended"));
        }
    }
    world.heal();
    let healing = world.now();
    let mut succeeded = 0;
    for round in 0..12u8 {
        let number = world.start_clean(1 + round % 3);
        while world.outcome(number).is_none() {
            if !world.step()? || world.now() > HORIZON {
                return Err("a call on a good line has not ended".into());
            }
        }
        match world.outcome(number) {
            Some(Outcome::Response(_) | Outcome::Exception(_)) => succeeded += 1,
            outcome if world.now() > healing + HEALING => {
                return Err(format!(
                    "the line does not heal: {outcome:?}, {} us after the last fault",
                    world.now() - healing
                ));
            }
            _ => {}
        }
    }
    if succeeded < 9 {
        return Err(format!("the line does not heal: of 12 calls {succeeded} succeeded"));
    }
    Ok(world)
}

fn number_in(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is no number")))
}

/// Runs as many stories as were asked for, and says what those of each framing were made of.
fn stories(test: &str, trouble: Trouble) -> Option<[Tally; FRAMINGS.len()]> {
    if let Some(seed) = number_in("DINRAIL_SIM_SEED") {
        if let Err(error) = run(seed, trouble) {
            panic!("seed {seed}: {error}");
        }
        return None;
    }
    let seeds = number_in("DINRAIL_SIM_SEEDS").unwrap_or(10_000);
    let mut tallies: [Tally; FRAMINGS.len()] = Default::default();
    for seed in 0..seeds {
        match run(seed, trouble) {
            Ok(world) => tallies[seed as usize % FRAMINGS.len()].count(&world),
            Err(error) => {
                let repeat = format!("DINRAIL_SIM_SEED={seed} cargo test -p dinrail-proto --test sim {test}");
                panic!("seed {seed}: {error}\nrepeat: {repeat}")
            }
        }
    }
    for (framing, tally) in FRAMINGS.iter().zip(&tallies) {
        println!("{framing:?} {tally:?}");
    }
    (seeds >= 1_000).then_some(tallies)
}

#[test]
fn nobody_gets_anothers_answer_every_call_ends_and_the_line_heals() {
    let test = "nobody_gets_anothers_answer_every_call_ends_and_the_line_heals";
    for (framing, tally) in FRAMINGS.iter().zip(stories(test, Trouble::Everything).iter().flatten()) {
        let common = [tally.answers, tally.exceptions, tally.timeouts, tally.late];
        let strangers = tally.mismatches.min(tally.orphans);
        let own = if framing.is_shared_line() { tally.broadcasts.min(tally.noise) } else { tally.lost };
        assert!(common.iter().all(|&count| count > 50) && own > 50, "{framing:?} {tally:?}");
        assert!(strangers > 50 || *framing == Framing::Pdu, "{framing:?} {tally:?}");
    }
}

#[test]
fn a_reply_after_its_timeout_never_becomes_the_next_calls_answer() {
    let test = "a_reply_after_its_timeout_never_becomes_the_next_calls_answer";
    for (framing, tally) in FRAMINGS.iter().zip(stories(test, Trouble::LateReplies).iter().flatten()) {
        // Several in each story.
        let stories = number_in("DINRAIL_SIM_SEEDS").unwrap_or(10_000) / FRAMINGS.len() as u64;
        assert!(tally.timeouts.min(tally.late) > 2 * stories, "{framing:?} {tally:?}");
        assert!(tally.answers > 2 * stories && tally.mismatches + tally.noise == 0, "{framing:?} {tally:?}");
    }
}

#[test]
fn a_server_on_a_bad_bus_executes_every_intact_request_that_is_for_it_and_no_other() {
    let seeds = match number_in("DINRAIL_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..4,
    };
    for seed in seeds {
        let frames = number_in("DINRAIL_BUS_FRAMES").unwrap_or(50_000);
        let report = bus::run(seed, frames).unwrap_or_else(|error| panic!("seed {seed}, {error}"));
        println!("seed {seed}: {report:?}");
        // What was there to be executed, and what there was to be mistaken for it.
        assert!(report.intact > frames / 10 && report.executed >= report.intact, "{report:?}");
        assert!(report.damaged > frames / 10 && report.asked > report.intact, "{report:?}");
        // At most one damaged frame in 65536 passes for a request to us, which is what a CRC of 16 bits can do.
        assert!(report.phantoms <= 1 + report.damaged / 65_536, "{report:?}");
    }
}
