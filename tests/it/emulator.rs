//! The emulator, seen as a client sees it: requests in, answers out. Expected values come from the documented or
//! recorded behaviour of the service, never from the emulator's own types.

mod batches;
mod faults;
mod hostile;
mod keys;
mod killed;
mod lists;
mod policies;
mod scale;
mod server;
mod sign_in;
mod state;
mod tidy;
mod world;
