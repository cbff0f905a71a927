//! A page with consoles: text, scenes, and commands with what they print.

use std::fmt;

const CONSOLE: &str = "```console";
const END: &str = "```";
const PROMPT: &str = "$ ";

/// One part of the page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Lines that are only read.
    Text(String),
    /// The world moves.
    Scene(String),
    /// A command and all that it prints.
    Command { line: String, output: String },
}

/// The page, part by part. Written again it is the same, to the byte.
pub(crate) struct Page(Vec<Step>);

impl Page {
    pub(crate) fn read(text: &str) -> Self {
        let mut steps = Vec::new();
        let mut in_console = false;
        for line in text.split_inclusive('\n') {
            let bare = line.trim_end();
            let scene = bare.strip_prefix("<!-- scene: ").and_then(|rest| rest.strip_suffix(" -->"));
            match (in_console, bare.strip_prefix(PROMPT), steps.last_mut()) {
                (true, Some(command), _) => {
                    steps.push(Step::Command { line: command.to_owned(), output: String::new() });
                }
                (true, None, Some(Step::Command { output, .. })) if bare != END => output.push_str(line),
                (_, _, Some(Step::Text(text))) if scene.is_none() => text.push_str(line),
                _ => steps.push(match scene {
                    Some(scene) => Step::Scene(scene.to_owned()),
                    None => Step::Text(line.to_owned()),
                }),
            }
            in_console = if in_console { bare != END } else { bare == CONSOLE };
        }
        Self(steps)
    }

    pub(crate) fn steps_mut(&mut self) -> &mut [Step] {
        &mut self.0
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Text(text) => f.write_str(text),
            Step::Scene(name) => writeln!(f, "<!-- scene: {name} -->"),
            Step::Command { line, output } => write!(f, "{PROMPT}{line}\n{output}"),
        })
    }
}

/// A text with its ages, moments and names of one run taken out, and with its columns closed up.
pub(crate) fn form(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    text.trim_end().lines().map(line).collect::<Vec<_>>().join("\n")
}

fn word(word: &str) -> String {
    let core = word.trim_matches(|c: char| "(),;\"'".contains(c));
    let bare = core.rsplit(['/', '=']).next().unwrap_or(core);
    let kind = if bare.parse::<jiff::Timestamp>().is_ok() {
        "<moment>"
    } else if is_duration(bare) {
        "<duration>"
    } else if is_name_of_one_run(bare) {
        "<name>"
    } else if core.starts_with("127.0.0.1:") || core.starts_with("http://127.0.0.1:") {
        return word.replace(core, "<address>");
    } else if let Some((what, date)) = bare.rsplit_once(':')
        && date.parse::<jiff::civil::Date>().is_ok()
    {
        return word.replace(bare, &format!("{what}:<date>"));
    } else {
        return word.to_owned();
    };
    word.replace(bare, kind)
}

/// `3s`, `12m`, `4.2ms`.
fn is_duration(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let unit = &text[digits.len()..];
    digits.parse::<f64>().is_ok() && ["us", "ms", "s", "m", "h", "d"].contains(&unit)
}

/// A task, a trace, a span, a request; an instance, which is an app and a process.
fn is_name_of_one_run(text: &str) -> bool {
    let process = text.rsplit_once('-').map(|(_, process)| process);
    if process.is_some_and(|process| process.len() > 2 && process.parse::<u32>().is_ok()) {
        return true;
    }
    let hex = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let dashes = text.matches('-').count();
    hex + dashes == text.len() && matches!((hex, dashes), (32, 0 | 4) | (16, 0))
}

#[test]
fn a_page_is_read_and_written_again() {
    let text =
        "# Title\n<!-- scene: late -->\n\n```console\n$ look\nNAME  AGE\na  3s\n\nmore\n$ do it\n```\nend\n";
    let mut page = Page::read(text);
    assert_eq!(page.to_string(), text);
    let commands: Vec<_> = page
        .steps_mut()
        .iter()
        .filter_map(|step| match step {
            Step::Command { line, output } => Some((line.as_str(), output.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(commands, [("look", "NAME  AGE\na  3s\n\nmore\n"), ("do it", "")]);
    assert!(page.steps_mut().contains(&Step::Scene("late".to_owned())));
}

#[test]
fn what_differs_from_run_to_run_is_compared_by_its_form() {
    let one = "ID                                    AGE\ntasks/019e8c5e-7c1a-7d10-9f3a-0123456789ab   3s  (2030-01-31T08:00:00Z)";
    let two = "ID   AGE\ntasks/019e8c5e-7c1a-7d10-9f3a-ba9876543210 12m (2031-01-31T08:00:00Z)";
    assert_eq!(form(one), form(two));
    for other in ["ID AGE\ntasks/7 3s (2030-01-31T08:00:00Z)", "ID AGE"] {
        assert_ne!(form(one), form(other));
    }
}
