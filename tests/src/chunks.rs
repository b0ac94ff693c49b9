//! A body in pieces.
use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};

/// A body whose pieces leave one by one: each is written out before the next is there.
#[derive(Debug)]
pub struct Chunks {
    pieces: VecDeque<Bytes>,
    turn: Turn,
    end: End,
}

#[derive(Debug)]
enum Turn {
    Pause,
    Piece,
}

/// What follows the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Comes,
    NeverComes,
}

impl Chunks {
    /// `text` in pieces of `length` bytes.
    pub fn of(text: &[u8], length: usize) -> Self {
        Self {
            pieces: text.chunks(length).map(Bytes::copy_from_slice).collect(),
            turn: Turn::Piece,
            end: End::Comes,
        }
    }

    /// `text`, and nothing after it for as long as anyone waits.
    pub fn without_end(text: &[u8]) -> Self {
        Self {
            end: End::NeverComes,
            ..Self::of(text, text.len())
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.turn {
            // The server flushes what it has before it asks again.
            Turn::Pause => {
                self.turn = Turn::Piece;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Turn::Piece if self.pieces.is_empty() && self.end == End::NeverComes => Poll::Pending,
            Turn::Piece => {
                self.turn = Turn::Pause;
                Poll::Ready(self.pieces.pop_front().map(|piece| Ok(Frame::data(piece))))
            }
        }
    }
}
