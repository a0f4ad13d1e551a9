//! Tasks of another user than the queen's: what they can do, and what they cannot reach. These tests
//! need root, as the setting does.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use colony_testkit::block_on;
use rustix::process::Signal;

use crate::kit::{Ended, Home, Queen, also_on_postgres};

also_on_postgres! {
    a_task_is_its_users_from_end_to_end
    what_is_the_queens_stays_closed
}

const SECRET: &str = "geheim-of-root";

/// A user that has no account and no other process: each test has its own.
fn stranger() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    assert!(
        rustix::process::geteuid().is_root(),
        "this test needs root: it runs tasks as another user"
    );
    let of_process = std::process::id() % 100_000 * 100;
    1_000_000_000 + of_process + NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A home that the user may pass through, with a file of root's.
struct Guest {
    home: Home,
    uid: u32,
}

impl Guest {
    fn new() -> Self {
        let (home, uid) = (Home::new(), stranger());
        chmod(home.path(), 0o711);
        home.write("secret", SECRET);
        chmod(&home.path().join("secret"), 0o600);
        let settings = format!("[ant]\nrun_as = '{uid}:{uid}'\n");
        home.write("colony.toml", &settings);
        Self { home, uid }
    }

    fn secret(&self) -> PathBuf {
        self.home.path().join("secret")
    }

    /// Where attempts have their directories.
    fn work(&self) -> PathBuf {
        self.home.path().join(".colony-work")
    }

    /// Runs a job here and now.
    fn run(&self, tasks: &str) -> Ended {
        self.home.write("job.yaml", &job(tasks));
        let ended = self.home.colony(&["run", "job.yaml"]);
        self.is_quiet();
        ended
    }

    /// Nothing of it is left, neither files nor processes.
    #[track_caller]
    fn is_quiet(&self) {
        let left: Vec<_> = fs::read_dir(self.work())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".lock")
            .collect();
        assert!(left.is_empty(), "{left:?}");
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let own = processes.filter(|it| it.metadata().is_ok_and(|found| found.uid() == self.uid));
        assert_eq!(own.count(), 0, "processes are left");
        assert_eq!(fs::read_to_string(self.secret()).unwrap(), SECRET);
    }
}

