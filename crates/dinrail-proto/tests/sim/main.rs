//! A client and a device over a bad line, in virtual time: thousands of seeds, each a story of its own.
//!
//! What must hold in every one of them:
//! 1. Nobody receives another call's data. Each call reads and writes addresses of its own, and what is there follows
//!    from unit and address, so every answer shows whose it is. An answer also means that the device has seen the call.
//! 2. Every call ends, and one that was sent ends by its deadline. None is sent twice.
//! 3. The line heals: when nothing goes wrong any more, a call succeeds within bounded time, and then all do.
//!
//! `DINRAIL_SIM_SEEDS=100000` runs so many seeds, `DINRAIL_SIM_SEED=4711` that one alone.

#![allow(clippy::print_stdout, reason = "what the stories were made of, for those who ask with --nocapture")]

mod call;
mod faults;
mod rng;
mod world;

use dinrail_proto::client::{Failure, Outcome};

use crate::world::World;

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

fn run(seed: u64) -> Result<World, String> {
    let mut world = World::new(seed);
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

#[test]
fn nobody_gets_anothers_answer_every_call_ends_and_the_line_heals() {
    if let Some(seed) = number_in("DINRAIL_SIM_SEED") {
        if let Err(error) = run(seed) {
            panic!("seed {seed}: {error}");
        }
        return;
    }
    let seeds = number_in("DINRAIL_SIM_SEEDS").unwrap_or(10_000);
    let mut tallies: [Tally; 3] = Default::default();
    for seed in 0..seeds {
        match run(seed) {
            Ok(world) => tallies[(seed % 3) as usize].count(&world),
            Err(error) => {
                panic!("seed {seed}: {error}\nrepeat: DINRAIL_SIM_SEED={seed} cargo test -p dinrail-proto --test sim")
            }
        }
    }
    println!("TCP {:?}\nRTU {:?}\nASCII {:?}", tallies[0], tallies[1], tallies[2]);
    for (index, tally) in tallies.iter().enumerate().filter(|_| seeds >= 1_000) {
        let serial = index > 0;
        let common = [tally.answers, tally.exceptions, tally.timeouts, tally.mismatches, tally.late, tally.orphans];
        assert!(common.iter().all(|&count| count > 50), "{tally:?}");
        assert!(if serial { tally.broadcasts.min(tally.noise) > 50 } else { tally.lost > 50 }, "{tally:?}");
    }
}
