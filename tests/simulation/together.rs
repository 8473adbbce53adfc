//! Several at work on one thing at the same time, each with what must come of it.

use crate::sim::life::{Outcome, live};

fn lived(events: &str) -> Outcome {
    let text = format!("seed 7\nstart 2026-01-05T09:00:00Z\n{events}");
    let outcome = live(&text.parse().unwrap());
    assert!(outcome.violations.is_empty(), "{:#?}\n{}", outcome.violations, outcome.log.join("\n"));
    outcome
}

/// What was said before the world was left to settle.
fn told(outcome: &Outcome) -> String {
    let until = outcome.log.iter().position(|line| line.contains("the trouble ends")).unwrap();
    outcome.log[..until].join("\n")
}

/// Names of the entries after the last write, before the world was left to settle.
fn on_the_target(outcome: &Outcome) -> Vec<String> {
    let told = told(outcome);
    let last = told.lines().rfind(|line| line.contains("  writes [")).unwrap();
    let (_, after) = last.split_once("-> [").unwrap();
    after.split(']').next().unwrap().split_whitespace().map(str::to_owned).collect()
}

const ONE: &str = "\
1 +0s object app0
2 +0s stranger app0 does=adds
3 +0s certificate c0 on=app0 store=files validity=60d rotation_period=15d overlap=3d
4 +1h run
";

#[test]
fn two_applies_of_one_plan_make_one_key() {
    // However far the first has come when the second begins.
    for moments in ["0s", "1s", "3s", "12s", "20s"] {
        let outcome = lived(&format!(
            "{ONE}5 +15d1h plan saved\n6 +1m run reviewed=saved\n7 +{moments} run reviewed=saved while=run\n"
        ));
        assert!(outcome.coverage.count("fault", "two processes at a time") > 0, "{}", told(&outcome));
        // The first key and its one successor; beside them somebody else's.
        assert_eq!(outcome.rotations, 2, "{}", told(&outcome));
        assert_eq!(on_the_target(&outcome).len(), 3, "{}", told(&outcome));
        assert!(told(&outcome).contains("rotated, proven"), "{}", told(&outcome));
    }
}

#[test]
fn different_plans_on_one_application_leave_each_other_s_certificate_on_it() {
    for moments in ["0s", "1s", "3s", "12s", "20s"] {
        let outcome = lived(&format!(
            "{ONE}5 +1h certificate c1 on=app0 store=slots validity=60d rotation_period=15d overlap=3d\n\
             6 +15d1h run only=c0\n7 +{moments} run only=c1 while=run\n8 +1h run\n"
        ));
        assert!(outcome.coverage.count("fault", "two processes at a time") > 0, "{}", told(&outcome));
        // c0 twice and c1, and somebody else's.
        assert_eq!(outcome.rotations, 3, "{}", told(&outcome));
        assert_eq!(on_the_target(&outcome).len(), 4, "{}", told(&outcome));
    }
}

#[test]
fn what_somebody_else_adds_beside_a_run_stays() {
    for moments in ["0s", "1s", "2s", "10s"] {
        let outcome = lived(&format!(
            "{ONE}5 +15d1h run\n6 +{moments} stranger app0 does=adds while=run\n7 +15d1h run\n"
        ));
        // Two of somebody else's, and three of ours: the first one's overlap is over, nothing of theirs went with it.
        assert_eq!(outcome.rotations, 3, "{}", told(&outcome));
        let there = on_the_target(&outcome);
        let theirs = if moments == "10s" { ["K1", "K4"] } else { ["K1", "K3"] };
        assert!(theirs.iter().all(|theirs| there.iter().any(|one| one == theirs)), "{}", told(&outcome));
    }
}

#[test]
fn what_a_careless_writer_drops_is_never_called_rotated_and_comes_back_with_the_next_run() {
    for moments in ["3s", "5s", "20s"] {
        let outcome = lived(&format!(
            "{ONE}5 +15d1h run\n6 +{moments} stranger app0 does=cleans while=run\n7 +1h run\n"
        ));
        let told = told(&outcome);
        let (meanwhile, after) = told.split_once("+1h run\n").unwrap().1.split_once("+1h run\n").unwrap();
        assert_eq!(meanwhile.matches("rotated, proven").count(), 1, "{told}");
        assert!(meanwhile.contains("exit 5"), "{told}");
        assert!(after.contains("rotated, proven") && after.contains("exit 0"), "{told}");
        assert_eq!(outcome.rotations, 2, "{told}");
        assert_eq!(on_the_target(&outcome).len(), 3, "{told}");
    }
}

#[test]
fn two_processes_on_one_file_store_make_one_key_and_nobody_reads_half_of_one() {
    for moments in ["0s", "1s", "3s", "12s", "20s"] {
        let outcome = lived(&format!(
            "{ONE}5 +15d1h run\n6 +{moments} run while=run\n7 +1s use c0 while=run\n8 +5s use c0 while=run\n9 +30s use c0 while=run\n"
        ));
        assert!(outcome.coverage.count("fault", "two processes at a time") > 0, "{}", told(&outcome));
        assert!(outcome.coverage.count("consumer", "signed in") >= 3, "{}", told(&outcome));
        assert_eq!(outcome.rotations, 2, "{}", told(&outcome));
    }
}
