//! One file per command.

pub(crate) mod approval;
pub(crate) mod audit;
pub(crate) mod ca;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod contracts;
pub(crate) mod control;
pub(crate) mod db;
pub(crate) mod definition;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod enroll;
pub(crate) mod env;
pub(crate) mod explain;
pub(crate) mod internal;
pub(crate) mod keys;
pub(crate) mod nouns;
pub(crate) mod policy;
pub(crate) mod proxy;
pub(crate) mod run;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod up;
pub(crate) mod version;
