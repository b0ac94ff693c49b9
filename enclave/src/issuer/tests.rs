use std::io;

use super::*;
use crate::platform::{BoxFuture, BoxStream, Transport};

/// A parent that answers nothing.
pub(super) struct NoParent;

impl Transport for NoParent {
    fn accept(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(std::future::pending())
    }

    fn connect_host(&self) -> BoxFuture<'_, io::Result<BoxStream>> {
        Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
    }
}
