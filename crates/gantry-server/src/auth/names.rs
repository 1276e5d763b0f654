//! Names that come from elsewhere (a directory, a certificate), held to what a name may be here.

pub(super) use gantry_oci::access::is_invisible;

/// The longest name, in bytes.
pub(super) const LONGEST: usize = 255;

/// Whether this can be somebody's name (N-1): something to see in each character, nothing that means something in a rule, a
/// list or a page.
pub(super) fn fits(name: &str) -> bool {
    let says_more = |letter: char| matches!(letter, ':' | '*' | '<' | '>' | '&' | '"' | '\'' | '`');
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.chars().any(|letter| letter.is_whitespace() || is_invisible(letter) || says_more(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_something_to_see_in_each_character() {
        for good in
            ["alice", "Ann.O'Neil".replace('\'', "").as_str(), "a@example.com", "jörg", "名前", "svc-1_x"]
        {
            assert!(fits(good), "{good}");
        }
        for bad in
            ["", " ", "a b", "a:b", "a\0", "a\n", "<b>", "a*", "a\u{200b}", "a\u{ad}b", &"x".repeat(256)]
        {
            assert!(!fits(bad), "{bad:?}");
        }
    }
}
