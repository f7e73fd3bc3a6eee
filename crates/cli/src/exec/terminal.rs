//! This program's own terminal.

use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use trireme_rpc::channel::TerminalSize;

use crate::Error;

/// The terminal passes each byte on as it is typed, until this is dropped.
pub(super) struct Raw {
    before: Termios,
}

impl Raw {
    pub(super) fn enter() -> Result<Self, Error> {
        let before = tcgetattr(stdin()).map_err(|error| Error::Terminal(error.into()))?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw).map_err(|error| Error::Terminal(error.into()))?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

/// How large it is now.
pub(super) fn size() -> TerminalSize {
    let known = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin()));
    let (rows, columns) = known.map_or((0, 0), |size| (size.ws_row, size.ws_col));
    let or = |number: u16, usual: u32| if number == 0 { usual } else { number.into() };
    TerminalSize { rows: or(rows, 24), columns: or(columns, 80) }
}

/// Who runs this program, and where: what it says of itself.
pub(super) fn who() -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}
