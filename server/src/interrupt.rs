//! Ctrl-C and SIGTERM: the first asks long work to end well, the second ends the process.
//!
//! Nothing depends on ending well: whatever was acknowledged survives a `kill -9`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};

static ASKED: AtomicBool = AtomicBool::new(false);

/// The exit code of whoever was interrupted (128 + SIGINT).
pub(crate) const EXIT_INTERRUPTED: u8 = 130;

/// Has somebody asked us to end?
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Listens from now on: when this returns, a signal asks and no longer ends the process. Without a
/// listener (no thread, no signals) Ctrl-C ends the process, as ever.
pub(crate) fn listen() {
    let listener = std::thread::Builder::new().name("cairn-signals".into());
    let (set, is_set) = channel();
    let started = listener.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => runtime.block_on(wait(set)),
            Err(error) => tracing::warn!(%error, "signals cannot be watched"),
        }
    });
    match started {
        // An error: the thread gave up, and said so. There is nothing to wait for.
        Ok(_) => {
            let _ = is_set.recv();
        }
        Err(error) => tracing::warn!(%error, "signals cannot be watched"),
    }
}

#[cfg(unix)]
async fn wait(set: Sender<()>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) =
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        tracing::warn!("signals cannot be watched");
        return;
    };
    // Whoever waits for it may be gone only with the process.
    let _ = set.send(());
    loop {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        take();
    }
}

#[cfg(not(unix))]
async fn wait(set: Sender<()>) {
    let _ = set.send(());
    while tokio::signal::ctrl_c().await.is_ok() {
        take();
    }
}

fn take() {
    if ASKED.swap(true, Ordering::Relaxed) {
        std::process::exit(i32::from(EXIT_INTERRUPTED));
    }
    eprintln!("cairn: ending after what is under way; once more to end at once");
}
