//! What is wanted.

use crate::database::Kind;

/// What is measured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Jobs,
    Run,
    Fairness,
    Soak,
}

pub(crate) struct Arguments {
    pub(crate) parts: Vec<Part>,
    pub(crate) databases: Vec<Kind>,
    numbers: Vec<(String, usize)>,
}

impl Arguments {
    pub(crate) fn read() -> Self {
        let mut this = Self {
            parts: Vec::new(),
            databases: Vec::new(),
            numbers: Vec::new(),
        };
        // Cargo adds options of its own.
        for word in std::env::args()
            .skip(1)
            .filter(|word| !word.starts_with('-'))
        {
            this.take(&word.to_lowercase());
        }
        if this.parts.is_empty() {
            this.parts = vec![Part::Jobs, Part::Run];
        }
        if this.databases.is_empty() {
            this.databases = Kind::all();
        }
        this
    }

    fn take(&mut self, word: &str) {
        match word {
            "jobs" => self.parts.push(Part::Jobs),
            "run" => self.parts.push(Part::Run),
            "fairness" => self.parts.push(Part::Fairness),
            "soak" => self.parts.push(Part::Soak),
            "sqlite" => self.databases.push(Kind::Sqlite),
            "postgresql" => self.databases.push(Kind::Postgres),
            _ => {
                // Without a name: jobs, then how many before memory is read again.
                let unnamed = ["jobs", "many"].get(self.numbers.len()).copied();
                let (name, number) = word
                    .split_once('=')
                    .unwrap_or((unnamed.unwrap_or_default(), word));
                let number = number.parse();
                let number = number.expect("a part, a database or name=number; see main.rs");
                self.numbers.push((name.to_owned(), number));
            }
        }
    }

    pub(crate) fn number(&self, name: &str, default: usize) -> usize {
        let found = self.numbers.iter().find(|(known, _)| known == name);
        found.map_or(default, |(_, number)| *number)
    }
}
