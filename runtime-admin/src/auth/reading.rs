//! Reads a request once, before its service does: the layer has to know what it is about.
//!
//! Every method of the API takes one message, so that is all there is to read. Methods of other packages are passed on unread.

use std::collections::HashMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, Value};
use runtime_core::control::CommandError;
use runtime_core::error::ErrorCode;
use tonic::Status;
use tonic::body::Body;

use super::caller::has_token;
use super::understood;
use crate::server::MAX_MESSAGE_BYTES;
use crate::status::{Resource, invalid, refusal, refused};

/// A flag and a length stand before a message.
const HEADER_BYTES: usize = 5;

/// Most room that is made for what is announced and has not come.
const PIECE_BYTES: usize = 32 * 1024;

/// The methods whose requests can be read, by path.
pub(super) struct Shapes(HashMap<String, Shape>);

/// What a method takes and gives.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    input: MessageDescriptor,
    /// Whether it answers with many messages.
    pub(super) streams: bool,
}

impl Shapes {
    /// Those of the API.
    pub(super) fn of_the_api() -> Self {
        let pool = DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET)
            .expect("the descriptors were compiled with this crate");
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let shapes = methods.filter(|method| !method.is_client_streaming()).map(|method| {
            let path = format!("/{}/{}", method.parent_service().full_name(), method.name());
            (path, Shape { input: method.input(), streams: method.is_server_streaming() })
        });
        Self(shapes.collect())
    }

    pub(super) fn get(&self, path: &str) -> Option<&Shape> {
        self.0.get(path)
    }
}

/// A request that was read.
pub(super) struct Asked {
    frame: Bytes,
    message: DynamicMessage,
}

impl Asked {
    /// Reads the one message of a request, for as long as `patience` lasts.
    pub(super) async fn read(body: Body, shape: &Shape, patience: Duration) -> Result<Self, Status> {
        let frame = tokio::time::timeout(patience, whole(body)).await.unwrap_or_else(|_| {
            Err(refused(ErrorCode::NoAnswer, format!("the request did not come within {patience:?}")))
        })?;
        if has_token(&frame) {
            return Err(invalid(
                "request",
                "holds a bearer token, which belongs into the authorization header alone",
            ));
        }
        let message = DynamicMessage::decode(shape.input.clone(), frame.slice(HEADER_BYTES..))
            .map_err(|_| invalid("request", format!("is not a {}", shape.input.name())))?;
        understood::check(&message)?;
        Ok(Self { frame, message })
    }

    /// A text of the request; a dot leads into a part of it. Empty when it has no such field.
    pub(super) fn text(&self, field: &str) -> String {
        self.value(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// A yes or no of the request; no when it has no such field.
    pub(super) fn flag(&self, field: &str) -> bool {
        self.value(field).and_then(|value| value.as_bool()).unwrap_or(false)
    }

    fn value(&self, field: &str) -> Option<Value> {
        within(&self.message, field)
    }

    /// What tells this request from others of its method.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.frame
    }

    /// The request's body, for its service.
    pub(super) fn body(&self) -> Body {
        Body::new(Full::new(self.frame.clone()))
    }
}

/// A field, or a field of a field.
fn within(message: &DynamicMessage, field: &str) -> Option<Value> {
    match field.split_once('.') {
        None => Some(message.get_field_by_name(field)?.into_owned()),
        Some((part, rest)) => within(message.get_field_by_name(part)?.as_message()?, rest),
    }
}

async fn whole(mut body: Body) -> Result<Bytes, Status> {
    let mut pieces = Pieces::default();
    let mut expected = None;
    while let Some(part) = body.frame().await {
        let part = part.map_err(|error| Status::from_error(error.into()))?;
        let Ok(data) = part.into_data() else { continue };
        pieces.add(&data, expected.unwrap_or(0));
        if expected.is_none() && pieces.bytes >= HEADER_BYTES {
            expected = Some(length(pieces.first())?);
        }
        if expected.is_some_and(|expected| pieces.bytes > expected) {
            break;
        }
    }
    if expected == Some(pieces.bytes) {
        Ok(pieces.whole())
    } else {
        Err(invalid("request", "is not one whole message"))
    }
}

/// What has come of a request. In pieces: one that grew as a whole would be there several times while it does.
#[derive(Default)]
struct Pieces {
    pieces: Vec<BytesMut>,
    bytes: usize,
}

impl Pieces {
    /// Adds bytes to a request that will have so many, as far as that is known.
    fn add(&mut self, mut data: &[u8], expected: usize) {
        while !data.is_empty() {
            let room = |piece: &BytesMut| piece.capacity() - piece.len();
            if self.pieces.last().is_none_or(|last| room(last) == 0) {
                let missing = expected.saturating_sub(self.bytes).min(PIECE_BYTES);
                // The first has room for the header, so that it can be read from there.
                self.pieces.push(BytesMut::with_capacity(missing.max(data.len()).max(HEADER_BYTES)));
            }
            if let Some(last) = self.pieces.last_mut() {
                let (now, later) = data.split_at(data.len().min(room(last)));
                last.extend_from_slice(now);
                self.bytes += now.len();
                data = later;
            }
        }
    }

    fn first(&self) -> &[u8] {
        self.pieces.first().map(AsRef::as_ref).unwrap_or_default()
    }

    fn whole(mut self) -> Bytes {
        match self.pieces.len() {
            1 => self.pieces.remove(0).freeze(),
            _ => self.pieces.concat().into(),
        }
    }
}

/// How many bytes there will be, the header included.
fn length(frame: &[u8]) -> Result<usize, Status> {
    let [flag, length @ ..] = frame.first_chunk::<HEADER_BYTES>().copied().unwrap_or_default();
    if flag != 0 {
        return Err(refused(ErrorCode::Unimplemented, "compressed messages are not taken"));
    }
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_BYTES {
        let what = format!("a message of {length} bytes, at most {MAX_MESSAGE_BYTES} are allowed");
        return Err(refusal(&CommandError::new(ErrorCode::TooLarge, what), &Resource::new("request", "")));
    }
    Ok(HEADER_BYTES + length)
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    #[tokio::test]
    async fn a_request_is_read_whole_however_it_is_cut() {
        for size in [0, 1, 200, PIECE_BYTES, 3 * PIECE_BYTES + 7] {
            let length = u32::try_from(size).expect("a length").to_be_bytes();
            let message: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            let frame = [&[0][..], &length, &message].concat();
            for cut in [1, 4, 16 * 1024, frame.len()] {
                let parts: Vec<_> = frame
                    .chunks(cut)
                    .map(|part| Ok::<_, Status>(Frame::data(Bytes::copy_from_slice(part))))
                    .collect();
                let body = Body::new(StreamBody::new(futures_util::stream::iter(parts)));
                assert_eq!(whole(body).await.expect("whole"), frame, "{size} bytes, cut at {cut}");
            }
        }
    }

    #[test]
    fn room_is_made_for_what_comes_and_not_for_what_is_announced() {
        let mut pieces = Pieces::default();
        pieces.add(&[0, 0, 63, 255, 255, 7], 0);
        pieces.add(&[7], MAX_MESSAGE_BYTES);
        let room: usize = pieces.pieces.iter().map(BytesMut::capacity).sum();
        assert!(room <= 2 * PIECE_BYTES, "{room}");
    }
}
