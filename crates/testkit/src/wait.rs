//! Waiting for a condition, with a limit that says what was seen last.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// What a look at a condition saw: the value waited for, or what is there instead.
pub type Waited<T> = Result<T, String>;

/// Looks again and again until `look` gives a value, and returns it.
///
/// # Panics
/// When the limit is over, with the last thing that was seen.
#[allow(clippy::panic)]
pub async fn wait_for<T, F: Future<Output = Waited<T>>>(
    what: &str,
    limit: Duration,
    look: impl FnMut() -> F,
) -> T {
    match try_wait(what, limit, look).await {
        Ok(value) => value,
        Err(text) => panic!("{text}"),
    }
}

/// As [`wait_for`], for those who go on when the limit is over.
///
/// # Errors
/// The limit is over; the text has the last thing that was seen.
pub async fn try_wait<T, F: Future<Output = Waited<T>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, String> {
    let began = Instant::now();
    let mut last = "nothing yet".to_owned();
    loop {
        let left = limit.saturating_sub(began.elapsed());
        match tokio::time::timeout(left, look()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(seen)) => last = seen,
            Err(_) => {}
        }
        if began.elapsed() >= limit {
            return Err(format!("waited {:.1} s for {what}; last seen: {last}", limit.as_secs_f64()));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Lets things be as they are for so long: a fault that is held, a load that is let run, a pause between two looks. Nobody
/// may hope that something happens meanwhile; for that there is [`wait_for`].
pub async fn hold(time: Duration) {
    tokio::time::sleep(time).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_waits_for_a_value() {
        let mut looks = 0;
        let value = wait_for("three looks", Duration::from_secs(10), || {
            looks += 1;
            let result = if looks < 3 { Err(format!("{looks} looks")) } else { Ok(looks) };
            async move { result }
        })
        .await;
        assert_eq!(value, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "last seen: red")]
    async fn it_tells_what_it_saw_last() {
        wait_for("green", Duration::from_millis(50), || async { Err::<(), _>("red".to_owned()) }).await;
    }

    #[tokio::test]
    #[should_panic(expected = "last seen: nothing yet")]
    async fn a_look_that_hangs_ends_too() {
        wait_for("an answer", Duration::from_millis(50), std::future::pending::<Waited<()>>).await;
    }
}
