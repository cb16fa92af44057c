//! Shared access signature tokens: signing them, reading them, and whether one holds.
//!
//! A token says "the holder of key `skn` lets the bearer use everything under `sr` until `se`":
//!
//! ```text
//! SharedAccessSignature sr=<audience>&sig=<HMAC-SHA256>&se=<expiry>&skn=<key name>
//! ```
//!
//! What is signed is the text of `sr` *as it stands in the token*, a line feed, and the text of
//! `se`. SDKs percent-encode differently (Go in lower-case hex, Python with `+` for a blank), so a
//! verifier must never encode the audience anew; [`SasToken`] keeps the text it was given.
//! Source: <https://learn.microsoft.com/azure/event-hubs/authenticate-shared-access-signature>.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::secret::{MASK, Secret, printable};

const PREFIX: &str = "SharedAccessSignature ";

/// The least time left to a token when it is renewed, if its life is long enough to allow it.
const LEAST_MARGIN: Duration = Duration::from_secs(7 * 60);

/// Signs `audience` with the key's text as it stands; it is not base64-decoded first.
///
/// Valid until `now + ttl`, in whole seconds since 1970-01-01 UTC, rounded down; a sum beyond what
/// a `u64` holds stays at its maximum. An `audience` is a URI such as
/// [`ConnectionString::audience`](super::connection_string::ConnectionString::audience) gives; a
/// token for it is good for all that lies below. Neither it nor `key_name` should be empty: the
/// token would be signed, and refused by every hub and by [`SasToken::parse`].
///
/// Shape, percent-encoded: `SharedAccessSignature sr=<audience>&sig=<HMAC-SHA256>&se=<expiry>&skn=<key name>`
///
/// ```
/// use std::time::{Duration, UNIX_EPOCH};
/// use hubwire::wire::sas::sign;
///
/// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
/// let audience = "amqps://ns.servicebus.windows.net/telemetry";
/// let token = sign(audience, "send", "a2V5", now, Duration::from_secs(3_600));
/// assert!(token.as_str().ends_with("&sig=whbgiXr6%2Fr5ueYNfuhWBGRmtz3Ur81dx5Q%2FVsrfvSOU%3D&se=1700003600&skn=send"));
/// ```
#[must_use]
pub fn sign(audience: &str, key_name: &str, key: &str, now: SystemTime, ttl: Duration) -> SasToken {
    let expiry = since_epoch(now).saturating_add(ttl);
    sign_until(audience, key_name, key, expiry.as_secs())
}

/// [`sign`], with the expiry given outright in seconds since 1970-01-01 UTC.
///
/// ```
/// use hubwire::wire::sas::sign_until;
///
/// let token = sign_until("sb://ns.servicebus.windows.net/telemetry", "send", "a2V5", 1_700_003_600);
/// assert_eq!(token.expiry_unix_secs(), Some(1_700_003_600));
/// ```
#[must_use]
pub fn sign_until(audience: &str, key_name: &str, key: &str, expiry_unix_secs: u64) -> SasToken {
    let sr = urlencoding::encode(audience);
    let se = expiry_unix_secs.to_string();
    let signature = STANDARD.encode(hmac(key.as_bytes(), &sr, &se).finalize().into_bytes());
    let sig = urlencoding::encode(&signature);
    let skn = urlencoding::encode(key_name);

    let text = format!("{PREFIX}sr={sr}&sig={sig}&se={se}&skn={skn}");
    let sr_at = PREFIX.len() + "sr=".len();
    let sig_at = sr_at + sr.len() + "&sig=".len();
    let se_at = sig_at + sig.len() + "&se=".len();
    SasToken {
        text: Secret::from(text),
        sr: sr_at..sr_at + sr.len(),
        sig: sig_at..sig_at + sig.len(),
        expiry: Some(Expiry { text: se_at..se_at + se.len(), unix_secs: expiry_unix_secs }),
        audience: audience.to_owned(),
        key_name: key_name.to_owned(),
    }
}

/// The text that [`sign_until`] computes its HMAC-SHA256 over: the percent-encoded audience, a
/// line feed, and the expiry. For comparing with other implementations stage by stage.
///
/// Every byte outside `A-Z a-z 0-9 - _ . ~` is encoded, with upper-case hex.
///
/// ```
/// use hubwire::wire::sas::string_to_sign;
///
/// assert_eq!(string_to_sign("sb://ns/hub", 1_700_003_600), "sb%3A%2F%2Fns%2Fhub\n1700003600");
/// ```
#[must_use]
pub fn string_to_sign(audience: &str, expiry_unix_secs: u64) -> String {
    format!("{}\n{expiry_unix_secs}", urlencoding::encode(audience))
}

