//! Work that goes on after a restart: it is remembered, once, in its order.

use super::Meta;
use crate::meta::jobs::{Job, JobState};

pub(super) async fn run(meta: &Meta) {
    let first = meta.add_job("suite", "{\"what\":1}").await.expect("ordered");
    let second = meta.add_job("suite", "{\"what\":2}").await.expect("ordered");
    assert!(second > first);
    assert_eq!(meta.add_job("suite", "{\"what\":1}").await.expect("ordered"), first, "open already");
    let job = meta.next_job(0).await.expect("readable").expect("a job");
    assert_eq!((job.id, job.state, job.attempts, job.progress.as_str()), (first, JobState::Waiting, 0, ""));
    assert_eq!((job.kind.as_str(), job.payload.as_str(), &job.error), ("suite", "{\"what\":1}", &None));

    let running = Job { state: JobState::Running, progress: String::from("half"), attempts: 1, ..job };
    assert!(meta.save_job(&running).await.expect("noted"));
    let next = meta.next_job(0).await.expect("readable").expect("a job");
    assert_eq!((next.id, next.state, next.progress.as_str()), (first, JobState::Running, "half"));
    let failed = Job { state: JobState::Failed, error: Some(String::from("why")), ..running };
    assert!(meta.save_job(&failed).await.expect("noted"));
    assert_eq!(meta.next_job(0).await.expect("readable").expect("the other").id, second);
    assert!(meta.next_job(second).await.expect("readable").is_none());
    assert!(meta.add_job("suite", "{\"what\":1}").await.expect("ordered") > second, "a new one");

    let newest = meta.jobs(None, 2).await.expect("readable");
    let older = meta.jobs(newest.last().map(|job| job.id), 2).await.expect("readable");
    assert_eq!(newest.iter().map(|job| job.id).collect::<Vec<_>>(), [second + 1, second]);
    assert_eq!(older.first().and_then(|job| job.error.clone()).as_deref(), Some("why"));
    while let Some(job) = meta.next_job(0).await.expect("readable") {
        assert!(meta.save_job(&Job { state: JobState::Done, ..job }).await.expect("noted"));
    }
    let nobody = Job { id: second + 100, ..failed };
    assert!(!meta.save_job(&nobody).await.expect("done"));
}
