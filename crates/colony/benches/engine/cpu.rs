//! Processor time.

/// Processor time that a process, its children, theirs and so on have used so far, alive or
/// waited for, in milliseconds.
pub(crate) fn cpu_ms(root: u32) -> f64 {
    let processes = processes();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(&parent) = family.get(next) {
        let children = processes.iter().filter(|process| process.parent == parent);
        family.extend(children.map(|process| process.id));
        next += 1;
    }
    // As `USER_HZ` is on Linux.
    const MS_PER_TICK: f64 = 10.0;
    let of_family = (processes.iter()).filter(|process| family.contains(&process.id));
    of_family.map(|process| process.ticks).sum::<f64>() * MS_PER_TICK
}

struct Process {
    id: u32,
    parent: u32,
    /// Its own and those of children that it has waited for.
    ticks: f64,
}

fn processes() -> Vec<Process> {
    let entries = std::fs::read_dir("/proc").expect("/proc is there");
    let ids = (entries.flatten()).filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(process).collect()
}

fn process(id: u32) -> Option<Process> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // Behind the name: the parent is the 4th field of all, the times are the 14th to the 17th.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let times = fields.get(11..15)?.iter();
    Some(Process {
        id,
        parent: fields.get(1)?.parse().ok()?,
        ticks: times.filter_map(|ticks| ticks.parse::<f64>().ok()).sum(),
    })
}