/// A signed token, kept as the text it was made or received as.
///
/// The signature is as good as the key until the token expires: `Debug` masks it, and the text is
/// wiped from memory on drop.
#[derive(Clone)]
pub struct SasToken {
    text: Secret,
    // Where the fields lie in `text`; verification must see them as received.
    sr: Range<usize>,
    sig: Range<usize>,
    expiry: Option<Expiry>,
    audience: String,
    key_name: String,
}

#[derive(Clone)]
struct Expiry {
    text: Range<usize>,
    unix_secs: u64,
}

impl SasToken {
    /// Reads a token of any SDK: fields in any order, hex of either case, `+` or `%20` for a blank.
    ///
    /// The text must start with `SharedAccessSignature ` and have `sr`, `sig` and `skn`, each once
    /// and not empty; `se` may be absent, though no hub takes such a token. Unknown fields are
    /// passed over. Blanks round the whole are dropped. The signature is not checked here: see
    /// [`verify`](Self::verify).
    ///
    /// # Errors
    ///
    /// [`ParseTokenError`] names the field at fault and shows no value.
    pub fn parse(text: &str) -> Result<Self, ParseTokenError> {
        let text = text.trim();
        let fields = Fields::find(text)?;
        let sr = fields.required(Field::Resource)?;
        let sig = fields.required(Field::Signature)?;
        let skn = fields.required(Field::KeyName)?;
        Ok(Self {
            audience: decoded(text, &sr, Field::Resource)?,
            key_name: decoded(text, &skn, Field::KeyName)?,
            expiry: fields.expiry(text)?,
            sr,
            sig,
            text: Secret::from(text),
        })
    }

