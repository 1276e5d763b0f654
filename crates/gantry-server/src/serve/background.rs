//! What goes on beside the requests: files are looked at again, upload sessions expire, space is measured,
//! what searches find is described.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::tls::Tls;
use crate::app::App;

/// How often the certificate and the accounts are looked at.
const FILES: Duration = Duration::from_secs(5);
/// How often free space is measured.
const SPACE: Duration = Duration::from_secs(15);
/// How often logins, tokens and entries of the audit log that have had their time are removed.
const ACCESS: Duration = Duration::from_secs(60);
/// How often bytes that no upload session knows are looked for.
const ORPHANS: Duration = Duration::from_secs(3600);
/// How often repositories that changed are described for searches. A search does not wait for that.
const SEARCH: Duration = Duration::from_secs(5);
/// How long others get their turn while there are more of them.
const SEARCH_STEP: Duration = Duration::from_millis(20);
/// How long to wait after a failure.
const SEARCH_AGAIN: Duration = Duration::from_secs(60);
/// How soon after the start the first sweep begins at the latest.
const FIRST_SWEEP: Duration = Duration::from_secs(60);

/// Starts the tasks; they end when the set is shut down.
pub(super) fn spawn(app: &Arc<App>, tls: Option<Arc<Tls>>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let this = Arc::clone(app);
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(FILES).await;
            reload(&this, tls.as_deref()).await;
        }
    });
    let this = Arc::clone(app);
    tasks.spawn(async move {
        loop {
            this.measure_space().await;
            tokio::time::sleep(SPACE).await;
        }
    });
    let this = Arc::clone(app);
    tasks.spawn(async move {
        let uploads = this.registry.uploads();
        loop {
            tokio::time::sleep(uploads.tidy_interval()).await;
            if let Err(error) = uploads.tidy().await {
                tracing::warn!(%error, "expiring upload sessions failed; it is tried again");
            }
        }
    });
    let this = Arc::clone(app);
    tasks.spawn(async move {
        loop {
            if let Err(error) = this.registry.uploads().clear_orphans().await {
                tracing::warn!(%error, "looking for bytes of lost upload sessions failed; it is tried again");
            }
            tokio::time::sleep(ORPHANS).await;
        }
    });
    if let Some(interval) = app.config.settings.sweep.interval.0 {
        let this = Arc::clone(app);
        tasks.spawn(async move {
            // Also a server that is restarted often sweeps.
            tokio::time::sleep(interval.min(FIRST_SWEEP)).await;
            loop {
                if let Err(error) = this.sweep(false, None).await {
                    tracing::warn!(%error, "the sweep failed; it is tried again");
                }
                tokio::time::sleep(interval).await;
            }
        });
    }
    if app.config.v1_enabled() && app.config.settings.v1.search {
        let this = Arc::clone(app);
        tasks.spawn(async move {
            loop {
                let pause = match this.registry.describe_changed().await {
                    Ok(true) => SEARCH_STEP,
                    Ok(false) => SEARCH,
                    Err(error) => {
                        tracing::warn!(%error, "describing repositories for searches failed; it is tried again");
                        SEARCH_AGAIN
                    }
                };
                tokio::time::sleep(pause).await;
            }
        });
    }
    let jobs = Arc::clone(&app.jobs);
    tasks.spawn(async move { jobs.run().await });
    let this = Arc::clone(app);
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(ACCESS).await;
            this.tidy_access().await;
        }
    });
    let verifier = app.registry.verifier().clone();
    tasks.spawn(async move { verifier.run().await });
    let verifier = app.registry.verifier().clone();
    tasks.spawn(async move { verifier.keep_notes().await });
    tasks
}

/// Reads the certificate and the accounts again if they have changed.
pub(super) async fn reload(app: &Arc<App>, tls: Option<&Tls>) {
    if let Some(tls) = tls {
        tls.reload();
    }
    let app = Arc::clone(app);
    // Reading and parsing files is nothing for a thread that serves requests.
    if let Err(error) = tokio::task::spawn_blocking(move || app.access.auth.reload()).await {
        tracing::error!(%error, "reading the accounts again failed");
    }
}
