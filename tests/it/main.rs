//! The function on real parts: a local AWS for the table, mockito and the stand-in for the wires,
//! the real binary for the edge.

mod edge;
mod events;
mod genesys_wire;
mod hostile;
mod layout;
mod ledger;
mod replay;
mod support;
mod target_wire;
