//! Telling a host that is short of something from a command that is wrong.

use std::io;

use rustix::io::Errno;

/// Whether the host is short of descriptors, processes, memory or disk, which passes and is nobody's
/// mistake.
pub fn is_want(error: &io::Error) -> bool {
    const WANTS: [Errno; 7] = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::AGAIN,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::NOSPC,
        Errno::DQUOT,
    ];
    let number = error.raw_os_error();
    WANTS.iter().any(|want| Some(want.raw_os_error()) == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn want_is_not_a_mistake() {
        for (errno, expected) in [
            (Errno::MFILE, true),
            (Errno::NOSPC, true),
            (Errno::AGAIN, true),
            (Errno::NOENT, false),
            (Errno::TOOBIG, false),
            (Errno::ACCESS, false),
        ] {
            assert_eq!(is_want(&errno.into()), expected, "{errno:?}");
        }
        assert!(!is_want(&io::Error::other("of our own")));
    }
}
