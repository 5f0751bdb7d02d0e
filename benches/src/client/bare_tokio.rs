//! One call at a time on a bare tokio stream: what the runtime costs a client, and so the least that any client on it
//! can cost. It is no peer.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::ClientReport;
use super::tasks::{Caller, measure};
use crate::frame::{Image, Kind, is_right, push_request};
use crate::load::Until;
use crate::peer::Shape;

/// Header, function and byte count, before ten registers.
const VALUES_AT: usize = 9;

pub(super) fn call(target: SocketAddr, shape: Shape, until: Until) -> Result<ClientReport> {
    let connect = || async {
        let image = Arc::new(Image::new());
        let mut callers = Vec::with_capacity(shape.connections);
        for _ in 0..shape.connections {
            let stream = TcpStream::connect(target).await?;
            stream.set_nodelay(true)?;
            callers.push(Bare { stream, image: image.clone(), request: Vec::new(), transaction: 0 });
        }
        Ok(callers)
    };
    measure(connect, until)
}

struct Bare {
    stream: TcpStream,
    image: Arc<Image>,
    request: Vec<u8>,
    transaction: u16,
}

impl Caller for Bare {
    async fn read(&mut self, address: u16) -> Option<Vec<u16>> {
        let Self { stream, image, request, transaction } = self;
        *transaction = transaction.wrapping_add(1);
        request.clear();
        push_request(request, image, Kind::Read10, *transaction, address);
        // Twelve bytes always fit an idle socket, and the floor's reply comes in one piece.
        if stream.try_write(request).ok()? < request.len() {
            return None;
        }
        let mut bytes = [0; 300];
        let mut reply = ReadBuf::new(&mut bytes);
        poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut reply)).await.ok()?;
        let reply = reply.filled();
        let right = reply.starts_with(&transaction.to_be_bytes()) && is_right(reply, image, Kind::Read10, address);
        right.then(|| reply[VALUES_AT..].chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
    }
}
