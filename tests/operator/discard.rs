//! `discard` and `restore` of the real program, with the function beside it.

mod ledger_writes;