fn job(tasks: &str) -> String {
    format!("job_type: guest\ntasks:\n{tasks}")
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Runs a job through a queen.
fn submit(home: &Home, queen: &Queen, tasks: &str) -> Ended {
    block_on(queen.client().save_definition(job(tasks))).unwrap();
    home.colony(&["submit", "guest", "--follow"])
}

const TRAVELLER: &str = r#"
- task_type: make
  method: SHELL
  working_dir: deep/er
  before_script:
  - echo "user $(id -u) group $(id -g) groups $(id -G)"
  - echo "home $HOME name $USER $LOGNAME in $PWD"
  - touch "$HOME/a" "$TMPDIR/b"
  - echo by name > /dev/stdout; echo by name too > /dev/stderr
  script:
  - mkdir kept; echo made > kept/file; chmod 750 kept/file; yes | head -c 100000
  artifacts:
    paths: [kept, "*.none"]
  on_completed: use
- task_type: use
  method: SHELL
  dependencies: [make]
  script:
  - echo "got $(cat kept/file) of $(stat -c %u:%g:%a kept/file)"
"#;

#[test]
fn a_task_is_its_users_from_end_to_end() {
    let guest = Guest::new();
    let (home, uid) = (&guest.home, guest.uid);
    let queen = Queen::start(home, &[]);
    assert!(!queen.err().contains("runs as root"), "{}", queen.err());
    let ended = submit(home, &queen, TRAVELLER).with_code(0);
    let work = guest.work().canonicalize().unwrap().display().to_string();
    for expected in [
        format!("user {uid} group {uid} groups {uid}\n"),
        format!("home {work}/"),
        format!("/work name {uid} {uid} in {work}/"),
        "by name\n".to_owned(),
        "by name too\n".to_owned(),
        format!("got made of {uid}:{uid}:750\n"),
    ] {
        assert!(ended.out.contains(&expected), "{expected}: {}", ended.out);
    }
    // Again, and after somebody has removed the directory, and another has made it.
    fs::remove_dir_all(&work).unwrap();
    fs::create_dir(&work).unwrap();
    chmod(Path::new(&work), 0o700);
    submit(home, &queen, TRAVELLER).with_code(0);
    queen.stop();
    guest.is_quiet();
}

#[test]
fn what_is_the_queens_stays_closed() {
    let guest = Guest::new();
    let home = &guest.home;
    let queen = Queen::start(home, &[]);
    let data = home.data_dir();
    // So much that the ant has files of its own.
    let tasks = format!(
        r#"
- task_type: look
  method: SHELL
  script:
  - yes | head -c 200000
  - |
    open() {{ if "$@" >/dev/null 2>&1; then echo "is open: $*"; fi; }}
    base=${{TMPDIR%/tmp}}; root=${{base%/*}}; data={data}; queen={queen}
    for file in admin.token address colony.db colony.db-wal objects logs work; do
      open cat "$data/$file"; open ls "$data/$file"
    done
    open ls "$data"; open ls "$root"; open cat "$root/.lock"; open flock -n "$root/.lock" true
    open ls "$base"; open ls "$base/own"; open cat "$base/own/console.log"
    open cat "$base/own/1.stdout"; open touch "$base/x"; open mv "$base/work" "$base/y"
    open ln -s / "$root/z"; open rm -r "$base"
    for pid in $queen $PPID; do
      open cat /proc/$pid/environ; open ls /proc/$pid/fd; open cat /proc/$pid/maps
      open kill -0 $pid; open kill -9 $pid; open kill -STOP $pid
    done
    (echo > /dev/tty) 2>/dev/null && echo "is open: tty"
    echo looked
"#,
        data = data.display(),
        queen = queen.pid(),
    );
    let ended = submit(home, &queen, &tasks).with_code(0);
    let open = |line: &&str| line.contains("| is open: ");
    let open: Vec<&str> = ended.out.lines().filter(open).collect();
    assert!(open.is_empty(), "{open:?}");
    // All that it can kill is its own.
    let tasks = "- task_type: rage\n  method: SHELL\n  script: [kill -9 -1]\n";
    submit(home, &queen, tasks).with_code(0);
    submit(home, &queen, TRAVELLER).with_code(0);
    assert!(data.join("admin.token").exists());
    queen.stop();
    guest.is_quiet();
}

#[test]
fn paths_lead_nowhere_that_the_user_may_not_go() {
    let guest = Guest::new();
    let secret = guest.secret().display().to_string();
    let out = guest.home.path().join("out");
    fs::create_dir(&out).unwrap();
    let make = |script: &str, paths: &str| {
        format!(
            "- task_type: make\n  method: SHELL\n  script:\n  - {script}\n  artifacts:\n    paths: [{paths}]\n"
        )
    };
    let up = "../".repeat(3);
    for (script, paths, expected) in [
        ("true", &*secret, "Permission denied"),
        ("true", &*format!("{up}secret"), "Permission denied"),
        ("true", "../own/artifacts.paths", "artifacts: "),
        ("true", "../own", "artifacts: "),
        (
            &*format!("ln -s {secret} link"),
            "link",
            "there is no `link`",
        ),
        ("rm -r ../work/* ; rmdir $PWD; true", "x", "artifacts: "),
    ] {
        let ended = guest.run(&make(script, paths)).with_code(1);
        assert!(ended.out.contains(expected), "{paths}: {}", ended.out);
    }
    // What a link names is left out, whoever reads it next.
    let script = format!("mkdir d; echo kept > d/file; ln -s {secret} d/link; ln -s / d/root");
    let tasks = format!(
        "{}  on_completed: use\n- task_type: use\n  method: SHELL\n  dependencies: [make]\n  \
         script:\n  - find . -type f -o -type l | sort; cat d/*\n",
        make(&script, "d")
    );
    let ended = guest.run(&tasks).with_code(0);
    assert!(ended.out.contains("./d/file"), "{}", ended.out);
    assert!(
        !ended.out.contains("./d/link") && !ended.out.contains(SECRET),
        "{}",
        ended.out
    );
    // A directory that became a link before something is unpacked into it.
    let tasks = format!(
        "{}  on_completed: use\n- task_type: use\n  method: SHELL\n  working_dir: w\n  \
         dependencies: [make]\n  before_script:\n  - cd ..; rmdir w; ln -s {} w\n  script: [true]\n",
        make("mkdir d; echo kept > d/file", "d"),
        out.display()
    );
    let ended = guest.run(&tasks).with_code(1);
    assert!(ended.out.contains("Permission denied"), "{}", ended.out);
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    // Nor is one made elsewhere.
    let elsewhere = out.join("made");
    let tasks = format!(
        "- task_type: make\n  method: SHELL\n  working_dir: {}\n  script: [true]\n",
        elsewhere.display()
    );
    let ended = guest.run(&tasks).with_code(1);
    assert!(ended.out.contains("Permission denied"), "{}", ended.out);
    assert!(!elsewhere.exists());
}

#[test]
fn all_goes_away_at_the_end_and_nothing_else() {
    let guest = Guest::new();
    let kept = guest.home.path().join("kept");
    fs::create_dir(&kept).unwrap();
    fs::write(kept.join("file"), "x").unwrap();
    chmod(&kept, 0o755);
    let tasks = format!(
        r#"
- task_type: stay
  method: SHELL
  script:
  - mkdir -p a/b/c; echo x > a/b/c/file; ln -s {kept} a/b/link; ln -s {kept} link
  - (cd /; env -i setsid nohup sleep 100000 </dev/null >/dev/null 2>&1 &)
  - setsid sleep 100000 &
  - rm -rf "$TMPDIR"; ln -s {kept} "$TMPDIR" || true
  - chmod 000 a/b/c a/b a; chmod 000 .
"#,
        kept = kept.display()
    );
    guest.run(&tasks).with_code(0);
    assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "x");
    assert_eq!(fs::metadata(&kept).unwrap().mode() & 0o777, 0o755);
    // Nor does the sweep after a kill follow what is left.
    let tasks = "- task_type: stay\n  method: SHELL\n  script:\n  - |\n    \
                 ln -s ../../../kept link; chmod 000 .; echo begun; sleep 1000\n";
    guest.home.write("job.yaml", &job(tasks));
    let running = guest.home.start(&["run", "job.yaml"]);
    running.wait_for_out("| begun");
    running.signal(Signal::KILL);
    running.wait();
    guest.run(TRAVELLER).with_code(0);
    assert_eq!(fs::read_to_string(kept.join("file")).unwrap(), "x");
}

#[test]
fn an_account_gives_name_and_home() {
    let guest = Guest::new();
    let settings = guest.home.write("named.toml", "[ant]\nrun_as = 'daemon'\n");
    let tasks = "- task_type: who\n  method: SHELL\n  script:\n  \
                 - echo \"$USER $LOGNAME $(id -un) $(id -Gn) $HOME\"\n";
    guest.home.write("job.yaml", &job(tasks));
    let settings = settings.display().to_string();
    let ended = guest
        .home
        .colony(&["--config", &settings, "run", "job.yaml"]);
    let ended = ended.with_code(0);
    let expected = "daemon daemon daemon daemon /";
    assert!(ended.out.contains(expected), "{}", ended.out);
}

/// Tasks that share a user can stop what works for the other: that one fails, and nothing hangs.
#[test]
fn who_is_stopped_by_a_neighbour_fails_in_time() {
    let guest = Guest::new();
    let queen = Queen::start(&guest.home, &["--drain-grace", "10ms"]);
    let neighbour = "job_type: neighbour\ntasks:\n- task_type: stop\n  method: SHELL\n  script:\n  - |\n    \
                     while :; do for p in /proc/[0-9]*; do\n      \
                     if grep -qs 'po[r]ter.pack' $p/cmdline; then kill -STOP ${p#/proc/}; fi\n    \
                     done 2>/dev/null; done\n";
    block_on(queen.client().save_definition(neighbour.to_owned())).unwrap();
    guest.home.colony(&["submit", "neighbour"]).with_code(0);
    let tasks = "- task_type: make\n  method: SHELL\n  timeout: 3s\n  script: [truncate -s 4G file]\n  \
                 artifacts:\n    paths: [file]\n";
    let ended = submit(&guest.home, &queen, tasks).with_code(1);
    let expected = "artifact upload took longer than 3000 ms";
    assert!(ended.out.contains(expected), "{}", ended.out);
    queen.stop();
    guest.is_quiet();
}

#[test]
fn what_a_colony_was_started_with_is_not_handed_on() {
    let guest = Guest::new();
    let tasks = "- task_type: look\n  method: SHELL\n  script:\n  \
                 - if (cat <&9) 2>/dev/null; then exit 1; fi\n";
    guest.home.write("job.yaml", &job(tasks));
    let colony = env!("CARGO_BIN_EXE_colony");
    let script = format!("exec 9< secret; exec {colony} run job.yaml");
    guest.home.shell(&script).wait().with_code(0);
    guest.is_quiet();
}

/// Starts a queen that cannot work, and gives what it says.
fn refused(home: &Home, variables: &[(&str, &str)]) -> String {
    let args = ["queen", "--listen", "127.0.0.1:0"];
    let ended = home.start_with(&args, variables, "").wait();
    assert_ne!(ended.code, Some(0));
    ended.err
}

#[test]
fn what_cannot_be_is_said_at_the_start() {
    let guest = Guest::new();
    let home = &guest.home;
    let run_as = |text| refused(home, &[("COLONY_ANT_RUN_AS", text)]);
    for (text, expected) in [
        ("no-such-user-here", "there is no user `no-such-user-here`"),
        ("0", "is root itself"),
        ("root", "is root itself"),
        ("4000000123", "give a group as well: 4000000123:GID"),
        ("7:x", "give the name of a user"),
    ] {
        let err = run_as(text);
        assert!(
            err.contains("`ant.run_as`") && err.contains(expected),
            "{err}"
        );
    }
    // Another directory for the work: within the data directory, open to others, or shut.
    let work_dir = |path: &Path| {
        let path = path.display().to_string();
        refused(home, &[("COLONY_ANT_WORK_DIR", &path)])
    };
    let err = work_dir(&home.data_dir().join("work"));
    assert!(err.contains(".colony cannot be passed through"), "{err}");
    for (name, mode) in [("open", 0o777), ("group", 0o775)] {
        let path = home.path().join(name);
        fs::create_dir(&path).unwrap();
        chmod(&path, mode);
        let err = work_dir(&path.join("inner"));
        assert!(err.contains(&format!("{name} has to be root's")), "{err}");
    }
    let link = home.path().join("link");
    symlink(home.path().join("other"), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(guest.uid), None).unwrap();
    assert!(work_dir(&link).contains("link has to be root's"));
    // One that holds other things is not opened.
    let private = home.path().join("private");
    fs::create_dir(&private).unwrap();
    fs::write(private.join("letter"), "x").unwrap();
    chmod(&private, 0o700);
    for _ in 0..2 {
        assert!(work_dir(&private).contains("private cannot be passed through"));
    }
    assert_eq!(fs::metadata(&private).unwrap().mode() & 0o777, 0o700);
    chmod(home.path(), 0o700);
    let err = refused(home, &[]);
    assert!(err.contains("cannot be passed through"), "{err}");
    chmod(home.path(), 0o711);
    chmod(&home.write("open.db", ""), 0o644);
    let database = format!("sqlite:{}", home.path().join("open.db").display());
    let err = refused(home, &[("COLONY_DATABASE_URL", &database)]);
    assert!(err.contains("open.db is open to this user"), "{err}");
    // A data directory of the user's own is open to it, whatever its mode.
    std::os::unix::fs::chown(home.data_dir(), Some(guest.uid), None).unwrap();
    let err = refused(home, &[]);
    assert!(err.contains(".colony has to be root's"), "{err}");
}

#[test]
fn only_root_can_run_tasks_as_another_user() {
    let uid = stranger();
    let home = Home::new();
    std::os::unix::fs::chown(home.path(), Some(uid), Some(uid)).unwrap();
    // Opened first: that user may have no way to the program.
    let script = format!(
        "exec 7<{}; exec setpriv --reuid={uid} --regid={uid} --clear-groups env \
         COLONY_ANT_RUN_AS=1:1 /proc/self/fd/7 queen --listen 127.0.0.1:0",
        env!("CARGO_BIN_EXE_colony")
    );
    let ended = home.shell(&script).wait();
    assert_ne!(ended.code, Some(0));
    assert!(
        ended.err.contains("`ant.run_as`: only root"),
        "{}",
        ended.err
    );
    assert!(!home.data_dir().exists());
}
