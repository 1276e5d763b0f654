//! Passwords of accounts: argon2id with the parameters that OWASP recommends (19 MiB, two passes), kept as PHC strings.

use std::sync::LazyLock;

use argon2::{Argon2, PasswordHasher as _, PasswordVerifier as _};

use super::secret::TOKEN_PREFIX;

/// The shortest password, in characters.
pub const PASSWORD_MIN: usize = 8;
/// The longest password, in bytes.
pub const PASSWORD_MAX: usize = 1024;

/// Why a password is not accepted for an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("the password is too short: expected at least {PASSWORD_MIN} characters")]
    Short,
    /// Too long.
    #[error("the password is too long: expected at most {PASSWORD_MAX} bytes")]
    Long,
    /// It would be taken for something else.
    #[error("a password must not begin with `{TOKEN_PREFIX}`, as tokens do, or hold control characters")]
    Form,
    /// The system failed.
    #[error("the password could not be hashed")]
    Failed,
}

/// Hashes a password; takes tens of milliseconds and 19 MiB.
///
/// # Errors
/// It is not accepted.
pub fn hash_password(password: &str) -> Result<String, PasswordError> {
    if password.chars().count() < PASSWORD_MIN {
        return Err(PasswordError::Short);
    }
    if password.len() > PASSWORD_MAX {
        return Err(PasswordError::Long);
    }
    if password.starts_with(TOKEN_PREFIX) || password.contains(char::is_control) {
        return Err(PasswordError::Form);
    }
    Argon2::default()
        .hash_password(password.as_bytes())
        .map(|hash| hash.to_string())
        .map_err(|_| PasswordError::Failed)
}

/// Whether the password is the one; takes as long.
pub(super) fn verify(password: &[u8], hash: &str) -> bool {
    password.len() <= PASSWORD_MAX && Argon2::default().verify_password(password, hash).is_ok()
}

/// The hash that names are checked against that are nobody's, so that they take as long.
pub(super) fn nobody() -> &'static str {
    static NOBODY: LazyLock<String> =
        LazyLock::new(|| hash_password(&uuid::Uuid::new_v4().to_string()).unwrap_or_default());
    &NOBODY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_hashed_and_known_again() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(verify(b"correct horse", &hash) && !verify(b"wrong horse!", &hash));
        assert!(!verify(b"x", nobody()) && !nobody().is_empty());
    }

    #[test]
    fn what_is_no_password() {
        assert_eq!(hash_password("short"), Err(PasswordError::Short));
        assert_eq!(hash_password(&"x".repeat(1025)), Err(PasswordError::Long));
        assert_eq!(hash_password("gty_something"), Err(PasswordError::Form));
        assert_eq!(hash_password("line\nfeed!"), Err(PasswordError::Form));
    }
}
