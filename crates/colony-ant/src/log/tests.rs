//! The log without processes.

use colony_core::id::Epoch;
use colony_core::time::ManualClock;

use super::*;

struct Deaf;

impl StdoutListener for Deaf {
    fn raw_line(&mut self, _: &[u8]) {}
    fn masked_text(&mut self, _: &str) {}
}

fn log(dir: &tempfile::TempDir) -> Log {
    let attempt = AttemptRef {
        task_id: "0190b5c0-aa6a-7d0e-9c59-2f8a6b7c8d9e".parse().unwrap(),
        epoch: Epoch(1),
    };
    let settings = LogSettings {
        attempt,
        output_limit: 1 << 30,
        flush_after: Duration::from_millis(50),
        file: dir.path().join("log"),
    };
    let clock = Arc::new(ManualClock::at_millis(1_754_288_919_123));
    Log::new(settings, clock, Arc::default())
}

#[tokio::test]
async fn a_command_is_logged_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    log.command("echo a\necho b");
    log.output(Stream::Stdout, b"a\nb", &mut Deaf);
    log.finish_item(&mut Deaf);
    let WholeLog::Inline(text) = log.finish() else {
        panic!("a small log is inline");
    };
    let time = "2025-08-04T06:28:39.123Z";
    let expected = [
        "system F $ echo a",
        "system F > echo b",
        "stdout F a",
        "stdout F b",
    ];
    let expected: String = expected.map(|line| format!("{time} {line}\n")).concat();
    assert_eq!(text, expected);
}

#[tokio::test]
async fn chunks_are_bounded_whole_lines_without_gaps_and_the_file_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    log.output(Stream::Stderr, "x\n".repeat(20_000).as_bytes(), &mut Deaf);
    assert!(log.is_full());
    let mut all = String::new();
    while let Some(chunk) = log.take_chunk() {
        assert_eq!(chunk.offset, all.len() as u64);
        assert!(chunk.text.len() <= CHUNK_MAX && chunk.text.ends_with('\n'));
        all.push_str(&chunk.text);
    }
    assert!(log.send_at(Instant::now()).is_none() && !log.is_full());
    let WholeLog::File {
        path, size_bytes, ..
    } = log.finish()
    else {
        panic!("a large log is in a file");
    };
    assert_eq!(size_bytes, all.len() as u64);
    assert_eq!(std::fs::read_to_string(path).unwrap(), all);
}

#[tokio::test]
async fn a_nul_is_replaced_before_places_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    log.output(Stream::Stdout, b"a\0b\n", &mut Deaf);
    let chunk = log.take_chunk().unwrap();
    assert!(chunk.text.ends_with(" a\u{fffd}b\n"), "{}", chunk.text);
    let WholeLog::Inline(text) = log.finish() else {
        panic!("a small log is inline");
    };
    assert_eq!(text, chunk.text);
}

#[tokio::test(start_paused = true)]
async fn the_first_output_goes_at_once_and_the_rest_waits_a_little() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    let start = Instant::now();
    log.command("echo a");
    assert_eq!(
        log.send_at(Instant::now()),
        Some(start + Duration::from_millis(50))
    );
    log.output(Stream::Stdout, b"a\n", &mut Deaf);
    assert_eq!(log.send_at(Instant::now()), Some(start));
    log.take_chunk();
    log.output(Stream::Stdout, b"b\n", &mut Deaf);
    assert_eq!(
        log.send_at(Instant::now()),
        Some(start + Duration::from_millis(50))
    );
}
