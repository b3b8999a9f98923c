//! People sign in at an OpenID provider (OpenID Connect Core 1.0, authorization code with PKCE,
//! nonce and state) and get a session in a cookie.
//!
//! Who may do what is decided by rules over the claims of the ID token. Somebody whom no rule
//! names is nobody here, however well the provider knows them.

mod config;
mod cookie;
mod error;
mod flow;
mod id_token;
mod keys;
mod session;

pub use config::{LoginConfig, RoleRule};
pub use cookie::{
    LOGIN_COOKIE, SESSION_COOKIE, cookie_of, removed, set_for_login, set_for_session,
};
pub use error::LoginError;
pub use flow::{Finish, Finished, Login, LoginStarted};
pub use id_token::{Claims, Expected, IdTokenError, verify};
pub use keys::Keys;
pub use session::{Person, Session, SessionToken, end_session, find_session};
