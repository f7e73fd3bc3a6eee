//! The two doors through which a process learns of the world by itself: random bytes and clocks. Here they are taken over for
//! the thread that simulates, by defining libc's own functions in this binary. Every library behind them, std's hash keys
//! and tokio's included, then gets the same bytes and the same time in each run of a seed.
//!
//! Other threads get the real ones.

#![allow(unsafe_code)]

use std::cell::Cell;
use std::time::Duration;

use nix::libc::{self, c_int, c_long, c_uint, c_void, size_t, ssize_t, timespec};

/// The simulated time of day at the start: a morning in 2026.
pub const EPOCH: Duration = Duration::from_secs(1_780_000_000);
/// The monotonic clock at the start. Not zero: what subtracts from it must not fall off its end.
const UPTIME: Duration = Duration::from_secs(1_000_000);

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static RANDOM: Cell<u64> = const { Cell::new(0) };
    static NOW: Cell<u64> = const { Cell::new(0) };
}

/// From now on this thread's randomness comes from `seed`, and its time from [`set_now`].
pub fn enter(seed: u64) {
    RANDOM.set(seed);
    NOW.set(0);
    ON.set(true);
}

/// Back to the real world.
pub fn leave() {
    ON.set(false);
}

/// Turns this thread's clocks.
pub fn set_now(since_start: Duration) {
    NOW.set(u64::try_from(since_start.as_nanos()).unwrap_or(u64::MAX));
}

/// The simulated time since the start.
pub fn now() -> Duration {
    Duration::from_nanos(NOW.get())
}

/// Whether both doors are really taken over; a linker that binds them otherwise makes every run different.
///
/// # Errors
/// Says which one is not.
pub fn check() -> Result<(), &'static str> {
    enter(7);
    let first: (u64, u64) = (rand_bytes(), hash_key());
    set_now(Duration::from_secs(5));
    let clock = std::time::SystemTime::now();
    let drawn = RANDOM.get();
    leave();
    if drawn == 7 || first.0 == 0 {
        return Err("random bytes do not come from the simulation");
    }
    let since = clock.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    if since != EPOCH + Duration::from_secs(5) {
        return Err("the clock is not the simulation's");
    }
    Ok(())
}

/// Fresh bytes, as the crates get them.
fn rand_bytes() -> u64 {
    use rand::TryRngCore;
    rand::rngs::OsRng.try_next_u64().unwrap_or(0)
}

fn hash_key() -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one(0)
}

/// SplitMix64: small, and good enough to seed everything else.
fn next() -> u64 {
    let state = RANDOM.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    RANDOM.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// libc's `getrandom`.
///
/// # Safety
/// `buffer` must have room for `length` bytes, as with libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: size_t, flags: c_uint) -> ssize_t {
    if !ON.get() {
        // SAFETY: the caller's own arguments, handed on to the kernel.
        return unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as ssize_t };
    }
    let mut written = 0;
    while written < length {
        for byte in next().to_le_bytes().into_iter().take(length - written) {
            // SAFETY: `written` is below `length`, and the caller gave room for as many bytes.
            unsafe { buffer.cast::<u8>().add(written).write(byte) };
            written += 1;
        }
    }
    length as ssize_t
}

/// libc's `clock_gettime`.
///
/// # Safety
/// `time` must point to a `timespec`, as with libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: libc::clockid_t, time: *mut timespec) -> c_int {
    let base = match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => EPOCH,
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => UPTIME,
        _ => Duration::ZERO,
    };
    if !ON.get() || base.is_zero() {
        // SAFETY: the caller's own arguments, handed on to the kernel.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, c_long::from(clock), time) as c_int };
    }
    let now = base.saturating_add(now());
    let spec = timespec { tv_sec: now.as_secs().cast_signed(), tv_nsec: i64::from(now.subsec_nanos()) };
    // SAFETY: the caller gave a place for it.
    unsafe { time.write(spec) };
    0
}
