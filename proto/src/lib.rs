//! Speaks: the admin API on the wire. The `.proto` files beside this crate are the contract; everything here is generated
//! from them; nothing is written by hand but how a secret is not printed.

/// `runtime.admin.v1`: messages, clients and servers.
#[expect(clippy::allow_attributes, clippy::allow_attributes_without_reason, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("runtime.admin.v1");
}

/// Without the token's text: whoever prints an answer prints no secret.
impl std::fmt::Debug for v1::CreateTokenResponse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreateTokenResponse").field("token", &self.token).finish_non_exhaustive()
    }
}

/// The encoded `google.protobuf.FileDescriptorSet` of the package and everything it imports, comments included.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/file_descriptor_set.bin"));
