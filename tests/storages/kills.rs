//! `kill -9` at each step of a move: nothing is lost, everything is readable at every moment, and the move comes to its end.

use super::{Rooms, ended, files, filled, in_archive, jobs, order, whole};
use crate::ops::eventually;
use crate::sweep::sweep;

const POINTS: [&str; 8] = [
    "job.ordered",
    "job.begun",
    "job.staged",
    "job.published",
    "job.relinked",
    "job.committed",
    "job.noted",
    "job.ending",
];

#[tokio::test]
async fn what_a_killed_move_copied_and_nobody_wants_any_more_is_swept() {
    for point in ["job.published:3", "job.relinked:2"] {
        let rooms = Rooms::new();
        let mut app = rooms.options(&[]).start().await;
        let (repo, images) = filled(&app, "team/app", 3).await;
        app.set("namespace", &in_archive(&["team"])).variable("GANTRY_FAIL_AT", point).restart().await;
        order(&app, "team", "archive").await;
        eventually("it dies", async || super::ask(&app, "jobs").await.is_none().then_some(())).await;
        assert_eq!(files(&rooms.archive()).len(), if point.starts_with("job.p") { 3 } else { 4 });
        app.kill9();
        // In the old storage again: nobody goes on.
        app.set("namespace", "[]").without_variables().restart().await;
        let job = ended(&app).await;
        assert_eq!((&job["state"], &job["total"]), (&"done".into(), &4.into()), "{job}");
        sweep(&app).await;
        assert!(files(&rooms.archive()).is_empty(), "{point}");
        whole(&app.client().at(&repo.name), &images).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_at_each_step_of_a_move_loses_and_leaks_nothing() {
    let mut reached = Vec::new();
    for point in POINTS {
        for pass in [1, 2, 9] {
            let plan = format!("{point}:{pass}");
            let rooms = Rooms::new();
            let mut app = rooms.options(&[]).start().await;
            let (_, images) = filled(&app, "team/app", 12).await;
            let (_, siblings) = filled(&app, "team/sibling", 2).await;
            app.set("namespace", &in_archive(&["team"])).variable("GANTRY_FAIL_AT", &plan).restart().await;

            let ordered = order(&app, "team", "archive").await;
            // Until it dies, or has come to the end.
            let acknowledged = ordered.is_some_and(|line| line["job"]["id"].is_u64());
            for _ in 0..400 {
                let Some(jobs) = super::ask(&app, "jobs").await else {
                    reached.push(plan.clone());
                    break;
                };
                if jobs.iter().all(|line| line["job"]["state"] == "done") && !jobs.is_empty() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            app.kill9();
            app.without_variables().restart().await;
            let [repo, sibling] = ["team/app", "team/sibling"].map(|name| app.client().at(name));
            whole(&repo, &images).await;
            if !acknowledged && jobs(&app).await.is_empty() {
                order(&app, "team", "archive").await.expect("an answer");
            }
            let job = ended(&app).await;
            assert_eq!((&job["state"], &job["left"]), (&"done".into(), &0.into()), "{plan}: {job}");
            assert_eq!((&job["done"], &job["total"]), (&16.into(), &16.into()), "{plan}: {job}");
            assert_eq!(jobs(&app).await.len(), 1, "{plan}");
            whole(&repo, &images).await;
            sweep(&app).await;
            assert!(files(app.data()).is_empty(), "{plan}: the old files are gone");
            assert_eq!(files(&rooms.archive()).len(), 16, "{plan}: and the new ones are there");
            whole(&repo, &images).await;
            whole(&sibling, &siblings).await;
            let data = app.data().to_str().expect("a path").to_owned();
            let (status, told, _) = crate::harness::server::run(&["verify", "--data", &data]).await;
            assert!(status.success(), "{plan}: {told}");
            // What was staged is cleared up as that of any upload; its session's name is nobody's.
            let staged = || std::fs::read_dir(rooms.archive().join("uploads")).expect("a directory").count();
            assert!(staged() <= 16, "{plan}");
            app.restart().await;
            eventually("what was staged goes", async || (staged() == 0).then_some(())).await;
        }
    }
    println!("killed at {} of {} passes: {reached:?}", reached.len(), POINTS.len() * 3);
    for point in POINTS {
        assert!(reached.iter().any(|plan| plan.starts_with(point)), "{point} was never passed");
    }
}
