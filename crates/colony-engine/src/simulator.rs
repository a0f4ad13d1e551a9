//! The engine's decisions under everything that can go wrong: lost, doubled, late and reordered
//! messages, crashes between commit and effect, jumps of clocks, people who cancel and restart.
//!
//! A history is made from one number. It calls the engine's own operations, reads and nudges, over
//! SQLite, in place of its threads and loops; what holds always is checked after each transaction
//! (`checks`). First things go wrong, then nothing does any more and all must come to rest; then all is
//! cancelled and must end. Each history is one transaction that is rolled back.
//!
//! `COLONY_HISTORIES` sets how many are played, `COLONY_SEED` plays one and prints it.
//!
//! | file | what it has |
//! | --- | --- |
//! | `world` | one history |
//! | `writer` | operations in batches, and their effects |
//! | `loops` | the engine's loops, a step at a time |
//! | `ants`, `workers`, `people` | everybody around it |
//! | `plans` | random definitions |
//! | `checks` | what must hold |

mod ants;
mod checks;
mod loops;
mod people;
mod plans;
mod workers;
mod world;
mod writer;

use colony_store::{Store, StoreConfig, StoreError, Tx};
use rand::RngExt as _;
use tempfile::TempDir;

use world::World;

/// Histories that have found something once.
const SEEDS: &[u64] = &[0, 1, 50, 170, 242, 292, 340, 385, 607, 642, 931];

/// Histories played when nobody says how many.
const HISTORIES: u64 = 1500;

const THREADS: u64 = 2;

/// Why a history was rolled back.
enum Played {
    Whole,
    Faulty(String),
    Store(StoreError),
}

impl From<StoreError> for Played {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn store() -> (Store, TempDir) {
    let memory = std::path::Path::new("/dev/shm");
    let directory = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    let directory = directory.unwrap();
    let config = StoreConfig::sqlite(directory.path().join("colony.db"));
    (Store::open(&config).unwrap(), directory)
}

/// Plays a history. Gives it when it shows a fault.
fn play(store: &Store, seed: u64) -> Option<String> {
    let inside = store.clone();
    let played = store.write_blocking(move |tx| {
        let mut world = World::new(&inside, tx, seed)?;
        if let Err(error) = world.play(tx) {
            world.fail(format!("{error}: {error:?}"));
        }
        let history = world.history.join("\n");
        Err::<(), _>(match world.fault {
            None => Played::Whole,
            Some(_) => Played::Faulty(history),
        })
    });
    match played {
        Ok(()) | Err(Played::Whole) => None,
        Err(Played::Faulty(history)) => Some(format!("history {seed}\n{history}")),
        Err(Played::Store(error)) => Some(format!("history {seed}: {error} {error:?}")),
    }
}

impl World {
    fn play(&mut self, tx: &mut Tx<'_>) -> Result<(), StoreError> {
        let mut left: u32 = self.rng.random_range(20..60);
        let mut idle = 0;
        while left > 0 && idle < 200 && self.fault.is_none() {
            match self.step(tx)? {
                true => left -= 1,
                false => idle += 1,
            }
        }
        self.calm = true;
        self.tell("nothing goes wrong any more".to_owned());
        for index in 0..self.ants.len() {
            self.ant_beats(index);
            while self.hear(tx, index)? || self.ant_reads(index) {}
        }
        for index in 0..self.definitions.len() {
            self.disable(tx, index, false)?;
        }
        if self.rest(tx, 40)? && self.fault.is_none() {
            self.tell("at rest".to_owned());
            self.check_rest(tx)?;
        }
        for id in self.all_requests() {
            self.cancel(tx, id)?;
        }
        if !self.rest(tx, 300)? {
            self.fail("does not come to rest".to_owned());
        }
        if self.fault.is_none() {
            self.check_rest(tx)?;
            self.check_end(tx)?;
        }
        Ok(())
    }

