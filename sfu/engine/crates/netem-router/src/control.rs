//! Lines from standard input, without ever blocking on it; bytes to lines, nothing else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};

/// A line longer than this is cut off: nobody writes such steps.
const MAX_LINE_BYTES: usize = 65_536;

/// Standard input, or in tests any other file.
#[derive(Debug)]
pub(crate) struct Control<R> {
    source: R,
    pending: Vec<u8>,
}

impl Control<File> {
    /// This process's standard input.
    pub(crate) fn from_stdin() -> io::Result<Self> {
        Ok(Self::new(File::from(io::stdin().as_fd().try_clone_to_owned()?)))
    }

    /// For a poller: a read after this was readable does not block.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.source.as_fd()
    }
}

impl<R: Read> Control<R> {
    pub(crate) const fn new(source: R) -> Self {
        Self { source, pending: Vec::new() }
    }

    /// Reads once: the lines that are complete, and whether the input has ended. At the end the last line counts
    /// without its line feed.
    pub(crate) fn read(&mut self) -> io::Result<(Vec<String>, bool)> {
        let mut chunk = [0; 4096];
        let count = match self.source.read(&mut chunk) {
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {
                return Ok((Vec::new(), false));
            }
            result => result?,
        };
        self.pending.extend_from_slice(&chunk[..count]);
        let ended = count == 0;
        if ended || self.pending.len() > MAX_LINE_BYTES {
            self.pending.push(b'\n');
        }
        let complete = self.pending.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let rest = self.pending.split_off(complete);
        let text = std::mem::replace(&mut self.pending, rest);
        let lines = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect::<Vec<_>>();
        Ok((lines.into_iter().filter(|line| !line.trim().is_empty()).collect(), ended))
    }

    /// Reads to the end.
    pub(crate) fn read_all(&mut self) -> io::Result<Vec<String>> {
        let mut all = Vec::new();
        loop {
            let (lines, ended) = self.read()?;
            all.extend(lines);
            if ended {
                return Ok(all);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its text in pieces of three bytes.
    struct Pieces<'a>(&'a [u8]);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(3);
            let (piece, rest) = self.0.split_at(count);
            buffer[..count].copy_from_slice(piece);
            self.0 = rest;
            Ok(count)
        }
    }

    #[test]
    fn lines_come_whole_however_they_are_cut() {
        let lines = Control::new(Pieces("first\n\n  \nsecond é\r\nlast".as_bytes())).read_all().unwrap();
        assert_eq!(lines, ["first", "second é", "last"]);
        assert_eq!(Control::new(Pieces(b"")).read_all().unwrap(), [""; 0]);
    }

    #[test]
    fn a_line_without_end_does_not_grow_for_ever() {
        let mut control = Control::new(io::repeat(b'x'));
        for _ in 0..100 {
            control.read().unwrap();
            assert!(control.pending.len() <= MAX_LINE_BYTES);
        }
    }
}
