//! A kernel beside a model of it, and random operations on both.

pub mod heap;
pub mod model;
pub mod ops;
pub mod world;
