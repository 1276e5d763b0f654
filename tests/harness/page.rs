//! A page of `docs/how-to`, or a section of another one, to be done as it says.
//!
//! Blocks that are marked with a language (`sh`, `toml`, `nginx`) are for tests to run, after what only stands for something (a host
//! name, a path) has been replaced by what there is. Blocks without are for people.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A page, with what stands for something replaced.
pub(crate) struct Page {
    name: String,
    text: String,
}

impl Page {
    /// `docs/how-to/NAME.md`
    pub(crate) fn read(name: &str) -> Page {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/how-to/{name}.md"));
        Page { name: name.to_owned(), text: std::fs::read_to_string(file).expect("the page") }
    }

    /// The section of `docs/NAME.md` with this title, to the next one.
    pub(crate) fn section(name: &str, title: &str) -> Page {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../../docs/{name}.md"));
        let text = std::fs::read_to_string(file).expect("the page");
        let from = text.split_once(&format!("\n## {title}\n")).expect("the section").1;
        let text = from.split("\n## ").next().unwrap_or_default().to_owned();
        Page { name: format!("{name}, {title}"), text }
    }

    /// The same with other words; they must be there.
    pub(crate) fn with(mut self, old: &str, new: &str) -> Page {
        assert!(self.text.contains(old), "{} does not say `{old}`", self.name);
        self.text = self.text.replace(old, new);
        self
    }

    /// All blocks of a language, in order.
    pub(crate) fn blocks(&self, language: &str) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let indent = line.len() - line.trim_start().len();
            if line.trim_start().strip_prefix("```") != Some(language) {
                continue;
            }
            let block = lines.by_ref().take_while(|line| line.trim() != "```");
            found.push(block.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n").collect());
        }
        assert!(!found.is_empty(), "{} has no block of {language}", self.name);
        found
    }
}

/// Runs a block in a directory: whether it succeeded, and what it printed.
pub(crate) fn shell(block: &str, dir: &Path, variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new("sh");
    command.args(["-euc", block]).current_dir(dir).envs(variables.iter().copied());
    let output = command.stdin(Stdio::null()).output().expect("a shell");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}
