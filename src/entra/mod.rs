//! The Entra client: reads a tenant into the nouns of [`observed`](crate::observed), replaces one target's credential list,
//! and proves a key by signing in with it.
//!
//! ```text
//! observe (reader) ---+
//!                     +--> http: token, pace, retry --> line --> transport --> Entra, or the emulator in process
//! writer (apply) -----+                                  ^
//! prove --------------------------------------------------+
//! ```
//!
//! Tokens and secrets go to the configured hosts and nowhere else: redirects are not followed, links only below the version root.
//! No error, and no `Debug`, holds a secret. The library reads no environment; variables and settings are handed in.

pub mod aadsts;
pub mod azure_cli;
pub mod ci_token;
pub mod cloud;
pub mod environment;
pub mod error;
pub mod http;
pub mod in_process;
pub mod line;
pub mod managed_identity;
pub mod observe;
pub mod pace;
pub mod probe;
pub mod prove;
pub mod retry;
pub mod sign_in;
pub mod writer;

mod batch;
mod elsewhere;
mod envelope;
mod odata;
mod tenant;
pub(crate) mod token;
mod wire;

pub use cloud::{EndpointOverrides, Endpoints};
pub use environment::{from_connection, from_environment};
pub use error::{EntraError, ErrorKind, Refusal};
pub use http::{GraphClient, GraphSettings};
pub use in_process::{EmulatorClock, EmulatorTransport};
pub use line::Line;
pub use observe::{DirectoryReader, observe};
pub use prove::{Evidence, SignIn, try_sign_in};
pub use sign_in::OwnCredential;
pub use writer::{DirectoryWriter, WriteError, new_entry};

pub use crate::net::{HttpsOptions, HttpsTransport, Transport, TransportError, Trust};