    /// One thing happens. False when there is nothing to do it with.
    fn step(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let ant = self.pick(self.ants.len()).unwrap_or(0);
        let worker = self.pick(self.workers.len()).unwrap_or(0);
        match self.rng.random_range(0..200) {
            0..10 => {
                self.submit();
                Ok(true)
            }
            10..50 => self.write(tx),
            50..70 => Ok(self.carry_out()),
            70..82 => Ok(self.send()),
            82..94 => self.schedule(tx),
            94..102 => Ok(self.dispatch()),
            102..108 => self.render(tx),
            108..116 => self.timers(tx),
            116..128 => Ok(self.ant_reads(ant)),
            128..138 => Ok(self.ant_finishes(ant)),
            138..150 => self.hear(tx, ant),
            150..155 => Ok(self.ant_says_more(ant)),
            155..157 => self.vanish(tx, ant),
            157..163 => self.connect(tx, ant),
            163..170 => self.worker_claims(tx, worker),
            170..176 => Ok(self.worker_reports(worker)),
            176..178 => self.worker_renews(tx, worker),
            178..179 => Ok(self.worker_vanishes(worker)),
            179..189 => self.advance(tx),
            189..190 => {
                self.jump(tx)?;
                Ok(true)
            }
            190..191 => {
                self.crash();
                Ok(true)
            }
            _ => self.somebody_decides(tx),
        }
    }

    fn somebody_decides(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        if self.chance(0.1) {
            let index = self.pick(self.definitions.len()).unwrap_or(0);
            let disabled = self.chance(0.5);
            self.disable(tx, index, disabled)?;
            return Ok(true);
        }
        let Some(chosen) = self.pick(self.requests.len()) else {
            return Ok(false);
        };
        let id = self.requests[chosen];
        if self.chance(0.4) {
            return self.restart(tx, id);
        }
        self.cancel(tx, id)?;
        Ok(true)
    }

    /// Lets everybody do what they can until nobody can. False when that takes too long.
    fn rest(&mut self, tx: &mut Tx<'_>, rounds: u32) -> Result<bool, StoreError> {
        for _ in 0..rounds {
            if self.fault.is_some() {
                return Ok(true);
            }
            if self.round(tx)? {
                continue;
            }
            // As long as something is due the timers sleep, and nothing else happens.
            let Some(at) = self.engine.nudges.timers_wake_at() else {
                return Ok(true);
            };
            let rest = at.since(self.engine.now());
            self.clock.advance(rest);
            self.tell(format!("{rest:?} pass"));
            if rest.is_zero() && !self.timers(tx)? {
                self.fail("the timers are called but do nothing".to_owned());
            }
        }
        Ok(false)
    }

    fn round(&mut self, tx: &mut Tx<'_>) -> Result<bool, StoreError> {
        let mut moved = false;
        for index in 0..self.ants.len() {
            moved |= self.connect(tx, index)?;
            while self.ant_reads(index) {
                moved = true;
            }
            moved |= self.ant_finishes(index);
            while self.hear(tx, index)? {
                moved = true;
            }
        }
        for index in 0..self.workers.len() {
            moved |= self.worker_claims(tx, index)?;
            moved |= self.worker_reports(index);
        }
        moved |= self.schedule(tx)?;
        moved |= self.dispatch();
        moved |= self.render(tx)?;
        moved |= self.timers(tx)?;
        while self.write(tx)? {
            moved = true;
        }
        while self.carry_out() || self.send() {
            moved = true;
        }
        if !moved {
            for index in 0..self.ants.len() {
                moved |= self.ant_repeats(index);
            }
        }
        Ok(moved)
    }
}

/// The first faulty histories of some seeds, which threads share.
fn faulty(seeds: std::ops::Range<u64>) -> Vec<String> {
    let threads: Vec<_> = (0..THREADS)
        .map(|thread| {
            let seeds = seeds
                .clone()
                .skip(thread as usize)
                .step_by(THREADS as usize);
            std::thread::spawn(move || {
                let (store, _directory) = store();
                seeds
                    .filter_map(|seed| play(&store, seed))
                    .take(1)
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let found = threads.into_iter().map(|thread| thread.join().unwrap());
    found.flatten().collect()
}

#[test]
fn histories_that_found_something_find_nothing_any_more() {
    let (store, _directory) = store();
    for seed in SEEDS {
        if let Some(history) = play(&store, *seed) {
            panic!("{history}");
        }
    }
}

#[test]
fn whatever_goes_wrong_runs_end_once_and_nothing_is_stuck() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seeds = match number("COLONY_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("COLONY_HISTORIES").unwrap_or(HISTORIES),
    };
    let faulty = faulty(seeds);
    assert!(faulty.is_empty(), "{}", faulty.join("\n\n"));
}
