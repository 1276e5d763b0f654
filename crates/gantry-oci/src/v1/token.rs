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

impl Authorization {
    /// Reads the header. Of several tokens joined by commas the first counts.
    #[must_use]
    pub fn parse(_header: Option<&[u8]>) -> Self {
        todo!()
    }
}

impl std::fmt::Display for TokenFields {
    /// `signature=..,repository="library/foo",access=read`, as it stands in `X-Docker-Token`.
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