    /// The token's text, as the hub is to receive it. Not for printing: it lets its bearer in.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.text.expose()
    }

    /// What the token is for, decoded, e.g. `sb://ns.servicebus.windows.net/telemetry`.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.audience
    }

    /// The name of the key that signed, decoded once.
    ///
    /// SDKs disagree on names with characters outside `A-Z a-z 0-9 - _ . ~`: Python encodes them
    /// twice and Go not at all, so such a name may come out altered.
    #[must_use]
    pub fn key_name(&self) -> &str {
        &self.key_name
    }

    /// When the token ends, in seconds since 1970-01-01 UTC; `None` if it has no `se`.
    #[must_use]
    pub fn expiry_unix_secs(&self) -> Option<u64> {
        self.expiry.as_ref().map(|expiry| expiry.unix_secs)
    }

    /// Checks that `key` signed this token and that it has not ended at `now`.
    ///
    /// The HMAC is computed over `sr` and `se` as received and compared in constant time. The
    /// signature is checked first, so that [`VerifyError::Expired`] also says that it was good.
    /// A token ends when `now` reaches its expiry; give an earlier `now` to allow for skewed clocks.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use hubwire::wire::sas::{sign, VerifyError};
    ///
    /// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    /// let token = sign("sb://ns/hub", "send", "a2V5", now, Duration::from_secs(60));
    /// assert_eq!(token.verify("a2V5", now), Ok(()));
    /// assert_eq!(token.verify("other", now), Err(VerifyError::BadSignature));
    /// ```
    ///
    /// # Errors
    ///
    /// [`VerifyError`], the signature's fault before the clock's.
    pub fn verify(&self, key: &str, now: SystemTime) -> Result<(), VerifyError> {
        let Some(expiry) = &self.expiry else {
            return Err(VerifyError::MissingExpiry);
        };
        let signature = self.signature().ok_or(VerifyError::BadSignature)?;
        hmac(key.as_bytes(), self.slice(&self.sr), self.slice(&expiry.text))
            .verify_slice(&signature)
            .map_err(|_| VerifyError::BadSignature)?;

        let now = since_epoch(now);
        if now >= Duration::from_secs(expiry.unix_secs) {
            return Err(VerifyError::Expired { expiry_unix_secs: expiry.unix_secs, now_unix_secs: now.as_secs() });
        }
        Ok(())
    }

    /// When to put a fresh token in this one's place, if it was issued at `issued`.
    ///
    /// The margin left before expiry is a tenth of the token's life, but at least 7 minutes, but
    /// never more than half the life:
    ///
    /// | life | renewed before expiry |
    /// |---|---|
    /// | under 14 min | half the life |
    /// | 14 to 70 min | 7 min |
    /// | above 70 min | a tenth of the life |
    ///
    /// A token already over is to be renewed at `issued`, that is, at once. `None` means never: the
    /// token has no expiry, or one beyond what this machine's clock can express.
    ///
    /// ```
    /// use std::time::{Duration, UNIX_EPOCH};
    /// use hubwire::wire::sas::sign;
    ///
    /// let now = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    /// let token = sign("sb://ns/hub", "send", "a2V5", now, Duration::from_secs(3_600));
    /// assert_eq!(token.renew_at(now), Some(now + Duration::from_secs(53 * 60)));
    /// ```
    #[must_use]
    pub fn renew_at(&self, issued: SystemTime) -> Option<SystemTime> {
        renewal_after(issued, Duration::from_secs(self.expiry_unix_secs()?))
    }

    /// Whether the token is for `audience` or for something above it.
    ///
    /// Host and path are compared, and nothing else: scheme, port, case (ASCII) and slashes at the
    /// ends do not count, since SDKs sign `sb://`, `amqps://` and `http://` for the same hub. A
    /// path covers itself and what continues it after a `/`.
    ///
    /// ```
    /// use hubwire::wire::sas::sign_until;
    ///
    /// let token = sign_until("sb://ns.servicebus.windows.net/hub", "send", "a2V5", 1_700_003_600);
    /// assert!(token.covers("amqps://NS.servicebus.windows.net:5671/hub/Partitions/0"));
    /// assert!(!token.covers("amqps://ns.servicebus.windows.net/hub2"));
    /// ```
    #[must_use]
    pub fn covers(&self, audience: &str) -> bool {
        let (host, path) = host_and_path(&self.audience);
        let (asked_host, asked_path) = host_and_path(audience);
        !host.is_empty() && host.eq_ignore_ascii_case(asked_host) && is_at_or_above(path, asked_path)
    }

    /// The token with its signature masked, fit to print.
    ///
    /// The fields come in the order of [`sign`] and decoded, so the text is for reading only.
    #[must_use]
    pub fn redacted(&self) -> String {
        let audience = printable(&self.audience);
        let key_name = printable(&self.key_name);
        let expiry = match self.expiry_unix_secs() {
            Some(unix_secs) => format!("&se={unix_secs}"),
            None => String::new(),
        };
        format!("{PREFIX}sr={audience}&sig={MASK}{expiry}&skn={key_name}")
    }

    fn slice(&self, range: &Range<usize>) -> &str {
        &self.text.expose()[range.clone()]
    }

    /// Whether `key` signed the token as it stands, over `sr` or over another text in its place. For telling what a signer did
    /// otherwise; its expiry is not looked at.
    #[cfg(feature = "cli")]
    pub(crate) fn is_signed_by(&self, key: &[u8], sr: Option<&str>) -> bool {
        let (Some(expiry), Some(signature)) = (&self.expiry, self.signature()) else { return false };
        let sr = sr.unwrap_or(self.slice(&self.sr));
        hmac(key, sr, self.slice(&expiry.text)).verify_slice(&signature).is_ok()
    }

    /// A field's text as it stands in the token.
    #[cfg(feature = "cli")]
    pub(crate) fn field(&self, field: Field) -> &str {
        let fields = Fields::find(self.text.expose()).ok();
        let range = fields.and_then(|fields| fields.0[field as usize].clone());
        range.map_or("", |range| self.slice(&range))
    }

    /// The signature's bytes, unless they are not base64.
    pub(crate) fn signature(&self) -> Option<Vec<u8>> {
        let encoded = form_decoded(self.slice(&self.sig))?;
        STANDARD.decode(encoded.as_bytes()).ok()
    }
}

impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SasToken").field(&self.redacted()).finish()
    }
}

/// A field of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `sr`: the audience.
    Resource,
    /// `sig`: the signature.
    Signature,
    /// `se`: the expiry.
    Expiry,
    /// `skn`: the key's name.
    KeyName,
}

impl Field {
    const ALL: [Self; 4] = [Self::Resource, Self::Signature, Self::Expiry, Self::KeyName];

