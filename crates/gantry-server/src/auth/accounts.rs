//! What an account may be: its name, its e-mail address, its password, wherever it is made.

use std::sync::LazyLock;

use gantry_oci::access::{Subject, SubjectError};
use tokio::sync::Semaphore;

use super::password::{self, PasswordError};
use super::secret::redacted;

/// Why something cannot be the name of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// N-1
    #[error(transparent)]
    Form(#[from] SubjectError),
    /// It would be hidden wherever it is shown.
    #[error("a name must not look like a token")]
    Secret,
}

/// Checks the name of a new account (N-1).
///
/// # Errors
/// It is none.
pub fn check_name(name: &str) -> Result<Subject, NameError> {
    let subject = Subject::account(name)?;
    if redacted(name) == name { Ok(subject) } else { Err(NameError::Secret) }
}

/// Whether this can be an e-mail address, by which one logs in.
#[must_use]
pub fn is_email(email: &str) -> bool {
    let parts = email.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    let odd = |letter: char| letter.is_whitespace() || letter.is_control() || ":<>\"'`&,;".contains(letter);
    parts.is_some_and(|(_, host)| !host.contains('@') && email.len() <= 255 && !email.contains(odd))
}

/// Hashes the password of an account. That takes a core and 19 MiB for tens of milliseconds; no more than two at once.
///
/// # Errors
/// It is not accepted.
pub async fn hash(password: String) -> Result<String, PasswordError> {
    static PLACES: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(2));
    let _place = PLACES.acquire().await.map_err(|_| PasswordError::Failed)?;
    let hashed = tokio::task::spawn_blocking(move || password::hash_password(&password)).await;
    hashed.unwrap_or(Err(PasswordError::Failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["a@example.com", "jörg@example.com", "a.b+c@[::1]".replace(':', "").as_str()] {
            assert!(is_email(good), "{good}");
        }
        for bad in
            ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\n", "<a@b>", &format!("a@{}", "b".repeat(255))]
        {
            assert!(!is_email(bad), "{bad:?}");
        }
    }
}
