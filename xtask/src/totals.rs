//! Counts what `cargo test` says, so that the last line of a run can tell how much was run.

use std::fmt;

/// The sum of all test programs of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) programs: usize,
    pub(crate) passed: usize,
    pub(crate) failed: usize,
    pub(crate) ignored: usize,
    pub(crate) filtered_out: usize,
}

impl Totals {
    /// Takes one line of output; lines that are no result count nothing.
    pub(crate) fn read(&mut self, line: &str) {
        let Some((_verdict, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        self.programs += 1;
        for count in counts.split(';') {
            let Some((number, what)) = count.trim().split_once(' ') else { continue };
            let Ok(number) = number.parse::<usize>() else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                "filtered out" => self.filtered_out += number,
                _ => {}
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { programs, passed, failed, ignored, filtered_out } = self;
        write!(f, "{passed} passed, {failed} failed, {ignored} ignored in {programs} test programs")?;
        if *filtered_out > 0 {
            write!(f, " ({filtered_out} not asked for)")?;
        }
        Ok(())
    }
}

/// The name of a test that failed, if the line tells one.
pub(crate) fn failed_test(line: &str) -> Option<&str> {
    line.strip_prefix("test ")?.strip_suffix(" ... FAILED")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_all_programs_are_summed() {
        let mut totals = Totals::default();
        for line in [
            "running 3 tests",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.02s",
            "test a::b ... ok",
            "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.10s",
            "all doctests ran in 0.40s; merged doctests compilation took 0.30s",
        ] {
            totals.read(line);
        }
        assert_eq!(totals, Totals { programs: 2, passed: 14, failed: 3, ignored: 1, filtered_out: 4 });
        assert_eq!(totals.to_string(), "14 passed, 3 failed, 1 ignored in 2 test programs (4 not asked for)");
    }

    #[test]
    fn a_failed_test_is_told_by_name() {
        assert_eq!(failed_test("test imap::idle_reconnects ... FAILED"), Some("imap::idle_reconnects"));
        assert_eq!(failed_test("test imap::idle_reconnects ... ok"), None);
        assert_eq!(failed_test("test result: FAILED. 2 passed"), None);
    }
}