    /// The field's name in a token, e.g. `skn`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Resource => "sr",
            Self::Signature => "sig",
            Self::Expiry => "se",
            Self::KeyName => "skn",
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a text is not a token. No variant holds any of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseTokenError {
    /// The text does not start with `SharedAccessSignature `.
    #[error("a token starts with `SharedAccessSignature` and one blank; copy the whole of it")]
    MissingPrefix,
    /// A piece between two `&` has no `=`.
    #[error("a token is `name=value` fields joined by `&`; encode any other `&` as `%26`")]
    MissingEquals,
    /// A field is absent or empty.
    #[error("the token has no `{0}`; copy the whole of it or sign a new one")]
    MissingField(Field),
    /// A field is there twice.
    #[error("the token has `{0}` twice; keep one or sign a new token")]
    DuplicateField(Field),
    /// `se` is not a decimal number of seconds that fits 64 bits.
    #[error("the token's `se` is not whole seconds since 1970 in decimal; sign a new token")]
    InvalidExpiry,
    /// A field does not decode to UTF-8 text.
    #[error("the token's `{0}` does not decode to UTF-8; percent-encode its UTF-8 bytes")]
    NotUtf8(Field),
}

/// Why a token does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Another key signed the token, or its text was altered.
    #[error("the signature does not match; check the key, its name, and that no part was altered")]
    BadSignature,
    /// The token was good, until `expiry_unix_secs`.
    #[error(
        "the token ended at {expiry_unix_secs} and it is {now_unix_secs} (seconds since 1970); \
         sign a new one, and check the clock if it is fresh"
    )]
    Expired {
        /// When the token ended, in seconds since 1970-01-01 UTC.
        expiry_unix_secs: u64,
        /// The time it was held against, in the same measure.
        now_unix_secs: u64,
    },
    /// The token has no `se`, which is part of what is signed.
    #[error("the token has no `se`; sign a new one with an expiry")]
    MissingExpiry,
}

/// Where each field's value lies in a token's text.
struct Fields([Option<Range<usize>>; 4]);

impl Fields {
    fn find(text: &str) -> Result<Self, ParseTokenError> {
        let body = text.strip_prefix(PREFIX).ok_or(ParseTokenError::MissingPrefix)?;
        let mut found = Self([const { None }; 4]);
        let mut at = PREFIX.len();
        for piece in body.split('&') {
            let (name, value) = piece.split_once('=').ok_or(ParseTokenError::MissingEquals)?;
            let value_at = at + name.len() + 1;
            found.keep(name, value_at..value_at + value.len())?;
            at += piece.len() + 1;
        }
        Ok(found)
    }

    fn keep(&mut self, name: &str, value: Range<usize>) -> Result<(), ParseTokenError> {
        let Some(field) = Field::ALL.into_iter().find(|field| field.name() == name) else {
            return Ok(());
        };
        match self.0[field as usize].replace(value) {
            None => Ok(()),
            Some(_) => Err(ParseTokenError::DuplicateField(field)),
        }
    }

    fn required(&self, field: Field) -> Result<Range<usize>, ParseTokenError> {
        match &self.0[field as usize] {
            Some(range) if !range.is_empty() => Ok(range.clone()),
            _ => Err(ParseTokenError::MissingField(field)),
        }
    }

    fn expiry(&self, text: &str) -> Result<Option<Expiry>, ParseTokenError> {
        let Some(range) = self.0[Field::Expiry as usize].clone() else {
            return Ok(None);
        };
        let digits = &text[range.clone()];
        // `u64::from_str` would also take a leading `+`.
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ParseTokenError::InvalidExpiry);
        }
        let unix_secs = digits.parse().map_err(|_| ParseTokenError::InvalidExpiry)?;
        Ok(Some(Expiry { text: range, unix_secs }))
    }
}

fn decoded(text: &str, range: &Range<usize>, field: Field) -> Result<String, ParseTokenError> {
    form_decoded(&text[range.clone()]).map(Cow::into_owned).ok_or(ParseTokenError::NotUtf8(field))
}

/// Undoes percent-encoding and `+` for a blank; a literal `+` is always sent as `%2B`.
fn form_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('+') {
        return urlencoding::decode(text).ok();
    }
    let blanks = text.replace('+', " ");
    urlencoding::decode(&blanks).ok().map(|decoded| Cow::Owned(decoded.into_owned()))
}

fn hmac(key: &[u8], sr: &str, se: &str) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key)
        .expect("HMAC takes a key of any length")
        .chain_update(sr)
        .chain_update("\n")
        .chain_update(se)
}

/// When a token that ends at `expires_at` should be replaced: see [`SasToken::renew_at`], whose table it keeps.
pub(crate) fn renewal_time(issued: SystemTime, expires_at: SystemTime) -> Option<SystemTime> {
    renewal_after(issued, since_epoch(expires_at))
}

