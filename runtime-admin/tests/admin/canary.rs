//! A secret that is planted everywhere comes out nowhere.

use std::io::Write;
use std::sync::{Arc, Mutex};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use runtime_admin::v1;
use tonic::Code;
use tracing_subscriber::fmt::MakeWriter;

use crate::guarded::Guarded;
use crate::raw::call;

/// Everything that was logged, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Requests of a kind, one for each text and each bytes field in it, down to two messages deep, with this in it.
fn planted(message: &MessageDescriptor, secret: &str, depth: usize) -> Vec<DynamicMessage> {
    let mut requests = Vec::new();
    for field in message.fields() {
        for value in values(&field, secret, depth) {
            let mut request = DynamicMessage::new(message.clone());
            request.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
            requests.push(request);
        }
    }
    requests
}

fn values(field: &FieldDescriptor, secret: &str, depth: usize) -> Vec<Value> {
    match field.kind() {
        _ if field.is_map() => Vec::new(),
        Kind::String => vec![Value::String(secret.to_owned()), Value::String(format!("tasks/{secret}"))],
        Kind::Bytes => vec![Value::Bytes(secret.as_bytes().to_vec().into())],
        Kind::Message(inner) if depth > 0 => {
            planted(&inner, secret, depth - 1).into_iter().map(Value::Message).collect()
        }
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn a_token_that_is_planted_in_every_field_comes_out_nowhere() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    let world = Guarded::start().await;
    let root = world.client(&world.bootstrap).await;
    root.create_principal(
        &"alice".parse().unwrap(),
        v1::Principal { grants: vec!["admin".into()], ..Default::default() },
    )
    .await
    .unwrap();
    let made = root.create_token(&"alice".parse().unwrap(), &"laptop".parse().unwrap(), None).await.unwrap();
    let secret = made.text.rsplit('_').next().unwrap().to_owned();
    assert!(!format!("{made:?}").contains(&secret), "a message with a token does not print it");

    let mut told = Vec::new();
    let pool = DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET).unwrap();
    let mut asked = 0;
    for service in pool.services() {
        for method in service.methods() {
            let path = format!("/{}/{}", service.full_name(), method.name());
            for request in planted(&method.input(), &made.text, 2) {
                asked += 1;
                for authorization in [&made.text, world.bootstrap.expose()] {
                    let authorization = format!("Bearer {authorization}");
                    let refused =
                        call(&world.channel, &path, Some(&authorization), request.encode_to_vec()).await;
                    let status = refused.expect_err(&path);
                    assert_eq!(status.code(), Code::InvalidArgument, "{path} {status:?}");
                    told.push(format!("{status:?}"));
                }
            }
        }
    }
    assert!(asked > 60, "{asked}");
    // As a token, it is nearly right.
    for wrong in [format!("Bearer {}0", made.text), format!("Basic {}", made.text), made.text.clone()] {
        let path = "/runtime.admin.v1.SystemService/GetInfo";
        told.push(format!("{:?}", call(&world.channel, path, Some(&wrong), Vec::new()).await.unwrap_err()));
    }
    told.push(format!("{:?}", root.audit("", 1_000).await.unwrap()));
    told.push(format!("{:?}", root.tokens(None).await.unwrap()));
    told.push(format!("{:?}", world.store.tokens().await.unwrap()));
    told.push(format!("{:?} {:?}", root, world.bootstrap));
    told.push(log.text());
    let bootstrap = world.bootstrap.expose().rsplit('_').next().unwrap();
    for text in &told {
        assert!(!text.contains(&secret) && !text.contains(bootstrap), "{text}");
    }
    assert!(log.text().contains("asks nobody") || !log.text().is_empty(), "the log was listened to");
    assert!(told.iter().any(|text| text.contains("tokens/")), "ids are no secret");
}

#[tokio::test]
async fn a_secret_that_is_printed_would_be_found() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone());
    let _logging = tracing::subscriber::set_default(subscriber.finish());
    tracing::info!(token = "canary", "a careless line");
    assert!(log.text().contains("canary"));
    let requests = planted(
        &DescriptorPool::decode(runtime_proto::FILE_DESCRIPTOR_SET)
            .unwrap()
            .get_message_by_name("runtime.admin.v1.CreatePrincipalRequest")
            .unwrap(),
        "canary",
        2,
    );
    assert!(
        requests.iter().all(|request| request.encode_to_vec().windows(6).any(|bytes| bytes == b"canary"))
    );
    // Name, grants and certificates of the principal, its etag, its id and the request's.
    assert!(requests.len() >= 10, "{}", requests.len());
}
