//! `Authorization` as v1 clients send it, and the text of tokens.

use super::V1Name;

/// What an `Authorization` header of a v1 request is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// No credentials: none, `Token` without a value, `Basic Og==`.
    Nothing,
    /// `Token signature=..,repository="..",access=..`, also with a second `Token ` before it.
    Token(TokenFields),
    /// Another scheme (`Basic`, `Bearer`): for whoever reads these.
    Other,
    /// A token without what makes it one.
    Malformed,
}

/// The text of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFields {
    /// What makes it genuine.
    pub signature: String,
    /// What it is for.
    pub repository: V1Name,
    /// What may be done with it.
    pub access: TokenAccess,
}

/// What may be done with a token. Each includes the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TokenAccess {
    /// `read`
    Read,
    /// `write`
    Write,
    /// `delete`: and `read`, not `write`.
    Delete,
}

impl TokenAccess {
    /// As it stands in a token.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            TokenAccess::Read => "read",
            TokenAccess::Write => "write",
            TokenAccess::Delete => "delete",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Read, Self::Write, Self::Delete].into_iter().find(|access| access.as_str() == text)
    }
}

/// What Docker sends for nobody: an empty name and an empty password.
const NOBODY: &str = "Og==";

impl Authorization {
    /// Reads the header. Of several tokens joined by commas the first counts.
    #[must_use]
    pub fn parse(header: Option<&[u8]>) -> Self {
        let Ok(text) = std::str::from_utf8(header.unwrap_or_default()) else {
            // Which scheme it is, is known; that no token is among the bytes, too.
            return if header.and_then(after_token).is_some() { Self::Malformed } else { Self::Other };
        };
        let text = text.trim_ascii();
        if text.is_empty() {
            return Self::Nothing;
        }
        let Some(mut value) = after_token(text.as_bytes()).map(|value| &text[text.len() - value.len()..])
        else {
            let nobody = text.split_once(' ').is_some_and(|(scheme, value)| {
                scheme.eq_ignore_ascii_case("basic") && value.trim_ascii() == NOBODY
            });
            return if nobody { Self::Nothing } else { Self::Other };
        };
        // Some registries begin the value with the word, which clients put before it as well.
        while let Some(rest) = after_token(value.as_bytes()) {
            value = &value[value.len() - rest.len()..];
        }
        if value.is_empty() {
            return Self::Nothing;
        }
        TokenFields::parse(value).map_or(Self::Malformed, Self::Token)
    }
}

/// What follows the word `Token`, however it is written, and blanks.
fn after_token(header: &[u8]) -> Option<&[u8]> {
    let (word, rest) = header.split_at_checked(5)?;
    let is_word = word.eq_ignore_ascii_case(b"token") && rest.first().is_none_or(u8::is_ascii_whitespace);
    is_word.then(|| rest.trim_ascii_start())
}

impl TokenFields {
    /// Reads the text of a token: `key=value` or `key:value`, with quotes or without, in any order. What follows the first token
    /// begins with a key that was there before.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (mut signature, mut repository, mut access) = (None, None, None);
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once(['=', ':']) else { continue };
            // A second token may begin with the word again.
            let key = key
                .trim_ascii()
                .rsplit(|letter: char| letter.is_ascii_whitespace())
                .next()
                .unwrap_or_default();
            let field = match key {
                "signature" => &mut signature,
                "repository" => &mut repository,
                "access" => &mut access,
                _ => continue,
            };
            if field.is_some() {
                break;
            }
            let value = value.trim_ascii_start();
            let value = value.strip_prefix('"').unwrap_or(value);
            *field = Some(value.split('"').next().unwrap_or_default().trim_ascii());
        }
        Some(Self {
            signature: signature.filter(|text| is_word(text))?.to_owned(),
            repository: repository?.parse().ok()?,
            access: TokenAccess::parse(access?)?,
        })
    }
}

/// Whether a signature can be written as it was read.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl std::fmt::Display for TokenFields {
    /// `signature=..,repository="library/foo",access=read`, as it stands in `X-Docker-Token`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { signature, repository, access } = self;
        write!(f, "signature={signature},repository=\"{}\",access={}", repository.full(), access.as_str())
    }
}
