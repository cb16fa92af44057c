//! SASL mechanisms, as a client uses them, and what PLAIN says. Source: AMQP 1.0 part 5, 5.3; RFC 4616.

use zeroize::Zeroizing;

use crate::wire::secret::Secret;

/// A client's mechanism.
#[derive(Clone, Debug)]
pub(crate) enum Sasl {
    /// Who we are is said later, by tokens.
    Anonymous,
    /// A key is shown at once, and no token later.
    Plain(Login),
}

/// A rule's name, and its key.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) key: Secret,
}

/// Bytes of name and key that fit the frame, which may have no more than 512, with a host's name of 255.
const MAX_LOGIN_LEN: usize = 200;

impl Sasl {
    pub(super) fn mechanism(&self) -> &'static str {
        match self {
            Self::Anonymous => "ANONYMOUS",
            Self::Plain(_) => "PLAIN",
        }
    }

    pub(super) fn initial_response(&self) -> Vec<u8> {
        match self {
            Self::Anonymous => Vec::new(),
            // At its length at once: a buffer that grew would leave its beginnings behind.
            Self::Plain(login) => ["", &login.name, login.key.expose()].join("\0").into_bytes(),
        }
    }
}

impl Login {
    /// Whether it can be said: neither part may be empty or hold a NUL, and both have to fit a frame.
    pub(crate) fn is_sayable(&self) -> bool {
        let (name, key) = (&self.name, self.key.expose());
        let is_part = |part: &str| !part.is_empty() && !part.contains('\0');
        is_part(name) && is_part(key) && name.len() + key.len() <= MAX_LOGIN_LEN
    }

    /// What a client's initial response says, if it is one of PLAIN: whom to act as, which must be nobody else, then name and
    /// password.
    pub(super) fn of_initial_response(response: &[u8]) -> Option<Self> {
        let text = Zeroizing::new(String::from_utf8(response.to_vec()).ok()?);
        let mut parts = text.split('\0');
        let (acted_as, name, key) = (parts.next()?, parts.next()?, parts.next()?);
        let login = Self { name: name.to_owned(), key: Secret::from(key) };
        (parts.next().is_none() && (acted_as.is_empty() || acted_as == name) && login.is_sayable()).then_some(login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(response: &[u8]) -> Option<(String, String)> {
        Login::of_initial_response(response).map(|login| (login.name, login.key.expose().to_owned()))
    }

    #[test]
    fn what_plain_says_is_read_back_and_nothing_else_is() {
        let login = Login { name: "send".into(), key: "a2V5=".into() };
        assert!(login.is_sayable());
        let said = Sasl::Plain(login).initial_response();
        assert_eq!(said, b"\0send\0a2V5=");
        assert_eq!(read(&said), Some(("send".into(), "a2V5=".into())));
        assert_eq!(read(b"send\0send\0key"), Some(("send".into(), "key".into())));
        for other in [&b""[..], b"\0send", b"\0\0key", b"\0send\0", b"other\0send\0key", b"\0send\0key\0", b"\0s\0\xff"]
        {
            assert_eq!(read(other), None, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn a_login_that_does_not_fit_is_not_said() {
        let login = |name: &str, key: &str| Login { name: name.into(), key: key.into() };
        assert!(login(&"n".repeat(100), &"k".repeat(100)).is_sayable());
        for (name, key) in
            [("n".repeat(101), "k".repeat(100)), (String::new(), "k".into()), ("a\0b".into(), "k".into())]
        {
            assert!(!login(&name, &key).is_sayable(), "{name:?}");
        }
    }
}
