//! certroll keeps the certificates on Microsoft Entra ID applications as a Git repository says they should be.
//!
//! ```text
//! files ----> desired --+
//!                       +--> plan() --> Plan --> guard --> document --> apply --> outcomes
//! Entra ----> observed -+    pure                pure      a file       I/O
//! stores --/
//! ```
//!
//! Reading, deciding, doing and saying are four places. [`desired`], [`observed`], [`certificate`] and [`plan`] are pure:
//! no network, no files, no clock, no environment. Everything is decided while planning, so that the applier has no
//! choices left to make. The library never prints.

pub mod backends;
pub mod certificate;
pub mod connections;
pub mod consumer;
pub mod desired;
pub mod diagnostic;
pub mod ids;
#[cfg(feature = "azure-key-vault")]
pub mod key_vault;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod observed;
pub mod period;
pub mod plan;
pub mod subject;
#[cfg(any(feature = "ci-deliveries", feature = "hashicorp-vault"))]
pub mod token_source;
#[cfg(feature = "hashicorp-vault")]
pub mod vault;

pub mod apply;
pub mod assertion;
pub mod cli;
pub mod delivery;
pub mod edges;
pub mod emulator;
pub mod entra;
pub mod form;
pub mod issuer;
pub mod key;
pub mod may;
pub mod net;
pub mod observe;
pub mod pem;
pub mod random;
pub mod runtime;
pub mod settings;
pub mod store;

pub mod error;
pub mod report;
