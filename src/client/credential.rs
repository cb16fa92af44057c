//! Where tokens come from: a key, a ready-made token, or whatever else gives out tokens with an expiry.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::error::Error;
use crate::wire::connection_string::Credential;
use crate::wire::sas;
use crate::wire::token::Token;

/// What [`TokenSource::token`] gives back.
pub type TokenFuture = Pin<Box<dyn Future<Output = Result<Token, TokenError>> + Send>>;

/// Gives out tokens: for Entra ID, or a service of your own that signs.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use hubwire::{Options, Token, TokenError, TokenFuture, TokenSource};
///
/// struct Entra;
///
/// impl TokenSource for Entra {
///     fn token(&self, _audience: &str) -> TokenFuture {
///         Box::pin(async {
///             // Ask an identity library here.
///             # #[allow(clippy::disallowed_methods)]
///             let in_an_hour = SystemTime::now() + Duration::from_secs(3_600);
///             Ok(Token::jwt("eyJ0eXAi...", in_an_hour))
///         })
///     }
/// }
///
/// let options = Options::default().credential(Entra);
/// # drop(options);
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A token for `audience`, `sb://<host>/<hub>`, that is good for some time yet.
    ///
    /// It is asked for before the first link to the hub, and again before the token ends; within 30 s, or the answer is
    /// not waited for any more. The future is dropped then.
    fn token(&self, audience: &str) -> TokenFuture;
}

/// Why there is no token. Its text is shown: it must not hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TokenError {
    message: String,
    is_retryable: bool,
}

impl TokenError {
    /// Trying again later may help.
    #[must_use]
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_retryable: true }
    }

    /// Somebody has to change something first.
    #[must_use]
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), is_retryable: false }
    }
}

impl From<TokenError> for Error {
    fn from(error: TokenError) -> Self {
        Self::NoToken { is_retryable: error.is_retryable, message: error.message }
    }
}

/// The credential of a connection string as a source.
pub(super) struct OfConnectionString {
    pub(super) credential: Credential,
    pub(super) ttl: Duration,
    pub(super) wall_clock: Arc<dyn Fn() -> SystemTime + Send + Sync>,
}

impl TokenSource for OfConnectionString {
    fn token(&self, audience: &str) -> TokenFuture {
        let token = match &self.credential {
            Credential::SharedAccessKey { name, key } => {
                let token = sas::sign(audience, name, key.expose(), (self.wall_clock)(), self.ttl);
                Ok(Token::shared_access_signature(&token))
            }
            Credential::SharedAccessSignature(token) => Ok(Token::shared_access_signature(token).last()),
            Credential::Absent => Err(TokenError::permanent(
                "the connection string holds no credential; add a key to it, or give one with `Options::credential`",
            )),
        };
        Box::pin(std::future::ready(token))
    }
}

impl fmt::Debug for OfConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfConnectionString").finish_non_exhaustive()
    }
}
