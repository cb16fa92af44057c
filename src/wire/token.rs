//! A token that a hub takes at `$cbs`. Source: event-hubs-wire 5.2.

use std::time::{Duration, SystemTime};

use super::sas::{self, SasToken};
use super::secret::Secret;

/// A token that a hub takes at `$cbs`. `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct Token {
    pub(crate) text: Secret,
    /// Its type in a put-token request.
    pub(crate) type_name: &'static str,
    pub(crate) expires_at: Option<SystemTime>,
    is_last: bool,
}

impl Token {
    /// A shared access signature, `SharedAccessSignature sr=...`.
    #[must_use]
    pub fn shared_access_signature(token: &SasToken) -> Self {
        let expires_at = token.expiry_unix_secs().map(Duration::from_secs);
        Self {
            text: Secret::from(token.as_str()),
            type_name: "servicebus.windows.net:sastoken",
            expires_at: expires_at.and_then(|since| SystemTime::UNIX_EPOCH.checked_add(since)),
            is_last: false,
        }
    }

    /// A JSON web token, as Entra ID issues them for the resource `https://eventhubs.azure.net/`.
    #[must_use]
    pub fn jwt(text: impl Into<String>, expires_at: SystemTime) -> Self {
        Self { text: Secret::from(text.into()), type_name: "jwt", expires_at: Some(expires_at), is_last: false }
    }

    /// Says that no other one will follow: it is not renewed.
    #[must_use]
    pub fn last(mut self) -> Self {
        self.is_last = true;
        self
    }

    /// When it should be replaced: as [`SasToken::renew_at`] has it. `None` for never.
    pub(crate) fn renew_at(&self, issued: SystemTime) -> Option<SystemTime> {
        if self.is_last { None } else { sas::renewal_time(issued, self.expires_at?) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_renewed_before_they_end_unless_there_is_no_other() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let hour = Duration::from_secs(3_600);
        let due = Some(now + Duration::from_secs(53 * 60));
        assert_eq!(Token::jwt("secret", now + hour).renew_at(now), due);
        assert_eq!(Token::jwt("secret", now + hour).last().renew_at(now), None);
        let token = Token::shared_access_signature(&sas::sign("sb://ns/hub", "n", "k", now, hour));
        assert_eq!(token.renew_at(now), due);
        assert!(!format!("{:?}{token:?}", Token::jwt("hunter2", now)).contains("hunter2"));
    }
}
