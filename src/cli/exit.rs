//! How a run ends, as a number. This is the one table; the numbers are frozen, because pipelines branch on them.

/// How a run ends.
///
/// Declared in order of precedence, most important first: when several apply, the first one is the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// A signal stopped the run.
    Interrupted,
    /// The command line makes no sense. clap's own number for it is 2, which a pipeline reads as *changes*.
    Usage,
    /// Something failed.
    Error,
    /// Stale plan, guard or budget.
    Refused,
    /// Applied in part, or not visible yet.
    Partial,
    /// There are changes or drift. Only with `--detailed-exitcode`.
    Changes,
    /// There is nothing certroll can do, and somebody must act. Only with `--detailed-exitcode`.
    NeedsSomebody,
    /// Fine; nothing to do is fine, and so is a running overlap.
    Fine,
}

impl Ending {
    /// The exit code.
    pub fn code(self) -> i32 {
        match self {
            Ending::Fine => 0,
            Ending::Error => 1,
            Ending::Changes => 2,
            Ending::NeedsSomebody => 3,
            Ending::Refused => 4,
            Ending::Partial => 5,
            Ending::Usage => 64,
            Ending::Interrupted => 130,
        }
    }

    /// The more important of both.
    pub fn and(self, other: Ending) -> Ending {
        self.min(other)
    }

    /// Without `--detailed-exitcode`, changes and somebody's turn are fine.
    pub fn unless_detailed(self, detailed: bool) -> Ending {
        match self {
            Ending::Changes | Ending::NeedsSomebody if !detailed => Ending::Fine,
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Ending;

    #[test]
    fn precedence_is_1_4_5_2_3_0() {
        let by_precedence = [
            Ending::Error,
            Ending::Refused,
            Ending::Partial,
            Ending::Changes,
            Ending::NeedsSomebody,
            Ending::Fine,
        ];
        assert_eq!(by_precedence.map(Ending::code), [1, 4, 5, 2, 3, 0]);
        for (index, first) in by_precedence.iter().enumerate() {
            for second in &by_precedence[index..] {
                assert_eq!(first.and(*second), *first);
                assert_eq!(second.and(*first), *first);
            }
        }
    }

    #[test]
    fn usage_errors_and_signals_have_the_numbers_of_their_trade() {
        assert_eq!(Ending::Usage.code(), 64);
        assert_eq!(Ending::Interrupted.code(), 130);
    }

    #[test]
    fn changes_are_fine_unless_details_were_asked_for() {
        assert_eq!(Ending::Changes.unless_detailed(false), Ending::Fine);
        assert_eq!(Ending::Changes.unless_detailed(true), Ending::Changes);
        assert_eq!(Ending::NeedsSomebody.unless_detailed(false), Ending::Fine);
        assert_eq!(Ending::Refused.unless_detailed(false), Ending::Refused);
    }
}
