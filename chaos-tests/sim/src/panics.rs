//! Panics anywhere in the simulated cluster: each is a finding, whoever catches it.

use std::cell::RefCell;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on panics are noted instead of printed.
pub fn watch() {
    std::panic::set_hook(Box::new(|info| {
        let text = info.to_string();
        crate::trace::line(format_args!("PANIC {text}"));
        FIRST.with_borrow_mut(|first| {
            first.get_or_insert(text);
        });
    }));
}

/// The first one since the last call.
pub fn take() -> Option<String> {
    FIRST.take()
}
