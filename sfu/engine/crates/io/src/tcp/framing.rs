//! RFC 4571 framing: a 16-bit length before each datagram. Pure; bounded whatever the peer sends.

/// Largest frame that we take: well above any datagram of ICE, DTLS, SCTP or media. Other protocols that knock at the
/// port (`GET …` reads as a length of 18,245) exceed it at once.
pub(super) const MAX_FRAME_BYTES: usize = 4096;

/// The peer announced a frame that is larger than any we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameTooLarge;

/// Cuts a byte stream into frames; holds at most one incomplete frame.
#[derive(Debug, Default)]
pub(super) struct FrameReader {
    partial: Vec<u8>,
}

impl FrameReader {
    /// Takes the next bytes of the stream; calls `frame` with each frame that they complete, empty ones left out (they
    /// only keep the connection open).
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        mut frame: impl FnMut(&[u8]),
    ) -> Result<(), FrameTooLarge> {
        while !self.partial.is_empty() {
            // A partial frame grows by what it lacks and no more, so its size is bounded.
            let lacking = match split_frame(&self.partial)? {
                Split::Whole { body, .. } => {
                    if !body.is_empty() {
                        frame(body);
                    }
                    self.partial.clear();
                    break;
                }
                Split::Lacks(count) => count,
            };
            if bytes.is_empty() {
                return Ok(());
            }
            let (head, tail) = bytes.split_at(lacking.min(bytes.len()));
            self.partial.extend_from_slice(head);
            bytes = tail;
        }
        loop {
            match split_frame(bytes)? {
                Split::Whole { body, rest } => {
                    if !body.is_empty() {
                        frame(body);
                    }
                    bytes = rest;
                }
                Split::Lacks(_) => {
                    self.partial.extend_from_slice(bytes);
                    return Ok(());
                }
            }
        }
    }
}

enum Split<'a> {
    Whole {
        body: &'a [u8],
        rest: &'a [u8],
    },
    /// At least that many bytes are missing.
    Lacks(usize),
}

fn split_frame(bytes: &[u8]) -> Result<Split<'_>, FrameTooLarge> {
    let Some((length, rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(Split::Lacks(2 - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes(*length));
    if length > MAX_FRAME_BYTES {
        return Err(FrameTooLarge);
    }
    Ok(match rest.split_at_checked(length) {
        Some((body, rest)) => Split::Whole { body, rest },
        None => Split::Lacks(length - rest.len()),
    })
}

/// Appends one datagram with its length to `queue`; false when it is too large for a frame or for `limit_bytes`.
pub(super) fn append_frame(queue: &mut Vec<u8>, datagram: &[u8], limit_bytes: usize) -> bool {
    let Ok(length) = u16::try_from(datagram.len()) else { return false };
    if queue.len() + 2 + datagram.len() > limit_bytes {
        return false;
    }
    queue.extend_from_slice(&length.to_be_bytes());
    queue.extend_from_slice(datagram);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of `step` bytes; returns the frames and whether it was refused.
    fn read(stream: &[u8], step: usize) -> (Vec<Vec<u8>>, bool) {
        let mut reader = FrameReader::default();
        let mut frames = Vec::new();
        for piece in stream.chunks(step) {
            if reader.push(piece, |frame| frames.push(frame.to_vec())).is_err() {
                return (frames, true);
            }
            assert!(reader.partial.len() < MAX_FRAME_BYTES + 2);
        }
        (frames, false)
    }

    fn framed(datagrams: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for datagram in datagrams {
            assert!(append_frame(&mut stream, datagram, usize::MAX));
        }
        stream
    }

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let datagrams = vec![vec![1; 3], vec![2; MAX_FRAME_BYTES], vec![3; 1], vec![4; 258]];
        let stream = framed(&datagrams);
        for step in [1, 2, 3, 5, 7, 1000, stream.len()] {
            assert_eq!(read(&stream, step), (datagrams.clone(), false), "step {step}");
        }
    }

    #[test]
    fn empty_frames_are_left_out() {
        for step in 1..8 {
            assert_eq!(read(&framed(&[vec![], vec![7], vec![], vec![]]), step), (vec![vec![7]], false));
        }
    }

    #[test]
    fn a_hostile_length_is_refused_after_the_good_frames() {
        let mut stream = framed(&[vec![9; 10]]);
        stream.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
        for step in [1, 4, stream.len()] {
            assert_eq!(read(&stream, step), (vec![vec![9; 10]], true));
        }
        assert_eq!(read(&[0xff, 0xff], 1), (vec![], true));
    }

    #[test]
    fn the_write_queue_takes_whole_frames_only() {
        let mut queue = Vec::new();
        assert!(append_frame(&mut queue, &[1; 8], 20));
        assert!(append_frame(&mut queue, &[2; 8], 20));
        assert!(!append_frame(&mut queue, &[3; 1], 20));
        assert!(!append_frame(&mut queue, &vec![0; 70_000], usize::MAX));
        assert_eq!(queue.len(), 20);
    }
}
