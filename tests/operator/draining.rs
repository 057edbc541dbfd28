//! `pause` and `resume`.

mod deployed;
mod pause;