fn renewal_after(issued: SystemTime, expiry: Duration) -> Option<SystemTime> {
    let life = expiry.saturating_sub(since_epoch(issued));
    let margin = (life / 10).max(LEAST_MARGIN).min(life / 2);
    issued.checked_add(life - margin)
}

/// A time before 1970 counts as 1970: no token reaches back further.
fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// `scheme://host:port/path/` to `host` and `path`; IPv6 hosts keep their brackets.
pub(crate) fn host_and_path(audience: &str) -> (&str, &str) {
    let after_scheme = audience.split_once("://").map_or(audience, |(_, rest)| rest);
    let (authority, path) = after_scheme.split_once('/').unwrap_or((after_scheme, ""));
    (without_port(authority), path.trim_matches('/'))
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// Whether `path` is `below` or one of its parents; both without slashes at the ends.
fn is_at_or_above(path: &str, below: &str) -> bool {
    let starts = below.get(..path.len()).is_some_and(|start| start.eq_ignore_ascii_case(path));
    starts && (path.is_empty() || matches!(below.as_bytes().get(path.len()), None | Some(b'/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "a2V5";

    fn at(unix_secs: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(unix_secs)
    }

    fn token_for(audience: &str) -> SasToken {
        sign_until(audience, "send", KEY, 1_000)
    }

    #[test]
    fn a_signed_token_and_its_parsed_text_agree() {
        let signed = sign_until("sb://ns/my hub", "my policy", KEY, 1_000);
        let parsed = SasToken::parse(signed.as_str()).unwrap();
        for token in [&signed, &parsed] {
            assert_eq!(token.audience(), "sb://ns/my hub");
            assert_eq!(token.key_name(), "my policy");
            assert_eq!(token.expiry_unix_secs(), Some(1_000));
            assert_eq!(token.slice(&token.sr), "sb%3A%2F%2Fns%2Fmy%20hub");
            assert_eq!(token.verify(KEY, at(999)), Ok(()));
        }
        assert_eq!((&signed.sr, &signed.sig), (&parsed.sr, &parsed.sig));
    }

    #[test]
    fn fields_come_in_any_order_with_strangers_between() {
        let signed = token_for("sb://ns/hub");
        let sig = signed.slice(&signed.sig);
        let text = format!("  SharedAccessSignature skn=send&x=&se=1000&sig={sig}&sr=sb%3A%2F%2Fns%2Fhub\n");
        let parsed = SasToken::parse(&text).unwrap();
        assert_eq!(parsed.verify(KEY, at(0)), Ok(()));
        assert_eq!(parsed.as_str(), text.trim());
    }

    #[test]
    fn what_is_not_a_token_is_refused() {
        use ParseTokenError::{DuplicateField, InvalidExpiry, MissingEquals, MissingField, MissingPrefix, NotUtf8};
        for (fields, expected) in [
            ("", MissingPrefix),
            ("sr=x&sig=y&se=1&skn=z", MissingPrefix),
            ("sharedaccesssignature sr=x&sig=y&se=1&skn=z", MissingPrefix),
            ("SharedAccessSignature x", MissingEquals),
            ("SharedAccessSignature sr=x&sig=y&se=1&skn=z&", MissingEquals),
            ("SharedAccessSignature sig=y&se=1&skn=z", MissingField(Field::Resource)),
            ("SharedAccessSignature sr=&sig=y&se=1&skn=z", MissingField(Field::Resource)),
            ("SharedAccessSignature sr=x&se=1&skn=z", MissingField(Field::Signature)),
            ("SharedAccessSignature sr=x&sig=y&se=1", MissingField(Field::KeyName)),
            ("SharedAccessSignature sr=x&sr=x&sig=y&skn=z", DuplicateField(Field::Resource)),
            ("SharedAccessSignature sr=x&sig=y&se=&skn=z", InvalidExpiry),
            ("SharedAccessSignature sr=x&sig=y&se=+1&skn=z", InvalidExpiry),
            ("SharedAccessSignature sr=x&sig=y&se=-1&skn=z", InvalidExpiry),
            ("SharedAccessSignature sr=x&sig=y&se=18446744073709551616&skn=z", InvalidExpiry),
            ("SharedAccessSignature sr=%ff&sig=y&se=1&skn=z", NotUtf8(Field::Resource)),
            ("SharedAccessSignature sr=x&sig=y&se=1&skn=a+%ff", NotUtf8(Field::KeyName)),
        ] {
            assert_eq!(SasToken::parse(fields).unwrap_err(), expected, "{fields}");
        }
    }

    #[test]
    fn a_token_ends_when_its_second_comes() {
        let token = token_for("sb://ns/hub");
        let last = at(1_000) - Duration::from_nanos(1);
        assert_eq!(token.verify(KEY, last), Ok(()));
        let ended = VerifyError::Expired { expiry_unix_secs: 1_000, now_unix_secs: 1_000 };
        assert_eq!(token.verify(KEY, at(1_000)), Err(ended));
        assert_eq!(token.verify("k", at(1_000)), Err(VerifyError::BadSignature));
        let before_1970 = UNIX_EPOCH - Duration::from_secs(1);
        assert_eq!(token.verify(KEY, before_1970), Ok(()));
    }

    #[test]
    fn a_token_without_expiry_or_signature_does_not_hold() {
        let unsigned = SasToken::parse("SharedAccessSignature sr=x&sig=y&se=9&skn=z").unwrap();
        assert_eq!(unsigned.verify(KEY, at(0)), Err(VerifyError::BadSignature));
        let endless = SasToken::parse("SharedAccessSignature sr=x&sig=y&skn=z").unwrap();
        assert_eq!(endless.verify(KEY, at(0)), Err(VerifyError::MissingExpiry));
        assert_eq!(endless.renew_at(at(0)), None);
    }

    #[test]
    fn renewal_leaves_the_documented_margin() {
        let issued = at(1_700_000_000);
        for (life_secs, after_secs) in [
            (0, 0),
            (60, 30),
            (600, 300),
            (839, 419), // just under 14 min: half, and the half second below
            (840, 420),
            (1_200, 780),
            (4_200, 3_780), // 70 min: 7 min is a tenth
            (86_400, 77_760),
        ] {
            let token = sign("sb://ns/hub", "send", KEY, issued, Duration::from_secs(life_secs));
            let renewed = token.renew_at(issued).unwrap().duration_since(issued).unwrap();
            assert_eq!(renewed.as_secs(), after_secs, "life of {life_secs} s");
        }
        let over = token_for("sb://ns/hub");
        assert_eq!(over.renew_at(issued), Some(issued));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let endless = sign("sb://ns/hub", "send", KEY, at(1), Duration::MAX);
        assert_eq!(endless.expiry_unix_secs(), Some(u64::MAX));
        assert_eq!(endless.verify(KEY, at(1)), Ok(()));
        let _ = endless.renew_at(at(1));
        let _ = endless.renew_at(UNIX_EPOCH - Duration::from_secs(1));
        let zero = sign_until("sb://ns/hub", "send", KEY, 0);
        assert_eq!(zero.renew_at(UNIX_EPOCH), Some(UNIX_EPOCH));
    }

    #[test]
    fn a_token_covers_its_path_and_what_lies_below() {
        for (audience, asked, covered) in [
            ("sb://ns/hub", "sb://ns/hub", true),
            ("sb://ns/hub", "amqps://NS:5671/HUB/", true),
            ("sb://ns:5673/hub/", "sb://ns/hub/Partitions/0", true),
            ("http://ns/hub", "ns/hub/$management", true),
            ("sb://ns", "sb://ns/hub", true),
            ("sb://ns/", "sb://ns", true),
            ("sb://ns/hub", "sb://ns/hub2", false),
            ("sb://ns/hub", "sb://ns/hu", false),
            ("sb://ns/hub", "sb://ns", false),
            ("sb://ns/hub/Partitions/0", "sb://ns/hub", false),
            ("sb://ns/hub", "sb://ns2/hub", false),
            ("sb://[::1]:5673/hub", "sb://[::1]/hub", true),
            ("sb://[::1]/hub", "sb://[::2]/hub", false),
            ("sb://ns/h", "sb://ns/é", false),
            ("", "sb://ns/hub", false),
            ("sb:///", "/hub", false),
        ] {
            let token = token_for(audience);
            assert_eq!(token.covers(asked), covered, "{audience} over {asked}");
        }
    }

    #[test]
    fn debug_masks_the_signature() {
        let token = sign_until("sb://ns/hub", "send", KEY, 1_000);
        let shown = "SasToken(\"SharedAccessSignature sr=sb://ns/hub&sig=***&se=1000&skn=send\")";
        assert_eq!(format!("{token:?}"), shown);
    }
}
