//! Receipts that are too old go, a few at a time.
use std::{future::Future, time::Duration};

use crate::{app::App, clock, metrics};

/// How long after one look the next one comes.
const PERIOD: Duration = Duration::from_secs(600);
/// Between two steps others have the database.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks for old receipts until `stopped`.
pub(crate) async fn run(app: &App, stopped: impl Future<Output = ()>) {
    tokio::select! {
        () = stopped => {}
        () = remove(app) => {}
    }
}

async fn remove(app: &App) {
    loop {
        let before_s = clock::now_s().saturating_sub(app.settings.receipts.keep_s());
        let pause = match app.store.remove_receipts(before_s).await {
            Ok(removed) if removed.batches == 0 => PERIOD,
            Ok(removed) => {
                let receipts = removed.receipts;
                tracing::info!(receipts, "old receipts removed");
                metrics::add(&app.metrics.receipts.removed, receipts);
                PAUSE
            }
            Err(error) => {
                tracing::error!(%error, "old receipts cannot be removed");
                PERIOD
            }
        };
        tokio::time::sleep(pause).await;
    }
}
