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

pub mod certificate;
pub mod connections;
pub mod consumer;
pub mod desired;
pub mod diagnostic;
pub mod drift_rules;
pub mod error;
pub mod form;
pub mod ids;
pub mod observed;
pub mod pem;
pub mod period;
pub mod plan;
pub mod settings;
pub mod subject;
pub mod trouble;

pub mod apply;
pub mod assertion;
pub mod backends;
pub mod cli;
pub mod delivery;
pub mod edges;
pub mod emulator;
pub mod entra;
pub mod issuer;
pub mod key;
#[cfg(feature = "azure-key-vault")]
pub mod key_vault;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod may;
pub mod net;
pub mod observe;
pub mod random;
pub mod report;
pub mod runtime;
pub mod store;
#[cfg(any(feature = "ci-deliveries", feature = "hashicorp-vault"))]
pub mod token_source;
#[cfg(feature = "hashicorp-vault")]
pub mod vault;
