//! Commands that tell when they run: they write a number into a pipe.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Hears commands. Times of files would not do: the kernel rounds them to its tick.
pub(crate) struct Marks {
    pipe: PathBuf,
    heard: UnboundedReceiver<(usize, Instant)>,
}

impl Marks {
    /// Listens at a pipe in the directory.
    pub(crate) fn listen(dir: &Path) -> Self {
        let pipe = dir.join("marks");
        let made = Command::new("mkfifo").arg(&pipe).status();
        assert!(made.is_ok_and(|status| status.success()), "mkfifo works");
        // Open for writing as well, so that it never ends in between.
        let file = File::options().read(true).write(true).open(&pipe);
        let mut lines = BufReader::new(file.expect("the pipe is there")).lines();
        let (tell, heard) = unbounded_channel();
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                let told = line
                    .parse()
                    .map(|number| tell.send((number, Instant::now())));
                if !told.is_ok_and(|told| told.is_ok()) {
                    return;
                }
            }
        });
        Self { pipe, heard }
    }

    /// A job whose command tells its parameter `N`, then runs the rest of a script.
    pub(crate) fn definition(&self, job_type: &str, rest: &str) -> String {
        let pipe = self.pipe.display();
        format!(
            "job_type: {job_type}\nmax_concurrency: 1000000\ntasks:\n- task_type: a\n  \
             method: SHELL\n  script: ['echo {{{{.N}}}} > {pipe}{rest}']\n"
        )
    }

    /// The next number, and when it was heard.
    pub(crate) async fn next(&mut self, patience: Duration) -> Option<(usize, Instant)> {
        tokio::time::timeout(patience, self.heard.recv())
            .await
            .ok()?
    }

    /// What was heard so far.
    pub(crate) fn take(&mut self) -> Vec<(usize, Instant)> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }
}

impl Drop for Marks {
    fn drop(&mut self) {
        // Ends the thread that reads.
        if let Ok(mut pipe) = File::options().write(true).open(&self.pipe) {
            let _ = pipe.write_all(b"end\n");
        }
    }
}

/// A share of sorted numbers.
pub(crate) fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get(last * percent / 100).copied().unwrap_or(0.0)
}
