//! The Entra client, against the emulator in process and against transports that answer from a script. The emulator spells the
//! wire format for itself, so each can disagree with the other.
mod budgets;
mod hostile;
mod https;
mod observing;
mod own_identity;
mod pacing;
mod policies;
mod proving;
mod scripted;
mod signing_in;
mod support;
mod writing;
