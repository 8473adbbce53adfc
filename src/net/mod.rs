//! One HTTP exchange with a service, whoever it is: the transport, what its headers say, when to try again, and texts of strangers made
//! fit to repeat. Knows nothing of any service.

mod echo;
pub mod headers;
pub mod https;
pub mod retry;
pub mod service;
pub mod text;
pub mod transport;

pub(crate) use echo::repeats;
pub use headers::{header, http_date, retry_after};
#[cfg(feature = "kubernetes")]
pub(crate) use https::is_tls;
pub use https::{HttpsOptions, HttpsTransport, Trust};
pub use retry::{Attempts, RetrySettings};
pub use service::{Answer, Ask, NoAnswer, Service, Way};
pub use text::{place_of, printable, without_secrets};
#[cfg(feature = "kubernetes")]
pub(crate) use transport::causes;
pub use transport::{
    MachineIdentity, Sent, Transport, TransportError, TransportErrorKind, is_link_local, is_loopback,
};
