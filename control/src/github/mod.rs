//! GitHub Apps: who the app is, where it is installed, and what its installations may.
//!
//! The pages that this follows, under <https://docs.github.com/en>:
//! `apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app`,
//! `rest/apps/apps`, `rest/apps/installations`, and
//! `apps/creating-github-apps/registering-a-github-app/about-the-setup-url`.

mod app;
mod error;
mod install;
mod narrow;

pub(crate) use app::{App, Installation};
pub(crate) use error::AppError;
pub(crate) use install::{installed, ready};
pub(crate) use narrow::Narrow;
