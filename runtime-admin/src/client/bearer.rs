//! Who a client says it is, on each of its calls.

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Status};

/// A connection whose every call says who asks, when that is known.
pub(crate) type Channel = InterceptedService<tonic::transport::Channel, Bearer>;

/// A bearer token, or nothing. It does not print itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bearer(Option<AsciiMetadataValue>);

impl Bearer {
    /// Whoever has this token.
    pub(crate) fn of(token: &str) -> Option<Self> {
        let mut value: AsciiMetadataValue = format!("Bearer {token}").parse().ok()?;
        value.set_sensitive(true);
        Some(Self(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}
