//! The audit log: what is found by which question, and what waits.

use super::{Meta, entry};
use crate::clock::Timestamp;
use crate::meta::access::{AuditEntry, AuditFilter, AuditRow};

pub(super) async fn run(meta: &Meta) {
    what_was_handed_over_is_read_at_once(meta).await;
    every_question_finds_what_a_look_at_all_finds(meta).await;
    the_oldest_go_first(meta).await;
}

async fn read(meta: &Meta, filter: &AuditFilter) -> Vec<AuditRow> {
    meta.audit(filter.clone(), None, 100_000).await.expect("readable")
}

async fn what_was_handed_over_is_read_at_once(meta: &Meta) {
    let filter = AuditFilter { action: Some(String::from("suite.soon")), ..AuditFilter::default() };
    let odd =
        AuditEntry { allowed: false, reason: String::from("\0 \u{1f980} '"), ..entry("suite.soon", "a") };
    assert!(meta.audit_soon(odd.clone()));
    assert!(meta.audit_soon(entry("suite.soon", "b")));
    meta.audit_now(entry("suite.soon", "c")).await.expect("written");
    let rows = read(meta, &filter).await;
    assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.id)));
    let mut objects: Vec<_> = rows.iter().map(|row| row.entry.object.as_str()).collect();
    // One that is written now may overtake those that wait.
    objects.sort_unstable();
    assert_eq!(objects, ["a", "b", "c"]);
    assert!(rows.iter().any(|row| row.entry == odd));
}

fn fits(row: &AuditRow, filter: &AuditFilter) -> bool {
    let entry = &row.entry;
    filter.since.is_none_or(|since| entry.at >= since)
        && filter.subject.as_ref().is_none_or(|subject| entry.subject == *subject)
        && filter
            .repository
            .as_ref()
            .is_none_or(|pattern| !entry.repository.is_empty() && pattern.matches(&entry.repository))
        && filter
            .action
            .as_ref()
            .is_none_or(|action| entry.action == *action || entry.action.starts_with(&format!("{action}.")))
        && filter.allowed.is_none_or(|allowed| entry.allowed == allowed)
}

async fn every_question_finds_what_a_look_at_all_finds(meta: &Meta) {
    let repositories =
        ["suite", "suite/a", "suite-x/a", "suite/a/b", "suite/b-base", "suitex", "other/base", ""];
    let actions = ["manifest.put", "manifest", "manifest.delete", "manifest-x", "manifests.put", "login"];
    let subjects = ["ada", "robot:ci", "", "Ada"];
    for number in 0..400_usize {
        let pick = |of: &[&str], step: usize| of[(number / step) % of.len()].to_owned();
        let entry = AuditEntry {
            // Clocks jump.
            at: Timestamp(i64::try_from(number ^ 0b11_0000).expect("small") * 1_000_000),
            subject: pick(&subjects, 3),
            repository: pick(&repositories, 1),
            action: pick(&actions, 5),
            allowed: number % 7 != 0,
            ..entry("", &format!("number {number}"))
        };
        assert!(meta.audit_soon(entry));
    }
    let all = read(meta, &AuditFilter::default()).await;
    assert!(all.len() >= 400 && all.is_sorted_by_key(|row| std::cmp::Reverse(row.id)));
    let pattern = |text: &str| Some(text.parse().expect("a pattern"));
    let mut filters = Vec::new();
    for since in [None, Some(Timestamp(200_000_000)), Some(Timestamp(i64::MAX))] {
        for subject in [None, Some("ada"), Some("")] {
            for repository in [
                None,
                pattern("**"),
                pattern("suite"),
                pattern("suite/*-base"),
                pattern("**/base"),
                pattern("no"),
            ] {
                for (action, allowed) in
                    [(None, None), (Some("manifest"), None), (Some("login"), Some(true)), (None, Some(false))]
                {
                    filters.push(AuditFilter {
                        since,
                        subject: subject.map(str::to_owned),
                        repository: repository.clone(),
                        action: action.map(str::to_owned),
                        allowed,
                    });
                }
            }
        }
    }
    let mut found = 0;
    for filter in filters {
        let expected: Vec<_> = all.iter().filter(|row| fits(row, &filter)).cloned().collect();
        assert_eq!(read(meta, &filter).await, expected, "{filter:?}");
        found += expected.len();
        // The same, page by page.
        let mut walked: Vec<AuditRow> = Vec::new();
        while walked.len() < 30 {
            let before = walked.last().map(|row| row.id);
            let page = meta.audit(filter.clone(), before, 7).await.expect("readable");
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 7);
            walked.extend(page);
        }
        assert!(walked.len() >= expected.len().min(30));
        assert_eq!(walked, expected[..walked.len()], "{filter:?}");
    }
    assert!(found > 1000);
    assert_eq!(meta.audit(AuditFilter::default(), None, 0).await.expect("readable"), []);
}

async fn the_oldest_go_first(meta: &Meta) {
    let since = Timestamp(300_000_000);
    let before = read(meta, &AuditFilter::default()).await;
    let old = before.iter().filter(|row| row.entry.at < since).count();
    assert!(old > 250);
    assert_eq!(meta.trim_audit(since, 250).await.expect("done"), 250);
    let left = read(meta, &AuditFilter::default()).await;
    assert_eq!(left.len(), before.len() - 250);
    let oldest = |rows: &[AuditRow]| rows.iter().map(|row| row.entry.at).min();
    assert!(oldest(&left) > oldest(&before));
    assert_eq!(meta.trim_audit(since, 10_000).await.expect("done"), (old - 250) as u64);
    assert_eq!(meta.trim_audit(since, 10_000).await.expect("done"), 0);
    let left = read(meta, &AuditFilter::default()).await;
    assert!(left.iter().all(|row| row.entry.at >= since));
    assert_eq!(left.len(), before.len() - old);
    meta.audit_now(entry("suite.after", "")).await.expect("written");
    let newest = read(meta, &AuditFilter::default()).await;
    assert!(newest[0].id > before[0].id, "numbers go on");
}
