//! The id of a request, by which an answer, a log line and the operator's question find each other.
//!
//! It is a header value from the beginning, since that is what every request needs; as text it is wanted when there is something
//! to log.

use http::HeaderValue;

/// The id of one request: visible ASCII.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

/// The longest id that is taken over, in bytes.
const GIVEN_MAX: usize = 128;

impl RequestId {
    /// A new one.
    pub(crate) fn new(number: u64) -> Self {
        let mut digits = [0; 16];
        for (place, digit) in digits.iter_mut().rev().enumerate() {
            let value = (number >> (4 * place)) as u8 & 15;
            *digit = if value < 10 { b'0' + value } else { b'a' - 10 + value };
        }
        Self(HeaderValue::from_bytes(&digits).unwrap_or_else(|_| HeaderValue::from_static("-")))
    }

    /// The one that somebody else gave the request, if it can stand in a log as it is.
    pub(crate) fn given(id: &HeaderValue) -> Option<Self> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let fit = (1..=GIVEN_MAX).contains(&id.len()) && id.as_bytes().iter().all(plain);
        fit.then(|| Self(id.clone()))
    }

    /// As text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or("-")
    }

    /// As a header has it.
    pub(crate) fn value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl std::fmt::Display for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_id_is_sixteen_digits() {
        assert_eq!(RequestId::new(0x0123_4567_89ab_cdef).as_str(), "0123456789abcdef");
        assert_eq!(RequestId::new(1).as_str(), "0000000000000001");
    }

    #[test]
    fn a_given_id_is_taken_over_only_when_it_can_stand_in_a_log() {
        let given = |id: &str| RequestId::given(&HeaderValue::from_str(id).unwrap()).map(|id| id.to_string());
        assert_eq!(given("a-B_9."), Some("a-B_9.".to_owned()));
        assert_eq!(given(&"x".repeat(128)), Some("x".repeat(128)));
        assert_eq!(given(&"x".repeat(129)), None);
        assert_eq!(given(""), None);
        assert_eq!(given("two words"), None);
    }
}
